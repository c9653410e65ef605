// Rows of which many are equally far from a query, copies or not: walks end all the same, and find what is there.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct FewDistancesTests {
  private static let rows = 5_000

  private func built(_ dimension: Int, _ metric: Metric, _ vectors: [[Float]], connectivity: Int = 16) throws
    -> HNSWIndex
  {
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: dimension, metric: metric, storage: .f32, connectivity: connectivity, seed: 1))
    try stage(vectors, from: 0, in: index)
    try index.linkStaged(threads: 1, calibrates: false)
    index.checkInvariants()
    return index
  }

  private func stage(_ vectors: [[Float]], from first: Int, in index: HNSWIndex) throws {
    _ = try vectors.flatMap { $0 }.withUnsafeBufferPointer {
      try index.stage(vectors.indices.map { .int64(Int64(first + $0)) }, $0)
    }
  }

  /// What a search found and how many distances it took.
  private func search(_ query: [Float], _ options: SearchOptions, _ index: HNSWIndex) throws -> (
    hits: [SearchHit], distances: Int
  ) {
    var scratch = SearchScratch(for: index)
    return try query.withUnsafeBufferPointer {
      try index.search($0, options, scratch: &scratch) { ($0.copied(), $0.distancesComputed) }
    }
  }

  /// Every row is at distance 0 from a query of zeros under inner product, so any k are right: no reason to go through all of them.
  @Test(arguments: [SearchOptions(k: 10, effort: 64), SearchOptions(k: 10, recallTarget: 0.95)])
  func aQueryOfZerosEnds(options: SearchOptions) throws {
    var random = SeededRandom(seed: 1)
    let index = try built(16, .innerProduct, (0..<Self.rows).map { _ in random.vector(dimension: 16) })
    let (hits, distances) = try search([Float](repeating: 0, count: 16), options, index)
    #expect(hits.count == 10 && hits.allSatisfy { $0.distance == 0 })
    #expect(distances < Self.rows / 2)
  }

  /// Rows of noughts and ones have no more distances than dimensions, and next to no copies.
  @Test func rowsOfNoughtsAndOnesEnd() throws {
    var random = SeededRandom(seed: 1)
    let vector = { (0..<24).map { _ in Float(Int.random(in: 0...1, using: &random)) } }
    let index = try built(24, .l2, (0..<Self.rows).map { _ in vector() })
    var right = 0
    for _ in 0..<50 {
      let query = vector()
      let (hits, distances) = try search(query, SearchOptions(k: 10, effort: 64), index)
      #expect(distances < Self.rows / 2)
      let truth = try index.search(query, SearchOptions(k: 10, exact: true))
      right += hits.count { $0.distance <= truth[9].distance }
    }
    print("recall@10 among rows of noughts and ones: \(Double(right) / 500)")
    #expect(right >= 475)
  }

  /// Rows beside a vector of which there are many copies are tied to what walks expand.
  @Test func rowsBesideCopiesAreFound() throws {
    for seed in testSeeds {
      print("rows beside copies, seed \(seed)")
      var random = SeededRandom(seed: seed)
      let index = try built(16, .l2, (0..<2_000).map { _ in random.vector(dimension: 16) }, connectivity: 4)
      let copied = random.vector(dimension: 16)
      try stage((0..<600).map { _ in copied }, from: 2_000, in: index)
      try index.publishStaged()
      index.linkTail(atMost: .max, threads: 1)
      let beside = (0..<100).map { _ in copied.map { $0 + Float.random(in: -0.05...0.05, using: &random) } }
      for (i, vector) in beside.enumerated() {
        try stage([vector], from: 3_000 + i, in: index)
        try index.publishStaged()
        index.linkTail(atMost: .max, threads: 1)
      }
      index.consolidate()
      index.checkInvariants()
      let found = try beside.count { try index.search($0, SearchOptions(k: 1, effort: 1_000)).first?.distance == 0 }
      #expect(found == beside.count)
    }
  }

  /// Copies of a row get half of its places at most, and one at least.
  @Test func neighboursAreNotCopiesAlone() throws {
    let vectors: [[Float]] = (0..<7).map { _ in [1, 0] } + [[-2, 0]]
    let index = try HNSWIndex(configuration: HNSWConfiguration(dimension: 2, metric: .l2, storage: .f32))
    try stage(vectors, from: 0, in: index)
    try index.publishStaged()
    let scratch = BuildScratch(store: index.store)
    let slots = try vectors.indices.map { try #require(index.store.table.slot(of: .int64(Int64($0)))) }
    let candidates = slots.dropFirst().enumerated().map { Neighbour(distance: $0 < 6 ? 0 : 9, slot: $1) }
    for (degree, copies) in [(2, 1), (4, 2), (5, 2), (16, 6)] {
      var selection: [Neighbour] = []
      index.traversal.selectNeighbours(candidates, degree: degree, into: &selection, scratch)
      #expect(selection.count { $0.distance == 0 } == copies && selection.last?.slot == slots[7], "degree \(degree)")
    }
  }
}
