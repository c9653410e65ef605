// The right answers, from the vectors as they are: what every storage and every index is held against.
//
// May use: VectorIndex's exact search.

import VectorIndex

/// For each query, the rows that are no farther than its k-th nearest.
struct Truth: Sendable {
  private let right: [Set<RecordID>]
  /// For each query how many rows there are to find: k, or fewer where fewer rows can be found.
  let owed: [Int]

  /// How much farther than the k-th a row may be to count as a tie.
  private static let tie: Float = 1e-5
  /// Ties beyond this many are not looked for.
  private static let tiesMax = 32

  /// - rows: the numbers of the rows that may be found; nil: all.
  /// - own: for each query a row that is no answer to it, since the query was made of it.
  /// - Complexity: one matrix product of queries and rows.
  init(
    base: VectorFile, rows: [Int]? = nil, queries: VectorFile, own: [Int]? = nil, metric: Metric, k: Int, threads: Int
  ) throws {
    let exact = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: base.dimension, metric: metric, storage: .f32, connectivity: 2,
        constructionEffort: 2))
    let candidates = rows.map { base.rows($0) } ?? base
    let ids = rows.map { $0.map { RecordID.int64(Int64($0)) } } ?? (0..<base.count).map { .int64(Int64($0)) }
    _ = try candidates.values.withUnsafeBufferPointer { values in try exact.stage(ids, values) }
    try exact.publishStaged()
    let found = try ExactIndex(over: exact).search(
      queries.values, k: k + Self.tiesMax + (own == nil ? 0 : 1), threads: threads)
    let answers = found.enumerated().map { query, hits in
      guard let own else { return hits }
      return hits.filter { $0.id != .int64(Int64(own[query])) }
    }
    owed = answers.map { min(k, $0.count) }
    right = zip(answers, owed).map { hits, owed in
      guard owed > 0 else { return [] }
      let radius = hits[owed - 1].distance + Self.tie
      return Set(hits.lazy.filter { $0.distance <= radius }.map(\.id))
    }
  }

  func isRight(_ id: RecordID, forQuery query: Int) -> Bool { right[query].contains(id) }

  /// How many of an answer's rows are right; a row that came twice is one row, and more than there are to find do not count.
  func rightCount(_ answer: [Int64], forQuery query: Int) -> Int {
    min(owed[query], Set(answer).count { right[query].contains(.int64($0)) })
  }

  /// The share of the rows there are to find that some answers have, over all of them; 1 where there is nothing to find.
  /// - answers: by the number of the query.
  func recall(of answers: [(query: Int, rows: [Int64])]) -> Double {
    let owed = answers.reduce(0) { $0 + self.owed[$1.query] }
    guard owed > 0 else { return 1 }
    return Double(answers.reduce(0) { $0 + rightCount($1.rows, forQuery: $1.query) }) / Double(owed)
  }
}
