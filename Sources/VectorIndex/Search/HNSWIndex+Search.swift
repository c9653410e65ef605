// Searching: Algorithm 5 of the paper, and what makes its answer complete.
//
// May use: Traversal, RangeScan, SearchScratch.

extension HNSWIndex {
  /// Collections up to this many rows are scanned: walking the graph would touch about as many.
  static let scanRowsMax = 1_000

  /// Finds the `k` rows nearest to `query`: Algorithm 5, K-NN-SEARCH.
  ///
  /// Sees the rows of one version of the index, never a row twice, and as many as asked for when there are as many:
  /// where the graph yields fewer than `k`, every row is scanned.
  ///
  /// - query: `[dimension]`, finite; not zero under cosine.
  /// - scratch: this thread's, made for this index. Once warmed, a search allocates nothing.
  /// - body: sees the hits while they cannot change.
  /// - Throws: `dimensionMismatch`, `notFinite`, `zeroVector`, `invalidK`, `invalidEffort`, `invalidRecallTarget`.
  /// - Complexity: about `M` distances for each node that is expanded, ``SearchHits/effort``; a scan of all rows if exact.
  public func search<R>(
    _ query: UnsafeBufferPointer<Float>, _ options: SearchOptions, scratch: inout SearchScratch,
    _ body: (SearchHits) -> R
  ) throws(IndexError) -> R {
    try search(query, options, absent: nil, scratch: &scratch, body)
  }

  /// - absent: the slot of a row that is to be as if it were not there. Calibration's.
  func search<R>(
    _ query: UnsafeBufferPointer<Float>, _ options: SearchOptions, absent: UInt32?, scratch: inout SearchScratch,
    _ body: (SearchHits) -> R
  ) throws(IndexError) -> R {
    try options.validate()
    let inverseLength = try checked(query)
    precondition(scratch.pins === store.pins, "a scratch belongs to the index that it was made for")
    let version = store.pins.enter(scratch.pin)
    defer { store.pins.leave(scratch.pin) }
    scratch.take(query, inverseLength: inverseLength, store)
    let excluded = absent.map { ExcludedRow(slot: $0, olderID: nil, isAbsent: true) }
    return answer(options, excluding: excluded, version: version, &scratch, body)
  }

  /// Finds the `k` rows nearest to the row called `id`, that row itself left out unless asked for.
  ///
  /// - Returns: what `body` returns; nil when there is no such row.
  /// - Throws: `invalidK`, `invalidEffort`, `invalidRecallTarget`, `recordIDMismatch`.
  public func search<R>(
    near id: RecordID, _ options: SearchOptions, scratch: inout SearchScratch, _ body: (SearchHits) -> R
  ) throws(IndexError) -> R? {
    try options.validate()
    try check(id)
    precondition(scratch.pins === store.pins, "a scratch belongs to the index that it was made for")
    let version = store.pins.enter(scratch.pin)
    defer { store.pins.leave(scratch.pin) }
    guard let slot = store.table.slot(of: id), !store.isStaged(slot) else { return nil }
    store.fine.decode(slot, into: scratch.vector)
    scratch.prepareQueries(inverseLength: store.metric == .cosine ? store.inverseLength(slot) : 1, store)
    var excluded: ExcludedRow?
    if !options.includesSelf {
      excluded = ExcludedRow(slot: slot, olderID: store.isVisible(slot, at: version) ? nil : id, isAbsent: false)
    }
    return answer(options, excluding: excluded, version: version, &scratch, body)
  }

  /// Copies the hits of one search out: for those who are not in a hurry.
  public func search(_ query: [Float], _ options: SearchOptions) throws(IndexError) -> [SearchHit] {
    var scratch = SearchScratch(for: self)
    return try query.withUnsafeBufferPointer { buffer throws(IndexError) in
      try search(buffer, options, scratch: &scratch) { $0.copied() }
    }
  }

  private func answer<R>(
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
      walk(rule, visible: version, version: careful ? version : nil, absent: absent, &scratch)
      if !collect(options.k, excluding: excluded, version: version, &scratch) && !careful {
        walk(rule, visible: version, version: version, absent: absent, &scratch)
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
        count: scratch.hitCount, distancesComputed: scratch.distancesComputed, effort: scratch.nodesExpanded,
        isExact: isExact))
  }

  /// - visible: the version of this search; `version`: the same where the walk must look who is visible.
  /// - absent: a node that is walked around.
  private func walk(
    _ rule: StopRule, visible: UInt64, version: UInt64?, absent: UInt32?, _ scratch: inout SearchScratch
  ) {
    let traversal = traversal
    traversal.begin(rule, &scratch)
    if let absent { _ = scratch.visited.insert(absent) }
    traversal.searchTail(tail, query: scratch.walkQuery, rule: rule, version: visible, &scratch)
    var start = Graph.none
    if let entry = graph.entryPoint() {
      start = traversal.descend(to: 0, from: entry, query: scratch.walkQuery, &scratch)
      traversal.continueLayer(0, from: start, query: scratch.walkQuery, rule: rule, version: version, &scratch)
    }
    for i in 0..<scratch.fresh.count {
      let candidate = scratch.fresh.entry(at: i)
      if candidate >= scratch.nearest.bound { break }
      // The walk may start at a node that is on its way out of the tail: it is among what the walk found.
      if Candidate.slot(candidate) == start { continue }
      scratch.nearest.insert(candidate)
    }
    if store.rescores { rescore(min(scratch.nearest.count, StopRule.scored(results: rule.results)), &scratch) }
  }

  /// Scores what a walk on codes found with the fine rows.
  private func rescore(_ count: Int, _ scratch: inout SearchScratch) {
    scratch.reserveHits(count)
    for i in 0..<count {
      let slot = scratch.nearest.slot(at: i)
      store.answering.prefetch(slot)
      scratch.hitSlots[i] = slot
    }
    store.answering.score(scratch.answerQuery, slots: scratch.hitSlots, count: count, into: scratch.hitDistances)
    scratch.nearest.rescore(first: count, scratch.hitDistances)
  }

  /// Takes the nearest `k` visible rows from the list.
  /// - Returns: false when it met rows that are not visible, which may have kept others out of the list.
  private func collect(
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
private struct ExcludedRow {
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
