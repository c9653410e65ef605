// Every live row can be reached on the ground layer: proved by a walk over all links, and made so where it is not.
//
// Pruning may take the last edge to a node away (lucene#16552, pgvector#450: rows that no search finds). The paper leaves that
// open; an index that people trust must not.
//
// May use: Graph, Traversal, RangeScan's pieces.

import Synchronization

extension HNSWIndex {
  /// The live rows that no path on the ground layer leads to from the entry point. Empty in an index that was just mended.
  ///
  /// The writer's: nothing else may change the graph meanwhile. Complexity: one pass over the links.
  func unreachableSlots() -> [UInt32] { unreached(reachedSlots(), at: VectorStore.now) }

  private func unreached(_ reached: [Bool], at horizon: UInt64) -> [UInt32] {
    reached.indices.lazy.map(UInt32.init).filter {
      !reached[Int($0)] && self.store.isLive($0, at: horizon) && self.graph.layer(of: $0) >= 0
    }
  }

  func reachedSlots() -> [Bool] {
    var reached = [Bool](repeating: false, count: store.slotsUsed.load(ordering: .relaxed))
    if let entry = graph.entryPoint() { spread(from: entry.slot, &reached) }
    return reached
  }

  private func spread(from start: UInt32, _ reached: inout [Bool]) {
    var frontier = [start]
    reached[Int(start)] = true
    while let slot = frontier.popLast() {
      let links = graph.groundLinks(of: slot)
      for i in 0..<graph.groundDegreeMax {
        let neighbour = links[i].load(ordering: .relaxed)
        if neighbour == Graph.none { break }
        guard !reached[Int(neighbour)] else { continue }
        reached[Int(neighbour)] = true
        frontier.append(neighbour)
      }
    }
  }

  /// Looks for rows that linking others has cut off, and ties them in. Removed ones stay what they are.
  func proveReachability(_ linking: inout Linking) {
    withRows { $0.linked = 0 }
    let scratch = linking.scratch(store)
    _ = store.pins.enter(scratch.search.pin)
    tieInUnreachable(scratch, &linking)
    store.pins.leave(scratch.search.pin)
  }

  /// Gives every unreachable node an edge from a near one that is reached.
  ///
  /// The edge goes to the nearest reached node whose row has room, so that nobody else is cut off by it.
  func tieInUnreachable(_ scratch: BuildScratch, _ linking: inout Linking) {
    let start = ContinuousClock.now
    defer { linking.lastProof = (.now, start.duration(to: .now)) }
    var reached = reachedSlots()
    // By the node that is nearest to it: the last one that was tied in.
    var lastTied: [UInt32: UInt32] = [:]
    for slot in unreached(reached, at: scratch.horizon) where !reached[Int(slot)] {
      // An earlier tie may have reached this one too.
      guard let base = nearestBaseWithRoom(for: slot, reached, &lastTied, scratch) else { continue }
      let count = graph.neighbours(of: base, layer: 0).count
      graph.groundLinks(of: base)[count].store(slot, ordering: .releasing)
      spread(from: slot, &reached)
    }
  }

  /// Gives a node an edge when all the neighbours that it chose pruned theirs away: copies of one vector do that, and rows far
  /// from all others. Until the next mending no search would find it.
  ///
  /// The candidates of the ground layer are still in the scratch. The edge goes to the nearest of them that has room or, where
  /// none has, takes the place of the nearest one's farthest.
  func tieInIfOrphaned(_ slot: UInt32, _ scratch: BuildScratch) {
    guard let nearest = scratch.chosen[0].first else { return }
    if store.isCopy(slot, of: nearest.slot), tieToCopy(slot, scratch) { return }
    let hasEdge = scratch.chosen[0].contains { graph.neighbours(of: $0.slot, layer: 0).contains(slot) }
    if hasEdge { return }
    for amongCopies in [false, true] {
      for i in 0..<scratch.search.nearest.count where isAmongCopies(i, slot, scratch) == amongCopies {
        let base = scratch.search.nearest.slot(at: i)
        if base != slot, isPlace(base, at: scratch.horizon), tie(slot, to: base) { return }
      }
    }
    graph.withLock(on: nearest.slot) {
      // Somebody may have pruned its edges meanwhile: none may stand behind an empty place.
      let count = graph.neighbours(of: nearest.slot, layer: 0).count
      graph.groundLinks(of: nearest.slot)[min(count, graph.groundDegreeMax - 1)].store(slot, ordering: .releasing)
    }
  }

