// Which tables a report has: each list of the model as one.
//
// May use: Report/Model, Figure, ReportTable.

/// Tables of a report's parts.
enum ReportTables {
  static func engines(_ engines: [EngineBuild]) -> ReportTable {
    ReportTable(
      title: "Indexes",
      columns: [
        .text("index"), .number("build"), .number("size"), .number("bytes a vector"), .number("peak memory"),
        .long("made by"),
      ],
      rows: engines.map {
        [
          $0.id, $0.buildSeconds == 0 ? Figure.none : Figure.seconds($0.buildSeconds), Figure.bytes($0.indexBytes),
          Figure.number($0.bytesPerVector),
          Figure.bytes($0.peakMemoryBytes), $0.detail,
        ]
      }
    ).withoutEmptyColumns()
  }

  /// - namesEngines: whether each row says whose it is; otherwise the title is to.
  static func curves(_ series: [Series], k: Int, title: String, namesEngines: Bool) -> ReportTable {
    var columns: [ReportTable.Column] = namesEngines ? [.text("index"), .number("clients")] : []
    columns += [.text("effort"), .number("recall@\(k)"), .number("queries/s"), .text("least – most")]
    columns += [.number("p50 µs"), .number("p95 µs"), .number("p99 µs"), .number("max µs"), .number("errors")]
    columns += [.number("CPU µs a query"), .long("note")]
    var rows: [[String]] = []
    for series in series {
      for point in series.points {
        var row = namesEngines ? [series.engine, Figure.number(series.clients)] : []
        row += [effort(point), Figure.recall(point.recall), Figure.number(point.qps.median), Figure.range(point.qps)]
        row += latency(point.latency)
        row += [Figure.number(point.errors), microseconds(point.cpuSecondsPerQuery), point.note ?? ""]
        rows.append(row)
      }
    }
    return ReportTable(title: title, columns: columns, rows: rows).withoutEmptyColumns()
  }

  /// p50, p95, p99 and the longest; empty where single requests were not timed.
  private static func latency(_ latency: Latencies?) -> [String] {
    guard let latency else { return ["", "", "", ""] }
    return [latency.p50, latency.p95, latency.p99, latency.max].map { Figure.number($0) }
  }

  private static func microseconds(_ seconds: Double?) -> String { seconds.map { Figure.number($0 * 1e6) } ?? "" }

  /// `ef_search 40`; the effort alone where there is nothing to turn.
  static func effort(_ point: CurvePoint) -> String {
    point.effort == "exact" ? point.effort : "\(point.effort) \(Figure.plain(point.value))"
  }

  /// For each count of clients the engines as rows and recalls as columns.
  static func matched(_ matched: [MatchedRecall], k: Int) -> [ReportTable] {
    let recalls = Set(matched.map(\.recall)).sorted()
    return unique(matched.map(\.clients)).map { clients -> ReportTable in
      let here = matched.filter { $0.clients == clients }
      let columns = recalls.flatMap { recall -> [ReportTable.Column] in
        [.number("at \(Figure.plain(recall))"), .number("p50 µs")]
      }
      return ReportTable(
        title: "Queries a second at equal recall@\(k), \(Figure.count(clients, "client"))",
        columns: [.text("index")] + columns,
        rows: unique(here.map(\.engine)).map { engine in
          [engine]
            + recalls.flatMap { recall -> [String] in
              guard let found = here.first(where: { $0.engine == engine && $0.recall == recall }), found.reached else {
                return [Figure.none, Figure.none]
              }
              return [
                (found.isAtLeast ? "≥ " : "") + Figure.number(found.qps),
                (found.isAtLeast ? "≤ " : "") + Figure.number(found.p50),
              ]
            }
        })
    }
  }

  static func load(_ points: [LoadPoint]) -> ReportTable {
    var columns: [ReportTable.Column] = [.text("what"), .number("asked/s"), .number("at once"), .number("answers/s")]
    columns += [.number("p50 µs"), .number("p95 µs"), .number("p99 µs"), .number("p99.9 µs"), .number("max µs")]
    columns += [.number("errors"), .number("CPU µs"), .number("driver's"), .text("")]
    columns += [.long("connections"), .long("note")]
    let rows = points.map { point -> [String] in
      var row = [point.kind, point.targetRate.map { Figure.number($0) } ?? ""]
      row += [point.inFlight.map { Figure.number($0) } ?? "", Figure.number(point.achievedRate)]
      row += latency(point.latency)
      row.insert(point.latency.p999.map { Figure.number($0) } ?? "", at: row.count - 1)
      row.append(errors(point.errors))
      row += [microseconds(point.serverCPUSecondsPerQuery), microseconds(point.clientCPUSecondsPerQuery)]
      row.append(point.limitedByDriver ? "driver" : point.saturated ? "full" : "")
      row += [Figure.number(point.connections), point.note ?? ""]
      return row
    }
    return ReportTable(title: "Load", columns: columns, rows: rows).withoutEmptyColumns()
  }

  private static func errors(_ counts: [String: Int]) -> String {
    counts.isEmpty ? "0" : counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
  }

  static func filtered(_ points: [FilteredPoint]) -> ReportTable {
    var columns: [ReportTable.Column] = [.text("index"), .number("match"), .text("effort"), .number("recall")]
    columns += [.number("queries/s"), .text("least – most"), .number("p50 µs"), .number("p95 µs"), .number("p99 µs")]
    columns += [.number("max µs"), .number("short"), .number("outside")]
    let rows = points.map { point -> [String] in
      var row = [point.engine, Figure.percent(point.selectivity), point.detail ?? "", Figure.recall(point.recall)]
      row += [Figure.number(point.qps.median), Figure.range(point.qps)]
      row += latency(point.latency)
      row += [Figure.number(point.short), Figure.number(point.outside)]
      return row
    }
    return ReportTable(title: "Filtered searches", columns: columns, rows: rows).withoutEmptyColumns()
  }

