// Saving and loading: what comes back is what went in, and nothing that contradicts itself gets in.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct PartsTests {
  private func churned(_ kind: RecordIDKind, rows: Int = 1_500, dimension: Int = 13) throws -> HNSWIndex {
    var random = SeededRandom(seed: 4)
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: dimension, metric: .cosine, recordIDKind: kind, connectivity: 3, constructionEffort: 12))
    for n in 0..<rows { try index.insert(recordID(kind, n), random.vector(dimension: dimension)) }
    for n in stride(from: 0, to: rows, by: 3) { index.remove(recordID(kind, n)) }
    return index
  }

  @Test(arguments: RecordIDKind.allCases) func comesBackAsItWas(kind: RecordIDKind) throws {
    let index = try churned(kind)
    let copy = try reloaded(index)
    copy.checkInvariants()
    #expect(copy.count == 1_000)
    var random = SeededRandom(seed: 8)
    for _ in 0..<50 {
      let query = random.vector(dimension: 13)
      #expect(try copy.search(query, SearchOptions(k: 10)) == index.search(query, SearchOptions(k: 10)))
    }
    // Both go on alike, free slots and the layers of nodes to come included.
    for n in 2_000..<2_200 {
      let vector = random.vector(dimension: 13)
      try index.insert(recordID(kind, n), vector)
      try copy.insert(recordID(kind, n), vector)
    }
    copy.consolidate()
    copy.checkInvariants()
    #expect(copy.count == index.count)
  }

  @Test func emptyIndexComesBack() throws {
    let copy = try reloaded(try churned(.int64, rows: 0))
    #expect(copy.count == 0)
    try copy.insert(.int64(1), [Float](repeating: 1, count: 13))
    copy.checkInvariants()
  }

  @Test func removedRowsLeaveNoTrace() throws {
    let index = try HNSWIndex(configuration: HNSWConfiguration(dimension: 4, metric: .l2))
    for n in 0..<100 { try index.insert(.int64(Int64(n)), [Float(n), 1, 2, 3]) }
    try index.insert(.int64(7_777_777), [123_456, 1, 2, 3])
    index.remove(.int64(7_777_777))
    index.consolidate()
    let parts = try bytes(of: index)
    let secret = withUnsafeBytes(of: Float(123_456)) { Array($0) } + withUnsafeBytes(of: Float(1)) { Array($0) }
    let id = withUnsafeBytes(of: Int64(7_777_777)) { Array($0) }
    #expect(!contains(parts[.vectors] ?? [], secret) && !contains(parts[.ids] ?? [], id))
  }

  private func contains(_ bytes: [UInt8], _ needle: [UInt8]) -> Bool {
    stride(from: 0, through: bytes.count - needle.count, by: 4).contains {
      Array(bytes[$0..<($0 + needle.count)]) == needle
    }
  }

  @Test(arguments: testSeeds) func refusesContradictions(seed: UInt64) throws {
    print("damaged parts, seed \(seed)")
    var random = SeededRandom(seed: seed)
    let index = try churned(seed == 1 ? .text : .int64, rows: 300)
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
        let part = IndexPart.allCases.randomElement(using: &random)!
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
    let index = try HNSWIndex(configuration: HNSWConfiguration(dimension: 4, metric: .l2, recordIDKind: kind))
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
