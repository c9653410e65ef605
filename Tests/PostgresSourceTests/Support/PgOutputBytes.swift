// The slow twin of pgoutput's decoder: writes messages byte by byte, for tests of the decoder. It shares nothing with PgOutputEncoder.

import PostgresSource

enum PgOutputBytes {
  static func big<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
  }

  static func letter(_ character: Character) -> [UInt8] { Array(String(character).utf8) }

  static func string(_ text: String) -> [UInt8] { Array(text.utf8) + [0] }

  /// A value of a row, with its bytes.
  enum Value {
    case null, unchanged
    case text([UInt8])
    case binary([UInt8])

    var bytes: [UInt8] {
      switch self {
      case .null: letter("n")
      case .unchanged: letter("u")
      case .text(let bytes): letter("t") + big(Int32(bytes.count)) + bytes
      case .binary(let bytes): letter("b") + big(Int32(bytes.count)) + bytes
      }
    }
  }

  static func tuple(_ values: [Value]) -> [UInt8] {
    big(Int16(values.count)) + values.flatMap(\.bytes)
  }

  /// A value as the decoder sees it, with the bytes that its range names.
  static func values(_ tuple: PgOutputMessage.Tuple, in message: [UInt8]) -> [String] {
    tuple.fields.map { field in
      switch field {
      case .null: "null"
      case .unchanged: "unchanged"
      case .text(let range): "text \(Array(message[range]))"
      case .binary(let range): "binary \(Array(message[range]))"
      }
    }
  }

  static func values(_ values: [Value]) -> [String] {
    values.map { value in
      switch value {
      case .null: "null"
      case .unchanged: "unchanged"
      case .text(let bytes): "text \(bytes)"
      case .binary(let bytes): "binary \(bytes)"
      }
    }
  }
}
