// A connection to a Vizinho server.
//
// May use: VectorWire, NIOCore and NIOPosix.

import NIOCore
import NIOPosix
import Synchronization
import VectorIndex
import VectorWire

/// A connection to a Vizinho server, over which any number of tasks may ask at the same time.
///
///     let client = try await VectorClient.connect(host: "127.0.0.1", port: 7733)
///     let reply = try await client.search("documents", vectors: [query], k: 10)
///     for result in reply.answers[0].results { print(result.id, result.distance) }
///     await client.close()
///
/// A request whose task is cancelled is cancelled on the server too. A connection that has ended stays ended: connect
/// again.
public final class VectorClient: Sendable {
  public struct Configuration: Sendable {
    /// A name for the server's log, at most 256 bytes.
    public var name: String
    /// How long connecting, the handshake included, may take.
    public var connectTimeout: Duration
    /// How long an answer may take, where a request says nothing else. The server hears of it too.
    public var requestTimeout: Duration

    public init(
      name: String = "vizinho-swift", connectTimeout: Duration = .seconds(10), requestTimeout: Duration = .seconds(30)
    ) {
      self.name = name
      self.connectTimeout = connectTimeout
      self.requestTimeout = requestTimeout
    }
  }

  /// What the server said of itself: its version and its limits.
  public let welcome: Welcome
  private let connection: Connection
  private let requestTimeout: Duration

  private init(welcome: Welcome, connection: Connection, requestTimeout: Duration) {
    self.welcome = welcome
    self.connection = connection
    self.requestTimeout = requestTimeout
  }

