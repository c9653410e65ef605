// Latencies of many requests: what a histogram of three digits keeps of them.

import TestSupport
import Testing

@testable import Bench

struct LatencyHistogramTests {
  @Test(arguments: testSeeds) func percentilesAreThoseOfTheSortedValues(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var histogram = LatencyHistogram()
    // From a microsecond to seconds, evenly in the logarithm.
    let values = (0..<20_000).map { _ in Int64(1_000 * Double.random(in: 0...14, using: &random).exponential) }
    for value in values { histogram.record(nanoseconds: value) }
    let sorted = values.sorted()
    for percentile in [1, 10, 50, 90, 95, 99, 99.9] {
      // The little less is for shares that a double has not.
      let rank = Int((percentile / 100 * Double(values.count) - 1e-6).rounded(.up))
      let exact = Double(sorted[rank - 1]) / 1_000
      let found = histogram.microseconds(atPercentile: percentile)
      #expect(abs(found - exact) <= 0.001 * exact, "\(percentile)")
    }
    #expect(histogram.count == values.count)
    #expect(histogram.latencies.max == Double(sorted[sorted.count - 1]) / 1_000)
  }

  @Test func addedHistogramsAreOneOfAllValues() {
    var (one, other, both) = (LatencyHistogram(), LatencyHistogram(), LatencyHistogram())
    for i in 1...1_000 {
      let nanoseconds = Int64(i * i) * 1_000
      if i % 3 == 0 { one.record(nanoseconds: nanoseconds) } else { other.record(nanoseconds: nanoseconds) }
      both.record(nanoseconds: nanoseconds)
    }
    one.add(other)
    #expect(one.latencies == both.latencies)
    #expect(one.count == 1_000)
  }

  @Test func whatIsOutOfRangeIsCountedAtItsEnd() {
    var histogram = LatencyHistogram()
    histogram.record(nanoseconds: -5)
    histogram.record(nanoseconds: .max)
    #expect(histogram.count == 2)
    #expect(histogram.microseconds(atPercentile: 0) == 0)
    #expect(histogram.latencies.max == 3.6e9)
  }

  @Test func nothingHasNoLatency() {
    #expect(LatencyHistogram().latencies == Latencies(p50: 0, p90: 0, p95: 0, p99: 0, p999: 0, max: 0))
  }
}

extension Double {
  /// 2 to the power of this.
  fileprivate var exponential: Double {
    let whole = rounded(.down)
    return Double(sign: .plus, exponent: Int(whole), significand: 1 + (self - whole))
  }
}
