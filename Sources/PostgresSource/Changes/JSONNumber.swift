// What a number in jsonb is as an int8 and as a float8: what the SQL of AttributeSQL makes of it, digit for digit.
//
// A number in jsonb is a numeric, and written as one: digits, perhaps a point and digits, no exponent. So its size can be seen from its digits, and
// is compared exactly, as numeric compares.
//
// May use: JSONScanner.

/// A number's text, cut at its point.
struct JSONNumber {
  private let text: ArraySlice<UInt8>
  private let isNegative: Bool
  /// Without zeros in front.
  private let whole: ArraySlice<UInt8>
  private let fraction: ArraySlice<UInt8>

  /// - text: as ``JSONScanner`` gives it.
  init(_ text: ArraySlice<UInt8>) {
    self.text = text
    isNegative = text.first == UInt8(ascii: "-")
    let digits = isNegative ? text.dropFirst() : text
    let point = digits.firstIndex(of: UInt8(ascii: ".")) ?? digits.endIndex
    whole = digits[..<point].drop { $0 == UInt8(ascii: "0") }
    fraction = digits[point...].dropFirst()
  }

  private var isWhole: Bool { fraction.allSatisfy { $0 == UInt8(ascii: "0") } }

  /// nil: not whole, or not within 64 bits.
  var int64: Int64? {
    guard isWhole, whole.count <= 19 else { return nil }
    // 19 digits fit into 64 bits without a sign.
    let magnitude = whole.reduce(UInt64(0)) { $0 * 10 + UInt64($1 - UInt8(ascii: "0")) }
    let most = UInt64(Int64.max) + (isNegative ? 1 : 0)
    guard magnitude <= most else { return nil }
    return isNegative ? Int64(truncatingIfNeeded: 0 &- magnitude) : Int64(magnitude)
  }

  /// nil: beyond 1.7976931348623157e308. Nearer to 0 than 5e-324 is 0.
  var float64: Double? {
    if isTooLarge { return nil }
    if isTooSmall { return 0 }
    return Double(String(decoding: text, as: UTF8.self))
  }

  /// Of 1.7976931348623157e308: its digits, followed by zeros.
  private static let largest = Array("17976931348623157".utf8)
  private static let largestDigits = 309

  private var isTooLarge: Bool {
    guard whole.count == Self.largestDigits else { return whole.count > Self.largestDigits }
    let front = whole.prefix(Self.largest.count)
    guard front.elementsEqual(Self.largest) else { return Self.largest.lexicographicallyPrecedes(front) }
    return !isWhole || whole.dropFirst(Self.largest.count).contains { $0 != UInt8(ascii: "0") }
  }

  /// Of 5e-324: the place of its one digit behind the point, from 0.
  private static let smallestPlace = 323

  private var isTooSmall: Bool {
    guard whole.isEmpty else { return false }
    guard let place = fraction.firstIndex(where: { $0 != UInt8(ascii: "0") }) else { return true }
    let zeros = place - fraction.startIndex
    return zeros == Self.smallestPlace ? fraction[place] < UInt8(ascii: "5") : zeros > Self.smallestPlace
  }
}
