// How right an index is.
//
// May use: VectorIndex.

import VectorIndex

extension HNSWIndex {
  /// The share of the `k` nearest that searches with `effort` find, over all queries, against ``ExactIndex``. A result counts
  /// when it is no farther than the k-th exact one.
  ///
  /// - queries: `[count][dimension]`.
  public func recall(queries: [Float], k: Int, effort: Int) throws -> Double {
    let dimension = configuration.dimension
    let exact = try ExactIndex(over: self).search(queries, k: k, threads: 2)
    var scratch = SearchScratch(for: self)
    var right = 0
    var wanted = 0
    for (i, truth) in exact.enumerated() {
      wanted += truth.count
      guard let last = truth.last else { continue }
      let hits = try queries[(i * dimension)..<((i + 1) * dimension)].withUnsafeBufferPointer {
        try search($0, SearchOptions(k: k, effort: effort), scratch: &scratch) { $0.copied() }
      }
      right += hits.count { $0.distance <= last.distance + 1e-6 }
    }
    return wanted == 0 ? 1 : Double(right) / Double(wanted)
  }
}
