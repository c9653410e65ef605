// Rows that linking others has cut off, which no search finds until the graph is mended.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct MendingTests {
  private static let dimension = 16

  /// An index of few edges, in which linking more rows cuts others off, and those rows in its tail.
  private func indexWithTail(seed: UInt64, random: inout SeededRandom) throws -> HNSWIndex {
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: Self.dimension, metric: .l2, storage: .f32, connectivity: 2, constructionEffort: 8, seed: seed))
    try stage(0..<600, in: index, &random)
    try index.linkStaged(threads: 1, calibrates: false)
    try stage(600..<850, in: index, &random)
    try index.publishStaged()
    return index
  }

  private func stage(_ ids: Range<Int64>, in index: HNSWIndex, _ random: inout SeededRandom) throws {
    _ = try random.vector(dimension: Self.dimension * ids.count).withUnsafeBufferPointer {
      try index.stage(ids.map { .int64($0) }, $0)
    }
  }

  /// Waits for what another thread does, a minute at most.
  private func comes(_ whereTo: Comment, _ isThere: () -> Bool) async throws {
    for _ in 0..<12_000 {
      if isThere() { return }
      try await Task.sleep(for: .milliseconds(5))
    }
    Issue.record(whereTo)
  }

  private func unreachable(_ index: HNSWIndex) -> [UInt32] { index.withLinks { _ in index.unreachableSlots() } }

  /// The graph was mended when rows had come and were not linked yet: what their linking cuts off is the next mending's business.
  @Test func rowsLinkedAfterAMendingAreMinded() throws {
    var cutOff = 0
    for seed in testSeeds {
      print("linked after mending, seed \(seed)")
      var random = SeededRandom(seed: seed)
      let index = try indexWithTail(seed: seed, random: &random)
      #expect(index.removeRow(.int64(0)))
      index.consolidate()
      #expect(index.tailCount == 250 && index.statistics().retiredRows == 0)
      index.linkTail(atMost: .max, threads: 1)
      cutOff += unreachable(index).count
      index.consolidate()
      index.checkInvariants()
    }
    #expect(cutOff > 0, "linking cut rows off, which is what this is about")
  }

  /// A freeze links the tail and ties in whom that cut off, so that nothing is left for the next mending.
  @Test func aFreezeLeavesNothingToMend() throws {
    for seed in testSeeds {
      print("a freeze, seed \(seed)")
      var random = SeededRandom(seed: seed)
      let index = try indexWithTail(seed: seed, random: &random)
      index.withFrozen { #expect($0.header.rows == 850) }
      #expect(index.tailCount == 0)
      #expect(unreachable(index).isEmpty)
      #expect(index.withRows { !$0.hasChanged })
    }
  }

  /// With nothing more to do, the thread that links looks for rows that were cut off, however few were linked.
  @Test func aThreadAtRestTiesIn() async throws {
    var cutOff = 0
    for seed in testSeeds {
      print("tied in at rest, seed \(seed)")
      var random = SeededRandom(seed: seed)
      let index = try indexWithTail(seed: seed, random: &random)
      index.linkTail(atMost: 150, threads: 1)
      cutOff += unreachable(index).count
      #expect(index.withRows { $0.linked == 150 }, "fewer than a mending waits for otherwise, with the other hundred")
      let maintenance = Maintenance(of: index, pause: .milliseconds(20))
      try await comes("to rest") { index.tailCount == 0 && index.withRows { !$0.hasChanged } }
      #expect(unreachable(index).isEmpty)
      maintenance.stop()
      index.checkInvariants()
    }
    #expect(cutOff > 0, "linking cut rows off, which is what this is about")
  }

  /// A search that began before a row was replaced finds the old one, in the tail or by the graph, whatever is linked and mended meanwhile.
  @Test(arguments: [false, true]) func whatASearchSeesStaysOnItsWay(isLinkedBefore: Bool) throws {
    for seed in testSeeds {
      print("replaced beside a search, linked \(isLinkedBefore), seed \(seed)")
      var random = SeededRandom(seed: seed)
      let index = try indexWithTail(seed: seed, random: &random)
      if isLinkedBefore {
        index.linkTail(atMost: .max, threads: 1)
        index.consolidate()
      }
      let ids = (600..<650).map { Int64($0) }
      let old = try ids.map { try #require(index.slot(of: $0)) }
      let pin = index.store.pins.take(for: .search)
      let version = index.store.pins.enter(pin)
      try index.withChanges {
        try index.withRows { rows in
          let changes = ids.map { RowChange(.int64($0), .write(vector: random.vector(dimension: Self.dimension))) }
          let pending = try index.prepare(
            try CheckedChanges(changes, of: index), replaces: true, removesAll: false, &rows)
          index.publish(pending, &rows)
        }
      }
      index.linkTail(atMost: .max, threads: 1)
      index.consolidate()
      let reached = Set(index.withLinks { _ in index.slotsThatCanBeReached() })
      for slot in old { #expect(index.store.isVisible(slot, at: version) && reached.contains(slot)) }
      #expect(unreachable(index).isEmpty)
      // When nobody sees them any more, they go.
      index.store.pins.giveBack(pin)
      index.consolidate()
      index.checkInvariants()
      #expect(index.statistics().retiredRows == 0)
    }
  }

  /// What a search still sees is mended soon after it has ended, where it is much, and not only when rows are looked for that cannot be reached.
  @Test func whatStayedIsMendedInTheEnd() async throws {
    var random = SeededRandom(seed: 1)
    let index = try indexWithTail(seed: 1, random: &random)
    let pin = index.store.pins.take(for: .search)
    _ = index.store.pins.enter(pin)
    for id in 0..<300 { #expect(index.removeRow(.int64(Int64(id)))) }
    index.linkTail(atMost: .max, threads: 1)
    index.consolidate()
    #expect(index.statistics().retiredRows == 300)
    #expect(index.withRows { $0.stayed == 300 && $0.removed == 0 })
    let maintenance = Maintenance(of: index, pause: .seconds(3_600))
    index.store.pins.giveBack(pin)
    try await comes("to a mending") { index.statistics().retiredRows == 0 }
    maintenance.stop()
    index.checkInvariants()
  }

  /// Nodes that are shared out among threads get the same edges.
  @Test func manyThreadsMendAsOneDoes() throws {
    for seed in testSeeds {
      print("mended by threads, seed \(seed)")
      let links = try [1, 3].map { threads in
        var random = SeededRandom(seed: seed)
        let index = try HNSWIndex(
          configuration: HNSWConfiguration(
            dimension: Self.dimension, metric: .l2, storage: .f32, connectivity: 8, constructionEffort: 40, seed: seed))
        try stage(0..<5_000, in: index, &random)
        try index.linkStaged(threads: 1, calibrates: false)
        // So that all of them are there to be mended at once.
        let pin = index.store.pins.take(for: .search)
        _ = index.store.pins.enter(pin)
        for id in stride(from: Int64(0), to: 5_000, by: 3) { #expect(index.removeRow(.int64(id))) }
        index.store.pins.giveBack(pin)
        #expect(index.statistics().retiredRows == 1_667)
        index.withLinks { index.consolidate(&$0, threads: threads) }
        index.checkInvariants()
        return (0..<UInt32(5_000)).map { slot in
          (0..<max(0, index.graph.layer(of: slot) + 1)).map { index.graph.neighbours(of: slot, layer: $0) }
        }
      }
      #expect(links[0] == links[1])
    }
  }

  /// Who copies rows one by one for minutes does not keep dead nodes in searches' way.
  @Test func aReaderOfSlotsHoldsNoMendingUp() throws {
    var random = SeededRandom(seed: 1)
    let index = try indexWithTail(seed: 1, random: &random)
    index.linkTail(atMost: .max, threads: 1)
    let pin = index.store.pins.take(for: .slots)
    _ = index.store.pins.enter(pin)
    for id in 0..<50 { #expect(index.remove(.int64(Int64(id)))) }
    index.consolidate()
    #expect(index.statistics().retiredRows == 0)
    index.store.pins.giveBack(pin)
    index.checkInvariants()
  }

  /// Copies of one vector prune each other's edges away by the hundred; each is tied in, and none costs a look at all rows.
  @Test func copiesAreTiedInOneToTheNext() throws {
    var random = SeededRandom(seed: 1)
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: Self.dimension, metric: .l2, storage: .f32, connectivity: 4, constructionEffort: 16, seed: 1))
    try stage(0..<2_000, in: index, &random)
    let copied = random.vector(dimension: Self.dimension)
    _ = try (0..<3_000).flatMap { _ in copied }.withUnsafeBufferPointer {
      try index.stage((2_000..<5_000).map { .int64($0) }, $0)
    }
    try index.linkStaged(threads: 2, calibrates: false)
    index.checkInvariants()
    let hits = try index.search(copied, SearchOptions(k: 4_000, effort: 4_000))
    #expect(hits.prefix(3_000).allSatisfy { $0.distance == 0 } && hits.count == 4_000)
  }

  /// A second maintenance is not ended by the end of the first.
  @Test func oneMaintenanceEndsItsOwnThread() async throws {
    var random = SeededRandom(seed: 1)
    let index = try indexWithTail(seed: 1, random: &random)
    var first: Maintenance? = Maintenance(of: index)
    first?.stop()
    let second = Maintenance(of: index)
    first = nil
    try stage(2_000..<2_010, in: index, &random)
    try index.publishStaged()
    #expect(first == nil)
    try await comes("to link them") { index.tailCount == 0 }
    second.stop()
  }
}

extension HNSWIndex {
  fileprivate func slot(of id: Int64) -> UInt32? { store.table.slot(of: .int64(id)) }

  /// All of them, whatever lives there.
  fileprivate func slotsThatCanBeReached() -> [UInt32] {
    let reached = reachedSlots()
    return reached.indices.filter { reached[$0] }.map(UInt32.init)
  }
}
