// An index in a snapshot: what comes back is what went in, an old file still loads, and what is not an index is refused.

import Foundation
import Synchronization
import TestSupport
import Testing
import VectorIndex

@testable import VectorSnapshot

@Suite struct IndexSnapshotTests {
  private let folder: TemporaryFolder
  private let origin = SnapshotOrigin(
    collection: "things", source: "public.things of database app", systemID: 77, timeline: 3,
    appliedLSN: 0x16_B374_D848,
    createdAt: 1_700_000_000, writer: "a test")

  init() throws { folder = try TemporaryFolder() }

  /// 90 rows with text ids, of which every third was removed.
  private static func vector(_ n: Int) -> [Float] { [Float(n), Float(n * n % 7), 1, Float(-n), 0.5] }
  private static let left = (0..<90).filter { $0 % 3 != 0 }

  private func makeIndex(_ storage: VectorStorage = .f32, rotates: Bool = true) throws -> HNSWIndex {
    var configuration = HNSWConfiguration(
      dimension: 5, metric: .l2, recordIDKind: .text, storage: storage, connectivity: 3, constructionEffort: 12,
      searchEffort: 9, seed: 4)
    configuration.rotates = rotates
    let index = try HNSWIndex(configuration: configuration)
    for n in 0..<90 { try index.insert(.text("row \(n)"), Self.vector(n)) }
    for n in stride(from: 0, to: 90, by: 3) { index.remove(.text("row \(n)")) }
    return index
  }

  private func save(_ index: HNSWIndex) throws -> SnapshotFile {
    let publisher = try SnapshotPublisher(
      SnapshotDirectory(path: folder.file("things")), lock: DataDirectoryLock(path: folder.file("")))
    _ = try IndexSnapshot.publish(index, origin: origin, to: publisher, options: .init(threads: 2))
    return try #require(try SnapshotDirectory(path: folder.file("things")).openNewest())
  }

  private func expectRows(_ index: HNSWIndex) throws {
    #expect(index.count == Self.left.count)
    // Whole and half numbers below 2,048 are halves; 8 bits leave half a step of the largest component / 127, and each component
    // of a rotated vector may be as large as the vector is long.
    let isExact = !index.configuration.storage.canRotate
    for n in 0..<90 {
      guard let kept = index.vector(of: .text("row \(n)")) else {
        #expect(n % 3 == 0)
        continue
      }
      let length = Self.vector(n).reduce(0) { $0 + $1 * $1 }.squareRoot()
      let largest = Self.vector(n).map(abs).max() ?? 0
      let error =
        isExact ? 0 : index.configuration.rotates ? Float(5).squareRoot() * length / 253.9 : largest / 253.9
      #expect(n % 3 != 0 && zip(kept, Self.vector(n)).allSatisfy { abs($0 - $1) <= error }, "row \(n): \(kept)")
    }
    for n in Self.left {
      let hit = try #require(try index.search(Self.vector(n), SearchOptions(k: 1)).first)
      #expect(hit.id == .text("row \(n)") && hit.distance <= (isExact ? 0 : 0.7))
    }
  }

  @Test(arguments: VectorStorage.allCases) func comesBackWithItsOrigin(storage: VectorStorage) throws {
    let index = try makeIndex(storage)
    let file = try save(index)
    #expect(Set(file.sections.map(\.id)) == Set(IndexPart.parts(of: storage).map(\.sectionID)))
    let (copy, found) = try IndexSnapshot.load(file, threads: 2)
    #expect(found == origin && copy.configuration == index.configuration)
    try expectRows(copy)
    for n in 0..<90 {
      let options = SearchOptions(k: 10)
      #expect(try copy.search(Self.vector(n), options) == index.search(Self.vector(n), options))
    }
    try copy.insert(.text("a new row"), [1, 2, 3, 4, 5])
    #expect(copy.count == Self.left.count + 1)
  }

  /// Written by the first release, which knew f32 only, and by the first that knew others; their bytes are never made again.
  @Test(arguments: zip(["index-version-1", "index-version-1-int4x8"], [VectorStorage.f32, .int4x8]))
  func oldFilesLoad(name: String, storage: VectorStorage) throws {
    let golden = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden/\(name).vzs")
    let file = try SnapshotFile(path: golden.path(percentEncoded: false))
    let (index, found) = try IndexSnapshot.load(file, threads: 1)
    #expect(found == origin && index.configuration.storage == storage)
    #expect(index.configuration.connectivity == 3 && index.configuration.searchEffort == 9)
    // Rows were not rotated then.
    #expect(index.configuration.rotates == !storage.canRotate)
    #expect(index.configuration.recallTarget == 0.95 && index.statistics().calibration == nil)
    try expectRows(index)
  }

