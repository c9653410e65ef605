// Error: what any request may be answered with.
//
// May use: NIOCore's ByteBuffer.

import NIOCore

/// A ``WireError`` as it travels.
public struct ErrorReply: WireMessage, Hashable {
  public static let kind = MessageKind.error

  public let error: WireError
  /// Whether the server closes the connection after this frame.
  public let closes: Bool

  /// - Parameter error: its message is cut to 512 bytes.
  public init(_ error: WireError, closes: Bool = false) {
    self.error = WireError(error.code, error.message.prefix(utf8BytesMax: WireProtocol.errorTextBytesMax))
    self.closes = closes
  }

  public func encode(into buffer: inout ByteBuffer) {
    buffer.writeMultipleIntegers(
      error.code.rawValue, closes ? 1 as UInt8 : 0, 0 as UInt8, 0 as UInt16, endianness: .little)
    buffer.writeField(error.message)
  }

  public init(decoding body: ByteBuffer) throws(WireError) {
    var reader = BodyReader(body)
    let code: UInt32 = try reader.integer("code")
    closes = try reader.flag("closes")
    try reader.zero(UInt8.self)
    try reader.zero(UInt16.self)
    let message = try reader.string("message", bytesMax: WireProtocol.errorTextBytesMax)
    try reader.end()
    error = WireError(WireError.Code(rawValue: code), message)
  }
}
