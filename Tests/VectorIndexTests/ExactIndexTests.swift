// The oracle itself, against sums in double precision and against the scan.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct ExactIndexTests {
  @Test(arguments: Metric.allCases, VectorStorage.allCases)
  func agreesWithDoublePrecision(metric: Metric, storage: VectorStorage) throws {
    for seed in testSeeds {
      print("exact \(metric.name), \(storage.name), seed \(seed)")
      var random = SeededRandom(seed: seed)
      let dimension = [1, 3, 17, 100][Int(seed % 4)]
      let index = try HNSWIndex(
        configuration: HNSWConfiguration(dimension: dimension, metric: metric, storage: storage))
      let rows = (0..<2_100).map { _ in random.clusteredVector(dimension: dimension, clusters: 30) }
      let ids = rows.indices.map { RecordID.int64(Int64($0)) }
      _ = try rows.flatMap { $0 }.withUnsafeBufferPointer { try index.stage(ids, $0) }
      try index.linkStaged(threads: 2)
      for n in stride(from: 0, to: 2_100, by: 7) { index.remove(.int64(Int64(n))) }
      let queries = (0..<300).map { _ in random.clusteredVector(dimension: dimension, clusters: 30) }
      let found = try ExactIndex(over: index).search(queries.flatMap { $0 }, k: 20, threads: 2)
      // The rows are what the index keeps of them: under f32 what it was given.
      let kept = rows.indices.filter { $0 % 7 != 0 }.compactMap { index.vector(of: .int64(Int64($0))) }
      #expect(kept.count == 1_800)
      for (query, hits) in zip(queries, found) {
        let truth = kept.map { distance(metric, query, $0) }.sorted().prefix(20)
        #expect(hits.count == 20 && Set(hits.map(\.id)).count == 20)
        let scan = try index.search(query, SearchOptions(k: 20, exact: true))
        #expect(scan == hits, "one query by the kernels, many by BLAS: the same answer")
        for (hit, expected) in zip(hits, truth) {
          // f32 sums of ≤ 100 terms of size ≤ 4; the square root of L2 magnifies the error of small squares.
          #expect(abs(Double(hit.distance) - expected) < (metric == .l2 ? 3e-3 : 1e-5) * (1 + abs(expected)))
        }
      }
    }
  }

  private func distance(_ metric: Metric, _ a: [Float], _ b: [Float]) -> Double {
    let pairs = zip(a, b).map { (Double($0), Double($1)) }
    let product = pairs.reduce(0) { $0 + $1.0 * $1.1 }
    switch metric {
    case .innerProduct: return -product
    case .l2: return pairs.reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
    case .cosine:
      let lengths = pairs.reduce((0.0, 0.0)) { ($0.0 + $1.0 * $1.0, $0.1 + $1.1 * $1.1) }
      return 1 - product / (lengths.0 * lengths.1).squareRoot()
    }
  }

  /// ‖q‖² + ‖r‖² − 2⟨q, r⟩ cancels where vectors are long and near each other; the answer must not.
  @Test(arguments: VectorStorage.allCases) func isExactFarFromTheOrigin(storage: VectorStorage) throws {
    var random = SeededRandom(seed: 6)
    for offset: Float in [0, 10, 1_000] {
      let index = try HNSWIndex(configuration: HNSWConfiguration(dimension: 32, metric: .l2, storage: storage))
      let ids = (0..<5_000).map { RecordID.int64($0) }
      let rows = (0..<5_000 * 32).map { _ in offset + Float.random(in: -1...1, using: &random) }
      _ = try rows.withUnsafeBufferPointer { try index.stage(ids, $0) }
      try index.linkStaged(threads: 2)
      let queries = (0..<50 * 32).map { _ in offset + Float.random(in: -1...1, using: &random) }
      let found = try ExactIndex(over: index).search(queries, k: 10, threads: 2)
      for i in 0..<50 {
        let scan = try index.search(Array(queries[(i * 32)..<((i + 1) * 32)]), SearchOptions(k: 10, exact: true))
        #expect(found[i] == scan, "offset \(offset), query \(i)")
      }
    }
  }

  @Test func checksItsQueries() throws {
    let index = try HNSWIndex(configuration: HNSWConfiguration(dimension: 3, metric: .cosine))
    for queries: [Float] in [[1, 2], [0, 0, 0], [1, 2, .nan]] {
      #expect(throws: IndexError.self) { try ExactIndex(over: index).search(queries, k: 1) }
    }
    #expect(throws: IndexError.self) { try ExactIndex(over: index).search([1, 2, 3], k: 0) }
    #expect(try ExactIndex(over: index).search([], k: 1).isEmpty)
    #expect(try ExactIndex(over: index).search([1, 2, 3], k: 1) == [[]])
  }
}
