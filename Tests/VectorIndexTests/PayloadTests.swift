// Payload: what goes in comes out, whatever happened to the rows around it, and nothing that contradicts itself gets in.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct PayloadTests {
  /// A compression that the tests can see through: pairs of a count and a byte.
  private struct RunLengths: PayloadCodec {
    func compress(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Int {
      var used = 0
      var next = 0
      while next < source.count {
        let run = source[next...].prefix(255).prefix { $0 == source[next] }.count
        guard used + 2 <= target.count else { return 0 }
        target[used] = UInt8(run)
        target[used + 1] = source[next]
        used += 2
        next += run
      }
      return used
    }

    func decompress(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Bool {
      guard source.count % 2 == 0 else { return false }
      var used = 0
      for pair in 0..<(source.count / 2) {
        let run = Int(source[2 * pair])
        guard used + run <= target.count else { return false }
        for i in 0..<run { target[used + i] = source[2 * pair + 1] }
        used += run
      }
      return used == target.count
    }
  }

  private func configuration(_ columns: [String] = ["title", "body"]) -> HNSWConfiguration {
    var configuration = HNSWConfiguration(
      dimension: 2, metric: .l2, storage: .f32, connectivity: 4, constructionEffort: 8)
    configuration.payload = columns
    return configuration
  }

  private func payload(_ random: inout SeededRandom) -> [String?] {
    if random.chance(10) { return [nil, nil] }
    let body = String(
      repeating: random.pick(["a", "é", "\u{10FFFF}", " ", "\0"]), count: Int.random(in: 0...2_000, using: &random))
    return [
      random.chance(20) ? nil : "title \(Int.random(in: 0..<99, using: &random))", random.chance(20) ? nil : body,
    ]
  }

  private func stage(_ index: HNSWIndex, _ ids: Range<Int64>, _ rows: [[String?]], _ random: inout SeededRandom) throws
  {
    let vectors = random.vector(dimension: 2 * ids.count)
    _ = try vectors.withUnsafeBufferPointer {
      try index.stage(ids.map { .int64($0) }, $0, attributes: nil, payload: rows)
    }
    try index.linkStaged(threads: 1, calibrates: false)
  }

  private func expect(_ index: HNSWIndex, _ rows: [Int64: [String?]], _ comment: Comment) {
    for id in Int64(0)..<1_000 { #expect(index.payload(of: .int64(id)) == rows[id], comment) }
  }

  @Test(arguments: testSeeds) func comesBackThroughChangesAndSnapshots(seed: UInt64) throws {
    print("payload, seed \(seed)")
    var random = SeededRandom(seed: seed)
    for codec in [RunLengths(), nil] as [(any PayloadCodec)?] {
      var index = try HNSWIndex(configuration: configuration(), payloadCodec: codec)
      var rows: [Int64: [String?]] = [:]
      for round in 0..<8 {
        let ids = Int64(round * 100)..<Int64(round * 100 + Int.random(in: 1...100, using: &random))
        let fresh = ids.map { _ in payload(&random) }
        try stage(index, ids, fresh, &random)
        for (id, values) in zip(ids, fresh) { rows[id] = values }
        for _ in 0..<80 {
          // Ids that are staged later are left alone.
          let known = Int64(round + 1) * 100
          let id =
            random.chance(80) ? Int64.random(in: 0..<known, using: &random) : .random(in: 900..<1_000, using: &random)
          if random.chance(40) {
            index.remove(.int64(id))
            rows[id] = nil
          } else {
            // The vector alone: the payload stays; a row that is new has none.
            try index.upsert(.int64(id), random.vector(dimension: 2))
            rows[id] = rows[id] ?? [nil, nil]
          }
        }
        if random.chance(50) { index.consolidate() }
        expect(index, rows, "round \(round), seed \(seed)")
        let parts = try bytes(of: index)
        let copy = try reloaded(index, parts, codec)
        expect(copy, rows, "loaded, round \(round), seed \(seed)")
        #expect(try bytes(of: copy) == parts, "and saved as it was: round \(round), seed \(seed)")
        if random.chance(50) { index = copy }
      }
      #expect(index.statistics().payloadBytes > 0)
    }
  }

  private func reloaded(
    _ index: HNSWIndex, _ parts: [IndexPart: [UInt8]], _ codec: (any PayloadCodec)?
  ) throws -> HNSWIndex {
    try HNSWIndex.restored(
      configuration: index.configuration, header: index.withFrozen { $0.header }, threads: 2, payloadCodec: codec,
      byteCount: { parts[$0]?.count ?? 0 }, load: { part, buffer in buffer.copyBytes(from: parts[part] ?? []) })
  }

  /// What a hit brings is its row's, as the search's version has it, whatever happens to that row while the hits are looked at.
  @Test(arguments: testSeeds) func hitsBringTheRowThatWasFound(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let index = try HNSWIndex(configuration: configuration(), payloadCodec: RunLengths())
    try stage(index, 0..<200, (0..<200).map { ["row \($0)", random.chance(30) ? nil : "text"] }, &random)
    var scratch = SearchScratch(for: index)
    var next = Int64(1_000)
    for round in 0..<30 {
      var options = RetrievalOptions(search: SearchOptions(k: 10))
      if round % 3 == 1 { options.offset = 1 }
      if round % 3 == 2 { options.diversity = Diversity(lambda: 0.5) }
      let query = random.vector(dimension: 2)
      let outcome = try query.withUnsafeBufferPointer { query throws(IndexError) in
        try index.retrieve(query, options, scratch: &scratch) { hits in
          Result {
            let before = (0..<hits.count).map { index.payload(of: hits.id(at: $0)) }
            // One goes, one gets another payload, the others another vector; and new rows come for the places that are free.
            index.remove(hits.id(at: 0))
            index.remove(hits.id(at: 1))
            try restage(index, [hits.id(at: 1)], &random)
            for i in 2..<hits.count { try index.upsert(hits.id(at: i), random.vector(dimension: 2)) }
            try restage(index, (next..<(next + 12)).map { .int64($0) }, &random)
            next += 12
            for i in 0..<hits.count {
              #expect(hits.payload(at: i) == before[i], "hit \(i), round \(round), seed \(seed)")
            }
            #expect(index.payload(of: hits.id(at: 1)) == ["fresh", nil])
          }
        }
      }
      try outcome.get()
    }
    let bare = try HNSWIndex(configuration: configuration([]))
    try bare.insert(.int64(1), [1, 2])
    try [Float(1), 2].withUnsafeBufferPointer { query in
      var scratch = SearchScratch(for: bare)
      try bare.search(query, SearchOptions(k: 1), scratch: &scratch) { #expect($0.payload(at: 0) == []) }
    }
  }

  private func restage(_ index: HNSWIndex, _ ids: [RecordID], _ random: inout SeededRandom) throws {
    let vectors = random.vector(dimension: 2 * ids.count)
    _ = try vectors.withUnsafeBufferPointer {
      try index.stage(ids, $0, attributes: nil, payload: ids.map { _ in ["fresh", nil] })
    }
    try index.linkStaged(threads: 1, calibrates: false)
  }

  @Test func removedRowsLeaveNoTrace() throws {
    var random = SeededRandom(seed: 3)
    let index = try HNSWIndex(configuration: configuration())
    let rows = (0..<60).map { n -> [String?] in ["row \(n)", n == 30 ? "secret!!" : "open"] }
    try stage(index, 0..<60, rows, &random)
    func holdsSecret() throws -> Bool {
      let bytes = try bytes(of: index)[.payloadBlocks] ?? []
      return String(decoding: bytes, as: UTF8.self).contains("secret!!")
    }
    #expect(try holdsSecret())
    index.remove(.int64(30))
    #expect(try !holdsSecret())
    #expect(try reloaded(index, bytes(of: index), nil).payload(of: .int64(31)) == ["row 31", "open"])
  }

  @Test func whatDoesNotFitIsRefused() throws {
    func refusal(_ body: () throws -> Void) -> IndexError? {
      do {
        try body()
        return nil
      } catch { return error as? IndexError }
    }
    var random = SeededRandom(seed: 3)
    let index = try HNSWIndex(configuration: configuration())
    for rows: [[String?]] in [[], [["a"]], [["a", "b", "c"]], [["", String(repeating: "x", count: 1 << 20)]]] {
      #expect(refusal { try stage(index, 0..<1, rows, &random) }?.code == .payloadMismatch)
    }
    let longest = String(repeating: "x", count: (1 << 20) - 8)
    try stage(index, 0..<1, [["", longest]], &random)
    #expect(index.payload(of: .int64(0)) == ["", longest] && index.payload(of: .int64(1)) == nil)
    for columns in [["a", "a"], [""], ["x\0"], [String(repeating: "x", count: 64)], (0...64).map { "c\($0)" }] {
      #expect(refusal { _ = try HNSWIndex(configuration: configuration(columns)) }?.code == .invalidConfiguration)
    }
  }

  @Test(arguments: testSeeds) func refusesContradictions(seed: UInt64) throws {
    print("damaged payload, seed \(seed)")
    var random = SeededRandom(seed: seed)
    let codec = RunLengths()
    let index = try HNSWIndex(configuration: configuration(), payloadCodec: codec)
    try stage(index, 0..<100, (0..<100).map { _ in payload(&random) }, &random)
    for id in stride(from: Int64(0), to: 100, by: 9) { index.remove(.int64(id)) }
    let parts = try bytes(of: index)
    var refused = 0
    for round in 0..<600 {
      let part = round % 2 == 0 ? IndexPart.payloadEntries : .payloadBlocks
      var damaged = parts
      var bytes = try #require(parts[part])
      switch Int.random(in: 0..<5, using: &random) {
      case 0: bytes.removeLast(Int.random(in: 1...bytes.count, using: &random))
      case 1: bytes += [UInt8](repeating: 0, count: 8)
      default:
        for _ in 0..<Int.random(in: 1...4, using: &random) {
          bytes[Int.random(in: 0..<bytes.count, using: &random)] = random.pick([0, 1, 2, 0x7F, 0x80, 0xFF])
        }
      }
      damaged[part] = bytes
      do {
        let copy = try reloaded(index, damaged, codec)
        for id in 0..<Int64(110) { _ = copy.payload(of: .int64(id)) }
      } catch let error as IndexError {
        #expect(error.code == .inconsistentParts || error.code == .outOfMemory, "\(error)")
        refused += 1
      }
    }
    #expect(refused > 250)
  }

  @Test func compressedBlocksNeedTheirCodec() throws {
    var random = SeededRandom(seed: 3)
    let codec = RunLengths()
    let index = try HNSWIndex(configuration: configuration(), payloadCodec: codec)
    let text = String(repeating: "a", count: 200)
    try stage(index, 0..<200, (0..<200).map { _ in [text, text] }, &random)
    let parts = try bytes(of: index)
    #expect(try #require(parts[.payloadBlocks]).count < 200 * 400 / 10)
    #expect(try reloaded(index, parts, codec).payload(of: .int64(199)) == [text, text])
    let error = #expect(throws: IndexError.self) { try reloaded(index, parts, nil) }
    #expect(error?.code == .inconsistentParts)
  }
}
