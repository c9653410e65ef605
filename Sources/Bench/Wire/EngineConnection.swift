// A connection to the engine that costs as little as one can: a blocking socket for one thread.
//
// May use: VectorWire, and the sockets of libc. Unsafe, because this is where bytes meet a socket; each call is given the length of what it reads or fills.

import Foundation
import NIOCore
import VectorWire

/// Used by the thread that made it.
final class EngineConnection {
  let socket: Int32
  let address: String
  private var reader = FrameReader()
  private var chunk = [UInt8](repeating: 0, count: 64 << 10)
  private var bodyBytesMax = WireProtocol.handshakeBytesMax
  /// What the server said of itself and of what it allows.
  private(set) var welcome = Welcome(version: 0, limits: WireLimits(), server: "")
  /// What the server calls itself: its name and version.
  var serverName: String { welcome.server }

  /// How long connecting may take, and each write.
  private static let sendSecondsMax = 10
  /// How long an answer is waited for: longer than the server's own deadline of 30 seconds.
  private static let receiveSecondsMax = 60

  /// Connects and shakes hands.
  /// - Throws: ``BenchError`` with `engineUnreachable` or `engineRefused`.
  init(host: String, port: Int) throws(BenchError) {
    address = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    socket = try Self.connect(host, port, address)
    var on: Int32 = 1
    setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(4))
    var timeout = timeval(tv_sec: Self.receiveSecondsMax, tv_usec: 0)
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    welcome = try ask(Hello(client: "bench"))
    bodyBytesMax = welcome.limits.frameBytesMax
  }

  deinit { close(socket) }

  private static func connect(_ host: String, _ port: Int, _ address: String) throws(BenchError) -> Int32 {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    let status = getaddrinfo(host, String(port), &hints, &found)
    guard status == 0 else {
      throw BenchError(
        .engineUnreachable, "There is no address of \(host): \(String(cString: gai_strerror(status))).")
    }
    defer { freeaddrinfo(found) }
    var reason = "it has no address"
    var candidate = found
    while let one = candidate {
      let descriptor = Glibc.socket(one.pointee.ai_family, one.pointee.ai_socktype, one.pointee.ai_protocol)
      // On Linux this bounds connecting, too.
      var timeout = timeval(tv_sec: sendSecondsMax, tv_usec: 0)
      setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
      if descriptor >= 0, Glibc.connect(descriptor, one.pointee.ai_addr, one.pointee.ai_addrlen) == 0 {
        return descriptor
      }
      reason = String(cString: strerror(errno))
      if descriptor >= 0 { close(descriptor) }
      candidate = one.pointee.ai_next
    }
    throw BenchError(
      .engineUnreachable, "No engine answers at \(address): \(reason). Does `vizinho serve` run and listen there?")
  }

  // MARK: Frames

  func send(_ bytes: [UInt8]) throws(BenchError) {
    var offset = 0
    while offset < bytes.count {
      // Without a signal where the other side has gone: that is an error like others.
      let count = bytes.withUnsafeBytes {
        Glibc.send(socket, $0.baseAddress! + offset, bytes.count - offset, Int32(truncatingIfNeeded: MSG_NOSIGNAL))
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw lost(String(cString: strerror(errno))) }
      offset += count
    }
  }

  /// Waits until there is something to read, which `receive` would do by itself: libpq asks so before each read, and a driver that is
  /// compared with it should pay what it pays.
  func waitReadable() {
    var descriptor = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
    _ = poll(&descriptor, 1, Int32(Self.receiveSecondsMax * 1_000))
  }

  /// The next frame, whatever it answers.
  func receive() throws(BenchError) -> Frame {
    while true {
      switch reader.next(bodyBytesMax: bodyBytesMax) {
      case .frame(let frame): return frame
      case .invalid(_, let error): throw unreadable(error)
      case .needsMore:
        let count = chunk.withUnsafeMutableBytes { recv(socket, $0.baseAddress, $0.count, 0) }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { throw lost(count == 0 ? "it closed the connection" : String(cString: strerror(errno))) }
        reader.append(ByteBuffer(bytes: chunk[..<count]))
      }
    }
  }

  // MARK: Messages

  /// Asks one thing and waits for its answer.
  /// - Throws: ``BenchError`` with `engineRefused` for an error reply, which the message quotes; `engineUnreachable` when the connection broke.
  func ask<Reply: WireMessage>(_ request: some WireMessage) throws(BenchError) -> Reply {
    try send(Array(request.frame(requestID: 1).readableBytesView))
    return try reply(in: receive())
  }

  /// Reads a frame as the answer that was waited for.
  func reply<Reply: WireMessage>(in frame: Frame) throws(BenchError) -> Reply {
    do throws(WireError) {
      guard frame.header.kind == Reply.kind else {
        guard frame.header.kind == .error else {
          throw WireError(.malformedFrame, "an answer of kind \(frame.header.kind)")
        }
        let refusal = try ErrorReply(frame: frame).error
        throw WireError(refusal.code, refusal.message)
      }
      return try Reply(frame: frame)
    } catch {
      throw frame.header.kind == .error
        ? BenchError(.engineRefused, "The engine at \(address) refuses (\(error.code)): \(error.message).")
        : unreadable(error)
    }
  }

  private func unreadable(_ error: WireError) -> BenchError {
    BenchError(.engineRefused, "What answers at \(address) does not speak the engine's protocol: \(error.message).")
  }

  private func lost(_ reason: String) -> BenchError {
    BenchError(.engineUnreachable, "The connection to the engine at \(address) broke: \(reason).")
  }
}
