// A filter as text: in its own language, and in SQL.
//
// May use: Filter, TimestampText.

extension Filter: CustomStringConvertible {
  /// The text that ``init(parsing:schema:)`` makes the same filter of, where the filter is a valid one and its ANDs and ORs have
  /// two parts or more.
  public var description: String { FilterPrinter(isSQL: false).text(self) }

  /// The condition in Postgres's SQL, its values as literals with their types: for a WHERE clause over a table whose columns
  /// are called as the attributes.
  public var sql: String { FilterPrinter(isSQL: true).text(self) }
}

private struct FilterPrinter {
  let isSQL: Bool

  func text(_ filter: Filter) -> String {
    switch filter {
    case .always(let value): return value ? "true" : "false"
    case .comparison(let column, let comparison, let value):
      let order = isSQL && comparison.isOrder ? collation(of: [value]) : ""
      return "\(name(column))\(order) \(comparison.symbol) \(literal(value))"
    case .isIn(let column, let values): return "\(name(column)) in (\(list(values)))"
    case .between(let column, let low, let high):
      let order = isSQL ? collation(of: [low, high]) : ""
      return "\(name(column))\(order) between \(literal(low)) and \(literal(high))"
    case .isNull(let column): return "\(name(column)) is null"
    case .contains(let column, let values): return "\(arrayName(column, values)) @> \(array(values))"
    case .overlaps(let column, let values): return "\(arrayName(column, values)) && \(array(values))"
    case .anyEqual(let column, let value): return "\(literal(value)) = any (\(arrayName(column, [value])))"
    case .hasPrefix(let column, let prefix):
      return isSQL
        ? "starts_with(\(name(column)), \(literal(.keyword(prefix))))" : "\(name(column)) prefix \(quoted(prefix))"
    case .and(let parts): return parts.map(bracketed).joined(separator: " and ")
    case .or(let parts): return parts.map(bracketed).joined(separator: " or ")
    case .not(.isNull(let column)): return "\(name(column)) is not null"
    case .not(let part): return "not \(bracketed(part))"
    }
  }

  private func bracketed(_ filter: Filter) -> String {
    switch filter {
    case .and, .or, .not, .between: "(\(text(filter)))"
    default: text(filter)
    }
  }

  private func name(_ column: String) -> String {
    let isPlain =
      !column.utf8.isEmpty && !FilterLexer.reserved.contains(column)
      && column.utf8.enumerated().allSatisfy { i, byte in
        (0x61...0x7A).contains(byte) || byte == UInt8(ascii: "_") || (i > 0 && (0x30...0x39).contains(byte))
      }
    return isPlain && !isSQL ? column : "\"" + doubled(column, "\"") + "\""
  }

  /// In SQL an array operator wants one type on both sides, and a column of integer[] or varchar[] is no bigint[] or text[]. Where it is
  /// one already, the cast is nothing, and indexes serve.
  private func arrayName(_ column: String, _ values: [AttributeValue]) -> String {
    guard isSQL, let type = values.lazy.compactMap(sqlType).first else { return name(column) }
    return "\(name(column))::\(type)[]"
  }

  private func list(_ values: [AttributeValue]) -> String { values.map(literal).joined(separator: ", ") }

  private func array(_ values: [AttributeValue]) -> String {
    guard isSQL else { return "{\(list(values))}" }
    // An array of NULLs, or of nothing, has no type of its own and takes the column's.
    guard let type = values.lazy.compactMap(sqlType).first else {
      return "'{\(values.map { _ in "NULL" }.joined(separator: ","))}'"
    }
    return "array[\(list(values))]::\(type)[]"
  }

  private func collation(of values: [AttributeValue]) -> String {
    values.contains { if case .keyword = $0 { true } else { false } } ? " collate \"C\"" : ""
  }

  private func sqlType(_ value: AttributeValue) -> String? {
    switch value {
    case .bool: "bool"
    case .int64: "int8"
    case .float64: "float8"
    case .timestamp: "timestamptz"
    case .uuid: "uuid"
    case .keyword: "text"
    case .null, .array: nil
    }
  }

  private func literal(_ value: AttributeValue) -> String {
    guard isSQL else { return plain(value) }
    switch value {
    case .null, .array, .bool: return plain(value)
    case .int64(let number): return "'\(number)'::int8"
    case .float64(let number): return number.isFinite ? "'\(number)'::float8" : plain(value) + "::float8"
    case .timestamp, .uuid, .keyword: return plain(value) + "::" + (sqlType(value) ?? "text")
    }
  }

  private func plain(_ value: AttributeValue) -> String {
    switch value {
    case .null: return "null"
    case .bool(let value): return value ? "true" : "false"
    case .int64(let number): return String(number)
    case .float64(let number):
      if number.isNaN { return "'NaN'" }
      return number.isFinite ? "\(number)" : number > 0 ? "'Infinity'" : "'-Infinity'"
    case .timestamp(let microseconds): return "'\(TimestampText.text(microseconds))'"
    case .uuid(let high, let low): return "'\(RecordID.uuid(high: high, low: low))'"
    case .keyword(let text): return quoted(text)
    case .array(let values): return "{\(values.map(plain).joined(separator: ", "))}"
    }
  }

  /// In SQL a backslash makes an E string of it, which means the same whether `standard_conforming_strings` is on or off.
  private func quoted(_ text: String) -> String {
    let literal = "'" + doubled(text, "'") + "'"
    guard isSQL, text.unicodeScalars.contains("\\") else { return literal }
    return " E" + doubled(literal, "\\")
  }

  private func doubled(_ text: String, _ quote: Unicode.Scalar) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      result.append(scalar)
      if scalar == quote { result.append(quote) }
    }
    return String(result)
  }
}
