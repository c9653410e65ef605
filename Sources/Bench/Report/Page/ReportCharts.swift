// Which charts a report has: each list of the model as one or more. nil where there is nothing to draw.
//
// May use: Report/Model, Report/Charts, Interpolation, ReportTables.

/// Charts of one report; an engine looks the same in all of them.
struct ReportCharts: Sendable {
  private let report: BenchReport
  private let styles: [String: SeriesStyle]

  init(_ report: BenchReport) {
    self.report = report
    styles = SeriesStyle.of(report.engines)
  }

  /// An engine that the report does not list, as an interrupted one may not, is drawn as one of ours or theirs by its name.
  private func style(_ engine: String) -> SeriesStyle {
    styles[engine] ?? SeriesStyle(family: engine.hasPrefix("pgvector") ? .pgvector : .vizinho, number: 0)
  }

  // Search ----------------------------------------------------------------------------------------

  /// The counts of clients that curves were measured with.
  var clientCounts: [Int] { Set(report.series.map(\.clients)).sorted() }

  /// Recall against queries a second, with so many clients.
  func recall(clients: Int) -> LineChart? {
    let series = report.series.filter { $0.clients == clients && !$0.points.isEmpty }
    guard !series.isEmpty else { return nil }
    let points = series.flatMap(\.points)
    return LineChart(
      title: "Recall and speed, \(Figure.count(clients, "client"))",
      x: .init(title: "recall@\(report.data.k), by what is missing to 1", scale: .recall(points.map(\.recall))),
      y: .init(
        title: "queries a second",
        scale: .logarithmic(
          points.flatMap { [$0.qps.least, $0.qps.median, $0.qps.most] }, label: Figure.tick)),
      lines: series.map { series in
        let frontier = RecallCurve(series.points).frontier
        let points = series.points.filter(\.isSound).sorted { $0.recall < $1.recall }
        return .init(
          name: series.engine, style: style(series.engine),
          points: points.map { point in
            .init(
              x: point.recall, y: point.qps.median, spread: spread(point.qps), words: words(point, of: series.engine),
              isOnLine: frontier.contains(point))
          })
      })
  }

  private func spread(_ spread: Spread) -> ClosedRange<Double>? {
    spread.rounds > 1 && spread.least > 0 && spread.most > spread.least && spread.most.isFinite
      ? spread.least...spread.most : nil
  }

  private func words(_ point: CurvePoint, of engine: String) -> String {
    let range = point.qps.rounds > 1 ? " (\(Figure.range(point.qps)) in \(point.qps.rounds) rounds)" : ""
    let note = point.note.map { "\n\($0)" } ?? ""
    let latency =
      point.latency.map {
        "\np50 \(Figure.duration(microseconds: $0.p50)), p99 \(Figure.duration(microseconds: $0.p99))"
      } ?? ""
    return """
      \(engine), \(ReportTables.effort(point))
      recall \(Figure.recall(point.recall)), \(Figure.number(point.qps.median)) queries/s\(range)\(latency)\(note)
      """
  }

  /// The recall at which latencies are held side by side.
  static let latencyRecall = 0.95

  /// Percentiles of each engine at its least effort that finds enough.
  func latency(clients: Int) -> LineChart? {
    let chosen = report.series.filter { $0.clients == clients }.compactMap { series in
      RecallCurve(series.points).fastest(reaching: Self.latencyRecall).flatMap { point in
        point.latency.map {
          (name: "\(series.engine), \(ReportTables.effort(point))", style: style(series.engine), latency: $0)
        }
      }
    }
    return percentiles(
      "Latency at a recall of \(Figure.plain(Self.latencyRecall)) or more, \(Figure.count(clients, "client"))",
      chosen)
  }

  private func percentiles(_ title: String, _ found: [(name: String, style: SeriesStyle, latency: Latencies)])
    -> LineChart?
  {
    guard !found.isEmpty else { return nil }
    let names = ["median", "p95", "p99", "longest"]
    let lines = found.map { name, style, latency in
      let values = [latency.p50, latency.p95, latency.p99, latency.max]
      return LineChart.Line(
        name: name, style: style,
        points: values.enumerated().filter { $1 > 0 && $1.isFinite }.map { i, value in
          .init(x: Double(i), y: value, words: "\(name)\n\(names[i]) \(Figure.duration(microseconds: value))")
        })
    }
    return LineChart(
      title: title, x: .init(title: "percentile of the requests", scale: .named(names)),
      y: .init(
        title: "time from question to answer",
        scale: .logarithmic(lines.flatMap { $0.points.map(\.y) }) { Figure.durationTick($0) }),
      lines: lines)
  }

  // Indexes ---------------------------------------------------------------------------------------

  static let buildTitle = "Build time"
  static let sizeTitle = "Size of the index"
  static let memoryTitle = "Memory at the peak of the build"

