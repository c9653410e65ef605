// Rows with attributes: what is refused, what is kept, what is given back, and what readers see beside a writer.

import CAllocationCounter
import Synchronization
import TestSupport
import Testing

@testable import VectorIndex

@Suite struct AttributeTests {
  private func refusal(_ body: () throws -> Void) -> IndexError? {
    do {
      try body()
      return nil
    } catch {
      return error as? IndexError
    }
  }

  private func configuration(_ schema: AttributeSchema, budget: Int? = nil) -> HNSWConfiguration {
    HNSWConfiguration(
      dimension: 4, metric: .l2, storage: .f32, connectivity: 4, constructionEffort: 8, memoryBudget: budget,
      attributes: schema)
  }

  @Test func schemasAreChecked() throws {
    let wrong: [([AttributeColumn], String)] = [
      ([AttributeColumn("", .bool)], "from 1 to 63"),
      ([AttributeColumn(String(repeating: "é", count: 32), .bool)], "from 1 to 63"),
      ([AttributeColumn("a", .bool), AttributeColumn("a", .int64)], "twice"),
      ([AttributeColumn("a", .float64, isIndexed: true)], "not found by value"),
      ([AttributeColumn("a", .int64, ordersBytewise: true)], "no collation"),
      ((0...64).map { AttributeColumn("c\($0)", .bool) }, "at most 64"),
    ]
    for (columns, part) in wrong {
      let error = refusal { _ = try AttributeSchema(columns) }
      #expect(error?.code == .invalidConfiguration && error?.message.contains(part) == true, "\(error?.message ?? "")")
    }
    // Names are their bytes, as in Postgres.
    #expect(
      try AttributeSchema([AttributeColumn("é", .bool), AttributeColumn("e\u{301}", .bool)]).index(of: "e\u{301}") == 1)
    #expect(try AttributeSchema((0..<64).map { AttributeColumn("c\($0)", .bool) }).columns.count == 64)
  }

  @Test func rowsAreChecked() throws {
    let schema = FilterTextTests.schema
    let index = try HNSWIndex(configuration: configuration(schema))
    let nulls = [AttributeValue](repeating: .null, count: schema.columns.count)
    func with(_ column: String, _ value: AttributeValue) -> [AttributeValue] {
      var values = nulls
      values[schema.index(of: column) ?? 0] = value
      return values
    }
    let wrong: [([AttributeValue], String)] = [
      ([], "0 attributes; this index has 11: tenant"), (with("tenant", .float64(1)), "\"tenant\" is int64"),
      (with("lang", .keyword(String(repeating: "x", count: 65_536))), "\"lang\" is keyword, and the text has 65536"),
      (with("created", .timestamp(.max - 1)), "Postgres"), (with("tags", .keyword("a")), "an array of keyword"),
      (with("tags", .array([.int64(1)])), "an element"),
      (with("groups", .array([AttributeValue](repeating: .int64(1), count: 65_536))), "65536 elements"),
    ]
    for (values, part) in wrong {
      for attempt in 0..<4 {
        let error = refusal {
          switch attempt {
          case 0: try index.insert(.int64(1), [1, 2, 3, 4], attributes: values)
          case 1: try index.upsert(.int64(1), [1, 2, 3, 4], attributes: values)
          case 2: try index.updateAttributes(of: .int64(1), values)
          default:
            _ = try [Float](repeating: 1, count: 4).withUnsafeBufferPointer {
              try index.stage([.int64(1)], $0, attributes: [values])
            }
          }
        }
        #expect(
          error?.code == .attributeMismatch && error?.message.contains(part) == true, "\(error?.message ?? "none")")
      }
    }
    #expect(index.count == 0)
    let long = with("lang", .keyword(String(repeating: "x", count: 65_535)))
    let many = with("groups", .array((0..<65_535).map { $0 % 3 == 0 ? .null : .int64($0) }))
    try index.insert(.int64(1), [1, 2, 3, 4], attributes: long)
    try index.insert(.int64(2), [1, 2, 3, 4], attributes: many)
    #expect(index.attributes(of: .int64(1)) == long && index.attributes(of: .int64(2)) == many)
  }

  /// What was there is there no more when a row is gone: no cell, no run of an array, no slot in a list.
  @Test func slotsThatAreFreedAreWiped() throws {
    var random = SeededRandom(seed: 11)
    let schema = try AttributeSchema(AttributeType.allCases.map { AttributeColumn($0.name, $0) })
    let index = try HNSWIndex(configuration: configuration(schema))
    for n in 0..<300 as Range<Int64> {
      try index.insert(.int64(n), random.vector(dimension: 4), attributes: schema.columns.map { random.value($0.type) })
    }
    for n in 0..<300 as Range<Int64> { index.remove(.int64(n)) }
    index.consolidate()
    let attributes = try #require(index.attributes)
    for slot in 0..<300 as Range<UInt32> { #expect(attributes.row(of: slot) == AttributeStore.rowOfNulls) }
    for column in attributes.columns {
      for row in 0...300 as ClosedRange<UInt32> { #expect(column.isNull(row)) }
      for i in 0..<(column.heap.bytes / 8) { #expect(column.heapWords[i] == 0) }
      guard let postings = column.postings else { continue }
      for value in -5...20 as ClosedRange<Int64> { #expect(postings.list(of: UInt64(bitPattern: value)).count == 0) }
    }
  }

  /// Values that come and go take the room of those before them.
  @Test func churnTakesNoMemory() throws {
    var random = SeededRandom(seed: 12)
    let schema = FilterTextTests.schema
    let index = try HNSWIndex(configuration: configuration(schema))
    for n in 0..<400 as Range<Int64> {
      try index.insert(.int64(n), random.vector(dimension: 4), attributes: random.row(schema))
    }
    var bytes = 0
    for round in 0..<30 {
      for n in 0..<400 as Range<Int64> {
        try index.updateAttributes(of: .int64(n), random.row(schema))
        if n % 4 == Int64(round % 4) {
          try index.upsert(.int64(n), random.vector(dimension: 4), attributes: random.row(schema))
        }
      }
      if round == 9 { bytes = index.statistics().bytes }
    }
    let after = index.statistics().bytes
    print("attributes of 400 rows: \(index.statistics().attributeBytes) bytes")
    #expect(after <= bytes + bytes / 20)
    #expect(index.store.memory.budget.committedBytes == after, "all that is committed is counted")
  }

  @Test(arguments: testSeeds) func aFullIndexRefusesAndIsWhole(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let schema = FilterTextTests.schema
    let index = try HNSWIndex(configuration: configuration(schema, budget: 900_000))
    var rows: [[AttributeValue]] = []
    var refused: IndexError?
    func row(_ n: Int) -> [AttributeValue] {
      var values = random.row(schema)
      values[0] = .int64(Int64(n) * 77)
      values[1] = .keyword("word \(n)")
      values[7] = .array((0..<(n % 9)).map { .keyword("tag \(n) \($0)") })
      return values
    }
    while refused == nil {
      let values = row(rows.count)
      refused = refusal { try index.insert(.int64(Int64(rows.count)), random.vector(dimension: 4), attributes: values) }
      if refused == nil { rows.append(values) }
    }
    #expect(refused?.code == .outOfMemory && rows.count > 100 && index.count == rows.count)
    var refusals = 0
    for round in 0..<2_000 {
      let n = Int.random(in: 0..<rows.count, using: &random)
      let values = row(100_000 + round)
      let isUpsert = random.chance(30)
      let error = refusal {
        if isUpsert {
          try index.upsert(.int64(Int64(n)), random.vector(dimension: 4), attributes: values)
        } else {
          try index.updateAttributes(of: .int64(Int64(n)), values)
        }
      }
      if let error {
        #expect(error.code == .outOfMemory)
        refusals += 1
      } else {
        rows[n] = values
      }
    }
    print("\(rows.count) rows, \(refusals) refusals, seed \(seed)")
    #expect(refusals > 100)
    #expect(index.statistics().bytes <= 900_000 && index.store.memory.budget.committedBytes == index.statistics().bytes)
    let pin = index.store.pins.take(for: .search)
    defer { index.store.pins.giveBack(pin) }
    var scratch = FilterScratch()
    for (n, values) in rows.enumerated() {
      #expect(index.attributes(of: .int64(Int64(n))) == values)
      guard n % 5 == 0 else { continue }
      for (column, value) in [("tenant", values[0]), ("lang", values[1])] {
        let program = try index.compile(.comparison(column, .equal, value))
        let set = index.matching(program, version: index.store.pins.enter(pin), into: &scratch)
        #expect(set.count == 1)
        index.store.pins.leave(pin)
      }
    }
  }

  /// Each row's columns are written equal, and a reader sees them equal, whichever way it looks; and a row that always matches is
  /// always found, though its value goes back and forth between two that will do.
  @Test(arguments: testSeeds) func readersSeeWholeRows(seed: UInt64) throws {
    print("readers of attributes beside a writer, seed \(seed)")
    let schema = try AttributeSchema([
      AttributeColumn("a", .int64), AttributeColumn("b", .int64, isIndexed: false), AttributeColumn("c", .keyword),
      AttributeColumn("d", .keywordArray), AttributeColumn("e", .uuid),
    ])
    let index = try HNSWIndex(configuration: configuration(schema))
    @Sendable func row(_ n: Int64) -> [AttributeValue] {
      [
        .int64(n), .int64(n), .keyword("w\(n)"), .array((0...(n % 5)).map { .keyword("w\(n - $0)") }),
        .uuid(high: 0, low: UInt64(n)),
      ]
    }
    var random = SeededRandom(seed: seed)
    for n in 0..<600 as Range<Int64> {
      try index.insert(.int64(n), random.vector(dimension: 4), attributes: row(n % 8))
    }
    let done = Shared(false)
    let faults = Shared([String]())
    let reads = Shared(0)
    WorkerThreads.run(count: 3) { thread in
      var random = SeededRandom(seed: seed &* 77 &+ UInt64(thread))
      do {
        if thread == 0 {
          for step in 0..<30_000 {
            let id = Int64.random(in: 0..<600, using: &random)
            let value = Int64.random(in: 0..<8, using: &random)
            // Rows under 100 only ever have 2 or 3.
            let values = row(id < 100 ? 2 + value % 2 : step % 3 == 0 ? Int64(step) : value)
            switch Int.random(in: 0..<20, using: &random) {
            case 0 where id >= 300: index.remove(.int64(id))
            case 1...3 where id >= 100: try index.upsert(.int64(id), random.vector(dimension: 4), attributes: values)
            default: try index.updateAttributes(of: .int64(id), values)
            }
          }
          done.withLock { $0 = true }
          return
        }
        // The rows under 100 get there first.
        var filters: [Filter] = []
        for n in 0..<8 as Range<Int64> {
          let (number, word, uuid) = (
            AttributeValue.int64(n), AttributeValue.keyword("w\(n)"), AttributeValue.uuid(high: 0, low: UInt64(n))
          )
          let equals: [Filter] = [
            .comparison("a", .equal, number), .comparison("b", .equal, number), .comparison("c", .equal, word),
            .anyEqual("d", word), .comparison("e", .equal, uuid),
          ]
          for one in equals where one != equals[3] {
            for other in equals where other != one { filters.append(.and([one, .not(other)])) }
          }
        }
        let programs = try filters.map { try index.compile($0) }
        let always = try [
          Filter.isIn("a", [.int64(2), .int64(3)]), .isIn("c", [.keyword("w3"), .keyword("w2")]),
          .between("b", .int64(2), .int64(3)),
          .or([.comparison("e", .equal, .uuid(high: 0, low: 2)), .comparison("c", .equal, .keyword("w3"))]),
        ].map { try index.compile($0) }
        var scratch = FilterScratch()
        let pin = index.store.pins.take(for: .search)
        defer { index.store.pins.giveBack(pin) }
        var isSettled = false
        while !done.withLock({ $0 }) {
          let version = index.store.pins.enter(pin)
          let program = random.pick(programs)
          let cost = random.pick([0, .max])
          let set = index.matching(program, version: version, candidateCost: cost, into: &scratch)
          if set.count != 0 { faults.withLock { $0.append("\(set.count) rows with \(program.filter)") } }
          let all = random.pick(always)
          let found = index.matching(all, version: version, candidateCost: cost, into: &scratch)
          var steady = 0
          switch found.form {
          case .slots(let slots): steady = slots.count { Self.id(index, $0) < 100 }
          case .mask(let mask):
            steady = (0..<UInt32(mask.slots)).count { mask.contains($0) && Self.id(index, $0) < 100 }
          }
          if steady == 100 { isSettled = true }
          if isSettled, steady != 100 { faults.withLock { $0.append("\(steady) of 100 rows with \(all.filter)") } }
          index.store.pins.leave(pin)
          reads.withLock { $0 += 1 }
        }
        if !isSettled { faults.withLock { $0.append("never were all rows found") } }
      } catch {
        faults.withLock { $0.append("\(error)") }
        done.withLock { $0 = true }
      }
    }
    #expect(faults.withLock { Array($0.prefix(5)) }.isEmpty)
    #expect(reads.withLock { $0 } > 100)
  }

  /// A reader that has looked at one list and comes to another finds the rows there that have moved to the first meanwhile; when it
  /// has left, they go.
  @Test func listsKeepWhatAReaderMayNeed() throws {
    let index = try HNSWIndex(configuration: configuration(try AttributeSchema([AttributeColumn("a", .int64)])))
    for n in 0..<40 as Range<Int64> { try index.insert(.int64(n), [1, 2, 3, 4], attributes: [.int64(1)]) }
    let postings = try #require(index.attributes?.columns[0].postings)
    let pin = index.store.pins.take(for: .search)
    defer { index.store.pins.giveBack(pin) }
    _ = index.store.pins.enter(pin)
    #expect(postings.list(of: 1).count == 40 && postings.list(of: 2).count == 0)
    for n in 0..<40 as Range<Int64> { try index.updateAttributes(of: .int64(n), [.int64(2)]) }
    // More than the list has room for, so that it is made anew.
    for n in 40..<140 as Range<Int64> { try index.insert(.int64(n), [1, 2, 3, 4], attributes: [.int64(1)]) }
    #expect(postings.list(of: 1).count == 140 && postings.list(of: 2).count == 40)
    index.store.pins.leave(pin)
    for n in 40..<140 as Range<Int64> { try index.updateAttributes(of: .int64(n), [.int64(3)]) }
    for n in 0..<2 as Range<Int64> { try index.updateAttributes(of: .int64(n), [.null]) }
    #expect(postings.list(of: 1).count <= 1 && postings.list(of: 3).count == 100)
  }

  private static func id(_ index: HNSWIndex, _ slot: UInt32) -> Int64 {
    if case .int64(let id) = index.store.ids[slot] { id } else { .max }
  }

  @Test(.enabled(if: allocation_counting() == 1, "a sanitizer has an allocator of its own"))
  func aWarmedFilterAllocatesNothing() throws {
    var random = SeededRandom(seed: 4)
    let schema = FilterTextTests.schema
    let index = try HNSWIndex(configuration: configuration(schema))
    for n in 0..<2_000 {
      try index.insert(.int64(Int64(n)), random.vector(dimension: 4), attributes: random.row(schema))
    }
    for n in 0..<200 as Range<Int64> { try index.updateAttributes(of: .int64(n * 3), random.row(schema)) }
    let pin = index.store.pins.take(for: .search)
    defer { index.store.pins.giveBack(pin) }
    let version = index.store.pins.enter(pin)
    var scratch = FilterScratch()
    var counted = 0
    for _ in 0..<400 {
      let program = try index.compile(random.filter(schema))
      for cost in [0, .max] {
        _ = index.matching(program, version: version, candidateCost: cost, into: &scratch)
        let before = allocation_count()
        let set = index.matching(program, version: version, candidateCost: cost, into: &scratch)
        let after = allocation_count()
        #expect(after == before, "\(program.filter)")
        counted += set.count
      }
    }
    #expect(counted > 0)
  }
}
