// Real rows with attributes that are made up: some that have nothing to do with the vectors, some that agree with a question, and so
// disagree with it the other way round.
//
// May use: Sample, VectorIndex.

import TestSupport

@testable import VectorIndex

struct FilteredSample {
  static let directions = 6
  static let k = 10

  let sample: Sample
  let index: HNSWIndex
  /// `[rows]`: what each row has, by id.
  private(set) var attributes: [[AttributeValue]]
  /// Questions, each with the direction that is nearest to it.
  let questions: [(vector: [Float], direction: Int)]

  static let schema: AttributeSchema = {
    var columns = [AttributeColumn("n", .int64), AttributeColumn("bucket", .int64)]
    columns += (0..<directions).map { AttributeColumn("rank\($0)", .int64) }
    do {
      return try AttributeSchema(columns)
    } catch {
      fatalError("\(error)")
    }
  }()

  /// How the rows that match lie.
  enum Lie: CaseIterable {
    /// Anywhere.
    case anywhere
    /// As near to the question as there are.
    case near
    /// As far from it as there are.
    case far
  }

  init(
    _ sample: Sample, storage: VectorStorage, metric: Metric, questions count: Int, calibrates: Bool = true
  ) throws {
    self.sample = sample
    let rows = sample.baseCount
    var random = SeededRandom(seed: 15)
    let n = (0..<rows).shuffled(using: &random)
    let ranks = (0..<Self.directions).map { direction in Self.ranks(sample, from: sample.queryVector(direction)) }
    attributes = (0..<rows).map { i in
      // A hundred rows in a bucket of ten thousand: few enough for postings.
      [.int64(Int64(n[i])), .int64(Int64(n[i] / 100))] + ranks.map { .int64(Int64($0[i])) }
    }
    questions = (0..<count).map { i in
      let vector = sample.queryVector(i)
      let nearest = (0..<Self.directions).max {
        Self.product(vector, sample.queryVector($0)) < Self.product(vector, sample.queryVector($1))
      }
      return (vector, nearest ?? 0)
    }
    index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: sample.dimension, metric: metric, storage: storage, attributes: Self.schema))
    _ = try sample.base.withUnsafeBufferPointer {
      try index.stage((0..<rows).map { .int64(Int64($0)) }, $0, attributes: attributes)
    }
    try index.linkStaged(threads: 2, calibrates: calibrates)
  }

  private static func product(_ a: [Float], _ b: [Float]) -> Float { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }

  /// The place of each row in order of nearness to a direction.
  private static func ranks(_ sample: Sample, from direction: [Float]) -> [Int] {
    let products = (0..<sample.baseCount).map { product(sample.baseVector($0), direction) }
    var ranks = [Int](repeating: 0, count: products.count)
    for (rank, row) in products.indices.sorted(by: { products[$0] > products[$1] }).enumerated() { ranks[row] = rank }
    return ranks
  }

  /// A filter that `matching` rows meet.
  func filter(_ lie: Lie, matching: Int, direction: Int) -> Filter {
    switch lie {
    case .anywhere: .comparison("n", .less, .int64(Int64(matching)))
    case .near: .comparison("rank\(direction)", .less, .int64(Int64(matching)))
    case .far: .comparison("rank\(direction)", .greaterOrEqual, .int64(Int64(sample.baseCount - matching)))
    }
  }

  /// For each question all rows, ascending by distance.
  func exact() throws -> [[SearchHit]] {
    try ExactIndex(over: index).search(questions.flatMap(\.vector), k: sample.baseCount, threads: 2)
  }
}

func number(_ id: RecordID) -> Int {
  if case .int64(let id) = id { Int(id) } else { -1 }
}
