// When requests are due.

import TestSupport
import Testing

@testable import Bench

struct ArrivalScheduleTests {
  private func times(
    _ count: Int, rate: Double, _ spacing: ArrivalSpacing, seed: UInt64 = 1, thread: Int = 0, threads: Int = 1
  ) -> [Int64] {
    Array(ArrivalSchedule(rate: rate, spacing: spacing, seed: seed, thread: thread, threads: threads).prefix(count))
  }

  @Test func evenArrivalsAreAtEqualGapsWithoutDrift() {
    #expect(times(4, rate: 1_000, .even) == [0, 1_000_000, 2_000_000, 3_000_000])
    // A gap that is no whole number of nanoseconds adds up to no error.
    let late = Array(ArrivalSchedule(rate: 3, spacing: .even, seed: 1).prefix(3_000_001))
    #expect(abs(late[3_000_000] - 1_000_000_000_000_000) <= 1)
  }

  @Test func ratesThatAreNextToNothingDoNoHarm() {
    #expect(times(3, rate: 1e-11, .even) == [0, 4_000_000_000_000_000_000, 4_000_000_000_000_000_000])
    let late = times(50, rate: 1e-11, .poisson)
    #expect(late == late.sorted() && late.last == 4_000_000_000_000_000_000)
  }

  @Test(arguments: ["1e-11", "0", "-1", "nan", "inf", "1e8", "100,0.0009", "x"])
  func ratesThatAreNoneAreNamed(rate: String) throws {
    let known = ["--collection", "docs", "--queries", "q.npy"]
    #expect(throws: Never.self) { try LoadCommand.parse(known + ["--rate", "0.001,10000000"]) }
    let error = #expect(throws: (any Error).self) { try LoadCommand.parse(known + ["--rate=\(rate)"]) }
    #expect(LoadCommand.message(for: try #require(error)).contains("--rate: "))
  }

  @Test func threadsShareAnEvenRate() {
    let all = times(12, rate: 700, .even)
    let shared = (0..<3).flatMap { times(4, rate: 700, .even, thread: $0, threads: 3) }.sorted()
    for (one, other) in zip(all, shared) { #expect(abs(one - other) <= 1) }
  }

  @Test(arguments: testSeeds) func poissonArrivalsHaveExponentialGaps(seed: UInt64) {
    let count = 100_000
    let arrivals = times(count, rate: 5_000, .poisson, seed: seed).map { Double($0) / 1e9 }
    #expect(arrivals == arrivals.sorted())
    let gaps = zip(arrivals.dropFirst(), arrivals).map { $0 - $1 }
    let mean = gaps.reduce(0, +) / Double(gaps.count)
    // Mean and deviation of an exponential are equal; 5 standard errors.
    let error = 5 / Double(count).squareRoot()
    #expect(abs(mean * 5_000 - 1) < error)
    let deviation = (gaps.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(gaps.count)).squareRoot()
    #expect(abs(deviation * 5_000 - 1) < 2 * error)
    // A share of 1 − 1/e is shorter than the mean.
    let short = Double(gaps.count { $0 < mean }) / Double(gaps.count)
    #expect(abs(short - 0.632_12) < error)
  }

  @Test func aSeedRepeatsAndThreadsDiffer() {
    #expect(times(50, rate: 10, .poisson, seed: 7) == times(50, rate: 10, .poisson, seed: 7))
    #expect(times(50, rate: 10, .poisson, seed: 7) != times(50, rate: 10, .poisson, seed: 8))
    let first = times(50, rate: 10, .poisson, seed: 7, thread: 0, threads: 2)
    #expect(first != times(50, rate: 10, .poisson, seed: 7, thread: 1, threads: 2))
  }

  @Test(arguments: testSeeds) func threadsTogetherHaveTheRate(seed: UInt64) {
    // Of three threads within ten seconds: 30,000 expected, a deviation of 173.
    let count = (0..<3).map { thread in
      ArrivalSchedule(rate: 3_000, spacing: .poisson, seed: seed, thread: thread, threads: 3).prefix {
        $0 < 10_000_000_000
      }
      .count
    }.reduce(0, +)
    #expect(abs(count - 30_000) < 900)
  }
}