  /// Those of the three that were measured.
  func builds() -> [BarChart] {
    [
      bars(Self.buildTitle, "seconds; shorter is better") {
        ($0.buildSeconds, Figure.seconds($0.buildSeconds))
      },
      bars(Self.sizeTitle, "bytes a vector; shorter is better") {
        ($0.bytesPerVector, "\(Figure.number($0.bytesPerVector)) (\(Figure.bytes($0.indexBytes)))")
      },
      bars(Self.memoryTitle, "megabytes; shorter is better") { engine in
        engine.peakMemoryBytes.map { (Double($0) / 1e6, Figure.bytes($0)) }
      },
    ].compactMap { $0 }
  }

  /// - figure: the value of an engine's bar, and how it is written; nil or 0 where it has none.
  private func bars(
    _ title: String, _ axisTitle: String, _ figure: (EngineBuild) -> (value: Double, text: String)?
  ) -> BarChart? {
    let groups = report.engines.compactMap { engine -> BarChart.Group? in
      guard let figure = figure(engine), figure.value > 0, figure.value.isFinite else { return nil }
      return .init(
        name: engine.id, style: style(engine.id), bars: [.init(value: figure.value, text: figure.text)])
    }
    return groups.isEmpty ? nil : BarChart(title: title, axisTitle: axisTitle, groups: groups)
  }

  // Filters ---------------------------------------------------------------------------------------

  /// Queries a second, then recall, over the share of the rows that match.
  func filtered() -> [LineChart] {
    let points = report.filtered.filter {
      $0.selectivity > 0 && $0.qps.median > 0 && $0.qps.median.isFinite && $0.recall.isFinite
    }
    guard !points.isEmpty else { return [] }
    let series = filteredSeries(points)
    let x = LineChart.Axis(
      title: "share of the rows that match the filter",
      scale: .logarithmic(points.map(\.selectivity), label: Figure.percent))
    func lines(_ y: (FilteredPoint) -> Double, _ range: (FilteredPoint) -> ClosedRange<Double>?) -> [LineChart.Line] {
      series.map { name, style, points in
        .init(
          name: name, style: style,
          points: points.sorted { $0.selectivity < $1.selectivity }.map {
            .init(x: $0.selectivity, y: y($0), spread: range($0), words: words($0, of: name))
          })
      }
    }
    return [
      LineChart(
        title: "Speed with a filter", x: x,
        y: .init(
          title: "queries a second", scale: .logarithmic(points.map(\.qps.median), label: Figure.tick)),
        lines: lines(\.qps.median) { spread($0.qps) }),
      LineChart(
        title: "Recall with a filter", x: x,
        y: .init(title: "recall@\(report.data.k)", scale: .linear(points.map(\.recall) + [1], fromZero: false)),
        lines: lines(\.recall) { _ in nil }),
    ]
  }

  /// An engine with several efforts is a line for each of them; one whose effort goes by the filter is one line.
  private func filteredSeries(
    _ points: [FilteredPoint]
  ) -> [(name: String, style: SeriesStyle, points: [FilteredPoint])] {
    var counts: [EngineFamily: Int] = [:]
    var isSplit = false
    let series = ReportTables.unique(points.map(\.engine)).flatMap { engine in
      let own = points.filter { $0.engine == engine }
      let details = ReportTables.unique(own.map { $0.detail ?? "" })
      guard details.count > 1, own.count > details.count else { return [(engine, engine, own)] }
      isSplit = true
      return details.map { detail in
        ("\(engine), \(detail)", engine, own.filter { ($0.detail ?? "") == detail })
      }
    }
    return series.map { name, engine, points in
      let own = style(engine)
      // Lines of one engine would look alike: then all are numbered anew.
      let style = isSplit ? SeriesStyle(family: own.family, number: counts[own.family, default: 0]) : own
      counts[own.family, default: 0] += 1
      return (name, style, points)
    }
  }

  private func words(_ point: FilteredPoint, of name: String) -> String {
    let faults = [
      point.short > 0 ? "\n\(Figure.count(point.short, "answer")) short of rows" : "",
      point.outside > 0 ? "\n\(Figure.count(point.outside, "row")) outside of the filter" : "",
    ]
    return """
      \(name), \(Figure.percent(point.selectivity)) match
      recall \(Figure.recall(point.recall)), \(Figure.number(point.qps.median)) queries/s\(faults.joined())
      """
  }

  // Changes ---------------------------------------------------------------------------------------

  func mixed() -> [BarChart] {
    guard !report.mixed.isEmpty else { return [] }
    func bars(_ title: String, _ axisTitle: String, _ bar: (MixedPoint) -> BarChart.Bar) -> BarChart {
      BarChart(
        title: title, axisTitle: axisTitle,
        groups: report.mixed.map { point in
          // A side that did not keep up was not searched under the same load, which the name is to say.
          let (done, asked) = (point.writesPerSecond.rounded(), point.writesPerSecondAsked.rounded())
          let writes = "\(Figure.tick(done))\(done < asked ? " of \(Figure.tick(asked))" : "") writes/s"
          return .init(
            name: "\(point.engine), \(Figure.count(point.clients, "client")), \(writes)", style: style(point.engine),
            bars: [bar(point)])
        })
    }
    return [
      bars("Speed while rows change", "queries a second; longer is better") {
        .init(value: $0.qps.median, text: Figure.number($0.qps.median))
      },
      bars("99th percentile while rows change", "milliseconds; shorter is better") {
        .init(value: $0.latency.p99 / 1e3, text: Figure.duration(microseconds: $0.latency.p99))
      },
    ]
  }

