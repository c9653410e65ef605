// A search thread that has warmed up asks nobody for memory: no lock of an allocator between it and the next answer.

import CAllocationCounter
import TestSupport
import Testing

@testable import VectorIndex

@Suite(.enabled(if: allocation_counting() == 1, "a sanitizer has an allocator of its own"))
struct AllocationTests {
  private static let dimension = 100
  private static let rows = 4_000

  private static func options() -> [SearchOptions] {
    var options = [1, 16, 100, 700].map { SearchOptions(k: 10, effort: $0) }
    options += [Float(0.8), 0.95, 0.99].map { SearchOptions(k: 10, recallTarget: $0) }
    options += [SearchOptions(k: 1), SearchOptions(k: 200, effort: 50), SearchOptions(k: 10, exact: true)]
    return options
  }

  /// Rows that are linked, and among them some that were replaced or removed, and fresh ones that are not linked yet: so that
  /// searches take every path.
  private func index(_ storage: VectorStorage, _ metric: Metric) throws -> HNSWIndex {
    var random = SeededRandom(seed: 6)
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: Self.dimension, metric: metric, recordIDKind: .uuid, storage: storage, connectivity: 8,
        constructionEffort: 30))
    try stage(0..<Self.rows, in: index, &random)
    try index.linkStaged(threads: 2)
    try index.calibrate(threads: 2)
    for n in 0..<100 {
      try index.upsert(
        recordID(.uuid, 10 * n), random.clusteredVector(dimension: Self.dimension, clusters: 20))
      index.remove(recordID(.uuid, 10 * n + 1))
    }
    try stage(Self.rows..<(Self.rows + 300), in: index, &random)
    try index.publishStaged()
    #expect(index.tailCount == 300 && index.statistics().retiredRows > 0)
    return index
  }

  private func stage(_ range: Range<Int>, in index: HNSWIndex, _ random: inout SeededRandom) throws {
    let ids = range.map { recordID(.uuid, $0) }
    let vectors = range.flatMap { _ in random.clusteredVector(dimension: Self.dimension, clusters: 20) }
    _ = try vectors.withUnsafeBufferPointer { try index.stage(ids, $0) }
  }

  @Test(arguments: VectorStorage.allCases, Metric.allCases)
  func aWarmedSearchAllocatesNothing(storage: VectorStorage, metric: Metric) throws {
    let index = try index(storage, metric)
    var random = SeededRandom(seed: 7)
    let queries = (0..<60).map { _ in random.clusteredVector(dimension: Self.dimension, clusters: 20) }
    var scratch = SearchScratch(for: index)
    // Its memory grows with the most that it ever had to hold, and then no more.
    try searchAll(index, queries, &scratch) { _, _ in }
    var searches = 0
    try searchAll(index, queries, &scratch) { count, options in
      #expect(count == 0, "\(options)")
      searches += 1
    }
    #expect(searches > 1_000)
  }

  private func searchAll(
    _ index: HNSWIndex, _ queries: [[Float]], _ scratch: inout SearchScratch, _ body: (UInt64, SearchOptions) -> Void
  ) throws {
    for options in Self.options() {
      for query in queries { body(try allocations(index, query, options, &scratch), options) }
      for n in stride(from: 2, to: Self.rows + 300, by: 97) {
        body(try allocations(index, near: recordID(.uuid, n), options, &scratch), options)
      }
    }
  }

  /// Filters that few rows meet, many, and all but a few, by every plan, and one that asks postings.
  @Test(arguments: [VectorStorage.f32, .int8, .int4x8, .int4x16])
  func aWarmedFilteredSearchAllocatesNothing(storage: VectorStorage) throws {
    var random = SeededRandom(seed: 8)
    let schema = try AttributeSchema([AttributeColumn("n", .int64), AttributeColumn("word", .keyword)])
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: Self.dimension, metric: .cosine, storage: storage, connectivity: 8, constructionEffort: 30,
        attributes: schema))
    let vectors = (0..<Self.rows).flatMap { _ in random.clusteredVector(dimension: Self.dimension, clusters: 20) }
    let values = (0..<Self.rows).map { [AttributeValue.int64(Int64($0)), .keyword("w\($0 % 100)")] }
    _ = try vectors.withUnsafeBufferPointer {
      try index.stage((0..<Self.rows).map { .int64(Int64($0)) }, $0, attributes: values)
    }
    try index.linkStaged(threads: 2)
    let queries = (0..<20).map { _ in random.clusteredVector(dimension: Self.dimension, clusters: 20) }
    var scratch = SearchScratch(for: index)
    var plans: Set<FilterReceipt.Plan> = []
    for text in ["n < 0", "n < 30", "n >= 1000", "word = 'w7'", "word <> 'w7' and n < 3900"] {
      let program = try index.compile(Filter(parsing: text, schema: schema))
      for isWarm in [false, true] {
        for plan: FilterReceipt.Plan? in [nil, .walk, .walkThenScan, .codeScan, .exactScan] {
          for i in queries.indices {
            var options = SearchOptions(k: 10)
            options.filterPlan = plan
            let (count, used) = try allocations(index, queries[i], near: i, options, program, &scratch)
            if isWarm { #expect(count == 0, "\(text), \(plan.map { "\($0)" } ?? "chosen")") }
            plans.formUnion(used)
          }
        }
      }
    }
    #expect(plans.count >= 4)
  }

  /// A retrieval with no options is a search; one with a bound, a page or variety keeps what it took.
  @Test func aWarmedRetrievalAllocatesNothing() throws {
    let index = try index(.int4x16, .cosine)
    var random = SeededRandom(seed: 9)
    let queries = (0..<20).map { _ in random.clusteredVector(dimension: Self.dimension, clusters: 20) }
    let search = SearchOptions(k: 10)
    let options = [
      RetrievalOptions(search: search), RetrievalOptions(search: search, distanceMax: 0.8),
      RetrievalOptions(search: search, offset: 30),
      RetrievalOptions(search: search, diversity: Diversity(lambda: 0.5)),
    ]
    var scratch = SearchScratch(for: index)
    for isWarm in [false, true] {
      for options in options {
        for query in queries {
          let count = try query.withUnsafeBufferPointer { query in
            let before = allocation_count()
            try index.retrieve(query, options, scratch: &scratch) { Self.read($0) }
            if options.isPlain {
              _ = try index.retrieve(near: recordID(.uuid, 2), options, scratch: &scratch) { Self.read($0) }
            }
            return allocation_count() - before
          }
          if isWarm { #expect(count == 0, "\(options)") }
        }
      }
    }
  }

  private static func read(_ hits: RetrievalHits) {
    for i in 0..<hits.count {
      precondition(hits.group(at: i) == i && hits.distance(at: i).isFinite && hits.id(at: i).kind == .uuid)
    }
  }

  /// What this thread allocates in a search with a filter, and in one near a row.
  private func allocations(
    _ index: HNSWIndex, _ query: [Float], near row: Int, _ options: SearchOptions, _ program: FilterProgram,
    _ scratch: inout SearchScratch
  ) throws -> (UInt64, [FilterReceipt.Plan]) {
    try query.withUnsafeBufferPointer { query in
      let before = allocation_count()
      let found = try index.search(query, options, matching: program, scratch: &scratch) { $0.filter?.plan }
      let near = try index.search(near: .int64(Int64(row)), options, matching: program, scratch: &scratch) {
        $0.filter?.plan
      }
      let after = allocation_count()
      return (after - before, [found, near ?? nil].compactMap { $0 })
    }
  }

  /// What this thread allocates in one search, the ids and distances of its results read.
  private func allocations(
    _ index: HNSWIndex, _ query: [Float], _ options: SearchOptions, _ scratch: inout SearchScratch
  ) throws -> UInt64 {
    try query.withUnsafeBufferPointer { query in
      let before = allocation_count()
      let found = try index.search(query, options, scratch: &scratch) { Self.read($0) }
      let after = allocation_count()
      #expect(found == options.k)
      return after - before
    }
  }

  private func allocations(
    _ index: HNSWIndex, near id: RecordID, _ options: SearchOptions, _ scratch: inout SearchScratch
  ) throws -> UInt64 {
    let before = allocation_count()
    let found = try index.search(near: id, options, scratch: &scratch) { Self.read($0) }
    let after = allocation_count()
    if let found { #expect(found == options.k) }
    return after - before
  }

  private static func read(_ hits: SearchHits) -> Int {
    var valid = 0
    for i in 0..<hits.count where hits.distance(at: i).isFinite && hits.id(at: i).kind == .uuid { valid += 1 }
    return valid
  }

  /// The counter counts: what Swift allocates, and on this thread alone.
  @Test func theCounterCounts() {
    let before = allocation_count()
    let array = [Int](repeating: Int(before), count: 1_000)
    let aligned = VectorStore.zeros(128)
    let after = allocation_count()
    #expect(after - before == 2 && array[999] == Int(before) && aligned[127] == 0)
    aligned.deallocate()
    let others = Shared(0)
    let start = allocation_count()
    others.withLock { $0 += 1 }
    #expect(allocation_count() == start)
  }
}