  /// Rewrites a saved index, every checksum right, with other facts or fewer sections.
  private func code(
    _ storage: VectorStorage = .f32, without dropped: IndexPart? = nil,
    _ change: (inout SnapshotMetadata) -> Void = { _ in }
  ) throws -> SnapshotError.Code? {
    try code(storage, without: dropped, change) { _, _ in }
  }

  /// The same, with other bytes in a section.
  private func code(
    _ storage: VectorStorage, without dropped: IndexPart? = nil, _ change: (inout SnapshotMetadata) -> Void = { _ in },
    damage: (IndexPart, inout [UInt8]) -> Void
  ) throws -> SnapshotError.Code? {
    try rewritten(try save(try makeIndex(storage)), without: dropped, change, damage: damage)
  }

  private func rewritten(
    _ file: SnapshotFile, without dropped: IndexPart?, _ change: (inout SnapshotMetadata) -> Void,
    damage: (IndexPart, inout [UInt8]) -> Void
  ) throws -> SnapshotError.Code? {
    var metadata = file.metadata
    change(&metadata)
    let sections = try file.sections.filter { $0.id != dropped?.sectionID }.map { section in
      var bytes = try file.load(section.id, threads: 1)
      if let part = IndexPart(rawValue: section.id.rawValue) { damage(part, &bytes) }
      return SnapshotSection(id: section.id, elementSize: section.elementSize, bytes: bytes)
    }
    let path = folder.file("changed.vzs")
    try SnapshotWriter.write(to: path, metadata: metadata, sections: sections, options: .init(threads: 1))
    do throws(SnapshotError) {
      _ = try IndexSnapshot.load(try SnapshotFile(path: path), threads: 1)
      return nil
    } catch {
      #expect(error.message.contains(path), "the file is named")
      return error.code
    }
  }

  /// An attribute of each type, NULLs among their values, in 90 rows of which every third was removed.
  private static func values(_ n: Int) -> [AttributeValue] {
    if n % 7 == 0 { return AttributeType.allCases.map { _ in .null } }
    let word = n % 4 == 0 ? "" : "ção \(n % 5)"
    return [
      .bool(n % 2 == 0), .int64(Int64(n) - 40), .float64(n % 9 == 0 ? .nan : Double(n) / 4),
      .timestamp(n % 8 == 0 ? .max : Int64(n)),
      .uuid(high: UInt64(n), low: .max), .keyword(word), .array(n % 5 == 0 ? [] : [.int64(Int64(n % 3)), .null]),
      .array([.uuid(high: 1, low: UInt64(n % 4))]),
      .array((0..<(n % 4)).map { $0 == 1 ? .null : .keyword("tag \($0 + n % 3)") }),
    ]
  }

  /// Texts that shrink together, of which row 31's is longer than a block.
  private static func payload(_ n: Int) -> [String?] {
    [n % 11 == 0 ? nil : "título \(n)", n % 13 == 0 ? nil : String(repeating: "a body ", count: n == 31 ? 5_000 : n)]
  }

  private static func stamp(_ n: Int) -> RowStamp { RowStamp(vector: UInt64(n) << 40 | 1, row: ~UInt64(n)) }

  private static func schema() throws -> AttributeSchema {
    try AttributeSchema(
      AttributeType.allCases.map { AttributeColumn("a \($0.name)", $0, ordersBytewise: $0 == .keyword) })
  }

  private func makeIndexWithAttributes() throws -> HNSWIndex {
    var configuration = try HNSWConfiguration(
      dimension: 5, metric: .l2, recordIDKind: .text, storage: .f32, connectivity: 3, constructionEffort: 12,
      searchEffort: 9, seed: 4, attributes: Self.schema())
    configuration.payload = ["title", "body"]
    configuration.keepsStamps = true
    let index = try HNSWIndex(configuration: configuration, payloadCodec: LZ4PayloadCodec())
    _ = try (0..<90).flatMap(Self.vector).withUnsafeBufferPointer {
      try index.stage(
        (0..<90).map { .text("row \($0)") }, $0, attributes: (0..<90).map(Self.values),
        payload: (0..<90).map(Self.payload), stamps: (0..<90).map(Self.stamp))
    }
    try index.linkStaged(threads: 1, calibrates: false)
    for n in stride(from: 0, to: 90, by: 3) { index.remove(.text("row \(n)")) }
    return index
  }

