// One built index, and the measuring of searches in it.
//
// May use: VectorIndex; Foundation, for the clock.

import Foundation
import VectorIndex

/// An index of a file, its exact answers, and how it does at an effort.
final class Sweep: Sendable {
  let index: HNSWIndex
  private let queries: VectorFile
  private let k: Int
  /// The distance of the k-th exact result of each query.
  private let radii: [Float]
  let buildSeconds: Double

  init(base: VectorFile, queries: VectorFile, configuration: HNSWConfiguration, k: Int, buildThreads: Int) throws {
    let index = try HNSWIndex(configuration: configuration)
    self.index = index
    self.queries = queries
    self.k = k
    let start = ContinuousClock.now
    let ids = (0..<base.count).map { RecordID.int64(Int64($0)) }
    _ = try base.values.withUnsafeBufferPointer { try index.stage(ids, $0) }
    try index.linkStaged(threads: buildThreads)
    buildSeconds = (ContinuousClock.now - start) / .seconds(1)
    let exact = try ExactIndex(over: index).search(queries.values, k: k, threads: buildThreads)
    radii = exact.map { $0.last?.distance ?? .infinity }
  }

  func measure(effort: Int, threads: Int) -> IndexCommand.Point {
    let count = queries.count
    let totals = Shared((right: 0, distances: 0))
    let start = ContinuousClock.now
    WorkerThreads.run(count: threads) { thread in
      // Each thread takes every threads-th query: no counter to share, and the same work for each.
      let found = self.searchEvery(threads, from: thread, effort: effort)
      totals.withLock {
        $0.right += found.right
        $0.distances += found.distances
      }
    }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    let (right, distances) = totals.withLock { $0 }
    let statistics = index.statistics()
    return IndexCommand.Point(
      storage: "f32", effort: effort, threads: threads, recall: Double(right) / Double(count * min(k, index.count)),
      qps: Double(count) / seconds, buildSeconds: buildSeconds,
      bytesPerVector: Double(statistics.bytes) / Double(max(1, index.count)),
      distancesPerQuery: Double(distances) / Double(count))
  }

  private func searchEvery(_ step: Int, from first: Int, effort: Int) -> (right: Int, distances: Int) {
    var scratch = SearchScratch(for: index)
    var right = 0
    var distances = 0
    let options = SearchOptions(k: k, effort: effort)
    queries.values.withUnsafeBufferPointer { values in
      for i in stride(from: first, to: queries.count, by: step) {
        let query = UnsafeBufferPointer(rebasing: values[(i * queries.dimension)..<((i + 1) * queries.dimension)])
        let radius = radii[i] + 1e-5
        // The queries were checked when the exact answers were computed.
        try? index.search(query, options, scratch: &scratch) { hits in
          for h in 0..<hits.count where hits.distance(at: h) <= radius { right += 1 }
          distances += hits.distancesComputed
        }
      }
    }
    return (right, distances)
  }
}
