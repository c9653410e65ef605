// The folder of a collection: which file is current, which go, numbers that are never given out twice, and a crash at every call.

import Foundation
import Synchronization
import Testing
import VectorIndex

@testable import VectorSnapshot

@Suite struct SnapshotDirectoryTests {
  let folder: TemporaryFolder
  let directory: SnapshotDirectory
  let lock: DataDirectoryLock
  init() throws {
    folder = try TemporaryFolder()
    directory = SnapshotDirectory(path: folder.file("collections/passages"))
    lock = try DataDirectoryLock(path: folder.path)
  }

  private static let options = SnapshotWriter.Options(threads: 2, blockBytes: Sample.blockBytes)

  @discardableResult
  private func publish(
    _ publisher: SnapshotPublisher, seed: UInt64
  ) throws -> SnapshotPublisher.Publication {
    try publisher.publish(
      metadata: Sample.metadata, sections: Sample.sections(seed: seed).map(\.section), options: Self.options)
  }

  private func names() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
  }

  private func name(_ sequence: UInt64) -> String { SnapshotDirectory.name(of: sequence) }

  @Test func aFolderThatDoesNotExistHasNoSnapshots() throws {
    #expect(try directory.list() == [])
    #expect(try directory.openNewest() == nil)
    #expect(!FileManager.default.fileExists(atPath: directory.path))
  }

  @Test func theNewestIsCurrentAndOldOnesGo() throws {
    let publisher = try SnapshotPublisher(directory, lock: lock)
    for seed in 1...5 as ClosedRange<UInt64> {
      let publication = try publish(publisher, seed: seed)
      #expect(publication.entry.sequence == seed)
      #expect(publication.entry.path == "\(directory.path)/snapshot-000000000000000\(seed).vzs")
      #expect(publication.removed.map(\.sequence) == (seed > 2 ? [seed - 2] : []))
      #expect(publication.removalFailure == nil)
      let file = try #require(try directory.openNewest())
      #expect(file.path == publication.entry.path && file.byteCount == publication.byteCount)
      try Sample.expect(file, holds: Sample.sections(seed: seed))
    }
    #expect(try names() == ["SEQUENCE", name(4), name(5)])
    #expect(try directory.list().map(\.sequence) == [5, 4])
    try Sample.expect(try directory.open(sequence: 4), holds: Sample.sections(seed: 4))
    #expect(snapshotError { _ = try directory.open(sequence: 3) }?.code == .notFound)
  }

  @Test(arguments: [1, 3])
  func thePolicyIsAChoice(keeping: Int) throws {
    let publisher = try SnapshotPublisher(directory, lock: lock, keeping: keeping)
    for seed in 1...5 as ClosedRange<UInt64> { try publish(publisher, seed: seed) }
    #expect(try directory.list().count == keeping)
  }

  @Test func aFileThatIsOpenOutlivesItsRemoval() throws {
    let publisher = try SnapshotPublisher(directory, lock: lock, keeping: 1)
    try publish(publisher, seed: 1)
    let file = try #require(try directory.openNewest())
    try publish(publisher, seed: 2)
    #expect(!FileManager.default.fileExists(atPath: file.path))
    try Sample.expect(file, holds: Sample.sections(seed: 1))
  }

  @Test func foreignNamesAreLeftAlone() throws {
    try publish(try SnapshotPublisher(directory, lock: lock), seed: 1)
    let foreign = [
      "notes.txt", "notes.tmp", "snapshot-1.vzs", "snapshot-000000000000000g.vzs", "snapshot-+00000000000000f.vzs",
      "snapshot-00000000000000A0.vzs",
    ]
    for name in foreign { try writeFile("\(directory.path)/\(name)", [1]) }
    let publisher = try SnapshotPublisher(directory, lock: lock, keeping: 1)
    #expect(publisher.removedLeftovers == [])
    try publish(publisher, seed: 2)
    #expect(try directory.list().count == 1)
    #expect(Set(foreign).isSubset(of: Set(try names())))
  }

  @Test func numbersAreNeverGivenOutTwice() throws {
    try publish(try SnapshotPublisher(directory, lock: lock), seed: 1)
    // Set aside by hand, then deleted by hand.
    try FileManager.default.moveItem(
      atPath: "\(directory.path)/\(name(1))", toPath: "\(directory.path)/\(name(1)).damaged")
    #expect(try publish(try SnapshotPublisher(directory, lock: lock), seed: 2).entry.sequence == 2)
    try FileManager.default.removeItem(atPath: "\(directory.path)/\(name(2))")
    #expect(try publish(try SnapshotPublisher(directory, lock: lock), seed: 3).entry.sequence == 3)
    // Without the file that remembers, the names do.
    try FileManager.default.removeItem(atPath: "\(directory.path)/SEQUENCE")
    try writeFile("\(directory.path)/\(name(0x1F)).tmp", [1, 2, 3])
    let publisher = try SnapshotPublisher(directory, lock: lock)
    #expect(publisher.removedLeftovers == ["\(directory.path)/\(name(0x1F)).tmp"])
    #expect(try publish(publisher, seed: 4).entry.sequence == 0x20)
  }

  @Test(arguments: ["", "12\n", "000000000000000x\n", "0000000000000001", "0000000000000001\n0"])
  func aDamagedSequenceFileIsNamed(content: String) throws {
    try publish(try SnapshotPublisher(directory, lock: lock), seed: 1)
    try writeFile("\(directory.path)/SEQUENCE", Array(content.utf8))
    let error = snapshotError { _ = try SnapshotPublisher(directory, lock: lock) }
    #expect(error?.code == .corrupted)
    #expect(error?.message.contains("\(directory.path)/SEQUENCE") == true)
    #expect(error?.message.contains("Delete this file") == true)
  }

  @Test func theHighestNumberIsAnErrorAndNoOverflow() throws {
    let publisher = try SnapshotPublisher(directory, lock: lock)
    try publish(publisher, seed: 1)
    try FileManager.default.moveItem(
      atPath: "\(directory.path)/\(name(1))", toPath: "\(directory.path)/\(name(.max))")
    let error = snapshotError { try publish(try SnapshotPublisher(directory, lock: lock), seed: 2) }
    #expect(error?.code == .exceedsFormat)
  }

  @Test func aDamagedNewestIsAnErrorThatNamesTheWayBack() throws {
    let publisher = try SnapshotPublisher(directory, lock: lock)
    for seed in 1...2 as ClosedRange<UInt64> { try publish(publisher, seed: seed) }
    let (newest, previous) = ("\(directory.path)/\(name(2))", "\(directory.path)/\(name(1))")
    let bytes = try readFile(newest)
    let blockOffset = 64 + SnapshotBytes(bytes: bytes).metadataBytes

    // In the header, which opening finds, and in a block, which loading finds.
    for offset in [30, blockOffset] {
      try patchFile(newest, at: offset, [bytes[offset] ^ 1])
      let error = snapshotError { try directory.openNewest()?.verify(threads: 1) }
      #expect(error?.code == .corrupted && error?.path == newest)
      #expect(error?.message.contains("mv '\(newest)' '\(newest).damaged'") == true)
      #expect(error?.message.contains("previous snapshot is \(previous)") == true)
      try patchFile(newest, at: offset, [bytes[offset]])
    }

    // The deliberate way back.
    try FileManager.default.moveItem(atPath: newest, toPath: "\(newest).damaged")
    let file = try #require(try directory.openNewest())
    #expect(file.path == previous)
    try Sample.expect(file, holds: Sample.sections(seed: 1))

    // No way back to name when there is none.
    try patchFile(previous, at: 30, [9])
    let error = snapshotError { _ = try directory.openNewest() }
    #expect(error?.message.contains("previous") == false && error?.message.contains("rebuild") == true)
  }

  @Test func anOldFileThatCannotBeRemovedDoesNotUndoThePublication() throws {
    try publish(try SnapshotPublisher(directory, lock: lock), seed: 1)
    let faulty = FaultyFileSystem(.init(call: .remove, index: 0))
    let publisher = try SnapshotPublisher(directory, lock: lock, keeping: 1, fileSystem: faulty.fileSystem)
    let publication = try publish(publisher, seed: 2)
    #expect(publication.removalFailure?.path == "\(directory.path)/\(name(1))")
    try Sample.expect(try #require(try directory.openNewest()), holds: Sample.sections(seed: 2))
    // The next publication tries again.
    #expect(try publish(publisher, seed: 3).removed.map(\.sequence) == [2, 1])
  }

  /// The process dies at every system call of a publication in turn; the next start finds the old snapshot or the new
  /// one, whole, removes what is left over, and goes on with a fresh number.
  @Test func aCrashAtEveryCallIsRecovered() throws {
    try publish(try SnapshotPublisher(directory, lock: lock), seed: 1)
    try publish(try SnapshotPublisher(directory, lock: lock), seed: 1)
    let before = folder.file("before")
    try FileManager.default.copyItem(atPath: directory.path, toPath: before)

    let counting = FaultyFileSystem()
    try publish(try SnapshotPublisher(directory, lock: lock, keeping: 2, fileSystem: counting.fileSystem), seed: 2)
    var published = 0
    var leftovers = 0
    #expect(counting.count > 20)
    for index in 0..<counting.count {
      try FileManager.default.removeItem(atPath: directory.path)
      try FileManager.default.copyItem(atPath: before, toPath: directory.path)
      let crashing = FaultyFileSystem(.init(index: index, isCrash: true))
      _ = snapshotError {
        try publish(try SnapshotPublisher(directory, lock: lock, keeping: 2, fileSystem: crashing.fileSystem), seed: 2)
      }

      let publisher = try SnapshotPublisher(directory, lock: lock)
      leftovers += publisher.removedLeftovers.count
      #expect(try names().allSatisfy { !$0.hasSuffix(".tmp") }, "crash at call \(index)")
      let newest = try #require(try directory.list().first)
      #expect([2, 3].contains(newest.sequence))
      published += newest.sequence == 3 ? 1 : 0
      let file = try #require(try directory.openNewest())
      try Sample.expect(file, holds: Sample.sections(seed: newest.sequence == 3 ? 2 : 1))
      let next = try publish(publisher, seed: 4)
      #expect(next.entry.sequence > newest.sequence, "crash at call \(index)")
    }
    #expect(published > 0 && published < counting.count && leftovers > 20)
  }

  @Test func publicationsFromSeveralThreadsTakeTurns() throws {
    let publisher = try SnapshotPublisher(directory, lock: lock, keeping: 100)
    let failures = Mutex<[SnapshotError]>([])
    WorkerThreads.run(count: 8) { _ in
      let error = snapshotError {
        let sections = Sample.sections(seed: 1).map(\.section)
        _ = try publisher.publish(metadata: Sample.metadata, sections: sections, options: Self.options)
      }
      if let error { failures.withLock { $0.append(error) } }
    }
    #expect(failures.withLock { $0 } == [])
    #expect(try directory.list().map(\.sequence) == (1...8).reversed())
    for entry in try directory.list() {
      try Sample.expect(try directory.open(sequence: entry.sequence), holds: Sample.sections(seed: 1))
    }
  }
}
