// A word beside the snapshots of a collection: that none of them is one to go on from, and why.
//
//     STALE     in the collection's folder: the reason, as UTF-8 text
//
// May use: Files of this module.

import Glibc

/// The mark in one collection's folder. Whoever owns the data directory sets it and takes it away.
public struct StaleMark: Hashable, Sendable {
  /// Its name in the folder.
  public static let fileName = "STALE"
  /// A longer reason is cut off.
  private static let bytesMax = 4_096

  private let folder: String
  private var path: String { "\(folder)/\(Self.fileName)" }
  private var context: SnapshotErrorContext { SnapshotErrorContext(path: path) }

  public init(in directory: SnapshotDirectory) { folder = directory.path }

  /// Why the snapshots are not to be gone on from; nil: they are.
  public func reason() throws(SnapshotError) -> String? {
    do throws(SystemError) {
      let bytes = try FileDescriptor(reading: path).read(at: 0, count: Self.bytesMax)
      return String(decoding: bytes, as: UTF8.self)
    } catch {
      if error.number == ENOENT { return nil }
      throw context.system(error)
    }
  }

  /// Durable when it returns. Where there is no folder there is nothing to go on from, and nothing is done.
  public func set(_ reason: String) throws(SnapshotError) {
    let bytes = Array(reason.utf8.prefix(Self.bytesMax))
    do throws(SnapshotError) {
      try AtomicFile.replace(path, bytesMax: bytes.count, fileSystem: .posix) { file throws(SystemError) in
        try file.write(bytes, at: 0)
      }
    } catch {
      guard error.errorNumber == ENOENT else { throw error }
    }
  }

  /// Durable when it returns. Costs next to nothing where there is no mark.
  public func remove() throws(SnapshotError) {
    do throws(SystemError) {
      try FileSystem.posix.remove(path)
    } catch {
      if error.number == ENOENT { return }
      throw context.system(error)
    }
    do throws(SystemError) {
      try FileSystem.posix.synchronizeDirectory(folder)
    } catch {
      throw context.system(error)
    }
  }
}
