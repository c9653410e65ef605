// The list of nearest, the frontier, the visited set and the id table, each against a slow twin.

import CVectorKernels
import TestSupport
import Testing

@testable import VectorIndex

@Suite struct SearchStructuresTests {
  @Test func distancesOrderAsFloatsDo() {
    let ascending: [Float] = [-.infinity, -3e38, -1, -0x1p-140, 0, 0x1p-140, 0.5, 1, 3e38, .infinity]
    for (a, b) in zip(ascending, ascending.dropFirst()) {
      #expect(Candidate.pack(a, .max) < Candidate.pack(b, 0))
    }
    for value in ascending {
      #expect(Candidate.distance(Candidate.pack(value, 3)) == value)
      #expect(Candidate.pack(value, 1) < Candidate.pack(value, 2) && Candidate.pack(value, 1) < Candidate.none)
    }
    // A hop packs in C.
    for value in ascending + [-0.0, .nan, -.nan, .signalingNaN] {
      for slot in [0, 7, UInt32.max] { #expect(vz_candidate(value, slot) == Candidate.pack(value, slot)) }
    }
    for nan in [Float.nan, -.nan, .signalingNaN] { #expect(Candidate.pack(nan, 1) == Candidate.pack(.infinity, 1)) }
    for slot in [0, UInt32(Int32.max) - 1, .max] { #expect(Candidate.slot(Candidate.pack(-1, slot)) == slot) }
  }

  @Test(arguments: testSeeds) func nearestListKeepsTheNearest(seed: UInt64) {
    print("nearest list, seed \(seed)")
    var random = SeededRandom(seed: seed)
    // One list for all limits, as a scratch has: the second time round it must have room for more.
    var list = NearestList(capacity: 4)
    for limit in [1, 2, 15, 100, 16, 17] {
      list.reset(limit: limit)
      #expect(list.count == 0 && list.bound == Candidate.none)
      var model: [UInt64] = []
      for slot in UInt32(0)..<400 {
        let entry = Candidate.pack(Float(Int.random(in: 0..<50, using: &random)), slot)
        #expect(list.bound == (model.count == limit ? model[limit - 1] : Candidate.none))
        if entry < list.bound { list.insert(entry) }
        model = Array((model + [entry]).sorted().prefix(limit))
        #expect(entries(list) == model)
      }
      // The first few get other distances, the rest are forgotten, and it goes on from there.
      let kept = Int.random(in: 1...limit, using: &random)
      let distances = (0..<kept).map { _ in Float.random(in: -9...9, using: &random) }
      let slots = model.prefix(kept).map(Candidate.slot)
      list.rescore(first: kept, distances)
      model = zip(distances, slots).map(Candidate.pack).sorted()
      #expect(entries(list) == model)
      #expect((0..<kept).map { list.distance(at: $0) } == distances.sorted())
      let entry = Candidate.pack(0, 1_000)
      if entry < list.bound { list.insert(entry) }
      #expect(entries(list) == Array((model + [entry]).sorted().prefix(limit)))
    }
  }

  /// Of each distance at most so many are kept, and those of one distance count as one.
  @Test(arguments: testSeeds) func nearestListCountsCopiesAsOne(seed: UInt64) {
    print("nearest list with copies, seed \(seed)")
    var random = SeededRandom(seed: seed)
    var list = NearestList(capacity: 4)
    for (limit, copiesMax) in [(1, 1), (4, 2), (10, 10), (40, 12), (64, 20)] {
      list.reset(limit: limit, copiesMax: copiesMax)
      var groups: [Float: [UInt64]] = [:]
      for slot in (UInt32(0)..<2_000).shuffled(using: &random) {
        // Few of the small distances have many copies; the others have none, or one.
        let isCopy = random.chance(50)
        let distance = isCopy ? Float(Int.random(in: 0..<3, using: &random)) : .random(in: 0..<100, using: &random)
        let entry = Candidate.pack(distance, slot)
        if entry < list.bound {
          let others = groups[distance, default: []]
          #expect(list.insert(entry) == (others.count < copiesMax))
          groups[distance] = Array((others + [entry]).sorted().prefix(copiesMax))
        }
        let nearest = groups.keys.sorted().prefix(limit)
        groups = groups.filter { nearest.contains($0.key) }
        #expect(entries(list) == nearest.flatMap { groups[$0] ?? [] })
        for n in [1, limit / 2 + 1, limit] {
          let expected = n <= nearest.count ? nearest.prefix(n).reduce(0) { $0 + (groups[$1]?.count ?? 0) } : nil
          #expect(list.entries(ofNearest: n) == expected)
        }
      }
    }
  }

  @Test func nearestListSaysWhetherAllIsInIt() {
    var list = NearestList(capacity: 4)
    list.reset(limit: 3, copiesMax: 2)
    list.insert(Candidate.pack(1, 1))
    list.insert(Candidate.pack(1, 2))
    list.insert(Candidate.pack(2, 3))
    var isComplete = list.isComplete
    #expect(isComplete)
    let isKept = list.insert(Candidate.pack(1, 0))
    let tied = list.tied
    isComplete = list.isComplete
    #expect(!isKept && !isComplete && [1, 0].contains(tied))
    #expect(entries(list) == [Candidate.pack(1, 0), Candidate.pack(1, 1), Candidate.pack(2, 3)])
    list.reset(limit: 3)
    for slot in UInt32(0)..<2 { list.insert(Candidate.pack(1, slot)) }
    isComplete = list.isComplete
    #expect(isComplete)
    list.insert(Candidate.pack(3, 3))
    isComplete = list.isComplete
    #expect(!isComplete, "more may have come since")
  }

  /// When there are more copies than places for them, the list is full nevertheless.
  @Test func nearestListOfCopiesAloneIsFull() {
    var list = NearestList(capacity: 4)
    list.reset(limit: 4, copiesMax: 100)
    for slot in UInt32(0)..<50 where Candidate.pack(1, slot) < list.bound { list.insert(Candidate.pack(1, slot)) }
    #expect(list.count == 16 && list.bound == Candidate.pack(1, 15))
    #expect(StopRule(results: 50, limit: 4, rank: 4).bound(list) == 1)
  }

  /// Where no more than a few have a place, though they are no copies, as many as are wanted end the walk nevertheless. Those that have one count
  /// as one: they might be copies.
  @Test func nearestListHasEnoughOfOneDistance() {
    var list = NearestList(capacity: 4)
    let rule = StopRule.effort(64, results: 10)
    list.reset(limit: rule.limit, copiesMax: rule.copiesMax)
    let enough = UInt32(rule.limit + rule.copiesMax - 1)
    for slot in 0..<enough {
      #expect(rule.bound(list) == .infinity, "after \(slot)")
      if !list.insert(Candidate.pack(1, slot)) { list.noteUnlisted(Candidate.pack(1, slot)) }
    }
    let nearestUnlisted = list.nearestUnlisted
    #expect(list.count == rule.copiesMax && rule.bound(list) == 1 && Candidate.distance(nearestUnlisted) == 1)
    // What is nearer gets in, and the last distance goes when there are enough without it.
    for slot in enough..<2 * enough {
      #expect(rule.bound(list) == 1, "after \(slot)")
      if !list.insert(Candidate.pack(0.5, slot)) { list.noteUnlisted(Candidate.pack(0.5, slot)) }
    }
    #expect(list.count == rule.copiesMax && rule.bound(list) == 0.5)
    list.reset(limit: rule.limit, copiesMax: rule.copiesMax)
    #expect(rule.bound(list) == .infinity)
  }

  /// Rows that are as far as each other come first, in any order, and nearer ones after them: of those, as many are kept as are wanted.
  @Test(arguments: testSeeds) func nearestListForgetsDistancesThatAreGone(seed: UInt64) {
    print("nearest list behind ties, seed \(seed)")
    var random = SeededRandom(seed: seed)
    var list = NearestList(capacity: 4)
    for (limit, copiesMax) in [(64, 20), (100, 20), (40, 20), (20, 20), (200, 32)] {
      for far in [limit / 2, limit + copiesMax, 4 * limit] {
        for order in 0..<3 {
          list.reset(limit: limit, copiesMax: copiesMax)
          func meet(_ distance: Float, _ slot: Int) {
            let entry = Candidate.pack(distance, UInt32(slot))
            if entry < list.bound, !list.insert(entry) { list.noteUnlisted(list.dropped) }
          }
          let slots = Array(0..<far)
          for slot in [slots, slots.reversed(), slots.shuffled(using: &random)][order] { meet(1, slot) }
          var nearer = (0..<3 * limit).map { (distance: Float($0) / Float(4 * limit), slot: far + $0) }
          nearer.shuffle(using: &random)
          for one in nearer { meet(one.distance, one.slot) }
          nearer.sort { $0.distance < $1.distance }
          #expect(entries(list) == nearer.prefix(limit).map { Candidate.pack($0.distance, UInt32($0.slot)) })
        }
      }
    }
  }

  private func entries(_ list: borrowing NearestList) -> [UInt64] { (0..<list.count).map { list.entry(at: $0) } }

  /// Candidates come and the nearest is taken, as a walk does it: several at a time, distances rising slowly, the bound falling.
  @Test(arguments: testSeeds) func frontierGivesTheNearest(seed: UInt64) {
    print("frontier, seed \(seed)")
    var random = SeededRandom(seed: seed)
    var frontier = Frontier(capacity: 1)
    for round in 0..<60 {
      frontier.reset()
      #expect(frontier.upcoming == nil)
      var model: [UInt64] = []
      var slot: UInt32 = 0
      var bound = Float.infinity
      // Few distances make many ties; a long round outgrows whatever was allocated.
      let distances = [8, 1_000, 1_000_000][round % 3]
      let steps = round == 58 ? 2_000 : 300
      for step in 0..<steps {
        for _ in 0..<Int.random(in: 0...(round % 2 == 0 ? 32 : 3), using: &random) {
          let distance = Float(Int.random(in: -distances...distances, using: &random) + step / 10)
          guard distance < bound else { continue }
          frontier.insert(Candidate.pack(distance, slot))
          model.append(Candidate.pack(distance, slot))
          slot += 1
        }
        model.sort()
        if Int.random(in: 0..<20, using: &random) == 0 {
          bound = min(bound, Float(Int.random(in: -distances...(2 * distances), using: &random)))
        }
        for _ in 0..<Int.random(in: 0...3, using: &random) {
          let known = frontier.upcoming
          let taken = frontier.takeNearest(below: Candidate.pack(bound, .max))
          let expected = model.first.flatMap { $0 < Candidate.pack(bound, .max) ? $0 : nil }
          #expect(taken == expected, "round \(round), step \(step)")
          if let taken {
            #expect(known == nil || known == taken, "what was announced is what comes")
            model.removeFirst()
          }
        }
      }
    }
  }

  @Test(arguments: testSeeds) func frontierOfVeryManyGivesTheNearest(seed: UInt64) {
    print("large frontier, seed \(seed)")
    var random = SeededRandom(seed: seed)
    var frontier = Frontier(capacity: 1)
    for _ in 0..<2 {
      frontier.reset()
      // Many more come than are taken, as in a search that looks very far; then all are taken.
      var waiting: Set<UInt64> = []
      var slot: UInt32 = 0
      for step in 0..<2_000 {
        for _ in 0..<60 {
          let entry = Candidate.pack(Float.random(in: 0..<1, using: &random), slot)
          slot += 1
          frontier.insert(entry)
          waiting.insert(entry)
        }
        guard let taken = frontier.takeNearest(below: .max) else { return #expect(Bool(false), "seed \(seed)") }
        if step % 100 == 0 { #expect(taken == waiting.min(), "seed \(seed)") }
        #expect(waiting.remove(taken) != nil, "seed \(seed)")
      }
      let rest = waiting.sorted()
      for expected in rest {
        let taken = frontier.takeNearest(below: .max)
        guard taken == expected else { return #expect(taken == expected, "seed \(seed)") }
      }
      #expect(frontier.takeNearest(below: .max) == nil)
    }
  }

  @Test func frontierOfNothingGivesNothing() {
    var frontier = Frontier(capacity: 8)
    #expect(frontier.takeNearest(below: Candidate.none) == nil && frontier.upcoming == nil)
    frontier.insert(Candidate.pack(.infinity, 7))
    let beyond = frontier.takeNearest(below: Candidate.pack(1, .max))
    #expect(beyond == nil)
    frontier.reset()
    frontier.insert(Candidate.pack(.infinity, 8))
    let infinite = frontier.takeNearest(below: Candidate.pack(.infinity, .max))
    #expect(infinite == Candidate.pack(.infinity, 8), "the first walk of all has no bound")
    frontier.insert(Candidate.pack(2, 9))
    frontier.reset()
    let forgotten = frontier.takeNearest(below: Candidate.none)
    #expect(forgotten == nil)
  }

  @Test func rulesSayHowFarAWalkLooks() {
    var list = NearestList(capacity: 8)
    list.reset(limit: 8)
    let effort = StopRule.effort(3, results: 2)
    var beam = StopRule(results: 2, limit: 8, rank: 2, reach: 1.5)
    #expect(effort.limit == 3 && effort.bound(list) == .infinity && beam.bound(list) == .infinity)
    for (slot, distance) in [Float(4), 1, 2, 8].enumerated() { list.insert(Candidate.pack(distance, UInt32(slot))) }
    // Ascending: 1, 2, 4, 8.
    #expect(beam.bound(list) == 3)
    beam.shift = 10
    #expect(beam.bound(list) == 12 * 1.5 - 10)
    // Nearer than the shift provides for: the bound is beyond the distance all the same.
    beam.shift = -6
    #expect(beam.bound(list) == 2 + 4 * 0.5)
    list.reset(limit: 3)
    for (slot, distance) in [Float(4), 1, 2].enumerated() { list.insert(Candidate.pack(distance, UInt32(slot))) }
    #expect(effort.bound(list) == 4)
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

  /// Emptied by its list, by a pass over all bits, and when the list began anew because it was full.
  @Test func visitedSetIsEmptiedWhole() {
    let slots = 4 * VZ_LOG_MAX
    var visited = VisitedSet(slots: slots)
    for count in [0, 1, 100, slots / 512, slots / 512 + 1, VZ_LOG_MAX - 1, VZ_LOG_MAX, VZ_LOG_MAX + 1, slots, 5] {
      // Every third slot first, so that what is left over would lie anywhere.
      let order = (0..<3).flatMap { stride(from: $0, to: slots, by: 3) }
      let news = order.prefix(count).count { visited.insert(UInt32($0)) }
      #expect(news == count)
      visited.reset(slots: slots)
      let left = (0..<slots / 64).count { visited.state.pointee.bits[$0] != 0 }
      #expect(left == 0)
    }
  }

  @Test(arguments: [RecordIDKind.int64, .uuid, .text, .composite])
  func tableIsADictionary(kind: RecordIDKind) throws {
    var random = SeededRandom(seed: 5)
    let budget = MemoryBudget(HNSWConfiguration(dimension: 1, metric: .l2, memoryBudget: 64 << 20))
    let memory = SlotMemory(slotsMax: 100_000, budget: budget)
    let ids = try RecordIDColumn(kind: kind, memory: memory)
    try memory.commit(slots: 100_000)
    let table = try RecordTable(ids: ids, budget: budget)
    var model: [RecordID: UInt32] = [:]
    for slot in UInt32(0)..<6_000 {
      let id = recordID(kind, Int.random(in: 0..<2_000, using: &random))
      if Int.random(in: 0..<3, using: &random) == 0 {
        table.remove(id)
        model[id] = nil
      } else {
        try ids.set(slot, to: id)
        try table.reserve(1)?.free()
        table.set(id, to: slot)
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
