// Reads JSON token by token, as the caller asks for them. No recursion: what is open is a stack, of bounded depth.
//
//     value    object | array | string | number | true | false | null
//     object   { [ string : value { , string : value } ] }
//     array    [ [ value { , value } ] ]
//
// It is JSON as Postgres writes it: numbers of jsonb have no exponent, and a string no zero character. What is skipped is held to the grammar all
// the same, but only strings that are asked for are decoded.
//
// May use: nothing but the standard library.

/// One document.
struct JSONScanner {
  enum Token: Hashable {
    case objectStart, objectEnd, arrayStart, arrayEnd
    /// A key of an object; its value is the next token. The range is what stands between the quotes.
    case key(Range<Int>)
    case string(Range<Int>)
    case number(Range<Int>)
    case bool(Bool)
    case null
    /// After the one value, and again from then on.
    case end

    /// Neither an object nor an array, but a value.
    var isScalar: Bool {
      switch self {
      case .string, .number, .bool, .null: true
      default: false
      }
    }
  }

  /// What is wrong, and at which byte.
  struct Fault: Error, Hashable, CustomStringConvertible {
    var description: String
  }

  /// Deeper than the stack of any server lets it write.
  static let depthMax = 65_536

  private enum State { case value, firstElement, firstKey, key, afterValue, end }

  let bytes: [UInt8]
  private var position = 0
  private var state = State.value
  /// Of what is open: whether it is an object.
  private var open: [Bool] = []

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// Complexity: O(length of the token), however deep it stands.
  mutating func next() throws(Fault) -> Token {
    while true {
      skipSpace()
      guard position < bytes.count else {
        guard state == .end else { throw fault("the text ends too early") }
        return .end
      }
      let byte = bytes[position]
      switch state {
      case .end: throw fault("something follows the value")
      case .afterValue:
        position += 1
        if byte == UInt8(ascii: ",") {
          state = open.last == true ? .key : .value
          continue
        }
        return try close(byte)
      case .firstKey:
        if byte == UInt8(ascii: "}") {
          position += 1
          return try close(byte)
        }
        return try key()
      case .key: return try key()
      case .firstElement:
        if byte == UInt8(ascii: "]") {
          position += 1
          return try close(byte)
        }
        return try value(byte)
      case .value: return try value(byte)
      }
    }
  }

  /// Steps over the rest of the value of which `token` is the first one.
  /// Complexity: O(its length).
  mutating func skip(_ token: Token) throws(Fault) {
    guard token == .objectStart || token == .arrayStart else { return }
    let outside = open.count - 1
    while open.count > outside { _ = try next() }
  }
}

// MARK: Values

extension JSONScanner {
  private mutating func value(_ byte: UInt8) throws(Fault) -> Token {
    switch byte {
    case UInt8(ascii: "{"):
      try enter(isObject: true)
      return .objectStart
    case UInt8(ascii: "["):
      try enter(isObject: false)
      return .arrayStart
    case UInt8(ascii: "\""):
      let range = try string()
      endValue()
      return .string(range)
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: return try number()
    }
  }

  private mutating func enter(isObject: Bool) throws(Fault) {
    guard open.count < Self.depthMax else { throw fault("more than \(Self.depthMax) objects and arrays in each other") }
    position += 1
    open.append(isObject)
    state = isObject ? .firstKey : .firstElement
  }

  private mutating func close(_ byte: UInt8) throws(Fault) -> Token {
    guard let isObject = open.last, byte == UInt8(ascii: isObject ? "}" : "]") else {
      position -= 1
      throw fault("neither a comma nor the end of what is open")
    }
    open.removeLast()
    endValue()
    return isObject ? .objectEnd : .arrayEnd
  }

  private mutating func endValue() { state = open.isEmpty ? .end : .afterValue }

  private mutating func key() throws(Fault) -> Token {
    guard bytes[position] == UInt8(ascii: "\"") else { throw fault("a key that is no string") }
    let range = try string()
    skipSpace()
    guard position < bytes.count, bytes[position] == UInt8(ascii: ":") else { throw fault("no colon after a key") }
    position += 1
    state = .value
    return .key(range)
  }

  private mutating func word(_ word: String, _ token: Token) throws(Fault) -> Token {
    guard bytes[position...].starts(with: word.utf8) else { throw fault("no JSON value") }
    position += word.utf8.count
    endValue()
    return token
  }

