// Tying the tail's rows into the graph, and mending the graph, when it is time.
//
// May use: Insertion, BulkLinker, Consolidation, Tail, VectorStore.

import Synchronization

extension HNSWIndex {
  /// The graph is mended after changes to this share of the rows: `1 / consolidationShare`. Until then a search walks through
  /// at most that many nodes for nothing.
  private static let consolidationShare = 16
  private static let consolidationMin = 256
  /// Rows that cannot be reached are looked for when so many times as long has passed as that took the last time.
  private static let proofShare = 100
  private static let proofPauseMax = Duration.seconds(300)
  /// Short rounds, so that a snapshot or a statistic never waits long for the links.
  static let linkedAtOnce = 256
  /// Rows linked on several threads at once: fewer are not worth the threads.
  private static let parallelMin = 64

  /// Rows that are searchable and not linked.
  public var tailCount: Int { tail.range.count }

  /// Links up to `count` rows of the tail. Searches and changes go on meanwhile.
  /// - Returns: whether rows were there to be linked.
  /// - Complexity: about one search with ef = the construction effort a row.
  @discardableResult
  func linkTail(atMost count: Int, threads: Int) -> Bool {
    withLinks { linkTail(atMost: count, threads: threads, &$0) }
  }

  func linkTail(atMost count: Int, threads: Int, _ linking: inout Linking) -> Bool {
    let taken = min(count, tail.range.count)
    guard taken > 0 else { return false }
    if mostNodesLeave { consolidate(&linking, threads: threads) }
    linkFirst(taken, threads: threads, &linking)
    return true
  }

  /// Links the first rows of the tail, of which there are as many.
  /// - Returns: how many of them were there to be linked.
  @discardableResult
  func linkFirst(_ taken: Int, threads: Int, _ linking: inout Linking) -> Int {
    guard taken > 0 else { return 0 }
    let range = tail.range
    let horizon = linking.horizon
    // What is removed from now on is retired as a node, and what was removed before is none.
    let (slots, dead) = withRows { rows in
      // A search that began before a row died, and has not looked through the tail yet, must still come to it.
      // (For a moment that is saved it is not: only its rows are linked.)
      let horizon = horizon == VectorStore.now ? min(horizon, store.pins.oldestSearch()) : horizon
      var slots: [UInt32] = []
      var dead: [UInt32] = []
      for i in 0..<taken {
        let slot = tail.slot(i, of: range)
        guard store.isCurrent(slot, at: horizon) else {
          dead.append(slot)
          continue
        }
        if !store.isCurrent(slot) {
          // Removed since then, from the tail; a node on its way out from now on, as if it had been one.
          hiddenNodes.add(1, ordering: .releasing)
          rows.retired.append(slot)
        }
        let layer = configuration.layer(ofInsertion: linking.insertions &+ UInt64(slots.count))
        graph.addNode(slot, layerAtMost: layer)
        slots.append(slot)
      }
      return (slots, dead)
    }
    if !slots.isEmpty {
      let scratches = linking.scratches(slots.count < Self.parallelMin ? 1 : threads, store)
      let pin = scratches[0].search.pin
      // Slots that these rows' searches may meet stay what they are.
      let version = min(store.pins.enter(pin), horizon)
      // Never stopped, so nothing is thrown.
      try? BulkLinker(
        index: self, slots: slots, firstInsertion: nil, version: version, progress: { _ in true }
      ).run(scratches)
      store.pins.leave(pin)
      linking.insertions &+= UInt64(slots.count)
    }
    tail.removeFirst(taken)
    withRows { rows in
      // Not before: until it is linked, a row can cut no other off.
      rows.linked += slots.count
      guard !dead.isEmpty else { return }
      // Readers that took the tail with the dead in it have pinned a version before this one.
      let version = store.pins.current + 1
      store.pins.publish(version)
      rows.unlinked.append((dead, version))
    }
    return slots.count
  }

  /// Whether more nodes are on their way out of the graph than stay, as when all rows were removed. New ones would be linked to nothing
  /// then, each after a walk through thousands of them and a scan. Those that a search still sees cannot leave yet, and do not count.
  var mostNodesLeave: Bool {
    withRows { Self.areMost(leaving: $0.retired.count - staying($0), staying: count - tailCount) }
  }

  /// How many retired nodes stay for a search that is still at work.
  private func staying(_ rows: RowChanges) -> Int {
    rows.stayed > 0 && store.pins.oldestSearch() < rows.stayedFor ? rows.stayed : 0
  }

  static func areMost(leaving: Int, staying: Int) -> Bool { leaving >= max(consolidationMin, staying) }

  /// Whether changes have added up so that the graph should be mended.
  private var needsConsolidation: Bool {
    withRows { max($0.linked + $0.removed, $0.retired.count - staying($0)) >= changesMax }
  }

  private var changesMax: Int { max(Self.consolidationMin, count / Self.consolidationShare) }

  /// Where so many nodes stay for a search as would be mended without it, its end is looked for this often.
  private static let stayingPause = Duration.milliseconds(10)

  /// What follows a change: wakes whoever maintains the index, or does it here.
  func maintain() {
    if maintainer.wake() { return }
    linkTail(atMost: .max, threads: 1)
    if needsConsolidation { consolidate() }
  }

  /// One round of maintenance.
  ///
  /// - pause: rows that cannot be reached are looked for at least this long after the last time, however few were linked, and at least a
  ///   hundred times as long as that took, up to five minutes. So none of them is missed for long, and a hundredth of a core is enough.
  func maintainOnce(threads: Int, pause: Duration) -> Maintainer.Round {
    let hasLinked = linkTail(atMost: Self.linkedAtOnce, threads: threads)
    return withLinks { linking in
      if needsConsolidation {
        consolidate(&linking, threads: threads)
        return .again
      }
      let (isOwed, stayed) = withRows { ($0.linked > 0 || $0.stayed > 0, $0.stayed) }
      guard isOwed else { return hasLinked ? .again : .idle }
      let (end, duration) = linking.lastProof
      let left = max(pause, min(duration * Self.proofShare, Self.proofPauseMax)) - end.duration(to: .now)
      if left > .zero {
        return hasLinked ? .again : .later(stayed >= changesMax ? min(left, Self.stayingPause) : left)
      }
      if stayed > 0 { consolidate(&linking, threads: threads) } else { proveReachability(&linking) }
      return .again
    }
  }
}
