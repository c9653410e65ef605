// Searching: Algorithm 5 of the paper, and what makes its answer complete.
//
// May use: Traversal, RangeScan, SearchScratch, and for filters HNSWIndex+FilteredSearch.

extension HNSWIndex {
  /// Collections up to this many rows are scanned: walking the graph would touch about as many.
  static let scanRowsMax = 1_000

  /// Finds the `k` rows nearest to `query`: Algorithm 5, K-NN-SEARCH.
  ///
  /// Sees the rows of one version of the index, never a row twice, and as many as asked for when there are as many:
  /// where the graph yields fewer than `k`, every row is scanned.
  ///
  /// - query: `[dimension]`, finite; not zero under cosine.
  /// - program: of ``compile(_:)`` of this index: only rows that the filter is TRUE of are found, and `k` of them wherever there are
  ///   `k`. Of a row whose attributes are changed meanwhile, the old ones count or the new.
  /// - scratch: this thread's, made for this index. Once warmed, a search allocates nothing.
  /// - body: sees the hits while they cannot change. It must not change the index.
  /// - Throws: `dimensionMismatch`, `notFinite`, `zeroVector`, `invalidK`, `invalidEffort`, `invalidRecallTarget`.
  /// - Complexity: about `M` distances for each node that is expanded, ``SearchHits/effort``; a scan of all rows if exact. With a
  ///   filter, that of ``matching(_:version:into:)`` besides, and at most two distances for each matching row, one of them by codes that
  ///   are read one after the other, and as much for a walk before.
  public func search<R>(
    _ query: UnsafeBufferPointer<Float>, _ options: SearchOptions, matching program: FilterProgram? = nil,
    scratch: inout SearchScratch, _ body: (SearchHits) -> R
  ) throws(IndexError) -> R {
    try search(query, options, matching: program, absent: nil, scratch: &scratch, body)
  }

  /// - absent: the slot of a row that is to be as if it were not there. Calibration's, which has no filter.
  func search<R>(
    _ query: UnsafeBufferPointer<Float>, _ options: SearchOptions, matching program: FilterProgram? = nil,
    absent: UInt32?, scratch: inout SearchScratch, _ body: (SearchHits) -> R
  ) throws(IndexError) -> R {
    try options.validate()
    let inverseLength = try checked(query)
    precondition(scratch.pins === store.pins, "a scratch belongs to the index that it was made for")
    let version = store.pins.enter(scratch.pin)
    defer { store.pins.leave(scratch.pin) }
    scratch.take(query, inverseLength: inverseLength, store)
    if let program {
      return answer(options, matching: program, excluding: nil, version: version, &scratch, body)
    }
    let excluded = absent.map { ExcludedRow(slot: $0, olderID: nil, isAbsent: true) }
    return answer(options, excluding: excluded, version: version, &scratch, body)
  }

  /// Finds the `k` rows nearest to the row called `id`, that row itself left out unless asked for.
  ///
  /// - program: as above. The row itself need not match to be searched near, but it must be the tenant's to which the program keeps.
  /// - Returns: what `body` returns; nil when there is no such row.
  /// - Throws: `invalidK`, `invalidEffort`, `invalidRecallTarget`, `recordIDMismatch`.
  public func search<R>(
    near id: RecordID, _ options: SearchOptions, matching program: FilterProgram? = nil,
    scratch: inout SearchScratch, _ body: (SearchHits) -> R
  ) throws(IndexError) -> R? {
    try options.validate()
    try check(id)
    precondition(scratch.pins === store.pins, "a scratch belongs to the index that it was made for")
    let version = store.pins.enter(scratch.pin)
    defer { store.pins.leave(scratch.pin) }
    guard let slot = store.table.slot(of: id), !store.isStaged(slot), maySearchFrom(slot, program) else { return nil }
    store.fine.decode(slot, into: scratch.vector)
    scratch.prepareQueries(inverseLength: store.metric == .cosine ? store.inverseLength(slot) : 1, store)
    var excluded: ExcludedRow?
    if !options.includesSelf {
      excluded = ExcludedRow(slot: slot, olderID: store.isVisible(slot, at: version) ? nil : id, isAbsent: false)
    }
    if let program {
      return answer(options, matching: program, excluding: excluded, version: version, &scratch, body)
    }
    return answer(options, excluding: excluded, version: version, &scratch, body)
  }

  /// Copies the hits of one search out: for those who are not in a hurry.
  public func search(
    _ query: [Float], _ options: SearchOptions, matching program: FilterProgram? = nil
  ) throws(IndexError) -> [SearchHit] {
    var scratch = SearchScratch(for: self)
    return try query.withUnsafeBufferPointer { buffer throws(IndexError) in
      try search(buffer, options, matching: program, scratch: &scratch) { $0.copied() }
    }
  }

