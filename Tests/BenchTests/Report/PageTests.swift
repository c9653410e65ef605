// The page of a report: what stands on it, that it is sound, and that nothing in a report becomes markup.

import Testing

@testable import Bench

struct PageTests {
  private func page(_ reports: [BenchReport]) throws -> WellFormed { try WellFormed(ReportPage(reports).html.text) }

  @Test func aComparisonHasItsSectionsAndCharts() throws {
    let page = try page([SampleReports.comparison])
    #expect(page.named("h1").map(\.text) == ["Vizinho beside pgvector"])
    #expect(
      page.named("h2").map(\.text) == [
        "At equal recall", "To know before believing it", "Recall and speed", "Latency", "Indexes", "Filtered searches",
        "Searches while rows change", "From commit to answer", "Settings", "How it was measured",
      ])
    #expect(
      page.named("figcaption").map(\.text) == [
        "Recall and speed, 1 client", "Recall and speed, 8 clients", "Latency at a recall of 0.95 or more, 1 client",
        "Latency at a recall of 0.95 or more, 8 clients", "Build time", "Size of the index",
        "Memory at the peak of the build", "Speed with a filter", "Recall with a filter", "Speed while rows change",
        "99th percentile while rows change", "From commit to answer",
      ])
    let charts = page.named("svg")
    #expect(charts.count == page.named("figcaption").count)
    #expect(charts.allSatisfy { $0.attributes["role"] == "img" && $0.attributes["aria-label"]?.isEmpty == false })
    // Every engine but the exact one, whose build takes no time, has a bar in the first chart of builds.
    #expect(page.elements.contains { $0.text == "vizinho int4x16: 12.7 s" })
    #expect(!page.elements.contains { $0.text.hasPrefix("pgvector exact: 0") })
  }

  @Test func everyMeasuredPointStandsInATable() throws {
    let report = SampleReports.comparison
    let cells = Set(try page([report]).named("td").map(\.text))
    for point in report.series.flatMap(\.points) {
      #expect(cells.contains(Figure.number(point.qps.median)))
      #expect(cells.contains(Figure.recall(point.recall)))
    }
    for engine in report.engines { #expect(cells.contains(engine.detail)) }
  }

  @Test func itSaysWherePgvectorIsAhead() throws {
    let report = SampleReports.comparison
    let wins = Verdict(report).pgvectorWins
    #expect(!wins.isEmpty)
    let lines = try page([report]).named("li").map(\.text)
    for sentence in wins { #expect(lines.contains(sentence)) }
  }

  @Test func itSaysSoAlsoWhereNoSearchWithoutAFilterWasMeasured() throws {
    var report = SampleReports.comparison
    (report.series, report.matched) = ([], [])
    let wins = Verdict(report).pgvectorWins
    #expect(wins.contains { $0.hasPrefix("With a filter") })
    let page = try page([report])
    #expect(page.named("h2").contains { $0.text == "Where pgvector is ahead" })
    #expect(!page.elements.contains { $0.attributes["class"] == "cards" })
    let lines = page.named("li").map(\.text)
    for sentence in wins { #expect(lines.contains(sentence)) }
  }

  @Test func namesStayText() throws {
    let page = try page([SampleReports.comparison, SampleReports.shadow])
    #expect(page.named("script").count == 1)
    #expect(page.named("b").isEmpty && page.named("ivfflat").isEmpty && page.named("test").isEmpty)
    #expect(page.named("dd").contains { $0.text.hasPrefix("passages<b>&\"x\" (sha256:00ff)") })
    #expect(page.named("td").contains { $0.text == "<script>, 5" })
  }

  @Test func everythingOfAReportMayBeHostile() throws {
    let hostile = "</script></style></svg>\"'><img src=x onerror=alert(1)>&amp;\u{0}"
    var report = SampleReports.comparison
    report.command = hostile
    report.created = hostile
    report.data.metric = hostile
    report.data.querySource = hostile
    report.machine.hugePages = hostile
    report.method = [hostile]
    report.notes = [hostile]
    report.settings[0].group = hostile
    report.engines[0].id = hostile
    report.engines[0].detail = hostile
    report.series[0].engine = hostile
    report.series[0].points[0].effort = hostile
    report.series[0].points[0].note = hostile
    report.matched = MatchedRecall.all(of: report.series)
    report.filtered[0].detail = hostile
    report.mixed[0].engine = hostile
    report.freshness[0].span = hostile
    report.shadow = SampleReports.shadow.shadow
    report.shadow?.thresholds[0].name = hostile
    report.load = SampleReports.load.load
    report.load[0].errors = [hostile: 1]
    report.load[0].note = hostile
    let page = try page([report, report])
    #expect(page.named("img").isEmpty)
    #expect(page.named("script").count == 1 && page.named("style").count == 1)
  }

  @Test(arguments: ["pgvector", "load", "shadow", "index", "something else"])
  func anEmptyReportIsAPage(_ command: String) throws {
    let page = try page([SampleReports.empty(command)])
    #expect(page.named("h1").count == 1)
    #expect(page.named("h2").isEmpty && page.named("svg").isEmpty)
  }

  @Test func anInterruptedReportSaysSo() throws {
    var report = SampleReports.comparison
    #expect(try !page([report]).named("p").contains { $0.attributes["class"] == "banner" })
    report.interrupted = true
    // Ended before anything was matched, and before two engines were built.
    report.engines.removeLast(2)
    report.matched = []
    report.filtered = []
    let page = try page([report])
    #expect(page.named("p").contains { $0.attributes["class"] == "banner" })
    #expect(!page.named("h2").contains { $0.text == "At equal recall" })
    #expect(page.named("h2").contains { $0.text == "Recall and speed" })
  }

  @Test func figuresThatAreNoNumbersDrawNothing() throws {
    var report = SampleReports.comparison
    report.series[0].points[0].recall = .nan
    report.series[0].points[1].qps = Spread([.infinity])
    report.series[0].points[2].latency?.p50 = .nan
    report.engines[0].buildSeconds = .infinity
    report.filtered[0].recall = .nan
    report.freshness[0].p99Milliseconds = .nan
    let text = ReportPage([report]).html.text
    _ = try WellFormed(text)
    #expect(!text.contains("nan") && !text.contains("inf,") && !text.contains(">inf"))
  }

  @Test func openAndClosedLoopsAreDrawnApart() throws {
    var report = SampleReports.load
    for clients in [1, 4] {
      var step = report.load[0]
      (step.targetRate, step.inFlight, step.achievedRate) = (nil, clients, 900 * Double(clients))
      report.load.append(step)
    }
    let charts = ReportCharts(report).load()
    #expect(
      charts.map { $0.lines.map(\.name) } == [["p99.9", "p99", "median", "p99 of pings"], ["p99.9", "p99", "median"]])
    #expect(charts.map { $0.lines[0].points.count } == [7, 2])
    #expect(try page([report]).named("svg").count == 2)
  }

  @Test func severalReportsStandOneAfterTheOther() throws {
    let page = try page([SampleReports.comparison, SampleReports.load, SampleReports.shadow])
    #expect(
      page.named("h1").map(\.text) == ["Vizinho beside pgvector", "Vizinho under load", "Vizinho in pgvector’s shadow"])
    #expect(page.named("a").compactMap { $0.attributes["href"] } == ["#report-1", "#report-2", "#report-3"])
    #expect(page.named("article").compactMap { $0.attributes["id"] } == ["report-1", "report-2", "report-3"])
  }

  @Test func itNeedsNothingFromElsewhere() throws {
    let page = try page([SampleReports.comparison])
    for element in page.elements {
      #expect(element.attributes["src"] == nil)
      #expect(element.attributes["href"]?.hasPrefix("#") ?? true)
    }
    let style = try #require(page.named("style").first).text
    #expect(!style.contains("url(") && !style.contains("@import"))
    #expect(style.contains("prefers-color-scheme:dark") && style.contains("@media print"))
    // Every class that a chart uses has its rules.
    for name in ["line", "mark", "grid", "axis", "bar", "spread", "hollow", "v0", "v4", "p0", "p5"] {
      #expect(style.contains(".\(name){"), "\(name)")
    }
  }

  @Test func aChartStandsAlone() throws {
    let chart = try #require(ReportCharts(SampleReports.comparison).recall(clients: 8))
    let svg = try WellFormed(chart.standalone().text)
    let root = try #require(svg.elements.first)
    #expect(root.name == "svg" && root.attributes["xmlns"] == "http://www.w3.org/2000/svg")
    let style = try #require(svg.named("style").first).text
    #expect(style.contains("prefers-color-scheme:dark"))
    #expect(svg.named("rect").first?.attributes["class"] == "ground")
    #expect(svg.named("text").contains { $0.text == "Recall and speed, 8 clients" })
    // A mark for each point.
    let points = SampleReports.comparison.series.filter { $0.clients == 8 }.flatMap(\.points).count
    #expect(svg.elements.filter { $0.attributes["class"]?.hasPrefix("at") ?? false }.count == points)
  }
}
