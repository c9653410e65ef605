// Frames: the header, the kinds, and cutting a stream of bytes into frames.
//
//      0  u32  bodyLength             8  u32  requestID
//      4  u8   kind                  12  u32  deadlineMilliseconds; in replies, replyFlags
//      5  u8   flags, zero           16  body
//      6  u16  reserved, zero
//
// May use: NIOCore's ByteBuffer.

import NIOCore

/// What a frame carries. A struct, so that an unknown kind can be named.
public struct MessageKind: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let hello = MessageKind(rawValue: 0x01)
  public static let ping = MessageKind(rawValue: 0x02)
  public static let listCollections = MessageKind(rawValue: 0x03)
  public static let statistics = MessageKind(rawValue: 0x04)
  public static let search = MessageKind(rawValue: 0x05)
  public static let searchByID = MessageKind(rawValue: 0x06)
  public static let fetch = MessageKind(rawValue: 0x07)
  public static let cancel = MessageKind(rawValue: 0x08)
  public static let searchLike = MessageKind(rawValue: 0x09)
  public static let describe = MessageKind(rawValue: 0x0A)
  public static let welcome = MessageKind(rawValue: 0x81)
  public static let pong = MessageKind(rawValue: 0x82)
  public static let collections = MessageKind(rawValue: 0x83)
  public static let statisticsReply = MessageKind(rawValue: 0x84)
  public static let searchReply = MessageKind(rawValue: 0x85)
  public static let fetched = MessageKind(rawValue: 0x87)
  public static let described = MessageKind(rawValue: 0x8A)
  public static let error = MessageKind(rawValue: 0xFF)

  /// Whether it stands in the table of requests.
  public var isRequest: Bool { (Self.hello.rawValue...Self.describe.rawValue).contains(rawValue) }

  public var description: String { "0x" + (rawValue < 16 ? "0" : "") + String(rawValue, radix: 16) }
}

/// What a reply says in its header beside its body. A client passes over bits that it does not know.
public struct ReplyFlags: OptionSet, Hashable, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// The collection no longer follows Postgres and will not without being loaded again.
  public static let stale = ReplyFlags(rawValue: 1)
}

/// The 16 bytes before every body.
public struct FrameHeader: Hashable, Sendable {
  public var bodyLength: UInt32
  public var kind: MessageKind
  public var flags: UInt8
  public var reserved: UInt16
  public var requestID: UInt32
  public var deadlineMilliseconds: UInt32

  public init(kind: MessageKind, bodyLength: UInt32, requestID: UInt32, deadlineMilliseconds: UInt32 = 0) {
    self.kind = kind
    self.bodyLength = bodyLength
    self.flags = 0
    self.reserved = 0
    self.requestID = requestID
    self.deadlineMilliseconds = deadlineMilliseconds
  }

  /// Of a reply, where a request has its deadline.
  public var replyFlags: ReplyFlags {
    get { ReplyFlags(rawValue: deadlineMilliseconds) }
    set { deadlineMilliseconds = newValue.rawValue }
  }

  public func encode(into buffer: inout ByteBuffer) {
    buffer.writeMultipleIntegers(
      bodyLength, kind.rawValue, flags, reserved, requestID, deadlineMilliseconds, endianness: .little)
  }

  /// Reads a header from the front of `buffer`, or returns nil and reads nothing when there are fewer than 16 bytes.
  public init?(decoding buffer: inout ByteBuffer) {
    guard
      let (bodyLength, kind, flags, reserved, requestID, deadline) = buffer.readMultipleIntegers(
        endianness: .little, as: (UInt32, UInt8, UInt8, UInt16, UInt32, UInt32).self)
    else { return nil }
    self.init(
      kind: MessageKind(rawValue: kind), bodyLength: bodyLength, requestID: requestID, deadlineMilliseconds: deadline)
    self.flags = flags
    self.reserved = reserved
  }
}

/// A header and its whole body. The body shares memory with the bytes it was cut from.
public struct Frame: Hashable, Sendable {
  public var header: FrameHeader
  public var body: ByteBuffer

  public init(header: FrameHeader, body: ByteBuffer) {
    self.header = header
    self.body = body
  }
}

/// Cuts what a socket delivers into frames, without copying where a frame arrives in one piece.
///
/// Holds at most one incomplete frame, so never more than the limit and one read of the socket.
public struct FrameReader: Sendable {
  /// What the bytes so far come to.
  public enum Step: Hashable, Sendable {
    case needsMore
    case frame(Frame)
    /// The stream is not to be read on; the header is the one at fault.
    case invalid(FrameHeader, WireError)
  }

  private var buffer = ByteBuffer()

  public init() {}

  /// Whether an incomplete frame is held.
  public var isAmidFrame: Bool { buffer.readableBytes > 0 }
  public var bufferedBytes: Int { buffer.readableBytes }

  /// Takes what a socket delivered.
  public mutating func append(_ bytes: ByteBuffer) {
    guard buffer.readableBytes > 0 else {
      buffer = bytes
      return
    }
    // Bodies already handed out keep their memory; what is read of our own would otherwise pile up in front.
    if buffer.readerIndex > buffer.readableBytes { buffer.discardReadBytes() }
    buffer.writeImmutableBuffer(bytes)
  }

  /// The next frame, if it is there whole.
  /// - Parameter bodyBytesMax: the limit in force. A header that promises more is refused before anything is waited for.
  public mutating func next(bodyBytesMax: Int) -> Step {
    var rest = buffer
    guard let header = FrameHeader(decoding: &rest) else { return .needsMore }
    guard header.flags == 0, header.reserved == 0 else {
      return .invalid(
        header,
        WireError(
          .malformedFrame,
          "flags and reserved bytes of a frame must be zero: is this client speaking Vizinho's protocol?"))
    }
    guard Int(header.bodyLength) <= bodyBytesMax else {
      return .invalid(
        header,
        WireError(
          .frameTooLarge,
          "a frame of \(header.bodyLength) bytes is over the limit of \(bodyBytesMax): send fewer queries in one request"
        ))
    }
    guard let body = rest.readSlice(length: Int(header.bodyLength)) else { return .needsMore }
    buffer = rest.readableBytes > 0 ? rest : ByteBuffer()
    return .frame(Frame(header: header, body: body))
  }

  /// Forgets what is held.
  public mutating func removeAll() { buffer = ByteBuffer() }
}
