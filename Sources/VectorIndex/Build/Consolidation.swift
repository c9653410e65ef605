// Mending the graph after changes, and giving the slots of removed rows back.
//
// A removed row's node stays walkable until a sweep takes every edge to it away: whoever pointed at it gets the chance to
// point at its neighbours instead, as in FreshDiskANN (Singh et al., arXiv:2105.09613, Algorithm 4), but with the edges that are
// left kept as they are. And pruning may have taken the last edge to a row away, so a walk ties such rows in again
// (Reachability.swift). Both read every row of links once, so they wait until changes have added up.
//
// May use: Graph, Traversal, VectorStore.

import Glibc
import Synchronization

extension HNSWIndex {
  /// Takes all edges to removed rows away, mends the graph around them, makes their slots ready for reuse, and ties in rows
  /// that no path leads to any more.
  ///
  /// Runs by itself when enough rows were changed; searches and changes go on meanwhile.
  /// - Complexity: one pass over all links, and up to `4 M²` distances for each edge that led to a removed row.
  public func consolidate() {
    withLinks { consolidate(&$0) }
  }

  /// - threads: that mend.
  func consolidate(_ linking: inout Linking, threads: Int = 1) {
    let taken = withRows { rows in rows.hasChanged ? takeMendable(&rows) : nil }
    guard let (retired, horizon) = taken else { return }
    linking.horizon = horizon
    defer { linking.horizon = VectorStore.now }
    let scratch = linking.scratch(store)
    // Slots that are met here stay what they are.
    let version = store.pins.enter(scratch.search.pin)
    mendLinks(to: retired, version: version, rows: count, threads: threads, &linking)
    tieInUnreachable(scratch, &linking)
    store.pins.leave(scratch.search.pin)
    unlink(retired)
  }

  /// Takes what is to be mended. Nodes whose row a search that is at work may still see stay for the next time, and so does what leads to them.
  /// - Returns: the nodes that leave, and the version at which their rows were gone, the last of them.
  private func takeMendable(_ rows: inout RowChanges) -> (retired: [UInt32], horizon: UInt64) {
    let horizon = min(store.pins.current, store.pins.oldestSearch())
    var retired = rows.takeChanges()
    let firstStaying = retired.partition { store.isCurrent($0, at: horizon) }
    rows.retired = Array(retired[firstStaying...])
    rows.stayed = rows.retired.count
    rows.stayedFor = store.pins.current
    retired.removeLast(retired.count - firstStaying)
    return (retired, horizon)
  }

  /// Makes the graph one of just the rows of a version: each of them is linked and can be reached, and no edge of theirs leads to another.
  /// Searches and changes go on meanwhile, and rows that die during it stay what they are, until the next mending. The searches that began
  /// before that version are waited for, as long as a search may take: one that takes longer may miss rows that have been replaced since.
  func settle(_ freeze: Freeze, _ linking: inout Linking) {
    let tailRange = tail.range
    let hasDead =
      !freeze.retired.isEmpty
      || (0..<freeze.tailCount).contains { !store.isCurrent(tail.slot($0, of: tailRange), at: freeze.rows.version) }
    let start = ContinuousClock.now
    while hasDead, store.pins.oldestSearch() < freeze.rows.version, start.duration(to: .now) < Self.searchesMax {
      usleep(Self.searchesPause)
    }
    linking.horizon = freeze.rows.version
    defer { linking.horizon = VectorStore.now }
    let scratch = linking.scratch(store)
    let staying = freeze.count - freeze.tailCount
    // Before anything is linked where new nodes would be linked to nothing, as when all rows were removed; else after.
    let mendsFirst = Self.areMost(leaving: freeze.retired.count, staying: staying)
    let (version, threads) = (freeze.rows.version, WorkerThreads.coreCount)
    if mendsFirst { mendLinks(to: freeze.retired, version: version, rows: staying, threads: threads, &linking) }
    let linked = linkFirst(freeze.tailCount, threads: threads, &linking)
    if !mendsFirst { mendLinks(to: freeze.retired, version: version, rows: freeze.count, threads: threads, &linking) }
    if freeze.hasChanged || linked > 0 { tieInUnreachable(scratch, &linking) }
    // Whom those cut off has been tied in.
    withRows { $0.linked -= linked }
    unlink(freeze.retired)
  }

  private static let searchesMax = Duration.milliseconds(500)
  /// In µs.
  private static let searchesPause: UInt32 = 500

