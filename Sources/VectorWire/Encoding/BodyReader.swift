// Reads the fields of a body in order, and says which one was wrong.
//
// Nothing that the bytes promise is believed before it is held against the bytes that are there, so no reader waits,
// traps or allocates more than a small multiple of the body.
//
// May use: NIOCore's ByteBuffer.

import NIOCore
import VectorIndex

struct BodyReader {
  private var buffer: ByteBuffer
  /// Bytes of the body that have been read.
  private let bodyBytes: Int

  init(_ body: ByteBuffer) {
    buffer = body
    bodyBytes = body.readableBytes
  }

  var remainingBytes: Int { buffer.readableBytes }

  static func malformed(_ message: String) -> WireError { WireError(.malformedFrame, message) }

  mutating func integer<T: FixedWidthInteger>(_ field: StaticString, as type: T.Type = T.self) throws(WireError) -> T {
    guard let value = buffer.readInteger(endianness: .little, as: T.self) else {
      throw Self.malformed("the body ends before its field \(field)")
    }
    return value
  }

  /// A u32 as a number to calculate with.
  mutating func count(_ field: StaticString) throws(WireError) -> Int {
    Int(try integer(field, as: UInt32.self))
  }

  /// A field that must be zero, so that a later version can give it a meaning.
  mutating func zero<T: FixedWidthInteger>(_ type: T.Type) throws(WireError) {
    guard try integer("zero", as: T.self) == 0 else { throw Self.malformed("a field that must be zero is not") }
  }

  /// A byte that is 0 or 1.
  mutating func flag(_ field: StaticString) throws(WireError) -> Bool {
    let value: UInt8 = try integer(field)
    guard value <= 1 else { throw Self.malformed("the field \(field) must be 0 or 1, not \(value)") }
    return value == 1
  }

  mutating func string(_ field: StaticString, bytesMax: Int = Int(UInt16.max)) throws(WireError) -> String {
    let length = Int(try integer(field, as: UInt16.self))
    guard length <= bytesMax else { throw Self.malformed("the field \(field) may be at most \(bytesMax) bytes long") }
    guard let bytes = buffer.readSlice(length: length) else {
      throw Self.malformed("the body ends within its field \(field)")
    }
    guard let string = String(validating: bytes.readableBytesView, as: UTF8.self) else {
      throw Self.malformed("the field \(field) is not UTF-8")
    }
    return string
  }

  /// A u16 count, and so many strings.
  mutating func names(_ field: StaticString, bytesMax: Int = Int(UInt16.max)) throws(WireError) -> [String] {
    let count = Int(try integer(field, as: UInt16.self))
    guard count <= HNSWConfiguration.payloadColumnsMax else {
      throw WireError(
        .invalidOption,
        "\(count) columns of payload; a collection has at most \(HNSWConfiguration.payloadColumnsMax)")
    }
    var names: [String] = []
    names.reserveCapacity(count)
    for _ in 0..<count { names.append(try string(field, bytesMax: bytesMax)) }
    return names
  }

  /// A text of payload; nil = NULL.
  mutating func payloadText() throws(WireError) -> String? {
    let length: UInt32 = try integer("payload")
    guard length != payloadNull else { return nil }
    let bytes = try bytes(Int(length), of: "payload")
    guard let text = String(validating: bytes.readableBytesView, as: UTF8.self) else {
      throw Self.malformed("a text of payload is not UTF-8")
    }
    return text
  }

  mutating func position() throws(WireError) -> Position {
    let position = Position(
      systemID: try integer("systemID"), appliedLSN: try integer("appliedLSN"), timeline: try integer("timeline"))
    try zero(UInt32.self)
    return position
  }

  mutating func recordIDKind() throws(WireError) -> RecordIDKind {
    let raw: UInt8 = try integer("recordIDKind")
    guard let kind = RecordIDKind(rawValue: raw) else {
      throw Self.malformed("a record id is of kind 1, 2, 3 or 4, not \(raw)")
    }
    return kind
  }

  mutating func bytes(_ count: Int, of field: StaticString) throws(WireError) -> ByteBuffer {
    guard let bytes = buffer.readSlice(length: count) else {
      throw Self.malformed("the body ends within its \(field)")
    }
    return bytes
  }

  /// All that is left.
  mutating func rest() -> ByteBuffer {
    let rest = buffer
    buffer.moveReaderIndex(to: buffer.writerIndex)
    return rest
  }

  /// Zeros, up to the next offset that is a multiple of 8.
  mutating func padding() throws(WireError) {
    let offset = bodyBytes - buffer.readableBytes
    for _ in 0..<paddingBytes(at: offset) { try zero(UInt8.self) }
  }

  func end() throws(WireError) {
    guard buffer.readableBytes == 0 else {
      throw Self.malformed("\(buffer.readableBytes) bytes are left over after the last field")
    }
  }
}

/// How many bytes are missing to a multiple of 8.
func paddingBytes(at offset: Int) -> Int { -offset & 7 }
