// The name of a row, as its Postgres key comes, and its one byte form.
//
// The byte form is shared by the wire protocol and the snapshot, so it never changes:
//
//     int64      01  i64 little-endian
//     uuid       02  16 bytes, as Postgres sends them
//     text       03  u16 length (little-endian), UTF-8
//     composite  04  u8 count (1...32), then that many of the above
//
// May use: nothing but the standard library.

/// The key of a record: what a row of the indexed table is called in Postgres.
///
/// All records of one index have ids of one ``RecordIDKind``.
public enum RecordID: Hashable, Sendable {
  /// `smallint`, `integer` or `bigint`.
  case int64(Int64)
  /// `uuid`: the 16 bytes in the order in which they are written, as two big-endian halves.
  case uuid(high: UInt64, low: UInt64)
  /// `text`, `varchar` or `char(n)`.
  case text(String)
  /// A key of several columns, in key order. Composites do not nest.
  case composite([RecordID])
}

// Equal means equal bytes, as in Postgres. `String`'s own equality is canonical equivalence, under which "é" in one code point
// and in two would be one key.
extension RecordID {
  public static func == (a: RecordID, b: RecordID) -> Bool {
    switch (a, b) {
    case (.int64(let a), .int64(let b)): a == b
    case (.uuid(let high, let low), .uuid(let otherHigh, let otherLow)): high == otherHigh && low == otherLow
    case (.text(let a), .text(let b)): a.utf8.elementsEqual(b.utf8)
    case (.composite(let a), .composite(let b)): a == b
    default: false
    }
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(kind)
    switch self {
    case .int64(let value):
      hasher.combine(value)
    case .uuid(let high, let low):
      hasher.combine(high)
      hasher.combine(low)
    case .text(let string):
      for byte in string.utf8 { hasher.combine(byte) }
      hasher.combine(string.utf8.count)
    case .composite(let columns):
      hasher.combine(columns)
    }
  }
}

/// The type of the record ids of one index. The raw values are those of the byte form's first byte.
public enum RecordIDKind: UInt8, Sendable, CaseIterable {
  case int64 = 1
  case uuid = 2
  case text = 3
  case composite = 4
}

extension RecordID {
  /// The longest byte form that is accepted anywhere. A Postgres B-tree key is at most 2,704 bytes long.
  public static let encodedBytesMax = 4_096
  /// The most columns of a composite key: `INDEX_MAX_KEYS` of a stock Postgres.
  public static let compositeColumnsMax = 32

  public var kind: RecordIDKind {
    switch self {
    case .int64: .int64
    case .uuid: .uuid
    case .text: .text
    case .composite: .composite
    }
  }

  /// The length of the byte form.
  public var encodedByteCount: Int {
    switch self {
    case .int64: 9
    case .uuid: 17
    case .text(let string): 3 + string.utf8.count
    case .composite(let columns): columns.reduce(2) { $0 + $1.encodedByteCount }
    }
  }

  /// Whether the byte form exists: text and composites within their bounds, no nesting.
  public var isEncodable: Bool {
    switch self {
    case .int64, .uuid: return true
    case .text: return encodedByteCount <= Self.encodedBytesMax
    case .composite(let columns):
      guard (1...Self.compositeColumnsMax).contains(columns.count) else { return false }
      return columns.allSatisfy { $0.kind != .composite } && encodedByteCount <= Self.encodedBytesMax
    }
  }

  /// Appends the byte form.
  /// - Precondition: ``isEncodable``.
  public func encode(into bytes: inout [UInt8]) {
    precondition(isEncodable, "a record id must fit its byte form")
    bytes.append(kind.rawValue)
    switch self {
    case .int64(let value):
      withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    case .uuid(let high, let low):
      withUnsafeBytes(of: high.bigEndian) { bytes.append(contentsOf: $0) }
      withUnsafeBytes(of: low.bigEndian) { bytes.append(contentsOf: $0) }
    case .text(let string):
      let count = UInt16(string.utf8.count)
      bytes.append(UInt8(truncatingIfNeeded: count))
      bytes.append(UInt8(truncatingIfNeeded: count >> 8))
      bytes.append(contentsOf: string.utf8)
    case .composite(let columns):
      bytes.append(UInt8(columns.count))
      for column in columns { column.encode(into: &bytes) }
    }
  }

