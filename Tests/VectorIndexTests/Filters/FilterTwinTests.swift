// Masks, postings and single rows against the slow twin, while rows come, change and go.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct FilterTwinTests {
  private static func configuration(_ schema: AttributeSchema) -> HNSWConfiguration {
    HNSWConfiguration(
      dimension: 2, metric: .l2, storage: .f32, connectivity: 4, constructionEffort: 8, attributes: schema)
  }

  @Test(arguments: testSeeds) func everyWayOfLookingAgreesWithTheTwin(seed: UInt64) throws {
    print("filters against their twin, seed \(seed)")
    var random = SeededRandom(seed: seed)
    var listed = 0
    var masked = 0
    var filters = 0
    for _ in 0..<14 {
      let schema = random.schema()
      let index = try HNSWIndex(configuration: Self.configuration(schema))
      let maintenance = random.chance(50) ? Maintenance(of: index) : nil
      defer { maintenance?.stop() }
      var rows: [Int64: [AttributeValue]] = [:]
      var scratch = FilterScratch()
      for _ in 0..<6 {
        try change(index, schema, &rows, &random)
        for _ in 0..<25 {
          let filter = random.filter(schema)
          let (isListed, count) = try expectAgreement(index, schema, filter, rows, &scratch, seed)
          filters += count > 0 ? 1 : 0
          if isListed { listed += 1 } else { masked += 1 }
        }
        if random.chance(30) { index.consolidate() }
      }
    }
    print("\(listed) by postings too, \(masked) by a pass alone, \(filters) that some row meets")
    #expect(listed > 400 && masked > 500 && filters > 300)
  }

  /// Stages, inserts, upserts, updates and removes some rows, in the index and in the twin's table.
  private func change(
    _ index: HNSWIndex, _ schema: AttributeSchema, _ rows: inout [Int64: [AttributeValue]], _ random: inout SeededRandom
  ) throws {
    if random.chance(40) {
      let ids = (0..<Int64.random(in: 1...200, using: &random)).map { 10_000 * Int64(rows.count + 1) + $0 }
        .filter { rows[$0] == nil }
      let values = ids.map { _ in random.row(schema) }
      let vectors = random.vector(dimension: 2 * ids.count)
      _ = try vectors.withUnsafeBufferPointer {
        try index.stage(ids.map { .int64($0) }, $0, attributes: values)
      }
      if random.chance(50) { try index.publishStaged() } else { try index.linkStaged(threads: 1, calibrates: false) }
      for (id, values) in zip(ids, values) { rows[id] = values }
    }
    for _ in 0..<Int.random(in: 0...150, using: &random) {
      let id = Int64.random(in: 0..<120, using: &random)
      let values = random.row(schema)
      let vector = random.vector(dimension: 2)
      switch Int.random(in: 0..<6, using: &random) {
      case 0, 1:
        try index.upsert(.int64(id), vector, attributes: values)
        rows[id] = values
      case 2:
        if rows[id] == nil {
          try index.insert(.int64(id), vector, attributes: values)
          rows[id] = values
        }
      case 3:
        #expect(try index.updateAttributes(of: .int64(id), values) == (rows[id] != nil))
        if rows[id] != nil { rows[id] = values }
      case 4:
        #expect(index.remove(.int64(id)) == (rows[id] != nil))
        rows[id] = nil
      default:
        // The vector alone: the attributes stay, or are NULL.
        try index.upsert(.int64(id), vector)
        rows[id] = rows[id] ?? schema.columns.map { _ in .null }
      }
    }
    // Many of those that came at once go again, so that lists are dead for the most part.
    for id in rows.keys.sorted() where id >= 10_000 && random.chance(25) {
      index.remove(.int64(id))
      rows[id] = nil
    }
  }

  /// - Returns: whether postings were used, and how many rows match.
  private func expectAgreement(
    _ index: HNSWIndex, _ schema: AttributeSchema, _ filter: Filter, _ rows: [Int64: [AttributeValue]],
    _ scratch: inout FilterScratch, _ seed: UInt64
  ) throws -> (Bool, Int) {
    let twin = FilterInterpreter(schema: schema)
    let expected = Set(rows.filter { twin.evaluate(filter, $0.value) == true }.keys)
    let program = try index.compile(filter)
    let pin = index.store.pins.take(for: .search)
    defer { index.store.pins.giveBack(pin) }
    let version = index.store.pins.enter(pin)
    var isListed = false
    // As the index would, by postings wherever there are some, and by a pass.
    for candidateCost in [64, 0, .max] {
      let set = index.matching(program, version: version, candidateCost: candidateCost, into: &scratch)
      #expect(set.count == expected.count, "\(filter), seed \(seed)")
      var found: [UInt32] = []
      switch set.form {
      case .slots(let slots):
        isListed = true
        found = Array(slots)
      case .mask(let mask):
        found = (0..<UInt32(index.store.slotsUsed.load(ordering: .acquiring))).filter { mask.contains($0) }
        #expect(!mask.contains(UInt32(mask.slots)) && !mask.contains(.max))
      }
      #expect(zip(found, found.dropFirst()).allSatisfy { $0 < $1 }, "ascending, each once: \(filter), seed \(seed)")
      #expect(Set(found.map { id(index, $0) }) == expected, "\(filter), seed \(seed)")
    }
    var single: Set<Int64> = []
    for slot in 0..<UInt32(index.store.slotsUsed.load(ordering: .acquiring))
    where index.store.isVisible(slot, at: version) && index.matches(program, slot: slot, scratch) {
      single.insert(id(index, slot))
    }
    #expect(single == expected, "row by row: \(filter), seed \(seed)")
    for (id, values) in rows where id % 7 == 0 { #expect(index.attributes(of: .int64(id)) == values) }
    return (isListed, expected.count)
  }

  private func id(_ index: HNSWIndex, _ slot: UInt32) -> Int64 {
    if case .int64(let id) = index.store.ids[slot] { id } else { -1 }
  }
}
