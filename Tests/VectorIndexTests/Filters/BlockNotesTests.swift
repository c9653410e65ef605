// Passes that go by what is known of 64 slots together, for readers of older versions and of the newest.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct BlockNotesTests {
  @Test(arguments: testSeeds) func whoIsPinnedSeesWhatWasThere(seed: UInt64) throws {
    print("blocks of slots, seed \(seed)")
    var random = SeededRandom(seed: seed)
    let schema = try AttributeSchema([AttributeColumn("n", .int64)])
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: 2, metric: .l2, storage: .f32, connectivity: 4, constructionEffort: 8, attributes: schema))
    let rows = 640
    _ = try random.vector(dimension: 2 * rows).withUnsafeBufferPointer {
      try index.stage((0..<Int64(rows)).map { .int64($0) }, $0, attributes: (0..<Int64(rows)).map { [.int64($0)] })
    }
    try index.linkStaged(threads: 1, calibrates: false)
    let program = try index.compile(Filter(parsing: "n >= 0", schema: schema))
    var scratch = FilterScratch()
    var wholeWhileOthersWereNot = 0
    for _ in 0..<60 {
      let pin = index.store.pins.take(for: .search)
      defer { index.store.pins.giveBack(pin) }
      let version = index.store.pins.enter(pin)
      let before = visible(index, at: version)
      for _ in 0..<Int.random(in: 1...20, using: &random) {
        let id = Int64.random(in: 0..<Int64(rows), using: &random)
        if random.chance(40) {
          index.remove(.int64(id))
        } else {
          try index.upsert(.int64(id), random.vector(dimension: 2), attributes: [.int64(id)])
        }
      }
      if random.chance(30) { index.consolidate() }
      // Back to what there was: freed slots are filled, and their blocks are whole again.
      if random.chance(30) {
        for id in 0..<Int64(rows) where !index.contains(.int64(id)) {
          try index.insert(.int64(id), random.vector(dimension: 2), attributes: [.int64(id)])
        }
      }
      let now = index.store.pins.current
      #expect(found(index, program, at: version, &scratch) == before, "the reader's, seed \(seed)")
      #expect(found(index, program, at: now, &scratch) == visible(index, at: now), "the newest, seed \(seed)")
      let blocks = (0..<(index.store.slotsUsed.load(ordering: .relaxed) / BlockNotes.slots)).filter {
        index.store.blocks?.isWhole($0, at: now) ?? false
      }
      if !blocks.isEmpty, blocks.count < rows / BlockNotes.slots { wholeWhileOthersWereNot += 1 }
    }
    index.consolidate()
    index.checkInvariants()
    #expect(wholeWhileOthersWereNot > 2)
  }

  private func visible(_ index: HNSWIndex, at version: UInt64) -> [UInt32] {
    (0..<UInt32(index.store.slotsUsed.load(ordering: .acquiring))).filter { index.store.isVisible($0, at: version) }
  }

  /// By a pass.
  private func found(
    _ index: HNSWIndex, _ program: FilterProgram, at version: UInt64, _ scratch: inout FilterScratch
  ) -> [UInt32] {
    switch index.matching(program, version: version, candidateCost: .max, into: &scratch).form {
    case .slots(let slots): Array(slots)
    case .mask(let mask): (0..<UInt32(mask.slots)).filter { mask.contains($0) }
    }
  }
}
