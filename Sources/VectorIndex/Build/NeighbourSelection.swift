// Which of the candidates become neighbours: Algorithm 4 of the paper.
//
// May use: Scorer, BuildScratch.

extension Traversal {
  /// Chooses up to `degree` of the candidates so that they lie in different directions: Algorithm 4,
  /// SELECT-NEIGHBORS-HEURISTIC.
  ///
  /// A candidate is kept when it is nearer to the base than to every neighbour kept before it. As in the paper's own
  /// implementation, candidates are not extended by their neighbours, and discarded ones do not fill up the rest.
  ///
  /// Copies of the base are as near to each other as to it, so the paper's rule takes each for a direction of its own. They get half of the
  /// places: the others lead away from them.
  ///
  /// - candidates: [C], ascending by distance to the base.
  /// - degree: [M].
  /// - result: [R], ascending.
  /// - Complexity: up to `candidates × degree` distances, most of them cut short after the first four.
  @inline(__always)
  func selectNeighbours(
    _ candidates: [Neighbour], degree: Int, into result: inout [Neighbour], _ scratch: BuildScratch
  ) {
    result.removeAll(keepingCapacity: true)
    let slots = scratch.search.batchSlots
    let distances = scratch.search.batchDistances
    var copies = 0
    for candidate in candidates {
      if result.count == degree { return }
      scratch.compare(with: candidate.slot, store)
      var isDiverse = true
      var isCopy = false
      var first = 0
      // Four at a time, nearest first: most candidates that fail do so against one of the nearest.
      while first < result.count, isDiverse {
        let count = min(4, result.count &- first)
        for i in 0..<count { slots[i] = result[first &+ i].slot }
        store.pairing.score(scratch.rowQuery, slots: slots, count: count, into: distances)
        for i in 0..<count where distances[i] <= candidate.distance {
          if distances[i] < candidate.distance { isDiverse = false }
          // Whatever is not: it is as far from a copy of the base as from the base.
          if !isCopy, distances[i] == candidate.distance { isCopy = store.isCopy(candidate.slot, of: slots[i]) }
        }
        first &+= count
      }
      guard isDiverse, !isCopy || copies < degree / 2 else { continue }
      if isCopy { copies &+= 1 }
      result.append(candidate)
    }
  }
}
