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

  private func unreachable(_ index: HNSWIndex) -> [UInt32] { index.withLinks { _ in index.unreachableSlots() } }

  /// The graph was mended when rows had come and were not linked yet: what their linking cuts off is the next mending's business.
  @Test func rowsLinkedAfterAMendingAreMinded() throws {
    var cutOff = 0
    for seed in testSeeds {
      print("linked after mending, seed \(seed)")
      var random = SeededRandom(seed: seed)
      let index = try indexWithTail(seed: seed, random: &random)
      index.consolidate()
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
  @Test func aThreadAtRestMends() async throws {
    var cutOff = 0
    for seed in testSeeds {
      print("mended at rest, seed \(seed)")
      var random = SeededRandom(seed: seed)
      let index = try indexWithTail(seed: seed, random: &random)
      index.linkTail(atMost: 150, threads: 1)
      cutOff += unreachable(index).count
      #expect(index.withRows { $0.count == 150 }, "fewer than a mending waits for otherwise, with the other hundred")
      let maintenance = Maintenance(of: index, pause: .milliseconds(20))
      while index.tailCount > 0 || index.withRows({ $0.hasChanged }) { try await Task.sleep(for: .milliseconds(5)) }
      #expect(unreachable(index).isEmpty)
      // And of a single change.
      #expect(index.remove(.int64(7)))
      while index.statistics().retiredRows > 0 { try await Task.sleep(for: .milliseconds(5)) }
      maintenance.stop()
      index.checkInvariants()
    }
    #expect(cutOff > 0, "linking cut rows off, which is what this is about")
  }
}
