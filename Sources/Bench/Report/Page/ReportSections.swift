// What stands on the page of one report, from the ratios at the top to the settings at the end.
//
// May use: ReportCharts, ReportTables, Verdict, Markup.

/// One report as HTML. Parts that were not measured do not appear.
struct ReportSections: Sendable {
  private let report: BenchReport
  private let charts: ReportCharts
  private let verdict: Verdict

  init(_ report: BenchReport) {
    self.report = report
    charts = ReportCharts(report)
    verdict = Verdict(report)
  }

  var title: String {
    switch report.command {
    case "pgvector": "Vizinho beside pgvector"
    case "load": "Vizinho under load"
    case "shadow": "Vizinho in pgvector’s shadow"
    case "index": "The index alone, in process"
    default: "bench \(report.command)"
    }
  }

  var html: Markup {
    let parts = [
      head, ratios, doubts, curves, latencies, indexes, filtered, load, shadow, mixed, freshness, settings, method,
    ]
    return "\(parts)"
  }

  // The top ---------------------------------------------------------------------------------------

  private var head: Markup {
    let data = report.data
    let machine = report.machine
    let memory = machine.memoryBytes > 0 ? ", \(Figure.bytes(machine.memoryBytes)) of memory" : ""
    var facts: [(String, String)] = [
      ("data", data.source + (data.checksum.map { " (\($0))" } ?? "")),
      ("queries", "\(Figure.number(data.queries)), \(Self.words(ofQuerySource: data.querySource))"),
      ("machine", "\(machine.cpu), \(Figure.count(machine.processors, "processor"))\(memory); \(machine.system)"),
      ("huge pages", machine.hugePages),
      ("began", report.created),
    ]
    if let seconds = report.elapsedSeconds { facts.append(("took", Figure.seconds(seconds))) }
    let list = facts.map { "<div><dt>\($0)</dt><dd>\($1)</dd></div>" as Markup }
    let banner: Markup =
      report.interrupted
      ? "<p class=\"banner\" role=\"status\">This run ended before all was measured. What is missing here was not measured.</p>"
      : ""
    return """
      <h1>\(title)</h1>
      <p class="lead">\(Figure.number(data.rows)) rows × \(Figure.number(data.dimension)) dimensions, \(data.metric), k = \(data.k)</p>
      <dl class="facts">\(list)</dl>\(banner)

      """
  }

  private static func words(ofQuerySource source: String) -> String {
    switch source {
    case "file": "from a file of their own"
    case "table": "from a table"
    case "log": "from a log"
    default: source
    }
  }

  private var ratios: Markup {
    guard verdict.hasBoth else { return "" }
    let wins = verdict.pgvectorWins
    let list: Markup = wins.isEmpty ? "<p>\(Verdict.nowhere)</p>" : Self.list(wins)
    // What was measured may be something else than searches at some recall.
    guard !verdict.rows.isEmpty else { return section(Self.winsTitle, nil, list) }
    let cards = Set(verdict.rows.map(\.clients)).sorted().map { clients -> Markup in
      let lines = verdict.rows.filter { $0.clients == clients }.map(line(of:))
      return "<div class=\"card\"><h3>\(Figure.count(clients, "client"))</h3><ul>\(lines)</ul></div>"
    }
    return section(
      "At equal recall",
      """
      Queries a second of Vizinho’s fastest index over those of pgvector’s fastest, each interpolated on its own curve at the recall. \
      Above 1 Vizinho is faster, below 1 pgvector is.
      """,
      "<div class=\"cards\">\(cards)</div><h3>\(Self.winsTitle)</h3>\(list)\(tables(matchedTables))")
  }

  private static let winsTitle = "Where pgvector is ahead"

  private func line(of row: Verdict.Row) -> Markup {
    let kind = row.ratio.map { $0 < 1 ? "behind" : "ahead" } ?? ""
    let who = row.ratio.map { $0 < 1 ? "pgvector is faster" : "Vizinho is faster" } ?? "not to be compared"
    func side(_ name: String, _ found: MatchedRecall?) -> Markup {
      guard let found else { return "<div>\(name) did not reach this recall</div>" }
      return "<div>\(found.engine): \((found.isAtLeast ? "≥ " : "") + Figure.number(found.qps)) queries/s</div>"
    }
    return """
      <li><div class="at">recall \(Figure.plain(row.recall))</div><div class="ratio \(kind)" title="\(who)">\(row.ratioText)</div>\
      <div class="sides">\(side("Vizinho", row.ours))\(side("pgvector", row.theirs))</div></li>
      """
  }

  private var matchedTables: [ReportTable] { ReportTables.matched(report.matched, k: report.data.k) }

  private var doubts: Markup {
    let warnings = report.settings.filter(\.isWarning).map(\.warning)
    guard !(report.notes + warnings).isEmpty else { return "" }
    return section("To know before believing it", nil, Self.list(report.notes + warnings))
  }

  // Comparison ------------------------------------------------------------------------------------

  private var curves: Markup {
    let drawn = charts.clientCounts.compactMap { charts.recall(clients: $0) }
    guard !drawn.isEmpty else { return "" }
    let all = charts.clientCounts.map { clients in
      ReportTables.curves(
        report.series.filter { $0.clients == clients }, k: report.data.k,
        title: Figure.count(clients, "client"), namesEngines: true)
    }
    // A report of one side has its speeds at equal recall here, since there are no ratios above.
    let equal = verdict.hasBoth ? [] : matchedTables
    return section(
      "Recall and speed",
      """
      Up and to the right is better. Each mark is one effort, the bar through it the spread of its rounds; the line goes through those that \
      no other effort beats, faint marks are beaten ones. The recall goes by what is missing to 1, so that .9, .99 and .999 are equally far \
      apart; 1 itself, where measured, is at the right edge.
      """,
      figures(drawn) + tables(equal + all))
  }

