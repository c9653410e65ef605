// Answers requests: what a search thread does.
//
// May use: VectorIndex, VectorWire, the catalog, FreshnessGate.

import Logging
import NIOCore
import VectorIndex
import VectorWire

/// One search thread's means. Every request gets exactly one reply from it.
struct RequestRunner: ~Copyable {
  /// What has become of a request.
  enum Outcome {
    /// The frame that answers it: its reply or an Error.
    case reply(ByteBuffer)
    /// It waits for its collection to be as new as it asks, and comes again.
    case waits
  }

  private let gate: FreshnessGate
  private let frameBytesMax: Int
  private let logger: Logger
  private var scratches = ScratchCache()
  private var encoder = SearchReplyEncoder()
  /// The query at hand, as Float32.
  private var query: [Float] = []

  init(catalog: CollectionCatalog, frameBytesMax: Int, logger: Logger) {
    gate = FreshnessGate(catalog: catalog)
    self.frameBytesMax = frameBytesMax
    self.logger = logger
  }

  /// Answers a request, or lets it wait. One that waits may be with another thread by the return.
  mutating func answer(_ task: SearchTask) -> Outcome {
    do throws(WireError) {
      guard let collection = try gate.collection(for: task) else { return .waits }
      let frame =
        switch task.request {
        case .search(let request): try search(request, task, collection)
        case .searchByID(let request): try search(request, task, collection)
        case .searchLike(let request): try search(request, task, collection)
        case .fetch(let request): try fetch(request, task, collection)
        case .statistics: StatisticsReply(collection.statistics()).frame(requestID: task.requestID)
        case .describe:
          Described(
            attributes: collection.index.configuration.attributes, payload: collection.index.configuration.payload
          ).frame(requestID: task.requestID)
        }
      try task.checkWanted()
      return .reply(frame)
    } catch {
      if error.code == .internal { logger.error("a request failed: \(error.message)") }
      return .reply(ErrorReply(error).frame(requestID: task.requestID))
    }
  }

  // MARK: Search

  private mutating func search(
    _ request: SearchRequest, _ task: SearchTask, _ collection: Collection
  ) throws(WireError) -> ByteBuffer {
    let index = collection.index
    let vectors = request.vectors
    let dimension = index.configuration.dimension
    guard vectors.dimension == dimension else {
      throw WireError(
        .dimensionMismatch,
        "the queries have \(vectors.dimension) dimensions; collection \"\(collection.name)\" has \(dimension)")
    }
    var plan = try begin(
      request.terms, task, collection, queryCount: vectors.count, findable: index.count)
    if query.count != dimension { query = [Float](repeating: 0, count: dimension) }

    let entry = scratches.entry(for: index)
    var distances = 0
    for i in 0..<vectors.count {
      if i > 0 { try task.checkWanted() }
      let program = try plan.filters.program(ofQuery: i)
      query.withUnsafeMutableBufferPointer { vectors.copy(i, into: $0) }
      do throws(IndexError) {
        // Valid for the call: `query` is not touched while it is searched for.
        distances += try Self.search(query, plan, program, entry, &encoder)
      } catch {
        throw WireError(error, of: "query \(i)")
      }
      try checkLength()
    }
    collection.countQueries(vectors.count, distances: distances)
    return encoder.finish()
  }

  private static func search(
    _ query: [Float], _ plan: SearchPlan, _ program: FilterProgram?, _ entry: ScratchCache.Entry,
    _ encoder: inout SearchReplyEncoder
  ) throws(IndexError) -> Int {
    try query.withUnsafeBufferPointer { query throws(IndexError) in
      try plan.index.retrieve(query, plan.options, matching: program, scratch: &entry.scratch) {
        write($0, plan, program, &encoder)
      }
    }
  }

  private mutating func search(
    _ request: SearchByIDRequest, _ task: SearchTask, _ collection: Collection
  ) throws(WireError) -> ByteBuffer {
    let index = collection.index
    try checkKinds(request.ids, collection)
    let findable = request.includesSelf ? index.count : max(0, index.count - 1)
    var plan = try begin(
      request.terms, includesSelf: request.includesSelf, task, collection, queryCount: request.ids.count,
      findable: findable)

    let entry = scratches.entry(for: index)
    var distances = 0
    for (i, id) in request.ids.enumerated() {
      if i > 0 { try task.checkWanted() }
      let program = try plan.filters.program(ofQuery: i)
      let computed: Int?
      do throws(IndexError) {
        computed = try index.retrieve(near: id, plan.options, matching: program, scratch: &entry.scratch) {
          Self.write($0, plan, program, &encoder)
        }
      } catch {
        throw WireError(error, of: "id \(i)")
      }
      guard let computed else {
        throw WireError(
          .unknownRecord, "collection \"\(collection.name)\" has no row \(String(id.description.prefix(100)))")
      }
      distances += computed
      try checkLength()
    }
    collection.countQueries(request.ids.count, distances: distances)
    return encoder.finish()
  }

  private mutating func search(
    _ request: SearchLikeRequest, _ task: SearchTask, _ collection: Collection
  ) throws(WireError) -> ByteBuffer {
    let index = collection.index
    try checkKinds(request.positives + request.negatives, collection)
    var plan = try begin(
      request.terms, includesSelf: request.includesSelf, task, collection, queryCount: 1, findable: index.count)
    let program = try plan.filters.program(ofQuery: 0)
    let entry = scratches.entry(for: index)
    let distances: Int
    do throws(IndexError) {
      distances = try index.retrieve(
        like: request.positives, unlike: request.negatives, plan.options, matching: program, scratch: &entry.scratch
      ) {
        Self.write($0, plan, program, &encoder)
      }
    } catch {
      throw WireError(error, of: "the examples")
    }
    try checkLength()
    collection.countQueries(1, distances: distances)
    return encoder.finish()
  }

