// The requests that search threads answer, checked as far as that goes without a collection.
//
// May use: VectorWire.

import NIOCore
import VectorIndex
import VectorWire

/// A request for a search thread.
enum SearchWork: Sendable {
  case search(SearchRequest)
  case searchByID(SearchByIDRequest)
  case searchLike(SearchLikeRequest)
  case fetch(FetchRequest)
  /// Waits for the writer of an index, so it is no work for an event loop.
  case statistics(StatisticsRequest)
  case describe(DescribeRequest)

  /// Reads a body and holds its numbers against the limits.
  init(_ kind: MessageKind, decoding body: ByteBuffer, limits: WireLimits) throws(WireError) {
    switch kind {
    case .search:
      let request = try SearchRequest(decoding: body)
      try Self.check(request.terms, count: request.vectors.count, limits)
      self = .search(request)
    case .searchByID:
      let request = try SearchByIDRequest(decoding: body)
      try Self.check(request.terms, count: request.ids.count, limits)
      self = .searchByID(request)
    case .searchLike:
      let request = try SearchLikeRequest(decoding: body)
      try Self.check(request.terms, count: request.positives.count + request.negatives.count, limits)
      guard !request.positives.isEmpty else {
        throw WireError(
          .invalidCount, "a search by examples has at least one row to be like, not only rows to be unlike")
      }
      self = .searchLike(request)
    case .fetch:
      let request = try FetchRequest(decoding: body)
      try Self.check(count: request.ids.count, limits)
      self = .fetch(request)
    case .statistics:
      self = .statistics(try StatisticsRequest(decoding: body))
    case .describe:
      self = .describe(try DescribeRequest(decoding: body))
    default:
      throw WireError(.unknownKind, "frames of kind \(kind) are no work for a search thread")
    }
  }

  /// What a search asks for; nil for what is no search.
  var terms: SearchTerms? {
    switch self {
    case .search(let request): request.terms
    case .searchByID(let request): request.terms
    case .searchLike(let request): request.terms
    case .fetch, .statistics, .describe: nil
    }
  }

  var collection: String {
    switch self {
    case .search(let request): request.terms.collection
    case .searchByID(let request): request.terms.collection
    case .searchLike(let request): request.terms.collection
    case .fetch(let request): request.collection
    case .statistics(let request): request.collection
    case .describe(let request): request.collection
    }
  }

  /// How new the collection must be for it.
  var freshness: Freshness {
    if case .fetch(let request) = self { return request.freshness }
    return terms?.modifiers.freshness ?? .any
  }

  /// About how long the reply will be, before the collection is known: ids count as UUIDs, a fetched vector as one of 1,024
  /// dimensions, an explanation as long as it may be, and a result's payload as 1 KiB.
  var replyBytesExpected: Int {
    switch self {
    case .search(let request): Self.replyBytes(request.vectors.count, request.terms)
    case .searchByID(let request): Self.replyBytes(request.ids.count, request.terms)
    case .searchLike(let request): Self.replyBytes(1, request.terms)
    case .fetch(let request):
      Fetched.bodyBytes(
        idCount: request.ids.count, foundCount: request.ids.count, dimension: request.wantsVectors ? 1_024 : 0)
    case .statistics: 2_048
    case .describe:
      AttributeSchema.columnsMax * (AttributeSchema.nameBytesMax + 6)
        + HNSWConfiguration.payloadColumnsMax * (AttributeSchema.nameBytesMax + 2)
    }
  }

  private static func replyBytes(_ queryCount: Int, _ terms: SearchTerms) -> Int {
    let (k, modifiers) = (terms.k, terms.modifiers)
    let explanations = modifiers.explains ? queryCount * WireProtocol.explanationBytesMax : 0
    let payload = modifiers.payload == nil ? 0 : queryCount * modifiers.resultsMax(k: k) << 10
    return explanations + payload
      + SearchReplyEncoder.bodyBytesMin(
        queryCount: queryCount, resultCount: queryCount * modifiers.resultsMax(k: k), recordIDKind: .uuid,
        parts: modifiers.replyParts)
  }

  private static func check(_ terms: SearchTerms, count: Int, _ limits: WireLimits) throws(WireError) {
    guard (1...limits.kMax).contains(terms.k) else {
      throw WireError(.invalidK, "k is \(terms.k); it must be from 1 to \(limits.kMax)")
    }
    guard terms.effort <= limits.efMax else {
      throw WireError(.invalidEffort, "ef is \(terms.effort); it may be at most \(limits.efMax), or 0 for the default")
    }
    try check(count: count, limits)
    try check(terms.modifiers, k: terms.k, limits)
  }

  private static func check(count: Int, _ limits: WireLimits) throws(WireError) {
    guard (1...limits.queriesMax).contains(count) else {
      throw WireError(
        .invalidCount, "a request has from 1 to \(limits.queriesMax) queries or ids, not \(count): split it")
    }
  }

  /// Holds what a query may find and return against the limits; whether the options make sense is the index's to say.
  private static func check(_ modifiers: SearchModifiers, k: Int, _ limits: WireLimits) throws(WireError) {
    guard k + modifiers.offset <= limits.kMax else {
      throw WireError(
        .invalidOption,
        "a k of \(k) and an offset of \(modifiers.offset) are over \(limits.kMax) together: no search looks farther")
    }
    guard modifiers.resultsMax(k: k) <= limits.kMax else {
      throw WireError(
        .invalidOption,
        "\(k) groups of \(modifiers.resultsMax(k: 1)) results are over \(limits.kMax) results: ask for fewer of either")
    }
  }
}

extension SearchModifiers {
  /// The most results of a query.
  func resultsMax(k: Int) -> Int { k * (grouping?.perGroup ?? 1) }

  var replyParts: SearchReply.Parts {
    var parts: SearchReply.Parts = []
    if grouping != nil { parts.insert(.groups) }
    if explains { parts.insert(.explanations) }
    if payload != nil { parts.insert(.payload) }
    return parts
  }
}