  /// Reads one byte form from the front of `bytes`.
  ///
  /// - Returns: the id and the number of bytes it took, or nil when the bytes are truncated, over the bounds, of an
  ///   unknown kind, nested, or not UTF-8. Never reads past the end and never allocates more than ``encodedBytesMax``.
  public static func decode<Bytes: RandomAccessCollection<UInt8>>(
    from bytes: Bytes
  ) -> (id: RecordID, byteCount: Int)? where Bytes.Index == Int {
    decode(from: bytes, isNested: false)
  }

  private static func decode<Bytes: RandomAccessCollection<UInt8>>(
    from bytes: Bytes, isNested: Bool
  ) -> (id: RecordID, byteCount: Int)? where Bytes.Index == Int {
    let start = bytes.startIndex
    guard let tag = bytes.first, let kind = RecordIDKind(rawValue: tag) else { return nil }
    switch kind {
    case .int64:
      guard bytes.count >= 9 else { return nil }
      var value: UInt64 = 0
      for i in 0..<8 { value |= UInt64(bytes[start + 1 + i]) << (8 * UInt64(i)) }
      return (.int64(Int64(bitPattern: value)), 9)
    case .uuid:
      guard bytes.count >= 17 else { return nil }
      var high: UInt64 = 0
      var low: UInt64 = 0
      for i in 0..<8 {
        high = high << 8 | UInt64(bytes[start + 1 + i])
        low = low << 8 | UInt64(bytes[start + 9 + i])
      }
      return (.uuid(high: high, low: low), 17)
    case .text:
      guard bytes.count >= 3 else { return nil }
      let length = Int(bytes[start + 1]) | Int(bytes[start + 2]) << 8
      guard 3 + length <= encodedBytesMax, bytes.count >= 3 + length else { return nil }
      guard let string = String(validating: bytes[(start + 3)..<(start + 3 + length)], as: UTF8.self) else {
        return nil
      }
      return (.text(string), 3 + length)
    case .composite:
      guard !isNested, bytes.count >= 2 else { return nil }
      let count = Int(bytes[start + 1])
      guard (1...compositeColumnsMax).contains(count) else { return nil }
      var columns: [RecordID] = []
      columns.reserveCapacity(count)
      var offset = 2
      for _ in 0..<count {
        guard let column = decode(from: bytes[(start + offset)...], isNested: true) else { return nil }
        columns.append(column.id)
        offset += column.byteCount
        guard offset <= encodedBytesMax else { return nil }
      }
      return (.composite(columns), offset)
    }
  }
}

extension RecordID: CustomStringConvertible {
  /// As Postgres would print the key: `42`, `6f1c…`, `a text`, `(7,a text)`.
  public var description: String {
    switch self {
    case .int64(let value): return String(value)
    case .text(let string): return string
    case .composite(let columns): return "(" + columns.map(\.description).joined(separator: ",") + ")"
    case .uuid(let high, let low):
      let digits = (paddedHex(high) + paddedHex(low)).utf8
      var text = ""
      for (i, digit) in digits.enumerated() {
        if i == 8 || i == 12 || i == 16 || i == 20 { text.append("-") }
        text.unicodeScalars.append(Unicode.Scalar(digit))
      }
      return text
    }
  }

  private func paddedHex(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

extension RecordID {
  /// Reads an id as a person types it: the inverse of ``description`` for the kinds that have one column.
  /// - Returns: nil when the text is no id of that kind; always nil for composites, whose columns have no types here.
  public init?(_ text: String, kind: RecordIDKind) {
    switch kind {
    case .int64:
      guard let value = Int64(text) else { return nil }
      self = .int64(value)
    case .uuid:
      let digits = text.filter { $0 != "-" }
      guard digits.utf8.count == 32, digits.utf8.allSatisfy({ $0 < 128 }),
        let high = UInt64(digits.prefix(16), radix: 16), let low = UInt64(digits.suffix(16), radix: 16)
      else { return nil }
      self = .uuid(high: high, low: low)
    case .text:
      self = .text(text)
      guard isEncodable else { return nil }
    case .composite:
      return nil
    }
  }
}
