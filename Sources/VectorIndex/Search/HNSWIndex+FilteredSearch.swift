// Searching among the rows of which a filter is TRUE: how many they are decides how (docs/decisions/0015-filtered-search.md).
//
// May use: matching(_:version:into:), MatchScan, the walk, SearchScratch.

extension HNSWIndex {
  /// Up to so many matching rows are scored as answers are: what their codes would save is microseconds.
  private static let exactScanMax = 2_048
  /// A walk that takes so many times what was expected has met a filter that is against the query. The rows that it finds far away are
  /// many at one distance, where what it scores again is too little (.957 found of .99, the sample).
  private static let walkExcessMax: Float = 3
  /// Codes are trusted up to this recall. Where the rows that match are those farthest from the query, many lie at about the distance
  /// of the nearest of them, and 64 kept of 4-bit codes held .966 to .98 of the 10 nearest (the sample, 1,000 to 9,000 matching).
  private static let codeTargetMax: Float = 0.95

  /// Answers a search with a filter. The query stands in the scratch, prepared, and the version is pinned.
  func answer<R>(
    _ options: SearchOptions, matching program: FilterProgram, excluding excluded: ExcludedRow?, version: UInt64,
    _ scratch: inout SearchScratch, _ body: (SearchHits) -> R
  ) -> R {
    scratch.distancesComputed = 0
    scratch.nodesExpanded = 0
    let matches = scratch.matches(program, in: self, version: version)
    let wanted = min(options.k, matches.count) + (excluded == nil ? 0 : 1)
    var search = FilteredSearch(
      plan: .nothingMatches, wanted: wanted, matching: matches.count,
      live: max(matches.count, store.liveCount.load(ordering: .relaxed)))
    if matches.count > 0 {
      search.plan = scanPlan(search, options)
      search.scansExactly = search.plan == .exactScan
      walkIfCheaper(&search, matches, options, excluding: excluded, version: version, &scratch)
      if search.plan != .walk { scan(search, matches, options, excluding: excluded, version: version, &scratch) }
    } else {
      scratch.reserveHits(0)
    }
    return body(
      SearchHits(
        store: store, slots: UnsafePointer(scratch.hitSlots), distances: UnsafePointer(scratch.hitDistances),
        count: scratch.hitCount, distancesComputed: scratch.distancesComputed, effort: scratch.nodesExpanded,
        isExact: search.isExact, filter: FilterReceipt(matchingRows: matches.count, plan: search.plan)))
  }

  // MARK: Scanning

  /// How the matching rows are scanned, if they are.
  private func scanPlan(_ search: FilteredSearch, _ options: SearchOptions) -> FilterReceipt.Plan {
    if options.exact || !store.rescores { return .exactScan }
    if options.filterPlan == .codeScan { return .codeScan }
    if options.recallTarget ?? configuration.recallTarget > Self.codeTargetMax { return .exactScan }
    // Where much of what was scored is scored again, codes save nothing.
    let isCheap = search.matching <= Self.exactScanMax || 4 * search.keptOfCodes > search.matching
    return isCheap || options.filterPlan == .exactScan ? .exactScan : .codeScan
  }

  private func scan(
    _ search: FilteredSearch, _ matches: MatchSet, _ options: SearchOptions, excluding excluded: ExcludedRow?,
    version: UInt64, _ scratch: inout SearchScratch
  ) {
    let scan = MatchScan(matches: matches)
    if search.scansExactly {
      scan.run(on: store.answering, scratch.answerQuery, keeping: search.wanted, &scratch)
    } else {
      scan.run(on: store.walking, scratch.walkQuery, keeping: search.keptOfCodes, &scratch)
      rescore(scratch.nearest.count, &scratch)
    }
    _ = collect(options.k, excluding: excluded, version: version, &scratch)
  }

  // MARK: Walking

  /// Walks where that is cheaper than a scan, for as long as it is. The plan is then `walk`, or `walkThenScan` where the walk was given
  /// up or led to too few.
  private func walkIfCheaper(
    _ search: inout FilteredSearch, _ matches: MatchSet, _ options: SearchOptions,
    excluding excluded: ExcludedRow?, version: UInt64, _ scratch: inout SearchScratch
  ) {
    let rule = rule(
      options, wanted: search.wanted, among: search.among, live: search.live, UnsafePointer(scratch.vector))
    let scanCost = search.scanCost
    let walkCost = Float(tail.range.count) + walkCost(search, options, rule)
    switch options.filterPlan {
    case nil:
      let isWalk =
        !options.exact && rule.limit < matches.count && rule.reach < .infinity
        && walkCost < scanCost
      guard isWalk else { return }
    case .walk, .walkThenScan: break
    default: return
    }
    // Who measures a walk wants to see it end.
    let distancesMax = options.filterPlan == .walk ? Int.max : Int(min(scanCost, Self.walkExcessMax * walkCost))
    let admission = MatchingRows(mask: scratch.mask(of: matches), distancesMax: distancesMax)
    walk(rule, admitting: admission, fresh: admission, absent: nil, &scratch)
    _ = collect(options.k, excluding: excluded, version: version, &scratch)
    let owed = min(options.k, matches.count - (excluded == nil ? 0 : 1))
    search.plan = scratch.hitCount >= owed && !scratch.isAbandoned ? .walk : .walkThenScan
  }

  /// Distances that a walk takes, about, where the rows that match lie as all rows do.
  private func walkCost(_ search: FilteredSearch, _ options: SearchOptions, _ rule: StopRule) -> Float {
    // A rule that keeps its effort of matching rows meets so many more of all.
    let isByEffort = rule.rank == rule.limit && rule.reach == 1
    let nodes =
      isByEffort
      ? Float(rule.limit) * search.inverseShare
      : FilteredSearch.nodesExpanded(for: search.among, target: options.recallTarget ?? configuration.recallTarget)
    return nodes * Float(configuration.connectivity)
  }
}

/// What is known of a filtered search before it begins, and what became of it. Costs are in distances of a walk.
private struct FilteredSearch {
  var plan: FilterReceipt.Plan
  /// Whether a scan, if there is one, is of the plane that answers come from.
  var scansExactly = true
  /// Rows that must be found.
  let wanted: Int
  /// Rows that match.
  let matching: Int
  /// All rows.
  let live: Int

  /// What a row costs in a scan, against a row in a walk, which pays for links, visited set and frontier and waits for memory.
  private static let fineRowCost: Float = 1
  private static let codeRowCost: Float = 0.35

  /// Rows for one that matches.
  var inverseShare: Float { Float(live) / Float(max(1, matching)) }

  /// As how many nearest of all rows the wanted are, about, where those that match lie as all do.
  var among: Int { Int(min(Float(live), Float(wanted) * inverseShare)) }

  /// Nearest by their codes that are scored again: more than after a walk, since rows that match may lie far from the query and
  /// close to each other in distance; but no more than a sorted list takes cheaply.
  var keptOfCodes: Int { max(StopRule.scored(results: wanted), wanted + 54, min(matching / 16, 512)) }

  var scanCost: Float { Float(matching) * (scansExactly ? Self.fineRowCost : Self.codeRowCost) }

  /// Whether nothing can be missing.
  var isExact: Bool { scansExactly && plan != .walk }

  /// Nodes that a walk expands for a number of results: two thirds of the built-in efforts, which are one and a half times what
  /// was measured.
  static func nodesExpanded(for results: Int, target: Float) -> Float {
    Float(max(results, DefaultEffort.effort(target: target, results: results) * 2 / 3))
  }
}
