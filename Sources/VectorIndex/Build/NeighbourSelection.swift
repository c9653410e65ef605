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
    var copies = 0
    for candidate in candidates {
      if result.count == degree { return }
      let (isDiverse, isCopy) = compare(candidate, with: result, scratch)
      // The first of them is none of those that were kept before it.
      guard isDiverse, !isCopy || copies &+ 1 < degree / 2 else { continue }
      if isCopy { copies &+= 1 }
      result.append(candidate)
    }
  }

  /// Compares a candidate with the neighbours that are kept.
  ///
  /// - kept: [R], ascending, or nearly so: most candidates that fail do so against one of the nearest.
  /// - Returns: whether it is nearer to the base than to each of them; if so, whether one of them is a copy of it.
  @inline(__always)
  func compare(
    _ candidate: Neighbour, with kept: [Neighbour], _ scratch: BuildScratch
  ) -> (isDiverse: Bool, isCopy: Bool) {
    let slots = scratch.search.batchSlots
    let distances = scratch.search.batchDistances
    scratch.compare(with: candidate.slot, store)
    var isCopy = false
    var first = 0
    while first < kept.count {
      let count = min(4, kept.count &- first)
      for i in 0..<count { slots[i] = kept[first &+ i].slot }
      store.pairing.score(scratch.rowQuery, slots: slots, count: count, into: distances)
      for i in 0..<count where distances[i] <= candidate.distance {
        if distances[i] < candidate.distance { return (false, false) }
        // Whatever is not: it is as far from a copy of the base as from the base.
        if !isCopy { isCopy = store.isCopy(candidate.slot, of: slots[i]) }
      }
      first &+= count
    }
    return (true, isCopy)
  }
}
