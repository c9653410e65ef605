// Ping, Pong and Cancel: the messages with next to nothing in them.
//
// May use: NIOCore's ByteBuffer.

import NIOCore

/// Asks for a sign of life.
public struct Ping: WireMessage, Hashable {
  public static let kind = MessageKind.ping
  /// At most 256 bytes, which come back.
  public let payload: ByteBuffer

  /// - Precondition: `payload` has at most 256 bytes.
  public init(payload: ByteBuffer = ByteBuffer()) {
    precondition(payload.readableBytes <= WireProtocol.pingBytesMax)
    self.payload = payload
  }

  public func encode(into buffer: inout ByteBuffer) { buffer.writeImmutableBuffer(payload) }

  public init(decoding body: ByteBuffer) throws(WireError) {
    guard body.readableBytes <= WireProtocol.pingBytesMax else {
      throw BodyReader.malformed("a ping has at most \(WireProtocol.pingBytesMax) bytes")
    }
    payload = body
  }
}

/// The answer to ``Ping``, with the same bytes.
public struct Pong: WireMessage, Hashable {
  public static let kind = MessageKind.pong
  public let payload: ByteBuffer

  public init(answering ping: Ping) { payload = ping.payload }

  public func encode(into buffer: inout ByteBuffer) { buffer.writeImmutableBuffer(payload) }

  public init(decoding body: ByteBuffer) throws(WireError) {
    payload = try Ping(decoding: body).payload
  }
}

/// Asks the server to give up on a request. Has no reply of its own.
public struct Cancel: WireMessage, Hashable {
  public static let kind = MessageKind.cancel
  public let requestID: UInt32

  public init(requestID: UInt32) { self.requestID = requestID }

  public func encode(into buffer: inout ByteBuffer) { buffer.writeField(requestID) }

  public init(decoding body: ByteBuffer) throws(WireError) {
    var reader = BodyReader(body)
    requestID = try reader.integer("requestID")
    try reader.end()
  }
}
