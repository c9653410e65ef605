// A Unix socket in the data directory: who may write there may command the server. Blocking calls on threads of their own.
//
// May use: Glibc's sockets.

import Foundation
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A connected or listening Unix socket.
final class ControlSocket: Sendable {
  let descriptor: Int32
  private let hasEnded = Atomic(false)

  private init(_ descriptor: Int32) { self.descriptor = descriptor }

  deinit { close(descriptor) }

  /// Where a data directory's socket is.
  static func path(of dataDirectory: String) -> String { dataDirectory + "/control.sock" }

  /// A path has at most 107 bytes.
  private static func address(_ path: String) throws -> sockaddr_un {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let room = MemoryLayout.size(ofValue: address.sun_path) - 1
    guard path.utf8.count <= room else {
      throw ServerError(
        .cannotListen,
        "the path \(path) has \(path.utf8.count) bytes, and a socket's may have \(room): choose a data directory with a shorter path"
      )
    }
    withUnsafeMutableBytes(of: &address.sun_path) { target in target.copyBytes(from: Array(path.utf8)) }
    return address
  }

  private static func withAddress<R>(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> R) throws -> R {
    var address = try address(path)
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
  }

  private static func open() throws -> ControlSocket {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw failure("socket") }
    return ControlSocket(descriptor)
  }

  private static func failure(_ call: String) -> ServerError {
    ServerError(.cannotListen, "the control socket: \(call): \(String(cString: strerror(errno)))")
  }

  /// What is told where a server is there and does not answer.
  static func noReply(_ seconds: Double) -> ServerError {
    ServerError(
      .noReply,
      "the server that has the data directory has not answered for \(Int(seconds)) s: it may have no file descriptor left, or be stopped. "
        + "See its log")
  }

  /// Listens. What is left of a server that was killed is removed: the data directory's lock says that there is no other.
  static func listen(at path: String) throws -> ControlSocket {
    let socket = try open()
    unlink(path)
    let mask = umask(0o177)
    defer { umask(mask) }
    guard try withAddress(path, { bind(socket.descriptor, $0, $1) }) == 0 else { throw failure("bind") }
    guard Glibc.listen(socket.descriptor, 8) == 0 else { throw failure("listen") }
    return socket
  }

  private static let connectSecondsMax = 30

  /// - Returns: nil where nobody listens.
  static func connect(to path: String) throws -> ControlSocket? {
    let socket = try open()
    // On Linux this bounds connecting, too: a server that accepts nobody has room for some who wait.
    var timeout = timeval(tv_sec: connectSecondsMax, tv_usec: 0)
    setsockopt(socket.descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    guard try withAddress(path, { Glibc.connect(socket.descriptor, $0, $1) }) == 0 else {
      if errno == ENOENT || errno == ECONNREFUSED { return nil }
      if errno == EAGAIN { throw noReply(Double(connectSecondsMax)) }
      throw failure("connect")
    }
    return socket
  }

  /// The next connection; nil after ``end()``.
  ///
  /// While there is no file descriptor for one, or no memory, those who connect wait.
  /// - told: why, once.
  func accept(_ told: (String) -> Void) -> ControlSocket? {
    var isTold = false
    while true {
      let accepted = Glibc.accept(descriptor, nil, nil)
      let reason = errno
      if accepted >= 0 { return ControlSocket(accepted) }
      // Without a descriptor to give, the system does not say that this one was shut down.
      if hasEnded.load(ordering: .acquiring) { return nil }
      switch reason {
      case EINTR, ECONNABORTED: break
      case EBADF, EINVAL, ENOTSOCK, EOPNOTSUPP: return nil
      default:
        if !isTold { told(String(cString: strerror(reason))) }
        isTold = true
        usleep(50_000)
      }
    }
  }

  /// Wakes whoever waits in ``accept(_:)`` or ``readLine()``, for good.
  func end() {
    // Pairs with the load in `accept`, which comes after the call that this one wakes.
    hasEnded.store(true, ordering: .releasing)
    shutdown(descriptor, Int32(truncatingIfNeeded: SHUT_RDWR))
  }

  /// Waits until the other end has said something, or has gone.
  /// - Returns: false when the time has passed without.
  func isReadable(within seconds: Double) -> Bool {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while true {
      let left = max((deadline - ContinuousClock.now) / .milliseconds(1), 0)
      var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      if poll(&poller, 1, Int32(left)) > 0 { return true }
      if left <= 0 { return false }
    }
  }

  /// Whether the other end has gone.
  var hasHungUp: Bool {
    var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard poll(&poller, 1, 0) > 0 else { return false }
    var byte: UInt8 = 0
    return recv(descriptor, &byte, 1, Int32(truncatingIfNeeded: MSG_PEEK)) <= 0
  }

  func write(_ bytes: [UInt8]) -> Bool {
    var done = 0
    while done < bytes.count {
      let count = bytes[done...].withUnsafeBytes {
        send(descriptor, $0.baseAddress, $0.count, Int32(truncatingIfNeeded: MSG_NOSIGNAL))
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return false }
      done += count
    }
    return true
  }

  /// A line without its end; nil where there is none, or a longer one than there may be.
  func readLine() -> [UInt8]? {
    var line: [UInt8] = []
    var byte: UInt8 = 0
    while line.count < ControlLine.bytesMax {
      let count = recv(descriptor, &byte, 1, 0)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return nil }
      if byte == UInt8(ascii: "\n") { return line }
      line.append(byte)
    }
    return nil
  }
}