  func freshness() -> BarChart? {
    guard !report.freshness.isEmpty else { return nil }
    return BarChart(
      title: "From commit to answer",
      axisTitle: "milliseconds; shorter is better",
      groups: report.freshness.map {
        .init(
          name: $0.engine, style: style($0.engine),
          bars: [
            .init(value: $0.p50Milliseconds, text: "\(Figure.number($0.p50Milliseconds)) ms, median"),
            .init(value: $0.p99Milliseconds, text: "\(Figure.number($0.p99Milliseconds)) ms, p99"),
          ])
      })
  }

  // One server ------------------------------------------------------------------------------------

  /// Latency over the answers a second that came: where requests were due at a rate, then where so many clients each waited for its answer.
  func load() -> [LineChart] {
    let steps = report.load.filter { $0.achievedRate > 0 && $0.achievedRate.isFinite }
    let open = steps.filter { $0.targetRate != nil }.sorted { ($0.targetRate ?? 0) < ($1.targetRate ?? 0) }
    let closed = steps.filter { $0.targetRate == nil }.sorted { ($0.inFlight ?? 0) < ($1.inFlight ?? 0) }
    return [
      load("Latency under load, requests due at a rate", "time from when a request was due to its answer", open),
      load("Latency under load, each client waiting", "time from question to answer", closed),
    ].compactMap { $0 }
  }

  private func load(_ title: String, _ axisTitle: String, _ steps: [LoadPoint]) -> LineChart? {
    func line(
      _ name: String, _ style: SeriesStyle, _ kind: String, _ value: (Latencies) -> Double?
    ) -> LineChart.Line? {
      let points = steps.filter { $0.kind == kind }.compactMap { step -> LineChart.Point? in
        guard let y = value(step.latency), y > 0, y.isFinite else { return nil }
        return .init(x: step.achievedRate, y: y, words: "\(name) \(Figure.duration(microseconds: y))\n\(words(step))")
      }
      return points.isEmpty ? nil : .init(name: name, style: style, points: points)
    }
    let lines = [
      line("p99.9", SeriesStyle(family: .vizinho, number: 2), "search") { $0.p999 },
      line("p99", SeriesStyle(family: .vizinho, number: 0), "search") { $0.p99 },
      line("median", SeriesStyle(family: .vizinho, number: 1), "search") { $0.p50 },
      line("p99 of pings", SeriesStyle(family: .pgvector, number: 5), "ping") { $0.p99 },
    ].compactMap { $0 }
    guard !lines.isEmpty else { return nil }
    return LineChart(
      title: title,
      x: .init(title: "answers a second", scale: .linear(steps.map(\.achievedRate), label: Figure.tick)),
      y: .init(
        title: axisTitle,
        scale: .logarithmic(lines.flatMap { $0.points.map(\.y) }) { Figure.durationTick($0) }),
      lines: lines)
  }

  private func words(_ step: LoadPoint) -> String {
    let asked =
      step.targetRate.map { "\(Figure.number($0)) a second asked" }
      ?? step.inFlight.map { "\(Figure.number($0)) at once" }
    let limit = step.limitedByDriver ? "the driver's limit" : step.saturated ? "saturated" : nil
    let errors = step.errors.values.reduce(0, +)
    return
      ([
        asked, "\(Figure.number(step.achievedRate)) answers a second", limit,
        errors > 0 ? Figure.count(errors, "error") : nil,
      ]).compactMap { $0 }.joined(separator: ", ")
  }

  func overlaps() -> BarChart? {
    guard let shadow = report.shadow, !shadow.overlaps.isEmpty else { return nil }
    return BarChart(
      title: "How many queries have which overlap", axisTitle: "queries",
      groups: shadow.overlaps.sorted { $0.overlap > $1.overlap }.map {
        .init(
          name: "overlap \(Figure.plain(($0.overlap * 1e4).rounded() / 1e4))",
          style: SeriesStyle(family: .vizinho, number: 0),
          bars: [.init(value: Double($0.queries), text: Figure.number($0.queries))])
      })
  }

  func shadowLatency() -> LineChart? {
    report.shadow.flatMap {
      percentiles(
        "Latency of both",
        [
          (name: "engine", style: SeriesStyle(family: .vizinho, number: 0), latency: $0.engineLatency),
          (name: "exact", style: SeriesStyle(family: .pgvector, number: 0), latency: $0.exactLatency),
        ])
    }
  }
}
