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

  /// Latency at equal recall, which is not the other side of speed where there are several clients.
  private func latencies(_ report: BenchReport) -> [String] {
    let figures: [(words: String, of: (MatchedRecall) -> Double?)] = [
      ("median latency", { $0.p50 }), ("99th percentile of latency", { $0.p99 }),
    ]
    return rows.flatMap { row in
      figures.compactMap { latency(report, row, $0.words, $0.of) }
    }
  }

  private func latency(
    _ report: BenchReport, _ row: Row, _ words: String, _ figure: (MatchedRecall) -> Double?
  ) -> String? {
    func best(_ family: EngineFamily) -> (found: MatchedRecall, microseconds: Double)? {
      report.matched.compactMap { found -> (found: MatchedRecall, microseconds: Double)? in
        guard found.clients == row.clients, found.recall == row.recall, found.reached, families[found.engine] == family,
          let microseconds = figure(found), microseconds.isFinite
        else { return nil }
        return (found, microseconds)
      }.min { $0.microseconds < $1.microseconds }
    }
    // Of a curve that begins above the recall it is an upper bound.
    func text(_ side: (found: MatchedRecall, microseconds: Double)) -> String {
      "\(side.found.engine) \(side.found.isAtLeast ? "≤ " : "")\(Figure.duration(microseconds: side.microseconds))"
    }
    guard let ours = best(.vizinho), let theirs = best(.pgvector), theirs.microseconds < ours.microseconds else {
      return nil
    }
    return """
      At recall \(Figure.plain(row.recall)) with \(Figure.count(row.clients, "client")) pgvector's \(words) is lower: \
      \(text(theirs)), \(text(ours)).
      """
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

  /// Theirs count where nothing of ours matches them: at no less recall, with no more answers short and rows outside, as fast.
  private func filtered(_ report: BenchReport) -> [String] {
    Set(report.filtered.map(\.selectivity)).sorted().flatMap { selectivity -> [String] in
      let here = report.filtered.filter {
        $0.selectivity == selectivity && $0.recall.isFinite && $0.qps.median.isFinite
      }
      let ours = here.filter { families[$0.engine] == .vizinho }
      guard !ours.isEmpty else { return [] }
      let wins = here.filter { theirs in
        families[theirs.engine] == .pgvector && !ours.contains { $0.isAsGood(as: theirs) && $0.isAsFast(as: theirs) }
      }
      // Of theirs, too, one that another one matches is told by that one.
      let told = wins.enumerated().filter { place, win in
        !wins.enumerated().contains { other, better in
          other != place && better.isAsGood(as: win) && better.isAsFast(as: win)
            && (other < place || !(win.isAsGood(as: better) && win.isAsFast(as: better)))
        }
      }
      return told.map { sentence(selectivity, theirs: $0.element, ours) }
    }
  }

  /// - ours: not empty, and none of them matches theirs.
  private func sentence(_ selectivity: Double, theirs: FilteredPoint, _ ours: [FilteredPoint]) -> String {
    let place = "With a filter that \(Figure.percent(selectivity)) of the rows match"
    if let fastest = ours.filter({ $0.isAsGood(as: theirs) }).max(by: { $0.qps.median < $1.qps.median }) {
      return """
        \(place) pgvector is faster: \(theirs.words); of ours whose answers are no worse the fastest is \(fastest.words).
        """
    }
    let nearest = ours.max { $0.recall < $1.recall }.map { "; of ours the one that finds most is \($0.words)" } ?? ""
    return "\(place) nothing of ours gives answers as good: \(theirs.words)\(nearest)."
  }

  /// Held against each other where both find enough, or each no less than the other, and where the rows did change as fast as was asked.
  private func mixed(_ report: BenchReport) -> [String] {
    struct Load: Hashable {
      var clients: Int
      var writes: Double
    }
    return ReportTables.unique(report.mixed.map { Load(clients: $0.clients, writes: $0.writesPerSecondAsked) })
      .compactMap { load -> String? in
        let here = report.mixed.filter {
          $0.clients == load.clients && $0.writesPerSecondAsked == load.writes
            && $0.writesPerSecond >= Self.writesShareMin * load.writes && $0.qps.median.isFinite
        }
        let ours = here.filter { families[$0.engine] == .vizinho }
        let theirs = here.filter { families[$0.engine] == .pgvector }.sorted { $0.qps.median > $1.qps.median }
        for one in theirs {
          guard let other = ours.filter({ $0.finds(asMuchAs: one) }).max(by: { $0.qps.median < $1.qps.median }),
            one.finds(asMuchAs: other), one.qps.median > other.qps.median
          else { continue }
          return """
            While \(Figure.number(load.writes)) rows a second change, with \(Figure.count(load.clients, "client")), pgvector \
            is faster: \(one.words), \(other.words).
            """
        }
        return nil
      }
  }

  /// So much of the writes that were asked for must have been done, or the searches had less beside them.
  static let writesShareMin = 0.98
  /// From this recall on points of a mixed load are held against each other, whichever of them finds more.
  static let mixedRecall = 0.95

  /// Of equal spans where both sides have some: one of only the INSERT, say, is no longer than one that has the search in it.
  private func freshness(_ report: BenchReport) -> [String] {
    let spans = ReportTables.unique(report.freshness.map(\.span)).map { span in
      report.freshness.filter { $0.span == span }
    }
    let shared = spans.filter { Set($0.compactMap { families[$0.engine] }).count == 2 }
    return (shared.isEmpty ? [report.freshness] : shared).flatMap { results -> [String] in
      func best(
        _ family: EngineFamily, _ figure: (FreshnessResult) -> Double
      ) -> (result: FreshnessResult, milliseconds: Double)? {
        results.filter { families[$0.engine] == family }.map { (result: $0, milliseconds: figure($0)) }
          .filter { $0.milliseconds.isFinite }.min { $0.milliseconds < $1.milliseconds }
      }
      func sentence(_ start: String, _ word: String, _ figure: (FreshnessResult) -> Double) -> String? {
        guard let ours = best(.vizinho, figure), let theirs = best(.pgvector, figure),
          theirs.milliseconds < ours.milliseconds
        else { return nil }
        return """
          \(start) sooner by pgvector: \(theirs.result.engine) \(word)\(Figure.number(theirs.milliseconds)) ms \
          (\(theirs.result.span)), \(ours.result.engine) \(word)\(Figure.number(ours.milliseconds)) ms (\(ours.result.span)).
          """
      }
      return [
        sentence("A change is found", "", \.p50Milliseconds),
        sentence("Of 100 changes 99 are found", "within ", \.p99Milliseconds),
      ].compactMap { $0 }
    }
  }
}

