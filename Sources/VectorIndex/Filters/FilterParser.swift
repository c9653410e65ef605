// A filter from its text.
//
//     or        := and (OR and)*
//     and       := not (AND not)*
//     not       := NOT not | primary
//     primary   := ( or ) | TRUE | FALSE | value = ANY ( column ) | column condition
//     condition := = <> < <= > >= value | [NOT] IN ( value, … ) | [NOT] BETWEEN value AND value | IS [NOT] NULL
//                | @> { value, … } | && { value, … } | PREFIX text
//
// May use: FilterLexer, FilterValidation.

extension Filter {
  /// Reads a filter, and checks it against a schema.
  ///
  /// - Throws: `invalidFilter`, `unknownAttribute`, `filterTypeMismatch`, `orderRefused`, with the position.
  /// - Complexity: O(length). Text is at most 64 KiB long, and brackets and NOTs at most 64 deep.
  public init(parsing text: String, schema: AttributeSchema) throws(IndexError) {
    var lexer = try FilterLexer(text)
    var parser = FilterParser(tokens: try lexer.tokens(), schema: schema)
    self = try parser.whole().validated(against: schema)
  }
}

private struct FilterParser {
  private let tokens: [FilterToken]
  private let validator: FilterValidator
  private var next = 0
  private var depth = 0
  private var nodes = 0

  private static let depthMax = 64

  init(tokens: [FilterToken], schema: AttributeSchema) {
    self.tokens = tokens
    validator = FilterValidator(schema: schema)
  }

  private var token: FilterToken { tokens[next] }

  /// The last token is the end, which is never taken.
  private mutating func advance() { if next < tokens.count - 1 { next += 1 } }

  private mutating func take(word: String) -> Bool {
    guard token.kind == .word(word) else { return false }
    advance()
    return true
  }

  private mutating func take(symbol: String) -> Bool {
    guard token.kind == .symbol(symbol) else { return false }
    advance()
    return true
  }

  private func expected(_ what: String) -> IndexError {
    let found =
      switch token.kind {
      case .word(let word): word.uppercased()
      case .name(let name): "the name \"\(name.prefix(63))\""
      case .text: "a text"
      case .integer(let digits), .number(let digits): String(digits.prefix(40))
      case .symbol(let symbol): symbol
      case .end: "the end"
      }
    return FilterLexer.error("\(what) is expected, and there is \(found)", at: token.position)
  }

  private mutating func expect(symbol: String) throws(IndexError) {
    guard take(symbol: symbol) else { throw expected(symbol) }
  }

  mutating func whole() throws(IndexError) -> Filter {
    let filter = try disjunction()
    guard token.kind == .end else { throw expected("AND, OR or the end") }
    return filter
  }

  private mutating func disjunction() throws(IndexError) -> Filter {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.depthMax else {
      throw FilterLexer.error("more than \(Self.depthMax) brackets and NOTs lie in each other", at: token.position)
    }
    var parts = [try conjunction()]
    while take(word: "or") { parts.append(try conjunction()) }
    return parts.count == 1 ? parts[0] : .or(parts)
  }

  private mutating func conjunction() throws(IndexError) -> Filter {
    var parts = [try negation()]
    while take(word: "and") { parts.append(try negation()) }
    return parts.count == 1 ? parts[0] : .and(parts)
  }

  private mutating func negation() throws(IndexError) -> Filter {
    nodes += 1
    guard nodes <= Filter.nodesMax else {
      throw FilterLexer.error("more than \(Filter.nodesMax) conditions; use IN for many values", at: token.position)
    }
    guard take(word: "not") else { return try primary() }
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.depthMax else {
      throw FilterLexer.error("more than \(Self.depthMax) brackets and NOTs lie in each other", at: token.position)
    }
    return .not(try negation())
  }

