// The fourth part: searches while rows change.
//
// May use: Writes, ClosedLoop, PointTally, ReportSink.

import VectorIndex

/// An engine at one effort, and who writes to its table.
struct MixedContestant: Sendable {
  /// The engine's id in the report.
  var id: String
  /// The effort.
  var detail: String
  /// Before any row was changed.
  var recall: Double?
  var make: ClientMaker
  var makeWriter: @Sendable () throws -> RowWriter
}

struct MixedPart {
  var base: VectorFile
  var queryCount: Int
  var clients: Int
  /// Rows a second, each in a transaction of its own.
  var writesPerSecond: Double
  /// Of a round.
  var seconds: Double
  var rounds: Int
  var seed: UInt64

  var units: Double { seconds * Double(rounds) }

  func run(_ one: MixedContestant, _ sink: ReportSink) throws {
    var tally = PointTally()
    var writes: [Double] = []
    var fault: String?
    do {
      for round in 0..<rounds {
        try sink.checkpoint()
        sink.advance(to: Double(round) / Double(rounds))
        let loop = ClosedLoop(clients: clients, seconds: seconds, queryCount: queryCount)
        let (outcome, written) = try SteadyWriter.run(
          perSecond: writesPerSecond, base: base, seed: seed &+ UInt64(round), make: one.makeWriter
        ) { try loop.run(one.make) }
        tally.add(outcome)
        writes.append(written.perSecond)
        fault = fault ?? written.firstError ?? outcome.firstError
      }
    } catch {
      try? report(one, tally, writes, fault, sink)
      throw error
    }
    try report(one, tally, writes, fault, sink)
  }

  private func report(
    _ one: MixedContestant, _ tally: PointTally, _ writes: [Double], _ fault: String?, _ sink: ReportSink
  ) throws {
    guard !tally.isEmpty else { return }
    let point = MixedPoint(
      engine: one.id, clients: clients, writesPerSecondAsked: writesPerSecond, writesPerSecond: median(writes),
      qps: tally.spread, latency: tally.allLatencies, recall: one.recall, detail: one.detail)
    try sink.add { report in
      report.mixed.append(point)
      if let fault { report.notes.append("\(one.id), while rows changed: \(fault)") }
    }
  }
}