extension FilteredPoint {
  /// Whether its answers are no worse than another's.
  fileprivate func isAsGood(as other: FilteredPoint) -> Bool {
    recall >= other.recall && short <= other.short && outside <= other.outside
  }

  fileprivate func isAsFast(as other: FilteredPoint) -> Bool { qps.median >= other.qps.median }

  /// `x (ef=40) with 1,200 queries a second at recall 0.9812, 3 answers short`.
  fileprivate var words: String {
    let how = detail.map { " (\($0))" } ?? ""
    var text = "\(engine)\(how) with \(Figure.number(qps.median)) queries a second at recall \(Figure.recall(recall))"
    if short > 0 { text += ", \(Figure.count(short, "answer")) short" }
    if outside > 0 { text += ", \(Figure.count(outside, "row")) outside" }
    return text
  }
}

extension MixedPoint {
  /// Whether it finds as much as another, or enough.
  fileprivate func finds(asMuchAs other: MixedPoint) -> Bool {
    guard let recall, let others = other.recall else { return false }
    return recall >= min(Verdict.mixedRecall, others)
  }

  /// The recall is that of the effort before rows changed.
  fileprivate var words: String {
    "\(engine) \(Figure.number(qps.median)) queries a second at an effort whose recall was \(Figure.recall(recall))"
  }
}
