// What a comparison comes to, computed.

import Testing

@testable import Bench

struct VerdictTests {
  @Test func theFastestOfEachSideIsTaken() throws {
    let verdict = Verdict(SampleReports.comparison)
    #expect(verdict.rows.map(\.clients) == [1, 1, 1, 8, 8, 8])
    #expect(verdict.rows.map(\.recall) == [0.9, 0.95, 0.99, 0.9, 0.95, 0.99])
    let row = verdict.rows[1]
    #expect(row.ours?.engine == "vizinho int4x16")
    #expect(row.theirs?.engine == "pgvector hnsw halfvec")
    let ours = try #require(row.ours?.qps)
    let theirs = try #require(row.theirs?.qps)
    #expect(row.ratio == ours / theirs)
    #expect(row.ratioText == Figure.ratio(ours / theirs))
  }

  @Test func wherePgvectorIsFasterIsSaid() {
    var report = SampleReports.empty("pgvector")
    report.engines = builds(vizinho: (10, 500), pgvector: (20, 600))
    report.series = [
      Series(
        engine: "v", clients: 4,
        points: [SampleReports.point("ef", 10, 0.9, 100), SampleReports.point("ef", 20, 0.96, 50)]),
      Series(
        engine: "p", clients: 4,
        points: [SampleReports.point("ef_search", 10, 0.9, 200), SampleReports.point("ef_search", 20, 0.995, 20)]),
    ]
    report.matched = MatchedRecall.all(of: report.series)
    let verdict = Verdict(report)
    #expect(verdict.rows.map { $0.ratio.map { $0 < 1 } } == [true, true, nil])
    #expect(
      verdict.pgvectorWins[0]
        == "At recall 0.9 with 4 clients pgvector is faster: p answers 200 queries a second, v 100 (× 0.500).")
    #expect(verdict.pgvectorWins[1].hasPrefix("At recall 0.95 with 4 clients pgvector is faster: "))
    #expect(verdict.pgvectorWins[2].hasPrefix("At recall 0.99 with 4 clients pgvector alone gets there: p, "))
    #expect(
      verdict.pgvectorWins.contains {
        $0.hasPrefix("At recall 0.9 with 4 clients pgvector's median latency is lower: p ")
      })
    // Neither its build nor its index is ahead.
    #expect(!verdict.pgvectorWins.contains { $0.contains("build") || $0.contains("smallest") })
  }

  @Test func aCheaperIndexIsSaid() {
    var report = SampleReports.empty("pgvector")
    report.engines = builds(vizinho: (10, 500), pgvector: (3, 200))
    let wins = Verdict(report).pgvectorWins
    #expect(wins.contains("pgvector's fastest build is faster: p with 3.00 s, v with 10.0 s."))
    #expect(wins.contains("pgvector's smallest index is smaller: p with 200 B, v with 500 B."))
  }

  @Test func aLowerBoundIsShownAsOne() {
    var report = SampleReports.empty("pgvector")
    report.engines = builds(vizinho: (1, 1), pgvector: (2, 2))
    report.series = [
      Series(engine: "v", clients: 1, points: [SampleReports.point("ef", 10, 0.97, 100)]),
      Series(
        engine: "p", clients: 1,
        points: [SampleReports.point("ef_search", 10, 0.8, 40), SampleReports.point("ef_search", 20, 0.999, 10)]),
    ]
    report.matched = MatchedRecall.all(of: report.series)
    let rows = Verdict(report).rows
    #expect(rows[0].ratioText.hasPrefix("≥ × "))
    #expect(rows[2].ratio == nil && rows[2].ratioText == "–")
  }

  @Test func filtersCountOnlyWhereTheirAnswersAreAsGood() {
    let wins = Verdict(SampleReports.comparison).pgvectorWins.filter { $0.hasPrefix("With a filter") }
    #expect(wins.count == 1)
    #expect(wins.first?.contains("0.1 % of the rows") == true)
  }

  @Test func freshnessAndMixedLoadCount() {
    var report = SampleReports.comparison
    #expect(Verdict(report).pgvectorWins.contains { $0.hasPrefix("A change is found sooner by pgvector: ") })
    #expect(!Verdict(report).pgvectorWins.contains { $0.hasPrefix("While ") })
    report.freshness[0].p50Milliseconds = 0.1
    report.mixed[1].qps = Spread([9_999])
    #expect(!Verdict(report).pgvectorWins.contains { $0.hasPrefix("A change is found sooner") })
    #expect(
      Verdict(report).pgvectorWins.contains { $0.hasPrefix("While 200 rows a second change, with 8 clients, pgvector") }
    )
  }

  @Test func freshnessIsComparedOverEqualSpans() {
    var report = SampleReports.comparison
    func result(_ engine: Int, _ milliseconds: Double, _ span: String) -> FreshnessResult {
      var result = report.freshness[engine]
      (result.p50Milliseconds, result.span) = (milliseconds, span)
      return result
    }
    report.freshness = [
      result(0, 2, "all"), result(0, 0.1, "insert"), result(0, 1.9, "search"), result(1, 1, "all"),
      result(1, 0.9, "insert"),
    ]
    let wins = Verdict(report).pgvectorWins.filter { $0.hasPrefix("A change is found sooner") }
    #expect(wins.count == 1 && wins[0].contains("1.00 ms (all)") && wins[0].contains("2.00 ms (all)"))
  }

  @Test func oneSideAloneIsNoComparison() {
    var report = SampleReports.comparison
    report.engines.removeAll { $0.family == .pgvector }
    let verdict = Verdict(report)
    #expect(!verdict.hasBoth && verdict.rows.isEmpty && verdict.pgvectorWins.isEmpty)
  }

  @Test func aRunInWhichPgvectorIsNowhereAheadSaysSo() {
    var report = SampleReports.empty("pgvector")
    report.engines = builds(vizinho: (1, 1), pgvector: (2, 2))
    #expect(ReportSummary(report).text.contains(Verdict.nowhere))
  }

  private func builds(vizinho: (Double, Int), pgvector: (Double, Int)) -> [EngineBuild] {
    [("v", EngineFamily.vizinho, vizinho), ("p", .pgvector, pgvector)].map { id, family, cost in
      EngineBuild(
        id: id, family: family, buildSeconds: cost.0, indexBytes: cost.1, bytesPerVector: Double(cost.1), detail: "")
    }
  }
}

struct LoadVerdictTests {
  @Test func whatSaturatesAndWhatDoesNotAreApart() throws {
    let verdict = try #require(LoadVerdict(SampleReports.load.load))
    #expect(verdict.most.achievedRate == 12_900)
    #expect(verdict.mostCalm?.achievedRate == 12_000)
    #expect(
      verdict.sentence.hasPrefix("Up to 12,000 answers a second (median ")
        && verdict.sentence.contains("at most 12,900"))
  }

  @Test func pingsAreNoSearches() {
    #expect(LoadVerdict(SampleReports.load.load.filter { $0.kind == "ping" }) == nil)
    #expect(LoadVerdict([]) == nil)
  }

  @Test func aLimitOfTheDriverIsSaid() throws {
    var point = SampleReports.load.load[0]
    point.limitedByDriver = true
    #expect(
      try #require(LoadVerdict([point])).sentence.hasSuffix("The driver was what could not do more: the server may."))
  }

  @Test func thresholdsThatFailedAreNamed() throws {
    let shadow = try #require(SampleReports.shadow.shadow)
    #expect(ReportSummary.sentence(of: shadow) == "Failed: --max-score-error 0.0005, found 0.0007.")
  }
}
