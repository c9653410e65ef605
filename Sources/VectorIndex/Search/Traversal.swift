// The hot loop: Algorithm 2 of the paper, and the greedy descent of Algorithm 5.
//
// Nothing here allocates, locks or counts references; each hop crosses into C once. Names from the paper in brackets.
//
// Three nodes are in flight at once, so that no step waits for memory that it could have asked for: while the rows of one
// node's neighbours are on their way, the rows of the node before are scored, and the links of the node after are fetched. The
// price is that a node is chosen before the last batch is known; it costs a few distances a query.
//
// May use: Graph, Scorer, Admission, SearchScratch.

internal import CVectorKernels
import Synchronization

/// What a traversal walks on. A value of constant pointers and references that the caller keeps alive.
struct Traversal {
  let graph: Graph
  let store: VectorStore
  let scorer: Scorer

  /// Walks greedily from `start` down the layers above `layer`, to the node that is nearest on each.
  ///
  /// - query: [q].
  /// - Returns: the entry point [ep] for `layer`.
  @inline(__always)
  func descend(
    to layer: Int, from start: (slot: UInt32, layer: Int), query: UnsafePointer<vz_query>,
    _ scratch: inout SearchScratch
  ) -> UInt32 {
    var nearest = start.slot
    guard start.layer > layer else { return nearest }
    scratch.batchSlots[0] = nearest
    scorer.score(query, slots: scratch.batchSlots, count: 1, into: scratch.batchDistances)
    scratch.distancesComputed &+= 1
    var best = scratch.batchDistances[0]
    for l in stride(from: start.layer, to: layer, by: -1) {
      var improved = true
      while improved {
        improved = false
        let links = graph.links(of: nearest, layer: l)
        // The walk goes on from here below, unless one of these is nearer; of that one, the upper links have to be found first.
        prefetch(graph.links(of: nearest, layer: l &- 1))
        var count = 0
        while count < graph.degreeMax {
          // Pairs with the releasing stores of `setLinks` and `connect`.
          let neighbour = links[count].load(ordering: .acquiring)
          if neighbour == Graph.none { break }
          scorer.prefetch(neighbour)
          graph.prefetchNode(neighbour)
          scratch.batchSlots[count] = neighbour
          count &+= 1
        }
        scorer.score(query, slots: scratch.batchSlots, count: count, into: scratch.batchDistances)
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

  /// Finds the nodes nearest to `query` on one layer: Algorithm 2, SEARCH-LAYER, with its end stated by `rule`.
  ///
  /// The scratch's `nearest` [W] holds the result, ascending.
  ///
  /// - entry: [ep].
  /// - version: when given, a node whose row is not visible at it is walked through and is no result. Without it all nodes
  ///   count. A walk among thousands of such nodes is abandoned: the scratch says so.
  /// - Complexity: about `rule.limit × degree` distances with Algorithm 2's rule.
  @inline(__always)
  func searchLayer(
    _ layer: Int, from entry: UInt32, query: UnsafePointer<vz_query>, rule: StopRule, version: UInt64?,
    _ scratch: inout SearchScratch
  ) {
    begin(rule, &scratch)
    continueLayer(
      layer, from: entry, query: query, rule: rule, admitting: VisibleRows(store: store, version: version), &scratch)
  }

  /// Empties what a search writes.
  @inline(__always)
  func begin(_ rule: StopRule, _ scratch: inout SearchScratch) {
    scratch.nearest.reset(limit: rule.limit, copiesMax: rule.copiesMax)
    scratch.frontier.reset()
    scratch.refused.reset()
    scratch.isAbandoned = false
    scratch.visited.reset(slots: store.slotsUsed.load(ordering: .acquiring))
  }

  /// Looks through the rows that are not linked yet: the nearest of them go to the scratch's `fresh`, and all count as visited.
  ///
  /// Apart from what the walk finds, and before it: near rows that nothing leads to must not make it stop early.
  ///
  /// - admission: what a row must be to be a result.
  @inline(__always)
  func searchTail(
    _ tail: Tail, query: UnsafePointer<vz_query>, rule: StopRule, admitting admission: some Admission,
    _ scratch: inout SearchScratch
  ) {
    let range = tail.range
    scratch.fresh.reset(limit: rule.limit)
    let slots = scratch.batchSlots
    var first = 0
    while first < range.count {
      var count = 0
      while first < range.count, count < SearchScratch.batchMax {
        let slot = tail.slot(first, of: range)
        if scratch.visited.insert(slot) {
          slots[count] = slot
          scorer.prefetch(slot)
          count &+= 1
        }
        first &+= 1
      }
      let bound = rule.bound(scratch.fresh)
      let kept = scorer.score(query, slots: slots, count: count, below: bound, into: scratch.batchDistances)
      scratch.distancesComputed &+= count
      for i in 0..<kept {
        let candidate = Candidate.pack(scratch.batchDistances[i], slots[i])
        guard candidate < scratch.fresh.bound, admission.admits(slots[i]) else { continue }
        scratch.fresh.insert(candidate)
      }
    }
  }

  /// What ``searchLayer(_:from:query:rule:version:_:)`` does after ``begin(_:_:)``.
  ///
  /// - admission: which nodes may be results; the others are walked through.
  @inline(__always)
  func continueLayer(
    _ layer: Int, from entry: UInt32, query: UnsafePointer<vz_query>, rule: StopRule,
    admitting admission: some Admission, _ scratch: inout SearchScratch
  ) {
    var bound = Float.infinity
    var refusedCount = 0
    let degreeMax = graph.degreeMax(onLayer: layer)

    // The batch whose rows are on their way, and the one whose rows are there.
    var coming = vz_batch(slots: scratch.batchSlots, count: 0)
    var ready = vz_batch(slots: scratch.entrySlot, count: 1)
    scratch.entrySlot[0] = entry
    _ = scratch.visited.insert(entry)
    let kept = scratch.hopCandidates
    scratch.queues.pointee.links = layer == 0 ? graph.groundLinks : nil
    scratch.queues.pointee.link_bytes = graph.groundStride &* MemoryLayout<UInt32>.stride
    let admitsAll = admission.admitsAll
    // Whether the links of what is nearest have been asked for.
    var isAsked = false

    while true {
      // The nearest unexpanded candidate [c]: its links are asked for now and read after the next batch was scored.
      var links: Graph.Links?
      var candidate = scratch.frontier.takeNearest(below: Candidate.pack(bound, .max))
      if let left = candidate, !admission.expands(left, rule, &scratch) {
        // What is still on its way may bring it within reach.
        scratch.frontier.insert(left)
        candidate = nil
      }
      if let candidate {
        scratch.nodesExpanded &+= 1
        let next = graph.links(of: Candidate.slot(candidate), layer: layer)
        links = next
        if !isAsked {
          prefetch(next)
          // And those of what comes next, unless something nearer turns up.
          if let upcoming = scratch.frontier.upcoming {
            prefetch(graph.links(of: Candidate.slot(upcoming), layer: layer))
          }
        }
      } else if ready.count == 0, coming.count == 0 {
        return
      }

      var gathered = vz_batch(slots: scratch.entrySlot, count: 0)
      let takes = admitsAll && scratch.nearest.isPlain
      let left = scorer.hop(
        query, ready: ready, below: bound, kept: kept, links: links, degree: degreeMax, scratch.visited, &gathered,
        into: takes ? scratch.queues : nil)
      isAsked = takes && scratch.queues.pointee.has_asked
      scratch.distancesComputed &+= ready.count
      for i in 0..<left {
        let candidate = kept[i]
        let slot = Candidate.slot(candidate)
        if candidate < scratch.nearest.bound {
          if admission.admits(slot) {
            if !scratch.nearest.insert(candidate) {
              noteDropped(&scratch)
              // Enough copies of it have been met, which lead to what it leads to. What is as far and no copy may lead elsewhere.
              if store.isCopy(slot, of: scratch.nearest.tied) { continue }
            }
          } else {
            refusedCount &+= 1
            admission.note(refused: candidate, &scratch)
          }
        }
        // It may be the next one.
        if scratch.frontier.precedesAll(candidate) { prefetch(graph.links(of: slot, layer: layer)) }
        scratch.frontier.insert(candidate)
      }
      if admission.isExhausted(
        refused: refusedCount, found: scratch.nearest.count, distances: scratch.distancesComputed)
      {
        scratch.isAbandoned = true
        return
      }
      bound = rule.bound(scratch.nearest)
      (ready, coming) = (coming, gathered)
    }
  }

  /// What the list has just dropped counts, where it has no copy of it.
  @inline(never)
  func noteDropped(_ scratch: inout SearchScratch) {
    let dropped = scratch.nearest.dropped
    for i in scratch.nearest.ties(with: dropped)
    where store.isCopy(Candidate.slot(dropped), of: scratch.nearest.slot(at: i)) { return }
    scratch.nearest.noteUnlisted(dropped)
  }

  @inline(__always)
  private func prefetch(_ links: Graph.Links) {
    vz_prefetch(UnsafeRawPointer(links))
    vz_prefetch(UnsafeRawPointer(links) + 64)
  }
}
