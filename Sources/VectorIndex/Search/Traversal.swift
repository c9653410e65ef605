// The hot loop: Algorithm 2 of the paper, and the greedy descent of Algorithm 5.
//
// Nothing here allocates, locks or counts references; each hop crosses into C once. Names from the paper in brackets.
//
// May use: Graph, Scorer, VectorStore's lifetimes, SearchScratch.

import Synchronization

/// What a traversal walks on. A value of constant pointers and references that the caller keeps alive.
struct Traversal {
  let graph: Graph
  let store: VectorStore
  let scorer: Scorer

  /// How many hidden nodes a walk takes into its pool, where each costs more than the one before. Measured where a region of
  /// 16 dimensions was emptied: at 5,000 a walk takes 1 ms, at 20,000 6 ms, where a scan of all 360,000 rows takes 2.
  private static let hiddenMax = 4_096

  /// Walks greedily from `start` down the layers above `layer`, to the node that is nearest on each.
  ///
  /// - query: [q], `[width]`.
  /// - Returns: the entry point [ep] for `layer`.
  @inline(__always)
  func descend(
    to layer: Int, from start: (slot: UInt32, layer: Int), query: UnsafePointer<Float>, scale: Float,
    _ scratch: inout SearchScratch
  ) -> UInt32 {
    var nearest = start.slot
    guard start.layer > layer else { return nearest }
    scratch.batchSlots[0] = nearest
    scorer.score(query, scale: scale, slots: scratch.batchSlots, count: 1, into: scratch.batchDistances)
    scratch.distancesComputed &+= 1
    var best = scratch.batchDistances[0]
    for l in stride(from: start.layer, to: layer, by: -1) {
      var improved = true
      while improved {
        improved = false
        let links = graph.links(of: nearest, layer: l)
        var count = 0
        while count < graph.degreeMax {
          // Pairs with the releasing stores of `setLinks` and `connect`.
          let neighbour = links[count].load(ordering: .acquiring)
          if neighbour == Graph.none { break }
          scratch.batchSlots[count] = neighbour
          count &+= 1
        }
        scorer.score(query, scale: scale, slots: scratch.batchSlots, count: count, into: scratch.batchDistances)
        scratch.distancesComputed &+= count
        for i in 0..<count where scratch.batchDistances[i] < best {
          best = scratch.batchDistances[i]
          nearest = scratch.batchSlots[i]
          improved = true
        }
      }
    }
    return nearest
  }

  /// Finds up to `ef` nodes nearest to `query` on one layer: Algorithm 2, SEARCH-LAYER.
  ///
  /// The pool of the scratch is both candidates [C] and nearest [W]; it holds the result, ascending.
  ///
  /// - entry: [ep].
  /// - ef: candidates kept.
  /// - version: when given, a node whose row is not visible at it is walked through without taking one of the `ef`
  ///   places. Without it all nodes count. A walk among thousands of such nodes is abandoned: the scratch says so.
  /// - Complexity: about `ef × degree` distances.
  @inline(__always)
  func searchLayer(
    _ layer: Int, from entry: UInt32, query: UnsafePointer<Float>, scale: Float, ef: Int, version: UInt64?,
    _ scratch: inout SearchScratch
  ) {
    scratch.pool.reset(limit: ef)
    scratch.isAbandoned = false
    scratch.visited.reset(slots: store.slotsUsed.load(ordering: .acquiring))
    let slots = scratch.batchSlots
    let distances = scratch.batchDistances
    slots[0] = entry
    _ = scratch.visited.insert(entry)
    var count = 1
    let degreeMax = graph.degreeMax(onLayer: layer)

    while true {
      scorer.score(query, scale: scale, slots: slots, count: count, into: distances)
      scratch.distancesComputed &+= count
      for i in 0..<count {
        let candidate = CandidatePool.pack(distances[i], slots[i])
        guard candidate < scratch.pool.bound else { continue }
        if let version, !store.isVisible(slots[i], at: version) {
          guard scratch.pool.limit < ef &+ Self.hiddenMax else {
            scratch.isAbandoned = true
            return
          }
          scratch.pool.raiseLimit()
        }
        scratch.pool.insert(candidate)
      }

      // Gather the unvisited neighbours of the nearest unexpanded candidate [c]; skip candidates that have none.
      count = 0
      while count == 0 {
        guard let nearest = scratch.pool.expandNext() else { return }
        let links = graph.links(of: nearest, layer: layer)
        if let next = scratch.pool.upcoming { prefetch(graph.links(of: next, layer: layer)) }
        for i in 0..<degreeMax {
          // Pairs with the releasing stores of `setLinks` and `connect`.
          let neighbour = links[i].load(ordering: .acquiring)
          if neighbour == Graph.none { break }
          guard scratch.visited.insert(neighbour) else { continue }
          slots[count] = neighbour
          count &+= 1
        }
      }
    }
  }
}
