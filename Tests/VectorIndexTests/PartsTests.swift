// Saving and loading: what comes back is what went in, and nothing that contradicts itself gets in.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct PartsTests {
  private func churned(
    _ kind: RecordIDKind, _ storage: VectorStorage = .f32, _ metric: Metric = .cosine, rows: Int = 1_500,
    dimension: Int = 13
  ) throws -> HNSWIndex {
    var random = SeededRandom(seed: 4)
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: dimension, metric: metric, recordIDKind: kind, storage: storage, connectivity: 3,
        constructionEffort: 12))
    for n in 0..<rows { try index.insert(recordID(kind, n), random.vector(dimension: dimension)) }
    for n in stride(from: 0, to: rows, by: 3) { index.remove(recordID(kind, n)) }
    return index
  }

  @Test(arguments: RecordIDKind.allCases) func comesBackWithItsIDs(kind: RecordIDKind) throws {
    try comesBackAsItWas(kind, try churned(kind))
  }

  @Test(arguments: VectorStorage.allCases, Metric.allCases)
  func comesBackWithItsRows(storage: VectorStorage, metric: Metric) throws {
    try comesBackAsItWas(.int64, try churned(.int64, storage, metric, rows: 3_000))
  }

  private func comesBackAsItWas(_ kind: RecordIDKind, _ index: HNSWIndex) throws {
    let parts = try bytes(of: index)
    #expect(Set(parts.keys) == Set(IndexPart.parts(of: index.configuration.storage)))
    let copy = try reloaded(index)
    copy.checkInvariants()
    #expect(try bytes(of: copy) == parts, "and is saved as it was")
    #expect(copy.count == index.count && copy.statistics().rows == index.statistics().rows)
    var random = SeededRandom(seed: 8)
    for _ in 0..<50 {
      let query = random.vector(dimension: 13)
      // Same walk, same answer: the codes that were made anew are those that were there.
      for options in [SearchOptions(k: 10, effort: 20), SearchOptions(k: 10, exact: true)] {
        #expect(try copy.search(query, options) == index.search(query, options))
      }
    }
    for n in 0..<300 { #expect(copy.vector(of: recordID(kind, n)) == index.vector(of: recordID(kind, n))) }
    // Both go on alike, free slots and the layers of nodes to come included.
    for n in 10_000..<10_200 {
      let vector = random.vector(dimension: 13)
      try index.insert(recordID(kind, n), vector)
      try copy.insert(recordID(kind, n), vector)
    }
    copy.consolidate()
    copy.checkInvariants()
    #expect(copy.count == index.count)
  }

  @Test(arguments: VectorStorage.allCases) func emptyIndexComesBack(storage: VectorStorage) throws {
    let copy = try reloaded(try churned(.int64, storage, rows: 0))
    #expect(copy.count == 0)
    try copy.insert(.int64(1), [Float](repeating: 1, count: 13))
    copy.checkInvariants()
  }

  @Test func removedRowsLeaveNoTrace() throws {
    let index = try HNSWIndex(configuration: HNSWConfiguration(dimension: 4, metric: .l2, storage: .f32))
    for n in 0..<100 { try index.insert(.int64(Int64(n)), [Float(n), 1, 2, 3]) }
    try index.insert(.int64(7_777_777), [123_456, 1, 2, 3])
    index.remove(.int64(7_777_777))
    index.consolidate()
    let parts = try bytes(of: index)
    let secret = withUnsafeBytes(of: Float(123_456)) { Array($0) } + withUnsafeBytes(of: Float(1)) { Array($0) }
    let id = withUnsafeBytes(of: Int64(7_777_777)) { Array($0) }
    #expect(!contains(parts[.vectors] ?? [], secret) && !contains(parts[.ids] ?? [], id))
  }

  /// Whatever a row left in its representation and beside it is gone with it, while its neighbours' stay.
  @Test(arguments: VectorStorage.allCases) func removedRowsAreSavedAsZeros(storage: VectorStorage) throws {
    for metric in Metric.allCases {
      let index = try churned(.int64, storage, metric, rows: 300)
      let parts = try bytes(of: index)
      let layers = try #require(parts[.layers])
      #expect(layers.count { $0 == 0 } > 0 && layers.count { $0 != 0 } == 200)
      for part in [IndexPart.vectors, .sides, .ids] where part != .sides || storage != .f32 {
        let content = try #require(parts[part])
        let cell = content.count / layers.count
        for (slot, layer) in layers.enumerated() where part != .ids || slot > 0 {
          let isZero = content[(slot * cell)..<((slot + 1) * cell)].allSatisfy { $0 == 0 }
          #expect(isZero == (layer == 0), "\(part.name) of slot \(slot)")
        }
      }
    }
  }

  private func contains(_ bytes: [UInt8], _ needle: [UInt8]) -> Bool {
    stride(from: 0, through: bytes.count - needle.count, by: 4).contains {
      Array(bytes[$0..<($0 + needle.count)]) == needle
    }
  }

  @Test(arguments: testSeeds, VectorStorage.allCases)
  func refusesContradictions(seed: UInt64, storage: VectorStorage) throws {
    print("damaged parts, \(storage.name), seed \(seed)")
    var random = SeededRandom(seed: seed)
    let index = try churned(seed == 1 ? .text : .int64, storage, rows: 300)
    let parts = try bytes(of: index)
    let header = index.withFrozen { $0.header }
    var refused = 0
    for _ in 0..<400 {
      var damaged = parts
      var changed = header
      switch Int.random(in: 0..<8, using: &random) {
      case 0: changed.slots = UInt64.random(in: 0...UInt64.max, using: &random)
      case 1: changed.entrySlot = UInt32.random(in: 0...400, using: &random)
      case 2: changed.entryLayer &+= 1
      case 3: changed.rows &+= 1
      default:
        let part = IndexPart.parts(of: storage).randomElement(using: &random)!
        let count = parts[part]!.count
        if Bool.random(using: &random) {
          damaged[part]!.removeLast(Int.random(in: 1...count, using: &random))
        } else {
          for _ in 0..<4 {
            damaged[part]![Int.random(in: 0..<count, using: &random)] = UInt8.random(in: 0...255, using: &random)
          }
        }
      }
      do {
        let copy = try restored(index.configuration, changed, damaged)
        // Numbers that agree with each other are beyond what this layer can know; searching must be safe all the same.
        _ = try copy.search(random.vector(dimension: 13), SearchOptions(k: 300, effort: 300))
      } catch let error as IndexError {
        #expect(error.code == .inconsistentParts)
        refused += 1
      }
    }
    #expect(refused > 100)
  }

  /// What is derived from a row must follow from it: one bit in a side, or the row of another slot, is noticed.
  @Test(arguments: VectorStorage.allCases.filter { $0 != .f32 }, Metric.allCases)
  func refusesSidesOfOtherRows(storage: VectorStorage, metric: Metric) throws {
    let index = try churned(.int64, storage, metric, rows: 60)
    let parts = try bytes(of: index)
    let header = index.withFrozen { $0.header }
    let slot = try #require(parts[.layers]?.lastIndex { $0 > 0 })
    for bit in 0..<64 {
      var damaged = parts
      damaged[.sides]![slot * 8 + bit / 8] ^= 1 << UInt8(bit % 8)
      let side = damaged[.sides]!.withUnsafeBytes { bytes in
        (0..<2).map { bytes.loadUnaligned(fromByteOffset: slot * 8 + 4 * $0, as: Float.self) }
      }
      // What the numbers are multiplied with is free where no length depends on it, as long as a vector comes of it; and
      // so is the sign of a zero.
      let isFree = metric == .cosine ? bit >= 32 : metric == .innerProduct && bit < 32
      let unit = metric == .cosine ? side[1] : side[0]
      if isFree, (1e30...Float.greatestFiniteMagnitude).contains(unit) { continue }
      if isFree && unit.isFinite && unit > 0 || metric == .innerProduct && bit == 63 {
        #expect(try restored(index.configuration, header, damaged).count == 40)
      } else {
        let error = #expect(throws: IndexError.self, "bit \(bit)") {
          try restored(index.configuration, header, damaged)
        }
        #expect(error?.code == .inconsistentParts)
      }
    }
    guard metric != .innerProduct else { return }
    var damaged = parts
    let cell = index.store.fine.rowBytes
    let other = try #require(parts[.layers]?.firstIndex { $0 > 0 })
    let row = Array(parts[.vectors]![(other * cell)..<((other + 1) * cell)])
    damaged[.vectors]!.replaceSubrange((slot * cell)..<((slot + 1) * cell), with: row)
    #expect(throws: IndexError.self) { try restored(index.configuration, header, damaged) }
  }

  @Test func refusesNumbersAtTheirLimits() throws {
    let index = try churned(.text, rows: 30)
    let parts = try bytes(of: index)
    let header = index.withFrozen { $0.header }
    var changed = header
    changed.entryLayer = .max
    #expect(throws: IndexError.self) { try restored(index.configuration, changed, parts) }
    // A part that is missing altogether.
    #expect(throws: IndexError.self) {
      try HNSWIndex.restored(
        configuration: index.configuration, header: header, threads: 1,
        byteCount: { $0 == .ids ? -1 : parts[$0]?.count ?? 0 },
        load: { part, buffer in buffer.copyBytes(from: parts[part] ?? []) })
    }
    // Any count of insertions is as good as another.
    changed = header
    changed.insertions = .max
    let copy = try restored(index.configuration, changed, parts)
    for n in 100..<103 { try copy.insert(recordID(.text, n), [Float](repeating: 1, count: 13)) }
    copy.checkInvariants()
  }

  @Test func linksBehindTheEndOfARowAreNeverFollowed() throws {
    let index = try churned(.int64, rows: 300)
    var parts = try bytes(of: index)
    let stride = index.graph.groundStride
    var ground = try #require(parts[.groundLinks])
    let none: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF]
    for slot in 0..<(ground.count / 4 / stride) {
      let row = (slot * stride)..<((slot + 1) * stride)
      guard let end = row.first(where: { Array(ground[($0 * 4)..<($0 * 4 + 4)]) == none }) else { continue }
      for byte in ((end + 1) * 4)..<(row.upperBound * 4) { ground[byte] = 0x7F }
    }
    parts[.groundLinks] = ground
    let copy = try restored(index.configuration, index.withFrozen { $0.header }, parts)
    var random = SeededRandom(seed: 3)
    for n in 1_000..<1_300 { try copy.insert(.int64(Int64(n)), random.vector(dimension: 13)) }
    copy.consolidate()
    copy.checkInvariants()
  }

  @Test(arguments: [RecordIDKind.int64, .uuid]) func removedRowsLeaveNoTraceUnderAReader(kind: RecordIDKind) throws {
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(dimension: 4, metric: .l2, recordIDKind: kind, storage: .f32))
    for n in 0..<100 { try index.insert(recordID(kind, n), [Float(n), 1, 2, 3]) }
    let removed = RecordID.uuid(high: 0x7777_7777_7777_7777, low: 0x7777_7777_7777_7777)
    let id = kind == .uuid ? removed : .int64(0x7777_7777_7777_7777)
    try index.insert(id, [123_456, 1, 2, 3])
    var scratch = SearchScratch(for: index)
    let parts = try [0, 1, 2, 3].withUnsafeBufferPointer { query throws(IndexError) in
      // The reader stays on its version while the row is removed and the index saved.
      try index.search(query, SearchOptions(k: 1), scratch: &scratch) { _ in
        index.remove(id)
        return Result { try bytes(of: index) }
      }
    }.get()
    let secret = withUnsafeBytes(of: Float(123_456)) { Array($0) } + withUnsafeBytes(of: Float(1)) { Array($0) }
    #expect(!contains(parts[.vectors] ?? [], secret))
    #expect(!contains(parts[.ids] ?? [], [UInt8](repeating: 0x77, count: 8)))
  }
}
