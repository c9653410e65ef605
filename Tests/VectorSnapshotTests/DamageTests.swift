// Files cut off, lengthened, flipped and mixed: no damage loads, and what is damaged is named.

import Glibc
import Testing

@testable import VectorSnapshot

@Suite struct DamageTests {
  let folder: TemporaryFolder
  let path: String
  init() throws {
    folder = try TemporaryFolder()
    path = folder.file("a.vzs")
  }

  static let damageCodes: Set<SnapshotError.Code> = [.notASnapshot, .truncated, .corrupted]

  /// Opens and loads all; whatever is wrong must be thrown, and name the file.
  private func openAndLoad() -> SnapshotError? {
    let error = snapshotError {
      let file = try SnapshotFile(path: path)
      for section in file.sections { _ = try file.load(section.id, threads: 2) }
    }
    if let error { #expect(error.path == path && error.message.contains(path)) }
    return error
  }

  @Test func everyTruncationIsSeenAtOpening() throws {
    try Sample.write(Sample.sections(seed: 1), to: path)
    let bytes = try readFile(path)
    for length in (0..<bytes.count).reversed() {
      #expect(truncate(path, off_t(length)) == 0)
      let error = snapshotError { _ = try SnapshotFile(path: path) }
      #expect(error?.code == .truncated, "\(length) of \(bytes.count) bytes: \(String(describing: error))")
    }
  }

  @Test func anythingAppendedIsSeen() throws {
    try Sample.write(Sample.sections(seed: 1), to: path)
    let bytes = try readFile(path)
    for seed in 1...50 as ClosedRange<UInt64> {
      var generator = SeededGenerator(seed: seed)
      try writeFile(path, bytes + generator.bytes(Int.random(in: 1...500, using: &generator)))
      #expect(openAndLoad()?.code == .truncated, "seed \(seed)")
    }
    // Its own end once more, so that the end looks right.
    try writeFile(path, bytes + bytes.suffix(SnapshotFormat.footerBytes))
    #expect(openAndLoad()?.code == .truncated)
  }

  /// One bit of every byte of a snapshot with every codec and filter, a seeded one, and all bits outside the blocks.
  @Test func everyFlippedBitIsRefused() throws {
    try Sample.write(Sample.sections(seed: 2), to: path)
    let bytes = try readFile(path)
    let layout = SnapshotBytes(bytes: bytes)
    var generator = SeededGenerator(seed: 2)
    for offset in bytes.indices {
      let isInBlock = (64 + layout.metadataBytes..<layout.tableOffset).contains(offset)
      let bits = isInBlock ? [Int.random(in: 0..<8, using: &generator)] : Array(0..<8)
      for bit in bits {
        try patchFile(path, at: offset, [bytes[offset] ^ 1 << UInt8(bit)])
        let error = openAndLoad()
        #expect(error.map { Self.damageCodes.contains($0.code) } == true, "byte \(offset), bit \(bit)")
        if isInBlock { #expect(error?.code == .corrupted && error?.location?.section != nil) }
      }
      try patchFile(path, at: offset, [bytes[offset]])
    }
    #expect(openAndLoad() == nil)
  }

  @Test func seededDamageOfSeveralBytesIsRefused() throws {
    try Sample.write(Sample.sections(seed: 3), to: path)
    let bytes = try readFile(path)
    for seed in 1...500 as ClosedRange<UInt64> {
      var generator = SeededGenerator(seed: seed)
      var damaged = bytes
      for _ in 0..<Int.random(in: 1...8, using: &generator) {
        let offset = Int.random(in: 0..<damaged.count, using: &generator)
        damaged[offset] ^= UInt8.random(in: 1...255, using: &generator)
      }
      guard damaged != bytes else { continue }
      try writeFile(path, damaged)
      #expect(openAndLoad() != nil, "seed \(seed)")
    }
  }

  @Test func damageIsNamedByTheFirstBadBlockForAnyNumberOfThreads() throws {
    let sections = [SampleSection(id: 8, elementSize: 4, bytes: Sample.counters(50 * Sample.blockBytes))]
    try Sample.write(sections, to: path)
    let layout = SnapshotBytes(bytes: try readFile(path))
    // Neighbours, so that threads find them at the same time.
    let offsets = [20, 21, 22, 23].map { Int(layout.u64(layout.blockEntry($0))) }
    for offset in offsets { try patchFile(path, at: offset + 3, [layout.bytes[offset + 3] ^ 0x10]) }
    let file = try SnapshotFile(path: path)
    for round in 0..<100 {
      let threads = [1, 2, 7][round % 3]
      for error in [
        snapshotError { _ = try file.load(.init(8), threads: threads) },
        snapshotError { try file.verify(threads: threads) },
      ] {
        #expect(error?.code == .corrupted)
        #expect(error?.location == .init(section: .init(8), block: 20, offset: offsets[0]))
        #expect(error?.message.contains("section 8, block 20, at byte \(offsets[0])") == true)
      }
    }
  }

  /// Two blocks of one file, both whole, in each other's place.
  @Test func swappedBlocksAreRefused() throws {
    var generator = SeededGenerator(seed: 4)
    let block = Sample.blockBytes
    try Sample.write([SampleSection(id: 1, elementSize: 1, bytes: generator.bytes(2 * block))], to: path)
    var layout = SnapshotBytes(bytes: try readFile(path))
    let first = Int(layout.u64(layout.blockEntry(0)))
    let (a, b) = (layout.bytes[first..<(first + block)], layout.bytes[(first + block)..<(first + 2 * block)])
    layout.bytes.replaceSubrange(first..<(first + 2 * block), with: Array(b) + Array(a))
    try writeFile(path, layout.bytes)
    #expect(openAndLoad()?.code == .corrupted)
  }

  /// The front of one snapshot and the end of another of the same layout.
  @Test func piecesOfTwoSnapshotsAreRefused() throws {
    var other = Sample.metadata
    other[SnapshotMetadataKey<UInt64>("dimension")] = 385
    let sections = Sample.sections(seed: 5).map(\.section)
    let options = SnapshotWriter.Options(threads: 1, blockBytes: Sample.blockBytes)
    try SnapshotWriter.write(to: path, metadata: Sample.metadata, sections: sections, options: options)
    let one = try readFile(path)
    try SnapshotWriter.write(to: path, metadata: other, sections: sections, options: options)
    let two = try readFile(path)
    #expect(one.count == two.count && one != two)
    let tableOffset = SnapshotBytes(bytes: one).tableOffset
    try writeFile(path, Array(one[..<tableOffset]) + Array(two[tableOffset...]))
    let error = openAndLoad()
    #expect(error?.code == .corrupted)
    #expect(error?.message.contains("two different snapshots") == true)
  }

  @Test func aFileThatShrinksWhileItIsOpenIsSeen() throws {
    try Sample.write(Sample.sections(seed: 6), to: path)
    let file = try SnapshotFile(path: path)
    #expect(truncate(path, 100) == 0)
    #expect(snapshotError { try file.verify(threads: 2) }?.code == .truncated)
  }

  @Test(arguments: [
    ("text", Array("id,title\n1,a title\n".utf8)),
    ("PNG", [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A] + [UInt8](repeating: 0, count: 200)),
    ("zeros", [UInt8](repeating: 0, count: 4_096)),
    ("a snapshot sent as text", [0x89, 0x56, 0x5A, 0x53, 0x0A, 0x1A, 0x0A, 1] + [UInt8](repeating: 0, count: 200)),
    ("one foreign byte", [0x56]),
  ])
  func foreignFiles(what: String, bytes: [UInt8]) throws {
    try writeFile(path, bytes)
    #expect(openAndLoad()?.code == .notASnapshot, "\(what)")
  }

  @Test func anEmptyFileIsATruncatedOne() throws {
    try writeFile(path, [])
    #expect(openAndLoad()?.code == .truncated)
  }

  @Test func whatIsNoFileIsRefusedWithoutWaiting() throws {
    #expect(openAndLoad()?.code == .notFound)
    #expect(mkdir(path, 0o700) == 0)
    #expect(openAndLoad()?.code == .io)
    #expect(rmdir(path) == 0)
    #expect(mkfifo(path, 0o600) == 0)
    #expect(openAndLoad()?.code == .io)
  }

  @Test(arguments: [0, 3, 7, UInt32.max])
  func anotherVersionSaysWhichIsFoundAndWhichIsRead(version: UInt32) throws {
    try Sample.write(Sample.sections(seed: 7), to: path)
    let original = SnapshotBytes(bytes: try readFile(path))
    var changed = original
    changed.set(8, u32: version)
    changed.reseal(like: original)
    try writeFile(path, changed.bytes)
    let error = openAndLoad()
    #expect(error?.code == .unsupportedVersion)
    #expect(error?.message.contains("version \(version),") == true)
    #expect(error?.message.contains("reads versions 1 to 2") == true)
  }
}
