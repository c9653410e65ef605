// The slow twin: what a filter means, said once more in plain Swift over a row's values, condition by condition as SQL has it.

import VectorIndex

struct FilterInterpreter {
  let schema: AttributeSchema

  /// TRUE, FALSE or NULL (nil). The filter is validated.
  func evaluate(_ filter: Filter, _ row: [AttributeValue]) -> Bool? {
    switch filter {
    case .always(let value): return value
    case .comparison(let column, let comparison, let value):
      return compare(row[index(column)], comparison, value)
    case .isIn(let column, let values):
      return any(values.map { compare(row[index(column)], .equal, $0) })
    case .between(let column, let low, let high):
      let value = row[index(column)]
      return all([compare(value, .greaterOrEqual, low), compare(value, .lessOrEqual, high)])
    case .isNull(let column): return row[index(column)] == .null
    case .contains(let column, let values):
      guard case .array(let elements) = row[index(column)] else { return nil }
      return values.allSatisfy { $0 != .null && elements.contains($0) }
    case .overlaps(let column, let values):
      guard case .array(let elements) = row[index(column)] else { return nil }
      return values.contains { $0 != .null && elements.contains($0) }
    case .anyEqual(let column, let value):
      guard case .array(let elements) = row[index(column)] else { return nil }
      return any(elements.map { compare($0, .equal, value) })
    case .hasPrefix(let column, let prefix):
      guard case .keyword(let text) = row[index(column)] else { return nil }
      return Array(text.utf8).starts(with: Array(prefix.utf8))
    case .and(let parts): return all(parts.map { evaluate($0, row) })
    case .or(let parts): return any(parts.map { evaluate($0, row) })
    case .not(let part): return evaluate(part, row).map { !$0 }
    }
  }

  private func index(_ name: String) -> Int { schema.columns.firstIndex { $0.name == name } ?? -1 }

  private func any(_ truths: [Bool?]) -> Bool? {
    if truths.contains(true) { return true }
    return truths.contains(nil) ? nil : false
  }

  private func all(_ truths: [Bool?]) -> Bool? {
    if truths.contains(false) { return false }
    return truths.contains(nil) ? nil : true
  }

  private func compare(_ a: AttributeValue, _ comparison: FilterComparison, _ b: AttributeValue) -> Bool? {
    if case .null = a { return nil }
    if case .null = b { return nil }
    let order = order(a, b)
    switch comparison {
    case .equal: return order == 0
    case .notEqual: return order != 0
    case .less: return order < 0
    case .lessOrEqual: return order <= 0
    case .greater: return order > 0
    case .greaterOrEqual: return order >= 0
    }
  }

  private func order(_ a: AttributeValue, _ b: AttributeValue) -> Int {
    func order<T: Comparable>(_ a: T, _ b: T) -> Int { a < b ? -1 : a > b ? 1 : 0 }
    switch (a, b) {
    case (.bool(let a), .bool(let b)): return order(a ? 1 : 0, b ? 1 : 0)
    case (.int64(let a), .int64(let b)), (.timestamp(let a), .timestamp(let b)): return order(a, b)
    case (.float64(let a), .float64(let b)):
      if a.isNaN || b.isNaN { return order(a.isNaN ? 1 : 0, b.isNaN ? 1 : 0) }
      return order(a, b)
    case (.uuid(let high, let low), .uuid(let otherHigh, let otherLow)):
      return high != otherHigh ? order(high, otherHigh) : order(low, otherLow)
    case (.keyword(let a), .keyword(let b)):
      let (a, b) = (Array(a.utf8), Array(b.utf8))
      for (x, y) in zip(a, b) where x != y { return order(x, y) }
      return order(a.count, b.count)
    default: fatalError("values of one column are of one type")
    }
  }
}
