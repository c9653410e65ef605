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
    #expect(
      verdict.pgvectorWins.contains {
        $0.hasPrefix("At recall 0.9 with 4 clients pgvector's 99th percentile of latency is lower: p ")
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

  /// Ours finds .985 at 2,700 a second without a short answer.
  private func filterWins(_ theirs: [(recall: Double, qps: Double, short: Int, outside: Int)]) -> [String] {
    var report = SampleReports.empty("pgvector")
    report.engines = builds(vizinho: (1, 1), pgvector: (2, 2))
    func point(_ engine: String, _ recall: Double, _ qps: Double, _ short: Int, _ outside: Int) -> FilteredPoint {
      FilteredPoint(
        engine: engine, selectivity: 0.01, recall: recall, qps: Spread([qps]), latency: nil, short: short,
        outside: outside, detail: nil)
    }
    report.filtered =
      [point("v", 0.985, 2_700, 0, 0), point("v", 0.95, 4_000, 0, 0)]
      + theirs.map { point("p", $0.recall, $0.qps, $0.short, $0.outside) }
    return Verdict(report).pgvectorWins.filter { $0.hasPrefix("With a filter") }
  }

  @Test func aFilteredPointThatNothingOfOursMatchesIsAWin() {
    // Slower than our fastest, but it finds more than any of ours.
    #expect(
      filterWins([(0.999, 300, 0, 0)]) == [
        "With a filter that 1 % of the rows match nothing of ours gives answers as good: p with 300 queries a second at recall 0.9990; "
          + "of ours the one that finds most is v with 2,700 queries a second at recall 0.9850."
      ])
    // Slower than our fastest, but faster than ours of that recall.
    #expect(
      filterWins([(0.98, 3_000, 0, 0)]) == [
        "With a filter that 1 % of the rows match pgvector is faster: p with 3,000 queries a second at recall 0.9800; "
          + "of ours whose answers are no worse the fastest is v with 2,700 queries a second at recall 0.9850."
      ])
    #expect(filterWins([(0.985, 2_700, 0, 0), (0.9, 3_900, 0, 0), (0.98, 2_000, 3, 1)]).isEmpty)
  }

  @Test func ofTheirFilteredPointsThoseThatAnotherMatchesAreLeftOut() {
    let wins = filterWins([(0.98, 3_000, 0, 0), (0.97, 3_000, 2, 0), (0.98, 3_000, 0, 0), (0.999, 300, 0, 4)])
    #expect(wins.count == 2)
    #expect(wins.first?.contains("at recall 0.9800;") == true)
    #expect(wins.last?.contains("at recall 0.9990, 4 rows outside;") == true)
  }

  @Test func freshnessAndMixedLoadCount() {
    var report = SampleReports.comparison
    #expect(Verdict(report).pgvectorWins.contains { $0.hasPrefix("A change is found sooner by pgvector: ") })
    #expect(Verdict(report).pgvectorWins.contains { $0.hasPrefix("Of 100 changes 99 are found sooner by pgvector: ") })
    #expect(!Verdict(report).pgvectorWins.contains { $0.hasPrefix("While ") })
    report.freshness[0].p50Milliseconds = 0.1
    report.freshness[0].p99Milliseconds = 0.2
    report.mixed[1].qps = Spread([9_999])
    report.mixed[1].writesPerSecond = 196
    #expect(!Verdict(report).pgvectorWins.contains { $0.hasPrefix("A change is found sooner") })
    #expect(!Verdict(report).pgvectorWins.contains { $0.hasPrefix("Of 100 changes") })
    #expect(
      Verdict(report).pgvectorWins.contains { $0.hasPrefix("While 200 rows a second change, with 8 clients, pgvector") }
    )
  }

  @Test func mixedLoadsAreComparedAtEnoughRecallAndTheSameWrites() {
    func isWin(_ recall: Double?, ours: Double? = 0.961, writes: Double = 200, oursWrites: Double = 200) -> Bool {
      var report = SampleReports.comparison
      report.mixed[0].recall = ours
      report.mixed[0].writesPerSecond = oursWrites
      report.mixed[1].qps = Spread([9_999])
      report.mixed[1].recall = recall
      report.mixed[1].writesPerSecond = writes
      return Verdict(report).pgvectorWins.contains { $0.hasPrefix("While ") }
    }
    #expect(isWin(0.95) && isWin(0.99) && isWin(0.951, ours: 0.999))
    #expect(isWin(0.9, ours: 0.9) && isWin(0.9, ours: 0.8) == false && isWin(0.8, ours: 0.9) == false)
    #expect(!isWin(0.949) && !isWin(nil) && !isWin(0.96, ours: nil))
    #expect(isWin(0.96, writes: 196) && !isWin(0.96, writes: 195) && !isWin(0.96, oursWrites: 195))
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

  @Test func noRateBeyondOneThatWasFullIsCalm() throws {
    var points = SampleReports.load.load
    points[2].saturated = true
    let verdict = try #require(LoadVerdict(points.reversed()))
    #expect(verdict.mostCalm?.targetRate == 2_000 && verdict.most.achievedRate == 12_900)
    points[0].saturated = true
    #expect(try #require(LoadVerdict(points)).sentence.hasPrefix("Already the least rate saturated the server; "))
  }

  @Test func clientsCountOnlyWhereThereIsNoRate() throws {
    var step = SampleReports.load.load[0]
    let clients = [(8, 900.0, true), (1, 500, false), (2, 950, false)].map { inFlight, rate, isFull in
      (step.targetRate, step.inFlight, step.achievedRate, step.saturated) = (nil, inFlight, rate, isFull)
      return step
    }
    #expect(try #require(LoadVerdict(clients)).sentence.hasPrefix("At most 950 answers a second"))
    #expect(try #require(LoadVerdict(clients)).sentence.hasSuffix(", before it saturates."))
    let calm = try #require(LoadVerdict(Array(clients.dropFirst())))
    #expect(!calm.hasFull && calm.sentence.hasSuffix("; no number of clients saturated the server."))
    let both = try #require(LoadVerdict(clients + SampleReports.load.load.prefix(3)))
    #expect(both.mostCalm?.targetRate == 4_000 && both.sentence.hasSuffix("; no rate saturated the server."))
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
