// Figures that several parts of a report are made of: a spread over rounds, and latencies.
//
// May use: median of Timing.swift.

/// One figure, measured in several rounds.
struct Spread: Codable, Sendable, Equatable {
  var median: Double
  var least: Double
  var most: Double
  var rounds: Int

  /// - Precondition: there are values.
  init(_ values: [Double]) {
    precondition(!values.isEmpty, "nothing has no spread")
    median = Bench.median(values)
    least = values.min() ?? 0
    most = values.max() ?? 0
    rounds = values.count
  }
}

/// Percentiles of how long requests took, in microseconds.
struct Latencies: Codable, Sendable, Equatable {
  var p50: Double
  var p90: Double?
  var p95: Double
  var p99: Double
  var p999: Double?
  var max: Double

  enum CodingKeys: String, CodingKey {
    case p50 = "p50_us"
    case p90 = "p90_us"
    case p95 = "p95_us"
    case p99 = "p99_us"
    case p999 = "p999_us"
    case max = "max_us"
  }

  init(p50: Double, p90: Double? = nil, p95: Double, p99: Double, p999: Double? = nil, max: Double) {
    self.p50 = p50
    self.p90 = p90
    self.p95 = p95
    self.p99 = p99
    self.p999 = p999
    self.max = max
  }
}
