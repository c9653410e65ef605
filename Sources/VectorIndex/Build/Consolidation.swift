// Mending the graph after removals, and giving the slots back.
//
// A removed row's node stays walkable until a sweep takes every edge to it away: whoever pointed at it gets the chance to
// point at its neighbours instead (Singh et al., FreshDiskANN, arXiv:2105.09613, Algorithm 4, with the paper's own
// neighbour selection). A sweep reads every row of links once, so it waits until removals have added up.
//
// May use: Graph, Traversal, NeighbourSelection, VectorStore.

import Synchronization

extension HNSWIndex {
  /// A sweep is due when this share of the nodes is retired: `1 / consolidationShare`. Until then a search walks through
  /// at most that many nodes for nothing.
  private static let consolidationShare = 16
  private static let consolidationMin = 256

  func consolidateIfDue(_ writer: inout Writer) {
    let due = max(Self.consolidationMin, count / Self.consolidationShare)
    if writer.retired.count >= due { consolidate(&writer) }
  }

  /// Takes all edges to removed rows away, mends the graph around them and makes their slots ready for reuse.
  ///
  /// Runs by itself when enough rows were removed; searches go on meanwhile.
  /// - Complexity: one pass over all links, and about `M²` distances for each edge that led to a removed row.
  public func consolidate() {
    withWriter { consolidate(&$0) }
  }

  private func consolidate(_ writer: inout Writer) {
    guard !writer.retired.isEmpty else { return }
    let scratch = writer.scratch ?? BuildScratch(store: store)
    writer.scratch = scratch
    replaceEntryIfRetired()
    for slot in 0..<UInt32(store.slotsUsed.load(ordering: .relaxed)) {
      let layer = graph.layer(of: slot)
      guard layer >= 0, store.isLive(slot) else { continue }
      for l in 0...layer { mendLinks(of: slot, layer: l, scratch) }
    }
    tieInUnreachable(scratch)
    // No live node points at them any more, and they cannot be entered; readers on their way are waited for in `reclaim`.
    let version = store.pins.current + 1
    store.pins.publish(version)
    writer.unlinked.append((writer.retired, version))
    hiddenNodes.subtract(writer.retired.count, ordering: .releasing)
    writer.retired = []
    reclaim(&writer)
  }

  /// Replaces edges to retired nodes by edges to those nodes' neighbours.
  private func mendLinks(of base: UInt32, layer: Int, _ scratch: BuildScratch) {
    let neighbours = graph.neighbours(of: base, layer: layer)
    guard neighbours.contains(where: { !store.isCurrent($0) }) else { return }
    var seen = Set(neighbours)
    seen.insert(base)
    var candidates = neighbours.filter { store.isCurrent($0) }
    for retired in neighbours where !store.isCurrent(retired) {
      for candidate in graph.neighbours(of: retired, layer: layer)
      where store.isCurrent(candidate) && seen.insert(candidate).inserted { candidates.append(candidate) }
    }
    let scale = store.metric == .cosine ? store.scale(base) : 1
    scratch.candidates.removeAll(keepingCapacity: true)
    for first in stride(from: 0, to: candidates.count, by: SearchScratch.batchMax) {
      let block = candidates[first..<min(first + SearchScratch.batchMax, candidates.count)]
      for (i, candidate) in block.enumerated() { scratch.search.batchSlots[i] = candidate }
      traversal.scorer.score(
        traversal.scorer.row(base), scale: scale, slots: scratch.search.batchSlots, count: block.count,
        into: scratch.search.batchDistances)
      for (i, candidate) in block.enumerated() {
        scratch.candidates.append(Neighbour(distance: scratch.search.batchDistances[i], slot: candidate))
      }
    }
    graph.withLock(on: base) {
      prune(
        layer: layer, degree: graph.degreeMax(onLayer: layer), links: graph.links(of: base, layer: layer), scratch)
    }
  }

  private func replaceEntryIfRetired() {
    guard let entry = graph.entryPoint(), !store.isCurrent(entry.slot) else { return }
    var best: (slot: UInt32, layer: Int)?
    for slot in 0..<UInt32(store.slotsUsed.load(ordering: .relaxed)) where store.isLive(slot) {
      let layer = graph.layer(of: slot)
      if layer > best?.layer ?? -1 { best = (slot, layer) }
    }
    graph.entry.store(best.map { Graph.pack(entry: $0.slot, layer: $0.layer) } ?? .max, ordering: .releasing)
  }

  /// Gives slots back that were unlinked before the oldest pinned version.
  func reclaim(_ writer: inout Writer) {
    store.freeOutgrownTables()
    guard !writer.unlinked.isEmpty else { return }
    let oldest = store.pins.oldest()
    writer.unlinked.removeAll { unlinked in
      guard oldest >= unlinked.version else { return false }
      for slot in unlinked.slots { graph.removeNode(slot) }
      store.free(unlinked.slots)
      return true
    }
  }
}
