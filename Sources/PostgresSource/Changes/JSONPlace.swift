// An attribute that is a place in a jsonb column, taken out of the document here: the stream of changes sends the document, where COPY sends what
// the SQL of AttributeSQL takes out of it. Both must be the same value, for every document.
//
//     document -> 'key' -> 0 -> …     what is not there, or is of another kind, is NULL
//
// One oddity of Postgres is followed: `-> 0` and `-> -1` of a string, a number, true, false or null are that value itself, because jsonb keeps it as
// an array of one.
//
// May use: JSONScanner, JSONNumber, AttributeField.

internal import VectorIndex

/// Where an attribute stands, and as what it is read.
struct JSONPlace: Hashable, Sendable {
  private enum Step: Hashable, Sendable {
    case key([UInt8])
    case element(Int)
  }

  private let path: [Step]
  private let type: AttributeType
  /// Of its text, where it is one; of an array: of its elements'.
  private let text: AttributeField

  /// - type: the attribute's, of which ``AttributeSQL`` can make SQL.
  init(path: [SourceAttribute.Step], type: AttributeType) {
    self.path = path.map { step in
      switch step {
      case .key(let key): .key(Array(key.utf8))
      case .element(let number): .element(number)
      }
    }
    self.type = type
    text = AttributeSQL.field(name: "", type: type.element)
  }

  /// The value in a document, which is JSON's text.
  ///
  /// Complexity: O(length) at most; what follows the place is not looked at.
  func value(in document: [UInt8]) throws(AttributeField.Fault) -> AttributeValue {
    var scanner = JSONScanner(document)
    let first: JSONScanner.Token?
    do throws(JSONScanner.Fault) {
      first = try find(&scanner)
    } catch {
      throw .malformed(error.description)
    }
    guard let first else { return .null }
    guard type.isArray else { return try scalar(first, type, scanner) }
    return first == .arrayStart ? try array(&scanner) : .null
  }

  /// - Returns: the first token of the value at the place, or nil when there is none.
  private func find(_ scanner: inout JSONScanner) throws(JSONScanner.Fault) -> JSONScanner.Token? {
    var token = try scanner.next()
    for step in path {
      let found: JSONScanner.Token? =
        switch step {
        case .key(let key): token == .objectStart ? try member(key, &scanner) : nil
        case .element(let number):
          if token == .arrayStart {
            try element(number, &scanner)
          } else {
            // A value by itself is an array of one.
            token.isScalar && (number == 0 || number == -1) ? token : nil
          }
        }
      guard let found else { return nil }
      token = found
    }
    return token
  }

  /// Reads an object up to the value of its key. A jsonb object has every key once.
  private func member(
    _ key: [UInt8], _ scanner: inout JSONScanner
  ) throws(JSONScanner.Fault) -> JSONScanner.Token? {
    while case .key(let range) = try scanner.next() {
      let isWanted = try scanner.isKey(range, key)
      let token = try scanner.next()
      if isWanted { return token }
      try scanner.skip(token)
    }
    return nil
  }

  /// Reads an array up to an element; a negative number counts from its end.
  private func element(
    _ number: Int, _ scanner: inout JSONScanner
  ) throws(JSONScanner.Fault) -> JSONScanner.Token? {
    var number = number
    if number < 0 {
      var ahead = scanner
      var count = 0
      while case let token = try ahead.next(), token != .arrayEnd {
        try ahead.skip(token)
        count += 1
      }
      number += count
      guard number >= 0 else { return nil }
    }
    while case let token = try scanner.next(), token != .arrayEnd {
      if number == 0 { return token }
      number -= 1
      try scanner.skip(token)
    }
    return nil
  }

  private func array(_ scanner: inout JSONScanner) throws(AttributeField.Fault) -> AttributeValue {
    var elements: [AttributeValue] = []
    var count = 0
    while true {
      let token: JSONScanner.Token
      do throws(JSONScanner.Fault) {
        token = try scanner.next()
        try scanner.skip(token)
      } catch {
        throw .malformed(error.description)
      }
      if token == .arrayEnd { break }
      count += 1
      if count <= AttributeValue.arrayCountMax { elements.append(try scalar(token, type.element, scanner)) }
    }
    guard count <= AttributeValue.arrayCountMax else {
      throw .tooLong("an array of \(count) elements; at most \(AttributeValue.arrayCountMax) are kept")
    }
    return .array(elements)
  }

  /// The value where it is of the type, else NULL.
  private func scalar(
    _ token: JSONScanner.Token, _ type: AttributeType, _ scanner: JSONScanner
  ) throws(AttributeField.Fault) -> AttributeValue {
    switch (token, type) {
    case (.bool(let value), .bool): return .bool(value)
    case (.number(let range), .int64): return JSONNumber(scanner.bytes[range]).int64.map { .int64($0) } ?? .null
    case (.number(let range), .float64): return JSONNumber(scanner.bytes[range]).float64.map { .float64($0) } ?? .null
    case (.string(let range), .keyword), (.string(let range), .uuid), (.string(let range), .timestamp):
      let decoded: [UInt8]
      do throws(JSONScanner.Fault) {
        decoded = try scanner.decoded(range)
      } catch {
        throw .malformed(error.description)
      }
      return try decoded.span.bytes.withUnsafeBytes { (bytes) throws(AttributeField.Fault) in try text.value(bytes) }
    default: return .null
    }
  }
}