  /// Takes all edges to retired nodes away, and mends the graph around them.
  ///
  /// - version: a pinned one, whose rows become neighbours; not before the horizon.
  /// - rows: that version's, about.
  ///
  /// What becomes of a node's edges follows from them and from those of the nodes that leave, which stay what they are: so nodes are shared out among
  /// threads, and the outcome is the same.
  private func mendLinks(
    to retired: [UInt32], version: UInt64, rows: Int, threads: Int, _ linking: inout Linking
  ) {
    guard !retired.isEmpty else { return }
    // Each is used by one thread only.
    nonisolated(unsafe) let scratches = linking.scratches(threads, store)
    replaceEntryIfRetired(scratches[0])
    let leaving = Set(retired)
    let slots = store.slotsUsed.load(ordering: .relaxed)
    let starved = Shared<[UInt32]>([])
    WorkerThreads.run(count: threads) { thread in
      var found: [UInt32] = []
      for first in stride(from: thread * Self.slotsMendedAtOnce, to: slots, by: threads * Self.slotsMendedAtOnce) {
        for slot in UInt32(first)..<UInt32(min(first + Self.slotsMendedAtOnce, slots))
        where !self.mendLinks(of: slot, to: leaving, scratches[thread]) { found.append(slot) }
      }
      starved.withLock { [found] in $0 += found }
    }
    for slot in starved.withLock({ $0 }).sorted() { relink(slot, version: version, rows: rows, scratches[0]) }
  }

  private static let slotsMendedAtOnce = 1_024

  /// - Returns: false where too few candidates were found for the places on the ground layer.
  private func mendLinks(of slot: UInt32, to leaving: Set<UInt32>, _ scratch: BuildScratch) -> Bool {
    let layer = graph.layer(of: slot)
    guard layer >= 0 else { return true }
    if store.isLive(slot, at: scratch.horizon) {
      for l in stride(from: layer, to: 0, by: -1) { _ = mendLinks(of: slot, layer: l, scratch) }
      return mendLinks(of: slot, layer: 0, scratch)
    }
    if !leaving.contains(slot) {
      // Left by an earlier mending, and not given back yet: nothing leads to it, but a search may have been on it ever since. What it leads to
      // must not be another node that has taken the place of one of these, and does not reach up to this layer.
      for l in 0...layer { dropLinks(of: slot, layer: l, to: leaving) }
    }
    return true
  }

  /// Lets the slots of retired nodes be used again, as soon as no reader is on them.
  /// - Precondition: no other node points at them any more, and they cannot be entered.
  private func unlink(_ retired: [UInt32]) {
    guard !retired.isEmpty else { return }
    // Readers on their way are waited for in `reclaim`.
    withRows { rows in
      let version = store.pins.current + 1
      store.pins.publish(version)
      for first in stride(from: 0, to: retired.count, by: Self.slotsReclaimedAtOnce) {
        rows.unlinked.append((Array(retired[first...].prefix(Self.slotsReclaimedAtOnce)), version))
      }
      hiddenNodes.subtract(retired.count, ordering: .releasing)
    }
    while withRows({ reclaim(&$0) }) {}
  }

  /// Wiping a row costs about what writing one does, and changes wait for it: a million of them are given back bit by bit.
  private static let slotsReclaimedAtOnce = 4_096
  /// The same of attribute rows that were replaced.
  private static let rowsReclaimedAtOnce = 1_024

  /// Replaces edges to retired nodes by edges to those nodes' neighbours.
  ///
  /// Edges that are left stay. Places, freed ones and those that were empty, go to candidates that are nearer to the base than to every
  /// neighbour, as in Algorithm 4; and freed ones that remain to the nearest of the rest: a node that lost edges keeps its degree.
  /// - Returns: false when there were too few candidates for that.
  private func mendLinks(of base: UInt32, layer: Int, _ scratch: BuildScratch) -> Bool {
    let horizon = scratch.horizon
    let neighbours = graph.neighbours(of: base, layer: layer)
    let left = neighbours.filter { store.isCurrent($0, at: horizon) }
    guard left.count < neighbours.count else { return true }
    var seen = Set(neighbours)
    seen.insert(base)
    var candidates: [UInt32] = []
    for retired in neighbours where !store.isCurrent(retired, at: horizon) {
      for candidate in graph.neighbours(of: retired, layer: layer)
      where isPlace(candidate, at: horizon) && seen.insert(candidate).inserted { candidates.append(candidate) }
    }
    var kept = self.neighbours(left, of: base, scratch)
    var rest: [Neighbour] = []
    var copies: [Neighbour] = []
    let degreeMax = graph.degreeMax(onLayer: layer)
    for candidate in self.neighbours(candidates, of: base, scratch) {
      if kept.count == degreeMax { break }
      let (isDiverse, isCopy) = traversal.compare(candidate, with: kept, scratch)
      if !isDiverse {
        rest.append(candidate)
      } else if isCopy, kept.count(where: { $0.distance == candidate.distance }) >= degreeMax / 2 {
        // Of copies no more than NeighbourSelection takes.
        copies.append(candidate)
      } else {
        kept.append(candidate)
      }
    }
    kept.append(contentsOf: (rest + copies).prefix(max(0, neighbours.count - kept.count)))
    graph.withLock(on: base) { graph.setLinks(kept.map(\.slot), of: base, layer: layer) }
    return kept.count >= neighbours.count
  }

