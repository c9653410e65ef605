// What goes to and fro in a replication connection's COPY: frames around pgoutput's messages. Pure.
//
//     w  i64 start   i64 end   i64 time   message                        from the server: data
//     k  i64 end   i64 time   u8 reply requested                        from the server: alive
//     r  i64 written   i64 flushed   i64 applied   i64 time   u8 reply requested        to the server
//
// May use: LSN. Unsafe, because this is where bytes meet libpq: every read stands behind a comparison with the number of bytes at hand.

/// A frame of the server's.
enum StreamFrame {
  case data(StreamData)
  case keepalive(walEnd: LSN, replyRequested: Bool)

  private static let dataHeaderBytes = 25
  private static let keepaliveBytes = 18

  /// - Throws: ``SourceError`` with `malformedData`.
  init(_ bytes: UnsafeRawBufferPointer) throws(SourceError) {
    switch bytes.first {
    case UInt8(ascii: "w") where bytes.count > Self.dataHeaderBytes:
      self = .data(
        StreamData(
          walStart: LSN(rawValue: bytes.bigEndian(at: 1, as: UInt64.self)),
          walEnd: LSN(rawValue: bytes.bigEndian(at: 9, as: UInt64.self)),
          bytes: UnsafeRawBufferPointer(rebasing: bytes[Self.dataHeaderBytes...])))
    case UInt8(ascii: "k") where bytes.count == Self.keepaliveBytes:
      self = .keepalive(
        walEnd: LSN(rawValue: bytes.bigEndian(at: 1, as: UInt64.self)), replyRequested: bytes[17] != 0)
    default:
      throw SourceError(
        .malformedData,
        "The server's stream of changes cannot be read: a frame of \(bytes.count) bytes begins with "
          + "\(bytes.first.map(String.init) ?? "nothing"). Between Postgres and here something changes the bytes, or "
          + "the server is no PostgreSQL.")
    }
  }

  /// The status that goes to the server.
  /// - microseconds: since 2000-01-01 00:00 UTC.
  static func status(write: LSN, flush: LSN, apply: LSN, microseconds: Int64, requestsReply: Bool) -> [UInt8] {
    var bytes: [UInt8] = [UInt8(ascii: "r")]
    bytes.reserveCapacity(34)
    for value in [write.rawValue, flush.rawValue, apply.rawValue, UInt64(bitPattern: microseconds)] {
      for shift in stride(from: 56, through: 0, by: -8) {
        bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(shift)))
      }
    }
    bytes.append(requestsReply ? 1 : 0)
    return bytes
  }
}

/// A message of the stream, as it came.
package struct StreamData {
  /// Where in the log it is from. 0 for the messages `relation` and `type`: nothing follows from it.
  package var walStart: LSN
  /// The end of the log on the server when it was sent; as ``walStart``, no position to go on from.
  package var walEnd: LSN
  /// The message, for ``PgOutputMessage``. Valid only within the call that hands it over.
  package var bytes: UnsafeRawBufferPointer
}

/// What ``ReplicationConnection/receive(timeoutMilliseconds:_:)`` received.
package enum StreamEvent: Hashable, Sendable {
  /// A message, which was handed over.
  case data
  /// The server is alive and has sent everything up to `walEnd`. Outside of a transaction that is a position like a commit's end.
  case keepalive(walEnd: LSN, replyRequested: Bool)
}
