// The requests that search threads answer, checked as far as that goes without a collection.
//
// May use: VectorWire.

import NIOCore
import VectorWire

/// A request for a search thread.
enum SearchWork: Sendable {
  case search(SearchRequest)
  case searchByID(SearchByIDRequest)
  case fetch(FetchRequest)
  /// Waits for the writer of an index, so it is no work for an event loop.
  case statistics(StatisticsRequest)

  /// Reads a body and holds its numbers against the limits.
  init(_ kind: MessageKind, decoding body: ByteBuffer, limits: WireLimits) throws(WireError) {
    switch kind {
    case .search:
      let request = try SearchRequest(decoding: body)
      try Self.check(k: request.k, effort: request.effort, count: request.vectors.count, limits)
      self = .search(request)
    case .searchByID:
      let request = try SearchByIDRequest(decoding: body)
      try Self.check(k: request.k, effort: request.effort, count: request.ids.count, limits)
      self = .searchByID(request)
    case .fetch:
      let request = try FetchRequest(decoding: body)
      try Self.check(count: request.ids.count, limits)
      self = .fetch(request)
    case .statistics:
      self = .statistics(try StatisticsRequest(decoding: body))
    default:
      throw WireError(.unknownKind, "frames of kind \(kind) are no work for a search thread")
    }
  }

  var collection: String {
    switch self {
    case .search(let request): request.collection
    case .searchByID(let request): request.collection
    case .fetch(let request): request.collection
    case .statistics(let request): request.collection
    }
  }

  /// About how long the reply will be, before the collection is known: ids count as UUIDs, and a fetched vector as one
  /// of 1,024 dimensions.
  var replyBytesExpected: Int {
    switch self {
    case .search(let request):
      SearchReplyEncoder.bodyBytesMin(
        queryCount: request.vectors.count, resultCount: request.vectors.count * request.k, recordIDKind: .uuid)
    case .searchByID(let request):
      SearchReplyEncoder.bodyBytesMin(
        queryCount: request.ids.count, resultCount: request.ids.count * request.k, recordIDKind: .uuid)
    case .fetch(let request):
      Fetched.bodyBytes(
        idCount: request.ids.count, foundCount: request.ids.count, dimension: request.wantsVectors ? 1_024 : 0)
    case .statistics: 1_024
    }
  }

  private static func check(k: Int, effort: Int, count: Int, _ limits: WireLimits) throws(WireError) {
    guard (1...limits.kMax).contains(k) else {
      throw WireError(.invalidK, "k is \(k); it must be from 1 to \(limits.kMax)")
    }
    guard effort <= limits.efMax else {
      throw WireError(.invalidEffort, "ef is \(effort); it may be at most \(limits.efMax), or 0 for the default")
    }
    try check(count: count, limits)
  }

  private static func check(count: Int, _ limits: WireLimits) throws(WireError) {
    guard (1...limits.queriesMax).contains(count) else {
      throw WireError(
        .invalidCount, "a request has from 1 to \(limits.queriesMax) queries or ids, not \(count): split it")
    }
  }
}
