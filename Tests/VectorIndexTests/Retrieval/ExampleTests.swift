// Variety, rows like some and unlike others, and what is refused.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct ExampleTests {
  private static let dimension = 24

  private func index(
    _ storage: VectorStorage, _ metric: Metric, rows: Int, _ random: inout SeededRandom
  ) throws -> HNSWIndex {
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: Self.dimension, metric: metric, storage: storage, connectivity: 8, constructionEffort: 40,
        attributes: AttributeSchema([AttributeColumn("n", .int64)])))
    let vectors = (0..<rows).flatMap { _ in random.clusteredVector(dimension: Self.dimension, clusters: 30) }
    _ = try vectors.withUnsafeBufferPointer {
      try index.stage(
        (0..<rows).map { .int64(Int64($0)) }, $0, attributes: (0..<rows).map { [.int64(Int64($0))] })
    }
    try index.linkStaged(threads: 2)
    return index
  }

  /// pgvector's distance, plainly.
  private func distance(_ metric: Metric, _ a: [Double], _ b: [Double]) -> Double {
    let product = zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
    func length(_ a: [Double]) -> Double { a.reduce(0) { $0 + $1 * $1 }.squareRoot() }
    return switch metric {
    case .cosine: 1 - product / (length(a) * length(b))
    case .innerProduct: -product
    case .l2: zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
    }
  }

  // MARK: Variety

  /// Each choice is the best that there is, given those before: by distances in double precision.
  @Test(arguments: testSeeds) func eachChoiceIsTheMostRelevant(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    for (storage, metric) in [
      (VectorStorage.f32, Metric.l2), (.f16, .cosine), (.int8, .cosine), (.int4x16, .innerProduct), (.int8, .l2),
    ] {
      let index = try index(storage, metric, rows: 800, &random)
      var scratch = SearchScratch(for: index)
      let vectors = (0..<800).map { index.vector(of: .int64(Int64($0)))?.map(Double.init) ?? [] }
      for lambda in [Float(0), 0.3, 0.7, 0.95, 1] {
        let query = random.clusteredVector(dimension: Self.dimension, clusters: 30)
        let exact = try index.search(query, SearchOptions(k: 800))
        let k = random.pick([1, 5, 30])
        let offset = random.pick([0, 0, 4])
        let candidates = random.pick([0, k + offset, 120, 2_000])
        let options = RetrievalOptions(
          search: SearchOptions(k: k), diversity: Diversity(lambda: lambda, candidates: candidates))
        let comment: Comment = "seed \(seed), \(storage.name), \(metric), λ \(lambda), \(k) of \(candidates)"
        var all = options
        all.search.k = k + offset
        all.diversity?.candidates = candidates
        let found = try index.retrieved(query, all, &scratch)
        #expect(found.ids.count == k + offset && Set(found.ids).count == k + offset, comment)
        #expect(found.hits.first == exact.first && found.shortfall == nil && found.isExact, comment)
        let pool = exact.prefix(candidates > 0 ? candidates : max(4 * (k + offset), 50)).map { number($0.id) }
        #expect(Set(found.ids).isSubset(of: pool), comment)
        if lambda == 1 { #expect(found.hits == Array(exact.prefix(k + offset)), comment) }
        let asked = query.map(Double.init)
        var left = Set(pool)
        for (i, id) in found.ids.enumerated() {
          func score(_ row: Int) -> Double {
            let apart = found.ids.prefix(i).map { distance(metric, vectors[row], vectors[$0]) }.min() ?? 0
            return Double(1 - lambda) * apart - Double(lambda) * distance(metric, asked, vectors[row])
          }
          let best = left.map(score).max() ?? 0
          #expect(score(id) >= best - 2e-3, comment)
          left.remove(id)
        }
        if candidates > 0 {
          var page = options
          page.offset = offset
          let later = try index.retrieved(query, page, &scratch)
          #expect(later.hits == Array(found.hits.dropFirst(offset)), comment)
        }
      }
    }
  }

  @Test func varietyOfFewAndOfNear() throws {
    var random = SeededRandom(seed: 3)
    let index = try index(.f32, .l2, rows: 60, &random)
    var scratch = SearchScratch(for: index)
    let query = random.clusteredVector(dimension: Self.dimension, clusters: 30)
    let exact = try index.search(query, SearchOptions(k: 60))
    var options = RetrievalOptions(search: SearchOptions(k: 100), diversity: Diversity(lambda: 0.5))
    let all = try index.retrieved(query, options, &scratch)
    #expect(Set(all.ids) == Set(0..<60) && all.shortfall == .fewMatch)
    options.distanceMax = exact[7].distance
    let near = try index.retrieved(query, options, &scratch)
    #expect(Set(near.ids) == Set(exact.prefix(8).map { number($0.id) }) && near.shortfall == .threshold)
    options.offset = 8
    #expect(try index.retrieved(query, options, &scratch).hits.isEmpty)
    let program = try index.compile(.comparison("n", .less, .int64(20)))
    options = RetrievalOptions(search: SearchOptions(k: 10), diversity: Diversity(lambda: 0.2))
    let filtered = try index.retrieved(query, options, matching: program, &scratch)
    #expect(filtered.ids.count == 10 && filtered.ids.allSatisfy { $0 < 20 } && filtered.filter?.matchingRows == 20)
  }

  // MARK: Examples

  /// The query is the mean of the vectors that come back for the ids, and the rows named are not in the answer.
  @Test(arguments: testSeeds) func likeSomeAndUnlikeOthers(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    for (storage, metric) in [
      (VectorStorage.f32, Metric.l2), (.f32, .cosine), (.int8, .cosine), (.int8, .innerProduct), (.int4x16, .l2),
    ] {
      let index = try index(storage, metric, rows: 700, &random)
      var scratch = SearchScratch(for: index)
      for _ in 0..<12 {
        let positives = (0..<random.pick([1, 2, 5])).map { _ in Int.random(in: 0..<700, using: &random) }
        let negatives = (0..<random.pick([0, 1, 3])).map { _ in Int.random(in: 0..<700, using: &random) }
        let comment: Comment = "seed \(seed), \(storage.name), \(metric): like \(positives), unlike \(negatives)"
        let query = example(index, positives, negatives)
        let named = Set(positives + negatives)
        for (k, includesSelf) in [(1, false), (20, false), (20, true), (700, false)] {
          let twin = RetrievalTwin(
            exact: try index.search(query, SearchOptions(k: 700)),
            mayAnswer: { includesSelf || !named.contains($0) }, value: { _ in .null })
          let options = RetrievalOptions(search: SearchOptions(k: k, includesSelf: includesSelf))
          let truth = twin.answer(options)
          let found = try index.retrieve(
            like: positives.map { .int64(Int64($0)) }, unlike: negatives.map { .int64(Int64($0)) }, options,
            scratch: &scratch
          ) { Retrieved($0) }
          #expect(found.hits.count == truth.hits.count && found.shortfall == truth.shortfall, comment)
          #expect(includesSelf || named.isDisjoint(with: found.ids), comment)
          // Two ways to the same query, each with its rounding.
          let scale = max(1, truth.hits.map { abs($0.distance) }.max() ?? 1)
          for (a, b) in zip(found.hits, truth.hits) { #expect(abs(a.distance - b.distance) <= 2e-2 * scale, comment) }
          let common = Set(found.ids).intersection(truth.ids).count
          #expect(Double(common) >= 0.9 * Double(truth.ids.count) - 1, comment)
        }
      }
    }
  }

  private func example(_ index: HNSWIndex, _ positives: [Int], _ negatives: [Int]) -> [Float] {
    func mean(_ ids: [Int]) -> [Double] {
      var sum = [Double](repeating: 0, count: Self.dimension)
      for id in ids {
        let vector = (index.vector(of: .int64(Int64(id))) ?? []).map(Double.init)
        let length = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
        let unit = index.configuration.metric == .cosine ? length : 1
        for j in vector.indices { sum[j] += vector[j] / unit / Double(ids.count) }
      }
      return sum
    }
    let near = mean(positives)
    guard !negatives.isEmpty else { return near.map(Float.init) }
    let far = mean(negatives)
    return zip(near, far).map { Float(index.configuration.metric == .l2 ? 2 * $0 - $1 : $0 - $1 / 2) }
  }

  @Test func examplesWithOtherOptions() throws {
    var random = SeededRandom(seed: 5)
    let index = try index(.int4x16, .cosine, rows: 900, &random)
    var scratch = SearchScratch(for: index)
    let program = try index.compile(.comparison("n", .less, .int64(300)))
    var options = RetrievalOptions(
      search: SearchOptions(k: 5), grouping: Grouping(attribute: "n", perGroup: 2))
    let grouped = try index.retrieve(
      like: [.int64(1), .int64(2)], unlike: [.int64(800)], options, matching: program, scratch: &scratch
    ) { Retrieved($0) }
    #expect(grouped.groups == Array(0..<5) && grouped.ids.allSatisfy { $0 < 300 && $0 != 1 && $0 != 2 })
    options = RetrievalOptions(
      search: SearchOptions(k: 5), offset: 2, diversity: Diversity(lambda: 0.5))
    let various = try index.retrieve(like: [.int64(1)], options, matching: program, scratch: &scratch) { Retrieved($0) }
    #expect(various.ids.count == 5 && !various.ids.contains(1) && various.ids.allSatisfy { $0 < 300 })
    // As a search near the row.
    let one = try index.retrieve(
      like: [.int64(7)], RetrievalOptions(search: SearchOptions(k: 50)), scratch: &scratch
    ) { Retrieved($0) }
    let near = try index.search(near: .int64(7), SearchOptions(k: 50), scratch: &scratch) { $0.copied() }
    #expect(Set(one.ids) == Set(near?.map { number($0.id) } ?? []))
    #expect(try index.retrieve(near: .int64(-1), options, scratch: &scratch) { $0.count } == nil)
  }

  // MARK: What is refused

  @Test func whatIsNotThereIsRefused() throws {
    var random = SeededRandom(seed: 6)
    let index = try index(.f32, .cosine, rows: 50, &random)
    var scratch = SearchScratch(for: index)
    let options = RetrievalOptions(search: SearchOptions(k: 3))
    func error(_ positives: [RecordID], _ negatives: [RecordID], _ scratch: inout SearchScratch) -> IndexError? {
      #expect(throws: IndexError.self) {
        try index.retrieve(like: positives, unlike: negatives, options, scratch: &scratch) { $0.count }
      }
    }
    index.remove(.int64(4))
    let gone = error([.int64(1), .int64(4)], [], &scratch)
    #expect(gone?.code == .unknownRecord && gone?.message.contains("4") == true)
    let unknown = error([.int64(1)], [.int64(777)], &scratch)
    #expect(unknown?.code == .unknownRecord && unknown?.message.contains("777") == true)
    _ = try random.vector(dimension: Self.dimension).withUnsafeBufferPointer { try index.stage([.int64(60)], $0) }
    #expect(error([.int64(60)], [], &scratch)?.code == .unknownRecord)
    #expect(error([], [.int64(1)], &scratch)?.code == .invalidRetrieval)
    #expect(error([.text("1")], [], &scratch)?.code == .recordIDMismatch)
    #expect(
      error([RecordID](repeating: .int64(1), count: 1_001), [], &scratch)?.code == .invalidRetrieval)
    let vector = random.vector(dimension: Self.dimension)
    try index.insert(.int64(70), vector)
    try index.insert(.int64(71), vector.map { -$0 })
    #expect(error([.int64(70), .int64(71)], [], &scratch)?.code == .zeroVector)
    // Refused or not, the scratch is as good as it was.
    #expect(try index.retrieve(like: [.int64(1)], options, scratch: &scratch) { $0.count } == 3)
  }

  @Test func optionsThatMakeNoSenseAreRefused() throws {
    var random = SeededRandom(seed: 7)
    let index = try index(.f32, .l2, rows: 50, &random)
    var scratch = SearchScratch(for: index)
    let query = random.vector(dimension: Self.dimension)
    func code(_ scratch: inout SearchScratch, _ change: (inout RetrievalOptions) -> Void) -> IndexError.Code? {
      var options = RetrievalOptions(search: SearchOptions(k: 10))
      change(&options)
      do {
        _ = try index.retrieved(query, options, &scratch)
        return nil
      } catch {
        return error.code
      }
    }
    let refused: [(inout RetrievalOptions) -> Void] = [
      { $0.offset = -1 }, { $0.offset = 9_991 }, { $0.offset = .max }, { $0.distanceMax = .nan },
      { $0.grouping = Grouping(attribute: "n", perGroup: 0) },
      { $0.grouping = Grouping(attribute: "n", perGroup: 101) },
      {
        $0.grouping = Grouping(attribute: "n", perGroup: 100)
        $0.search.k = 101
      },
      {
        $0.grouping = Grouping(attribute: "n")
        $0.diversity = Diversity(lambda: 0.5)
      },
      { $0.diversity = Diversity(lambda: -0.1) }, { $0.diversity = Diversity(lambda: 1.1) },
      { $0.diversity = Diversity(lambda: .nan) }, { $0.diversity = Diversity(lambda: 0.5, candidates: 9) },
      { $0.diversity = Diversity(lambda: 0.5, candidates: -1) },
      { $0.diversity = Diversity(lambda: 0.5, candidates: 10_001) },
      {
        $0.diversity = Diversity(lambda: 0.5, candidates: 9_000)
        $0.search.k = 1_000
      },
      {
        $0.diversity = Diversity(lambda: 0.5)
        $0.search.k = 2_001
      },
    ]
    for (i, change) in refused.enumerated() { #expect(code(&scratch, change) == .invalidRetrieval, "\(i)") }
    #expect(code(&scratch) { $0.grouping = Grouping(attribute: "m") } == .unknownAttribute)
    #expect(
      code(&scratch) {
        $0.offset = 1
        $0.search.k = 0
      } == .invalidK)
    let allowed: [(inout RetrievalOptions) -> Void] = [
      { $0.offset = 9_990 }, { $0.distanceMax = -.infinity }, { $0.distanceMax = .infinity },
      { $0.grouping = Grouping(attribute: "n", perGroup: 100) },
      {
        $0.diversity = Diversity(lambda: 0.5)
        $0.search.k = 2_000
      },
    ]
    for (i, change) in allowed.enumerated() { #expect(code(&scratch, change) == nil, "\(i)") }
  }
}
