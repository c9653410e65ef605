// Parts of a report that are about one running server: its load, and how its answers differ from exact ones.
//
// May use: Figures.

/// One step of a load: a rate at which requests arrive, or so many at once.
struct LoadPoint: Codable, Sendable, Equatable {
  /// `search`, or `ping` where what is measured is the driver's own floor.
  var kind: String
  /// Requests a second that were due; nil in a closed loop, where each client asks when it has its answer.
  var targetRate: Double?
  /// At once, in a closed loop.
  var inFlight: Int?
  var connections: Int
  /// Answers a second.
  var achievedRate: Double
  /// From when a request was due, not from when it was sent; in a closed loop both are the same.
  var latency: Latencies
  /// Requests that failed, by code.
  var errors: [String: Int]
  /// Processor time of the driver a request.
  var clientCPUSecondsPerQuery: Double?
  var serverCPUSecondsPerQuery: Double?
  /// Whether more would not come through: beyond the knee.
  var saturated: Bool
  /// Whether the driver, not the server, was what could not do more.
  var limitedByDriver: Bool
  var note: String?

  enum CodingKeys: String, CodingKey {
    case kind, connections, latency, errors, saturated, note
    case targetRate = "target_rate"
    case inFlight = "in_flight"
    case achievedRate = "achieved_rate"
    case clientCPUSecondsPerQuery = "client_cpu_seconds_per_query"
    case serverCPUSecondsPerQuery = "server_cpu_seconds_per_query"
    case limitedByDriver = "limited_by_driver"
  }
}

/// Answers of the engine beside exact ones.
struct ShadowResult: Codable, Sendable, Equatable {
  var queries: Int
  /// Of the k that the exact answer has, ties counted as right: a share from 0 to 1.
  var overlapMean: Double
  var overlapLeast: Double
  /// How many queries had which overlap, from the least on.
  var overlaps: [OverlapCount]
  /// By how many places rows that both have stand apart, on average within a query: mean and most over the queries.
  var rankDistanceMean: Double
  var rankDistanceMost: Double
  /// By how much the engine's distances of its rows differ from Postgres's of the same, absolutely.
  var scoreErrorMean: Double
  var scoreErrorMost: Double
  /// The same over the distance; nil where every row was too near for that.
  var relativeScoreErrorMean: Double?
  var relativeScoreErrorMost: Double?
  /// Rows that only the exact answers have, and only the engine's. Ties are in neither.
  var missing: Int
  var extra: Int
  /// Queries that differed, were asked again and then did not.
  var settledByAskingAgain: Int
  /// Queries that the engine refused, by code. Their overlap is 0.
  var errors: [String: Int] = [:]
  var exactLatency: Latencies
  var engineLatency: Latencies
  var thresholds: [Threshold]
  /// The queries that differ most, worst first.
  var worst: [DifferingQuery]

  enum CodingKeys: String, CodingKey {
    case queries, overlaps, missing, extra, errors, thresholds, worst
    case overlapMean = "overlap_mean"
    case overlapLeast = "overlap_least"
    case rankDistanceMean = "rank_distance_mean"
    case rankDistanceMost = "rank_distance_most"
    case scoreErrorMean = "score_error_mean"
    case scoreErrorMost = "score_error_most"
    case relativeScoreErrorMean = "relative_score_error_mean"
    case relativeScoreErrorMost = "relative_score_error_most"
    case settledByAskingAgain = "settled_by_asking_again"
    case exactLatency = "exact_latency"
    case engineLatency = "engine_latency"
  }
}

struct OverlapCount: Codable, Sendable, Equatable {
  var overlap: Double
  var queries: Int
}

/// A bound that the figures must keep.
struct Threshold: Codable, Sendable, Equatable {
  /// As on the command line, such as `--min-overlap`.
  var name: String
  var bound: Double
  var found: Double
  var passed: Bool
}

struct DifferingQuery: Codable, Sendable, Equatable {
  /// Its number in the file or log, from 0.
  var query: Int
  var overlap: Double
  var rankDistance: Double
  var scoreError: Double
  /// Keys of rows, as text.
  var missing: [String]
  var extra: [String]

  enum CodingKeys: String, CodingKey {
    case query, overlap, missing, extra
    case rankDistance = "rank_distance"
    case scoreError = "score_error"
  }
}