  static func mixed(_ points: [MixedPoint]) -> ReportTable {
    var columns: [ReportTable.Column] = [.text("index"), .number("clients"), .number("writes/s"), .number("of")]
    columns += [.number("queries/s"), .text("least – most"), .number("p50 µs"), .number("p95 µs"), .number("p99 µs")]
    // The recall is that of before, when rows did not change yet.
    columns += [.number("max µs"), .number("recall was"), .long("note")]
    let rows = points.map { point -> [String] in
      var row = [point.engine, Figure.number(point.clients), Figure.number(point.writesPerSecond)]
      row += [Figure.tick(point.writesPerSecondAsked), Figure.number(point.qps.median), Figure.range(point.qps)]
      row += latency(point.latency)
      row += [point.recall.map { Figure.recall($0) } ?? "", point.detail ?? ""]
      return row
    }
    return ReportTable(title: "Searches while rows change", columns: columns, rows: rows).withoutEmptyColumns()
  }

  static func freshness(_ results: [FreshnessResult]) -> ReportTable {
    ReportTable(
      title: "From commit to answer",
      columns: [.text("index"), .number("changes"), .number("p50 ms"), .number("p99 ms"), .text("from … to")],
      rows: results.map {
        [
          $0.engine, Figure.number($0.changes), Figure.number($0.p50Milliseconds), Figure.number($0.p99Milliseconds),
          $0.span,
        ]
      })
  }

  static func settings(_ settings: [Setting], group: String) -> ReportTable {
    ReportTable(
      title: group, columns: [.text("setting"), .text("value"), .text("note")],
      rows: settings.filter { $0.group == group }.map {
        [$0.name, $0.text, ($0.isWarning ? "⚠ " : "") + ($0.note ?? "")]
      }
    ).withoutEmptyColumns()
  }

  static func shadow(_ shadow: ShadowResult) -> [ReportTable] {
    let figures = ReportTable(
      title: "Answers beside exact ones",
      columns: [
        .text("over \(Figure.count(shadow.queries, "query", plural: "queries"))"), .number("mean"), .number("worst"),
      ],
      rows: [
        ["overlap", Figure.recall(shadow.overlapMean), Figure.recall(shadow.overlapLeast)],
        ["rank distance", Figure.number(shadow.rankDistanceMean), Figure.number(shadow.rankDistanceMost)],
        ["score error", Figure.number(shadow.scoreErrorMean), Figure.number(shadow.scoreErrorMost)],
        [
          "score error over the distance", Figure.number(shadow.relativeScoreErrorMean),
          Figure.number(shadow.relativeScoreErrorMost),
        ],
        ["rows missing, in all", Figure.number(shadow.missing), ""],
        ["rows too many, in all", Figure.number(shadow.extra), ""],
        ["settled by asking again", Figure.number(shadow.settledByAskingAgain), ""],
        ["refused", errors(shadow.errors), ""],
      ])
    let latencies = ReportTable(
      title: "Latency",
      columns: [.text("whose"), .number("p50 µs"), .number("p95 µs"), .number("p99 µs"), .number("max µs")],
      rows: [("exact", shadow.exactLatency), ("engine", shadow.engineLatency)].map { whose, latency in
        [whose] + [latency.p50, latency.p95, latency.p99, latency.max].map { Figure.number($0) }
      })
    let thresholds = ReportTable(
      title: "Thresholds",
      columns: [.text("threshold"), .number("bound"), .number("found"), .text("")],
      rows: shadow.thresholds.map {
        [$0.name, Figure.plain($0.bound), Figure.number($0.found), $0.passed ? "passed" : "failed"]
      })
    return [figures, latencies] + (shadow.thresholds.isEmpty ? [] : [thresholds])
  }

  static func worst(_ queries: [DifferingQuery]) -> ReportTable {
    ReportTable(
      title: "Queries that differ most",
      columns: [
        .number("query"), .number("overlap"), .number("rank distance"), .number("score error"), .long("missing"),
        .long("too many"),
      ],
      rows: queries.map {
        [
          Figure.number($0.query), Figure.recall($0.overlap), Figure.number($0.rankDistance),
          Figure.number($0.scoreError), $0.missing.joined(separator: ", "), $0.extra.joined(separator: ", "),
        ]
      })
  }

  /// Tables of what a report has and an older state of it had not.
  static func parts(of new: BenchReport, notIn old: BenchReport) -> [ReportTable] {
    func added<Part: Equatable>(_ list: KeyPath<BenchReport, [Part]>) -> [Part] {
      new[keyPath: list].filter { !old[keyPath: list].contains($0) }
    }
    var tables: [ReportTable] = []
    if case let list = added(\.engines), !list.isEmpty { tables.append(engines(list)) }
    for series in added(\.series) {
      tables.append(
        curves(
          [series], k: new.data.k, title: "\(series.engine), \(Figure.count(series.clients, "client"))",
          namesEngines: false))
    }
    if case let list = added(\.load), !list.isEmpty { tables.append(load(list)) }
    if case let list = added(\.filtered), !list.isEmpty { tables.append(filtered(list)) }
    if case let list = added(\.mixed), !list.isEmpty { tables.append(mixed(list)) }
    if case let list = added(\.freshness), !list.isEmpty { tables.append(freshness(list)) }
    if let shadow = new.shadow, shadow != old.shadow { tables += Self.shadow(shadow) }
    return tables
  }

  /// Each value once, in the order of its first.
  static func unique<Value: Hashable>(_ values: [Value]) -> [Value] {
    var seen: Set<Value> = []
    return values.filter { seen.insert($0).inserted }
  }
}
