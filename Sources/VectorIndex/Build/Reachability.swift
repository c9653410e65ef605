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

  private func reachedSlots() -> [Bool] {
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

  /// Gives every unreachable node an edge from a near one that is reached.
  ///
  /// The edge goes to the nearest reached node whose row has room, so that nobody else is cut off by it.
  func tieInUnreachable(_ scratch: BuildScratch) {
    var reached = reachedSlots()
    for slot in unreached(reached, at: scratch.horizon) where !reached[Int(slot)] {
      // An earlier tie may have reached this one too.
      guard let base = nearestBaseWithRoom(for: slot, reached, scratch) else { continue }
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
    let hasEdge = scratch.chosen[0].contains { graph.neighbours(of: $0.slot, layer: 0).contains(slot) }
    guard !hasEdge, let nearest = scratch.chosen[0].first else { return }
    let last = graph.groundDegreeMax - 1
    for i in 0..<scratch.search.nearest.count {
      let base = scratch.search.nearest.slot(at: i)
      guard base != slot, isPlace(base, at: scratch.horizon) else { continue }
      let isTied = graph.withLock(on: base) {
        let count = graph.neighbours(of: base, layer: 0).count
        if count <= last { graph.groundLinks(of: base)[count].store(slot, ordering: .releasing) }
        return count <= last
      }
      if isTied { return }
    }
    graph.withLock(on: nearest.slot) { graph.groundLinks(of: nearest.slot)[last].store(slot, ordering: .releasing) }
  }

  private func nearestBaseWithRoom(for slot: UInt32, _ reached: [Bool], _ scratch: BuildScratch) -> UInt32? {
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
      rule: .effort(configuration.constructionEffort, results: configuration.constructionEffort), version: nil,
      &scratch.search)
    for i in 0..<scratch.search.nearest.count where isBase(scratch.search.nearest.slot(at: i)) {
      return scratch.search.nearest.slot(at: i)
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
