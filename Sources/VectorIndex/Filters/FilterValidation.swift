// Whether a filter makes sense of a schema: before anything is compiled or searched.
//
// May use: Filter, AttributeSchema, TimestampText.

extension Filter {
  /// The filter with every value in the type of its column: a whole number becomes a `float64` where the column is one, text a
  /// timestamp, a UUID or a number that is not finite.
  ///
  /// - Throws: `unknownAttribute`, `filterTypeMismatch`, `orderRefused`, `invalidFilter`; the message names column and operator
  ///   and says what is allowed.
  public func validated(against schema: AttributeSchema) throws(IndexError) -> Filter {
    var validator = FilterValidator(schema: schema)
    return try validator.validated(self, depth: 1)
  }
}

struct FilterValidator {
  let schema: AttributeSchema
  private var nodes = 0
  private var listValues = 0

  init(schema: AttributeSchema) { self.schema = schema }

  mutating func validated(_ filter: Filter, depth: Int) throws(IndexError) -> Filter {
    guard depth <= Filter.depthMax else {
      throw IndexError(
        .invalidFilter, "the filter is more than \(Filter.depthMax) levels deep; write it flatter (a AND b AND c)")
    }
    nodes += 1
    guard nodes <= Filter.nodesMax else {
      throw IndexError(
        .invalidFilter, "the filter has more than \(Filter.nodesMax) conditions; use IN for many values of one column")
    }
    switch filter {
    case .always: return filter
    case .comparison(let name, let comparison, let value):
      let column = try column(name)
      try Self.checkComparable(column, comparison.symbol, isOrder: comparison.isOrder)
      return .comparison(name, comparison, try Self.coerced(value, column, comparison.symbol))
    case .between(let name, let low, let high):
      let column = try column(name)
      try Self.checkComparable(column, "BETWEEN", isOrder: true)
      return .between(name, try Self.coerced(low, column, "BETWEEN"), try Self.coerced(high, column, "BETWEEN"))
    case .isIn(let name, let values):
      let column = try column(name)
      try Self.checkComparable(column, "IN", isOrder: false)
      guard !values.isEmpty else {
        throw IndexError(
          .invalidFilter, "the list of \"\(name)\" IN () is empty; use FALSE for a condition that no row meets")
      }
      return .isIn(name, try list(values, column, "IN"))
    case .isNull(let name):
      _ = try column(name)
      return filter
    case .contains(let name, let values):
      let values = try list(values, try arrayColumn(name, "@>"), "@>")
      try Self.checkContains(values, name)
      return .contains(name, values)
    case .overlaps(let name, let values):
      return .overlaps(name, try list(values, try arrayColumn(name, "&&"), "&&"))
    case .anyEqual(let name, let value):
      return .anyEqual(name, try Self.coerced(value, try arrayColumn(name, "= ANY"), "= ANY"))
    case .hasPrefix(let name, let prefix):
      let column = try column(name)
      guard column.type == .keyword else {
        throw IndexError(
          .filterTypeMismatch,
          "\"\(name)\" is \(column.type.name), and PREFIX is for text (keyword) alone; use =, <, > or BETWEEN")
      }
      try Self.checkText(prefix, column, "PREFIX")
      return filter
    case .and(let parts): return .and(try self.parts(parts, "AND", depth))
    case .or(let parts): return .or(try self.parts(parts, "OR", depth))
    case .not(let part): return .not(try validated(part, depth: depth + 1))
    }
  }

  private mutating func parts(_ parts: [Filter], _ name: String, _ depth: Int) throws(IndexError) -> [Filter] {
    guard !parts.isEmpty else {
      throw IndexError(.invalidFilter, "an \(name) of nothing; give it conditions, or use TRUE or FALSE")
    }
    var result: [Filter] = []
    for part in parts { result.append(try validated(part, depth: depth + 1)) }
    return result
  }

  func column(_ name: String) throws(IndexError) -> AttributeColumn {
    if let index = schema.index(of: name) { return schema.columns[index] }
    let known = schema.columns.map { "\"\($0.name)\"" }.joined(separator: ", ")
    throw IndexError(
      .unknownAttribute,
      "there is no attribute \"\(name.prefix(AttributeSchema.nameBytesMax))\"; "
        + (known.isEmpty ? "this index has none" : "this index has \(known)"))
  }