  /// Whether what was found is one of several copies of another vector than the slot's. Walks expand only so many of those that they meet
  /// (Traversal.swift), so what is tied to another of them may be found by none.
  private func isAmongCopies(_ i: Int, _ slot: UInt32, _ scratch: BuildScratch) -> Bool {
    let base = scratch.search.nearest.slot(at: i)
    let distance = scratch.search.nearest.distance(at: i)
    let hasCopy = [i - 1, i + 1].contains {
      $0 >= 0 && $0 < scratch.search.nearest.count && scratch.search.nearest.distance(at: $0) == distance
        && store.isCopy(base, of: scratch.search.nearest.slot(at: $0))
    }
    return hasCopy && !store.isCopy(base, of: slot)
  }

  /// Ties a copy to another that has room: one that was found, or one that is tied to that, in the last place.
  ///
  /// To none that was chosen: all copies choose the same few, and these prune most of them away, if not now. And what is no copy of it would not
  /// keep the edge for long either: of those that are as near, pruning keeps one.
  /// - Returns: false where there is none.
  private func tieToCopy(_ slot: UInt32, _ scratch: BuildScratch) -> Bool {
    for i in 0..<scratch.search.nearest.count {
      var base = scratch.search.nearest.slot(at: i)
      if scratch.chosen[0].contains(where: { $0.slot == base }) { continue }
      for _ in 0..<Self.tiesFollowed {
        guard base != slot, base != Graph.none, isPlace(base, at: scratch.horizon), store.isCopy(slot, of: base)
        else { break }
        // Not asked for with the lock where it is full.
        let last = graph.groundLinks(of: base)[graph.groundDegreeMax - 1].load(ordering: .acquiring)
        if last == Graph.none, tie(slot, to: base) { return true }
        base = last
      }
    }
    return false
  }

  /// So many full rows of copies are passed, from each of those that were found and not chosen.
  private static let tiesFollowed = 1_024

  /// - Returns: whether there was room for the edge.
  private func tie(_ slot: UInt32, to base: UInt32) -> Bool {
    graph.withLock(on: base) {
      let count = graph.neighbours(of: base, layer: 0).count
      guard count < graph.groundDegreeMax else { return false }
      graph.groundLinks(of: base)[count].store(slot, ordering: .releasing)
      return true
    }
  }

  /// - lastTied: where all around is full, and the one that was tied in before is as near, that has room: copies of one vector, of which
  ///   there may be thousands, would each cost a look at every row.
  private func nearestBaseWithRoom(
    for slot: UInt32, _ reached: [Bool], _ lastTied: inout [UInt32: UInt32], _ scratch: BuildScratch
  ) -> UInt32? {
    let traversal = traversal
    guard let entry = graph.entryPoint() else { return nil }
    scratch.aim(at: slot, store)
    let horizon = scratch.horizon
    let isBase = { (base: UInt32) in
      reached[Int(base)] && self.store.isLive(base, at: horizon)
        && self.graph.groundLinks(of: base)[self.graph.groundDegreeMax - 1].load(ordering: .relaxed) == Graph.none
    }
    let start = traversal.descend(to: 0, from: entry, query: scratch.search.walkQuery, &scratch.search)
    traversal.searchLayer(
      0, from: start, query: scratch.search.walkQuery,
      rule: .effort(configuration.constructionEffort, results: configuration.connectivity), version: nil,
      &scratch.search)
    for amongCopies in [false, true] {
      for i in 0..<scratch.search.nearest.count where isBase(scratch.search.nearest.slot(at: i)) {
        if isAmongCopies(i, slot, scratch) == amongCopies { return scratch.search.nearest.slot(at: i) }
      }
    }
    if scratch.search.nearest.count > 0 {
      let nearest = scratch.search.nearest.slot(at: 0)
      defer { lastTied[nearest] = slot }
      if let tied = lastTied[nearest], isBase(tied) {
        var both = [nearest, tied].map { Neighbour(distance: 0, slot: $0) }
        score(&both, from: slot, scratch)
        if both[0].slot == tied || both[0].distance == both[1].distance { return tied }
      }
    }
    // The search went astray among unreachable nodes, or all around is full: look at every row. Rare.
    var best = Candidate.none
    for first in stride(from: 0, to: reached.count, by: SearchScratch.batchMax) {
      let count = min(SearchScratch.batchMax, reached.count - first)
      store.answering.scoreRange(
        scratch.search.answerQuery, first: first, count: count, into: scratch.search.batchDistances)
      for i in 0..<count where isBase(UInt32(first + i)) {
        best = min(best, Candidate.pack(scratch.search.batchDistances[i], UInt32(first + i)))
      }
    }
    return best == Candidate.none ? nil : Candidate.slot(best)
  }
}
