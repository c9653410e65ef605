// The right answers, from the vectors as they are: what every storage and every index is held against.
//
// May use: VectorIndex's exact search.

import VectorIndex

/// For each query, the rows that are no farther than its k-th nearest.
struct Truth: Sendable {
  private let right: [Set<RecordID>]
  /// For each query how many rows there are to find: k, or fewer where fewer rows can be found.
  let owed: [Int]
  /// Judges the other rows of queries with more ties than were looked for; nil where there is no such query.
  private let ties: Ties?

  /// How much farther than the k-th a row may be to count as a tie: of the distance, or as it is where the distance is below 1. L2
  /// distances and inner products may be large, and their rounding is in proportion.
  private static let tie = 1e-5
  /// Ties beyond this many are not looked for; rows that come in their place are judged one by one.
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
    let wanted = min(k + Self.tiesMax + (own == nil ? 0 : 1), max(k, HNSWConfiguration.resultsMax))
    let found = try ExactIndex(over: exact).search(queries.values, k: wanted, threads: threads)
    let answers = found.enumerated().map { query, hits in
      guard let own else { return hits }
      return hits.filter { $0.id != .int64(Int64(own[query])) }
    }
    let owed = answers.map { min(k, $0.count) }
    let radii = zip(answers, owed).map { hits, owed in
      owed > 0 ? Self.radius(Double(hits[owed - 1].distance)) : -.infinity
    }
    right = zip(answers, radii).map { hits, radius in
      Set(hits.lazy.filter { Double($0.distance) <= radius }.map(\.id))
    }
    self.owed = owed
    // Where even the last that was looked for is a tie, there may be more of them.
    var open: [Int: Double] = [:]
    for (query, hits) in answers.enumerated() where found[query].count == wanted {
      if let last = hits.last, Double(last.distance) <= radii[query] { open[query] = radii[query] }
    }
    ties =
      open.isEmpty
      ? nil : Ties(base: base, queries: queries, metric: metric, rows: rows.map { Set($0) }, own: own, radii: open)
  }

  /// Up to where rows count, of a k-th nearest at this distance.
  private static func radius(_ distance: Double) -> Double { distance + tie * max(1, abs(distance)) }

  func isRight(_ id: RecordID, forQuery query: Int) -> Bool {
    if right[query].contains(id) { return true }
    guard let ties, case .int64(let row) = id else { return false }
    return ties.include(row, forQuery: query)
  }

  /// How many of an answer's rows are right; a row that came twice is one row, and more than there are to find do not count.
  func rightCount(_ answer: [Int64], forQuery query: Int) -> Int {
    min(owed[query], Set(answer).count { isRight(.int64($0), forQuery: query) })
  }

  /// The share of the rows there are to find that some answers have, over all of them; 1 where there is nothing to find.
  /// - answers: by the number of the query.
  func recall(of answers: [(query: Int, rows: [Int64])]) -> Double {
    let owed = answers.reduce(0) { $0 + self.owed[$1.query] }
    guard owed > 0 else { return 1 }
    return Double(answers.reduce(0) { $0 + rightCount($1.rows, forQuery: $1.query) }) / Double(owed)
  }
}

/// Judges rows by their own distance, in double precision. Keeps the vectors, so it is made only where there is something to judge.
private struct Ties: Sendable {
  let base: VectorFile
  let queries: VectorFile
  let metric: Metric
  /// The rows that may be found; nil: all.
  let rows: Set<Int>?
  let own: [Int]?
  /// By the query, up to where its rows count; other queries have no ties beyond those that are known.
  let radii: [Int: Double]

  func include(_ row: Int64, forQuery query: Int) -> Bool {
    guard let radius = radii[query], row >= 0, row < Int64(base.count) else { return false }
    let row = Int(row)
    guard rows?.contains(row) ?? true, own?[query] != row else { return false }
    // False where there is no distance, as of a zero vector under cosine.
    return distance(base[row], queries[query]) <= radius
  }

  private func distance(_ row: ArraySlice<Float>, _ query: ArraySlice<Float>) -> Double {
    var (product, rowSquares, querySquares, squares) = (0.0, 0.0, 0.0, 0.0)
    for (a, b) in zip(row, query) {
      let (a, b) = (Double(a), Double(b))
      product += a * b
      rowSquares += a * a
      querySquares += b * b
      squares += (a - b) * (a - b)
    }
    return switch metric {
    case .cosine: 1 - product / (rowSquares * querySquares).squareRoot()
    case .innerProduct: -product
    case .l2: squares.squareRoot()
    }
  }
}
