// A file that appears whole or not at all: written beside its place, made durable, renamed into it.
//
// May use: Glibc, through FileSystem.

import Glibc

/// A file that is being written.
struct OpenFile: Sendable {
  let number: Int32
  let fileSystem: FileSystem

  /// Writes all bytes at an offset. Any thread may write at any offset.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(SystemError) {
    var done = 0
    while done < bytes.count {
      let count = try fileSystem.write(number, UnsafeRawBufferPointer(rebasing: bytes[done...]), offset + done)
      // A write of nothing would be tried forever.
      guard count > 0 else { throw SystemError("pwrite, which wrote nothing", EIO) }
      done += count
    }
  }

  func write(_ bytes: [UInt8], at offset: Int) throws(SystemError) {
    var failure: SystemError?
    bytes.withUnsafeBytes { buffer in
      do throws(SystemError) { try write(buffer, at: offset) } catch { failure = error }
    }
    if let failure { throw failure }
  }
}

enum AtomicFile {
  /// What the name of an unfinished file ends with.
  static let temporarySuffix = ".tmp"

  /// Puts a new file in the place of `path`: temporary file in the same folder, `fsync`, `rename`, `fsync` of the folder.
  ///
  /// When anything fails the temporary file is removed and what was at `path` stays, with one exception: when only the
  /// last step fails, the new file is in place and whole, but a power failure may still bring the old one back.
  /// - Parameters:
  ///   - bytesMax: the most bytes that `body` may write, for the error about a full disk.
  ///   - body: writes the content. It has the file for itself.
  static func replace(
    _ path: String, bytesMax: Int, fileSystem: FileSystem, body: (OpenFile) throws(SystemError) -> Void
  ) throws(SnapshotError) {
    let temporary = path + temporarySuffix
    let folder = FileSystem.folder(of: path)
    do throws(SystemError) {
      let number = try fileSystem.create(temporary)
      do throws(SystemError) {
        do throws(SystemError) {
          try body(OpenFile(number: number, fileSystem: fileSystem))
          try fileSystem.synchronize(number)
        } catch {
          try? fileSystem.close(number)
          throw error
        }
        try fileSystem.close(number)
        try fileSystem.rename(temporary, path)
      } catch {
        // The first error is the one to report; a leftover is removed at the next start.
        try? fileSystem.remove(temporary)
        throw error
      }
      try fileSystem.synchronizeDirectory(folder)
    } catch {
      throw failure(error, path: path, folder: folder, bytesMax: bytesMax)
    }
  }

  private static func failure(_ error: SystemError, path: String, folder: String, bytesMax: Int) -> SnapshotError {
    guard error.number == ENOSPC || error.number == EDQUOT else {
      return SnapshotError(
        .io, path: path,
        message: "\(path) could not be written (\(error.text)). What was there before is untouched. "
          + "Check the permissions of \(folder) and the health of the disk.",
        errorNumber: error.number)
    }
    let free = FileSystem.freeBytes(at: folder)
    return SnapshotError(
      .noSpace, path: path,
      message: "\(path) could not be written (\(error.text)): it needs up to \(bytesMax) bytes and \(free) are free "
        + "in \(folder). What was there before is untouched. Free some space, or move the data directory.",
      space: .init(neededBytes: bytesMax, freeBytes: free), errorNumber: error.number)
  }
}
