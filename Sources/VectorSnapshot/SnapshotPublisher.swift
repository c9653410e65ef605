// Writes the snapshots of one collection: the next number, publication, and the removal of old ones.
//
// May use: Synchronization, and Files of this module.

import Glibc
import Synchronization

/// The one writer of a collection's folder.
///
/// It may be used from any thread; publications happen one after the other.
public final class SnapshotPublisher: Sendable {
  /// A snapshot that has been published.
  public struct Publication: Hashable, Sendable {
    public let entry: SnapshotDirectory.Entry
    /// The length of the file.
    public let byteCount: Int
    /// The older snapshots that were removed by the policy.
    public let removed: [SnapshotDirectory.Entry]
    /// Why an older snapshot could not be removed. The publication is good all the same.
    public let removalFailure: SnapshotError?
  }

  public let directory: SnapshotDirectory
  /// How many snapshots are kept, the newest among them.
  public let keeping: Int
  /// The unfinished files of a writer that died, removed when this publisher was made.
  public let removedLeftovers: [String]

  private let lock: DataDirectoryLock
  private let fileSystem: FileSystem
  /// The highest number ever given out in this folder.
  private let lastSequence: Mutex<UInt64>

  /// Creates the folder when it is missing, and removes what a writer that died has left there.
  ///
  /// - Parameters:
  ///   - directory: lies in the data directory that `lock` holds.
  ///   - lock: shows that no other process writes here; held as long as this publisher lives.
  ///   - keeping: how many snapshots to keep, at least 1.
  public convenience init(
    _ directory: SnapshotDirectory, lock: DataDirectoryLock, keeping: Int = 2
  ) throws(SnapshotError) {
    try self.init(directory, lock: lock, keeping: keeping, fileSystem: .posix)
  }

  init(
    _ directory: SnapshotDirectory, lock: DataDirectoryLock, keeping: Int, fileSystem: FileSystem
  ) throws(SnapshotError) {
    precondition(keeping >= 1, "the newest snapshot is always kept")
    self.directory = directory
    self.lock = lock
    self.keeping = keeping
    self.fileSystem = fileSystem
    do throws(SystemError) {
      try fileSystem.createFolder(directory.path)
    } catch {
      throw Self.failure(error, "could not be created", path: directory.path)
    }
    // The numbers of unfinished files count, so they are looked at before those are removed.
    let names = try directory.names()
    let highest = names.compactMap(SnapshotDirectory.sequence(of:)).max() ?? 0
    lastSequence = Mutex(max(highest, try Self.readSequence(directory)))
    removedLeftovers = names.filter(SnapshotDirectory.isLeftover).map { "\(directory.path)/\($0)" }
    for leftover in removedLeftovers {
      do throws(SystemError) {
        try fileSystem.remove(leftover)
      } catch {
        throw Self.failure(error, "is unfinished and could not be removed", path: leftover)
      }
    }
  }

  /// Writes a snapshot, makes it the current one, and removes those that the policy no longer keeps.
  ///
  /// Blocks the calling thread. On failure the current snapshot stays what it was.
  /// - Throws: as ``SnapshotWriter/write(to:metadata:sections:options:)``.
  public func publish(
    metadata: SnapshotMetadata, sections: [SnapshotSection], options: SnapshotWriter.Options
  ) throws(SnapshotError) -> Publication {
    try lastSequence.withLock { last throws(SnapshotError) in
      let sequence = try reserve(after: last)
      last = sequence
      let entry = SnapshotDirectory.Entry(
        sequence: sequence, path: "\(directory.path)/\(SnapshotDirectory.name(of: sequence))")
      let byteCount = try SnapshotWriter.write(
        to: entry.path, metadata: metadata, sections: sections, options: options, fileSystem: fileSystem)
      let (removed, failure) = removeOld()
      return Publication(entry: entry, byteCount: byteCount, removed: removed, removalFailure: failure)
    }
  }

  /// Notes durably that the next number is taken, before anything carries it.
  private func reserve(after last: UInt64) throws(SnapshotError) -> UInt64 {
    let path = "\(directory.path)/\(SnapshotDirectory.sequenceFileName)"
    guard last < UInt64.max else {
      throw SnapshotError(
        .exceedsFormat, path: path,
        message: "\(directory.path) has a snapshot with the highest number there is. Rename that file.")
    }
    let line = Array((SnapshotDirectory.hex(last + 1) + "\n").utf8)
    try AtomicFile.replace(path, bytesMax: line.count, fileSystem: fileSystem) { file throws(SystemError) in
      try file.write(line, at: 0)
    }
    return last + 1
  }

  private func removeOld() -> (removed: [SnapshotDirectory.Entry], failure: SnapshotError?) {
    var removed: [SnapshotDirectory.Entry] = []
    do throws(SnapshotError) {
      for entry in try directory.list().dropFirst(keeping) {
        do throws(SystemError) {
          try fileSystem.remove(entry.path)
        } catch {
          throw Self.failure(error, "is old and could not be removed", path: entry.path)
        }
        removed.append(entry)
      }
      return (removed, nil)
    } catch {
      return (removed, error)
    }
  }

  private static func failure(_ error: SystemError, _ what: String, path: String) -> SnapshotError {
    SnapshotError(
      .io, path: path,
      message: "\(path) \(what) (\(error.text)). Check the permissions of \(FileSystem.folder(of: path)).",
      errorNumber: error.number)
  }

  private static func readSequence(_ directory: SnapshotDirectory) throws(SnapshotError) -> UInt64 {
    let path = "\(directory.path)/\(SnapshotDirectory.sequenceFileName)"
    let context = SnapshotErrorContext(
      path: path, advice: "Delete this file to go on from the highest number among the snapshots.")
    let bytes: [UInt8]
    do throws(SystemError) {
      bytes = try FileDescriptor(reading: path).read(at: 0, count: 18)
    } catch {
      if error.number == ENOENT { return 0 }
      throw context.system(error)
    }
    guard bytes.count == 17, bytes.last == UInt8(ascii: "\n"),
      let digits = String(validating: bytes.dropLast(), as: UTF8.self),
      let sequence = SnapshotDirectory.parseHex(digits[...])
    else { throw context.corrupted("it is not a line of 16 hexadecimal digits", offset: 0) }
    return sequence
  }
}
