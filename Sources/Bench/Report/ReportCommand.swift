// `bench report`: shows reports that were kept as JSON.
//
// May use: ReportFiles, ReportPage, ReportCharts, ReportSummary.

import ArgumentParser

struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Makes a page, a chart or text of reports that other commands wrote with --json.",
    discussion: """
      Without --html and --svg the reports are printed as tables. A page shows several reports one after the other; it does not mix \
      their figures, which may be of several machines.
      """)

  /// Charts that can stand alone.
  enum Name: String, ExpressibleByArgument, CaseIterable {
    case recall, latency, build, size, memory
    case filterSpeed = "filter-speed"
    case filterRecall = "filter-recall"
    case load
  }

  @Option(parsing: .upToNextOption, help: "The reports.") var json: [String]
  @Option(help: "Write them to this file as a page that a browser shows.") var html: String?
  @Option(help: "Write one chart of the one report to this file as SVG, readable on light and dark ground.")
  var svg: String?
  @Option(help: "Which chart.") var chart = Name.recall
  @Option(help: "With how many clients it was measured, for recall and latency; the fewest that there are if absent.")
  var clients: Int?

  func validate() throws {
    guard !json.isEmpty else { throw ValidationError("--json needs at least one report") }
    guard svg == nil || json.count == 1 else {
      throw ValidationError("--svg takes one report, and --json names several")
    }
  }

  func run() throws {
    let reports = try json.map { try BenchReport(contentsOf: $0) }
    if let html { try ReportFiles.write(ReportPage(reports).html.text, to: html) }
    if let svg { try ReportFiles.write(drawing(of: reports[0]).text, to: svg) }
    guard html == nil, svg == nil else { return }
    for report in reports {
      var empty = report
      (empty.engines, empty.series, empty.load, empty.filtered, empty.mixed) = ([], [], [], [], [])
      (empty.freshness, empty.shadow) = ([], nil)
      for table in ReportTables.parts(of: report, notIn: empty) { print(TextTable(table).text()) }
      print(ReportSummary(report).text, terminator: "")
    }
  }

  private func drawing(of report: BenchReport) throws(ValidationError) -> Markup {
    let charts = ReportCharts(report)
    let counts = charts.clientCounts
    let clients = clients ?? counts.first ?? 1
    let needsClients = chart == .recall || chart == .latency
    guard !needsClients || counts.contains(clients) else {
      let known =
        counts.isEmpty ? "no searches" : "searches with \(counts.map(String.init).joined(separator: ", ")) clients"
      throw ValidationError("the report has no curve for --clients \(clients); it has \(known)")
    }
    let builds = charts.builds()
    let filtered = charts.filtered()
    let found: (any Chart)? =
      switch chart {
      case .recall: charts.recall(clients: clients)
      case .latency: charts.latency(clients: clients)
      case .build: builds.first { $0.title == ReportCharts.buildTitle }
      case .size: builds.first { $0.title == ReportCharts.sizeTitle }
      case .memory: builds.first { $0.title == ReportCharts.memoryTitle }
      case .filterSpeed: filtered.first
      case .filterRecall: filtered.last
      case .load: charts.load().first
      }
    guard let found else {
      throw ValidationError("the report has nothing to draw for --chart \(chart.rawValue): that part was not measured")
    }
    return found.standalone()
  }
}
