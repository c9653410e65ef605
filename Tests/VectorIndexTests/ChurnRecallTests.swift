// What an index is worth after every row was replaced ten times, beside one that was built of the same rows.

import Glibc
import TestSupport
import Testing

@testable import VectorIndex

@Suite struct ChurnRecallTests {
  private static let rounds = 10
  private static let k = 10
  private static let efforts = [32, 64]
  /// Rows that may wait to be linked.
  private static let tailMax = 512
  /// How much less may be found than by a fresh build: half a point, on the mean of the efforts, over 12,000 answers at each.
  private static let lossMax = 0.005

  /// 20,000 rows: those of the sample, and a synthetic copy of each. Not a set to quote recalls of.
  ///
  /// - Returns: `[20,000][384]`, row-major.
  private func rows(_ random: inout SeededRandom) -> [Float] {
    let sample = Sample.debian
    var rows = sample.base
    rows.reserveCapacity(2 * rows.count)
    for n in 0..<sample.baseCount { rows += neighbour(of: sample.baseVector(n), &random) }
    return rows
  }

  /// The vector and noise half as long, as long as the vector again. Noise is the difference of two rows, which varies in the directions
  /// in which rows vary: in 384 dimensions, noise that is the same in all of them leads away from rows and queries alike.
  private func neighbour(of vector: [Float], _ random: inout SeededRandom) -> [Float] {
    let sample = Sample.debian
    let one = Int.random(in: 0..<sample.baseCount, using: &random)
    // Another one, so that there is a difference.
    let other = (one + Int.random(in: 1..<sample.baseCount, using: &random)) % sample.baseCount
    let noise = zip(sample.baseVector(one), sample.baseVector(other)).map { $0 - $1 }
    let factor = 0.5 * length(vector) / max(length(noise), 1e-6)
    let moved = zip(vector, noise).map { $0 + factor * $1 }
    let scale = length(vector) / length(moved)
    return moved.map { scale * $0 }
  }

  private func length(_ vector: [Float]) -> Float { vector.reduce(0) { $0 + $1 * $1 }.squareRoot() }

  /// 300 questions and three synthetic neighbours of each: 1,200 queries, 12,000 answers.
  private func queries(_ random: inout SeededRandom) -> [Float] {
    let sample = Sample.debian
    var queries = sample.queries
    for n in 0..<sample.queryCount {
      for _ in 0..<3 { queries += neighbour(of: sample.queryVector(n), &random) }
    }
    return queries
  }

  private func built(_ rows: [Float], _ order: [Int], _ configuration: HNSWConfiguration) throws -> HNSWIndex {
    let index = try HNSWIndex(configuration: configuration)
    let dimension = configuration.dimension
    let vectors = order.flatMap { rows[($0 * dimension)..<(($0 + 1) * dimension)] }
    _ = try vectors.withUnsafeBufferPointer { try index.stage(order.indices.map { .int64(Int64($0)) }, $0) }
    try index.linkStaged(threads: 2, calibrates: false)
    return index
  }

  @Test func churnCostsNoRecall() throws {
    let seed = testSeeds[0]
    print("churn, seed \(seed)")
    var random = SeededRandom(seed: seed)
    let rows = rows(&random)
    let queries = queries(&random)
    let dimension = Sample.debian.dimension
    // Half of the usual effort: 200,000 rows are linked here.
    let configuration = HNSWConfiguration(
      dimension: dimension, metric: .cosine, storage: .int4x16, constructionEffort: 100)
    let index = try built(rows, Array(0..<(rows.count / dimension)), configuration)

    // In each round row `id` gets the vector `order[id]`. The set of vectors, so how hard it is to search, stays what it is.
    var order = Array(0..<index.count)
    let maintenance = Maintenance(of: index, threads: 2)
    for _ in 0..<Self.rounds {
      order.shuffle(using: &random)
      for id in order.indices.shuffled(using: &random) {
        let source = order[id]
        // Or rows would be replaced before they were ever linked.
        while index.tailCount >= Self.tailMax { usleep(50) }
        try index.upsert(.int64(Int64(id)), Array(rows[(source * dimension)..<((source + 1) * dimension)]))
      }
    }
    maintenance.catchUp()
    #expect(index.tailCount == 0)
    maintenance.stop()
    index.consolidate()
    index.checkInvariants()
    #expect(index.count == order.count)

    // The same rows under the same ids, built at once.
    let fresh = try built(rows, order, configuration)
    let strange = order.indices.filter { id in
      let vector = index.vector(of: .int64(Int64(id)))
      return vector == nil || vector != fresh.vector(of: .int64(Int64(id)))
    }
    #expect(strange.isEmpty, "every row has its last vector")
    try expectEachRowOnce(index, queries)
    var (churnedSum, freshSum) = (0.0, 0.0)
    for effort in Self.efforts {
      let churned = try index.recall(queries: queries, k: Self.k, effort: effort)
      let built = try fresh.recall(queries: queries, k: Self.k, effort: effort)
      let count = queries.count / dimension
      print(
        "recall@\(Self.k) of \(count) queries, ef \(effort): \(churned) after \(Self.rounds) rounds, \(built) built")
      churnedSum += churned
      freshSum += built
    }
    let loss = (freshSum - churnedSum) / Double(Self.efforts.count)
    #expect(loss <= Self.lossMax, "churn lost \(loss) of recall, seed \(seed)")
  }

  private func expectEachRowOnce(_ index: HNSWIndex, _ queries: [Float]) throws {
    let dimension = index.configuration.dimension
    var scratch = SearchScratch(for: index)
    var wrong = 0
    for start in stride(from: 0, to: queries.count, by: dimension) {
      let hits = try queries[start..<(start + dimension)].withUnsafeBufferPointer {
        try index.search($0, SearchOptions(k: 100, effort: 200), scratch: &scratch) { $0.copied() }
      }
      if hits.count != 100 || Set(hits.map(\.id)).count != 100 { wrong += 1 }
    }
    #expect(wrong == 0, "each search gives 100 different rows")
  }
}
