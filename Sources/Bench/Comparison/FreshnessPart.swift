// The third part: how long after it was sent a new row is found.
//
// May use: Writes, LatencyHistogram, ReportSink; VectorWire and EngineConnection, for searches that wait.

import NIOCore
import VectorIndex
import VectorWire

/// An engine whose rows are written to, one after the other.
struct FreshContestant {
  /// The engine's id in the report.
  var id: String
  /// Writes rows; of one thread.
  var writer: RowWriter
  /// Searches for a vector so that what the writer has committed is in the answer, and returns the rows.
  var find: (_ vector: [Float]) throws -> [Int64]
}

struct FreshnessPart {
  var changes: Int
  var base: VectorFile
  var seed: UInt64

  static let inserting = "INSERT sent to COMMIT returned"
  static let finding = "COMMIT returned to a search with the row returned"
  static let both = "INSERT sent to a search with the row returned"

  /// Inserts rows with keys from `first` on, and looks for each at once.
  func run(_ one: FreshContestant, firstKey first: Int64, _ sink: ReportSink) throws {
    var vectors = NewVectors(like: base, seed: seed)
    var spans = [
      (Self.both, LatencyHistogram()), (Self.inserting, LatencyHistogram()), (Self.finding, LatencyHistogram()),
    ]
    var missed = 0
    let clock = ContinuousClock()
    func report() throws {
      let done = spans[0].1.count
      guard done > 0 else { return }
      let results = spans.map { span, histogram in
        FreshnessResult(
          engine: one.id, changes: done, p50Milliseconds: histogram.microseconds(atPercentile: 50) / 1_000,
          p99Milliseconds: histogram.microseconds(atPercentile: 99) / 1_000, span: span)
      }
      let note =
        missed == 0
        ? nil
        : "Of \(done) new rows, \(one.id) did not find \(missed) by their own vectors at the effort that was asked for."
      try sink.add { report in
        report.freshness += results
        if let note { report.notes.append(note) }
      }
    }
    do {
      // The first ones find statements unplanned and caches cold.
      for i in -Self.warmChanges..<changes {
        try sink.checkpoint()
        sink.advance(to: Double(max(i, 0)) / Double(changes))
        let key = first + Int64(i + Self.warmChanges)
        let vector = vectors.next()
        let sent = clock.now
        try one.writer.insert(key, vector)
        let committed = clock.now
        let found = try one.find(vector)
        let returned = clock.now
        guard i >= 0 else { continue }
        spans[0].1.record(nanoseconds: (returned - sent).nanoseconds)
        spans[1].1.record(nanoseconds: (committed - sent).nanoseconds)
        spans[2].1.record(nanoseconds: (returned - committed).nanoseconds)
        if !found.contains(key) { missed += 1 }
      }
    } catch {
      try? report()
      throw error
    }
    try report()
  }

  static let warmChanges = 5
  /// Keys that a run takes.
  var keys: Int64 { Int64(changes + Self.warmChanges) }
}

/// Searches in an engine that follows, for what has just been committed. Used by one thread.
final class FreshEngineClient {
  private let connection: EngineConnection
  private let access: EngineAccess
  private let k: Int
  private let recallTarget: Double

  /// How long an answer may wait for its position.
  private static let waitMilliseconds = 30_000

  init(_ access: EngineAccess, k: Int, recallTarget: Double) throws(BenchError) {
    connection = try EngineConnection(host: access.host, port: access.port)
    self.access = access
    self.k = k
    self.recallTarget = recallTarget
  }

  /// - position: of Postgres's log, that the answer must not be older than.
  func find(_ vector: [Float], after position: UInt64) throws(BenchError) -> [Int64] {
    let reply: SearchReply = try connection.ask(request(vector, position, Self.waitMilliseconds))
    return reply.answers[0].results.map { access.numbers.number(of: $0.id) }
  }

  /// Whether a search is answered from all that the log has up to a position, where it may wait so long for that.
  func hasReached(_ position: UInt64, like vector: [Float], waitMilliseconds: Int) throws(BenchError) -> Bool {
    try connection.send(Array(request(vector, position, waitMilliseconds).frame(requestID: 1).readableBytesView))
    let frame = try connection.receive()
    if frame.header.kind == .error, let refusal = try? ErrorReply(frame: frame),
      refusal.error.code == .positionNotReached
    {
      return false
    }
    let _: SearchReply = try connection.reply(in: frame)
    return true
  }

  private func request(_ vector: [Float], _ position: UInt64, _ waitMilliseconds: Int) -> SearchRequest {
    var terms = SearchTerms(
      collection: access.collection, k: k, recallTarget: RecallTarget(recallTarget))
    // Whose log it is, is not asked: there is one server.
    terms.modifiers.freshness = .position(
      Position(systemID: 0, appliedLSN: position, timeline: 0), waitMilliseconds: waitMilliseconds)
    guard let vectors = QueryVectors([vector]) else { preconditionFailure("one vector has one length") }
    return SearchRequest(terms, vectors: vectors)
  }
}
