// Frozen files, and the example of docs/SNAPSHOT.md: what was written once is read for ever.

import Foundation
import Testing

@testable import VectorSnapshot

/// Files that earlier releases wrote. Their bytes are never regenerated: a change that cannot read them is a new format
/// version, or a mistake.
@Suite struct GoldenTests {
  private static let folder = URL(filePath: #filePath).deletingLastPathComponent()

  @Test func version1() throws {
    let path = Self.folder.appending(path: "Golden/version-1.vzs").path(percentEncoded: false)
    let file = try SnapshotFile(path: path)
    #expect(file.formatVersion == 1 && file.blockBytes == 4_096 && file.byteCount == 6_549)
    try Sample.expect(file, holds: Sample.sections(seed: 2_026))
    #expect(file.sections.map(\.blockCount) == [3, 2, 0, 1, 1, 1, 1])
    #expect(file.sections.map(\.rawBlockCount) == [1, 2, 0, 0, 0, 0, 1])
  }

  /// The worked example of docs/SNAPSHOT.md: its bytes are what the writer writes, and what the reader reads.
  @Test func theDocumentsExample() throws {
    let document = Self.folder.appending(path: "../../docs/SNAPSHOT.md").standardized
    let text = try String(contentsOf: document, encoding: .utf8)
    let block = try #require(text.components(separatedBy: "```hex\n").dropFirst().first)
    let hex = try #require(block.components(separatedBy: "```").first)
    let bytes = hex.split(separator: "\n").flatMap { line in
      line.split(separator: "#")[0].split(separator: " ").compactMap { UInt8($0, radix: 16) }
    }

    var metadata = SnapshotMetadata()
    metadata[SnapshotMetadataKey<UInt64>("dimension")] = 3
    let section = SampleSection(id: 7, elementSize: 4, bytes: [1, 2, 3, 4])
    let folder = try TemporaryFolder()
    try SnapshotWriter.write(
      to: folder.file("a.vzs"), metadata: metadata, sections: [section.section], options: .init(threads: 1))
    #expect(try readFile(folder.file("a.vzs")) == bytes)

    try writeFile(folder.file("b.vzs"), bytes)
    let file = try SnapshotFile(path: folder.file("b.vzs"))
    #expect(file.metadata == metadata)
    #expect(try file.load(.init(7), threads: 1) == section.bytes)
  }
}
