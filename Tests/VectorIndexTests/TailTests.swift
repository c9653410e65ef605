// Rows that are searchable before they are linked, and the thread that links them.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct TailTests {
  private static let dimension = 24

  private func index(_ storage: VectorStorage, seed: UInt64) throws -> HNSWIndex {
    try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: Self.dimension, metric: .cosine, storage: storage, connectivity: 8, constructionEffort: 40,
        seed: seed))
  }

  private func stage(_ vectors: [[Float]], from first: Int, in index: HNSWIndex) throws {
    let ids = vectors.indices.map { RecordID.int64(Int64(first + $0)) }
    _ = try Array(vectors.joined()).withUnsafeBufferPointer { try index.stage(ids, $0) }
  }

  /// 2,000 linked rows and 300 fresh ones, the latter near the former.
  @Test(arguments: VectorStorage.allCases) func freshRowsAreFoundOnceBeforeAndAfterLinking(storage: VectorStorage)
    throws
  {
    for seed in testSeeds {
      print("fresh rows, \(storage), seed \(seed)")
      var random = SeededRandom(seed: seed)
      let index = try index(storage, seed: seed)
      let old = (0..<2_000).map { _ in random.vector(dimension: Self.dimension) }
      try stage(old, from: 0, in: index)
      try index.linkStaged(threads: 2)
      let fresh = (0..<300).map { _ in random.vector(dimension: Self.dimension) }
      try stage(fresh, from: 5_000, in: index)
      for (n, vector) in fresh.enumerated() {
        #expect(try !index.search(vector, SearchOptions(k: 1)).contains { $0.id == .int64(Int64(5_000 + n)) })
      }
      try index.publishStaged()
      #expect(index.tailCount == 300 && index.count == 2_300)
      try check(index, fresh, from: 5_000)
      // Half of them linked, half of them not.
      #expect(index.linkTail(atMost: 150, threads: 2))
      #expect(index.tailCount == 150)
      try check(index, fresh, from: 5_000)
      index.remove(.int64(5_299))
      #expect(try !index.search(fresh[299], SearchOptions(k: 20)).contains { $0.id == .int64(5_299) })
      while index.linkTail(atMost: 64, threads: 1) {}
      #expect(index.tailCount == 0)
      try check(index, Array(fresh.dropLast()), from: 5_000)
      index.consolidate()
      index.checkInvariants()
    }
  }

  private func check(_ index: HNSWIndex, _ vectors: [[Float]], from first: Int) throws {
    for (n, vector) in vectors.enumerated() {
      let hits = try index.search(vector, SearchOptions(k: 10, effort: 60))
      #expect(hits.first?.id == .int64(Int64(first + n)))
      #expect(hits.count == 10 && Set(hits.map(\.id)).count == 10)
    }
  }

  /// Rows that die in the tail are never linked, and their slots are used again.
  @Test func rowsMayComeAndGoUnlinked() throws {
    var random = SeededRandom(seed: 5)
    let index = try index(.int4x8, seed: 5)
    let rows = (0..<1_500).map { _ in random.vector(dimension: Self.dimension) }
    try stage(rows, from: 0, in: index)
    try index.linkStaged(threads: 1)
    for round in 0..<20 {
      let fresh = (0..<100).map { _ in random.vector(dimension: Self.dimension) }
      try stage(fresh, from: 10_000, in: index)
      try index.publishStaged()
      for n in 0..<100 { #expect(index.removeRow(.int64(Int64(10_000 + n)))) }
      #expect(index.count == 1_500, "round \(round)")
      index.linkTail(atMost: .max, threads: 1)
    }
    #expect(index.statistics().retiredRows == 0)
    #expect(index.store.slotsUsed.load(ordering: .relaxed) <= 1_700, "slots were used again")
    index.checkInvariants()
  }

  /// Beside searches: a row that stays is found by every search for it, a row is never found twice, and one that was just written is
  /// found by the one who wrote it.
  @Test(arguments: testSeeds) func changesAreSeenAtOnceWhileAThreadLinks(seed: UInt64) throws {
    print("maintenance, seed \(seed)")
    var random = SeededRandom(seed: seed)
    let index = try index(.int4x16, seed: seed)
    let steady = (0..<1_500).map { _ in random.vector(dimension: Self.dimension) }
    try stage(steady, from: 0, in: index)
    try index.linkStaged(threads: 2)
    let maintenance = Maintenance(of: index)

    let done = Shared(false)
    let faults = Shared([String]())
    WorkerThreads.run(count: 3) { thread in
      var random = SeededRandom(seed: seed &* 31 &+ UInt64(thread))
      var scratch = SearchScratch(for: index)
      if thread == 0 {
        for step in 0..<4_000 {
          let id = RecordID.int64(Int64.random(in: 5_000..<6_000, using: &random))
          let vector = random.vector(dimension: Self.dimension)
          do {
            if step % 4 == 3 { index.remove(id) } else { try index.upsert(id, vector) }
            let hits = try vector.withUnsafeBufferPointer {
              try index.search($0, SearchOptions(k: 5, exact: true), scratch: &scratch) { $0.copied() }
            }
            if (hits.first?.id == id) == (step % 4 == 3) { faults.withLock { $0.append("\(id) in step \(step)") } }
          } catch {
            faults.withLock { $0.append("\(error)") }
          }
        }
        done.withLock { $0 = true }
        return
      }
      while !done.withLock({ $0 }) {
        let n = Int.random(in: 0..<steady.count, using: &random)
        do {
          let hits = try steady[n].withUnsafeBufferPointer {
            try index.search($0, SearchOptions(k: 20, effort: 200), scratch: &scratch) { $0.copied() }
          }
          if hits.count != 20 { faults.withLock { $0.append("\(hits.count) results instead of 20") } }
          if Set(hits.map(\.id)).count != hits.count { faults.withLock { $0.append("a row came twice") } }
          if hits.first?.id != .int64(Int64(n)) { faults.withLock { $0.append("row \(n), which stays, was missed") } }
        } catch {
          faults.withLock { $0.append("\(error)") }
        }
      }
    }
    #expect(faults.withLock { $0 }.isEmpty)
    maintenance.catchUp()
    #expect(index.tailCount == 0)
    maintenance.stop()
    // Without it, a change links its row itself.
    try index.upsert(.int64(9_999), steady[0])
    #expect(index.tailCount == 0)
    index.consolidate()
    index.checkInvariants()
  }
}
