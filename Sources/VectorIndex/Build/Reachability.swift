// Every live row can be reached on the ground layer: proved by a walk over all links, and made so where it is not.
//
// Pruning may take the last edge to a node away (lucene#16552, pgvector#450: rows that no search finds). The paper leaves that
// open; an index that people trust must not.
//
// May use: Graph, Insertion.

import Synchronization

extension HNSWIndex {
  /// The live rows that no path on the ground layer leads to from the entry point. Empty in a sound index.
  ///
  /// The writer's: nothing else may change the graph meanwhile. Complexity: one pass over the links.
  func unreachableSlots() -> [UInt32] {
    let used = store.slotsUsed.load(ordering: .relaxed)
    guard let entry = graph.entryPoint() else {
      return (0..<UInt32(used)).filter { store.isLive($0) && graph.layer(of: $0) >= 0 }
    }
    var reached = [Bool](repeating: false, count: used)
    var frontier = [entry.slot]
    reached[Int(entry.slot)] = true
    spread(from: &frontier, &reached)
    return (0..<UInt32(used)).filter { !reached[Int($0)] && store.isLive($0) && graph.layer(of: $0) >= 0 }
  }

  private func spread(from frontier: inout [UInt32], _ reached: inout [Bool]) {
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
    let lost = unreachableSlots()
    guard !lost.isEmpty, let entry = graph.entryPoint() else { return }
    let traversal = traversal
    for slot in lost {
      let row = traversal.scorer.row(slot)
      let scale = store.metric == .cosine ? store.scale(slot) : 1
      let start = traversal.descend(to: 0, from: entry, query: row, scale: scale, &scratch.search)
      var effort = configuration.constructionEffort
      // A search from the entry point finds reached nodes only. Wider and wider, until one has room.
      while true {
        traversal.searchLayer(0, from: start, query: row, scale: scale, ef: effort, version: nil, &scratch.search)
        let found = scratch.search.pool.count
        if tie(slot, toOneOf: found, scratch) || found < effort { break }
        effort *= 4
      }
    }
  }

  private func tie(_ slot: UInt32, toOneOf found: Int, _ scratch: BuildScratch) -> Bool {
    for i in 0..<found {
      let base = scratch.search.pool.slot(at: i)
      // An earlier tie may have reached this one too.
      if base == slot { return true }
      guard store.isCurrent(base) else { continue }
      let links = graph.groundLinks(of: base)
      if links[graph.groundDegreeMax - 1].load(ordering: .relaxed) != Graph.none { continue }
      let count = graph.neighbours(of: base, layer: 0).count
      links[count].store(slot, ordering: .releasing)
      return true
    }
    return false
  }
}