  private mutating func number() throws(Fault) -> Token {
    let start = position
    if bytes[position] == UInt8(ascii: "-") { position += 1 }
    let first = position
    skipDigits()
    guard position > first, position == first + 1 || bytes[first] != UInt8(ascii: "0") else {
      position = start
      throw fault("no JSON value")
    }
    if position < bytes.count, bytes[position] == UInt8(ascii: ".") {
      position += 1
      let fraction = position
      skipDigits()
      guard position > fraction else { throw fault("no digits after a decimal point") }
    }
    if position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") {
      throw fault("a number with an exponent, which jsonb does not write")
    }
    endValue()
    return .number(start..<position)
  }

  private mutating func skipDigits() {
    while position < bytes.count, Self.isDigit(bytes[position]) { position += 1 }
  }

  private mutating func skipSpace() {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x09, 0x0A, 0x0D: position += 1
      default: return
      }
    }
  }

  static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

  private func fault(_ what: String) -> Fault {
    Fault(description: "JSON that cannot be read: \(what), at byte \(position)")
  }
}

// MARK: Strings

extension JSONScanner {
  /// Steps over a string and returns what stands between its quotes.
  private mutating func string() throws(Fault) -> Range<Int> {
    position += 1
    let start = position
    while position < bytes.count {
      switch bytes[position] {
      case UInt8(ascii: "\""):
        position += 1
        return start..<(position - 1)
      case UInt8(ascii: "\\"): position += 2
      case 0..<0x20: throw fault("a control character in a string")
      default: position += 1
      }
    }
    position = bytes.count
    throw fault("a string without an end")
  }

  /// The UTF-8 of a string or a key, its escapes resolved. Whether it is UTF-8 is not checked.
  /// Complexity: O(length).
  func decoded(_ range: Range<Int>) throws(Fault) -> [UInt8] {
    guard bytes[range].contains(UInt8(ascii: "\\")) else { return Array(bytes[range]) }
    var text: [UInt8] = []
    text.reserveCapacity(range.count)
    var place = range.lowerBound
    while place < range.upperBound {
      let byte = bytes[place]
      place += 1
      guard byte == UInt8(ascii: "\\") else {
        text.append(byte)
        continue
      }
      // A string never ends within an escape of one character: `string()` steps over both bytes.
      guard place < range.upperBound else { throw escapeFault(place) }
      let escape = bytes[place]
      place += 1
      switch escape {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(escape)
      case UInt8(ascii: "b"): text.append(0x08)
      case UInt8(ascii: "f"): text.append(0x0C)
      case UInt8(ascii: "n"): text.append(0x0A)
      case UInt8(ascii: "r"): text.append(0x0D)
      case UInt8(ascii: "t"): text.append(0x09)
      case UInt8(ascii: "u"):
        text.append(contentsOf: Unicode.UTF8.encode(try scalar(&place, range.upperBound)) ?? .init())
      default: throw escapeFault(place)
      }
    }
    return text
  }

  /// Whether a key is `name`, by its bytes.
  func isKey(_ range: Range<Int>, _ name: [UInt8]) throws(Fault) -> Bool {
    // An escape is longer than what it stands for.
    guard range.count >= name.count else { return false }
    if range.count == name.count, bytes[range].elementsEqual(name) { return !name.contains(UInt8(ascii: "\\")) }
    guard bytes[range].contains(UInt8(ascii: "\\")) else { return false }
    return try decoded(range) == name
  }

  /// The character whose four digits, or twice four, begin at `place`.
  private func scalar(_ place: inout Int, _ end: Int) throws(Fault) -> Unicode.Scalar {
    let first = try unit(&place, end)
    var value = UInt32(first)
    if UTF16.isLeadSurrogate(first), end - place >= 6, bytes[place] == UInt8(ascii: "\\"),
      bytes[place + 1] == UInt8(ascii: "u")
    {
      var behind = place + 2
      let second = try unit(&behind, end)
      if UTF16.isTrailSurrogate(second) {
        value = 0x1_0000 + (value - 0xD800) << 10 + (UInt32(second) - 0xDC00)
        place = behind
      }
    }
    guard value != 0, let scalar = Unicode.Scalar(value) else { throw escapeFault(place) }
    return scalar
  }

  private func unit(_ place: inout Int, _ end: Int) throws(Fault) -> UInt16 {
    guard end - place >= 4 else { throw escapeFault(place) }
    var value: UInt16 = 0
    for byte in bytes[place..<(place + 4)] {
      guard byte < 0x80, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { throw escapeFault(place) }
      value = value << 4 | UInt16(digit)
    }
    place += 4
    return value
  }

  private func escapeFault(_ place: Int) -> Fault {
    Fault(description: "JSON that cannot be read: an escape that is none, before byte \(place)")
  }
}
