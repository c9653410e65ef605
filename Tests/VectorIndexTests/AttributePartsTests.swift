// Saving and loading attributes: every filter finds what it found, nothing of a removed row is left, and nothing that contradicts
// itself gets in.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct AttributePartsTests {
  private func configuration(_ schema: AttributeSchema) -> HNSWConfiguration {
    HNSWConfiguration(
      dimension: 2, metric: .l2, storage: .f32, connectivity: 4, constructionEffort: 8, attributes: schema)
  }

  /// Rows that came, were changed and went, so that bindings are in no order and lists have dead slots.
  private func churned(_ schema: AttributeSchema, rows: Int, _ random: inout SeededRandom) throws -> HNSWIndex {
    let index = try HNSWIndex(configuration: configuration(schema))
    let values = (0..<rows).map { _ in random.row(schema) }
    let vectors = random.vector(dimension: 2 * rows)
    _ = try vectors.withUnsafeBufferPointer {
      try index.stage((0..<rows).map { .int64(Int64($0)) }, $0, attributes: values)
    }
    try index.linkStaged(threads: 1, calibrates: false)
    for _ in 0..<rows {
      let id = RecordID.int64(Int64.random(in: 0..<Int64(rows + 20), using: &random))
      switch Int.random(in: 0..<4, using: &random) {
      case 0: index.remove(id)
      case 1: try index.updateAttributes(of: id, random.row(schema))
      case 2: try index.upsert(id, random.vector(dimension: 2))
      default: try index.upsert(id, random.vector(dimension: 2), attributes: random.row(schema))
      }
    }
    return index
  }

  /// The ids of the rows that a filter matches.
  private func matching(_ filter: Filter, _ index: HNSWIndex, _ scratch: inout FilterScratch) throws -> Set<RecordID> {
    let program = try index.compile(filter)
    let pin = index.store.pins.take(for: .search)
    defer { index.store.pins.giveBack(pin) }
    let version = index.store.pins.enter(pin)
    var found: Set<RecordID> = []
    for candidateCost in [0, Int.max] {
      let set = index.matching(program, version: version, candidateCost: candidateCost, into: &scratch)
      var ids: Set<RecordID> = []
      switch set.form {
      case .slots(let slots): ids = Set(slots.map { index.store.ids[$0] })
      case .mask(let mask):
        for slot in 0..<UInt32(index.store.slotsUsed.load(ordering: .acquiring)) where mask.contains(slot) {
          ids.insert(index.store.ids[slot])
        }
      }
      if candidateCost == 0 { found = ids } else { #expect(ids == found, "by postings and by a pass: \(filter)") }
    }
    return found
  }

  @Test(arguments: testSeeds) func aLoadedIndexAnswersEveryFilterAsTheSavedOne(seed: UInt64) throws {
    print("attributes saved and loaded, seed \(seed)")
    var random = SeededRandom(seed: seed)
    var matched = 0
    for round in 0..<20 {
      let schema = random.schema()
      let index = try churned(schema, rows: Int.random(in: 1...400, using: &random), &random)
      let parts = try bytes(of: index)
      #expect(Set(parts.keys) == Set(IndexPart.parts(of: index.configuration)))
      let copy = try reloaded(index)
      copy.checkInvariants()
      #expect(try bytes(of: copy) == parts, "and is saved as it was: round \(round), seed \(seed)")
      var scratch = FilterScratch()
      var copyScratch = FilterScratch()
      func compare() throws {
        for id in 0..<Int64(450) {
          #expect(copy.attributes(of: .int64(id)) == index.attributes(of: .int64(id)), "row \(id), seed \(seed)")
        }
        for _ in 0..<40 {
          let filter = random.filter(schema)
          let expected = try matching(filter, index, &scratch)
          #expect(try matching(filter, copy, &copyScratch) == expected, "\(filter), round \(round), seed \(seed)")
          matched += expected.isEmpty ? 0 : 1
        }
      }
      try compare()
      // Both go on alike, free slots and rows included.
      for id in 0..<Int64(120) {
        let (values, vector) = (random.row(schema), random.vector(dimension: 2))
        for changed in [index, copy] {
          switch id % 4 {
          case 0: changed.remove(.int64(id))
          case 1: try changed.updateAttributes(of: .int64(id), values)
          default: try changed.upsert(.int64(id + 100 * (id % 2)), vector, attributes: values)
          }
        }
      }
      copy.consolidate()
      try compare()
    }
    #expect(matched > 500)
  }

  @Test func anEmptyIndexComesBack() throws {
    let schema = try AttributeSchema(AttributeType.allCases.map { AttributeColumn($0.name, $0) })
    let copy = try reloaded(try HNSWIndex(configuration: configuration(schema)))
    #expect(copy.count == 0 && copy.configuration.attributes == schema)
    var random = SeededRandom(seed: 1)
    let values = random.row(schema)
    try copy.insert(.int64(1), [1, 2], attributes: values)
    #expect(copy.attributes(of: .int64(1)) == values)
  }

  @Test func removedRowsLeaveNoTrace() throws {
    let schema = try AttributeSchema([
      AttributeColumn("n", .int64), AttributeColumn("w", .keyword), AttributeColumn("tags", .keywordArray),
      AttributeColumn("numbers", .int64Array), AttributeColumn("u", .uuid),
    ])
    let index = try HNSWIndex(configuration: configuration(schema))
    let secret: Int64 = 0x7365_6372_6574_2121
    func values(_ n: Int64, _ word: String) -> [AttributeValue] {
      [
        .int64(n), .keyword(word), .array([.keyword(word + "!"), .null, .keyword("b")]),
        .array([.int64(n), .int64(1)]),
        .uuid(high: UInt64(n), low: 0),
      ]
    }
    for n in 0..<Int64(80) { try index.insert(.int64(n), [Float(n), 1], attributes: values(n, "word \(n % 5)")) }
    try index.insert(.int64(80), [80, 1], attributes: values(secret, "secret!!"))
    try index.insert(.int64(81), [81, 1], attributes: values(secret, "secret!!"))
    #expect(try contains(bytes(of: index), secret), "the search for it finds it")
    index.remove(.int64(80))
    try index.updateAttributes(of: .int64(81), values(5, "word 1"))
    let parts = try bytes(of: index)
    #expect(!contains(parts, secret))
    // The words that are left, and no others.
    #expect(
      parts[.attribute(.words, column: 1)].map { String(decoding: $0, as: UTF8.self) }
        == "word 0word 1word 2word 3word 4")
    #expect(try reloaded(index).attributes(of: .int64(7)) == values(7, "word 2"))
  }

  private func contains(_ parts: [IndexPart: [UInt8]], _ secret: Int64) -> Bool {
    let number = withUnsafeBytes(of: secret) { Array($0) }
    return parts.values.contains { bytes in
      for needle in [number, Array("secret!!".utf8)] where bytes.count >= needle.count {
        for start in 0...(bytes.count - needle.count) where bytes[start..<(start + needle.count)].elementsEqual(needle)
        {
          return true
        }
      }
      return false
    }
  }

  /// Damaged cells, words and elements: refused, or as sound as others.
  @Test(arguments: testSeeds) func refusesContradictions(seed: UInt64) throws {
    print("damaged attributes, seed \(seed)")
    var random = SeededRandom(seed: seed)
    let schema = try AttributeSchema(AttributeType.allCases.map { AttributeColumn($0.name, $0) })
    let index = try churned(schema, rows: 90, &random)
    let parts = try bytes(of: index)
    let header = index.withFrozen { $0.header }
    let own = parts.keys.filter { if case .attribute = $0 { true } else { false } }.sorted { $0.rawValue < $1.rawValue }
    #expect(own.count == 9 + 3 + 2 * 2 + 3)
    var refused = 0
    var scratch = FilterScratch()
    for round in 0..<1_500 {
      let part = own[round % own.count]
      guard var bytes = parts[part], !bytes.isEmpty else { continue }
      switch Int.random(in: 0..<5, using: &random) {
      case 0: bytes.removeLast(Int.random(in: 1...bytes.count, using: &random))
      case 1: bytes += [UInt8](repeating: 0, count: Int.random(in: 1...16, using: &random))
      default:
        for _ in 0..<Int.random(in: 1...4, using: &random) {
          let i = Int.random(in: 0..<bytes.count, using: &random)
          bytes[i] = random.pick([0, 1, 2, 0x7F, 0x80, 0xFF, bytes[i] ^ 1, bytes[i] ^ 0x40])
        }
      }
      var damaged = parts
      damaged[part] = bytes
      do {
        let copy = try restored(index.configuration, header, damaged)
        for id in 0..<Int64(110) { _ = copy.attributes(of: .int64(id)) }
        for _ in 0..<3 { _ = try matching(random.filter(schema), copy, &scratch) }
        #expect(try self.bytes(of: copy)[part]?.count == bytes.count || part.name.contains("word"))
      } catch let error as IndexError {
        #expect(error.code == .inconsistentParts, "\(error)")
        #expect(error.message.contains("attribute"), "\(error)")
        refused += 1
      }
    }
    #expect(refused > 700)
  }

  private func bytes(of index: HNSWIndex) throws -> [IndexPart: [UInt8]] { try VectorIndexTests.bytes(of: index) }

  @Test func partsThatAreMissingAreRefused() throws {
    var random = SeededRandom(seed: 5)
    let schema = try AttributeSchema(AttributeType.allCases.map { AttributeColumn($0.name, $0) })
    let index = try churned(schema, rows: 40, &random)
    let parts = try bytes(of: index)
    for part in IndexPart.parts(of: index.configuration) {
      guard case .attribute = part, parts[part]?.isEmpty == false else { continue }
      let error = #expect(throws: IndexError.self) {
        try HNSWIndex.restored(
          configuration: index.configuration, header: index.withFrozen { $0.header }, threads: 1,
          byteCount: { $0 == part ? -1 : parts[$0]?.count ?? 0 },
          load: { part, buffer in buffer.copyBytes(from: parts[part] ?? []) })
      }
      #expect(error?.code == .inconsistentParts, "\(part.name)")
    }
  }

  @Test func partsAreNumberedForGood() {
    let numbered: [(IndexPart, UInt32)] = [
      (.vectors, 1), (.groundLinks, 2), (.layers, 3), (.upperLinks, 4), (.ids, 5), (.sides, 6), (.payloadEntries, 7),
      (.payloadBlocks, 8), (.stamps, 9),
      (.attribute(.cells, column: 0), 256), (.attribute(.nulls, column: 0), 257),
      (.attribute(.wordLengths, column: 0), 258), (.attribute(.words, column: 0), 259),
      (.attribute(.elements, column: 2), 256 + 32 + 4), (.attribute(.elements, column: 63), 256 + 63 * 16 + 4),
    ]
    for (part, number) in numbered { #expect(part.rawValue == number && IndexPart(rawValue: number) == part) }
    for number: UInt32 in [0, 10, 255, 256 + 5, 256 + 64 * 16, .max] { #expect(IndexPart(rawValue: number) == nil) }
  }

  // MARK: The schema

  @Test(arguments: testSeeds) func schemasComeBack(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    #expect(try AttributeSchema(decoding: AttributeSchema.empty.encoded()) == .empty)
    var refused = 0
    for _ in 0..<200 {
      let schema = random.schema()
      let bytes = schema.encoded()
      #expect(try AttributeSchema(decoding: bytes) == schema)
      for end in bytes.indices {
        #expect(throws: IndexError.self) { try AttributeSchema(decoding: Array(bytes[..<end])) }
      }
      #expect(throws: IndexError.self) { try AttributeSchema(decoding: bytes + [0]) }
      var damaged = bytes
      damaged[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
      do throws(IndexError) {
        // Another name, or another type of the same kind: a schema all the same, and written as it was read.
        #expect(try AttributeSchema(decoding: damaged).encoded() == damaged)
      } catch {
        #expect(error.code == .inconsistentParts)
        refused += 1
      }
    }
    #expect(refused > 40)
  }
}
