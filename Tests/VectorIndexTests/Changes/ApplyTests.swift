// Transactions: what they mean, what they are refused for, and that a refusal leaves nothing behind.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct ApplyTests {
  private func configuration(
    _ storage: VectorStorage = .f32, _ kind: RecordIDKind = .int64, budget: Int? = nil
  ) -> HNSWConfiguration {
    var configuration = HNSWConfiguration(
      dimension: 4, metric: .l2, recordIDKind: kind, storage: storage, connectivity: 4, constructionEffort: 16,
      memoryBudget: budget, attributes: RowModel.schema)
    configuration.payload = RowModel.payload
    configuration.keepsStamps = true
    return configuration
  }

  private func values(_ n: Int64, _ word: String = "a") -> [AttributeValue] {
    [.int64(n), .keyword(word), .array([.int64(n)]), .float64(Double(n))]
  }

  /// How many rows a search that starts now finds by a value, by the lists and by a pass.
  private func found(_ index: HNSWIndex, _ n: Int64) throws -> Set<RecordID> {
    let program = try index.compile(.comparison("n", .equal, .int64(n)))
    let hits = try index.search([0, 0, 0, 0], SearchOptions(k: 10_000), matching: program)
    return Set(hits.map(\.id))
  }

  // MARK: What changes mean

  @Test func whatIsNotGivenStaysAsItIs() throws {
    let index = try HNSWIndex(configuration: configuration())
    let (one, other) = (RowStamp(vector: 1, row: 10), RowStamp(vector: 2, row: 20))
    try index.apply([
      RowChange(.int64(1), .write(vector: [1, 2, 3, 4], attributes: values(5), payload: ["t", "b"], stamp: one)),
      RowChange(.int64(2), .write(vector: [2, 2, 3, 4], stamp: other)),
      RowChange(.int64(3), .remove),
    ])
    #expect(index.count == 2 && index.tailCount == 0)
    #expect(index.attributes(of: .int64(2)) == [AttributeValue](repeating: .null, count: 4))
    #expect(index.payload(of: .int64(2)) == [nil, nil])
    // The vector alone.
    try index.apply([RowChange(.int64(1), .write(vector: [9, 9, 9, 9], stamp: RowStamp(vector: 3, row: 30)))])
    #expect(index.attributes(of: .int64(1)) == values(5) && index.payload(of: .int64(1)) == ["t", "b"])
    #expect(index.stamp(of: .int64(1)) == RowStamp(vector: 3, row: 30))
    // Everything but the vector, whose stamp stays.
    let (slots, retired) = (index.store.slotsUsed.load(ordering: .relaxed), index.statistics().retiredRows)
    try index.apply([
      RowChange(.int64(1), .write(vector: nil, attributes: values(6), stamp: RowStamp(vector: 99, row: 31))),
      RowChange(.int64(2), .write(vector: nil, payload: [nil, "new"], stamp: RowStamp(vector: 99, row: 21))),
    ])
    #expect(index.vector(of: .int64(1)) == [9, 9, 9, 9] && index.attributes(of: .int64(1)) == values(6))
    #expect(index.payload(of: .int64(1)) == ["t", "b"] && index.payload(of: .int64(2)) == [nil, "new"])
    #expect(index.stamp(of: .int64(1)) == RowStamp(vector: 3, row: 31))
    #expect(index.stamp(of: .int64(2)) == RowStamp(vector: 2, row: 21))
    #expect(try found(index, 6) == [.int64(1)] && found(index, 5).isEmpty)
    #expect(
      index.store.slotsUsed.load(ordering: .relaxed) == slots && index.statistics().retiredRows == retired,
      "the graph is as it was")
    // Nothing, said of nobody.
    let version = index.store.pins.current
    try index.apply([])
    try index.apply([RowChange(.int64(77), .remove)])
    #expect(index.store.pins.current == version && index.count == 2)
    // Rows that come by the other ways have a stamp that nobody knows.
    try index.upsert(.int64(1), [1, 1, 1, 1])
    try index.updateAttributes(of: .int64(2), values(6))
    #expect(index.stamp(of: .int64(1)) == .unknown && index.stamp(of: .int64(2)) == RowStamp(vector: 2, row: 0))
    #expect(index.stamp(of: .int64(3)) == nil)
  }

  @Test func aTransactionIsOneVersion() throws {
    let index = try HNSWIndex(configuration: configuration())
    try index.apply(
      (0..<40).map { RowChange(.int64($0), .write(vector: [Float($0), 0, 0, 0], attributes: values(1))) })
    let program = try index.compile(.comparison("n", .greaterOrEqual, .int64(0)))
    var scratch = SearchScratch(for: index)
    let outcome = try [0, 0, 0, 0].withUnsafeBufferPointer { query throws(IndexError) in
      try index.search(query, SearchOptions(k: 100, exact: true), matching: program, scratch: &scratch) { before in
        Result {
          let old = before.copied()
          try index.apply(
            (20..<60).map {
              $0 % 10 == 0
                ? RowChange(.int64($0), .remove)
                : RowChange(.int64($0), .write(vector: [Float($0), 1, 1, 1], attributes: values(2)))
            })
          #expect(before.copied() == old, "a search that has begun sees what was there")
        }
      }
    }
    try outcome.get()
    #expect(try found(index, 1).count == 20 && found(index, 2).count == 36 && index.count == 56)
    // All rows go, and others come: again one version.
    try index.apply(
      [RowChange(.int64(7), .write(vector: [7, 7, 7, 7], attributes: values(3)))], removingAllFirst: true)
    #expect(index.count == 1 && index.attributes(of: .int64(8)) == nil)
    #expect(try index.search([0, 0, 0, 0], SearchOptions(k: 10)).map(\.id) == [.int64(7)])
    #expect(try found(index, 3) == [.int64(7)])
    index.removeAll()
    #expect(index.count == 0 && !index.contains(.int64(7)))
    #expect(try index.search([0, 0, 0, 0], SearchOptions(k: 10)).isEmpty)
    index.removeAll()
    #expect(index.count == 0)
  }

  /// Rows that a bulk build has written and not linked yet are nobody's business, and stay.
  @Test func stagedRowsStayStaged() throws {
    let index = try HNSWIndex(configuration: configuration())
    try index.apply((0..<10).map { RowChange(.int64($0), .write(vector: [Float($0), 0, 0, 0])) })
    let stamps = (0..<5).map { RowStamp(vector: $0, row: 1_000 + $0) }
    _ = try [Float](repeating: 1, count: 20).withUnsafeBufferPointer {
      try index.stage((100..<105).map { .int64($0) }, $0, stamps: stamps)
    }
    for action in [RowChange.Action.write(vector: [1, 2, 3, 4]), .write(vector: nil, attributes: values(1))] {
      for removesAll in [false, true] {
        let error = #expect(throws: IndexError.self) {
          try index.apply(
            [RowChange(.int64(1), .remove), RowChange(.int64(101), action)], removingAllFirst: removesAll)
        }
        #expect(error?.code == .duplicateRecord && index.count == 10)
      }
    }
    try index.apply([RowChange(.int64(101), .remove)])
    index.removeAll()
    #expect(index.count == 0 && index.stamp(of: .int64(101)) == nil)
    try index.linkStaged(threads: 1)
    #expect(index.count == 5 && index.stamp(of: .int64(103)) == stamps[3])
    index.consolidate()
    index.checkInvariants()
    #expect(throws: IndexError.self) { try index.insert(.int64(101), [1, 2, 3, 4]) }
  }

  @Test func zeroVectorsAreRefusedUnderCosine() throws {
    let index = try HNSWIndex(configuration: HNSWConfiguration(dimension: 2, metric: .cosine))
    let error = #expect(throws: IndexError.self) {
      try index.apply([
        RowChange(.int64(1), .write(vector: [1, 2])), RowChange(.int64(2), .write(vector: [0, 0])),
      ])
    }
    #expect(error?.code == .zeroVector && error?.message.hasPrefix("row 2: ") == true && index.count == 0)
    // Without stamps, what is said of them is passed over.
    try index.apply([RowChange(.int64(1), .write(vector: [1, 2], stamp: RowStamp(vector: 1, row: 2)))])
    #expect(index.stamp(of: .int64(1)) == nil)
    index.forEachStamp { id, _ in Issue.record("a stamp of \(id)") }
  }

  // MARK: All rows go

  /// New rows are not linked among the nodes of those that went, and searches do not read what nobody has.
  @Test(arguments: [false, true]) func afterAllRowsWentTheGraphBeginsAnew(isMaintained: Bool) throws {
    var random = SeededRandom(seed: 6)
    let index = try HNSWIndex(configuration: configuration(.int4x8))
    let vectors = random.vector(dimension: 4 * 8_000)
    _ = try vectors.withUnsafeBufferPointer { try index.stage((0..<8_000).map { .int64($0) }, $0) }
    try index.linkStaged(threads: 2)
    let maintenance = isMaintained ? Maintenance(of: index) : nil
    let fresh = (0..<3_000).map { RowChange(.int64($0), .write(vector: random.vector(dimension: 4))) }
    try index.apply(Array(fresh[..<500]), removingAllFirst: true)
    #expect(index.count == 500)
    maintenance?.catchUp()
    #expect(index.tailCount == 0 && index.statistics().retiredRows == 0 && index.statistics().freeSlots == 8_000)
    var scratch = SearchScratch(for: index)
    let read = try [0, 0, 0, 0].withUnsafeBufferPointer { query throws(IndexError) in
      try index.search(query, SearchOptions(k: 10), scratch: &scratch) { ($0.count, $0.distancesComputed) }
    }
    #expect(read.0 == 10 && read.1 <= 500 + 2 * SearchScratch.batchMax)
    for first in stride(from: 500, to: 3_000, by: 500) { try index.apply(Array(fresh[first..<(first + 500)])) }
    maintenance?.catchUp()
    maintenance?.stop()
    index.consolidate()
    index.checkInvariants()
    #expect(index.count == 3_000 && index.store.slotsUsed.load(ordering: .relaxed) == 8_500, "slots are used again")
    #expect(try index.recall(queries: random.vector(dimension: 4 * 100), k: 10, effort: 60) > 0.97)
  }

  // MARK: Refused for want of memory

  @Test(arguments: testSeeds, [(VectorStorage.f32, RecordIDKind.int64), (.int4x16, .text)])
  func aRefusedTransactionChangesNothing(seed: UInt64, kind: (VectorStorage, RecordIDKind)) throws {
    print("transactions at the end of the memory, \(kind.0.name), \(kind.1), seed \(seed)")
    var random = SeededRandom(seed: seed)
    let budget = 1_500_000
    let configuration = configuration(kind.0, kind.1, budget: budget)
    let index = try HNSWIndex(configuration: configuration)
    var model = RowModel(configuration, ids: 8_000)
    var (applied, refused) = (0, 0)
    var isGrowing = true
    for round in 0..<250 {
      if refused > 40 { break }
      let changes = model.changes(.random(in: 1...120, using: &random), growing: isGrowing, &random)
      do throws(IndexError) {
        try index.apply(changes)
        model.apply(changes)
        applied += 1
      } catch {
        #expect(error.code == .outOfMemory, "\(error)")
        refused += 1
        if refused % 8 == 1 { #expect(try model.faults(of: index, &random) == [], "round \(round), seed \(seed)") }
        // Room for others, now and then.
        isGrowing = random.chance(50)
        if !isGrowing { index.consolidate() }
      }
      let bytes = index.statistics().bytes
      #expect(bytes <= budget && index.store.memory.budget.committedBytes == bytes, "round \(round), seed \(seed)")
    }
    print("\(applied) applied, \(refused) refused, \(index.count) rows")
    #expect(applied > 20 && refused > 10)
    #expect(try model.faults(of: index, &random) == [], "seed \(seed)")
    index.consolidate()
    index.checkInvariants()
    try expectNoSlotIsLost(index)
    index.removeAll()
    model.apply([], removingAllFirst: true)
    #expect(try model.faults(of: index, &random) == [], "seed \(seed)")
    let changes = model.changes(100, growing: true, &random)
    try index.apply(changes)
    model.apply(changes)
    #expect(try model.faults(of: index, &random) == [], "seed \(seed)")
  }

  /// Every slot holds a row, or is free, or waits to be.
  private func expectNoSlotIsLost(_ index: HNSWIndex, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let waiting = index.withRows { rows in rows.retired.count + rows.unlinked.reduce(0) { $0 + $1.slots.count } }
    #expect(
      index.count + index.store.freeSlotCount + waiting == index.store.slotsUsed.load(ordering: .relaxed),
      sourceLocation: sourceLocation)
  }

  /// What fails after many of the rows were written: words that find no room.
  @Test func whatIsGivenUpHalfWayIsTakenBack() throws {
    var random = SeededRandom(seed: 8)
    let configuration = configuration(budget: 3_000_000)
    let index = try HNSWIndex(configuration: configuration)
    var model = RowModel(configuration, ids: 400)
    let changes = model.changes(150, growing: true, &random)
    try index.apply(changes)
    model.apply(changes)
    /// Rows of which the last few have words that do not fit: new ones, replaced ones, and ones that keep their vectors.
    func tooMuch() -> [RowChange] {
      model.ids.enumerated().prefix(200).map { n, id in
        let word = n < 100 ? "w\(n % 4)" : "\(n) " + String(repeating: "x", count: 60_000)
        let isThere = model.rows[id] != nil
        return RowChange(
          id,
          .write(
            vector: isThere && n % 2 == 0 ? nil : model.vector(&random), attributes: values(Int64(n % 3), word),
            payload: ["title", nil], stamp: RowStamp(vector: 1, row: 1)))
      }
    }
    let pin = index.store.pins.take(for: .search)
    defer { index.store.pins.giveBack(pin) }
    _ = index.store.pins.enter(pin)
    func refuse() {
      let error = #expect(throws: IndexError.self) { try index.apply(tooMuch()) }
      #expect(error?.code == .outOfMemory)
    }
    refuse()
    let used = index.store.slotsUsed.load(ordering: .relaxed)
    #expect(index.store.freeSlotCount == 0, "a reader may have been led to what was given up")
    #expect(try model.faults(of: index, &random) == [])
    index.store.pins.leave(pin)
    for _ in 0..<20 { refuse() }
    #expect(index.store.slotsUsed.load(ordering: .relaxed) <= used + 20)
    #expect(try model.faults(of: index, &random) == [])
    try expectNoSlotIsLost(index)
    // Their lists were not left with slots that never had the value.
    let attributes = try #require(index.attributes)
    for n in Int64(0)..<3 {
      let rows = model.rows.values.count { $0.attributes[0] == .int64(n) }
      let list = try #require(attributes.columns[0].postings).list(of: UInt64(n)).count
      #expect(list <= 2 * rows + 8, "\(list) slots in the list of \(rows) rows")
    }
    index.consolidate()
    index.checkInvariants()
    let more = model.changes(60, growing: true, &random)
    try index.apply(more)
    model.apply(more)
    #expect(try model.faults(of: index, &random) == [])
  }
}
