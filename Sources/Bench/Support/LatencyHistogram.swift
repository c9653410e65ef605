// How long requests took: any number of them in fixed memory, every percentile to three digits.
//
// May use: HdrHistogram; Latencies.

import Histogram

/// Durations, counted. Histograms of several threads are added up at the end: percentiles cannot be averaged.
struct LatencyHistogram: Sendable {
  /// An hour. What took longer is counted as this.
  private static let nanosecondsMax: UInt64 = 3_600_000_000_000

  private var histogram = Histogram<UInt64>(
    lowestDiscernibleValue: 1, highestTrackableValue: Self.nanosecondsMax, numberOfSignificantValueDigits: .three)

  var count: Int { Int(histogram.totalCount) }

  /// Allocates nothing.
  mutating func record(nanoseconds: Int64) {
    histogram.record(UInt64(clamping: min(nanoseconds, Int64(Self.nanosecondsMax))))
  }

  mutating func add(_ other: LatencyHistogram) { histogram.add(other.histogram) }

  /// The duration that so many percent were not longer than, in microseconds; 0 where nothing was recorded.
  func microseconds(atPercentile percentile: Double) -> Double {
    Double(histogram.valueAtPercentile(percentile)) / 1_000
  }

  /// Zeros where nothing was recorded.
  var latencies: Latencies {
    Latencies(
      p50: microseconds(atPercentile: 50), p90: microseconds(atPercentile: 90), p95: microseconds(atPercentile: 95),
      p99: microseconds(atPercentile: 99), p999: microseconds(atPercentile: 99.9),
      max: microseconds(atPercentile: 100))
  }
}
