// The fourth part: searches while rows change.
//
// May use: Writes, ClosedLoop, PointTally, ReportSink, Figure.

import Foundation
import VectorIndex

/// Whether an engine answers from all that Postgres's log has up to a position, where it may wait so long for that.
typealias PositionProbe = (_ position: UInt64, _ waitMilliseconds: Int) throws -> Bool

/// An engine at one effort, and who writes to its table.
struct MixedContestant: Sendable {
  /// The engine's id in the report.
  var id: String
  /// The effort.
  var detail: String
  /// Before any row was changed.
  var recall: Double?
  var make: ClientMaker
  var makeWriter: @Sendable () throws -> any TableWriter
  /// Of an engine that follows, which may be behind; nil: a row is found from its commit on.
  var makeProbe: (@Sendable () throws -> PositionProbe)?
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

  /// What the rounds found.
  private struct Found {
    var tally = PointTally()
    var writes: [Double] = []
    var lag = FollowerLag()
    var fault: String?
    /// Why the figures say nothing of searches while so many rows change.
    var loss: String?
  }

  func run(_ one: MixedContestant, _ sink: ReportSink) throws {
    var found = Found()
    do {
      // What was written before is not to count here.
      found.loss = try lossBefore(one, sink)
      for round in 0..<rounds where found.loss == nil {
        try sink.checkpoint()
        sink.advance(to: Double(round) / Double(rounds))
        let loop = ClosedLoop(clients: clients, seconds: seconds, queryCount: queryCount)
        let (outcome, written) = try SteadyWriter.run(
          perSecond: writesPerSecond, base: base, seed: seed &+ UInt64(round), make: one.makeWriter
        ) { try loop.run(one.make) { sink.isInterrupted } }
        // What was cut short is no round.
        try sink.checkpoint()
        found.fault = found.fault ?? written.firstError ?? outcome.firstError
        if let makeProbe = one.makeProbe {
          guard let mark = written.mark else {
            found.loss = "the position of the log could not be asked for, so that nobody knows whether it kept up"
            break
          }
          let bound = FollowerLag.secondsMax
          guard let lag = try FollowerLag.seconds(to: mark, within: bound, makeProbe(), sink.checkpoint) else {
            found.loss = FollowerLag.lateness
            break
          }
          found.lag.rounds.append(lag)
        }
        found.tally.add(outcome)
        found.writes.append(written.perSecond)
      }
    } catch {
      try? report(one, found, sink)
      throw error
    }
    try report(one, found, sink)
  }

  /// Waits until an engine that follows has all that was written so far.
  /// - Returns: why it cannot be measured; nil: it can.
  private func lossBefore(_ one: MixedContestant, _ sink: ReportSink) throws -> String? {
    guard let makeProbe = one.makeProbe else { return nil }
    let mark = SteadyWriter.Mark(position: try one.makeWriter().logPosition(), taken: ContinuousClock.now)
    let seconds = FollowerLag.secondsMaxBefore
    guard try FollowerLag.seconds(to: mark, within: seconds, makeProbe(), sink.checkpoint) == nil else { return nil }
    return "what had been written before was not in its answers within \(Figure.seconds(seconds))"
  }

  private func report(_ one: MixedContestant, _ found: Found, _ sink: ReportSink) throws {
    let rate = Figure.tick(writesPerSecond)
    var notes: [String] = []
    if let fault = found.fault { notes.append("\(one.id), while rows changed: \(fault)") }
    var points: [MixedPoint] = []
    if let loss = found.loss {
      notes.append("\(one.id), at \(rate) rows a second: \(loss). Its figures are left out.")
    } else if !found.tally.isEmpty {
      let about = [one.recall.map { _ in "the recall is of before rows changed" }, found.lag.sentence].compactMap { $0 }
      points.append(
        MixedPoint(
          engine: one.id, clients: clients, writesPerSecondAsked: writesPerSecond,
          writesPerSecond: median(found.writes),
          qps: found.tally.spread, latency: found.tally.allLatencies, recall: one.recall,
          detail: ([one.detail] + about).joined(separator: "; ")))
      if let note = found.lag.note { notes.append("\(one.id), at \(rate) rows a second: \(note)") }
    }
    guard !points.isEmpty || !notes.isEmpty else { return }
    let (allPoints, allNotes) = (points, notes)
    try sink.add { report in
      report.mixed += allPoints
      report.notes += allNotes
    }
  }
}

/// How far an engine that follows was behind when a round's writer had ended: the time until a search was answered that waits for all
/// that was written.
struct FollowerLag: Sendable, Equatable {
  /// Seconds of each round.
  var rounds: [Double] = []

  /// Who is further behind is not measured.
  static let secondsMax = 10.0
  /// For what was written before the first round, perhaps at a rate that it did not keep up with.
  static let secondsMaxBefore = 60.0
  /// From here on a note says so.
  static let secondsToTell = 1.0
  /// Of one question, so that an interruption is not waited for.
  private static let waitMilliseconds = 500

  static let lateness =
    "a search that waits for what a round's writer had written was not answered within \(Figure.seconds(secondsMax)) of the writer's end"

  /// - checkpoint: called at least twice a second; throws to give up.
  /// - Returns: seconds from when the position was taken until a search was answered that waits for it; nil: not within `bound`.
  static func seconds(
    to mark: SteadyWriter.Mark, within bound: Double, _ isReached: PositionProbe, _ checkpoint: () throws -> Void
  ) throws -> Double? {
    let clock = ContinuousClock()
    while true {
      try checkpoint()
      let asked = clock.now
      let left = bound - (asked - mark.taken) / .seconds(1)
      guard left > 0 else { return nil }
      let milliseconds = min(waitMilliseconds, max(1, Int(left * 1_000)))
      if try isReached(mark.position, milliseconds) { return (clock.now - mark.taken) / .seconds(1) }
      // A collection that is stale is not waited for: it says so at once.
      if clock.now - asked < .milliseconds(milliseconds / 2) { usleep(50_000) }
    }
  }

  /// What a figure's detail says; nil where nothing was behind what.
  var sentence: String? {
    guard let most = rounds.max() else { return nil }
    return """
      when a round's writer had ended, a search that waits for all that was written was answered after \
      \(Figure.duration(microseconds: median(rounds) * 1e6)) (median; at most \(Figure.duration(microseconds: most * 1e6)))
      """
  }

  /// Nil where the engine kept up.
  var note: String? {
    guard let most = rounds.max(), most > Self.secondsToTell else { return nil }
    return """
      it did not keep up: when a round's writer had ended, up to \(Figure.duration(microseconds: most * 1e6)) went by until \
      all that was written was in its answers. Searches were answered from rows as they had been before.
      """
  }
}