  /// Connects and shakes hands.
  public static func connect(
    host: String, port: Int = WireProtocol.defaultPort, configuration: Configuration = Configuration(),
    group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
  ) async throws(VectorClientError) -> VectorClient {
    let channel: any Channel
    do {
      channel = try await ClientBootstrap(group: group)
        .connectTimeout(TimeAmount(configuration.connectTimeout))
        .channelOption(.tcpOption(.tcp_nodelay), value: 1)
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(ClientHandler()) }
        }
        .connect(host: host, port: port).get()
    } catch {
      throw VectorClientError(
        .connectionFailed, "cannot connect to \(host):\(port): \(error). Does the server run and listen there?")
    }
    let connection: Connection
    do { connection = try await Connection(channel: channel) } catch {
      throw VectorClientError(.connectionClosed, "the connection to \(host):\(port) ended at once: \(error)")
    }
    do throws(VectorClientError) {
      let welcome: Welcome = try await connection.ask(
        Hello(client: configuration.name), bodyBytesMax: WireProtocol.handshakeBytesMax,
        timeout: configuration.connectTimeout)
      return VectorClient(welcome: welcome, connection: connection, requestTimeout: configuration.requestTimeout)
    } catch {
      await connection.close()
      throw error
    }
  }

  /// Ends the connection. Requests without an answer fail with ``VectorClientError/Code/connectionClosed``.
  public func close() async { await connection.close() }

  // MARK: Requests

  /// The nearest rows to each of some vectors.
  /// - Parameters:
  ///   - vectors: `[queries][dimension]`.
  ///   - recall: the share of the `k` nearest that is to be found, on average over queries, from 0.8 to 0.999, in steps of
  ///     1/10,000; nil = the collection's default. It stands alone: beside `effort` or `exact` it is refused.
  ///   - effort: the size of the candidate list, in the place of a recall; 0 = none given.
  ///   - exact: whether to scan every row.
  ///   - modifiers: filters, a distance limit, an offset, groups, diversity, an explanation, payload, and how new the answer must be.
  ///   - elementType: how the vectors travel. `.float16` halves their bytes and rounds them.
  public func search(
    _ collection: String, vectors: [[Float]], k: Int, recall: Double? = nil, effort: Int = 0, exact: Bool = false,
    modifiers: SearchModifiers = SearchModifiers(), as elementType: ElementType = .float32, timeout: Duration? = nil
  ) async throws(VectorClientError) -> SearchReply {
    let target = try Self.recallTarget(recall, effort: effort, exact: exact)
    guard let packed = QueryVectors(vectors, as: elementType) else {
      throw VectorClientError(.invalidRequest, "the vectors of one request must have the same number of dimensions")
    }
    try checkName(collection)
    try check(modifiers, queryCount: vectors.count)
    return try await ask(
      SearchRequest(
        SearchTerms(
          collection: collection, k: k, effort: effort, recallTarget: target, isExact: exact, modifiers: modifiers),
        vectors: packed), timeout)
  }

  /// The nearest rows to each of some rows of the collection.
  ///
  /// Otherwise as ``search(_:vectors:k:recall:effort:exact:modifiers:as:timeout:)``.
  /// - Parameter includesSelf: whether a row may be among its own results.
  public func search(
    _ collection: String, ids: [RecordID], k: Int, recall: Double? = nil, effort: Int = 0, exact: Bool = false,
    includesSelf: Bool = false, modifiers: SearchModifiers = SearchModifiers(), timeout: Duration? = nil
  ) async throws(VectorClientError) -> SearchReply {
    let target = try Self.recallTarget(recall, effort: effort, exact: exact)
    try checkName(collection)
    try checkIDs(ids)
    try check(modifiers, queryCount: ids.count)
    return try await ask(
      SearchByIDRequest(
        SearchTerms(
          collection: collection, k: k, effort: effort, recallTarget: target, isExact: exact, modifiers: modifiers),
        ids: ids, includesSelf: includesSelf), timeout)
  }

  /// The rows nearest to what some rows have in common, and away from what others have.
  ///
  /// Otherwise as ``search(_:vectors:k:recall:effort:exact:modifiers:as:timeout:)``, with one answer.
  /// - Parameters:
  ///   - positives: at least one. A row that is not there fails the request.
  ///   - includesSelf: whether the rows that are named may be among the results.
  public func search(
    _ collection: String, like positives: [RecordID], unlike negatives: [RecordID] = [], k: Int, recall: Double? = nil,
    effort: Int = 0, exact: Bool = false, includesSelf: Bool = false, modifiers: SearchModifiers = SearchModifiers(),
    timeout: Duration? = nil
  ) async throws(VectorClientError) -> SearchReply {
    let target = try Self.recallTarget(recall, effort: effort, exact: exact)
    try checkName(collection)
    try checkIDs(positives + negatives)
    try check(modifiers, queryCount: 1)
    return try await ask(
      SearchLikeRequest(
        SearchTerms(
          collection: collection, k: k, effort: effort, recallTarget: target, isExact: exact, modifiers: modifiers),
        like: positives, unlike: negatives, includesSelf: includesSelf), timeout)
  }

  /// The vectors of some rows; nil for a row that is not there.
  /// - Parameter freshness: how new the answer must be.
  public func fetch(
    _ collection: String, ids: [RecordID], wantsVectors: Bool = true, freshness: Freshness = .any,
    timeout: Duration? = nil
  ) async throws(VectorClientError) -> Fetched {
    try checkName(collection)
    try checkIDs(ids)
    try check(freshness)
    return try await ask(
      FetchRequest(collection: collection, ids: ids, wantsVectors: wantsVectors, freshness: freshness), timeout)
  }

  /// What the server serves.
  public func collections(timeout: Duration? = nil) async throws(VectorClientError) -> [CollectionDescription] {
    let reply: Collections = try await ask(ListCollections(), timeout)
    return reply.collections
  }

  /// The numbers of a collection.
  public func statistics(_ collection: String, timeout: Duration? = nil) async throws(VectorClientError) -> [Statistic]
  {
    try checkName(collection)
    let reply: StatisticsReply = try await ask(StatisticsRequest(collection: collection), timeout)
    return reply.entries
  }

  /// The attributes that filters and groups can name, and the columns of payload.
  public func describe(_ collection: String, timeout: Duration? = nil) async throws(VectorClientError) -> Described {
    try checkName(collection)
    return try await ask(DescribeRequest(collection: collection), timeout)
  }

  /// Asks for a sign of life.
  public func ping(timeout: Duration? = nil) async throws(VectorClientError) {
    let _: Pong = try await ask(Ping(), timeout)
  }

  private func ask<Reply: WireMessage>(
    _ request: some WireMessage, _ timeout: Duration?
  ) async throws(VectorClientError) -> Reply {
    try await connection.ask(
      request, bodyBytesMax: welcome.limits.frameBytesMax, timeout: timeout ?? requestTimeout)
  }

  /// A recall as it travels.
  private static func recallTarget(
    _ recall: Double?, effort: Int, exact: Bool
  ) throws(VectorClientError) -> RecallTarget? {
    guard let recall else { return nil }
    guard let target = RecallTarget(recall) else {
      throw VectorClientError(
        .invalidRequest,
        "the recall is \(recall); it must be from \(RecallTarget.range.lowerBound) to \(RecallTarget.range.upperBound), "
          + "and an exact search finds all")
    }
    guard effort == 0 else {
      throw VectorClientError(
        .invalidRequest,
        "a recall of \(recall) and an ef of \(effort) were both given; the one decides the other, so give one")
    }
    guard !exact else {
      throw VectorClientError(
        .invalidRequest, "a recall of \(recall) was given for an exact search, which finds all; give one of them")
    }
    return target
  }

  private func checkName(_ collection: String) throws(VectorClientError) {
    guard collection.utf8.count <= UInt16.max else {
      throw VectorClientError(.invalidRequest, "a collection's name has at most 65,535 bytes")
    }
  }

  private func check(_ modifiers: SearchModifiers, queryCount: Int) throws(VectorClientError) {
    if case .each(let filters) = modifiers.filters, filters.count != queryCount {
      throw VectorClientError(
        .invalidRequest, "\(filters.count) filters for \(queryCount) queries: give one for each, or one for all")
    }
    if let grouping = modifiers.grouping, grouping.attribute.utf8.count > UInt16.max {
      throw VectorClientError(.invalidRequest, "an attribute's name has at most 65,535 bytes")
    }
    if case .columns(let names) = modifiers.payload {
      guard !names.isEmpty, names.count <= HNSWConfiguration.payloadColumnsMax,
        names.allSatisfy({ $0.utf8.count <= UInt16.max })
      else {
        throw VectorClientError(
          .invalidRequest,
          "\(names.count) columns of payload: name from 1 to \(HNSWConfiguration.payloadColumnsMax), or ask for all")
      }
    }
    guard modifiers.offset >= 0 else {
      throw VectorClientError(.invalidRequest, "the offset is \(modifiers.offset); it must not be below 0")
    }
    try check(modifiers.freshness)
  }

  private func check(_ freshness: Freshness) throws(VectorClientError) {
    if let fault = freshness.fault { throw VectorClientError(.invalidRequest, fault) }
  }

  private func checkIDs(_ ids: [RecordID]) throws(VectorClientError) {
    guard ids.allSatisfy(\.isEncodable) else {
      throw VectorClientError(
        .invalidRequest, "an id has at most \(RecordID.encodedBytesMax) bytes and 1 to 32 columns")
    }
  }
}
