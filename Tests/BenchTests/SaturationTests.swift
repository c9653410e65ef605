// When a server counts as full, and when a sweep ends.

import Testing
import VectorWire

@testable import Bench

struct SaturationTests {
  /// A step whose requests took a millisecond each, but for some.
  private func step(
    rate: Double? = nil, clients: Int = 8, due: Int = 1_000, answered: Int, refused: Int = 0, unanswered: Int = 0,
    milliseconds: Int64 = 1
  ) -> LoadMeasurement {
    var tally = LoadTally()
    tally.due = due
    tally.answered = answered
    tally.unanswered = unanswered
    for _ in 0..<refused { tally.refuse(WireError(.overloaded, "the queue is full")) }
    for _ in 0..<due { tally.latency.record(nanoseconds: milliseconds * 1_000_000) }
    let step = LoadStep(
      question: .search, arrivals: rate.map { .open(rate: $0, spacing: .even) } ?? .closed, connections: clients,
      inFlightMax: 1, warmUpSeconds: 0, seconds: 1, threads: 1, seed: 1)
    return LoadMeasurement(step: step, tally: tally)
  }

  @Test func aRateIsTooMuchWhenTheServerFallsBehindRefusesOrIsLate() {
    let saturation = Saturation(latencyMax: 10_000)
    #expect(!saturation.isFull(atRate: step(rate: 1_000, answered: 1_000)))
    #expect(!saturation.isFull(atRate: step(rate: 1_000, answered: 980)))
    #expect(saturation.isFull(atRate: step(rate: 1_000, answered: 979)))
    #expect(!saturation.isFull(atRate: step(rate: 1_000, answered: 999, refused: 1)))
    #expect(saturation.isFull(atRate: step(rate: 1_000, answered: 998, refused: 2)))
    #expect(saturation.isFull(atRate: step(rate: 1_000, answered: 998, refused: 1, unanswered: 1)))
    #expect(!saturation.isFull(atRate: step(rate: 1_000, answered: 1_000, milliseconds: 9)))
    #expect(saturation.isFull(atRate: step(rate: 1_000, answered: 1_000, milliseconds: 11)))
  }

  @Test func clientsAreEnoughWhenTwoStepsBringNoMore() {
    var saturation = Saturation(latencyMax: 100_000)
    var full: [Bool] = []
    for (clients, rate) in [(1, 1_000), (2, 1_900), (4, 1_950), (8, 2_300), (16, 2_310), (32, 2_290)] {
      #expect(!saturation.isOver)
      full.append(saturation.take(clients: step(clients: clients, answered: rate)))
    }
    // 4 brought too little, and 8 showed that it was chance.
    #expect(full == [false, false, true, false, true, true])
    #expect(saturation.isOver)
    #expect(saturation.best?.rate == 2_310)
    #expect(saturation.best?.connections == 16)
  }

  @Test func lateOrRefusedClientsEndASweepAtOnce() {
    var late = Saturation(latencyMax: 10_000)
    let isOver1 = late.take(clients: step(clients: 1, answered: 1_000))
    #expect(!isOver1)
    let isOver2 = late.take(clients: step(clients: 2, answered: 2_000, milliseconds: 20))
    #expect(isOver2)
    #expect(late.isOver)
    var refused = Saturation(latencyMax: 10_000)
    let isOver3 = refused.take(clients: step(clients: 1, answered: 1_000))
    #expect(!isOver3)
    let isOver4 = refused.take(clients: step(clients: 2, answered: 1_500, refused: 500))
    #expect(isOver4)
    #expect(refused.isOver)
  }

  @Test func ratesOfASweepGoThroughWhatTheServerCanDo() {
    #expect(Saturation.rates(most: 12_345) == [1_230, 3_090, 6_170, 8_640, 9_880, 11_100, 12_300, 13_600])
    let few = Saturation.rates(most: 3.21)
    #expect(few == few.sorted())
    #expect(Set(few).count == Saturation.shares.count)
    #expect(few.allSatisfy { $0 > 0 })
  }

  @Test func theKneeIsBeforeTheFirstStepThatWasTooMuch() throws {
    let steps = [100, 400, 200, 300].map { rate in
      (measurement: step(rate: rate, answered: 1_000), isFull: rate == 300)
    }
    let knee = try #require(Saturation.knee(steps))
    #expect(knee.contains("between 200 requests") && knee.contains("and 300 requests"))
    #expect(try #require(Saturation.knee(Array(steps[...0]))).contains("beyond 100 requests"))
    #expect(try #require(Saturation.knee([(step(rate: 50, answered: 1), true)])).contains("Every rate"))
    #expect(Saturation.knee([(step(answered: 1), true)]) == nil)
    #expect(Saturation.knee([]) == nil)
  }

  @Test func aPointSaysWhatFailedAndWhoWasTheLimit() throws {
    var measurement = step(rate: 1_000, answered: 900, refused: 90, unanswered: 10)
    measurement.tally.processorSeconds = 0.5
    measurement.tally.busiestShare = 0.5
    measurement.serverProcessorSeconds = 0.99
    var point = measurement.point(isSaturated: true)
    #expect(point.errors == ["overloaded": 90, "unanswered": 10])
    #expect(point.targetRate == 1_000)
    #expect(point.inFlight == nil)
    #expect(point.achievedRate == 900)
    #expect(abs(try #require(point.serverCPUSecondsPerQuery) - 0.001) < 1e-12)
    #expect(point.saturated && !point.limitedByDriver)
    #expect(point.note?.contains("the queue is full") == true)

    measurement.tally.busiestShare = 0.95
    point = measurement.point(isSaturated: false)
    #expect(point.limitedByDriver)
    #expect(point.note?.contains("95 %") == true)

    // Late by more than a quarter of the latency, and by more than a millisecond.
    measurement.tally.busiestShare = 0.1
    measurement.tally.lateness.record(nanoseconds: 900_000)
    #expect(!measurement.isLimitedByDriver)
    measurement.tally.lateness.record(nanoseconds: 1_100_000)
    #expect(measurement.isLimitedByDriver)
    for _ in 0..<1_000 { measurement.tally.latency.record(nanoseconds: 8_000_000) }
    #expect(!measurement.isLimitedByDriver)
  }
}
