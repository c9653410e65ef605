// The last thing that a run prints: what it came to.
//
// May use: ReportTables, Verdict, TextTable.

/// A report in some twenty lines.
struct ReportSummary {
  private let report: BenchReport

  init(_ report: BenchReport) { self.report = report }

  /// Empty where nothing was measured and nothing is to be said.
  var text: String {
    var parts = ReportTables.matched(report.matched, k: report.data.k).map { TextTable($0).text() }
    let verdict = Verdict(report)
    if !verdict.rows.isEmpty { parts.append(TextTable(verdict.table(k: report.data.k)).text()) }
    if verdict.hasBoth {
      parts.append(
        verdict.pgvectorWins.isEmpty
          ? "\(Verdict.nowhere)\n" : lines("Where pgvector is ahead:", verdict.pgvectorWins))
    }
    if let sentence = LoadVerdict(report.load)?.sentence { parts.append(sentence + "\n") }
    if let shadow = report.shadow { parts.append(Self.sentence(of: shadow) + "\n") }
    let warnings = report.settings.filter(\.isWarning).map(\.warning)
    if !warnings.isEmpty { parts.append(lines("Settings to look at:", warnings)) }
    if !report.notes.isEmpty { parts.append(lines("To know of these figures:", report.notes)) }
    return parts.isEmpty ? "" : "\n" + parts.joined(separator: "\n")
  }

  private func lines(_ heading: String, _ sentences: [String]) -> String {
    ([heading] + sentences.map { "  • \($0)" }).joined(separator: "\n") + "\n"
  }

  /// Whether the thresholds were kept, and which were not.
  static func sentence(of shadow: ShadowResult) -> String {
    let failed = shadow.thresholds.filter { !$0.passed }
    if shadow.thresholds.isEmpty { return "No thresholds were given, so nothing passed or failed." }
    if failed.isEmpty { return "All thresholds were kept: \(shadow.thresholds.map(\.name).joined(separator: ", "))." }
    let texts = failed.map { "\($0.name) \(Figure.plain($0.bound)), found \(Figure.number($0.found))" }
    return "Failed: \(texts.joined(separator: "; "))."
  }
}

extension Setting {
  /// The value with its unit.
  var text: String { value + (unit.map { " \($0)" } ?? "") }

  /// What speaks against it, as a sentence of a list.
  var warning: String {
    let reason = note ?? "not as it should be for such a measurement"
    return "\(group), \(name) = \(text): \(reason)\(reason.hasSuffix(".") ? "" : ".")"
  }
}

extension Verdict {
  static let nowhere = "In nothing that was measured here was pgvector ahead."

  /// The ratios, with whose index is the fastest of each side.
  func table(k: Int) -> ReportTable {
    ReportTable(
      title: "The fastest index of each side",
      columns: [
        .number("clients"), .number("recall@\(k)"), .text("Vizinho"), .number("queries/s"), .text("pgvector"),
        .number("queries/s"), .number("ratio"),
      ],
      rows: rows.map { row in
        [Figure.number(row.clients), Figure.plain(row.recall)]
          + [row.ours, row.theirs].flatMap { side -> [String] in
            guard let side else { return ["not reached", Figure.none] }
            return [side.engine, (side.isAtLeast ? "≥ " : "") + Figure.number(side.qps)]
          } + [row.ratioText]
      })
  }
}

/// What a load comes to: how much the server does, and up to where it does it calmly.
struct LoadVerdict: Sendable, Equatable {
  /// The most answers a second.
  var most: LoadPoint
  /// The last of the steps before the first that saturated it; nil where already the least did.
  var mostCalm: LoadPoint?
  /// Whether any of those steps saturated it.
  var hasFull: Bool
  /// Whether those steps are rates; clients where no rate was measured.
  var isOfRates: Bool

  /// nil where no searches were measured.
  init?(_ points: [LoadPoint]) {
    let searches = points.filter { $0.kind == "search" }
    guard let most = searches.max(by: { $0.achievedRate < $1.achievedRate }) else { return nil }
    self.most = most
    // As Saturation.knee has it: up to the first that was too much, since one beyond it that happened to do well is no place to be.
    let rates = searches.filter { $0.targetRate != nil }
    isOfRates = !rates.isEmpty
    let steps = (rates.isEmpty ? searches : rates).sorted { Self.asked($0) < Self.asked($1) }
    mostCalm = steps.prefix { !$0.saturated }.last
    hasFull = steps.contains(where: \.saturated)
  }

  /// How much a step asked for, among steps of its kind.
  private static func asked(_ point: LoadPoint) -> Double { point.targetRate ?? Double(point.inFlight ?? 0) }

  var sentence: String {
    func figures(_ point: LoadPoint) -> String {
      """
      \(Figure.number(point.achievedRate)) answers a second (median \(Figure.duration(microseconds: point.latency.p50)), \
      99th percentile \(Figure.duration(microseconds: point.latency.p99)))
      """
    }
    let driver = most.limitedByDriver ? " The driver was what could not do more: the server may." : ""
    let step = isOfRates ? "rate" : "number of clients"
    guard hasFull else { return "At most \(figures(most)); no \(step) saturated the server.\(driver)" }
    guard let mostCalm else {
      return "Already the least \(step) saturated the server; at most \(figures(most)).\(driver)"
    }
    if mostCalm == most { return "At most \(figures(most)), before it saturates.\(driver)" }
    return "Up to \(figures(mostCalm)) before it saturates; at most \(figures(most)).\(driver)"
  }
}