  /// Writes the hits of one query while they are pinned.
  /// - Returns: how many distances they took.
  private static func write(
    _ hits: RetrievalHits, _ plan: SearchPlan, _ program: FilterProgram?, _ encoder: inout SearchReplyEncoder
  ) -> Int {
    let isGrouped = plan.options.grouping != nil
    for i in 0..<hits.count {
      // The rest would be dropped, and is not decompressed for that.
      if encoder.isTooLarge { break }
      encoder.append(
        hits.id(at: i), distance: hits.distance(at: i), group: isGrouped ? UInt32(hits.group(at: i)) : nil,
        payload: plan.payload?.values(of: hits, at: i) ?? [])
    }
    encoder.endQuery(
      QueryReceipt(hits),
      explanation: plan.modifiers.explains ? Explanation(hits, of: plan.index, plan.options, program).text : nil)
    return hits.distancesComputed
  }

  /// Makes ready what a search asks for, and starts its reply, unless that is sure to be too long: then no search is begun for it.
  /// - findable: the most rows that a query can find without a filter.
  private mutating func begin(
    _ terms: SearchTerms, includesSelf: Bool = false, _ task: SearchTask, _ collection: Collection, queryCount: Int,
    findable: Int
  ) throws(WireError) -> SearchPlan {
    let plan = try SearchPlan(terms, includesSelf: includesSelf, collection, queryCount: queryCount)
    let kind = collection.index.configuration.recordIDKind
    let parts = terms.modifiers.replyParts
    let expected = queryCount * min(terms.modifiers.resultsMax(k: terms.k), findable)
    // A filter, a limit and so on may leave as little as nothing.
    let least = terms.modifiers.isEmpty ? expected : 0
    let columns = plan.payload?.names ?? []
    let bytes = SearchReplyEncoder.bodyBytesMin(
      queryCount: queryCount, resultCount: least, recordIDKind: kind, parts: parts,
      payloadColumns: columns)
    guard bytes <= frameBytesMax else { throw replyTooLarge }
    let (position, flags) = collection.standing
    encoder.begin(
      requestID: task.requestID, flags: flags, position: position, recordIDKind: kind, queryCount: queryCount,
      parts: parts, payloadColumns: columns, resultsExpected: expected, bodyBytesMax: frameBytesMax)
    return plan
  }

  private func checkLength() throws(WireError) {
    if encoder.isTooLarge { throw replyTooLarge }
  }

  private var replyTooLarge: WireError {
    WireError(
      .replyTooLarge,
      "the answer would be over \(frameBytesMax) bytes: ask for fewer queries, ids or results at once, or for less payload"
    )
  }

  // MARK: Fetch

  private func fetch(
    _ request: FetchRequest, _ task: SearchTask, _ collection: Collection
  ) throws(WireError) -> ByteBuffer {
    let index = collection.index
    if let tenants = TenantRule(collection) { throw tenants.fetchRefusal }
    try checkKinds(request.ids, collection)
    let (position, flags) = collection.standing
    let dimension = request.wantsVectors ? index.configuration.dimension : 0
    var vectors: [[Float]?] = []
    vectors.reserveCapacity(request.ids.count)
    var found = 0
    for id in request.ids {
      let vector = request.wantsVectors ? index.vector(of: id) : index.contains(id) ? [] : nil
      if vector != nil { found += 1 }
      vectors.append(vector)
      guard Fetched.bodyBytes(idCount: request.ids.count, foundCount: found, dimension: dimension) <= frameBytesMax
      else { throw replyTooLarge }
    }
    return Fetched(
      position: position, dimension: dimension, vectors: vectors, isStale: flags.contains(.stale)
    ).frame(requestID: task.requestID)
  }

  private func checkKinds(_ ids: [RecordID], _ collection: Collection) throws(WireError) {
    let kind = collection.index.configuration.recordIDKind
    guard let other = ids.first(where: { $0.kind != kind }) else { return }
    throw WireError(
      .recordIDMismatch,
      "an id of kind \(other.kind) was sent; the ids of collection \"\(collection.name)\" are of kind \(kind)")
  }
}

extension WireError {
  /// What an index refused, in the protocol's terms.
  init(_ error: IndexError, of what: String) {
    self.init(error)
    message = "\(what): \(message)"
  }

  init(_ error: IndexError) {
    let code: Code =
      switch error.code {
      case .dimensionMismatch: .dimensionMismatch
      case .notFinite: .notFinite
      case .zeroVector: .zeroVector
      case .invalidK: .invalidK
      case .invalidEffort: .invalidEffort
      case .invalidRecallTarget: .invalidRecallTarget
      case .tooFewQueries: .invalidCount
      case .recordIDMismatch: .recordIDMismatch
      case .unknownRecord: .unknownRecord
      case .unknownAttribute: .unknownAttribute
      case .filterTypeMismatch: .filterTypeMismatch
      case .orderRefused: .orderRefused
      case .invalidFilter: .invalidFilter
      case .invalidRetrieval: .invalidOption
      case .cancelled: .cancelled
      default: .internal
      }
    self.init(code, error.message)
  }
}
