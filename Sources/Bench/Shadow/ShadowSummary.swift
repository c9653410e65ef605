// What all queries of a shadow run come to, and whether that is good enough: pure reckoning.
//
// May use: Agreement, LatencyHistogram, Report/Model, VectorWire for the names of codes.

import VectorIndex
import VectorWire

/// The bounds that a run must keep; nil: not looked at.
struct ShadowBounds: Sendable, Equatable {
  /// Of the mean.
  var overlapMin: Double?
  /// Of the mean.
  var rankDistanceMax: Double?
  /// Of the largest.
  var scoreErrorMax: Double?
  /// Of the engine's latency, in milliseconds.
  var p99MillisecondsMax: Double?
}

/// Gathers the queries of a run, one by one.
struct ShadowSummary: Sendable {
  private struct Query: Sendable {
    var number: Int
    /// nil: it was refused.
    var agreement: Agreement?
  }

  private var queries: [Query] = []
  private var refused: [WireError.Code: (count: Int, message: String)] = [:]
  private(set) var settled = 0
  var exactLatency = LatencyHistogram()
  var engineLatency = LatencyHistogram()

  /// Queries that a report shows, of those that differ most.
  static let worstMax = 10
  /// Keys that it shows of each.
  static let keysMax = 10

  var count: Int { queries.count }

  /// - number: of the query in its file or log, from 0.
  /// - wasSettled: whether it differed at first and, asked again, did not.
  mutating func add(_ number: Int, _ agreement: Agreement, wasSettled: Bool) {
    queries.append(Query(number: number, agreement: agreement))
    if wasSettled { settled += 1 }
  }

  /// A query that the engine refused. Who cuts over loses it whole, so its overlap is 0.
  mutating func addRefused(_ number: Int, _ error: WireError) {
    queries.append(Query(number: number))
    refused[error.code, default: (0, error.message)].count += 1
  }

  /// In sentences, one a code.
  var refusals: [String] {
    refused.sorted { $0.key.rawValue < $1.key.rawValue }.map { code, errors in
      "The engine refused \(Figure.count(errors.count, "query", plural: "queries")) (\(code)): \(errors.message)."
    }
  }

  /// - Precondition: queries were added.
  func result(_ bounds: ShadowBounds) -> ShadowResult {
    precondition(!queries.isEmpty, "nothing comes to nothing")
    let agreements = queries.compactMap(\.agreement)
    let overlaps = queries.map { $0.agreement?.overlap ?? 0 }
    let ranks = agreements.map(\.rankDistance)
    let errors = agreements.flatMap(\.scoreErrors)
    let relative = agreements.flatMap(\.relativeScoreErrors)
    let refusedCount = refused.values.reduce(0) { $0 + $1.count }
    var result = ShadowResult(
      queries: queries.count, overlapMean: Self.mean(overlaps), overlapLeast: overlaps.min() ?? 0,
      overlaps: Self.distribution(overlaps), rankDistanceMean: Self.mean(ranks), rankDistanceMost: ranks.max() ?? 0,
      scoreErrorMean: Self.mean(errors), scoreErrorMost: errors.max() ?? 0,
      relativeScoreErrorMean: relative.isEmpty ? nil : Self.mean(relative),
      relativeScoreErrorMost: relative.max(),
      missing: agreements.reduce(0) { $0 + $1.missing.count }, extra: agreements.reduce(0) { $0 + $1.extra.count },
      settledByAskingAgain: settled,
      errors: Dictionary(uniqueKeysWithValues: refused.map { ($0.key.description, $0.value.count) }),
      exactLatency: exactLatency.latencies, engineLatency: engineLatency.latencies, thresholds: [], worst: worst)
    result.thresholds = Self.thresholds(bounds, result, refused: refusedCount)
    return result
  }

  private static func mean(_ values: [Double]) -> Double {
    values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
  }

  /// From the least on. Overlaps are fractions of small numbers, so equal ones are equal to the bit.
  private static func distribution(_ overlaps: [Double]) -> [OverlapCount] {
    Dictionary(overlaps.map { ($0, 1) }, uniquingKeysWith: +).sorted { $0.key < $1.key }
      .map { OverlapCount(overlap: $0.key, queries: $0.value) }
  }

  private static func thresholds(_ bounds: ShadowBounds, _ result: ShadowResult, refused: Int) -> [Threshold] {
    var thresholds: [Threshold] = []
    if let bound = bounds.overlapMin {
      thresholds.append(
        Threshold(
          name: "--min-overlap", bound: bound, found: result.overlapMean, passed: result.overlapMean >= bound))
    }
    func most(_ name: String, _ bound: Double?, _ found: Double) {
      guard let bound else { return }
      thresholds.append(Threshold(name: name, bound: bound, found: found, passed: found <= bound))
    }
    most("--max-rank-distance", bounds.rankDistanceMax, result.rankDistanceMean)
    most("--max-score-error", bounds.scoreErrorMax, result.scoreErrorMost)
    most("--max-p99-ms", bounds.p99MillisecondsMax, result.engineLatency.p99 / 1_000)
    // Nobody asks for this one, and nobody would cut over without it.
    if refused > 0 { most("refused queries", 0, Double(refused)) }
    return thresholds
  }

  private var worst: [DifferingQuery] {
    let differing = queries.compactMap { query -> (Query, Agreement)? in
      guard let agreement = query.agreement, !agreement.isComplete || agreement.rankDistance > 0 else { return nil }
      return (query, agreement)
    }
    return differing.sorted {
      ($0.1.overlap, -$0.1.rankDistance, $0.0.number) < ($1.1.overlap, -$1.1.rankDistance, $1.0.number)
    }.prefix(Self.worstMax).map { query, agreement in
      DifferingQuery(
        query: query.number, overlap: agreement.overlap, rankDistance: agreement.rankDistance,
        scoreError: agreement.scoreErrors.max() ?? 0, missing: Self.texts(agreement.missing),
        extra: Self.texts(agreement.extra))
    }
  }

  private static func texts(_ ids: [RecordID]) -> [String] {
    ids.prefix(keysMax).map(\.description) + (ids.count > keysMax ? ["…"] : [])
  }
}
