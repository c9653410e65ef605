// What the queries of a shadow run come to.

import Testing
import VectorIndex
import VectorWire

@testable import Bench

struct ShadowSummaryTests {
  /// An answer that lacks the last `missing` of ten rows, and has distances that are off by `error`.
  private func agreement(missing: Int = 0, error: Double = 0, reversed: Bool = false) -> Agreement {
    let exact = (1...10).map { RankedRow(id: .int64(Int64($0)), distance: Double($0) / 10) }
    var answer = exact.dropLast(missing).map { RankedRow(id: $0.id, distance: $0.distance + error) }
    if reversed { answer.reverse() }
    let known = Dictionary(uniqueKeysWithValues: exact.map { ($0.id, $0.distance) })
    return Agreement(exact: exact, answer: answer, known: known, k: 10)
  }

  @Test func figuresAreOverAllQueries() {
    var summary = ShadowSummary()
    summary.add(0, agreement(), wasSettled: false)
    summary.add(1, agreement(missing: 2, error: 0.01), wasSettled: false)
    summary.add(2, agreement(), wasSettled: true)
    summary.add(3, agreement(missing: 1), wasSettled: false)
    let result = summary.result(ShadowBounds())
    #expect(result.queries == 4)
    #expect(abs(result.overlapMean - 0.925) < 1e-12)
    #expect(result.overlapLeast == 0.8)
    #expect(
      result.overlaps == [
        .init(overlap: 0.8, queries: 1), .init(overlap: 0.9, queries: 1), .init(overlap: 1, queries: 2),
      ])
    #expect(result.missing == 3)
    #expect(result.extra == 0)
    #expect(result.settledByAskingAgain == 1)
    #expect(abs(result.scoreErrorMost - 0.01) < 1e-12)
    #expect(abs(result.scoreErrorMean - 8 * 0.01 / 37) < 1e-12)
    #expect(result.errors.isEmpty)
    #expect(result.thresholds.isEmpty)
    #expect(result.worst.map(\.query) == [1, 3])
    #expect(result.worst[0].missing == ["9", "10"])
  }

  @Test func aQueryThatWasRefusedHasNoOverlap() {
    var summary = ShadowSummary()
    summary.add(0, agreement(), wasSettled: false)
    summary.addRefused(1, WireError(.invalidFilter, "no filter"))
    summary.addRefused(2, WireError(.invalidFilter, "another"))
    let result = summary.result(ShadowBounds(overlapMin: 0.3))
    #expect(abs(result.overlapMean - 1.0 / 3) < 1e-12)
    #expect(result.overlapLeast == 0)
    #expect(result.errors == ["invalidFilter": 2])
    #expect(summary.refusals.count == 1)
    #expect(summary.refusals.first?.contains("2 queries") == true)
    #expect(summary.refusals.first?.contains("no filter") == true)
    // Kept, but for the one that nobody has to ask for.
    #expect(result.thresholds.map(\.passed) == [true, false])
  }

  @Test func thresholdsAreNamedAsTheOptions() {
    var summary = ShadowSummary()
    summary.add(0, agreement(missing: 1, error: 0.01), wasSettled: false)
    summary.add(1, agreement(reversed: true), wasSettled: false)
    summary.engineLatency.record(nanoseconds: 5_000_000)
    let kept = summary.result(
      ShadowBounds(overlapMin: 0.95, rankDistanceMax: 2.5, scoreErrorMax: 0.011, p99MillisecondsMax: 5.1))
    #expect(
      kept.thresholds.map(\.name) == ["--min-overlap", "--max-rank-distance", "--max-score-error", "--max-p99-ms"])
    #expect(kept.thresholds.allSatisfy { $0.passed })
    let broken = summary.result(
      ShadowBounds(overlapMin: 0.96, rankDistanceMax: 2.4, scoreErrorMax: 0.009, p99MillisecondsMax: 4.9))
    #expect(broken.thresholds.allSatisfy { !$0.passed })
    #expect(broken.rankDistanceMost == 5)
    #expect(broken.rankDistanceMean == 2.5)
  }

  @Test func whatOnlyStandsInAnotherOrderDiffersLess() {
    var summary = ShadowSummary()
    summary.add(5, agreement(reversed: true), wasSettled: false)
    summary.add(6, agreement(missing: 1), wasSettled: false)
    summary.add(7, agreement(), wasSettled: false)
    #expect(summary.result(ShadowBounds()).worst.map(\.query) == [6, 5])
  }
}
