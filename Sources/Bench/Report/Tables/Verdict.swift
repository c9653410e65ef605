// What a comparison comes to: our ratios, and where pgvector is ahead, computed from the figures and not chosen by anyone.
//
// May use: Report/Model, Interpolation, Figure.

/// The best of each side, at equal recall and by everything else that was measured.
struct Verdict: Sendable, Equatable {
  /// The fastest index of each family with so many clients at a recall.
  struct Row: Sendable, Equatable {
    var clients: Int
    var recall: Double
    var ours: MatchedRecall?
    var theirs: MatchedRecall?

    /// Our queries a second over theirs.
    var ratio: Double? {
      guard let ours = ours?.qps, let theirs = theirs?.qps, theirs > 0 else { return nil }
      return ours / theirs
    }

    /// `× 3.21`; with `≥`, `≤` or `≈` in front where a speed is a bound, since its curve begins above the recall.
    var ratioText: String {
      guard let ratio else { return Figure.none }
      let sign =
        switch (ours?.isAtLeast ?? false, theirs?.isAtLeast ?? false) {
        case (false, false): ""
        case (true, false): "≥ "
        case (false, true): "≤ "
        case (true, true): "≈ "
        }
      return sign + Figure.ratio(ratio)
    }
  }

  var rows: [Row] = []
  /// Where pgvector is ahead, a sentence each; empty where it never was.
  var pgvectorWins: [String] = []
  /// Whether there was anything of both to hold side by side.
  var hasBoth = false

  init(_ report: BenchReport) {
    families = Dictionary(report.engines.map { ($0.id, $0.family) }) { first, _ in first }
    hasBoth = Set(families.values).count == 2
    guard hasBoth else { return }
    rows = Self.rows(report.matched, families)
    pgvectorWins =
      speed() + builds(report) + latencies(report) + filtered(report) + mixed(report) + freshness(report)
  }

  /// By the ids of engines.
  private var families: [String: EngineFamily]

  private static func rows(_ matched: [MatchedRecall], _ families: [String: EngineFamily]) -> [Row] {
    func best(_ family: EngineFamily, _ clients: Int, _ recall: Double) -> MatchedRecall? {
      matched.filter { $0.clients == clients && $0.recall == recall && $0.reached && families[$0.engine] == family }
        .max { ($0.qps ?? 0) < ($1.qps ?? 0) }
    }
    let recalls = Set(matched.map(\.recall)).sorted()
    return Set(matched.map(\.clients)).sorted().flatMap { clients in
      recalls.map {
        Row(clients: clients, recall: $0, ours: best(.vizinho, clients, $0), theirs: best(.pgvector, clients, $0))
      }
    }
  }

  // Where pgvector is ahead -----------------------------------------------------------------------

  private func speed() -> [String] {
    rows.compactMap { row in
      let place = "At recall \(Figure.plain(row.recall)) with \(Figure.count(row.clients, "client"))"
      guard let theirs = row.theirs else { return nil }
      guard let ours = row.ours else {
        return "\(place) pgvector alone gets there: \(theirs.engine), \(Figure.number(theirs.qps)) queries a second."
      }
      guard let ratio = row.ratio, ratio < 1 else { return nil }
      return """
        \(place) pgvector is faster: \(theirs.engine) answers \(Figure.number(theirs.qps)) queries a second, \
        \(ours.engine) \(Figure.number(ours.qps)) (\(row.ratioText)).
        """
    }
  }

  /// The median latency at equal recall, which is not the other side of speed where there are several clients.
  private func latencies(_ report: BenchReport) -> [String] {
    rows.compactMap { row in
      func best(_ family: EngineFamily) -> MatchedRecall? {
        report.matched.filter {
          $0.clients == row.clients && $0.recall == row.recall && $0.reached && families[$0.engine] == family
            && $0.p50 != nil
        }.min { ($0.p50 ?? .infinity) < ($1.p50 ?? .infinity) }
      }
      guard let ours = best(.vizinho), let theirs = best(.pgvector), let a = ours.p50, let b = theirs.p50, b < a else {
        return nil
      }
      return """
        At recall \(Figure.plain(row.recall)) with \(Figure.count(row.clients, "client")) pgvector's median latency is \
        lower: \(theirs.engine) \(Figure.duration(microseconds: b)), \(ours.engine) \(Figure.duration(microseconds: a)).
        """
    }
  }

