// From the index's terms to the protocol's: options, receipts, and how an answer was found in words.
//
// May use: VectorIndex, VectorWire.

import VectorIndex
import VectorWire

extension RetrievalOptions {
  init(_ terms: SearchTerms, includesSelf: Bool = false) {
    self.init(
      search: SearchOptions(
        k: terms.k, recallTarget: terms.recallTarget.map { Float($0.share) }, effort: terms.effort,
        exact: terms.isExact, includesSelf: includesSelf))
    let modifiers = terms.modifiers
    distanceMax = modifiers.distanceMax
    offset = modifiers.offset
    grouping = modifiers.grouping.map { Grouping(attribute: $0.attribute, perGroup: $0.perGroup) }
    diversity = modifiers.diversity.map { Diversity(lambda: $0.lambda, candidates: $0.candidates) }
  }
}

extension QueryReceipt {
  init(_ hits: RetrievalHits) {
    self.init(
      distancesComputed: UInt32(clamping: hits.distancesComputed), isExact: hits.isExact,
      filtering: hits.filter.map { Filtering(matchingRows: UInt64($0.matchingRows), plan: Plan($0.plan)) },
      shortfall: hits.shortfall.map { Shortfall($0) })
  }
}

extension QueryReceipt.Plan {
  init(_ plan: FilterReceipt.Plan) {
    switch plan {
    case .nothingMatches: self = .nothingMatches
    case .exactScan: self = .exactScan
    case .codeScan: self = .codeScan
    case .walk: self = .walk
    case .walkThenScan: self = .walkThenScan
    }
  }

  var words: String {
    switch self {
    case .nothingMatches: "nothing matches"
    case .exactScan: "exact scan (all rows that match were scored as answers are)"
    case .codeScan: "code scan (all rows that match were scored by their codes, and the nearest of them as answers are)"
    case .walk: "walk (the graph was walked, and rows that do not match were ways only)"
    case .walkThenScan: "walk, then scan (the walk cost too much or found too few, so the rows that match were scanned)"
    }
  }
}

extension QueryReceipt.Shortfall {
  init(_ shortfall: Shortfall) {
    switch shortfall {
    case .fewMatch: self = .fewMatch
    case .threshold: self = .threshold
    case .groups: self = .groups
    }
  }

  var words: String {
    switch self {
    case .fewMatch: "no more rows match"
    case .threshold: "the others are beyond the distance limit"
    case .groups: "there are no more groups"
    }
  }
}

/// How one answer was found, for a person: a line a fact.
struct Explanation {
  /// A filter is shown up to here; one with thousands of values is not read anyway.
  private static let filterBytesMax = 1_024

  let text: String

  init(_ hits: RetrievalHits, of index: HNSWIndex, _ options: RetrievalOptions, _ program: FilterProgram?) {
    var lines: [String] = []
    let rows = index.count
    if let program, let filter = hits.filter {
      lines.append("filter: \(Self.shortened(program.filter.description))")
      lines.append("in SQL: \(Self.shortened(program.filter.sql))")
      let share = rows == 0 ? 0 : 100 * Double(filter.matchingRows) / Double(rows)
      lines.append("matching: \(filter.matchingRows) of \(rows) rows, \(Self.rounded(share)) %")
      lines.append(
        "estimate: a scan of them costs as much as \(filter.expectedScanCost) distances of a walk, "
          + (filter.expectedWalkCost.map { "a walk \($0)" } ?? "and no walk would do"))
      lines.append("plan: \(QueryReceipt.Plan(filter.plan).words)")
    } else {
      lines.append("filter: none, \(rows) rows")
      let results = options.search.k + options.offset
      let effort =
        options.search.effort == 0
        ? index.configuration.expectedEffort(results: results, recallTarget: options.search.recallTarget)
        : max(results, options.search.effort)
      lines.append("estimate: a walk keeps about \(effort) candidates")
      lines.append("plan: \(hits.isExact ? "scan (every row was scored)" : "walk (the graph was walked)")")
    }
    var work = "did: \(hits.distancesComputed) distances, \(hits.effort) nodes expanded"
    if let filter = hits.filter, filter.rowsRescored > 0 {
      work += ", \(filter.rowsRescored) rows scored by their codes and again as answers are"
    }
    if hits.filter?.isWalkAbandoned == true { work += ", a walk given up on its way" }
    lines.append(work)
    if let limit = options.distanceMax { lines.append("distance limit: \(limit)") }
    if options.offset > 0 { lines.append("offset: \(options.offset)") }
    if let grouping = options.grouping {
      lines.append("groups: \(options.search.k) by \"\(grouping.attribute)\", up to \(grouping.perGroup) results each")
    }
    if let diversity = options.diversity {
      let candidates = diversity.candidates == 0 ? "the default number of" : "\(diversity.candidates)"
      lines.append("diversity: lambda \(diversity.lambda), chosen from \(candidates) candidates")
    }
    let shortfall = hits.shortfall.map { ": " + QueryReceipt.Shortfall($0).words } ?? ""
    lines.append("results: \(hits.count), \(hits.isExact ? "exact" : "approximate")\(shortfall)")
    text = lines.joined(separator: "\n")
  }

  private static func shortened(_ text: String) -> String {
    let cut = text.prefix(utf8BytesMax: filterBytesMax)
    return cut.utf8.count == text.utf8.count ? text : cut + " …"
  }

  /// To two decimals.
  private static func rounded(_ value: Double) -> Double { (value * 100).rounded() / 100 }
}
