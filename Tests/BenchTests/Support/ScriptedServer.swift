// A server that shakes hands and then does as a test says: late, wrong, or not at all.
//
// May use: VectorWire, and the sockets of libc.

import Foundation
import NIOCore
import VectorWire

/// Listens on a port of the system's choice, until it is gone. Each connection has a thread, which takes one frame after the other.
final class ScriptedServer: Sendable {
  enum Answer {
    case bytes([UInt8])
    case silence
    case hangUp
  }

  let port: Int
  private let listener: Int32

  /// - answer: called for each request after the Hello, on the threads of the connections.
  init(limits: WireLimits = WireLimits(), _ answer: @escaping @Sendable (Frame) -> Answer) throws {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    self.listener = listener
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let status = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, length) | listen(listener, 64) | getsockname(listener, $0, &length)
      }
    }
    guard status == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    port = Int(UInt16(bigEndian: address.sin_port))
    Thread {
      while true {
        let connection = accept(listener, nil, nil)
        guard connection >= 0 else { return }
        Thread { Self.serve(connection, limits, answer) }.start()
      }
    }.start()
  }

  deinit {
    // Wakes the thread in accept().
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
  }

  private static func serve(_ connection: Int32, _ limits: WireLimits, _ answer: (Frame) -> Answer) {
    defer { close(connection) }
    var reader = FrameReader()
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = recv(connection, &chunk, chunk.count, 0)
      guard count > 0 else { return }
      reader.append(ByteBuffer(bytes: chunk[..<count]))
      while case .frame(let frame) = reader.next(bodyBytesMax: limits.frameBytesMax) {
        let welcome = Welcome(version: 1, limits: limits, server: "scripted")
        let said: Answer =
          frame.header.kind == .hello
          ? .bytes(Array(welcome.frame(requestID: frame.header.requestID).readableBytesView)) : answer(frame)
        switch said {
        case .bytes(let bytes): write(bytes, to: connection)
        case .silence: continue
        case .hangUp: return
        }
      }
    }
  }

  private static func write(_ bytes: [UInt8], to connection: Int32) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes {
        send(connection, $0.baseAddress, $0.count, Int32(truncatingIfNeeded: MSG_NOSIGNAL))
      }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }
}

extension WireMessage {
  /// As an answer to a frame.
  func answering(_ frame: Frame) -> ScriptedServer.Answer {
    .bytes(Array(self.frame(requestID: frame.header.requestID).readableBytesView))
  }
}
