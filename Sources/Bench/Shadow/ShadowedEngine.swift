// The engine's side of a shadow run: one connection, one search at a time, never answered from an older state than Postgres's.
//
// May use: EngineConnection, QuestionOptions, VectorWire.

import VectorIndex
import VectorWire

/// Used by one thread at a time.
final class ShadowedEngine {
  let collection: CollectionDescription
  /// What filters may name.
  let attributes: AttributeSchema
  /// Whether the collection follows Postgres, so that it can be waited for.
  let follows: Bool
  let serverName: String
  private let connection: EngineConnection
  private let questions: QuestionOptions

  /// How long the engine may need to come up to where Postgres is: well below its deadline for a request.
  private static let waitMilliseconds = 20_000

  /// - Throws: ``BenchError``: no server, no such collection, another dimension.
  init(_ questions: QuestionOptions, dimension: Int) throws(BenchError) {
    self.questions = questions
    connection = try EngineConnection(host: questions.server.host, port: questions.server.port)
    serverName = connection.serverName
    collection = try questions.collection(on: connection, queryDimension: dimension)
    let described: Described = try connection.ask(DescribeRequest(collection: collection.name))
    attributes = described.attributes
    let statistics: StatisticsReply = try connection.ask(StatisticsRequest(collection: collection.name))
    let state = statistics.entries.first { $0.name == "follow_state" }?.value
    follows = state.map { $0 != .text("none") } ?? false
  }

  /// Waits until the collection has everything that had been committed when this is called: after a read of Postgres, everything that the read
  /// saw. From then on no answer is older, since a collection only goes forward.
  ///
  /// What is asked for that is a query as the user has it, with its own filter, so that it passes where searches must name a tenant; for
  /// one row.
  /// - query: the one that is asked next. It is waited with only where there is no other, or where the other is refused.
  /// - other: another one, so that the next one's latency is not that of a question that was asked the moment before.
  /// - Throws: ``BenchError`` where it cannot be waited for.
  func catchUp(_ query: LoggedQuery, with other: LoggedQuery?) throws(BenchError) {
    guard follows else { return }
    if let other, other.vector.allSatisfy(\.isFinite), try wait(with: other) { return }
    _ = try wait(with: query)
  }

  /// - Returns: whether it was waited; not so where the query is refused for what it is.
  private func wait(with query: LoggedQuery) throws(BenchError) -> Bool {
    let request = try questions.request(query, freshness: .strong(waitMilliseconds: Self.waitMilliseconds), k: 1)
    switch try ask(request).result {
    case .success: return true
    case .failure(let error) where Self.isAboutPosition(error.code):
      throw BenchError(
        .engineRefused,
        "The collection \"\(collection.name)\" cannot be waited for, so its answers could be older than Postgres's "
          + "(\(error.code)): \(error.message).")
    // What is wrong with the query itself, its own search will say.
    case .failure: return false
    }
  }

  /// - Returns: what was found, or why not, and the nanoseconds that it took.
  func search(_ query: LoggedQuery) throws(BenchError) -> (result: Result<SearchReply, WireError>, nanoseconds: Int64) {
    try ask(try questions.request(query))
  }

  private func ask(
    _ request: SearchRequest
  ) throws(BenchError) -> (result: Result<SearchReply, WireError>, nanoseconds: Int64) {
    let frame = [UInt8](request.frame(requestID: 1).readableBytesView)
    let sent = MonotonicClock.nanoseconds()
    try connection.send(frame)
    let reply = try connection.receive()
    let nanoseconds = MonotonicClock.nanoseconds() - sent
    guard reply.header.kind == .error else { return (.success(try connection.reply(in: reply)), nanoseconds) }
    let error: WireError
    do throws(WireError) { error = try ErrorReply(frame: reply).error } catch {
      throw BenchError(.engineRefused, "The server's error cannot be read: \(error.message).")
    }
    guard !Self.endsTheRun(error.code) else {
      throw BenchError(
        .engineRefused, "The server \(questions.server) refuses (\(error.code)): \(error.message).")
    }
    return (.failure(error), nanoseconds)
  }

  private static func isAboutPosition(_ code: WireError.Code) -> Bool {
    [.positionNotReached, .positionForeign, .strongUnavailable, .deadlineExceeded].contains(code)
  }

  /// Whether every other query would come to the same.
  private static func endsTheRun(_ code: WireError.Code) -> Bool {
    [.unknownCollection, .dimensionMismatch, .shuttingDown, .connectionLimit, .stalled].contains(code)
  }
}
