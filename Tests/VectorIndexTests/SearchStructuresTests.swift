// The pool, the visited set and the id table, each against a slow twin.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct SearchStructuresTests {
  @Test func distancesOrderAsFloatsDo() {
    let ascending: [Float] = [-.infinity, -3e38, -1, -1e-40, 0, 1e-40, 0.5, 1, 3e38, .infinity]
    for (a, b) in zip(ascending, ascending.dropFirst()) {
      #expect(CandidatePool.pack(a, 9) < CandidatePool.pack(b, 0))
    }
    for value in ascending { #expect(CandidatePool.distance(CandidatePool.pack(value, 3)) == value) }
    #expect(CandidatePool.pack(.nan, 1) == CandidatePool.pack(.infinity, 1))
    #expect(CandidatePool.slot(CandidatePool.pack(1, UInt32(Int32.max) - 1)) == UInt32(Int32.max) - 1)
  }

  @Test(arguments: testSeeds) func poolKeepsTheNearest(seed: UInt64) {
    print("pool, seed \(seed)")
    var random = SeededRandom(seed: seed)
    for limit in [1, 2, 15, 16, 17, 100] {
      var pool = CandidatePool(capacity: 4)
      pool.reset(limit: limit)
      var model: [(entry: UInt64, expanded: Bool)] = []
      for slot in 0..<400 {
        let entry = CandidatePool.pack(Float(Int.random(in: 0..<50, using: &random)), UInt32(slot))
        if entry < pool.bound { pool.insert(entry) }
        model.append((entry, false))
        model.sort { $0.entry < $1.entry }
        model = Array(model.prefix(limit))
        if Int.random(in: 0..<3, using: &random) == 0 {
          let next = model.firstIndex { !$0.expanded }
          let slot = next.map { CandidatePool.slot(model[$0].entry) }
          let found = pool.expandNext()
          #expect(found == slot)
          if let next { model[next].expanded = true }
        }
      }
      #expect((0..<pool.count).map { pool.slot(at: $0) } == model.map { CandidatePool.slot($0.entry) })
    }
  }

  @Test func poolMakesRoomForMore() {
    var pool = CandidatePool(capacity: 1)
    pool.reset(limit: 1)
    for slot in 0..<100 {
      if slot > 0 { pool.raiseLimit() }
      pool.insert(CandidatePool.pack(Float(slot), UInt32(slot)))
    }
    #expect((0..<pool.count).map { pool.slot(at: $0) } == Array(0..<100))
  }

  @Test(arguments: testSeeds) func visitedSetIsASet(seed: UInt64) {
    print("visited set, seed \(seed)")
    var random = SeededRandom(seed: seed)
    var visited = VisitedSet(slots: 10)
    for round in 1...20 {
      let slots = round * 37
      visited.reset(slots: slots)
      var model: Set<UInt32> = []
      for _ in 0..<300 {
        let slot = UInt32.random(in: 0..<UInt32(slots), using: &random)
        let isNew = visited.insert(slot)
        #expect(isNew == model.insert(slot).inserted)
      }
      let foreign = visited.insert(UInt32(visited.slots))
      #expect(!foreign)
    }
  }

  @Test(arguments: [RecordIDKind.int64, .uuid, .text, .composite])
  func tableIsADictionary(kind: RecordIDKind) throws {
    var random = SeededRandom(seed: 5)
    let ids = try RecordIDColumn(kind: kind, slotsMax: 100_000)
    try ids.commit(slots: 100_000)
    let table = RecordTable(ids: ids)
    var model: [RecordID: UInt32] = [:]
    for slot in UInt32(0)..<6_000 {
      let id = recordID(kind, Int.random(in: 0..<2_000, using: &random))
      if Int.random(in: 0..<3, using: &random) == 0 {
        table.remove(id)
        model[id] = nil
      } else {
        try ids.set(slot, to: id)
        table.set(id, to: slot)?.free()
        model[id] = slot
      }
      #expect(table.count == model.count)
    }
    for n in 0..<2_000 { #expect(table.slot(of: recordID(kind, n)) == model[recordID(kind, n)]) }
  }
}

/// The `n`-th id of a kind.
func recordID(_ kind: RecordIDKind, _ n: Int) -> RecordID {
  switch kind {
  case .int64: .int64(Int64(n) - 1_000)
  case .uuid: .uuid(high: UInt64(n), low: UInt64(n) &* 77)
  case .text: .text("row \(n) – größer")
  case .composite: .composite([.int64(Int64(n % 7)), .text("part \(n)")])
  }
}
