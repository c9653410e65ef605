// The system calls that change files, as values: the tests put faults and crashes in their place.
//
// May use: Glibc.

import Glibc

struct FileSystem: Sendable {
  /// Creates or empties a file for writing; never follows a symbolic link.
  var create: @Sendable (_ path: String) throws(SystemError) -> Int32
  /// Opens a file that exists for writing, and leaves what it holds; never follows a symbolic link.
  var open: @Sendable (_ path: String) throws(SystemError) -> Int32
  /// Writes at an offset, possibly fewer bytes than given.
  var write: @Sendable (_ file: Int32, _ bytes: UnsafeRawBufferPointer, _ offset: Int) throws(SystemError) -> Int
  /// Cuts the end of a file off.
  var truncate: @Sendable (_ file: Int32, _ byteCount: Int) throws(SystemError) -> Void
  var synchronize: @Sendable (_ file: Int32) throws(SystemError) -> Void
  /// As `synchronize`, without what reading the content does not need, such as times. The file's length is needed.
  var synchronizeData: @Sendable (_ file: Int32) throws(SystemError) -> Void
  /// Lets the system forget what it keeps of a file in memory, so that the next reader sees what the disk has. What is
  /// not yet written stays. A system that does not care to is no error.
  var forget: @Sendable (_ file: Int32) -> Void
  var close: @Sendable (_ file: Int32) throws(SystemError) -> Void
  var rename: @Sendable (_ from: String, _ to: String) throws(SystemError) -> Void
  var remove: @Sendable (_ path: String) throws(SystemError) -> Void
  /// Makes created, renamed and removed names of a folder durable.
  var synchronizeDirectory: @Sendable (_ path: String) throws(SystemError) -> Void

  static let posix = FileSystem(
    create: { path throws(SystemError) in
      let file = Glibc.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
      guard file >= 0 else { throw SystemError("open") }
      return file
    },
    open: { path throws(SystemError) in
      let file = Glibc.open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW)
      guard file >= 0 else { throw SystemError("open") }
      return file
    },
    write: { file, bytes, offset throws(SystemError) in
      while true {
        let count = pwrite(file, bytes.baseAddress, bytes.count, off_t(offset))
        if count >= 0 { return count }
        guard errno == EINTR else { throw SystemError("pwrite") }
      }
    },
    truncate: { file, byteCount throws(SystemError) in
      guard ftruncate(file, off_t(byteCount)) == 0 else { throw SystemError("ftruncate") }
    },
    synchronize: { file throws(SystemError) in
      guard fsync(file) == 0 else { throw SystemError("fsync") }
    },
    synchronizeData: { file throws(SystemError) in
      guard fdatasync(file) == 0 else { throw SystemError("fdatasync") }
    },
    forget: { file in
      _ = posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED)
    },
    close: { file throws(SystemError) in
      // Linux frees the descriptor even when `close` is interrupted, and what matters is on disk by `fsync`.
      guard Glibc.close(file) == 0 || errno == EINTR else { throw SystemError("close") }
    },
    rename: { from, to throws(SystemError) in
      guard Glibc.rename(from, to) == 0 else { throw SystemError("rename") }
    },
    remove: { path throws(SystemError) in
      guard unlink(path) == 0 else { throw SystemError("unlink") }
    },
    synchronizeDirectory: { path throws(SystemError) in
      let folder = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
      guard folder >= 0 else { throw SystemError("open") }
      defer { Glibc.close(folder) }
      guard fsync(folder) == 0 else { throw SystemError("fsync of the folder") }
    }
  )
}

extension FileSystem {
  /// The bytes that this process may still write to the file system of `path`; 0 when that cannot be found out.
  static func freeBytes(at path: String) -> Int {
    var status = statvfs()
    guard statvfs(path, &status) == 0 else { return 0 }
    let (bytes, overflow) = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
    return overflow ? Int.max : Int(clamping: bytes)
  }

  /// The folder of a path, as `dirname` gives it.
  static func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Creates a folder, and those above it, for this user alone; no error when it exists.
  func createFolder(_ path: String) throws(SystemError) {
    if mkdir(path, 0o700) == 0 {
      try synchronizeDirectory(Self.folder(of: path))
      return
    }
    switch errno {
    case EEXIST:
      return
    case ENOENT where Self.folder(of: path) != path:
      try createFolder(Self.folder(of: path))
      guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw SystemError("mkdir") }
      try synchronizeDirectory(Self.folder(of: path))
    default:
      throw SystemError("mkdir")
    }
  }

  /// The names in a folder, sorted; none when it does not exist.
  static func names(in path: String) throws(SystemError) -> [String] {
    guard let stream = opendir(path) else {
      if errno == ENOENT { return [] }
      throw SystemError("opendir")
    }
    defer { closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        guard errno == 0 else { throw SystemError("readdir") }
        return names.sorted()
      }
      // `d_name` ends with a zero byte, within the entry.
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: pointer.pointee)) {
          String(cString: $0)
        }
      }
      if name != "." && name != ".." { names.append(name) }
    }
  }
}
