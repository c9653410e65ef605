// Bounds, pages and groups against the twin, on rows that come, change and go.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct RetrievalTests {
  private static let dimension = 24

  /// An index and what is in it.
  private struct Fixture {
    let index: HNSWIndex
    let schema: AttributeSchema
    var rows: [Int: [AttributeValue]] = [:]

    init(_ storage: VectorStorage, _ metric: Metric, _ random: inout SeededRandom) throws {
      schema = random.schema()
      index = try HNSWIndex(
        configuration: HNSWConfiguration(
          dimension: RetrievalTests.dimension, metric: metric, storage: storage, connectivity: 4,
          constructionEffort: 40, attributes: schema))
    }

    /// Rows come, some twice, and others change and go.
    mutating func change(_ count: Int, _ random: inout SeededRandom, links: Bool) throws {
      let first = (rows.keys.max() ?? -1) + 1
      var vectors: [Float] = []
      for _ in 0..<count {
        // Some rows are equal, so that distances are.
        let isCopy = vectors.count >= RetrievalTests.dimension && random.chance(10)
        vectors +=
          isCopy
          ? vectors.suffix(RetrievalTests.dimension)
          : random.clusteredVector(dimension: RetrievalTests.dimension, clusters: 30)[...]
      }
      let values = (0..<count).map { _ in random.row(schema) }
      _ = try vectors.withUnsafeBufferPointer {
        try index.stage((first..<(first + count)).map { .int64(Int64($0)) }, $0, attributes: values)
      }
      if links { try index.linkStaged(threads: 2) } else { try index.publishStaged() }
      for i in 0..<count { rows[first + i] = values[i] }
      for _ in 0..<(count / 4) {
        let id = Int.random(in: 0..<(first + count), using: &random)
        let values = random.row(schema)
        switch Int.random(in: 0..<3, using: &random) {
        case 0:
          try index.upsert(
            .int64(Int64(id)), random.clusteredVector(dimension: RetrievalTests.dimension, clusters: 30),
            attributes: values)
          rows[id] = values
        case 1: if try index.updateAttributes(of: .int64(Int64(id)), values) { rows[id] = values }
        default:
          index.remove(.int64(Int64(id)))
          rows[id] = nil
        }
      }
    }

    /// Options that may be anything that is valid.
    func options(_ exact: [SearchHit], _ random: inout SeededRandom) -> RetrievalOptions {
      let k = random.pick([1, 3, 10, 60, 3_000])
      // With so much effort all rows are scored in each search, so that what comes of many of them is known.
      var options = RetrievalOptions(
        search: SearchOptions(k: k, effort: random.pick([0, 10_000, 10_000]), exact: random.chance(20)))
      if random.chance(40) { options.offset = random.pick([1, 5, 100, 2_500]) }
      if random.chance(40), let last = exact.last {
        // Often a distance that some row has.
        options.distanceMax = random.chance(80) ? random.pick(exact).distance : last.distance + 1
        if random.chance(10) { options.distanceMax = exact[0].distance - 1 }
      }
      let columns = schema.columns.filter { !$0.type.isArray }
      if random.chance(60), !columns.isEmpty {
        options.grouping = Grouping(attribute: random.pick(columns).name, perGroup: random.pick([1, 2, 3, 100]))
        options.search.k = random.pick([1, 2, 3, 8, 40])
        options.offset = options.offset > 0 ? random.pick([1, 4]) : 0
      }
      return options
    }
  }

  /// Each search against the twin, with filters and without, by vector and near a row.
  @Test(arguments: testSeeds) func randomOptionsOnRowsThatChange(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var tally = RetrievalTally()
    var grouped = RetrievalTally()
    var shortfalls: Set<Shortfall?> = []
    for (storage, metric) in [(VectorStorage.f32, Metric.l2), (.int4x16, .cosine), (.int8, .innerProduct)] {
      var fixture = try Fixture(storage, metric, &random)
      var scratch = SearchScratch(for: fixture.index)
      let twinOfFilters = FilterInterpreter(schema: fixture.schema)
      for round in 0..<4 {
        try fixture.change(450, &random, links: round != 1)
        #expect(fixture.index.count == fixture.rows.count)
        for _ in 0..<60 {
          let filter = random.chance(50) ? random.filter(fixture.schema) : nil
          let program = try filter.map { try fixture.index.compile($0) }
          let near = random.chance(30) ? fixture.rows.keys.sorted()[Int.random(in: 0..<100, using: &random)] : nil
          let vector = random.clusteredVector(dimension: Self.dimension, clusters: 30)
          let query = near.flatMap { fixture.index.vector(of: .int64(Int64($0))) } ?? vector
          let exact =
            try near.map { id in
              try fixture.index.search(
                near: .int64(Int64(id)), SearchOptions(k: 10_000, exact: true, includesSelf: true),
                scratch: &scratch
              ) { $0.copied() } ?? []
            } ?? ExactIndex(over: fixture.index).search(query, k: 10_000)[0]
          #expect(exact.count == fixture.rows.count)
          let options = fixture.options(exact, &random)
          let rows = fixture.rows
          let column = options.grouping.flatMap { fixture.schema.index(of: $0.attribute) }
          let twin = RetrievalTwin(
            exact: exact,
            mayAnswer: { id in
              id != near && (filter.map { twinOfFilters.evaluate($0, rows[id] ?? []) == true } ?? true)
            },
            value: { id in column.flatMap { rows[id]?[$0] } ?? .null })
          let found =
            try near.map { id in
              try fixture.index.retrieve(
                near: .int64(Int64(id)), options, matching: program, scratch: &scratch
              ) { Retrieved($0) } ?? Retrieved()
            } ?? fixture.index.retrieved(query, options, matching: program, &scratch)
          let comment: Comment = "seed \(seed), \(storage.name), \(options), \(filter.map { "\($0)" } ?? "all")"
          if let filter {
            #expect(
              found.filter?.matchingRows
                == rows.count { twinOfFilters.evaluate(filter, $0.value) == true }, comment)
          }
          shortfalls.insert(found.shortfall)
          if options.grouping == nil {
            tally.judge(found, twin, options, comment)
          } else {
            grouped.judge(found, twin, options, comment)
          }
        }
      }
    }
    print("seed \(seed): \(tally) \(tally.recall), groups \(grouped) \(grouped.recall)")
    #expect(shortfalls.count == 4 && tally.answers > 150 && grouped.answers > 150, "seed \(seed)")
    #expect(tally.exactAnswers > tally.answers / 2 && grouped.exactAnswers > grouped.answers / 2, "seed \(seed)")
    #expect(tally.recall > 0.95 && grouped.recall > 0.95, "seed \(seed)")
  }
}