  private func builds(_ report: BenchReport) -> [String] {
    func least(_ family: EngineFamily, _ figure: (EngineBuild) -> Double) -> EngineBuild? {
      report.engines.filter { $0.family == family && $0.buildSeconds > 0 && figure($0) > 0 }
        .min { figure($0) < figure($1) }
    }
    func sentence(
      _ start: String, _ figure: (EngineBuild) -> Double, _ text: (EngineBuild) -> String
    ) -> String? {
      guard let ours = least(.vizinho, figure), let theirs = least(.pgvector, figure), figure(theirs) < figure(ours)
      else { return nil }
      return "\(start): \(theirs.id) with \(text(theirs)), \(ours.id) with \(text(ours))."
    }
    return [
      sentence("pgvector's fastest build is faster", \.buildSeconds) { Figure.seconds($0.buildSeconds) },
      sentence("pgvector's smallest index is smaller", { Double($0.indexBytes) }) { Figure.bytes($0.indexBytes) },
      sentence("pgvector's build takes less memory", { Double($0.peakMemoryBytes ?? 0) }) {
        Figure.bytes($0.peakMemoryBytes)
      },
    ].compactMap { $0 }
  }

  /// Theirs count where they find as much as our fastest, and leave no answer short.
  private func filtered(_ report: BenchReport) -> [String] {
    Set(report.filtered.map(\.selectivity)).sorted().compactMap { selectivity in
      let here = report.filtered.filter { $0.selectivity == selectivity }
      guard let ours = Self.fastest(here.filter { families[$0.engine] == .vizinho }) else { return nil }
      let able = here.filter {
        families[$0.engine] == .pgvector && $0.recall >= ours.recall && $0.short <= ours.short
          && $0.outside <= ours.outside
      }
      guard let theirs = Self.fastest(able), theirs.qps.median > ours.qps.median else { return nil }
      return """
        With a filter that \(Figure.percent(selectivity)) of the rows match pgvector is faster at no less recall: \
        \(theirs.engine) \(Figure.number(theirs.qps.median)) queries a second at \(Figure.recall(theirs.recall)), \
        \(ours.engine) \(Figure.number(ours.qps.median)) at \(Figure.recall(ours.recall)).
        """
    }
  }

  private static func fastest(_ points: [FilteredPoint]) -> FilteredPoint? {
    points.max { $0.qps.median < $1.qps.median }
  }

  private func mixed(_ report: BenchReport) -> [String] {
    struct Load: Hashable {
      var clients: Int
      var writes: Double
    }
    return ReportTables.unique(report.mixed.map { Load(clients: $0.clients, writes: $0.writesPerSecondAsked) })
      .compactMap { load in
        func best(_ family: EngineFamily) -> MixedPoint? {
          report.mixed.filter {
            $0.clients == load.clients && $0.writesPerSecondAsked == load.writes && families[$0.engine] == family
          }.max { $0.qps.median < $1.qps.median }
        }
        guard let ours = best(.vizinho), let theirs = best(.pgvector), theirs.qps.median > ours.qps.median else {
          return nil
        }
        return """
          While \(Figure.number(load.writes)) rows a second change, with \(Figure.count(load.clients, "client")), pgvector \
          is faster: \(theirs.engine) \(Figure.number(theirs.qps.median)) queries a second, \(ours.engine) \
          \(Figure.number(ours.qps.median)).
          """
      }
  }

  /// Of equal spans where both sides have some: one of only the INSERT, say, is no longer than one that has the search in it.
  private func freshness(_ report: BenchReport) -> [String] {
    let spans = ReportTables.unique(report.freshness.map(\.span)).map { span in
      report.freshness.filter { $0.span == span }
    }
    let shared = spans.filter { Set($0.compactMap { families[$0.engine] }).count == 2 }
    return (shared.isEmpty ? [report.freshness] : shared).compactMap { results in
      func best(_ family: EngineFamily) -> FreshnessResult? {
        results.filter { families[$0.engine] == family }.min { $0.p50Milliseconds < $1.p50Milliseconds }
      }
      guard let ours = best(.vizinho), let theirs = best(.pgvector), theirs.p50Milliseconds < ours.p50Milliseconds
      else { return nil }
      return """
        A change is found sooner by pgvector: \(theirs.engine) \(Figure.number(theirs.p50Milliseconds)) ms \
        (\(theirs.span)), \(ours.engine) \(Figure.number(ours.p50Milliseconds)) ms (\(ours.span)).
        """
    }
  }
}
