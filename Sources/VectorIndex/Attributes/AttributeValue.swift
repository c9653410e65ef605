// What a row says beside its vector: one value of one column, with Postgres's idea of what is equal.
//
// May use: nothing but the standard library.

/// A value of an attribute. Equal means equal in Postgres: text by its bytes, −0 as 0, NaN as NaN.
public enum AttributeValue: Sendable {
  case null
  case bool(Bool)
  /// `smallint`, `integer` or `bigint`.
  case int64(Int64)
  /// `real` or `double precision`.
  case float64(Double)
  /// `timestamptz`: microseconds since 2000-01-01 00:00 UTC. `Int64.min` is −infinity, `Int64.max` is infinity.
  case timestamp(Int64)
  /// The 16 bytes in the order in which they are written, as two big-endian halves.
  case uuid(high: UInt64, low: UInt64)
  case keyword(String)
  /// Values of one type, NULLs among them.
  case array([AttributeValue])
}

extension AttributeValue: Hashable {
  public static func == (a: AttributeValue, b: AttributeValue) -> Bool {
    switch (a, b) {
    case (.null, .null): true
    case (.bool(let a), .bool(let b)): a == b
    case (.int64(let a), .int64(let b)), (.timestamp(let a), .timestamp(let b)): a == b
    case (.float64(let a), .float64(let b)): a.orderedBits == b.orderedBits
    case (.uuid(let high, let low), .uuid(let otherHigh, let otherLow)): high == otherHigh && low == otherLow
    case (.keyword(let a), .keyword(let b)): a.utf8.elementsEqual(b.utf8)
    case (.array(let a), .array(let b)): a == b
    default: false
    }
  }

  public func hash(into hasher: inout Hasher) {
    switch self {
    case .null: hasher.combine(0)
    case .bool(let value): hasher.combine(value)
    case .int64(let value), .timestamp(let value): hasher.combine(value)
    case .float64(let value): hasher.combine(value.orderedBits)
    case .uuid(let high, let low):
      hasher.combine(high)
      hasher.combine(low)
    case .keyword(let text):
      for byte in text.utf8 { hasher.combine(byte) }
      hasher.combine(text.utf8.count)
    case .array(let values): hasher.combine(values)
    }
  }
}

extension AttributeValue {
  /// The most bytes of a text value.
  public static let keywordBytesMax = 65_535
  /// The most elements of an array.
  public static let arrayCountMax = 65_535

  /// What it is, for a sentence.
  var kindName: String {
    switch self {
    case .null: "NULL"
    case .bool: "a truth value"
    case .int64: "a whole number"
    case .float64: "a number with a fraction"
    case .timestamp: "a timestamp"
    case .uuid: "a UUID"
    case .keyword: "text"
    case .array: "an array"
    }
  }

  /// A UUID as text writes it.
  package static func uuid(_ text: String) -> AttributeValue? {
    guard text.utf8.allSatisfy({ $0 == UInt8(ascii: "-") || ($0 < 128 && Character(Unicode.Scalar($0)).isHexDigit) }),
      case .uuid(let high, let low)? = RecordID(text, kind: .uuid)
    else { return nil }
    return .uuid(high: high, low: low)
  }
}

extension Double {
  /// Postgres's order of `float8` as an order of integers: −infinity … −0 = 0 … infinity, NaN.
  @inline(__always)
  var orderedBits: Int64 {
    if isNaN { return Self.orderedNaN }
    if self == 0 { return 0 }
    let bits = Int64(bitPattern: bitPattern)
    // Negative numbers have the order of their sizes, the wrong way round.
    return bits >= 0 ? bits : bits ^ Int64.max
  }

  static var orderedNaN: Int64 { Int64(bitPattern: Double.nan.bitPattern) & Int64.max }

  init(orderedBits bits: Int64) {
    self = bits == Self.orderedNaN ? .nan : Double(bitPattern: UInt64(bitPattern: bits >= 0 ? bits : bits ^ Int64.max))
  }
}

extension UInt128 {
  @inline(__always)
  init(high: UInt64, low: UInt64) { self = UInt128(high) << 64 | UInt128(low) }
}
