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
  }

  private func answers(_ index: HNSWIndex, _ options: SearchOptions) throws -> [Answer] {
    var scratch = SearchScratch(for: index)
    return try (0..<(sample.queries.count / sample.dimension)).map { i in
      try sample.queries[(i * sample.dimension)..<((i + 1) * sample.dimension)].withUnsafeBufferPointer {
        try index.search($0, options, scratch: &scratch) {
          Answer(
            hits: $0.copied(), distances: $0.distancesComputed, expanded: $0.effort,
            isExact: $0.isExact)
        }
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
    let ours = try asked.map { try answers(index, $0) }
    // Nobody else uses this index.
    UnsafeMutablePointer(mutating: index.store.walking.plane).pointee.hop = vz_hop_plain
    for (options, ours) in zip(asked, ours) {
      let plain = try answers(index, options)
      let differ = zip(ours, plain).count { $0 != $1 }
      #expect(differ == 0, "\(storage.name), \(copies) copies, \(options): \(differ) of \(plain.count)")
    }
  }

  /// A walk that looks so far that the frontier's far part grows, is split, and is filled again from what lies behind it.
  @Test(arguments: [UInt64(1)])
  func farWalksAreThoseOfThePlainHop(seed: UInt64) throws {
    let (rows, dimension) = (40_000, 16)
    var random = SeededRandom(seed: seed)
    let vectors = random.vector(dimension: rows * dimension)
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(dimension: dimension, metric: .l2, storage: .f16, constructionEffort: 40))
    try vectors.withUnsafeBufferPointer { try index.stage((0..<rows).map { RecordID.int64(Int64($0)) }, $0) }
    try index.linkStaged(threads: 2)
    var scratch = SearchScratch(for: index)
    func answers(reach: Float) throws -> [Answer] {
      var options = SearchOptions(k: 10)
      options.reach = SearchReach(reach: reach)
      return try (0..<20).map { i in
        try vectors[(i * dimension)..<((i + 1) * dimension)].withUnsafeBufferPointer {
          try index.search($0, options, scratch: &scratch) {
            Answer(
              hits: $0.copied(), distances: $0.distancesComputed, expanded: $0.effort,
              isExact: $0.isExact)
          }
        }
      }
    }
    let reaches: [Float] = [2, 4, 8, 100]
    let ours = try reaches.map { try answers(reach: $0) }
    // Nobody else uses this index.
    UnsafeMutablePointer(mutating: index.store.walking.plane).pointee.hop = vz_hop_plain
    for (reach, ours) in zip(reaches, ours) {
      let plain = try answers(reach: reach)
      let differ = zip(ours, plain).count { $0 != $1 }
      #expect(differ == 0, "seed \(seed), reach \(reach): \(differ) of \(plain.count)")
    }
    // Far more than the far part has room for, or nothing was shown.
    #expect(ours[3].allSatisfy { $0.distances > 35_000 && !$0.isExact })
  }
}
