// Metadata as bytes: every type comes back, and bytes that are none are refused.

import Testing

@testable import VectorSnapshot

@Suite struct SnapshotMetadataTests {
  @Test func everyTypeComesBack() {
    let metadata = Sample.metadata
    #expect(SnapshotMetadata.decode(metadata.encode()) == metadata)
    #expect(SnapshotMetadata.decode(SnapshotMetadata().encode()) == SnapshotMetadata())
    #expect(metadata[SnapshotMetadataKey<UInt64>("dimension")] == 384)
    #expect(metadata[SnapshotMetadataKey<Bool>("complete")] == true)
  }

  @Test func extremesComeBack() {
    var metadata = SnapshotMetadata()
    metadata[SnapshotMetadataKey<UInt64>("u")] = .max
    metadata[SnapshotMetadataKey<Int64>("i")] = .min
    metadata[SnapshotMetadataKey<Double>("d")] = -Double.infinity
    metadata[SnapshotMetadataKey<String>("t")] = ""
    metadata[SnapshotMetadataKey<[UInt8]>("b")] = []
    metadata[SnapshotMetadataKey<Bool>(String(repeating: "k", count: 64))] = false
    #expect(SnapshotMetadata.decode(metadata.encode()) == metadata)
  }

  @Test func anotherTypeOrNameIsNil() {
    let metadata = Sample.metadata
    #expect(metadata[SnapshotMetadataKey<Int64>("dimension")] == nil)
    #expect(metadata[SnapshotMetadataKey<UInt64>("absent")] == nil)
  }

  @Test func orderOfInsertionDoesNotMatter() {
    var forward = SnapshotMetadata()
    var backward = SnapshotMetadata()
    for i in 0..<50 { forward[SnapshotMetadataKey<UInt64>("key\(i)")] = UInt64(i) }
    for i in (0..<50).reversed() { backward[SnapshotMetadataKey<UInt64>("key\(i)")] = UInt64(i) }
    #expect(forward.encode() == backward.encode())
    #expect(forward.entries.map(\.name) == forward.entries.map(\.name).sorted())
  }

  @Test(arguments: [
    "", "Upper", "with space", "né", "a/b", String(repeating: "k", count: 65),
  ])
  func namesAreBounded(name: String) {
    #expect(!SnapshotMetadata.isName(name))
  }

  /// Lies that no checksum would catch.
  @Test(arguments: [
    ("a count without entries", [1, 0, 0, 0] as [UInt8]),
    ("bytes after the last entry", [0, 0, 0, 0, 0]),
    ("a huge count", [255, 255, 255, 255]),
    ("an empty name", [1, 0, 0, 0, 0, 1, 1]),
    ("an unknown type", [1, 0, 0, 0, 1, 97, 7, 1]),
    ("a flag of 2", [1, 0, 0, 0, 1, 97, 1, 2]),
    ("a name twice", [2, 0, 0, 0, 1, 97, 1, 1, 1, 97, 1, 1]),
    ("names out of order", [2, 0, 0, 0, 1, 98, 1, 1, 1, 97, 1, 1]),
    ("a text longer than the file", [1, 0, 0, 0, 1, 97, 5, 255, 255, 255, 255, 120]),
    ("a text that is not UTF-8", [1, 0, 0, 0, 1, 97, 5, 1, 0, 0, 0, 0xC3]),
  ])
  func liesAreRefused(what: String, bytes: [UInt8]) {
    #expect(SnapshotMetadata.decode(bytes) == nil, "\(what)")
  }

  @Test func truncatedAndRandomBytesNeverCrash() {
    let bytes = Sample.metadata.encode()
    for count in 0..<bytes.count { #expect(SnapshotMetadata.decode(Array(bytes[..<count])) == nil) }
    for seed in 1...2_000 as ClosedRange<UInt64> {
      var generator = SeededGenerator(seed: seed)
      var mutated = bytes
      mutated[Int.random(in: 0..<mutated.count, using: &generator)] = UInt8(truncatingIfNeeded: generator.next())
      // What decodes must be the one byte form of what it decodes to.
      if let metadata = SnapshotMetadata.decode(mutated) { #expect(metadata.encode() == mutated, "seed \(seed)") }
    }
  }
}
