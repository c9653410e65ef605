// Reports with something in every part, made up.

@testable import Bench

enum SampleReports {
  /// A comparison in which pgvector is ahead in some places, with names that HTML would stumble over.
  static var comparison: BenchReport {
    var report = BenchReport(
      command: "pgvector",
      data: DataDescription(
        source: "passages<b>&\"x\"", rows: 86_694, dimension: 384, metric: "cosine", queries: 1_000,
        querySource: "held out of the base", k: 10, checksum: "sha256:00ff"))
    report.created = "2026-11-26T08:00:00Z"
    report.elapsedSeconds = 754
    report.machine = MachineDescription(
      cpu: "AMD EPYC <test> & co", processors: 2, memoryBytes: 16_000_000_000, system: "Linux 6.1 x86_64",
      secondLevelCacheBytes: 1 << 20, lastLevelCacheBytes: 32 << 20, hugePages: "madvise")
    report.settings = [
      Setting(
        group: "Postgres", name: "shared_buffers", value: "128", unit: "MB", note: "less than the index <is>",
        isWarning: true),
      Setting(group: "Postgres", name: "server_version", value: "18.1"),
      Setting(group: "This run", name: "rounds", value: "3"),
    ]
    report.method = ["Engines took turns, three rounds each.", "Prepared statements & binary vectors on both sides."]
    report.notes = ["pgvector's <ivfflat> was not used by the planner at probes 100."]
    report.engines = [
      build("vizinho int4x16", .vizinho, 12.7, 1_174), build("vizinho int4x8", .vizinho, 10.8, 787),
      build("pgvector hnsw m=16 efc=64", .pgvector, 61.2, 2_050), build("pgvector hnsw halfvec", .pgvector, 55, 1_020),
      build("pgvector hnsw binary_quantize + rerank", .pgvector, 9.5, 310),
      build("pgvector ivfflat lists=86", .pgvector, 3.1, 1_700), build("pgvector exact", .pgvector, 0, 1_640),
    ]
    for clients in [1, 8] {
      report.series += [
        curve("vizinho int4x16", clients, [0.88, 0.94, 0.975, 0.991, 0.998], 4_100),
        curve("vizinho int4x8", clients, [0.87, 0.93, 0.968, 0.985, 0.9935], 4_000),
        curve("pgvector hnsw m=16 efc=64", clients, [0.86, 0.92, 0.96, 0.985, 0.996], 900),
        curve("pgvector hnsw halfvec", clients, [0.85, 0.915, 0.955, 0.98, 0.992], 1_050),
        curve(
          "pgvector hnsw binary_quantize + rerank", clients, [0.62, 0.74, 0.83, 0.89, 0.93], clients == 1 ? 9_800 : 800),
        curve("pgvector ivfflat lists=86", clients, [0.55, 0.72, 0.84, 0.93, 0.98], 610),
        Series(engine: "pgvector exact", clients: clients, points: [point("exact", 0, 1, 21)]),
      ]
    }
    report.matched = MatchedRecall.all(of: report.series)
    for (selectivity, ours, theirs) in [
      (0.001, 3_900.0, 5_200.0), (0.01, 2_700, 1_100), (0.1, 2_500, 480), (0.9, 2_900, 760),
    ] {
      report.filtered += [
        filtered("vizinho int4x16", selectivity, 0.985, ours, short: 0, nil),
        filtered(
          "pgvector hnsw m=16 efc=64", selectivity, selectivity < 0.005 ? 1 : 0.6 + selectivity * 0.3, theirs,
          short: selectivity < 0.005 ? 0 : 41, "plain"),
        filtered(
          "pgvector hnsw m=16 efc=64", selectivity, selectivity < 0.005 ? 1 : 0.93, theirs * 0.7, short: 0,
          "iterative_scan=strict_order"),
      ]
    }
    report.mixed = [
      MixedPoint(
        engine: "vizinho int4x16", clients: 8, writesPerSecondAsked: 200, writesPerSecond: 200,
        qps: Spread([5_100, 5_300, 4_800]),
        latency: latencies(1_400), recall: 0.961),
      MixedPoint(
        engine: "pgvector hnsw m=16 efc=64", clients: 8, writesPerSecondAsked: 200, writesPerSecond: 168,
        qps: Spread([690, 720, 655]),
        latency: latencies(9_400), recall: 0.957),
    ]
    report.freshness = [
      FreshnessResult(
        engine: "vizinho int4x16", changes: 500, p50Milliseconds: 1.6, p99Milliseconds: 5.6,
        span: "COMMIT returned to a search that has it returned"),
      FreshnessResult(
        engine: "pgvector hnsw m=16 efc=64", changes: 500, p50Milliseconds: 0.9, p99Milliseconds: 3.1,
        span: "INSERT sent to COMMIT returned"),
    ]
    return report
  }

