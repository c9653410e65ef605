// Speeds at equal recall: `RecallCurve` and what is made of it.

import Testing

@testable import Bench

/// A point whose latency follows from its speed.
func curvePoint(_ recall: Double, qps: Double, value: Double = 0) -> CurvePoint {
  CurvePoint(
    effort: "ef", value: value, recall: recall, qps: Spread([qps]),
    latency: Latencies(p50: 1e6 / qps, p95: 2e6 / qps, p99: 3e6 / qps, max: 9e6 / qps), errors: 0)
}

struct InterpolationTests {
  @Test func frontierLeavesOutWhatIsSlowerAndFindsLess() {
    let curve = RecallCurve([
      curvePoint(0.99, qps: 100), curvePoint(0.9, qps: 400), curvePoint(0.95, qps: 90), curvePoint(0.8, qps: 400),
      curvePoint(0.9, qps: 300), curvePoint(0.7, qps: 500),
    ])
    #expect(curve.frontier.map(\.recall) == [0.7, 0.9, 0.99])
    #expect(curve.frontier.map(\.qps.median) == [500, 400, 100])
  }

  @Test func logarithmOfSpeedIsLinearInRecall() throws {
    let curve = RecallCurve([curvePoint(0.9, qps: 400), curvePoint(0.98, qps: 100)])
    #expect(abs(try #require(curve.qps(at: 0.94)) - 200) < 1e-9)
    #expect(abs(try #require(curve.p50(at: 0.94)) - 5_000) < 1e-6)
    #expect(abs(try #require(curve.p99(at: 0.94)) - 15_000) < 1e-6)
    #expect(abs(try #require(curve.qps(at: 0.92)) - 400 / 2.0.squareRoot()) < 1e-9)
  }

  @Test func aPointThatIsThereIsTaken() {
    let curve = RecallCurve([curvePoint(0.9, qps: 400), curvePoint(0.98, qps: 100)])
    #expect(curve.qps(at: 0.9) == 400)
    #expect(curve.qps(at: 0.98) == 100)
  }

  @Test func nothingIsExtrapolated() {
    let curve = RecallCurve([curvePoint(0.9, qps: 400), curvePoint(0.98, qps: 100)])
    #expect(curve.qps(at: 0.89) == nil)
    #expect(curve.qps(at: 0.981) == nil)
    #expect(curve.fastest(reaching: 0.5)?.qps.median == 400)
    #expect(curve.fastest(reaching: 0.981) == nil)
    #expect(RecallCurve([]).qps(at: 0.9) == nil)
  }

  @Test func figuresThatAreNoNumbersAreNoPoints() {
    let curve = RecallCurve([curvePoint(.nan, qps: 400), curvePoint(0.9, qps: .infinity), curvePoint(0.9, qps: 7)])
    #expect(curve.frontier.map(\.qps.median) == [7])
  }

  @Test func matchedRecallSaysWhatWasReachedAndWhatIsALowerBound() {
    let series = [
      Series(engine: "a", clients: 2, points: [curvePoint(0.92, qps: 400), curvePoint(0.96, qps: 100)]),
      Series(engine: "exact", clients: 2, points: [curvePoint(1, qps: 10)]),
    ]
    let matched = MatchedRecall.all(of: series)
    #expect(matched.map(\.engine) == ["a", "a", "a", "exact", "exact", "exact"])
    #expect(matched.map(\.recall) == [0.9, 0.95, 0.99, 0.9, 0.95, 0.99])
    #expect(matched.map(\.reached) == [true, true, false, true, true, true])
    #expect(matched.map(\.isAtLeast) == [true, false, false, true, true, true])
    #expect(matched[0].qps == 400)
    #expect(matched[2].qps == nil && matched[2].p50 == nil && matched[2].p99 == nil)
    // Of the point that is the bound.
    #expect(matched[0].p99 == 7_500)
    #expect(matched[5].qps == 10)
    #expect(matched.allSatisfy { $0.clients == 2 })
  }
}
