// A client that costs as little as a client can: one thread, one blocking socket, frames made beforehand.
//
// May use: VectorWire, and the sockets of libc.

import ArgumentParser
import Foundation
import NIOCore
import VectorWire

final class WireDriver {
  /// The frames of all queries.
  struct Requests: Sendable {
    let count: Int
    fileprivate let frames: [[UInt8]]

    init(queries: VectorFile, collection: String, k: Int, effort: Int) {
      count = queries.count
      frames = (0..<queries.count).map { i in
        let vector = Array(queries.values[(i * queries.dimension)..<((i + 1) * queries.dimension)])
        guard let vectors = QueryVectors([vector]) else { preconditionFailure("a file's vectors have one length") }
        let search = SearchRequest(.init(collection: collection, k: k, effort: effort), vectors: vectors)
        return Array(search.frame(requestID: UInt32(i) + 1).readableBytesView)
      }
    }
  }

  private let socket: Int32
  private var reader = FrameReader()
  private var chunk = [UInt8](repeating: 0, count: 64 << 10)

  init(port: Int) throws {
    let descriptor = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { throw ValidationError("no socket: \(String(cString: strerror(errno)))") }
    socket = descriptor
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let status = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard status == 0 else { throw ValidationError("cannot connect: \(String(cString: strerror(errno)))") }
    var on: Int32 = 1
    setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(4))
    try send(Array(Hello(client: "bench").frame(requestID: 0).readableBytesView))
    _ = try receive()
  }

  deinit { close(socket) }

  /// Queries a second with so many requests in flight.
  func run(_ requests: Requests, inFlight: Int) throws -> Double {
    let start = ContinuousClock.now
    var sent = 0
    var received = 0
    while received < requests.count {
      while sent < requests.count, sent - received < inFlight {
        try send(requests.frames[sent])
        sent += 1
      }
      let frame = try receive()
      guard frame.header.kind == .searchReply else { throw ValidationError("a search was refused") }
      received += 1
    }
    return Double(requests.count) / ((ContinuousClock.now - start) / .seconds(1))
  }

  /// Pings a second, one in flight.
  func ping(times: Int) throws -> Double {
    let frame = Array(Ping().frame(requestID: 1).readableBytesView)
    let start = ContinuousClock.now
    for _ in 0..<times {
      try send(frame)
      _ = try receive()
    }
    return Double(times) / ((ContinuousClock.now - start) / .seconds(1))
  }

  private func send(_ bytes: [UInt8]) throws {
    var offset = 0
    while offset < bytes.count {
      let count = bytes.withUnsafeBytes { Glibc.send(socket, $0.baseAddress! + offset, bytes.count - offset, 0) }
      guard count > 0 else { throw ValidationError("the connection ended: \(String(cString: strerror(errno)))") }
      offset += count
    }
  }

  private func receive() throws -> Frame {
    while true {
      switch reader.next(bodyBytesMax: 1 << 24) {
      case .frame(let frame): return frame
      case .invalid(_, let error): throw ValidationError("\(error)")
      case .needsMore:
        let count = chunk.withUnsafeMutableBytes { recv(socket, $0.baseAddress, $0.count, 0) }
        guard count > 0 else { throw ValidationError("the connection ended") }
        reader.append(ByteBuffer(bytes: chunk[..<count]))
      }
    }
  }
}
