// Searches beside transactions: each sees all of one or nothing of it, and whatever is there throughout.

import Synchronization
import TestSupport
import Testing

@testable import VectorIndex

@Suite struct ApplyConcurrencyTests {
  private static let dimension = 8
  private static let steady = 1_500
  /// Rows that each transaction writes.
  private static let moving = 50

  private static let schema: AttributeSchema = {
    do {
      return try AttributeSchema([
        AttributeColumn("moving", .bool), AttributeColumn("a", .int64), AttributeColumn("b", .int64, isIndexed: false),
        AttributeColumn("marked", .bool),
      ])
    } catch {
      fatalError("\(error)")
    }
  }()

  private func index(_ storage: VectorStorage, seed: UInt64) throws -> HNSWIndex {
    var configuration = HNSWConfiguration(
      dimension: Self.dimension, metric: .l2, storage: storage, connectivity: 8, constructionEffort: 40, seed: seed,
      attributes: Self.schema)
    configuration.payload = ["generation"]
    configuration.keepsStamps = true
    return try HNSWIndex(configuration: configuration)
  }

  /// Runs transactions on one thread, and `read` again and again on two others until the last of them is through.
  private func run(
    _ index: HNSWIndex, generations: Int64, write: @escaping @Sendable (Int64) throws -> Void,
    read: @escaping @Sendable (inout SearchScratch, inout SeededRandom) throws -> [String]
  ) -> (faults: [String], reads: Int) {
    let done = Atomic<Bool>(false)
    let faults = Shared([String]())
    let reads = Atomic<Int>(0)
    WorkerThreads.run(count: 3) { thread in
      do {
        if thread == 0 {
          defer { done.store(true, ordering: .releasing) }
          for generation in 1...generations { try write(generation) }
          return
        }
        var random = SeededRandom(seed: UInt64(thread))
        var scratch = SearchScratch(for: index)
        while !done.load(ordering: .acquiring) {
          let found = try read(&scratch, &random)
          if !found.isEmpty { faults.withLock { if $0.count < 10 { $0 += found } } }
          reads.add(1, ordering: .relaxed)
        }
      } catch {
        faults.withLock { $0.append("\(error)") }
      }
    }
    return (faults.withLock { $0 }, reads.load(ordering: .relaxed))
  }

  private func values(_ generation: Int64, marked: Bool) -> [AttributeValue] {
    [.bool(generation > 0), .int64(generation), .int64(generation), .bool(marked)]
  }

  private func addSteadyRows(_ index: HNSWIndex, _ random: inout SeededRandom) throws -> [[Float]] {
    let vectors = (0..<Self.steady).map { _ in random.vector(dimension: Self.dimension) }
    try index.apply(
      vectors.enumerated().map { n, vector in
        RowChange(.int64(Int64(n)), .write(vector: vector, attributes: values(0, marked: false), payload: ["0"]))
      })
    return vectors
  }

