// The real file system with a fault, or the end of the process, at a chosen system call.

import Glibc
import Synchronization

@testable import VectorSnapshot

/// Counts the calls that change files, and fails one of them, or it and all that follow.
///
/// When all that follow fail too, the folder is left as a process that was killed at that call leaves it: nothing is
/// cleaned up.
final class FaultyFileSystem: Sendable {
  enum Call: CaseIterable, Sendable {
    case create, write, synchronize, close, rename, remove, synchronizeDirectory
    /// What a journal does besides.
    case open, truncate, synchronizeData

    static let ofPublication: [Call] = [.create, .write, .synchronize, .close, .rename, .synchronizeDirectory]
  }

  struct Fault: Sendable {
    /// Only calls of this kind count; nil for all.
    var call: Call?
    /// Which one fails, from 0.
    var index: Int
    var number: Int32 = EIO
    var isCrash = false
  }

  private let fault: Fault?
  private let seen = Mutex(0)

  /// What does the calls that do not fail.
  private let base: FileSystem

  init(_ fault: Fault? = nil, base: FileSystem = .posix) {
    self.fault = fault
    self.base = base
  }

  /// How many calls counted.
  var count: Int { seen.withLock { $0 } }

  /// What the next call of that kind is to do.
  private func check(_ call: Call) throws(SystemError) {
    let index: Int? = seen.withLock { seen in
      if let only = fault?.call, only != call { return nil }
      defer { seen += 1 }
      return seen
    }
    guard let fault, let index, index == fault.index || (fault.isCrash && index > fault.index) else { return }
    throw SystemError("\(call), as the test wants it", fault.number)
  }

  var fileSystem: FileSystem {
    let base = base
    return FileSystem(
      create: { path throws(SystemError) in
        try self.check(.create)
        return try base.create(path)
      },
      open: { path throws(SystemError) in
        try self.check(.open)
        return try base.open(path)
      },
      write: { file, bytes, offset throws(SystemError) in
        do throws(SystemError) {
          try self.check(.write)
        } catch {
          // What was underway has reached the disk in part.
          _ = try? base.write(file, UnsafeRawBufferPointer(rebasing: bytes[0..<(bytes.count / 2)]), offset)
          throw error
        }
        // A short write is no error: the caller goes on from there.
        return try base.write(file, UnsafeRawBufferPointer(rebasing: bytes[0..<min(bytes.count, 1_000)]), offset)
      },
      truncate: { file, byteCount throws(SystemError) in
        try self.check(.truncate)
        try base.truncate(file, byteCount)
      },
      synchronize: { file throws(SystemError) in
        try self.check(.synchronize)
        try base.synchronize(file)
      },
      synchronizeData: { file throws(SystemError) in
        try self.check(.synchronizeData)
        try base.synchronizeData(file)
      },
      forget: base.forget,
      close: { file throws(SystemError) in
        // The descriptor is gone in any case, as it is with the process.
        try base.close(file)
        try self.check(.close)
      },
      rename: { from, to throws(SystemError) in
        try self.check(.rename)
        try base.rename(from, to)
      },
      remove: { path throws(SystemError) in
        try self.check(.remove)
        try base.remove(path)
      },
      synchronizeDirectory: { path throws(SystemError) in
        try self.check(.synchronizeDirectory)
        try base.synchronizeDirectory(path)
      })
  }
}
