// The right answers, from the vectors as they are: what every storage is held against.
//
// May use: VectorIndex's exact search.

import VectorIndex

/// For each query, the rows that are no farther than its k-th nearest.
struct Truth: Sendable {
  private let right: [Set<RecordID>]

  /// How much farther than the k-th a row may be to count as a tie.
  private static let tie: Float = 1e-5
  /// Ties beyond this many are not looked for.
  private static let tiesMax = 32

  /// - Complexity: one matrix product of queries and base.
  init(base: VectorFile, queries: VectorFile, metric: Metric, k: Int, threads: Int) throws {
    let exact = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: base.dimension, metric: metric, storage: .f32, connectivity: 2,
        constructionEffort: 2))
    _ = try base.values.withUnsafeBufferPointer { values in
      try exact.stage((0..<base.count).map { .int64(Int64($0)) }, values)
    }
    try exact.publishStaged()
    right = try ExactIndex(over: exact).search(queries.values, k: k + Self.tiesMax, threads: threads).map { hits in
      let radius = hits[min(k, hits.count) - 1].distance + Self.tie
      return Set(hits.lazy.filter { $0.distance <= radius }.map(\.id))
    }
  }

  func isRight(_ id: RecordID, forQuery query: Int) -> Bool { right[query].contains(id) }
}