  /// Each transaction rewrites 50 rows, vectors and all, takes the mark from one and gives it to another; every third of them takes
  /// the rows away and puts 50 others in their place. Under whatever filter, scanned or walked, a search sees 50 rows of one
  /// generation and one mark, and every row that stays.
  @Test(arguments: testSeeds, [VectorStorage.f32, .int4x8]) func searchesSeeWholeTransactions(
    seed: UInt64, storage: VectorStorage
  ) throws {
    print("searches beside transactions, \(storage.name), seed \(seed)")
    var random = SeededRandom(seed: seed)
    let index = try index(storage, seed: seed)
    let steady = try addSteadyRows(index, &random)
    let maintenance = seed % 2 == 1 ? Maintenance(of: index) : nil
    let write = { @Sendable (generation: Int64) throws in
      var random = SeededRandom(seed: seed &+ UInt64(generation) &* 977)
      func ids(_ generation: Int64) -> Range<Int64> {
        let first = 10_000 + generation / 3 % 2 * 1_000
        return first..<(first + Int64(Self.moving))
      }
      var changes = ids(generation).map { id in
        RowChange(
          .int64(id),
          .write(
            vector: random.vector(dimension: Self.dimension),
            attributes: values(generation, marked: (id - generation) % Int64(Self.moving) == 0),
            payload: ["\(generation)"]))
      }
      if ids(generation) != ids(generation - 1) {
        changes += ids(generation - 1).map { RowChange(.int64($0), .remove) }
      }
      try index.apply(changes.shuffled(using: &random))
    }
    try write(1)
    let program = { (text: String) in try index.compile(Filter(parsing: text, schema: Self.schema)) }
    let moving = try [
      program("moving = true"), program("a > 0"), program("not (b <= 0)"), program("moving = true and a >= 1"),
    ]
    let marked = try program("marked = true")
    let all = try program("moving = true or a = 0")
    let outcome = run(index, generations: 1_200, write: write) { scratch, random in
      var faults: [String] = []
      func search(_ k: Int, _ filter: FilterProgram?, exact: Bool) throws -> (ids: [RecordID], generations: Set<String>)
      {
        var options = SearchOptions(k: k, exact: exact)
        if !exact, filter != nil, random.chance(50) { options.filterPlan = .walkThenScan }
        return try random.vector(dimension: Self.dimension).withUnsafeBufferPointer { query throws(IndexError) in
          try index.search(query, options, matching: filter, scratch: &scratch) { hits in
            var generations: Set<String> = []
            for i in 0..<hits.count { generations.insert(hits.payload(at: i).first.flatMap { $0 } ?? "none") }
            return ((0..<hits.count).map { hits.id(at: $0) }, generations)
          }
        }
      }
      let some = try search(100, random.pick(moving), exact: random.chance(70))
      if some.ids.count != Self.moving || Set(some.ids).count != Self.moving || some.generations.count != 1 {
        faults.append("\(some.ids.count) rows of the generations \(some.generations)")
      }
      let one = try search(5, marked, exact: random.chance(50))
      if one.ids.count != 1 { faults.append("\(one.ids.count) marks") }
      guard random.chance(20) else { return faults }
      let filter: FilterProgram? = random.chance(50) ? nil : all
      let every = try search(10_000, filter, exact: random.chance(50))
      let ids = Set(every.ids)
      if every.ids.count != Self.steady + Self.moving || ids.count != every.ids.count || every.generations.count != 2
        || !(0..<Self.steady).allSatisfy({ ids.contains(.int64(Int64($0))) })
      {
        faults.append("\(every.ids.count) rows, \(ids.count) ids, generations \(every.generations)")
      }
      let n = Int.random(in: 0..<Self.steady, using: &random)
      let nearest = try index.search(steady[n], SearchOptions(k: 1, effort: 200))
      if storage == .f32, nearest.first?.id != .int64(Int64(n)) { faults.append("row \(n), which stays, was missed") }
      return faults
    }
    maintenance?.catchUp()
    maintenance?.stop()
    #expect(outcome.faults.isEmpty)
    #expect(outcome.reads > 100)
    index.consolidate()
    index.checkInvariants()
    #expect(index.count == Self.steady + Self.moving)
  }

  /// Every transaction removes all rows and writes 50: a search sees 50 of one generation.
  @Test(arguments: testSeeds) func allRowsGoAndOthersComeAtOnce(seed: UInt64) throws {
    print("all rows at once, seed \(seed)")
    let index = try index(.f32, seed: seed)
    let maintenance = seed % 2 == 1 ? Maintenance(of: index) : nil
    let write = { @Sendable (generation: Int64) throws in
      var random = SeededRandom(seed: seed &+ UInt64(generation))
      let first = generation % 5 * 20
      try index.apply(
        (first..<(first + 50)).map { id in
          RowChange(
            .int64(id),
            .write(
              vector: random.vector(dimension: Self.dimension), attributes: values(generation, marked: false),
              payload: ["\(generation)"]))
        }, removingAllFirst: true)
    }
    try write(1)
    let moving = try index.compile(Filter(parsing: "moving = true", schema: Self.schema))
    let outcome = run(index, generations: 2_000, write: write) { scratch, random in
      let filter: FilterProgram? = random.chance(50) ? nil : moving
      let query = random.vector(dimension: Self.dimension)
      let (count, generations) = try query.withUnsafeBufferPointer { query throws(IndexError) in
        try index.search(query, SearchOptions(k: 100), matching: filter, scratch: &scratch) { hits in
          (hits.count, Set((0..<hits.count).map { hits.payload(at: $0) }))
        }
      }
      return count == 50 && generations.count == 1 ? [] : ["\(count) rows of the generations \(generations)"]
    }
    maintenance?.catchUp()
    maintenance?.stop()
    #expect(outcome.faults.isEmpty)
    #expect(outcome.reads > 100)
    index.consolidate()
    index.checkInvariants()
  }