  private func arrayColumn(_ name: String, _ symbol: String) throws(IndexError) -> AttributeColumn {
    let column = try column(name)
    guard column.type.isArray else {
      throw IndexError(
        .filterTypeMismatch, "\"\(name)\" is \(column.type.name) and no array, and \(symbol) is for arrays; use = or IN"
      )
    }
    return column
  }

  private mutating func list(
    _ values: [AttributeValue], _ column: AttributeColumn, _ symbol: String
  ) throws(IndexError) -> [AttributeValue] {
    listValues += values.count
    guard listValues <= Filter.listValuesMax else {
      throw IndexError(
        .invalidFilter, "the filter's lists have more than \(Filter.listValuesMax) values together; ask in parts")
    }
    var result: [AttributeValue] = []
    result.reserveCapacity(values.count)
    for value in values { result.append(try Self.coerced(value, column, symbol)) }
    return result
  }

  /// Each value is looked for among all elements, so there may not be many.
  private static func checkContains(_ values: [AttributeValue], _ name: String) throws(IndexError) {
    let count = values.distinct.count
    guard count <= Filter.containsValuesMax else {
      throw IndexError(
        .invalidFilter,
        "the list of \"\(name)\" @> has \(count) different values, and at most \(Filter.containsValuesMax) may be asked for at "
          + "once; join several @> by AND")
    }
  }

  /// Whether single values of a column can be compared so.
  static func checkComparable(_ column: AttributeColumn, _ symbol: String, isOrder: Bool) throws(IndexError) {
    guard !column.type.isArray else {
      throw IndexError(
        .filterTypeMismatch,
        "\"\(column.name)\" is \(column.type.name), and \(symbol) is not for arrays; use @>, && or value = ANY (column)"
      )
    }
    guard !isOrder || column.type != .keyword || column.ordersBytewise else {
      throw IndexError(
        .orderRefused,
        "\"\(column.name)\" is text whose collation is not C, so \(symbol) would not order it as Postgres does; use =, <>, IN or "
          + "PREFIX, or give the column COLLATE \"C\"")
    }
  }

  /// A value in the type of a column, or of its elements.
  static func coerced(
    _ value: AttributeValue, _ column: AttributeColumn, _ symbol: String
  ) throws(IndexError) -> AttributeValue {
    let type = column.type.element
    switch (type, value) {
    case (_, .null), (.bool, .bool), (.int64, .int64), (.float64, .float64), (.uuid, .uuid): return value
    case (.keyword, .keyword(let text)):
      try checkText(text, column, symbol)
      return value
    case (.timestamp, .timestamp(let microseconds)):
      if TimestampText.isValid(microseconds) { return value }
    case (.float64, .int64(let number)): return .float64(Double(number))
    case (.float64, .keyword(let text)):
      switch text.lowercased() {
      case "nan": return .float64(.nan)
      case "infinity": return .float64(.infinity)
      case "-infinity": return .float64(-.infinity)
      default: break
      }
    case (.timestamp, .keyword(let text)): if let time = TimestampText.parse(text) { return .timestamp(time) }
    case (.uuid, .keyword(let text)): if let uuid = AttributeValue.uuid(text) { return uuid }
    default: break
    }
    throw IndexError(
      .filterTypeMismatch,
      "\"\(column.name)\" is \(column.type.name), and \(symbol) takes \(type.valueName), not \(described(value))")
  }

  private static func described(_ value: AttributeValue) -> String {
    switch value {
    case .keyword(let text): "the text '\(text.prefix(40))\(text.count > 40 ? "…" : "")'"
    case .int64(let number): "\(number)"
    case .float64(let number): "\(number)"
    case .bool(let value): "\(value)"
    default: value.kindName
    }
  }

  private static func checkText(_ text: String, _ column: AttributeColumn, _ symbol: String) throws(IndexError) {
    guard text.utf8.count <= AttributeValue.keywordBytesMax, !text.utf8.contains(0) else {
      throw IndexError(
        .invalidFilter,
        "\(symbol) of \"\(column.name)\" takes text of at most \(AttributeValue.keywordBytesMax) bytes, none of them zero"
      )
    }
  }
}
