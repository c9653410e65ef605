// What every message can do: be written as a body or a frame, and be read from a body.
//
// May use: NIOCore's ByteBuffer.

import NIOCore

/// One message of docs/PROTOCOL.md.
public protocol WireMessage: Sendable {
  static var kind: MessageKind { get }

  /// Appends the body.
  func encode(into buffer: inout ByteBuffer)

  /// Reads a whole body. `body` must hold nothing else.
  /// - Throws: ``WireError/Code/malformedFrame``, or ``WireError/Code/unsupportedOption`` for a value of a later version.
  init(decoding body: ByteBuffer) throws(WireError)

  /// What a reply says in its header.
  var replyFlags: ReplyFlags { get }

  /// Reads a body, and what the header says beside it.
  init(frame: Frame) throws(WireError)
}

extension WireMessage {
  public var replyFlags: ReplyFlags { [] }
  public init(frame: Frame) throws(WireError) { try self.init(decoding: frame.body) }

  /// Appends a whole frame.
  /// - Precondition: the body is shorter than 4 GiB.
  public func encodeFrame(into buffer: inout ByteBuffer, requestID: UInt32, deadlineMilliseconds: UInt32 = 0) {
    let start = buffer.writerIndex
    var header = FrameHeader(
      kind: Self.kind, bodyLength: 0, requestID: requestID, deadlineMilliseconds: deadlineMilliseconds)
    // Requests have deadlines and replies have flags, in one place.
    if !replyFlags.isEmpty { header.replyFlags = replyFlags }
    header.encode(into: &buffer)
    encode(into: &buffer)
    header.bodyLength = UInt32(buffer.writerIndex - start - WireProtocol.headerBytes)
    buffer.setInteger(header.bodyLength, at: start, endianness: .little)
  }

  /// The message as a frame of its own.
  public func frame(
    requestID: UInt32, deadlineMilliseconds: UInt32 = 0, allocator: ByteBufferAllocator = ByteBufferAllocator()
  ) -> ByteBuffer {
    var buffer = allocator.buffer(capacity: 64)
    encodeFrame(into: &buffer, requestID: requestID, deadlineMilliseconds: deadlineMilliseconds)
    return buffer
  }
}
