// Searching among the rows of which a filter is TRUE: how many they are decides how (docs/decisions/0015-filtered-search.md).
//
// May use: matching(_:version:into:), FilterCosts, MatchScan, the walk, SearchScratch.

extension HNSWIndex {
  /// A walk that takes so many times what was expected, and has not found as many rows as are wanted, has met a filter that is against
  /// the query: what it finds lies far away, and what a scan costs is known.
  private static let walkExcessMax: Float = 3

  /// Answers a search with a filter. The query stands in the scratch, prepared, and the version is pinned.
  func answer<R>(
    _ options: SearchOptions, matching program: FilterProgram, excluding excluded: ExcludedRow?, version: UInt64,
    _ scratch: inout SearchScratch, _ body: (SearchHits) -> R
  ) -> R {
    scratch.distancesComputed = 0
    scratch.rowsRescored = 0
    scratch.nodesExpanded = 0
    let matches = scratch.matches(program, in: self, version: version)
    var search = FilteredSearch(plan: .nothingMatches)
    if matches.count > 0 {
      let wanted = min(options.k, matches.count) + (excluded == nil ? 0 : 1)
      let costs = FilterCosts(
        hasCodes: hasCodes, wanted: wanted, matching: matches.count,
        live: max(matches.count, store.liveCount.load(ordering: .relaxed)))
      chooseScan(&search, costs, options)
      walkIfCheaper(&search, costs, matches, options, excluding: excluded, version: version, &scratch)
      if search.plan != .walk {
        let scan = MatchScan(matches: matches, store: store)
        if search.scansCodes { scan.runOnCodes(keeping: wanted, &scratch) } else { scan.run(keeping: wanted, &scratch) }
        _ = collect(options.k, excluding: excluded, version: version, &scratch)
      }
    } else {
      scratch.reserveHits(0)
    }
    let distances = scratch.distancesComputed + scratch.rowsRescored
    let receipt = FilterReceipt(
      matchingRows: matches.count, plan: search.plan, expectedScanCost: Int(search.scanCost.rounded(.up)),
      expectedWalkCost: search.walkCost.map { Int($0.rounded(.up)) }, distancesComputed: distances,
      rowsRescored: scratch.rowsRescored, isWalkAbandoned: search.isWalkAbandoned)
    return body(
      SearchHits(
        store: store, slots: UnsafePointer(scratch.hitSlots), distances: UnsafePointer(scratch.hitDistances),
        payload: payload, count: scratch.hitCount, distancesComputed: distances, effort: scratch.nodesExpanded,
        isExact: search.plan != .walk && !search.scansCodes, filter: receipt))
  }

  /// Whether codes lie beside the rows that answers are scored with.
  private var hasCodes: Bool { store.walking.rowBytes < store.answering.rowBytes }

  /// How the matching rows are scanned, if they are.
  private func chooseScan(_ search: inout FilteredSearch, _ costs: FilterCosts, _ options: SearchOptions) {
    search.plan = .exactScan
    if store.rescores, !options.exact {
      switch options.filterPlan {
      case .codeScan: search.plan = .codeScan
      case .exactScan: break
      default: if hasCodes, costs.codeScan < costs.exactScan { search.plan = .codeScan }
      }
    }
    search.scansCodes = search.plan == .codeScan
    search.scanCost = search.scansCodes ? costs.codeScan : costs.exactScan
  }

  /// Walks where that is cheaper than a scan, for as long as it is. The plan is then `walk`, or `walkThenScan` where the walk was given
  /// up, led to too few, or met more rows at one distance than it kept.
  private func walkIfCheaper(
    _ search: inout FilteredSearch, _ costs: FilterCosts, _ matches: MatchSet, _ options: SearchOptions,
    excluding excluded: ExcludedRow?, version: UInt64, _ scratch: inout SearchScratch
  ) {
    if options.exact { return }
    var rule = rule(
      options, wanted: costs.wanted, among: costs.among, live: costs.live, UnsafePointer(scratch.vector))
    if store.rescores { rule.limit = max(rule.limit, Self.walkKeeps(costs.wanted)) }
    let isByEffort = options.reach == nil && effort(of: options) > 0
    let target = isByEffort ? nil : options.recallTarget ?? configuration.recallTarget
    let walkCost =
      Float(tail.range.count) + costs.walk(rule, target: target, degree: configuration.connectivity)
    // Where there are no more than a walk keeps, or it would have to go everywhere, there is nothing to expect of one.
    let isPossible = rule.limit < matches.count && rule.reach < .infinity
    if isPossible { search.walkCost = walkCost }
    switch options.filterPlan {
    case nil: guard isPossible, walkCost < search.scanCost else { return }
    case .walk, .walkThenScan: break
    default: return
    }
    // Who measures a walk wants to see it end.
    let isToEnd = options.filterPlan == .walk
    let admission = MatchingRows(
      mask: scratch.mask(of: matches), wanted: costs.wanted,
      distancesUsual: isToEnd ? .max : Int(min(search.scanCost, Self.walkExcessMax * walkCost)),
      distancesMax: isToEnd ? .max : Int(search.scanCost),
      reach: options.reach == nil ? target.flatMap { filteredReach(target: $0, live: costs.live) } : nil)
    scratch.refused.reserve()
    walk(rule, admitting: admission, fresh: admission, absent: nil, &scratch)
    search.isWalkAbandoned = scratch.isAbandoned
    search.plan = .walkThenScan
    if scratch.isAbandoned { return }
    if store.rescores, !rescoreWithinErrors(wanted: costs.wanted, &scratch) { return }
    _ = collect(options.k, excluding: excluded, version: version, &scratch)
    let owed = min(options.k, matches.count - (excluded == nil ? 0 : 1))
    if scratch.hitCount >= owed { search.plan = .walk }
  }

  /// How many of the matching rows that a walk meets it keeps by their codes, at least: enough that among rows that lie anywhere the codes'
  /// errors are seldom greater than the distance from the last that is wanted to the last that is kept.
  private static func walkKeeps(_ wanted: Int) -> Int { 2 * wanted + 108 }
}

/// What is decided of a filtered search, and what became of it.
private struct FilteredSearch {
  var plan: FilterReceipt.Plan
  /// Whether a scan, if there is one, goes by codes.
  var scansCodes = false
  var scanCost: Float = 0
  /// nil where no walk would do.
  var walkCost: Float?
  var isWalkAbandoned = false
}