  static var load: BenchReport {
    var report = empty("load")
    let asked: [Double] = [1_000, 2_000, 4_000, 8_000, 12_000, 14_000, 16_000]
    for (i, rate) in asked.enumerated() {
      let isFull = i >= 5
      report.load.append(
        LoadPoint(
          kind: "search", targetRate: rate, inFlight: nil, connections: 4,
          achievedRate: isFull ? 12_900 - 300 * Double(i - 5) : rate,
          latency: latencies(isFull ? 240_000 * Double(i - 4) : 180 + rate * rate / 200_000),
          errors: isFull ? ["overloaded": 17 * i] : [:], clientCPUSecondsPerQuery: 9e-6,
          serverCPUSecondsPerQuery: 120e-6,
          saturated: isFull, limitedByDriver: false))
    }
    report.load.append(
      LoadPoint(
        kind: "ping", targetRate: 4_000, inFlight: nil, connections: 4, achievedRate: 4_000, latency: latencies(45),
        errors: [:],
        clientCPUSecondsPerQuery: 6e-6, serverCPUSecondsPerQuery: nil, saturated: false, limitedByDriver: false))
    return report
  }

  static var shadow: BenchReport {
    var report = empty("shadow")
    report.shadow = ShadowResult(
      queries: 300, overlapMean: 0.981, overlapLeast: 0.7,
      overlaps: [
        OverlapCount(overlap: 0.7, queries: 2), OverlapCount(overlap: 0.8, queries: 11),
        OverlapCount(overlap: 0.9, queries: 29),
        OverlapCount(overlap: 1, queries: 258),
      ], rankDistanceMean: 0.11, rankDistanceMost: 2.5, scoreErrorMean: 0.0001, scoreErrorMost: 0.0007, missing: 57,
      extra: 57,
      settledByAskingAgain: 3, exactLatency: latencies(31_000), engineLatency: latencies(210),
      thresholds: [
        Threshold(name: "--min-overlap", bound: 0.95, found: 0.981, passed: true),
        Threshold(name: "--max-score-error", bound: 0.0005, found: 0.0007, passed: false),
      ],
      worst: [
        DifferingQuery(
          query: 17, overlap: 0.7, rankDistance: 2.5, scoreError: 0.0007, missing: ["<script>", "5"], extra: ["6", "7"])
      ])
    return report
  }

  static func empty(_ command: String) -> BenchReport {
    var report = BenchReport(
      command: command,
      data: DataDescription(
        source: "passages", rows: 10_000, dimension: 384, metric: "cosine", queries: 300, querySource: "file", k: 10))
    report.created = "2026-11-26T08:00:00Z"
    return report
  }

  static func latencies(_ p50: Double) -> Latencies {
    Latencies(p50: p50, p90: p50 * 1.3, p95: p50 * 1.5, p99: p50 * 2.4, p999: p50 * 5, max: p50 * 11)
  }

  static func point(_ effort: String, _ value: Double, _ recall: Double, _ qps: Double, clients: Int = 1) -> CurvePoint
  {
    CurvePoint(
      effort: effort, value: value, recall: recall, qps: Spread([qps, qps * 0.93, qps * 1.04]),
      latency: latencies(1e6 * Double(clients) / qps), errors: 0, cpuSecondsPerQuery: 0.8 / qps)
  }

  /// Speed halves, about, from each recall to the next.
  private static func curve(_ engine: String, _ clients: Int, _ recalls: [Double], _ qps: Double) -> Series {
    let effort = engine.hasPrefix("vizinho") ? "ef" : engine.contains("ivfflat") ? "probes" : "ef_search"
    let scale = clients == 1 ? 1 : 1.9
    var points = recalls.enumerated().map { i, recall in
      point(effort, Double(10 << i), recall, qps * scale / Double(1 << i), clients: clients)
    }
    if engine == "vizinho int4x16" {
      points.append(point("recall_target", 0.95, 0.957, qps * scale / 2.9, clients: clients))
    }
    return Series(engine: engine, clients: clients, points: points)
  }

  private static func build(_ id: String, _ family: EngineFamily, _ seconds: Double, _ bytes: Double) -> EngineBuild {
    EngineBuild(
      id: id, family: family, buildSeconds: seconds, indexBytes: Int(bytes * 86_694), bytesPerVector: bytes,
      peakMemoryBytes: Int(bytes * 86_694 * 1.6),
      detail: family == .pgvector
        ? "CREATE INDEX ON vizinho_bench.rows USING hnsw (embedding vector_cosine_ops)" : "vizinho rebuild")
  }

  private static func filtered(
    _ engine: String, _ selectivity: Double, _ recall: Double, _ qps: Double, short: Int, _ detail: String?
  ) -> FilteredPoint {
    FilteredPoint(
      engine: engine, selectivity: selectivity, recall: recall, qps: Spread([qps, qps * 0.9, qps * 1.1]),
      latency: latencies(1e6 / qps), short: short, outside: 0, detail: detail)
  }
}