  private mutating func primary() throws(IndexError) -> Filter {
    switch token.kind {
    case .symbol("("):
      advance()
      let filter = try disjunction()
      try expect(symbol: ")")
      return filter
    case .word("true"):
      advance()
      return .always(true)
    case .word("false"):
      advance()
      return .always(false)
    case .name(let name):
      let position = token.position
      advance()
      return try condition(try located(position) { () throws(IndexError) in try validator.column(name) })
    case .text, .integer, .number, .word("null"):
      let start = next
      advance()
      try expect(symbol: "=")
      guard take(word: "any") else { throw expected("ANY (a value on the left is for value = ANY (column))") }
      try expect(symbol: "(")
      guard case .name(let name) = token.kind else { throw expected("the name of an array attribute") }
      let column = try located(token.position) { () throws(IndexError) in try validator.column(name) }
      advance()
      try expect(symbol: ")")
      let end = next
      next = start
      defer { next = end }
      return .anyEqual(column.name, try value(of: column, "= ANY"))
    default:
      throw expected("the name of an attribute, NOT or (")
    }
  }

  private mutating func condition(_ column: AttributeColumn) throws(IndexError) -> Filter {
    let position = token.position
    let isNegated = take(word: "not")
    if take(word: "in") {
      try expect(symbol: "(")
      let values = try list(of: column, "IN", ")")
      return isNegated ? .not(.isIn(column.name, values)) : .isIn(column.name, values)
    }
    if take(word: "between") {
      let low = try value(of: column, "BETWEEN")
      guard take(word: "and") else { throw expected("AND") }
      let filter = Filter.between(column.name, low, try value(of: column, "BETWEEN"))
      return isNegated ? .not(filter) : filter
    }
    if isNegated { throw expected("IN or BETWEEN") }
    if take(word: "is") {
      let isNot = take(word: "not")
      guard take(word: "null") else { throw expected("NULL") }
      return isNot ? .not(.isNull(column.name)) : .isNull(column.name)
    }
    if take(word: "prefix") {
      guard case .text(let prefix) = token.kind else { throw expected("a text in single quotes") }
      advance()
      return .hasPrefix(column.name, prefix)
    }
    for isContains in [true, false] where take(symbol: isContains ? "@>" : "&&") {
      try expect(symbol: "{")
      let values = try list(of: column, isContains ? "@>" : "&&", "}")
      return isContains ? .contains(column.name, values) : .overlaps(column.name, values)
    }
    for comparison in FilterComparison.allCases where take(symbol: comparison.symbol) {
      try located(position) { () throws(IndexError) in
        try FilterValidator.checkComparable(column, comparison.symbol, isOrder: comparison.isOrder)
      }
      return .comparison(column.name, comparison, try value(of: column, comparison.symbol))
    }
    throw expected("=, <>, <, <=, >, >=, IN, BETWEEN, IS, PREFIX, @> or &&")
  }

  /// Values up to a closing bracket, which may come at once.
  private mutating func list(
    of column: AttributeColumn, _ symbol: String, _ close: String
  ) throws(IndexError) -> [AttributeValue] {
    var values: [AttributeValue] = []
    if take(symbol: close) { return values }
    repeat { values.append(try value(of: column, symbol)) } while take(symbol: ",")
    try expect(symbol: close)
    return values
  }

  private mutating func value(of column: AttributeColumn, _ symbol: String) throws(IndexError) -> AttributeValue {
    let start = token
    let value: AttributeValue
    switch start.kind {
    case .word("null"): value = .null
    case .word("true"): value = .bool(true)
    case .word("false"): value = .bool(false)
    case .text(let text): value = .keyword(text)
    case .integer(let digits):
      if column.type.element == .float64 {
        value = .float64(try float(digits, at: start.position))
      } else if let number = Int64(digits) {
        value = .int64(number)
      } else {
        throw FilterLexer.error("the number does not fit into 64 bits", at: start.position)
      }
    case .number(let digits): value = .float64(try float(digits, at: start.position))
    default: throw expected("a value")
    }
    advance()
    return try located(start.position) { () throws(IndexError) in
      try FilterValidator.coerced(value, column, symbol)
    }
  }

  private func float(_ digits: String, at position: Int) throws(IndexError) -> Double {
    guard let number = Double(digits), number.isFinite else {
      throw FilterLexer.error("the number is too large for a float64", at: position)
    }
    return number
  }

  private func located<R>(_ position: Int, _ body: () throws(IndexError) -> R) throws(IndexError) -> R {
    do throws(IndexError) {
      return try body()
    } catch {
      throw IndexError(error.code, "at character \(position) of the filter: \(error.message)")
    }
  }
}
