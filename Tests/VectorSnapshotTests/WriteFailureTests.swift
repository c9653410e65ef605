// Writes that fall short or fail: the file that was there stays, and a full disk is told with what was missing.

import Foundation
import Testing

@testable import VectorSnapshot

@Suite struct WriteFailureTests {
  let folder: TemporaryFolder
  let path: String
  let old = Sample.sections(seed: 1)
  let new = Sample.sections(seed: 2)
  init() throws {
    folder = try TemporaryFolder()
    path = folder.file("a.vzs")
    try Sample.write(old, to: path)
  }

  private func overwrite(_ fileSystem: FileSystem, threads: Int = 2) -> SnapshotError? {
    snapshotError {
      _ = try SnapshotWriter.write(
        to: path, metadata: Sample.metadata, sections: new.map(\.section),
        options: .init(threads: threads, blockBytes: Sample.blockBytes), fileSystem: fileSystem)
    }
  }

  @Test func shortWritesAreContinued() throws {
    #expect(overwrite(FaultyFileSystem().fileSystem) == nil)
    try Sample.expect(try SnapshotFile(path: path), holds: new)
  }

  /// Each system call fails once, for lack of space and for a bad disk, at each of its occurrences.
  @Test(arguments: [EIO, ENOSPC, EDQUOT, EFBIG])
  func anyFailingCallLeavesTheOldFileAndNoOther(number: Int32) throws {
    for call in FaultyFileSystem.Call.ofPublication {
      let counting = FaultyFileSystem(.init(call: call, index: .max))
      #expect(overwrite(counting.fileSystem) == nil)
      #expect(counting.count > 0)
      for index in 0..<counting.count {
        try Sample.write(old, to: path)
        let error = overwrite(FaultyFileSystem(.init(call: call, index: index, number: number)).fileSystem)
        #expect(error?.code == (number == ENOSPC || number == EDQUOT ? .noSpace : .io), "\(call) \(index)")
        #expect(error?.errorNumber == number && error?.path == path && error?.message.contains(path) == true)
        #expect(try folder.names() == ["a.vzs"], "\(call) \(index)")
        // Once renamed, the new file stands, whole.
        let expected = call == .synchronizeDirectory ? new : old
        try Sample.expect(try SnapshotFile(path: path), holds: expected)
      }
    }
  }

  @Test func aMissingFolderIsAnError() {
    let error = snapshotError {
      try SnapshotWriter.write(
        to: folder.file("absent/a.vzs"), metadata: SnapshotMetadata(), sections: [], options: .init(threads: 1))
    }
    #expect(error?.code == .io && error?.errorNumber == ENOENT)
    #expect(error?.message.contains("absent/a.vzs") == true)
  }

  @Test func aSymbolicLinkInTheTemporaryFilesPlaceIsNotFollowed() throws {
    try FileManager.default.createSymbolicLink(
      atPath: path + AtomicFile.temporarySuffix, withDestinationPath: folder.file("victim"))
    #expect(overwrite(.posix)?.code == .io)
    #expect(!FileManager.default.fileExists(atPath: folder.file("victim")))
  }

  /// A real full disk: a small tmpfs, which takes root to mount.
  @Test(.enabled(if: geteuid() == 0, "mounting a small tmpfs takes root"))
  func aFullDisk() throws {
    let disk = folder.file("disk")
    try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: false)
    try #require(mount("tmpfs", disk, "tmpfs", 0, "size=512k") == 0, "\(String(cString: strerror(errno)))")
    defer { umount2(disk, Int32(MNT_DETACH)) }

    let lock = try DataDirectoryLock(path: folder.file("data"))
    let directory = SnapshotDirectory(path: "\(disk)/passages")
    let publisher = try SnapshotPublisher(directory, lock: lock)
    let options = SnapshotWriter.Options(threads: 2, blockBytes: Sample.blockBytes)
    let first = try publisher.publish(metadata: Sample.metadata, sections: old.map(\.section), options: options)

    var generator = SeededGenerator(seed: 9)
    let large = SampleSection(id: 1, elementSize: 1, bytes: generator.bytes(1 << 20))
    let error = snapshotError {
      _ = try publisher.publish(metadata: Sample.metadata, sections: [large.section], options: options)
    }
    #expect(error?.code == .noSpace && error?.errorNumber == ENOSPC)
    let space = try #require(error?.space)
    #expect(space.neededBytes > 1 << 20 && space.freeBytes > 0 && space.freeBytes < 512 << 10)
    for part in [disk, String(space.neededBytes), String(space.freeBytes), "untouched"] {
      #expect(error?.message.contains(part) == true, "\(part)")
    }

    #expect(try directory.list() == [first.entry])
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).count == 2)
    try Sample.expect(try #require(try directory.openNewest()), holds: old)
    // There is room again for a small one.
    _ = try publisher.publish(metadata: Sample.metadata, sections: new.map(\.section), options: options)
    try Sample.expect(try #require(try directory.openNewest()), holds: new)
  }
}