  private func expectAttributes(_ index: HNSWIndex) throws {
    #expect(try index.configuration.attributes == Self.schema())
    for n in 0..<90 {
      #expect(index.attributes(of: .text("row \(n)")) == (n % 3 == 0 ? nil : Self.values(n)), "row \(n)")
      #expect(index.payload(of: .text("row \(n)")) == (n % 3 == 0 ? nil : Self.payload(n)), "row \(n)")
    }
    let filters: [(String, (Int) -> Bool)] = [
      (#""a int64" between -5 and 5"#, { $0 % 7 != 0 && (35...45).contains($0) }),
      (#""a keyword" >= 'ção 3'"#, { $0 % 7 != 0 && $0 % 4 != 0 && $0 % 5 >= 3 }),
      (#""a keyword[]" @> {'tag 2'}"#, { n in n % 7 != 0 && (0..<(n % 4)).contains { $0 != 1 && $0 + n % 3 == 2 } }),
      (#""a timestamp" = 'infinity' or "a float64" = 'NaN'"#, { $0 % 7 != 0 && ($0 % 8 == 0 || $0 % 9 == 0) }),
      (#""a uuid" is null"#, { $0 % 7 == 0 }),
    ]
    var scratch = SearchScratch(for: index)
    for (text, holds) in filters {
      let program = try index.compile(Filter(parsing: text, schema: index.configuration.attributes))
      let found = try Self.vector(1).withUnsafeBufferPointer { query throws(IndexError) in
        try index.search(query, SearchOptions(k: 90), matching: program, scratch: &scratch) { hits in
          Set((0..<hits.count).map { hits.id(at: $0) })
        }
      }
      #expect(found == Set(Self.left.filter(holds).map { .text("row \($0)") }), "\(text)")
    }
  }

  @Test func attributesComeBack() throws {
    let index = try makeIndexWithAttributes()
    let file = try save(index)
    #expect(file.formatVersion == 2)
    #expect(Set(file.sections.map(\.id)) == Set(IndexPart.parts(of: index.configuration).map(\.sectionID)))
    let copy = try IndexSnapshot.load(file, threads: 2).index
    #expect(copy.configuration == index.configuration)
    try expectRows(copy)
    try expectAttributes(index)
    try expectAttributes(copy)
    expectStamps(copy)
    #expect(file.metadata[.stamps] == true)
    #expect(try save(try makeIndex()).metadata[.stamps] == nil)
  }

  private func expectStamps(_ index: HNSWIndex) {
    for n in 0..<90 {
      #expect(index.stamp(of: .text("row \(n)")) == (n % 3 == 0 ? nil : Self.stamp(n)), "row \(n)")
    }
  }

  /// Random transactions, saved and loaded again and again: rows, what they have and what they can be found by stay what they are.
  @Test func transactionsComeBack() throws {
    var random = SeededRandom(seed: 12)
    var configuration = HNSWConfiguration(
      dimension: 6, metric: .l2, recordIDKind: .uuid, storage: .f32, connectivity: 5, constructionEffort: 30,
      attributes: RowModel.schema)
    configuration.payload = RowModel.payload
    configuration.keepsStamps = true
    var index = try HNSWIndex(configuration: configuration, payloadCodec: LZ4PayloadCodec())
    var model = RowModel(configuration, ids: 700)
    for round in 0..<12 {
      let removesAll = round == 7
      let changes = model.changes(300, removingAllFirst: removesAll, growing: round % 3 == 0, &random)
      try index.apply(changes, removingAllFirst: removesAll)
      model.apply(changes, removingAllFirst: removesAll)
      index = try IndexSnapshot.load(try save(index), threads: 2).index
      #expect(index.configuration == configuration)
      #expect(try model.faults(of: index, &random) == [], "round \(round)")
    }
  }

  /// Files written beside a writer: each has the rows of one transaction's end, and says in its origin which, as the writer noted it; and no file
  /// is written where there is nothing to note.
  @Test(arguments: testSeeds) func filesWrittenBesideChangesSayWhatTheyHold(seed: UInt64) throws {
    print("snapshots beside changes, seed \(seed)")
    var configuration = HNSWConfiguration(
      dimension: 6, metric: .l2, storage: .f32, connectivity: 6, constructionEffort: 30, attributes: RowModel.schema)
    configuration.payload = RowModel.payload
    configuration.keepsStamps = true
    let index = try HNSWIndex(configuration: configuration, payloadCodec: LZ4PayloadCodec())
    let maintenance = Maintenance(of: index)
    /// The number of the last transaction, and what there is then.
    let noted = Mutex((number: UInt64(0), model: RowModel(configuration, ids: 900)))
    let isDone = Mutex(false)
    let failures = Mutex<[String]>([])
    let directory = SnapshotDirectory(path: folder.file("live"))
    let publisher = try SnapshotPublisher(directory, lock: DataDirectoryLock(path: folder.file("")), keeping: 100)
    let origin = origin
    WorkerThreads.run(count: 2) { thread in
      do {
        if thread == 0 {
          var random = SeededRandom(seed: seed)
          var model = noted.withLock { $0.model }
          var number: UInt64 = 0
          while !isDone.withLock({ $0 }) {
            let changes = model.changes(40, growing: number < 30, &random)
            model.apply(changes)
            number += 1
            try index.apply(changes) { noted.withLock { $0 = (number, model) } }
          }
          return
        }
        defer { isDone.withLock { $0 = true } }
        var random = SeededRandom(seed: seed &+ 1)
        for round in 0..<5 {
          let wanted = noted.withLock { $0.number } + 20
          while noted.withLock({ $0.number }) < wanted { usleep(100) }
          var saved: (number: UInt64, model: RowModel)?
          let publication = try IndexSnapshot.publish(
            index, to: publisher, options: .init(threads: 2, blockBytes: 4_096)
          ) {
            saved = noted.withLock { $0 }
            var origin = origin
            origin.appliedLSN = saved?.number ?? 0
            return origin
          }
          guard let publication, let saved else { throw SampleFault("round \(round): no file") }
          let (copy, found) = try IndexSnapshot.load(SnapshotFile(path: publication.entry.path), threads: 2)
          let faults = try saved.model.faults(of: copy, &random)
          if found.appliedLSN != saved.number || !faults.isEmpty {
            failures.withLock { $0.append("round \(round), transaction \(found.appliedLSN): \(faults)") }
          }
        }
        let none = try IndexSnapshot.publish(index, to: publisher, options: .init(threads: 2)) { nil }
        if none != nil { failures.withLock { $0.append("a file of nothing") } }
      } catch {
        isDone.withLock { $0 = true }
        failures.withLock { $0.append("\(error)") }
      }
    }
    maintenance.stop()
    #expect(failures.withLock { $0 } == [])
    #expect(try directory.list().count == 5)
  }

  private struct SampleFault: Error {
    let what: String
    init(_ what: String) { self.what = what }
  }

  /// Written by the first release that knew attributes and payload; its bytes are never made again.
  @Test func version2Loads() throws {
    let golden = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden/index-version-2.vzs")
    let file = try SnapshotFile(path: golden.path(percentEncoded: false))
    #expect(file.formatVersion == 2)
    let (index, found) = try IndexSnapshot.load(file, threads: 1)
    #expect(found == origin)
    try expectRows(index)
    try expectAttributes(index)
    // There were no stamps then.
    #expect(!index.configuration.keepsStamps && index.stamp(of: .text("row 1")) == nil)
  }

  /// Written by the first release that knew stamps; its bytes are never made again.
  @Test func version2WithStampsLoads() throws {
    let golden = URL(filePath: #filePath).deletingLastPathComponent()
      .appending(path: "Golden/index-version-2-stamps.vzs")
    let (index, found) = try IndexSnapshot.load(
      SnapshotFile(path: golden.path(percentEncoded: false)), threads: 1)
    #expect(found == origin)
    try expectRows(index)
    try expectAttributes(index)
    expectStamps(index)
  }

  /// A list of attributes, or sections, that no program writes: refused by name, and never taken for rows without attributes.
  @Test func damagedAttributesAreRefused() throws {
    let file = try save(try makeIndexWithAttributes())
    func code(
      without dropped: IndexPart? = nil, _ change: (inout SnapshotMetadata) -> Void = { _ in },
      damage: (IndexPart, inout [UInt8]) -> Void = { _, _ in }
    ) throws -> SnapshotError.Code? {
      try rewritten(file, without: dropped, change, damage: damage)
    }
    #expect(try code() == nil)
    for part in IndexPart.parts(of: try makeIndexWithAttributes().configuration) {
      guard part.rawValue > IndexPart.sides.rawValue else { continue }
      #expect(try code(without: part) == .unexpectedSection)
      #expect(try code(damage: { if $0 == part { $1.removeLast() } }) == .unusable, "\(part.name)")
      #expect(try code(damage: { if $0 == part { $1 += [0] } }) == .unusable, "\(part.name)")
    }
    let schema = try #require(file.metadata[.attributes])
    for damage: [UInt8] in [[], Array(schema.dropLast()), schema + [0], [9] + schema.dropFirst()] {
      #expect(try code({ $0[.attributes] = damage }) == .unusable)
    }
    #expect(try code({ $0[SnapshotMetadataKey<String>("attributes")] = "none" }) == .unexpectedMetadata)
    // Without the entry, the section is one that nobody looks at.
    #expect(try code({ $0[.stamps] = nil }) == nil && code({ $0[.stamps] = false }) == nil)
    #expect(try code({ $0[SnapshotMetadataKey<String>("stamps")] = "yes" }) == .unexpectedMetadata)
    // Payload of other columns than its rows have.
    for damage: [UInt8] in [[], schema, [1, 0, 1, 0, 6, 0, 1, 0, 0x61]] {
      #expect(try code({ $0[.payload] = damage }) == .unusable)
    }
  }

  @Test func whatContradictsItselfIsRefused() throws {
    #expect(try code() == nil)
    #expect(try code { $0[.metric] = "hamming" } == .unusable)
    #expect(try code { $0[.recordIDKind] = 257 } == .unusable)
    #expect(try code { $0[.dimension] = 5_000 } == .unusable)
    #expect(try code { $0[.dimension] = 40 } == .unusable)
    #expect(try code { $0[.rows] = 61 } == .unusable)
    #expect(try code { $0[.entrySlot] = 1 << 40 } == .unusable)
    #expect(try code { $0[.seed] = nil } == .unexpectedMetadata)
    for storage in VectorStorage.allCases {
      #expect(try code(storage) == nil)
      for part in IndexPart.parts(of: storage) {
        #expect(try code(storage, without: part) == .unexpectedSection)
        let isOneShort = { (changed: IndexPart, bytes: inout [UInt8]) in if changed == part { bytes.removeLast() } }
        #expect(try code(storage, damage: isOneShort) == .unusable)
      }
    }
  }

  /// Rotated rows come back rotated and others as they are, by what the file says; nothing is taken for what it is not.
  @Test func rotationsComeBack() throws {
    for storage in VectorStorage.allCases {
      let rotated = try save(try makeIndex(storage))
      #expect(rotated.metadata[.rotation] == (storage.canRotate ? 1 : nil))
      guard storage.canRotate else {
        #expect(try code(storage) { $0[.rotation] = 1 } == .unusable, "\(storage.name) is never rotated")
        continue
      }
      let index = try makeIndex(storage, rotates: false)
      let file = try save(index)
      #expect(file.metadata[.rotation] == nil)
      let copy = try IndexSnapshot.load(file, threads: 1).index
      #expect(copy.configuration == index.configuration && !copy.configuration.rotates)
      try expectRows(copy)
      let first = try file.load(IndexPart.vectors.sectionID, threads: 1)
      #expect(try first != rotated.load(IndexPart.vectors.sectionID, threads: 1))
      for version: UInt64 in [0, 2, .max] {
        #expect(try code(storage) { $0[.rotation] = version } == .unusable, "way \(version)")
      }
      #expect(try code(storage) { $0[SnapshotMetadataKey<String>("rotation")] = "1" } == .unexpectedMetadata)
    }
  }

  @Test func storagesThatAreNotTheRowsAreRefused() throws {
    for name in ["int4", "F32", "", "auto"] { #expect(try code { $0[.storage] = name } == .unusable) }
    // Rows of another size, sections that are not there: nothing passes for something else.
    for storage in VectorStorage.allCases {
      // Rows of five components take 64 bytes in each; as f32, which has no sides, any 64 bytes are a row.
      for other in VectorStorage.allCases where other != .f32 {
        // What is saved of these two is the same; only what is made of it differs.
        let isSame = storage.savedAs == other.savedAs
        let found = try code(storage) { $0[.storage] = other.name }
        #expect(found == (isSame ? nil : storage == .f32 ? .unexpectedSection : .unusable), "\(storage) as \(other)")
      }
    }
  }

  @Test(arguments: VectorStorage.allCases.filter { $0 != .f32 }) func sidesOfOtherRowsAreRefused(
    storage: VectorStorage
  ) throws {
    // Slot 1 holds row 1. Under L2 its side says what its numbers are worth, and how long it is.
    for byte in 8..<16 {
      #expect(try code(storage, damage: { part, bytes in if part == .sides { bytes[byte] ^= 0x10 } }) == .unusable)
    }
    let isShifted = { (part: IndexPart, bytes: inout [UInt8]) in
      if part == .vectors { bytes = Array(bytes[64...] + bytes[..<64]) }
    }
    #expect(try code(storage, damage: isShifted) == .unusable)
  }
}

extension VectorStorage {
  /// The precision that a snapshot holds.
  fileprivate var savedAs: String {
    switch self {
    case .f32: "f32"
    case .f16, .int4x16: "f16"
    case .int8, .int4x8: "int8"
    }
  }
}
