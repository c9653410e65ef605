// Files whose checksums are right and whose tables lie: every length and place is checked before it is followed.

import Testing

@testable import VectorSnapshot

/// Snapshots whose checksums are right and whose content is not, as a program with a bug or an attacker would write.
@Suite struct LyingTableTests {
  let folder: TemporaryFolder
  let path: String
  let original: SnapshotBytes
  init() throws {
    folder = try TemporaryFolder()
    path = folder.file("a.vzs")
    try Sample.write(Sample.sections(seed: 1), to: path)
    original = SnapshotBytes(bytes: try readFile(path))
  }

  struct Lie: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var tell: @Sendable (inout SnapshotBytes) -> Void
  }

  static let lies: [Lie] = [
    Lie(testDescription: "block length 0") { $0.set(12, u32: 0) },
    Lie(testDescription: "block length not a power of two") { $0.set(12, u32: 5_000) },
    Lie(testDescription: "block length of 2 GiB") { $0.set(12, u32: 1 << 31) },
    Lie(testDescription: "another block length") { $0.set(12, u32: 8_192) },
    Lie(testDescription: "metadata over its limit") { $0.set(16, u32: 1 << 20 + 1) },
    Lie(testDescription: "metadata longer than the file") { $0.set(16, u32: 1 << 20) },
    Lie(testDescription: "metadata one byte shorter") { $0.set(16, u32: $0.u32(16) - 1) },
    Lie(testDescription: "reserved byte of the header") { $0.bytes[40] = 1 },
    Lie(testDescription: "metadata count") { $0.set(64, u32: .max) },
    Lie(testDescription: "file length") { $0.set($0.footerOffset, u64: $0.u64($0.footerOffset) + 1) },
    Lie(testDescription: "table behind the file") { $0.set($0.footerOffset + 8, u64: .max) },
    Lie(testDescription: "table before the metadata") { $0.set($0.footerOffset + 8, u64: 0) },
    Lie(testDescription: "table of 4 GiB") { $0.set($0.footerOffset + 16, u32: .max) },
    Lie(testDescription: "section count") { $0.set($0.tableOffset, u32: .max) },
    Lie(testDescription: "one section fewer, one block more") {
      let (offset, sections) = ($0.tableOffset, $0.sectionCount)
      $0.set(offset, u32: UInt32(sections - 1))
      $0.set(offset + 4, u32: $0.u32(offset + 4) + 1)
    },
    Lie(testDescription: "block count") { $0.set($0.tableOffset + 4, u32: .max) },
    Lie(testDescription: "a section id twice") { $0.set($0.sectionEntry(1), u32: $0.u32($0.sectionEntry(0))) },
    Lie(testDescription: "element size 0") { $0.bytes[$0.sectionEntry(0) + 4] = 0 },
    Lie(testDescription: "element size 3") { $0.bytes[$0.sectionEntry(0) + 4] = 3 },
    Lie(testDescription: "reserved byte of a section") { $0.bytes[$0.sectionEntry(0) + 5] = 1 },
    Lie(testDescription: "reserved word of a section") { $0.bytes[$0.sectionEntry(0) + 20] = 1 },
    Lie(testDescription: "section of 2⁶⁴ − 1 bytes") { $0.set($0.sectionEntry(0) + 8, u64: .max) },
    Lie(testDescription: "section one byte longer") {
      $0.set($0.sectionEntry(0) + 8, u64: $0.u64($0.sectionEntry(0) + 8) + 1)
    },
    Lie(testDescription: "an empty section of 2³² − 1 blocks") { $0.set($0.sectionEntry(2) + 16, u32: .max) },
    Lie(testDescription: "a block that moves to the next section") {
      $0.set($0.sectionEntry(0) + 16, u32: $0.u32($0.sectionEntry(0) + 16) - 1)
      $0.set($0.sectionEntry(1) + 16, u32: $0.u32($0.sectionEntry(1) + 16) + 1)
    },
    Lie(testDescription: "block offset") { $0.set($0.blockEntry(1), u64: $0.u64($0.blockEntry(1)) + 1) },
    Lie(testDescription: "block offset of 2⁶⁴ − 1") { $0.set($0.blockEntry(1), u64: .max) },
    Lie(testDescription: "stored length 0") { $0.set($0.blockEntry(0) + 8, u32: 0) },
    Lie(testDescription: "stored length over the file's") { $0.set($0.blockEntry(0) + 8, u32: .max) },
    Lie(testDescription: "stored length one byte more") {
      $0.set($0.blockEntry(0) + 8, u32: $0.u32($0.blockEntry(0) + 8) + 1)
    },
    Lie(testDescription: "raw length over the block length") { $0.set($0.blockEntry(0) + 12, u32: 1 << 30) },
    Lie(testDescription: "raw length of a short block") { $0.set($0.blockEntry(2) + 12, u32: 4) },
    Lie(testDescription: "codec 2") { $0.bytes[$0.blockEntry(0) + 20] = 2 },
    Lie(testDescription: "an LZ4 block that calls itself raw") { $0.bytes[$0.blockEntry(0) + 20] = 0 },
    Lie(testDescription: "a raw block that calls itself LZ4") { $0.bytes[$0.blockEntry(3) + 20] = 1 },
    Lie(testDescription: "reserved byte of a block") { $0.bytes[$0.blockEntry(0) + 23] = 1 },
  ]

  @Test(arguments: lies)
  func isRefusedAtOpening(lie: Lie) throws {
    var changed = original
    lie.tell(&changed)
    #expect(changed.bytes != original.bytes, "the lie must change something")
    changed.reseal(like: original)
    try writeFile(path, changed.bytes)
    let error = snapshotError { _ = try SnapshotFile(path: path) }
    #expect(error.map { [.corrupted, .truncated].contains($0.code) } == true, "\(String(describing: error))")
    #expect(error?.message.contains("checksum") == false, "it must be refused for the lie, not for a checksum")
  }

  /// One small block that claims to hold 16 MiB, in a table that is consistent otherwise.
  @Test func anExpansionThatLZ4CannotReachIsRefused() throws {
    try Sample.write([SampleSection(id: 1, elementSize: 1, bytes: [UInt8](repeating: 0, count: 4_096))], to: path)
    let honest = SnapshotBytes(bytes: try readFile(path))
    var changed = honest
    changed.set(12, u32: 16 << 20)
    changed.set(changed.sectionEntry(0) + 8, u64: 16 << 20)
    changed.set(changed.blockEntry(0) + 12, u32: 16 << 20)
    changed.reseal(like: honest)
    try writeFile(path, changed.bytes)
    let error = snapshotError { _ = try SnapshotFile(path: path) }
    #expect(error?.code == .corrupted)
    #expect(error?.message.contains("no possible block of section 1") == true)
  }

  /// Bytes between the last block and the table that belong to nothing.
  @Test func aGapBeforeTheTableIsRefused() throws {
    try Sample.write([SampleSection(id: 1, elementSize: 4, bytes: Sample.counters(4_096))], to: path)
    let honest = SnapshotBytes(bytes: try readFile(path))
    var changed = honest
    changed.set(changed.blockEntry(0) + 8, u32: changed.u32(changed.blockEntry(0) + 8) - 1)
    changed.reseal(like: honest)
    try writeFile(path, changed.bytes)
    let error = snapshotError { _ = try SnapshotFile(path: path) }
    #expect(error?.code == .corrupted)
    #expect(error?.message.contains("do not end where the table begins") == true)
  }

  /// A faultless LZ4 block that holds fewer bytes than the table says.
  @Test func aBlockThatExpandsToTooLittleIsRefused() throws {
    var changed = original
    let entry = changed.blockEntry(0)
    let (offset, length) = (Int(changed.u64(entry)), Int(changed.u32(entry + 8)))
    // Literals alone: a token, their count less 15 in bytes of 255 and a rest, and themselves.
    let literals = (15..<length).first { 1 + ($0 - 15) / 255 + 1 + $0 == length }
    let count = try #require(literals)
    let block =
      [0xF0] + [UInt8](repeating: 255, count: (count - 15) / 255) + [UInt8((count - 15) % 255)]
      + [UInt8](repeating: 7, count: count)
    changed.bytes.replaceSubrange(offset..<(offset + length), with: block)
    changed.set(entry + 16, u32: CRC32C.checksum(block))
    changed.reseal(like: original)
    try writeFile(path, changed.bytes)
    let error = snapshotError { try SnapshotFile(path: path).verify(threads: 1) }
    #expect(error?.code == .corrupted && error?.location?.block == 0)
    #expect(error?.message.contains("cannot be decompressed") == true)
  }

  @Test func resealingAloneChangesNothing() throws {
    var same = original
    same.reseal(like: original)
    #expect(same.bytes == original.bytes)
  }

  /// Blocks whose stored bytes are random, with the right checksum: the decompressor's own bounds.
  @Test func randomBytesAsLZ4BlocksNeverCrash() throws {
    var refused = 0
    for seed in 1...300 as ClosedRange<UInt64> {
      var generator = SeededGenerator(seed: seed)
      var changed = original
      let entry = changed.blockEntry(0)
      let (offset, length) = (Int(changed.u64(entry)), Int(changed.u32(entry + 8)))
      let count = seed % 2 == 0 ? length : Int.random(in: 1...4, using: &generator)
      for _ in 0..<count {
        changed.bytes[offset + Int.random(in: 0..<length, using: &generator)] = UInt8(
          truncatingIfNeeded: generator.next())
      }
      changed.set(entry + 16, u32: CRC32C.checksum(changed.bytes[offset..<(offset + length)]))
      changed.reseal(like: original)
      try writeFile(path, changed.bytes)
      let file = try SnapshotFile(path: path)
      if let error = snapshotError({ try file.verify(threads: 1) }) {
        #expect(error.code == .corrupted && error.location?.block == 0, "seed \(seed)")
        refused += 1
      }
    }
    #expect(refused > 100)
  }

  /// Mutations of all that is not a block, resealed: never a crash, and never more memory than the format allows.
  @Test func seededMutationsOfHeaderMetadataTableAndFooter() throws {
    let interesting: [UInt8] = [0, 1, 2, 4, 8, 127, 128, 255]
    let places = Array(8..<64 + original.metadataBytes) + Array(original.tableOffset..<original.bytes.count - 8)
    var refused = 0
    for seed in 1...4_000 as ClosedRange<UInt64> {
      var generator = SeededGenerator(seed: seed)
      var changed = original
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        guard let place = places.randomElement(using: &generator) else { continue }
        changed.bytes[place] =
          Bool.random(using: &generator)
          ? interesting[Int.random(in: 0..<interesting.count, using: &generator)]
          : UInt8(truncatingIfNeeded: generator.next())
      }
      changed.reseal(like: original)
      try writeFile(path, changed.bytes)
      let error = snapshotError {
        let file = try SnapshotFile(path: path)
        let total = file.sections.reduce(0) { $0 + $1.byteCount }
        #expect(total <= SnapshotFormat.expansionMax * changed.bytes.count, "seed \(seed)")
        for section in file.sections { _ = try file.load(section.id, threads: 1) }
      }
      if let error {
        #expect([.corrupted, .truncated, .unsupportedVersion].contains(error.code), "seed \(seed): \(error)")
        refused += 1
      }
    }
    #expect(refused > 2_000)
  }
}
