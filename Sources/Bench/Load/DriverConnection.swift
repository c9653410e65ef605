// One connection of the load driver: many requests in flight, on a socket that is never waited for.
//
// May use: EngineConnection, which connects; VectorWire; the sockets of libc. Unsafe where bytes meet the socket: each call is given the
// length of what it reads or fills.

import Foundation
import NIOCore
import VectorWire

/// Used by the thread that made it.
final class DriverConnection {
  /// What came of a request.
  enum Outcome {
    /// A search's answer, with so many rows.
    case rows(Int)
    case pong
    case refused(WireError)
  }

  private let connection: EngineConnection
  /// Requests that the socket has not taken yet, and how much of that it has.
  private var unsent: [UInt8] = []
  private var sentBytes = 0
  /// Bytes that came, of which those from `begin` to `end` are not read yet.
  private var input = [UInt8](repeating: 0, count: 128 << 10)
  private var begin = 0
  private var end = 0
  /// For each request id, from 1 on, when its request was due; `none` where it is not in flight.
  private var dueTimes: [Int64]
  private var freeIDs: [UInt32]

  private static let none = Int64.min
  private static let flags = Int32(truncatingIfNeeded: MSG_DONTWAIT) | Int32(truncatingIfNeeded: MSG_NOSIGNAL)

  /// Connects and shakes hands, which blocks.
  /// - inFlightMax: requests that may be unanswered; at most what the server allows.
  init(to address: ServerAddress, inFlightMax: Int) throws(BenchError) {
    connection = try EngineConnection(host: address.host, port: address.port)
    let count = max(1, min(inFlightMax, connection.welcome.limits.requestsInFlightMax))
    dueTimes = [Int64](repeating: Self.none, count: count)
    freeIDs = (1...UInt32(count)).reversed()
  }

  var descriptor: Int32 { connection.socket }
  /// Whether one more request may be in flight.
  var hasRoom: Bool { !freeIDs.isEmpty }
  /// Whether the socket had no room for all that is to be sent.
  var hasUnsent: Bool { sentBytes < unsent.count }

  /// When the requests in flight were due.
  var pendingDueTimes: [Int64] { dueTimes.filter { $0 != Self.none } }

  /// Takes a request, to be sent by ``flush()``.
  /// - Precondition: ``hasRoom``.
  func enqueue(_ frame: [UInt8], due: Int64) {
    let id = freeIDs.removeLast()
    dueTimes[Int(id) - 1] = due
    let start = unsent.count
    unsent.append(contentsOf: frame)
    // Where a header has its request id: see VectorWire's Frame.swift.
    for i in 0..<4 { unsent[start + 8 + i] = UInt8(truncatingIfNeeded: id >> (8 * UInt32(i))) }
  }

  /// Gives the socket as much as it takes.
  func flush() throws(BenchError) {
    while sentBytes < unsent.count {
      let count = unsent.withUnsafeBytes {
        // Something is unsent, so there is an address.
        send(descriptor, $0.baseAddress! + sentBytes, $0.count - sentBytes, Self.flags)
      }
      if count < 0, errno == EINTR { continue }
      if count < 0, errno == EAGAIN { return }
      guard count > 0 else { throw lost(String(cString: strerror(errno))) }
      sentBytes += count
    }
    unsent.removeAll(keepingCapacity: true)
    sentBytes = 0
  }

  /// Takes what has come, and tells of each answer when its request was due and when it came.
  func receive(_ answered: (_ due: Int64, _ came: Int64, Outcome) -> Void) throws(BenchError) {
    while true {
      makeRoom()
      // The buffer is never empty.
      let count = input.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress! + end, $0.count - end, Self.flags) }
      if count < 0, errno == EINTR { continue }
      if count < 0, errno == EAGAIN { return }
      guard count > 0 else { throw lost(count == 0 ? "it closed the connection" : String(cString: strerror(errno))) }
      let came = MonotonicClock.nanoseconds()
      let isFilled = end + count == input.count
      end += count
      while let (due, outcome) = try nextAnswer() { answered(due, came, outcome) }
      // More may be there only where all room was used.
      guard isFilled else { return }
    }
  }

  /// Sees to it that there is room behind `end`.
  private func makeRoom() {
    if begin == end {
      begin = 0
      end = 0
    } else if end == input.count, begin > 0 {
      let (first, last) = (begin, end)
      input.withUnsafeMutableBytes { bytes in
        // Both lie within the array; they may overlap.
        UnsafeMutableRawBufferPointer(rebasing: bytes[..<(last - first)])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[first..<last]))
      }
      end -= begin
      begin = 0
    } else if end == input.count {
      // One frame that is longer than all of it; `nextAnswer` has held its length against the limit.
      input.append(contentsOf: repeatElement(0, count: input.count))
    }
  }

  private func integer(at offset: Int) -> UInt32 {
    UInt32(input[offset]) | UInt32(input[offset + 1]) << 8 | UInt32(input[offset + 2]) << 16
      | UInt32(input[offset + 3]) << 24
  }

  /// The next frame, where it is there whole.
  private func nextAnswer() throws(BenchError) -> (due: Int64, Outcome)? {
    guard end - begin >= WireProtocol.headerBytes else { return nil }
    let length = Int(integer(at: begin))
    guard length <= connection.welcome.limits.frameBytesMax else { throw garbled("a frame of \(length) bytes") }
    let body = begin + WireProtocol.headerBytes
    guard end - body >= length else { return nil }
    let kind = MessageKind(rawValue: input[begin + 4])
    let id = Int(integer(at: begin + 8))
    begin = body + length
    let outcome: Outcome
    switch kind {
    case .searchReply:
      // 28: see SearchReply.swift; its fixed part has 40 bytes.
      guard length >= 40 else { throw garbled("a reply of \(length) bytes") }
      outcome = .rows(Int(integer(at: body + 28)))
    case .pong: outcome = .pong
    case .error:
      let error: ErrorReply
      do throws(WireError) {
        error = try ErrorReply(decoding: ByteBuffer(bytes: input[body..<(body + length)]))
      } catch {
        throw garbled(error.message)
      }
      if id == 0 || error.closes {
        throw BenchError(
          .engineRefused,
          "The server \(connection.address) ended a connection (\(error.error.code)): \(error.error.message).")
      }
      outcome = .refused(error.error)
    default: throw garbled("a message of kind \(kind)")
    }
    guard (1...dueTimes.count).contains(id), dueTimes[id - 1] != Self.none else {
      throw garbled("an answer to a request that is not in flight")
    }
    let due = dueTimes[id - 1]
    dueTimes[id - 1] = Self.none
    freeIDs.append(UInt32(id))
    return (due, outcome)
  }

  private func lost(_ reason: String) -> BenchError {
    BenchError(.engineUnreachable, "The connection to the server \(connection.address) broke: \(reason).")
  }

  private func garbled(_ what: String) -> BenchError {
    BenchError(
      .engineRefused, "What answers at \(connection.address) does not speak Vizinho's protocol: it sent \(what).")
  }
}
