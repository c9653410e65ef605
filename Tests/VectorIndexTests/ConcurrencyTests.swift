// Readers beside a writer: what they see is whole, at every moment.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct ConcurrencyTests {
  /// Rows 0..<1,000 stay, rows 1,000..<2,000 are replaced by other versions of themselves, rows above come and go. Each search
  /// must see each row that is there at most once, stay within what can be there, and come back full.
  @Test(arguments: testSeeds, [VectorStorage.f32, .f16, .int4x8])
  func searchesSeeWholeVersions(seed: UInt64, storage: VectorStorage) throws {
    print("readers beside a writer, \(storage.name), seed \(seed)")
    let dimension = 8
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: dimension, metric: .l2, storage: storage, connectivity: 8, constructionEffort: 40, seed: seed))
    var random = SeededRandom(seed: seed)
    let steady = (0..<2_000).map { _ in random.vector(dimension: dimension) }
    for (n, vector) in steady.enumerated() { try index.insert(.int64(Int64(n)), vector) }

    let done = Shared(false)
    let faults = Shared([String]())
    let searches = Shared(0)
    WorkerThreads.run(count: 3) { thread in
      var random = SeededRandom(seed: seed &* 31 &+ UInt64(thread))
      if thread == 0 {
        do {
          for step in 0..<6_000 {
            let n = Int64.random(in: 1_000..<2_400, using: &random)
            if n < 2_000 || step % 2 == 0 {
              try index.upsert(.int64(n), random.vector(dimension: dimension))
            } else {
              index.remove(.int64(n))
            }
          }
        } catch {
          faults.withLock { $0.append("\(error)") }
        }
        done.withLock { $0 = true }
        return
      }
      var scratch = SearchScratch(for: index)
      while !done.withLock({ $0 }) {
        let n = Int.random(in: 0..<1_000, using: &random)
        let exact = Int.random(in: 0..<8, using: &random) == 0
        do {
          let hits = try steady[n].withUnsafeBufferPointer {
            try index.search($0, SearchOptions(k: 50, effort: 80, exact: exact), scratch: &scratch) { $0.copied() }
          }
          searches.withLock { $0 += 1 }
          if hits.count != 50 { faults.withLock { $0.append("\(hits.count) results instead of 50") } }
          if Set(hits.map(\.id)).count != hits.count { faults.withLock { $0.append("a row came twice") } }
          // Rounding moves a row by less than that, and its neighbours are farther.
          let distanceMax: Float = storage == .f32 ? 0 : 0.02
          if exact, let hit = hits.first, hit.id != .int64(Int64(n)) || hit.distance > distanceMax {
            faults.withLock { $0.append("row \(n), which stays, was missed") }
          }
          for hit in hits {
            guard case .int64(let id) = hit.id, (0..<2_400).contains(id) else {
              faults.withLock { $0.append("row \(hit.id) was never there") }
              continue
            }
          }
          // All rows at once: those that stay and those that are replaced must all be there.
          if Int.random(in: 0..<50, using: &random) == 0 {
            let all = try steady[n].withUnsafeBufferPointer {
              try index.search($0, SearchOptions(k: 10_000), scratch: &scratch) { $0.copied() }
            }
            let ids = Set(all.map(\.id))
            if ids.count != all.count || !(0..<2_000).allSatisfy({ ids.contains(.int64($0)) }) {
              faults.withLock { $0.append("a row that is there throughout was missed, or came twice") }
            }
          }
        } catch {
          faults.withLock { $0.append("\(error)") }
        }
      }
    }
    #expect(faults.withLock { $0 }.isEmpty)
    #expect(searches.withLock { $0 } > 0)
    index.consolidate()
    index.checkInvariants()
  }

  /// A row whose neighbours are asked for while it is replaced never turns up among them, in whichever version.
  @Test(arguments: [VectorStorage.f32, .int4x16])
  func searchesNearARowThatIsReplacedLeaveItOut(storage: VectorStorage) throws {
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: 4, metric: .l2, storage: storage, connectivity: 4, constructionEffort: 16))
    var random = SeededRandom(seed: 3)
    for n in 0..<1_500 { try index.insert(.int64(Int64(n)), random.vector(dimension: 4)) }
    let done = Shared(false)
    let faults = Shared([String]())
    WorkerThreads.run(count: 2) { thread in
      do {
        if thread == 0 {
          var random = SeededRandom(seed: 9)
          // All versions are near each other, so an older one is among the nearest.
          for _ in 0..<40_000 { try index.upsert(.int64(7), random.vector(dimension: 4).map { $0 / 100 }) }
          done.withLock { $0 = true }
          return
        }
        var scratch = SearchScratch(for: index)
        while !done.withLock({ $0 }) {
          let hits = try index.search(near: .int64(7), SearchOptions(k: 5), scratch: &scratch) { $0.copied() } ?? []
          if hits.count != 5 { faults.withLock { $0.append("\(hits.count) results instead of 5") } }
          if hits.contains(where: { $0.id == .int64(7) }) { faults.withLock { $0.append("the row itself came") } }
        }
      } catch {
        faults.withLock { $0.append("\(error)") }
        done.withLock { $0 = true }
      }
    }
    #expect(faults.withLock { $0 }.isEmpty)
  }

  /// A slot lives from each even version to the next odd one, and is freed and taken again in between: a pinned reader sees it
  /// at even versions only, however its loads fall.
  @Test func reusedSlotsAreVisibleInTheirLivesOnly() throws {
    let store = try VectorStore(
      configuration: HNSWConfiguration(dimension: 1, metric: .l2, storage: .int4x8), kernels: DistanceKernels.selected()
    )
    try store.reserve(1, newIDs: 1)
    let vector: [Float] = [1]
    let done = Shared(false)
    let faults = Shared(0)
    WorkerThreads.run(count: 2) { thread in
      if thread == 0 {
        for step in 0..<200_000 {
          let slot = vector.withUnsafeBufferPointer { try? store.stage(.int64(1), $0, inverseLength: 1, previous: nil) }
          guard let slot else { break }
          // Every other row is given up before it is born, as when linking fails.
          if step % 2 == 0 {
            store.bear(slot, at: store.pins.current + 1)
            store.pins.publish(store.pins.current + 1)
            store.retire(slot, at: store.pins.current + 1)
            store.pins.publish(store.pins.current + 1)
            while store.pins.oldest() < store.pins.current { yieldThread() }
          }
          store.free([slot])
        }
        done.withLock { $0 = true }
        return
      }
      let pin = store.pins.take(for: .search)
      while !done.withLock({ $0 }) {
        for _ in 0..<100 {
          let version = store.pins.enter(pin)
          for _ in 0..<20 where store.isVisible(0, at: version) != (version % 2 == 0) { faults.withLock { $0 += 1 } }
          store.pins.leave(pin)
        }
      }
      store.pins.giveBack(pin)
    }
    #expect(faults.withLock { $0 } == 0)
    #expect(store.freeSlotCount == 1)
  }
}