  private var latencies: Markup {
    let drawn = charts.clientCounts.compactMap { charts.latency(clients: $0) }
    guard !drawn.isEmpty else { return "" }
    return section(
      "Latency",
      """
      Of each index the least effort whose recall is \(Figure.plain(ReportCharts.latencyRecall)) or more; indexes that do not get there are \
      not drawn. Lower is better. The tables above have the latency at every effort.
      """,
      figures(drawn))
  }

  private var indexes: Markup {
    guard !report.engines.isEmpty else { return "" }
    return section(
      "Indexes", "What they cost to build and to keep.",
      figures(charts.builds()) + tables([ReportTables.engines(report.engines)]))
  }

  private var filtered: Markup {
    guard !report.filtered.isEmpty else { return "" }
    return section(
      "Filtered searches",
      """
      Recall is against the exact answer to the same filter. An answer is short when it has fewer rows than there are to find: the lesser of \
      k and the rows that match. A row is outside when it does not match.
      """,
      figures(charts.filtered()) + tables([ReportTables.filtered(report.filtered)]))
  }

  private var mixed: Markup {
    guard !report.mixed.isEmpty else { return "" }
    return section(
      "Searches while rows change", nil, figures(charts.mixed()) + tables([ReportTables.mixed(report.mixed)]))
  }

  private var freshness: Markup {
    guard let chart = charts.freshness() else { return "" }
    let spans = report.freshness.map { "\($0.engine): from \($0.span)" }
    return section(
      "From commit to answer", nil,
      figures([chart]) + Self.list(ReportTables.unique(spans)) + tables([ReportTables.freshness(report.freshness)]))
  }

  // One server ------------------------------------------------------------------------------------

  private var load: Markup {
    guard !report.load.isEmpty else { return "" }
    let sentence: Markup = LoadVerdict(report.load).map { "<p>\($0.sentence)</p>" } ?? ""
    return section(
      "Load",
      """
      Latency counts from the moment at which a request was due, whether or not the server was ready for it. Where a line turns back, more \
      was asked than came through.
      """,
      sentence + figures(charts.load()) + tables([ReportTables.load(report.load)]))
  }

  private var shadow: Markup {
    guard let shadow = report.shadow else { return "" }
    let failed = shadow.thresholds.contains { !$0.passed }
    let drawn: [(any Chart)?] = [charts.overlaps(), charts.shadowLatency()]
    return section(
      "Answers beside exact ones", nil,
      """
      <p class="\(failed ? "behind" : "ahead")">\(ReportSummary.sentence(of: shadow))</p>\
      \(figures(drawn.compactMap { $0 }))\(tables(ReportTables.shadow(shadow), isOpen: true))\
      \(shadow.worst.isEmpty ? "" : tables([ReportTables.worst(shadow.worst)]))
      """)
  }

  // The end ---------------------------------------------------------------------------------------

  private var settings: Markup {
    guard !report.settings.isEmpty else { return "" }
    let groups = ReportTables.unique(report.settings.map(\.group))
    return section(
      "Settings", nil, tables(groups.map { ReportTables.settings(report.settings, group: $0) }, isOpen: true))
  }

  private var method: Markup {
    report.method.isEmpty ? "" : section("How it was measured", nil, Self.list(report.method))
  }

  // Pieces ----------------------------------------------------------------------------------------

  private func section(_ title: String, _ how: String?, _ content: Markup) -> Markup {
    let sentence: Markup = how.map { "<p class=\"how\">\($0)</p>" } ?? ""
    return "<section><h2>\(title)</h2>\(sentence)\(content)</section>\n"
  }

  private func figures(_ charts: [any Chart]) -> Markup {
    guard !charts.isEmpty else { return "" }
    let figures = charts.map { "<figure><figcaption>\($0.title)</figcaption>\($0.figure())</figure>" as Markup }
    return "<div class=\"charts\">\(figures)</div>"
  }

  private func tables(_ tables: [ReportTable], isOpen: Bool = false) -> Markup {
    let full = tables.filter { !$0.rows.isEmpty }
    guard !full.isEmpty else { return "" }
    let content = full.map(Self.table)
    return isOpen ? "\(content)" : "<details><summary>The figures as a table</summary>\(content)</details>"
  }

  private static func table(_ table: ReportTable) -> Markup {
    func cells(_ row: [String], _ isHead: Bool) -> Markup {
      let cells = zip(table.columns, row).map { column, text -> Markup in
        let kind: Markup = column.isNumber ? " class=\"n\"" : ""
        return isHead ? "<th scope=\"col\"\(kind)>\(text)</th>" : "<td\(kind)>\(text)</td>"
      }
      return "<tr>\(cells)</tr>"
    }
    return """
      <div class="scroll"><table><caption>\(table.title)</caption><thead>\(cells(table.columns.map(\.title), true))</thead>\
      <tbody>\(table.rows.map { cells($0, false) })</tbody></table></div>
      """
  }

  private static func list(_ sentences: [String]) -> Markup {
    "<ul class=\"plain\">\(sentences.map { "<li>\($0)</li>" as Markup })</ul>"
  }
}