  private func dropLinks(of slot: UInt32, layer: Int, to leaving: Set<UInt32>) {
    let neighbours = graph.neighbours(of: slot, layer: layer)
    let kept = neighbours.filter { !leaving.contains($0) }
    guard kept.count < neighbours.count else { return }
    graph.withLock(on: slot) { graph.setLinks(kept, of: slot, layer: layer) }
  }

  /// Chooses edges on the ground layer for a node around which too much was removed.
  ///
  /// What is left of an emptied region may be linked to itself alone, and a search that descends into it would never come out.
  /// So the neighbours are searched for as for a new node, and when the search does not come out either, among all rows.
  private func relink(_ slot: UInt32, version: UInt64, rows: Int, _ scratch: BuildScratch) {
    guard let entry = graph.entryPoint() else { return }
    scratch.aim(at: slot, store)
    let start = traversal.descend(to: 0, from: entry, query: scratch.search.walkQuery, &scratch.search)
    findCandidates(for: slot, layer: 0, from: start, version: version, scratch)
    if scratch.candidates.count < min(configuration.constructionEffort, rows - 1) / 2 {
      scanCandidates(for: slot, version: version, scratch)
    }
    traversal.selectNeighbours(
      scratch.candidates, degree: configuration.connectivity, into: &scratch.selection, scratch)
    let chosen = scratch.selection
    var links = chosen.map(\.slot)
    for neighbour in graph.neighbours(of: slot, layer: 0)
    where links.count < graph.groundDegreeMax && !links.contains(neighbour) { links.append(neighbour) }
    graph.withLock(on: slot) { graph.setLinks(links, of: slot, layer: 0) }
    for neighbour in chosen {
      addEdge(from: neighbour.slot, to: slot, distance: neighbour.distance, layer: 0, scratch)
    }
  }

  /// The nodes and their distances from `base`, ascending.
  private func neighbours(_ slots: [UInt32], of base: UInt32, _ scratch: BuildScratch) -> [Neighbour] {
    var result = slots.map { Neighbour(distance: 0, slot: $0) }
    score(&result, from: base, scratch)
    return result
  }

  private func replaceEntryIfRetired(_ scratch: BuildScratch) {
    let horizon = scratch.horizon
    guard let entry = graph.entryPoint(), !store.isCurrent(entry.slot, at: horizon) else { return }
    var best: (slot: UInt32, layer: Int)?
    for slot in 0..<UInt32(store.slotsUsed.load(ordering: .relaxed)) where store.isLive(slot, at: horizon) {
      let layer = graph.layer(of: slot)
      if layer > best?.layer ?? -1 { best = (slot, layer) }
    }
    graph.entry.store(best.map { Graph.pack(entry: $0.slot, layer: $0.layer) } ?? .max, ordering: .releasing)
  }

  /// Gives slots back that were unlinked before the oldest pinned version: as many as are wanted, if there are so many, and a few more.
  /// - Returns: whether there are others that could be given back.
  @discardableResult
  func reclaim(_ rows: inout RowChanges, wanted: Int = 1) -> Bool {
    store.freeOutgrownTables()
    // Twice as many as this change can leave behind, so that what has waited for a slow reader is used up, bit by bit.
    let hasMore = attributes?.reclaim(atMost: max(Self.rowsReclaimedAtOnce, 2 * wanted)) ?? false
    guard !rows.unlinked.isEmpty else { return hasMore }
    let oldest = store.pins.oldest()
    var count = 0
    // Versions ascend.
    while let unlinked = rows.unlinked.first, oldest >= unlinked.version {
      if count >= wanted { return true }
      rows.unlinked.removeFirst()
      count += unlinked.slots.count
      for slot in unlinked.slots where graph.layer(of: slot) >= 0 { graph.removeNode(slot) }
      attributes?.release(unlinked.slots)
      payload?.release(unlinked.slots)
      stamps?.release(unlinked.slots)
      store.free(unlinked.slots)
    }
    return hasMore
  }
}
