// Stamps: what is said of a row is given back, saved and loaded, counted, and gone with the row.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct StampTests {
  private func configuration(keepsStamps: Bool = true) -> HNSWConfiguration {
    var configuration = HNSWConfiguration(
      dimension: 4, metric: .l2, storage: .f32, connectivity: 4, constructionEffort: 8)
    configuration.keepsStamps = keepsStamps
    return configuration
  }

  private func stamp(_ n: Int) -> RowStamp {
    RowStamp(vector: mixed(UInt64(n)), row: mixed(UInt64(n) + 1_000_000))
  }

  /// 90 rows, of which every third was removed and every fifth got another stamp.
  private func churned() throws -> (index: HNSWIndex, stamps: [RecordID: RowStamp]) {
    var random = SeededRandom(seed: 5)
    let index = try HNSWIndex(configuration: configuration())
    var stamps: [RecordID: RowStamp] = [:]
    for n in 0..<90 { stamps[.int64(Int64(n))] = stamp(n) }
    _ = try random.vector(dimension: 4 * 90).withUnsafeBufferPointer {
      try index.stage((0..<90).map { .int64(Int64($0)) }, $0, stamps: (0..<90).map(stamp))
    }
    try index.linkStaged(threads: 1)
    for n in stride(from: 0, to: 90, by: 5) {
      let id = RecordID.int64(Int64(n))
      try index.apply([RowChange(id, .write(vector: nil, stamp: RowStamp(vector: 0, row: UInt64(n))))])
      stamps[id]?.row = UInt64(n)
    }
    for n in stride(from: 0, to: 90, by: 3) {
      index.remove(.int64(Int64(n)))
      stamps[.int64(Int64(n))] = nil
    }
    return (index, stamps)
  }

  private func expect(_ index: HNSWIndex, _ stamps: [RecordID: RowStamp], _ comment: Comment) {
    for n in 0..<100 { #expect(index.stamp(of: .int64(Int64(n))) == stamps[.int64(Int64(n))], comment) }
    var found: [RecordID: RowStamp] = [:]
    index.forEachStamp { id, stamp in #expect(found.updateValue(stamp, forKey: id) == nil, comment) }
    #expect(found == stamps, comment)
  }

  @Test func comeBackThroughSnapshots() throws {
    let (index, stamps) = try churned()
    expect(index, stamps, "as they were given")
    let parts = try bytes(of: index)
    #expect(parts[.stamps]?.count == 90 * 16)
    let copy = try reloaded(index)
    expect(copy, stamps, "loaded")
    #expect(try bytes(of: copy) == parts, "and is saved as it was")
    // Rows that come for the free slots have none of those before them.
    for n in 0..<30 { try copy.insert(.int64(Int64(200 + n)), [1, 2, 3, Float(n)]) }
    for n in 0..<30 { #expect(copy.stamp(of: .int64(Int64(200 + n))) == .unknown) }
  }

  @Test func goWithTheirRows() throws {
    let (index, _) = try churned()
    let parts = try bytes(of: index)
    let saved = try #require(parts[.stamps])
    let layers = try #require(parts[.layers])
    for (slot, layer) in layers.enumerated() where slot > 0 {
      #expect(saved[(slot * 16)..<(slot * 16 + 16)].allSatisfy { $0 == 0 } == (layer == 0), "slot \(slot)")
    }
    // What stands for a free slot is passed over.
    var changed = parts
    for (slot, layer) in layers.enumerated() where layer == 0 { changed[.stamps]?[slot * 16] = 77 }
    let copy = try restored(index.configuration, index.withFrozen { $0.header }, changed)
    #expect(try bytes(of: copy) == parts)
  }

  @Test(arguments: testSeeds) func damageIsRefusedOrHarmless(seed: UInt64) throws {
    print("damaged stamps, seed \(seed)")
    var random = SeededRandom(seed: seed)
    let (index, _) = try churned()
    let parts = try bytes(of: index)
    let header = index.withFrozen { $0.header }
    let saved = try #require(parts[.stamps])
    var refused = 0
    for round in 0..<200 {
      var damaged = parts
      switch round % 4 {
      case 0: damaged[.stamps] = Array(saved.dropLast(Int.random(in: 1...saved.count, using: &random)))
      case 1: damaged[.stamps] = saved + [UInt8](repeating: 1, count: Int.random(in: 1...40, using: &random))
      default: damaged[.stamps]?[Int.random(in: saved.indices, using: &random)] ^= 1 << UInt8(round % 8)
      }
      do {
        let copy = try restored(index.configuration, header, damaged)
        #expect(round % 4 > 1, "a part of another length")
        var count = 0
        copy.forEachStamp { _, _ in count += 1 }
        #expect(count == 60)
      } catch let error as IndexError {
        #expect(error.code == .inconsistentParts && error.message.contains("stamps"))
        refused += 1
      }
    }
    #expect(refused == 100)
  }

  @Test func indexesWithoutThemAreAsTheyWere() throws {
    let index = try HNSWIndex(configuration: configuration(keepsStamps: false))
    _ = try [Float](repeating: 1, count: 8).withUnsafeBufferPointer {
      try index.stage([.int64(1), .int64(2)], $0, stamps: [stamp(1), stamp(2)])
    }
    try index.linkStaged(threads: 1)
    #expect(index.stamp(of: .int64(1)) == nil)
    #expect(try bytes(of: index)[.stamps] == nil)
    #expect(!IndexPart.parts(of: index.configuration).contains(.stamps))
  }

  @Test func theirMemoryIsCounted() throws {
    let (plain, stamped) = (configuration(keepsStamps: false), configuration())
    #expect(stamped.bytesPerVector == plain.bytesPerVector + 16)
    let rows = 40_000
    var committed: [Int] = []
    for configuration in [plain, stamped] {
      let index = try HNSWIndex(configuration: configuration)
      _ = try [Float](repeating: 1, count: 4 * rows).withUnsafeBufferPointer {
        try index.stage((0..<rows).map { .int64(Int64($0)) }, $0)
      }
      let found = index.statistics().bytes
      #expect(index.store.memory.budget.committedBytes == found)
      let needed = HNSWIndex.bytesNeeded(rows: rows, configuration: configuration)
      #expect(abs(needed - found) <= found / 20 + 64 * configuration.bytesPerVector + 64 << 10)
      committed.append(found)
    }
    #expect((rows * 16...rows * 18 + 65_536).contains(committed[1] - committed[0]))
  }

  /// Beside a thread that gives all of 40 rows the same stamp, in one transaction after the other, with and without vectors: every look at
  /// all stamps sees one transaction's, and a look at one row's sees a vector's stamp of the transaction that wrote its vector.
  @Test func aLookAtAllIsOfOneMoment() throws {
    let index = try HNSWIndex(configuration: configuration())
    let maintenance = Maintenance(of: index)
    let done = Shared(false)
    let faults = Shared([String]())
    @Sendable func write(_ n: UInt64) throws {
      var random = SeededRandom(seed: n)
      // Vectors come with every even transaction.
      let stamp = RowStamp(vector: n, row: n)
      try index.apply(
        (0..<40).map {
          RowChange(.int64($0), .write(vector: n % 2 == 0 ? random.vector(dimension: 4) : nil, stamp: stamp))
        })
    }
    try write(2)
    WorkerThreads.run(count: 3) { thread in
      do {
        if thread == 0 {
          defer { done.withLock { $0 = true } }
          for n in 3..<3_000 as Range<UInt64> { try write(n) }
          return
        }
        while !done.withLock({ $0 }) {
          var seen: Set<RowStamp> = []
          var count = 0
          index.forEachStamp { _, stamp in
            seen.insert(stamp)
            count += 1
          }
          if seen.count != 1 || count != 40 { faults.withLock { $0.append("\(seen.count) stamps of \(count) rows") } }
          for n in 0..<40 as Range<Int64> {
            guard let stamp = index.stamp(of: .int64(n)) else {
              faults.withLock { $0.append("row \(n) has no stamp") }
              continue
            }
            // The row's may be one transaction newer than the vector's.
            if stamp.vector % 2 != 0 || !(stamp.vector...(stamp.vector + 1)).contains(stamp.row) {
              faults.withLock { $0.append("\(stamp)") }
            }
          }
        }
      } catch {
        faults.withLock { $0.append("\(error)") }
      }
    }
    maintenance.stop()
    #expect(faults.withLock { Array($0.prefix(5)) }.isEmpty)
  }
}
