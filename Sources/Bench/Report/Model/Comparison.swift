// Parts of a report that hold engines side by side: what they cost to build, and how fast they are at which recall.
//
// May use: Figures.

/// Who is measured. The order of a report's engines is the order of its tables and legends.
enum EngineFamily: String, Codable, Sendable {
  case vizinho, pgvector
}

/// One index of one engine. Its id, such as `vizinho int4x16` or `pgvector hnsw m=16 efc=64`, is what other parts name it by.
struct EngineBuild: Codable, Sendable, Equatable {
  var id: String
  var family: EngineFamily
  /// 0 where nothing is built, as for an exact scan.
  var buildSeconds: Double
  /// What a search needs in memory to be fast, the vectors that it reads included.
  var indexBytes: Int
  /// `indexBytes` over the rows.
  var bytesPerVector: Double
  /// Of all processes of the engine, over the build.
  var peakMemoryBytes: Int?
  /// What the index is, in words: the statement that made it, its settings.
  var detail: String

  enum CodingKeys: String, CodingKey {
    case id, family, detail
    case buildSeconds = "build_seconds"
    case indexBytes = "index_bytes"
    case bytesPerVector = "bytes_per_vector"
    case peakMemoryBytes = "peak_memory_bytes"
  }
}

/// How one engine does with so many clients, over its efforts.
struct Series: Codable, Sendable, Equatable {
  var engine: String
  /// Each with one request at a time.
  var clients: Int
  var points: [CurvePoint]
}

/// One effort: how much was found, and how fast.
struct CurvePoint: Codable, Sendable, Equatable {
  /// What was turned: `ef_search`, `probes`, `candidates`, `ef`, `recall_target`; `exact` where there is nothing to turn.
  var effort: String
  var value: Double
  /// Mean over the queries, of the k nearest.
  var recall: Double
  var qps: Spread
  /// nil where single requests were not timed, as in process.
  var latency: Latencies?
  /// Requests that failed; they are in no other figure.
  var errors: Int
  /// Processor time of the engine's processes.
  var cpuSecondsPerQuery: Double?
  /// What a reader must know of this point, such as that the index was not used.
  var note: String?

  enum CodingKeys: String, CodingKey {
    case effort, value, recall, qps, latency, errors, note
    case cpuSecondsPerQuery = "cpu_seconds_per_query"
  }
}

/// An engine's speed at a given recall: `Interpolation` makes them of the series.
struct MatchedRecall: Codable, Sendable, Equatable {
  var clients: Int
  var recall: Double
  var engine: String
  /// nil where the engine did not reach the recall.
  var qps: Double?
  var p50: Double?
  var p99: Double?
  var reached: Bool
  /// Whether even the least effort found more than this: the figures are those of that point, and of less effort would be better.
  var isAtLeast: Bool

  enum CodingKeys: String, CodingKey {
    case clients, recall, engine, qps, reached
    case p50 = "p50_us"
    case p99 = "p99_us"
    case isAtLeast = "at_least"
  }
}

/// Searches with a filter that so many rows match.
struct FilteredPoint: Codable, Sendable, Equatable {
  var engine: String
  /// The share of the rows that match, from 0 to 1.
  var selectivity: Double
  var recall: Double
  var qps: Spread
  var latency: Latencies?
  /// Queries that got fewer rows than there were to find: min(k, matching).
  var short: Int
  /// Rows in answers that break the filter.
  var outside: Int
  /// What effort was asked for, such as `ef_search=40`.
  var detail: String?
}

/// Searches while rows change.
struct MixedPoint: Codable, Sendable, Equatable {
  var engine: String
  var clients: Int
  var writesPerSecondAsked: Double
  var writesPerSecond: Double
  var qps: Spread
  var latency: Latencies
  var recall: Double?
  var detail: String?

  enum CodingKeys: String, CodingKey {
    case engine, clients, qps, latency, recall, detail
    case writesPerSecondAsked = "writes_per_second_asked"
    case writesPerSecond = "writes_per_second"
  }
}

/// How long after its commit a change is found.
struct FreshnessResult: Codable, Sendable, Equatable {
  var engine: String
  var changes: Int
  var p50Milliseconds: Double
  var p99Milliseconds: Double
  /// From what to what it was measured, such as `COMMIT returned to search returned`.
  var span: String

  enum CodingKeys: String, CodingKey {
    case engine, changes, span
    case p50Milliseconds = "p50_ms"
    case p99Milliseconds = "p99_ms"
  }
}
