// Regions out of which nearly everything was removed: what is left must be found, and searches there must come out again.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct EmptiedRegionTests {
  private let dimension = 16

  /// `far` rows around the origin and `near` rows in a small cluster far off, whose ids come after.
  private func makeIndex(
    far: Int, near: Int, _ storage: VectorStorage, _ random: inout SeededRandom
  ) throws -> HNSWIndex {
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: dimension, metric: .l2, storage: storage, connectivity: 8, constructionEffort: 60))
    var values: [Float] = []
    for _ in 0..<far { values += random.vector(dimension: dimension) }
    for _ in 0..<near { values += inCluster(&random) }
    let ids = (0..<(far + near)).map { RecordID.int64(Int64($0)) }
    _ = try values.withUnsafeBufferPointer { try index.stage(ids, $0) }
    try index.linkStaged(threads: 2)
    return index
  }

  private func inCluster(_ random: inout SeededRandom) -> [Float] {
    random.vector(dimension: dimension).map { 8 + 0.1 * $0 }
  }

  @Test(arguments: VectorStorage.allCases) func whatIsLeftIsNoTrap(storage: VectorStorage) throws {
    var random = SeededRandom(seed: 3)
    let index = try makeIndex(far: 4_000, near: 4_000, storage, &random)
    for n in 4_000..<7_989 { index.remove(.int64(Int64(n))) }
    index.consolidate()
    index.checkInvariants()
    for _ in 0..<20 {
      let query = inCluster(&random)
      var scratch = SearchScratch(for: index)
      let (hits, isExact) = try query.withUnsafeBufferPointer {
        try index.search($0, SearchOptions(k: 50, effort: 100), scratch: &scratch) { ($0.copied(), $0.isExact) }
      }
      #expect(!isExact, "the graph leads out of the region")
      #expect(Set(hits.prefix(11).map(\.id)) == Set((7_989..<8_000).map { .int64($0) }))
      #expect(hits.count == 50)
    }
  }

  @Test(arguments: [VectorStorage.f32, .int4x16])
  func searchesAndInsertionsAmongRemovedRowsAreRight(storage: VectorStorage) throws {
    var random = SeededRandom(seed: 4)
    // The removals stay below the share that is mended at once, and above what a walk goes through.
    let index = try makeIndex(far: 100_000, near: 6_000, storage, &random)
    for n in 100_000..<106_000 { index.remove(.int64(Int64(n))) }
    #expect(index.statistics().retiredRows == 6_000)
    let query = inCluster(&random)
    let hits = try index.search(query, SearchOptions(k: 20, effort: 50))
    #expect(hits == (try index.search(query, SearchOptions(k: 20, exact: true))))
    let inserted = (0..<100).map { _ in inCluster(&random) }
    for (n, vector) in inserted.enumerated() { try index.insert(.int64(Int64(200_000 + n)), vector) }
    for (n, vector) in inserted.enumerated() {
      let nearest = try index.search(vector, SearchOptions(k: 1, effort: 100)).first
      #expect(nearest == (try index.search(vector, SearchOptions(k: 1, exact: true)).first))
      if storage == .f32 { #expect(nearest == SearchHit(id: .int64(Int64(200_000 + n)), distance: 0)) }
    }
  }
}
