// Contents to write and to expect, and the check that a file holds them.

import Testing

@testable import VectorSnapshot

/// A section's content in memory, so that it can be compared with what comes back.
struct SampleSection {
  var id: UInt32
  var elementSize: Int
  var bytes: [UInt8]

  var section: SnapshotSection { SnapshotSection(id: .init(id), elementSize: elementSize, bytes: bytes) }
}

enum Sample {
  static let blockBytes = SnapshotFormat.blockBytesMin

  /// Numbers that rise slowly: their high bytes are alike, so they shrink, and more so when shuffled.
  static func counters(_ byteCount: Int) -> [UInt8] {
    (0..<byteCount).map { UInt8(truncatingIfNeeded: ($0 / 4 * 7) >> (8 * ($0 % 4))) }
  }

  static var metadata: SnapshotMetadata {
    var metadata = SnapshotMetadata()
    metadata[SnapshotMetadataKey<UInt64>("dimension")] = 384
    metadata[SnapshotMetadataKey<Int64>("created")] = -1_234_567
    metadata[SnapshotMetadataKey<Double>("alpha")] = 1.25
    metadata[SnapshotMetadataKey<String>("source")] = "public.passages (embedding) — « naïve »"
    metadata[SnapshotMetadataKey<[UInt8]>("postgres.lsn")] = [0, 255, 128, 7]
    metadata[SnapshotMetadataKey<Bool>("complete")] = true
    return metadata
  }

  /// Every codec and every element size, an empty section, several blocks, and a short last block.
  static func sections(seed: UInt64) -> [SampleSection] {
    var generator = SeededGenerator(seed: seed)
    return [
      SampleSection(id: 1, elementSize: 4, bytes: counters(2 * blockBytes + 5)),
      SampleSection(id: 9, elementSize: 1, bytes: generator.bytes(blockBytes + 77)),
      SampleSection(id: 3, elementSize: 2, bytes: []),
      SampleSection(id: 4_000_000_000, elementSize: 8, bytes: counters(1_003)),
      SampleSection(id: 5, elementSize: 2, bytes: counters(999)),
      SampleSection(id: 6, elementSize: 1, bytes: [UInt8](repeating: 0, count: blockBytes)),
      SampleSection(id: 7, elementSize: 1, bytes: [42]),
    ]
  }

  @discardableResult
  static func write(
    _ sections: [SampleSection], to path: String, threads: Int = 2, blockBytes: Int = blockBytes
  ) throws -> Int {
    try SnapshotWriter.write(
      to: path, metadata: metadata, sections: sections.map(\.section),
      options: .init(threads: threads, blockBytes: blockBytes))
  }

  static func expect(_ file: SnapshotFile, holds sections: [SampleSection], threads: Int = 2) throws {
    #expect(file.metadata == metadata)
    #expect(file.sections.map(\.id.rawValue) == sections.map(\.id))
    for section in sections {
      let loaded = try file.load(.init(section.id), threads: threads)
      #expect(loaded == section.bytes, "section \(section.id)")
    }
    try file.verify(threads: threads)
  }
}

/// The error that an operation throws, or nil.
func snapshotError(_ body: () throws -> Void) -> SnapshotError? {
  do {
    try body()
    return nil
  } catch {
    return error as? SnapshotError
  }
}
