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
  /// - Throws: `dimensionMismatch`, `notFinite`, `zeroVector`, `invalidK`, `invalidEffort`.
  /// - Complexity: about `ef × 2M` distances; a scan of all rows if exact.
  public func search<R>(
    _ query: UnsafeBufferPointer<Float>, _ options: SearchOptions, scratch: inout SearchScratch,
    _ body: (SearchHits) -> R
  ) throws(IndexError) -> R {
    try options.validate()
    let scale = try checked(query)
    precondition(scratch.pins === store.pins, "a scratch belongs to the index that it was made for")
    let version = store.pins.enter(scratch.pin)
    defer { store.pins.leave(scratch.pin) }
    if let source = query.baseAddress { scratch.query.update(from: source, count: store.dimension) }
    return answer(scale: scale, options, excluding: nil, version: version, &scratch, body)
  }

  /// Finds the `k` rows nearest to the row called `id`, that row itself left out unless asked for.
  ///
  /// - Returns: what `body` returns; nil when there is no such row.
  /// - Throws: `invalidK`, `invalidEffort`, `recordIDMismatch`.
  public func search<R>(
    near id: RecordID, _ options: SearchOptions, scratch: inout SearchScratch, _ body: (SearchHits) -> R
  ) throws(IndexError) -> R? {
    try options.validate()
    try check(id)
    precondition(scratch.pins === store.pins, "a scratch belongs to the index that it was made for")
    let version = store.pins.enter(scratch.pin)
    defer { store.pins.leave(scratch.pin) }
    guard let slot = store.table.slot(of: id), !store.isStaged(slot) else { return nil }
    scratch.query.update(from: store.scorer.row(slot), count: store.dimension)
    var excluded: ExcludedRow?
    if !options.includesSelf {
      excluded = ExcludedRow(slot: slot, olderID: store.isVisible(slot, at: version) ? nil : id)
    }
    return answer(scale: store.scale(slot), options, excluding: excluded, version: version, &scratch, body)
  }

  /// Copies the hits of one search out: for those who are not in a hurry.
  public func search(_ query: [Float], _ options: SearchOptions) throws(IndexError) -> [SearchHit] {
    var scratch = SearchScratch(for: self)
    return try query.withUnsafeBufferPointer { buffer throws(IndexError) in
      try search(buffer, options, scratch: &scratch) { $0.copied() }
    }
  }

  private func answer<R>(
    scale: Float, _ options: SearchOptions, excluding excluded: ExcludedRow?, version: UInt64,
    _ scratch: inout SearchScratch, _ body: (SearchHits) -> R
  ) -> R {
    scratch.distancesComputed = 0
    let live = store.liveCount.load(ordering: .relaxed)
    let wanted = min(options.k, live) + (excluded == nil ? 0 : 1)
    let effort = max(options.effort == 0 ? configuration.searchEffort : options.effort, wanted)
    var isExact = options.exact || live <= max(Self.scanRowsMax, effort)
    if !isExact {
      // Nodes that this reader does not see are rare; the careful walk is only for them.
      let careful = hiddenNodes.load(ordering: .acquiring) > 0
      walk(scale: scale, effort: effort, version: careful ? version : nil, &scratch)
      if !collect(options.k, excluding: excluded, version: version, &scratch) && !careful {
        walk(scale: scale, effort: effort, version: version, &scratch)
        _ = collect(options.k, excluding: excluded, version: version, &scratch)
      }
      let owed = min(options.k, live - (excluded == nil ? 0 : 1))
      if scratch.hitCount < owed || scratch.isAbandoned { isExact = true }
    }
    if isExact {
      RangeScan(store: store).run(
        scale: scale, k: options.k + (excluded == nil ? 0 : 1), version: version, &scratch)
      _ = collect(options.k, excluding: excluded, version: version, &scratch)
    }
    return body(
      SearchHits(
        store: store, slots: UnsafePointer(scratch.hitSlots), distances: UnsafePointer(scratch.hitDistances),
        count: scratch.hitCount, distancesComputed: scratch.distancesComputed, isExact: isExact))
  }

  private func walk(scale: Float, effort: Int, version: UInt64?, _ scratch: inout SearchScratch) {
    guard let entry = graph.entryPoint() else {
      scratch.isAbandoned = false
      scratch.pool.reset(limit: effort)
      return
    }
    let traversal = traversal
    let start = traversal.descend(to: 0, from: entry, query: scratch.query, scale: scale, &scratch)
    traversal.searchLayer(
      0, from: start, query: scratch.query, scale: scale, ef: effort, version: version, &scratch)
  }

  /// Takes the nearest `k` visible rows from the pool.
  /// - Returns: false when it met rows that are not visible, which may have kept others out of the pool.
  private func collect(
    _ k: Int, excluding excluded: ExcludedRow?, version: UInt64, _ scratch: inout SearchScratch
  ) -> Bool {
    scratch.reserveHits(min(k, scratch.pool.count))
    var sawOnlyVisible = true
    for i in 0..<scratch.pool.count {
      if scratch.hitCount == k { break }
      let slot = scratch.pool.slot(at: i)
      guard store.isVisible(slot, at: version) else {
        sawOnlyVisible = false
        continue
      }
      if let excluded, slot == excluded.slot || (excluded.olderID.map { store.ids[slot] == $0 } ?? false) { continue }
      scratch.hitSlots[scratch.hitCount] = slot
      scratch.hitDistances[scratch.hitCount] = scratch.pool.distance(at: i)
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
}

extension SearchHits {
  /// The hits as values that outlive the search.
  public func copied() -> [SearchHit] {
    (0..<count).map { SearchHit(id: id(at: $0), distance: distance(at: $0)) }
  }
}