  /// Answers a search. The query stands in the scratch, prepared, and the version is pinned.
  func answer<R>(
    _ options: SearchOptions, excluding excluded: ExcludedRow?, version: UInt64,
    _ scratch: inout SearchScratch, _ body: (SearchHits) -> R
  ) -> R {
    scratch.distancesComputed = 0
    scratch.nodesExpanded = 0
    let live = store.liveCount.load(ordering: .relaxed)
    let absent = excluded.flatMap { $0.isAbsent ? $0.slot : nil }
    let wanted = min(options.k, live) + (excluded == nil || absent != nil ? 0 : 1)
    let rule = rule(options, wanted: wanted, live: live, UnsafePointer(scratch.vector))
    var isExact = options.exact || live <= max(Self.scanRowsMax, rule.limit) || rule.reach == .infinity
    if !isExact {
      // Nodes that this reader does not see are rare; the careful walk is only for them.
      let careful = hiddenNodes.load(ordering: .acquiring) > 0
      walk(rule, visible: version, careful: careful, absent: absent, &scratch)
      if !collect(options.k, excluding: excluded, version: version, &scratch) && !careful {
        walk(rule, visible: version, careful: true, absent: absent, &scratch)
        _ = collect(options.k, excluding: excluded, version: version, &scratch)
      }
      let owed = min(options.k, live - (excluded == nil ? 0 : 1))
      if scratch.hitCount < owed || scratch.isAbandoned { isExact = true }
    }
    if isExact {
      RangeScan(store: store).run(k: options.k + (excluded == nil ? 0 : 1), version: version, &scratch)
      _ = collect(options.k, excluding: excluded, version: version, &scratch)
    }
    return body(
      SearchHits(
        store: store, slots: UnsafePointer(scratch.hitSlots), distances: UnsafePointer(scratch.hitDistances),
        payload: payload, count: scratch.hitCount, distancesComputed: scratch.distancesComputed,
        effort: scratch.nodesExpanded,
        isExact: isExact, filter: nil))
  }

  /// - visible: the version of this search.
  /// - careful: whether the walk must look who is visible.
  /// - absent: a node that is walked around.
  private func walk(
    _ rule: StopRule, visible version: UInt64, careful: Bool, absent: UInt32?, _ scratch: inout SearchScratch
  ) {
    walk(
      rule, admitting: VisibleRows(store: store, version: careful ? version : nil),
      fresh: VisibleRows(store: store, version: version), absent: absent, &scratch)
    guard store.rescores else { return }
    // Copies by their codes may differ in what is finer, so all of one distance that the list has are scored or none.
    let scored = scratch.nearest.entries(ofNearest: StopRule.scored(results: rule.results))
    rescore(scored ?? scratch.nearest.count, &scratch)
  }

  /// Finds what the rule asks for, by the distances that a walk goes by.
  ///
  /// - admission: which linked rows may be results; `fresh`: which of the tail.
  @inline(__always)
  func walk(
    _ rule: StopRule, admitting admission: some Admission, fresh: some Admission, absent: UInt32?,
    _ scratch: inout SearchScratch
  ) {
    let traversal = traversal
    traversal.begin(rule, &scratch)
    if let absent { _ = scratch.visited.insert(absent) }
    traversal.searchTail(tail, query: scratch.walkQuery, rule: rule, admitting: fresh, &scratch)
    var start = Graph.none
    if let entry = graph.entryPoint() {
      start = traversal.descend(to: 0, from: entry, query: scratch.walkQuery, &scratch)
      traversal.continueLayer(
        0, from: start, query: scratch.walkQuery, rule: rule, admitting: admission, &scratch)
    }
    for i in 0..<scratch.fresh.count {
      let candidate = scratch.fresh.entry(at: i)
      if candidate >= scratch.nearest.bound { break }
      // The walk may start at a node that is on its way out of the tail: it is among what the walk found.
      if Candidate.slot(candidate) == start { continue }
      if !scratch.nearest.insert(candidate) { traversal.noteDropped(&scratch) }
    }
  }

  /// Scores what was found by codes with the fine rows.
  private func rescore(_ count: Int, _ scratch: inout SearchScratch) {
    scratch.reserveHits(count)
    for i in 0..<count {
      let slot = scratch.nearest.slot(at: i)
      store.answering.prefetch(slot)
      // For those of them that become hits.
      store.prefetchLifetime(slot)
      store.ids.prefetch(slot)
      scratch.hitSlots[i] = slot
    }
    store.answering.score(scratch.answerQuery, slots: scratch.hitSlots, count: count, into: scratch.hitDistances)
    scratch.nearest.rescore(first: count, scratch.hitDistances)
  }

  /// Takes the nearest `k` visible rows from the list.
  /// - Returns: false when it met rows that are not visible, which may have kept others out of the list.
  func collect(
    _ k: Int, excluding excluded: ExcludedRow?, version: UInt64, _ scratch: inout SearchScratch
  ) -> Bool {
    scratch.reserveHits(min(k, scratch.nearest.count))
    var sawOnlyVisible = true
    for i in 0..<scratch.nearest.count {
      if scratch.hitCount == k { break }
      let slot = scratch.nearest.slot(at: i)
      guard store.isVisible(slot, at: version) else {
        sawOnlyVisible = false
        continue
      }
      if let excluded, slot == excluded.slot || (excluded.olderID.map { store.ids[slot] == $0 } ?? false) { continue }
      scratch.hitSlots[scratch.hitCount] = slot
      scratch.hitDistances[scratch.hitCount] = scratch.nearest.distance(at: i)
      scratch.hitCount += 1
    }
    return sawOnlyVisible
  }
}

/// The row that a search near it leaves out.
struct ExcludedRow {
  /// Where the row stands now.
  let slot: UInt32
  /// The row's id, where it was replaced after the search's version: the search then sees an older slot of the same id.
  let olderID: RecordID?
  /// Whether the walk goes around its node.
  let isAbsent: Bool
}

extension SearchHits {
  /// The hits as values that outlive the search.
  public func copied() -> [SearchHit] {
    (0..<count).map { SearchHit(id: id(at: $0), distance: distance(at: $0)) }
  }
}
