// The hop of this processor against the plain one, which leaves every candidate to Swift: the same walks, node by node.
//
// Where a processor has no hop of its own, both are the plain one; its hop is checked by itself then (scripts/check-kernels).

import CVectorKernels
import TestSupport
import Testing

@testable import VectorIndex

@Suite struct HopTests {
  private let sample = Sample.debian

  /// What a search answered, and how it went.
  private struct Answer: Equatable {
    let hits: [SearchHit]
    let distances: Int
    let expanded: Int
    let isExact: Bool
    /// Of the slots in the order in which the walk met them: as many as its log holds, of the last ones if there were more.
    let met: Int
  }

  /// - queries: `[][index's dimension]`.
  private func answers(
    _ index: HNSWIndex, _ queries: ArraySlice<Float>, _ options: SearchOptions, _ scratch: inout SearchScratch
  ) throws -> [Answer] {
    let dimension = index.configuration.dimension
    return try stride(from: queries.startIndex, to: queries.endIndex, by: dimension).map { first in
      try queries[first..<(first + dimension)].withUnsafeBufferPointer { query in
        let (hits, distances, expanded, isExact) = try index.search(query, options, scratch: &scratch) {
          ($0.copied(), $0.distancesComputed, $0.effort, $0.isExact)
        }
        let visited = scratch.visited.state.pointee
        let count = visited.overflows ? Int(VZ_LOG_MAX) : visited.log_count
        var hasher = Hasher()
        hasher.combine(bytes: UnsafeRawBufferPointer(UnsafeBufferPointer(start: visited.log, count: count)))
        return Answer(
          hits: hits, distances: distances, expanded: expanded, isExact: isExact, met: hasher.finalize())
      }
    }
  }

  /// - copies: of each of three rows.
  @Test(arguments: [VectorStorage.f32, .int8, .int4x16], [0, 40])
  func walksAreThoseOfThePlainHop(storage: VectorStorage, copies: Int) throws {
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(dimension: sample.dimension, metric: .cosine, storage: storage))
    let rows = Array(0..<6_000) + (0..<(3 * copies)).map { $0 / copies * 1_700 }
    _ = try rows.flatMap { sample.baseVector($0) }.withUnsafeBufferPointer {
      try index.stage(rows.indices.map { RecordID.int64(Int64($0)) }, $0)
    }
    try index.linkStaged(threads: 2)
    _ = try index.calibrate(threads: 2)
    let asked = [
      SearchOptions(k: 1, effort: 12), SearchOptions(k: 10, effort: 30), SearchOptions(k: 10, effort: 100),
      SearchOptions(k: 100, effort: 300), SearchOptions(k: 10, recallTarget: 0.95),
      SearchOptions(k: 10, recallTarget: 0.99), SearchOptions(k: 40, recallTarget: 0.9),
    ]
    var scratch = SearchScratch(for: index)
    let ours = try asked.map { try answers(index, sample.queries[...], $0, &scratch) }
    // Nobody else uses this index.
    UnsafeMutablePointer(mutating: index.store.walking.plane).pointee.hop = vz_hop_plain
    for (options, ours) in zip(asked, ours) {
      let plain = try answers(index, sample.queries[...], options, &scratch)
      let differ = zip(ours, plain).count { $0 != $1 }
      #expect(differ == 0, "\(storage.name), \(copies) copies, \(options): \(differ) of \(plain.count)")
    }
  }

  /// Walks that look so far that the frontier's far part grows, is split, and is filled again from what lies behind it.
  @Test(arguments: testSeeds)
  func farWalksAreThoseOfThePlainHop(seed: UInt64) throws {
    let (rows, dimension) = (40_000, 16)
    var random = SeededRandom(seed: seed)
    let vectors = random.vector(dimension: rows * dimension)
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(dimension: dimension, metric: .l2, storage: .f16, constructionEffort: 40))
    try vectors.withUnsafeBufferPointer { try index.stage((0..<rows).map { RecordID.int64(Int64($0)) }, $0) }
    try index.linkStaged(threads: 2)
    /// With a scratch of its own, whose frontier has yet to grow.
    func walks() throws -> [[Answer]] {
      var scratch = SearchScratch(for: index)
      let walks = try ([2, 4, 8, 100] as [Float]).map { reach in
        var options = SearchOptions(k: 10)
        options.reach = SearchReach(reach: reach)
        return try answers(index, vectors[..<(10 * dimension)], options, &scratch)
      }
      let hasBeenDistant = scratch.frontier.hasBeenDistant
      #expect(hasBeenDistant, "the walks were not far enough")
      return walks
    }
    let ours = try walks()
    // Nobody else uses this index.
    UnsafeMutablePointer(mutating: index.store.walking.plane).pointee.hop = vz_hop_plain
    let plain = try walks()
    for (ours, plain) in zip(ours, plain) {
      let differ = zip(ours, plain).count { $0 != $1 }
      #expect(differ == 0, "seed \(seed): \(differ) of \(plain.count)")
      #expect(ours.allSatisfy { !$0.isExact }, "these were no walks")
    }
  }
}
