// Figures as people read them, tables as lines of text, and how far a run is.

import Testing

@testable import Bench

struct FigureTests {
  @Test(arguments: [
    (0.0, "0"), (1_234_567.0, "1,234,567"), (999.6, "1,000"), (100.0, "100"), (99.96, "100"), (99.94, "99.9"),
    (12.34, "12.3"), (9.996, "10.0"), (1.234, "1.23"), (0.9996, "1.00"), (0.1234, "0.123"), (0.01234, "0.0123"),
    (0.00001234, "1.2e-05"), (-1_234.0, "-1,234"), (Double.nan, "–"), (Double.infinity, "–"),
  ])
  func numbersKeepThreeDigits(_ value: Double, _ text: String) { #expect(Figure.number(value) == text) }

  @Test func unitsGoWithTheSize() {
    #expect(
      [0, 999, 1_000, 12_345_678, 3_000_000_000].map { Figure.bytes($0) } == [
        "0 B", "999 B", "1.00 kB", "12.3 MB", "3.00 GB",
      ])
    #expect(Figure.bytes(nil) == "–")
    #expect([0.5, 61.23, 125, 3_725].map { Figure.seconds($0) } == ["0.500 s", "61.2 s", "2 min 5 s", "1 h 2 min"])
    #expect([31.4, 2_500, 3_100_000].map { Figure.duration(microseconds: $0) } == ["31.4 µs", "2.50 ms", "3.10 s"])
    #expect([100, 2_000, 5e6].map { Figure.durationTick($0) } == ["100 µs", "2 ms", "5 s"])
    #expect([0.001, 0.25, 1].map { Figure.percent($0) } == ["0.1 %", "25 %", "100 %"])
    #expect([40, 0.95, 1e-6].map { Figure.plain($0) } == ["40", "0.95", "0.000001"])
    #expect(
      Figure.count(1, "client") == "1 client" && Figure.count(2_000, "query", plural: "queries") == "2,000 queries")
  }

  @Test func oneRoundHasNoRange() {
    #expect(Figure.range(Spread([5])) == "")
    #expect(Figure.range(Spread([500, 400, 600])) == "400 – 600")
  }
}

struct TextTableTests {
  @Test func numbersStandToTheRight() {
    let table = ReportTable(
      title: "Indexes", columns: [.text("index"), .number("build"), .long("made by")],
      rows: [["vizinho", "1.00 s", "a long story"], ["pgvector exact", "–", "another"]])
    #expect(
      TextTable(table).text() == """
        Indexes
        index            build
        ──────────────  ──────
        vizinho         1.00 s
        pgvector exact       –

        """)
  }

  @Test func textGivesWayWhereATableIsTooWide() {
    let long = String(repeating: "x", count: 200)
    let table = ReportTable(
      title: "t", columns: [.text("a"), .number("n"), .text("b")], rows: [[long, "1,234", "short"], ["y", "5", long]])
    let lines = TextTable(table, widthMax: 60).text().split(separator: "\n")
    #expect(lines.allSatisfy { $0.count <= 60 })
    #expect(lines[3].contains("…") && lines[3].contains("1,234") && lines[3].hasSuffix("short"))
  }

  @Test func allTablesFitATerminal() {
    for report in [SampleReports.comparison, SampleReports.load, SampleReports.shadow] {
      let tables =
        ReportTables.parts(of: report, notIn: SampleReports.empty(report.command))
        + ReportTables.matched(report.matched, k: 10) + [Verdict(report).table(k: 10)]
      for table in tables {
        #expect(table.rows.allSatisfy { $0.count == table.columns.count })
        #expect(
          TextTable(table).text().split(separator: "\n").allSatisfy { $0.count <= TextTable.widthMax }, "\(table.title)"
        )
      }
    }
  }

  @Test func onlyWhatIsNewIsPrinted() {
    let old = SampleReports.comparison
    var new = old
    #expect(ReportTables.parts(of: new, notIn: old).isEmpty)
    new.series[3].points.append(SampleReports.point("ef_search", 400, 0.999, 50))
    new.freshness.append(
      FreshnessResult(engine: "x", changes: 1, p50Milliseconds: 1, p99Milliseconds: 2, span: "here to there"))
    let tables = ReportTables.parts(of: new, notIn: old)
    #expect(tables.map(\.title) == ["\(old.series[3].engine), 1 client", "From commit to answer"])
    #expect(tables[1].rows.count == 1)
  }

  @Test func theRecallBesideChangesIsOfBefore() {
    let table = ReportTables.mixed(SampleReports.comparison.mixed)
    #expect(table.columns.contains { $0.title == "recall was" } && !table.columns.contains { $0.title == "recall" })
  }

  @Test func columnsThatSayNothingAreLeftOut() {
    let table = ReportTable(
      title: "t", columns: [.text("a"), .number("n"), .text("b"), .number("m")],
      rows: [["x", "0", "", ""], ["y", "–", "–", ""]])
    #expect(table.withoutEmptyColumns().columns.map(\.title) == ["a", "n"])
  }
}

struct ProgressTests {
  @Test func stepsAddUp() {
    var progress = ProgressState()
    #expect(progress.fraction == 0)
    progress.expect(units: 10)
    progress.begin("building", units: 4)
    #expect(progress.fraction == 0)
    progress.advance(to: 0.5)
    #expect(abs(progress.fraction - 0.2) < 1e-12)
    // What was done is not undone, and what is no share changes nothing.
    progress.advance(to: 0.25)
    progress.advance(to: .nan)
    #expect(abs(progress.fraction - 0.2) < 1e-12)
    progress.begin("searching", units: 6)
    #expect(abs(progress.fraction - 0.4) < 1e-12)
    progress.advance(to: 7)
    #expect(progress.fraction == 1)
    progress.begin("more than was expected", units: 5)
    progress.advance(to: 1)
    #expect(progress.fraction == 1)
  }

  @Test func timeLeftFollowsFromTimeGone() {
    var progress = ProgressState()
    progress.expect(units: 100)
    progress.begin("a", units: 100)
    progress.advance(to: 0.01)
    #expect(progress.secondsLeft(at: 60) == nil)
    progress.advance(to: 0.25)
    #expect(progress.secondsLeft(at: 1) == nil)
    #expect(progress.secondsLeft(at: 60) == 180)
    #expect(progress.text(at: 60) == " 25 %, 3 min 0 s left: a")
  }

  @Test func theBarKeepsToItsWidth() {
    var progress = ProgressState()
    progress.expect(units: 2)
    progress.begin("pgvector hnsw m=16 efc=200: building", units: 1)
    progress.advance(to: 1)
    #expect(progress.bar(at: 1, width: 200) == "[████████████░░░░░░░░░░░░]  50 %: pgvector hnsw m=16 efc=200: building")
    #expect(progress.bar(at: 1, width: 40).count == 40)
    #expect(progress.bar(at: 1, width: 1) == "…")
  }
}
