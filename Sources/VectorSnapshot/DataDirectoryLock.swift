// One process a data directory: a lock that the kernel drops with the process, however that ends.
//
// May use: Glibc.

import Glibc

/// Holds a data directory for this process as long as it lives.
///
/// The lock is `flock` on a file `LOCK` in the directory, which carries the process id of the holder for people and for
/// the error below. The file stays behind and means nothing by itself.
public final class DataDirectoryLock: Sendable {
  /// The data directory.
  public let path: String
  private let file: Int32

  /// Takes the directory, and creates it when it is missing. Does not wait.
  ///
  /// - Throws: ``SnapshotError/Code/locked`` with the holder's process id; ``SnapshotError/Code/io``.
  public init(path: String) throws(SnapshotError) {
    let lockPath = "\(path)/LOCK"
    // The properties are set last: an initializer that throws after that would run `deinit`, on a closed descriptor.
    let file: Int32
    do throws(SystemError) {
      try FileSystem.posix.createFolder(path)
      file = try Self.open(lockPath)
    } catch {
      throw SnapshotError(
        .io, path: lockPath,
        message: "\(lockPath) could not be opened (\(error.text)). Check that \(path) is a folder that this user may "
          + "write to.", errorNumber: error.number)
    }
    guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
      let error = SystemError("flock")
      let holder = Self.holder(file)
      close(file)
      guard error.number == EWOULDBLOCK else {
        throw SnapshotError(
          .io, path: lockPath, message: "\(lockPath) could not be locked (\(error.text)). Use a local file system.",
          errorNumber: error.number)
      }
      throw SnapshotError(
        .locked, path: lockPath,
        message: "\(path) is in use by \(holder.map { "process \($0)" } ?? "another process"). "
          + "Stop it, or choose another data directory.", errorNumber: error.number)
    }
    Self.write(holder: getpid(), to: file)
    self.path = path
    self.file = file
  }

  deinit {
    ftruncate(file, 0)
    // Closing drops the lock.
    close(file)
  }

  /// Gives a file or folder of the directory another name in the folder that it is in, durably.
  ///
  /// - Throws: ``SnapshotError/Code/io``. When only making it durable failed, it has the new name, and a power failure may still bring the old
  ///   one back.
  public func rename(_ path: String, to newPath: String) throws(SnapshotError) {
    do throws(SystemError) {
      try FileSystem.posix.rename(path, newPath)
      try FileSystem.posix.synchronizeDirectory(FileSystem.folder(of: newPath))
    } catch {
      throw SnapshotError(
        .io, path: path,
        message: "\(path) could not be renamed to \(newPath) (\(error.text)). Check the permissions of "
          + "\(FileSystem.folder(of: path)) and the health of the disk.",
        errorNumber: error.number)
    }
  }

  private static func open(_ path: String) throws(SystemError) -> Int32 {
    let file = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard file >= 0 else { throw SystemError("open") }
    return file
  }

  /// The process id in the file, or nil when its holder has not written it yet.
  private static func holder(_ file: Int32) -> Int32? {
    withUnsafeTemporaryAllocation(byteCount: 16, alignment: 1) { buffer in
      let count = pread(file, buffer.baseAddress, buffer.count, 0)
      guard count > 0 else { return nil }
      return Int32(String(decoding: buffer[0..<count].prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
    }
  }

  /// For information only, so a failure (a full disk) does not matter.
  private static func write(holder: Int32, to file: Int32) {
    ftruncate(file, 0)
    let line = Array("\(holder)\n".utf8)
    _ = line.withUnsafeBytes { pwrite(file, $0.baseAddress, $0.count, 0) }
  }
}
