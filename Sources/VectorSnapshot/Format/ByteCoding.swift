// Little-endian integers to and from bytes, with every read bounded.
//
// May use: nothing but the standard library.

extension [UInt8] {
  mutating func append<Integer: FixedWidthInteger & UnsignedInteger>(littleEndian value: Integer) {
    for shift in stride(from: 0, to: Integer.bitWidth, by: 8) {
      append(UInt8(truncatingIfNeeded: value >> Integer(shift)))
    }
  }
}

/// Reads from the front of bytes, and returns nil where they end too early.
struct ByteReader {
  private let bytes: [UInt8]
  private(set) var offset: Int

  init(_ bytes: [UInt8], at offset: Int = 0) {
    self.bytes = bytes
    self.offset = offset
  }

  var isAtEnd: Bool { offset == bytes.count }

  mutating func read<Integer: FixedWidthInteger & UnsignedInteger>(_ type: Integer.Type) -> Integer? {
    let length = Integer.bitWidth / 8
    guard bytes.count - offset >= length else { return nil }
    var value: Integer = 0
    for i in 0..<length { value |= Integer(bytes[offset + i]) << Integer(8 * i) }
    offset += length
    return value
  }

  mutating func read(bytes length: Int) -> ArraySlice<UInt8>? {
    guard bytes.count - offset >= length else { return nil }
    defer { offset += length }
    return bytes[offset..<(offset + length)]
  }
}
