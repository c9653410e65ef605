// A file that is open for reading.
//
// `pread`, not `mmap`: a bad sector is then an error to report, not a signal that ends the process.
//
// May use: Glibc.

import Glibc

final class FileDescriptor: Sendable {
  private let number: Int32
  /// The length of the file when it was opened.
  let byteCount: Int

  /// Opens a regular file. Anything else (a folder, a pipe, a device) fails with `EINVAL`, without waiting for it.
  init(reading path: String) throws(SystemError) {
    let number = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard number >= 0 else { throw SystemError("open") }
    var status = stat()
    guard fstat(number, &status) == 0 else {
      let error = SystemError("fstat")
      close(number)
      throw error
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      close(number)
      throw SystemError("open, which needs a regular file", EINVAL)
    }
    self.number = number
    self.byteCount = Int(status.st_size)
  }

  deinit { close(number) }

  /// Fills `target` from `offset`.
  /// - Returns: the bytes read: fewer than asked for only when the file ends.
  func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
    // The descriptor must not be closed between the last look at its number and the end of the call.
    defer { withExtendedLifetime(self) {} }
    var done = 0
    while done < target.count {
      let rest = UnsafeMutableRawBufferPointer(rebasing: target[done...])
      let count = pread(number, rest.baseAddress, rest.count, off_t(offset + done))
      if count < 0 {
        if errno == EINTR { continue }
        throw SystemError("pread")
      }
      if count == 0 { break }
      done += count
    }
    return done
  }

  /// The bytes from `offset`: `count` of them, or fewer when the file ends.
  func read(at offset: Int, count: Int) throws(SystemError) -> [UInt8] {
    var failure: SystemError?
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      do throws(SystemError) {
        initialized = try read(at: offset, into: UnsafeMutableRawBufferPointer(buffer))
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }
}
