// An index in a snapshot: what comes back is what went in, an old file still loads, and what is not an index is refused.

import Foundation
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

  private func makeIndex() throws -> HNSWIndex {
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: 5, metric: .l2, recordIDKind: .text, connectivity: 3, constructionEffort: 12, searchEffort: 9,
        seed: 4))
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
    for n in 0..<90 { #expect(index.vector(of: .text("row \(n)")) == (n % 3 == 0 ? nil : Self.vector(n))) }
    for n in Self.left {
      #expect(
        try index.search(Self.vector(n), SearchOptions(k: 1)).first == SearchHit(id: .text("row \(n)"), distance: 0))
    }
  }

  @Test func comesBackWithItsOrigin() throws {
    let index = try makeIndex()
    let (copy, found) = try IndexSnapshot.load(try save(index), threads: 2)
    #expect(found == origin && copy.configuration == index.configuration)
    try expectRows(copy)
    try copy.insert(.text("a new row"), [1, 2, 3, 4, 5])
    #expect(copy.count == Self.left.count + 1)
  }

  /// Written by the first release; its bytes are never made again.
  @Test func theFirstReleasesFileLoads() throws {
    let golden = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden/index-version-1.vzs")
    let file = try SnapshotFile(path: golden.path(percentEncoded: false))
    let (index, found) = try IndexSnapshot.load(file, threads: 1)
    #expect(found == origin)
    #expect(index.configuration.connectivity == 3 && index.configuration.searchEffort == 9)
    try expectRows(index)
  }

  /// Rewrites a saved index, every checksum right, with other facts or fewer sections.
  private func code(
    without dropped: IndexPart? = nil, _ change: (inout SnapshotMetadata) -> Void = { _ in }
  ) throws -> SnapshotError.Code? {
    let file = try save(try makeIndex())
    var metadata = file.metadata
    change(&metadata)
    let sections = try file.sections.filter { $0.id != dropped?.sectionID }.map {
      SnapshotSection(id: $0.id, elementSize: $0.elementSize, bytes: try file.load($0.id, threads: 1))
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

  @Test func whatContradictsItselfIsRefused() throws {
    #expect(try code() == nil)
    #expect(try code { $0[.storage] = "int4" } == .unusable)
    #expect(try code { $0[.metric] = "hamming" } == .unusable)
    #expect(try code { $0[.recordIDKind] = 257 } == .unusable)
    #expect(try code { $0[.dimension] = 5_000 } == .unusable)
    #expect(try code { $0[.dimension] = 40 } == .unusable)
    #expect(try code { $0[.rows] = 61 } == .unusable)
    #expect(try code { $0[.entrySlot] = 1 << 40 } == .unusable)
    #expect(try code { $0[.seed] = nil } == .unexpectedMetadata)
    for part in IndexPart.allCases { #expect(try code(without: part) == .unexpectedSection) }
  }
}
