// An attribute in a row of binary COPY: its bytes, and the value that they are.
//
//     bool 1 byte · smallint 2, integer 4, bigint 8 · real 4, double precision 8, IEEE · timestamptz 8, µs since 2000 · uuid 16 · text UTF-8
//     array  i32 dimensions   i32 1 if there are NULLs   u32 type   { i32 count   i32 first index }…   { i32 length (-1: NULL)   bytes }…
//
// An array of several dimensions is read as its elements one after the other, which is how Postgres's @>, && and ANY look at it.
//
// May use: VectorIndex for values and their limits. Unsafe, as BinaryCopyDecoder is: the caller has compared the length with the bytes
// at hand, and what is within is compared with the length.

internal import VectorIndex

/// How an attribute comes.
package struct AttributeField: Hashable, Sendable {
  package enum Scalar: Hashable, Sendable, CaseIterable {
    case bool, smallint, integer, bigint, real, double, timestamptz, uuid, text
    /// Text that is such a value, or counts as NULL.
    case uuidText, timestampText
  }

  package var name: String
  /// Of an array: its elements' type.
  package var scalar: Scalar
  package var isArray: Bool

  package init(name: String, scalar: Scalar, isArray: Bool = false) {
    self.name = name
    self.scalar = scalar
    self.isArray = isArray
  }

  /// The longest field that a Postgres can send.
  static let bytesMax = 1 << 30
  /// An array has no more dimensions in Postgres.
  private static let dimensionsMax = 6
}

extension AttributeField {
  enum Fault: Error {
    /// No Postgres sends this.
    case malformed(String)
    /// More than an attribute holds.
    case tooLong(String)
  }

  /// The value of a field that is not NULL.
  func value(_ bytes: UnsafeRawBufferPointer) throws(Fault) -> AttributeValue {
    guard isArray else { return try scalarValue(bytes) }
    guard bytes.count >= 12 else { throw .malformed("an array of \(bytes.count) bytes") }
    let dimensions = Int(bytes.bigEndian(at: 0, as: Int32.self))
    guard (0...Self.dimensionsMax).contains(dimensions), bytes.count >= 12 + 8 * dimensions else {
      throw .malformed("an array of \(dimensions) dimensions in \(bytes.count) bytes")
    }
    var count = dimensions == 0 ? 0 : 1
    for dimension in 0..<dimensions {
      let length = Int(bytes.bigEndian(at: 12 + 8 * dimension, as: Int32.self))
      guard length >= 0 else { throw .malformed("an array's dimension of the length \(length)") }
      // No more elements than bytes, so that the product stays small.
      guard count * length <= bytes.count else { throw .malformed("an array of more elements than it has bytes") }
      count *= length
    }
    guard count <= AttributeValue.arrayCountMax else {
      throw .tooLong("an array of \(count) elements; at most \(AttributeValue.arrayCountMax) are kept")
    }
    var elements: [AttributeValue] = []
    elements.reserveCapacity(count)
    var offset = 12 + 8 * dimensions
    for _ in 0..<count {
      guard bytes.count >= offset + 4 else { throw .malformed("an array that ends within an element") }
      let length = Int(bytes.bigEndian(at: offset, as: Int32.self))
      offset += 4
      if length == -1 {
        elements.append(.null)
        continue
      }
      guard length >= 0, bytes.count - offset >= length else { throw .malformed("an element of \(length) bytes") }
      elements.append(try scalarValue(UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + length)])))
      offset += length
    }
    guard offset == bytes.count else { throw .malformed("bytes after an array's last element") }
    return .array(elements)
  }

  private func scalarValue(_ bytes: UnsafeRawBufferPointer) throws(Fault) -> AttributeValue {
    if let count = scalar.byteCount, bytes.count != count {
      throw .malformed("a \(scalar) of \(bytes.count) bytes")
    }
    switch scalar {
    case .bool:
      guard bytes[0] <= 1 else { throw .malformed("a bool of \(bytes[0])") }
      return .bool(bytes[0] == 1)
    case .smallint: return .int64(Int64(bytes.bigEndian(at: 0, as: Int16.self)))
    case .integer: return .int64(Int64(bytes.bigEndian(at: 0, as: Int32.self)))
    case .bigint: return .int64(bytes.bigEndian(at: 0, as: Int64.self))
    case .real: return .float64(Double(Float(bitPattern: bytes.bigEndian(at: 0, as: UInt32.self))))
    case .double: return .float64(Double(bitPattern: bytes.bigEndian(at: 0, as: UInt64.self)))
    case .timestamptz: return .timestamp(bytes.bigEndian(at: 0, as: Int64.self))
    case .uuid:
      return .uuid(high: bytes.bigEndian(at: 0, as: UInt64.self), low: bytes.bigEndian(at: 8, as: UInt64.self))
    case .text:
      guard bytes.count <= AttributeValue.keywordBytesMax else {
        throw .tooLong("a text of \(bytes.count) bytes; at most \(AttributeValue.keywordBytesMax) are kept")
      }
      guard let text = String(validating: bytes, as: UTF8.self) else { throw .malformed("a text that is not UTF-8") }
      return .keyword(text)
    case .uuidText, .timestampText:
      // Longer than any of them is none of them.
      guard bytes.count <= 64, let text = String(validating: bytes, as: UTF8.self) else { return .null }
      if scalar == .timestampText { return TimestampText.parse(text).map { .timestamp($0) } ?? .null }
      return AttributeValue.uuid(text) ?? .null
    }
  }
}

extension AttributeField.Scalar {
  /// Of what always has the same length.
  fileprivate var byteCount: Int? {
    switch self {
    case .bool: 1
    case .smallint: 2
    case .integer, .real: 4
    case .bigint, .double, .timestamptz: 8
    case .uuid: 16
    case .text, .uuidText, .timestampText: nil
    }
  }

  /// The attribute that it becomes.
  func attributeType(isArray: Bool) -> AttributeType? {
    switch self {
    case .bool: isArray ? nil : .bool
    case .smallint, .integer, .bigint: isArray ? .int64Array : .int64
    case .real, .double: isArray ? nil : .float64
    case .timestamptz, .timestampText: isArray ? nil : .timestamp
    case .uuid, .uuidText: isArray ? .uuidArray : .uuid
    case .text: isArray ? .keywordArray : .keyword
    }
  }

  /// By a type's OID. Built-in types have the same one everywhere.
  init?(typeOID: UInt32) {
    switch typeOID {
    case 16: self = .bool
    case 21: self = .smallint
    case 23: self = .integer
    case 20: self = .bigint
    case 700: self = .real
    case 701: self = .double
    case 1184: self = .timestamptz
    case 2950: self = .uuid
    case 25, 1043: self = .text
    default: return nil
    }
  }
}