  /// What is promised of transactions that write no vector: each row is seen whole, and a search that starts after one is through sees
  /// all of it. Whoever is at work meanwhile may see some rows before it and some after it, and so misses none that is there throughout.
  /// Stamps are all of one transaction.
  @Test(arguments: testSeeds) func attributesAloneAreSeenByWhoeverStartsLater(seed: UInt64) throws {
    print("attributes in transactions, seed \(seed)")
    var random = SeededRandom(seed: seed)
    let index = try index(.f32, seed: seed)
    _ = try addSteadyRows(index, &random)
    let begun = Atomic<Int64>(0)
    let through = Atomic<Int64>(0)
    let write = { @Sendable (generation: Int64) throws in
      begun.store(generation, ordering: .sequentiallyConsistent)
      // Every fifth with other vectors for half of the rows: the two kinds come together.
      var random = SeededRandom(seed: seed &+ UInt64(generation))
      try index.apply(
        (0..<Int64(Self.moving)).map { id in
          RowChange(
            .int64(id),
            .write(
              vector: generation % 5 == 0 && id % 2 == 0 ? random.vector(dimension: Self.dimension) : nil,
              attributes: values(generation, marked: false), payload: ["\(generation)"],
              stamp: RowStamp(vector: 1, row: UInt64(generation))))
        })
      through.store(generation, ordering: .sequentiallyConsistent)
    }
    try write(1)
    let outcome = run(index, generations: 1_500, write: write) { _, random in
      var faults: [String] = []
      func count(_ filter: Filter) throws -> Int {
        let program = try index.compile(filter)
        var scratch = FilterScratch()
        let pin = index.store.pins.take(for: .search)
        defer { index.store.pins.giveBack(pin) }
        let version = index.store.pins.enter(pin)
        return index.matching(program, version: version, candidateCost: random.pick([0, .max]), into: &scratch).count
      }
      let least = through.load(ordering: .sequentiallyConsistent)
      let seen = [
        try count(.comparison("b", .greaterOrEqual, .int64(least))),
        try count(.isIn("a", (least..<(least + 300)).map { .int64($0) })),
        try count(.and([.comparison("moving", .equal, .bool(true)), .not(.comparison("a", .less, .int64(least)))])),
      ]
      let most = begun.load(ordering: .sequentiallyConsistent)
      if most < least + 300, seen != [Self.moving, Self.moving, Self.moving] {
        faults.append("\(seen) rows from generation \(least) on, \(most) begun")
      }
      let halves = try count(
        .and([.comparison("a", .lessOrEqual, .int64(least)), .comparison("b", .greater, .int64(least))]))
      if halves != 0 { faults.append("\(halves) rows that are half of one generation") }
      var stamps: Set<UInt64> = []
      index.forEachStamp { id, stamp in
        if case .int64(let n) = id, n < Self.moving { stamps.insert(stamp.row) }
      }
      if stamps.count != 1 { faults.append("stamps of \(stamps.count) generations") }
      return faults
    }
    #expect(outcome.faults.isEmpty)
    #expect(outcome.reads > 50)
    #expect(index.count == Self.steady)
  }

  /// 50,000 rows in transactions of 1,000 while another thread links and searches go on: each row can be found as soon as its
  /// transaction is through, and those that were there are found throughout.
  @Test func aBurstIsSearchableAtOnce() throws {
    var random = SeededRandom(seed: testSeeds[0])
    let dimension = 16
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: dimension, metric: .l2, storage: .int8, connectivity: 12, constructionEffort: 60))
    let steady = (0..<2_000).map { _ in random.clusteredVector(dimension: dimension, clusters: 100) }
    try index.apply(steady.enumerated().map { RowChange(.int64(Int64(-1 - $0)), .write(vector: $1)) })
    let maintenance = Maintenance(of: index, threads: 2)
    let rows = (0..<50_000).map { _ in random.clusteredVector(dimension: dimension, clusters: 100) }
    let tailMost = Atomic<Int>(0)
    let write = { @Sendable (transaction: Int64) throws in
      let first = Int(transaction - 1) * 1_000
      try index.apply((first..<(first + 1_000)).map { RowChange(.int64(Int64($0)), .write(vector: rows[$0])) })
      tailMost.max(index.tailCount, ordering: .relaxed)
      guard index.count == steady.count + first + 1_000 else { throw IndexError(.cancelled, "\(index.count) rows") }
      for n in [first, first + 999, first / 2] {
        for exact in [false, true] {
          let hits = try index.search(rows[n], SearchOptions(k: 10, effort: 200, exact: exact))
          guard hits.contains(where: { $0.id == .int64(Int64(n)) }), Set(hits.map(\.id)).count == 10 else {
            throw IndexError(.unknownRecord, "row \(n) of transaction \(transaction), exact: \(exact)")
          }
        }
      }
    }
    let outcome = run(index, generations: 50, write: write) { scratch, random in
      let n = Int.random(in: 0..<steady.count, using: &random)
      let ids = try steady[n].withUnsafeBufferPointer { query throws(IndexError) in
        try index.search(query, SearchOptions(k: 20, effort: 200), scratch: &scratch) { hits in
          (0..<hits.count).map { hits.id(at: $0) }
        }
      }
      if !ids.contains(.int64(Int64(-1 - n))) { return ["row \(-1 - n), which stays, was missed"] }
      return Set(ids).count == 20 ? [] : ["\(Set(ids).count) rows instead of 20"]
    }
    print("the tail had up to \(tailMost.load(ordering: .relaxed)) rows; \(outcome.reads) searches beside")
    #expect(outcome.faults.isEmpty)
    maintenance.catchUp()
    maintenance.stop()
    #expect(index.tailCount == 0 && index.count == 52_000)
    index.consolidate()
    index.checkInvariants()
    let queries = (0..<200).flatMap { _ in random.clusteredVector(dimension: dimension, clusters: 100) }
    let recall = try index.recall(queries: queries, k: 10, effort: 64)
    print("recall@10 of 52,000 rows, ef 64: \(recall)")
    #expect(recall >= 0.97)
  }
}
