// The words of a filter's text.
//
// May use: Filter's limits.

/// A word of the text, and where it begins.
struct FilterToken: Equatable {
  enum Kind: Equatable {
    /// A reserved word, in lower case.
    case word(String)
    /// A column, as it is called.
    case name(String)
    case text(String)
    /// Digits, with a sign or none.
    case integer(String)
    case number(String)
    /// An operator or a bracket.
    case symbol(String)
    case end
  }
  var kind: Kind
  /// In characters from 1, as a person counts.
  var position: Int
}

struct FilterLexer {
  static let reserved: Set<String> = [
    "and", "any", "between", "false", "in", "is", "not", "null", "or", "prefix", "true",
  ]

  private let bytes: [UInt8]
  private var offset = 0

  init(_ text: String) throws(IndexError) {
    // `utf8.count` is known, not counted: nothing is copied of a text that is too long.
    guard text.utf8.count <= Filter.textBytesMax else {
      throw IndexError(
        .invalidFilter, "the filter is \(text.utf8.count) bytes long; at most \(Filter.textBytesMax) are read")
    }
    bytes = Array(text.utf8)
  }

  static func error(_ what: String, at position: Int) -> IndexError {
    IndexError(.invalidFilter, "at character \(position) of the filter: \(what)")
  }

  private var current: UInt8? { offset < bytes.count ? bytes[offset] : nil }

  mutating func tokens() throws(IndexError) -> [FilterToken] {
    var result: [FilterToken] = []
    // Positions are counted on as tokens come, not from the beginning each time.
    var counted = 0
    var position = 1
    while true {
      while let byte = current, byte == 0x20 || (0x09...0x0D).contains(byte) { offset += 1 }
      position += bytes[counted..<offset].count { $0 & 0xC0 != 0x80 }
      counted = offset
      let kind = try next(at: position)
      result.append(FilterToken(kind: kind, position: position))
      if kind == .end { return result }
    }
  }

  private mutating func next(at position: Int) throws(IndexError) -> FilterToken.Kind {
    guard let byte = current else { return .end }
    switch byte {
    case UInt8(ascii: "'"): return .text(try quoted(byte, "text", at: position))
    case UInt8(ascii: "\""):
      let name = try quoted(byte, "name", at: position)
      guard !name.isEmpty else { throw Self.error("a name in quotes is empty", at: position) }
      return .name(name)
    case UInt8(ascii: "0")...UInt8(ascii: "9"): return number()
    case UInt8(ascii: "+"), UInt8(ascii: "-"):
      guard offset + 1 < bytes.count, Self.isDigit(bytes[offset + 1]) else {
        throw Self.error("a sign without a number behind it", at: position)
      }
      return number()
    case _ where Self.beginsName(byte):
      let start = offset
      while let byte = current, Self.beginsName(byte) || Self.isDigit(byte) || byte == UInt8(ascii: "$") { offset += 1 }
      // As in SQL: a name that is not quoted is in lower case.
      let name = String(
        decoding: bytes[start..<offset].map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
      return Self.reserved.contains(name) ? .word(name) : .name(name)
    default:
      for symbol in ["<=", ">=", "<>", "!=", "@>", "&&", "<", ">", "=", "(", ")", "{", "}", ","]
      where bytes[offset...].starts(with: symbol.utf8) {
        offset += symbol.utf8.count
        return .symbol(symbol == "!=" ? "<>" : symbol)
      }
      throw Self.error("a character that means nothing here; text stands in single quotes", at: position)
    }
  }

  /// What stands between quotes, of which two in a row mean one.
  private mutating func quoted(_ quote: UInt8, _ what: String, at position: Int) throws(IndexError) -> String {
    offset += 1
    var content: [UInt8] = []
    while let byte = current {
      offset += 1
      if byte == quote {
        guard current == quote else { return String(decoding: content, as: UTF8.self) }
        offset += 1
      }
      content.append(byte)
    }
    throw Self.error("the \(what) that begins here has no closing quote", at: position)
  }

  private mutating func number() -> FilterToken.Kind {
    let start = offset
    offset += 1
    digits()
    var isWhole = true
    if current == UInt8(ascii: "."), offset + 1 < bytes.count, Self.isDigit(bytes[offset + 1]) {
      isWhole = false
      offset += 1
      digits()
    }
    if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
      let before = offset
      offset += 1
      if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { offset += 1 }
      if let byte = current, Self.isDigit(byte) {
        isWhole = false
        digits()
      } else {
        offset = before
      }
    }
    let text = String(decoding: bytes[start..<offset], as: UTF8.self)
    return isWhole ? .integer(text) : .number(text)
  }

  private mutating func digits() {
    while let byte = current, Self.isDigit(byte) { offset += 1 }
  }

  private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

  static func beginsName(_ byte: UInt8) -> Bool {
    (0x61...0x7A).contains(byte) || (0x41...0x5A).contains(byte) || byte == UInt8(ascii: "_") || byte >= 0x80
  }
}
