// Writes the basic types of the protocol.
//
// May use: NIOCore's ByteBuffer.

import NIOCore
import VectorIndex

extension ByteBuffer {
  mutating func writeField<T: FixedWidthInteger>(_ value: T) {
    writeInteger(value, endianness: .little)
  }

  /// A count as u32. What does not fit becomes the nearest value that does, which no server accepts as a count.
  mutating func writeCount(_ value: Int) {
    writeInteger(UInt32(clamping: value), endianness: .little)
  }

  /// - Precondition: at most 65,535 bytes of UTF-8.
  mutating func writeField(_ string: String) {
    writeInteger(UInt16(string.utf8.count), endianness: .little)
    writeString(string)
  }

  mutating func writeField(_ position: Position) {
    writeMultipleIntegers(
      position.systemID, position.appliedLSN, position.timeline, 0 as UInt32, endianness: .little)
  }

  /// - Precondition: at most 65,535 strings, of at most as many bytes.
  mutating func writeNames(_ names: [String]) {
    writeField(UInt16(names.count))
    for name in names { writeField(name) }
  }

  /// A text of payload, or NULL.
  /// - Precondition: under 4 GiB.
  mutating func writePayload(_ value: String?) {
    guard let value else { return writeField(payloadNull) }
    writeField(UInt32(value.utf8.count))
    writeString(value)
  }

  /// Zeros, up to the next offset from `start` that is a multiple of 8.
  mutating func writePadding(from start: Int) {
    writeRepeatingByte(0, count: paddingBytes(at: writerIndex - start))
  }
}

/// Stands where the length of a text would.
let payloadNull = UInt32.max

extension String {
  /// The longest prefix of whole characters that has at most `bytesMax` bytes of UTF-8.
  package func prefix(utf8BytesMax bytesMax: Int) -> String {
    guard utf8.count > bytesMax else { return self }
    var end = utf8.index(utf8.startIndex, offsetBy: bytesMax)
    // A position within a character has no String.Index of its own: step back to one that does. At most 3 steps for a
    // scalar; an emoji sequence may be longer.
    while end > startIndex, end.samePosition(in: self) == nil { end = utf8.index(before: end) }
    return String(self[..<end])
  }
}
