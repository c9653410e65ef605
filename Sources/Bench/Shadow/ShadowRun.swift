// The queries of one `bench shadow`, each asked of Postgres and of the engine, and held against each other.
//
// May use: ExactPostgres, ShadowedEngine, Agreement, ShadowSummary, ReportSink.

import PostgresSource
import VectorIndex
import VectorWire

/// Used by one thread.
final class ShadowRun {
  private let postgres: ExactPostgres
  private let engine: ShadowedEngine
  private let questions: QuestionOptions
  private let bounds: ShadowBounds
  private(set) var summary = ShadowSummary()
  /// What the engine is waited for with: another question than the next one, whose rows would be warm then.
  private var other: LoggedQuery?

  init(_ postgres: ExactPostgres, _ engine: ShadowedEngine, _ questions: QuestionOptions, _ bounds: ShadowBounds) {
    self.postgres = postgres
    self.engine = engine
    self.questions = questions
    self.bounds = bounds
  }

  /// Asks all queries, and puts what came of them into the report; also of some, where the run is ended before.
  /// - numbers: of the queries in their file or log.
  func run(_ queries: [LoggedQuery], numbers: [Int], _ sink: ReportSink) throws {
    sink.expect(units: Double(queries.count))
    sink.begin("comparing", units: Double(queries.count))
    do {
      try checkPlans(queries)
      for (i, query) in queries.enumerated() {
        try sink.checkpoint()
        other = Self.other(than: i, of: queries)
        try take(query, numbers[i])
        sink.advance(to: Double(i + 1) / Double(queries.count))
      }
    } catch {
      if summary.count > 0 { try report(to: sink) }
      throw error
    }
    try report(to: sink)
  }

  /// The query before; for the first the last, which is asked latest. nil where there is one alone.
  static func other(than number: Int, of queries: [LoggedQuery]) -> LoggedQuery? {
    queries.count > 1 ? queries[number > 0 ? number - 1 : queries.count - 1] : nil
  }

  private func report(to sink: ReportSink) throws {
    let (result, refusals) = (summary.result(bounds), summary.refusals)
    try sink.add {
      $0.shadow = result
      $0.notes += refusals
    }
  }

  /// Whether Postgres answers exactly, without a filter and with one: the plans may differ. What is asked here also warms caches.
  private func checkPlans(_ queries: [LoggedQuery]) throws {
    let filtered = queries.first { text(of: $0) != nil }
    for query in [queries.first { text(of: $0) == nil }, filtered].compactMap(\.self) {
      guard query.vector.allSatisfy(\.isFinite), let condition = try? condition(of: query) else { continue }
      let k = query.k ?? questions.k
      try postgres.checkPlan(query.vector, k: k, condition: condition.sql)
      _ = try postgres.nearest(query.vector, k: k, condition: condition.sql)
      _ = try engine.search(query)
    }
  }

  // MARK: One query

  private func take(_ query: LoggedQuery, _ number: Int) throws {
    switch try compare(query, isTimed: true) {
    case .failure(let error): summary.addRefused(number, error)
    case .success(let first) where first.isComplete || !engine.follows:
      summary.add(number, first, wasSettled: false)
    case .success(let first):
      // Between the two reads somebody may have written: what is still different now is different.
      guard case .success(let second) = try compare(query, isTimed: false) else {
        return summary.add(number, first, wasSettled: false)
      }
      summary.add(number, second, wasSettled: second.isComplete)
    }
  }

  private func compare(_ query: LoggedQuery, isTimed: Bool) throws -> Result<Agreement, WireError> {
    guard query.vector.allSatisfy(\.isFinite) else {
      return .failure(WireError(.notFinite, "the query holds NaN or infinity, which neither side takes"))
    }
    let condition: Condition
    do throws(IndexError) { condition = try self.condition(of: query) } catch {
      // The engine's own words, with its code.
      guard case .failure(let refusal) = try engine.search(query).result else {
        throw BenchError(.unfitData, "A filter is none to us, and the engine takes it: \(error.message).")
      }
      return .failure(refusal)
    }
    let k = query.k ?? questions.k
    // One look at the table for both of its statements. The engine is asked in between, when it has come up to that look.
    try postgres.begin()
    let began = MonotonicClock.nanoseconds()
    let exact = try postgres.nearest(query.vector, k: k, condition: condition.sql)
    if isTimed { summary.exactLatency.record(nanoseconds: MonotonicClock.nanoseconds() - began) }
    try engine.catchUp(query, with: other)
    let (result, nanoseconds) = try engine.search(query)
    let reply: SearchReply
    switch result {
    case .failure(let error):
      try postgres.end()
      return .failure(error)
    case .success(let found): reply = found
    }
    if isTimed { summary.engineLatency.record(nanoseconds: nanoseconds) }
    let answer = (reply.answers.first?.results ?? []).map { RankedRow(id: $0.id, distance: Double($0.distance)) }
    var known = Dictionary(exact.map { ($0.id, $0.distance) }, uniquingKeysWith: min)
    let unknown = answer.map(\.id).filter { known[$0] == nil }
    if !unknown.isEmpty {
      known.merge(try postgres.distances(query.vector, of: unknown, condition: condition.sql)) { first, _ in first }
    }
    try postgres.end()
    return .success(Agreement(exact: exact, answer: answer, known: known, k: k))
  }

  // MARK: Filters

  /// A filter in SQL; nil: none.
  private struct Condition {
    var sql: String?
  }

  private func text(of query: LoggedQuery) -> String? { query.filter ?? questions.filter }

  /// - Throws: `IndexError` for a text that the engine's filter language, with the collection's attributes, does not have.
  private func condition(of query: LoggedQuery) throws(IndexError) -> Condition {
    guard let text = text(of: query) else { return Condition(sql: nil) }
    return Condition(sql: try Filter(parsing: text, schema: engine.attributes).sql)
  }
}
