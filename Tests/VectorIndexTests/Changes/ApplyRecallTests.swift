// What an index is worth after every row was replaced three times by transactions, beside one that was built of the same rows.

import Glibc
import TestSupport
import Testing

@testable import VectorIndex

@Suite struct ApplyRecallTests {
  private static let rounds = 3
  private static let transactionRows = 250
  /// Rows that may wait to be linked when the next transaction comes.
  private static let tailMax = 256
  private static let efforts = [32, 64]
  /// How much less may be found than by a fresh build, on the mean of the efforts over 3,000 answers at each.
  private static let lossMax = 0.008

  @Test(arguments: [VectorStorage.int4x8]) func transactionsCostNoRecall(storage: VectorStorage) throws {
    let seed = testSeeds[0]
    print("churn by transactions, seed \(seed)")
    var random = SeededRandom(seed: seed)
    let sample = Sample.debian
    let configuration = HNSWConfiguration(
      dimension: sample.dimension, metric: .cosine, storage: storage, constructionEffort: 100)
    var order = Array(0..<sample.baseCount)
    let index = try built(sample, order, configuration)
    let maintenance = Maintenance(of: index, threads: 2)
    for _ in 0..<Self.rounds {
      order.shuffle(using: &random)
      let ids = order.indices.shuffled(using: &random)
      for first in stride(from: 0, to: ids.count, by: Self.transactionRows) {
        while index.tailCount > Self.tailMax { usleep(200) }
        try index.apply(
          ids[first..<min(first + Self.transactionRows, ids.count)].map {
            RowChange(.int64(Int64($0)), .write(vector: sample.baseVector(order[$0])))
          })
        #expect(index.count == order.count)
      }
    }
    maintenance.catchUp()
    maintenance.stop()
    index.consolidate()
    index.checkInvariants()
    let fresh = try built(sample, order, configuration)
    let strange = order.indices.filter { id in
      index.vector(of: .int64(Int64(id))) != fresh.vector(of: .int64(Int64(id)))
    }
    #expect(strange.isEmpty, "every row has its last vector")
    var loss = 0.0
    for effort in Self.efforts {
      let churned = try index.recall(queries: sample.queries, k: 10, effort: effort)
      let built = try fresh.recall(queries: sample.queries, k: 10, effort: effort)
      print("recall@10, ef \(effort): \(churned) after \(Self.rounds) rounds, \(built) built")
      loss += (built - churned) / Double(Self.efforts.count)
    }
    #expect(loss <= Self.lossMax, "churn lost \(loss) of recall, seed \(seed)")
  }

  private func built(_ sample: Sample, _ order: [Int], _ configuration: HNSWConfiguration) throws -> HNSWIndex {
    let index = try HNSWIndex(configuration: configuration)
    _ = try order.flatMap { sample.baseVector($0) }.withUnsafeBufferPointer {
      try index.stage(order.indices.map { .int64(Int64($0)) }, $0)
    }
    try index.linkStaged(threads: 2, calibrates: false)
    return index
  }
}
