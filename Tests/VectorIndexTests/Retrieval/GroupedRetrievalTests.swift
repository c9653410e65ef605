// Groups where they are hard: near rows that are nearly all of one group, groups of few rows, rows without a value, all types.

import Synchronization
import TestSupport
import Testing

@testable import VectorIndex

@Suite struct GroupedRetrievalTests {
  /// Real rows in documents of three, and in a column where the half that is nearest to the first question is one group.
  private static func index(_ storage: VectorStorage) throws -> (HNSWIndex, [[AttributeValue]]) {
    let sample = Sample.debian
    let schema = try AttributeSchema([
      AttributeColumn("document", .int64), AttributeColumn("crowd", .keyword),
      AttributeColumn("score", .float64),
    ])
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: sample.dimension, metric: .cosine, storage: storage, attributes: schema))
    let question = sample.queryVector(0)
    let products = (0..<sample.baseCount).map { i -> Float in
      zip(sample.baseVector(i), question).reduce(Float(0)) { (sum: Float, pair) in sum + pair.0 * pair.1 }
    }
    let near = Set(products.indices.sorted { products[$0] > products[$1] }.prefix(sample.baseCount / 2))
    let attributes = (0..<sample.baseCount).map { i -> [AttributeValue] in
      let document: AttributeValue = i % 10 == 9 ? .null : .int64(Int64(i / 3))
      let crowd = near.contains(i) ? "crowd" : "one of \(i % 40)"
      return [document, .keyword(crowd), .float64(Double(i % 7) / 2)]
    }
    _ = try sample.base.withUnsafeBufferPointer {
      try index.stage((0..<sample.baseCount).map { .int64(Int64($0)) }, $0, attributes: attributes)
    }
    try index.linkStaged(threads: 2)
    return (index, attributes)
  }

  /// As many groups as there are, whatever lies near, for no more distances than are promised; at the recall of a search.
  @Test(arguments: [VectorStorage.f32, .int4x16]) func groupsOfRealRows(storage: VectorStorage) throws {
    let (index, attributes) = try Self.index(storage)
    let sample = Sample.debian
    var scratch = SearchScratch(for: index)
    let questions = (0..<30).map { sample.queryVector($0) }
    let exact = try ExactIndex(over: index).search(questions.flatMap { $0 }, k: sample.baseCount, threads: 2)
    let twinOfFilters = FilterInterpreter(schema: index.configuration.attributes)
    for (column, name) in ["document", "crowd", "score"].enumerated() {
      for filter in [nil, Filter.comparison("score", .less, .float64(2.5))] {
        var tally = RetrievalTally()
        var distances = 0
        let matches = attributes.map { row in filter.map { twinOfFilters.evaluate($0, row) == true } ?? true }
        let program = try filter.map { try index.compile($0) }
        for (k, perGroup, offset) in [(10, 1, 0), (5, 3, 0), (7, 2, 3), (60, 1, 0)] {
          for i in questions.indices {
            let options = RetrievalOptions(
              search: SearchOptions(k: k), offset: offset, grouping: Grouping(attribute: name, perGroup: perGroup))
            let twin = RetrievalTwin(exact: exact[i], mayAnswer: { matches[$0] }, value: { attributes[$0][column] })
            let found = try index.retrieved(questions[i], options, matching: program, &scratch)
            tally.judge(found, twin, options, "\(name), \(k) × \(perGroup) after \(offset), question \(i)")
            // Walks of 4/3 at most, each perhaps given up for a scan, and the scan of all.
            #expect(found.distancesComputed <= 4 * sample.baseCount)
            distances += found.distancesComputed
          }
        }
        print("\(storage.name), \(name): recall \(tally.recall), \(distances / tally.answers) distances each")
        #expect(tally.recall > 0.94, "\(name)")
        #expect(tally.exactAnswers < tally.answers || name != "document")
      }
    }
  }

  /// Thousands of rows of one group are nearer than all others.
  @Test func oneGroupNearerThanAll() throws {
    let schema = try AttributeSchema([AttributeColumn("group", .int64)])
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: 8, metric: .l2, storage: .f32, connectivity: 4, constructionEffort: 30, attributes: schema))
    var random = SeededRandom(seed: 4)
    let count = 6_000
    var vectors: [Float] = []
    var attributes: [[AttributeValue]] = []
    for i in 0..<count {
      // The last five are far away: one of group 0, two of group 1, two of group 2.
      let place: Float = i < count - 5 ? 0 : 50
      for _ in 0..<8 { vectors.append(place + Float.random(in: 0...1, using: &random)) }
      attributes.append([.int64(Int64(max(0, i - (count - 6)) / 2))])
    }
    _ = try vectors.withUnsafeBufferPointer {
      try index.stage((0..<count).map { .int64(Int64($0)) }, $0, attributes: attributes)
    }
    try index.linkStaged(threads: 2)
    var scratch = SearchScratch(for: index)
    var options = RetrievalOptions(
      search: SearchOptions(k: 3), grouping: Grouping(attribute: "group", perGroup: 2))
    let query = [Float](repeating: 0.5, count: 8)
    let found = try index.retrieved(query, options, &scratch)
    #expect(found.groups == [0, 0, 1, 1, 2, 2] && found.isExact && found.shortfall == nil)
    #expect(Set(found.ids.suffix(4)).isSubset(of: Set(count - 5..<count)))
    options.search.k = 5
    let all = try index.retrieved(query, options, &scratch)
    #expect(all.hits == found.hits && all.shortfall == .groups)
    options.distanceMax = 10
    let near = try index.retrieved(query, options, &scratch)
    #expect(near.hits == Array(found.hits.prefix(2)) && near.shortfall == .threshold)
  }

  /// Rows that no search for a few finds come with their group, without a scan of all rows.
  @Test(arguments: [true, false]) func farRowsOfANearGroup(isIndexed: Bool) throws {
    let schema = try AttributeSchema([AttributeColumn("group", .int64, isIndexed: isIndexed)])
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: 8, metric: .l2, storage: .f32, connectivity: 8, constructionEffort: 60, attributes: schema))
    var random = SeededRandom(seed: 5)
    let count = 4_000
    var vectors: [[Float]] = []
    for i in 0..<count {
      // The last twenty are far from all others, two of each of the first ten groups.
      let place: Float = i < count - 20 ? 0 : 50 + Float(i)
      vectors.append(random.vector(dimension: 8).map { place + $0 })
    }
    let groups = (0..<count).map { $0 < count - 20 ? $0 : $0 % 10 }
    _ = try vectors.flatMap { $0 }.withUnsafeBufferPointer {
      try index.stage(
        (0..<count).map { .int64(Int64($0)) }, $0, attributes: groups.map { [.int64(Int64($0))] })
    }
    try index.linkStaged(threads: 2)
    var scratch = SearchScratch(for: index)
    var options = RetrievalOptions(
      search: SearchOptions(k: 1), grouping: Grouping(attribute: "group", perGroup: 3))
    for row in 0..<10 {
      let found = try index.retrieved(vectors[row], options, &scratch)
      #expect(found.ids == [row, count - 20 + row, count - 10 + row] && found.shortfall == nil)
      #expect(found.distancesComputed < count && !found.isExact)
    }
    options.grouping?.perGroup = 2
    options.distanceMax = 60
    #expect(try index.retrieved(vectors[3], options, &scratch).ids == [3])
    options.distanceMax = nil
    options.search.k = 2
    options.offset = 1
    let second = try index.retrieved(vectors[3], options, &scratch)
    #expect(second.groups == [0, 1] && !second.ids.contains(3))
  }

  /// Values of every type make groups; Postgres's equality holds where bits differ.
  @Test func everyTypeOfOneValue() throws {
    let columns = AttributeType.allCases.map { AttributeColumn($0.name, $0) }
    let schema = try AttributeSchema(columns)
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(dimension: 2, metric: .l2, storage: .f32, attributes: schema))
    let a: [AttributeValue] = [
      .bool(true), .int64(-1), .float64(-0.0), .timestamp(.min), .uuid(high: 1, low: 2), .keyword("é"),
      .array([]), .array([]), .array([]),
    ]
    var b = a
    b[2] = .float64(0)
    let c: [AttributeValue] = [
      .bool(false), .int64(.max), .float64(.nan), .timestamp(.max), .uuid(high: 2, low: 1), .keyword("e\u{301}"),
      .null, .null, .null,
    ]
    let none = [AttributeValue](repeating: .null, count: columns.count)
    for (i, values) in [none, a, b, c, none, a, c].enumerated() {
      try index.insert(.int64(Int64(i)), [Float(i), 0], attributes: values)
    }
    var scratch = SearchScratch(for: index)
    for column in columns {
      let options = RetrievalOptions(
        search: SearchOptions(k: 9), grouping: Grouping(attribute: column.name, perGroup: 5))
      if column.type.isArray {
        let error = #expect(throws: IndexError.self) { try index.retrieved([0, 0], options, &scratch) }
        #expect(error?.code == .invalidRetrieval && error?.message.contains(column.name) == true)
        continue
      }
      let found = try index.retrieved([0, 0], options, &scratch)
      #expect(found.ids == [0, 1, 2, 5, 3, 6, 4] && found.groups == [0, 1, 1, 1, 2, 2, 3], "\(column.name)")
      #expect(found.shortfall == .groups)
    }
  }

  /// Groups are filled where there is no room for another condition, too.
  @Test func aFilterThatIsAsLargeAsFiltersMayBe() throws {
    let (index, attributes) = try Self.index(.f32)
    var filter = Filter.comparison("score", .less, .float64(2.5))
    for _ in 1..<Filter.depthMax { filter = .and([filter]) }
    #expect(throws: IndexError.self) { try index.compile(.and([filter])) }
    let program = try index.compile(filter)
    let question = Sample.debian.queryVector(3)
    let exact = try ExactIndex(over: index).search(question, k: 10_000)[0]
    let twinOfFilters = FilterInterpreter(schema: index.configuration.attributes)
    let twin = RetrievalTwin(
      exact: exact, mayAnswer: { twinOfFilters.evaluate(filter, attributes[$0]) == true },
      value: { attributes[$0][0] })
    let options = RetrievalOptions(
      search: SearchOptions(k: 5), grouping: Grouping(attribute: "document", perGroup: 3))
    var scratch = SearchScratch(for: index)
    var tally = RetrievalTally()
    let found = try index.retrieved(question, options, matching: program, &scratch)
    tally.judge(found, twin, options, "deep")
    #expect(found.isExact && found.hits.count > 5)
  }

  /// One thread moves rows from group to group, replaces and removes them while another groups: no row is in an answer twice, and
  /// groups that nobody touches are whole.
  @Test func besideAWriter() throws {
    let dimension = 16
    let schema = try AttributeSchema([AttributeColumn("group", .int64)])
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: dimension, metric: .l2, storage: .f32, connectivity: 4, constructionEffort: 40,
        attributes: schema))
    var random = SeededRandom(seed: 9)
    // Groups below 20 stay as they are, fifty rows each.
    for n in 0..<2_000 {
      try index.insert(
        .int64(Int64(n)), random.clusteredVector(dimension: dimension, clusters: 30),
        attributes: [.int64(Int64(n % 40))])
    }
    let isDone = Atomic(false)
    let retrievals = Atomic(0)
    WorkerThreads.run(count: 2) { thread in
      var random = SeededRandom(seed: UInt64(thread))
      if thread == 0 {
        for i in 0..<6_000 {
          let n = 40 * Int64.random(in: 0..<50, using: &random) + Int64.random(in: 20..<40, using: &random)
          switch i % 3 {
          case 0: _ = try? index.updateAttributes(of: .int64(n), [.int64(20 + Int64(i % 20))])
          case 1:
            try? index.upsert(
              .int64(n), random.clusteredVector(dimension: dimension, clusters: 30),
              attributes: [.int64(20 + Int64(i % 20))])
          default: index.remove(.int64(n))
          }
        }
        isDone.store(true, ordering: .releasing)
        return
      }
      var scratch = SearchScratch(for: index)
      while !isDone.load(ordering: .acquiring) || retrievals.load(ordering: .relaxed) < 30 {
        let query = random.clusteredVector(dimension: dimension, clusters: 30)
        for (k, perGroup) in [(3, 2), (5, 60), (100, 100)] {
          let options = RetrievalOptions(
            search: SearchOptions(k: k), grouping: Grouping(attribute: "group", perGroup: perGroup))
          let found = try? index.retrieved(query, options, &scratch)
          #expect(found.map { Set($0.ids).count == $0.ids.count } == true)
          guard let found, k == 100 else { continue }
          let rows = Dictionary(grouping: found.ids.indices, by: { found.groups[$0] }).values
            .map { Set($0.map { found.ids[$0] }) }
          for group in 0..<20 {
            #expect(rows.contains(Set((0..<50).map { 40 * $0 + group })), "group \(group)")
          }
        }
        retrievals.add(1, ordering: .relaxed)
      }
    }
    #expect(retrievals.load(ordering: .relaxed) >= 30)
  }
}
