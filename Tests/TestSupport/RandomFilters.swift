// Schemas, rows and filters from a seed: few distinct values, so that rows meet filters, and the odd ones among them.

public import VectorIndex

extension SeededRandom {
  /// Postgres's first timestamp and its last.
  private static let firstTimestamp: Int64 = -211_813_488_000_000_000
  private static let lastTimestamp: Int64 = 9_223_371_331_199_999_999

  public mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }

  public mutating func pick<T>(_ values: [T]) -> T { values[Int.random(in: 0..<values.count, using: &self)] }

  public mutating func schema() -> AttributeSchema {
    var columns: [AttributeColumn] = []
    for i in 0..<Int.random(in: 1...10, using: &self) {
      let type = i < 9 && chance(50) ? AttributeType.allCases[i % 9] : pick(AttributeType.allCases)
      let name = pick(["a", "Tenant", "in", "with space", "ção", "x\"y", "it's"]) + String(i)
      columns.append(
        AttributeColumn(
          name, type, ordersBytewise: type == .keyword && chance(60), isIndexed: type.canBeIndexed && chance(80)))
    }
    do {
      return try AttributeSchema(columns)
    } catch {
      fatalError("\(error)")
    }
  }

  /// A value that is no NULL.
  public mutating func value(_ type: AttributeType) -> AttributeValue {
    switch type {
    case .bool: return .bool(chance(50))
    case .int64:
      return .int64(chance(20) ? pick([.min, .max, 0, -1, .min + 1, .max - 1]) : .random(in: -3...12, using: &self))
    case .float64:
      return .float64(
        chance(30)
          ? pick([.nan, -.nan, .infinity, -.infinity, 0, -0.0, .leastNonzeroMagnitude, -.leastNonzeroMagnitude, 1e308])
          : Double(Int.random(in: -4...4, using: &self)) / 2)
    case .timestamp:
      return .timestamp(
        chance(30)
          ? pick([.min, .max, Self.firstTimestamp, Self.lastTimestamp, 0, -1])
          : .random(in: -5...5, using: &self) * 86_399_999_999)
    case .uuid:
      return .uuid(
        high: pick([0, 1, .max, 1 << 63]), low: chance(60) ? UInt64.random(in: 0..<4, using: &self) : .max)
    case .keyword:
      return .keyword(
        pick(["", "a", "ab", "abc", "b", "B", "ab'c", "é", "e\u{301}", "\u{10FFFF}", "a\nb", "z{,}\"", "pt"]))
    case .int64Array, .uuidArray, .keywordArray:
      return .array(
        (0..<Int.random(in: 0...(chance(5) ? 40 : 4), using: &self)).map { _ in
          chance(12) ? .null : value(type.element)
        })
    }
  }

  public mutating func row(_ schema: AttributeSchema) -> [AttributeValue] {
    schema.columns.map { chance(15) ? .null : value($0.type) }
  }

  public mutating func filter(_ schema: AttributeSchema, depth: Int = 4) -> Filter {
    if depth > 1, chance(55) {
      switch Int.random(in: 0..<3, using: &self) {
      case 0: return .and((0..<Int.random(in: 2...4, using: &self)).map { _ in filter(schema, depth: depth - 1) })
      case 1: return .or((0..<Int.random(in: 2...4, using: &self)).map { _ in filter(schema, depth: depth - 1) })
      default: return .not(filter(schema, depth: depth - 1))
      }
    }
    if chance(4) { return .always(chance(50)) }
    let column = pick(schema.columns)
    func literal(_ random: inout SeededRandom) -> AttributeValue {
      random.chance(8) ? .null : random.value(column.type.element)
    }
    if chance(10) { return .isNull(column.name) }
    let count = Int.random(in: 0...5, using: &self)
    if column.type.isArray {
      switch Int.random(in: 0..<3, using: &self) {
      case 0: return .contains(column.name, (0..<min(count, 2)).map { _ in literal(&self) })
      case 1: return .overlaps(column.name, (0..<count).map { _ in literal(&self) })
      default: return .anyEqual(column.name, literal(&self))
      }
    }
    if chance(25) { return .isIn(column.name, (0...count).map { _ in literal(&self) }) }
    if column.type == .keyword, chance(25) {
      return .hasPrefix(column.name, pick(["", "a", "ab", "é", "e", "zz", "b"]))
    }
    guard column.type != .keyword || column.ordersBytewise else {
      return .comparison(column.name, pick([.equal, .notEqual]), literal(&self))
    }
    if chance(20) { return .between(column.name, literal(&self), literal(&self)) }
    return .comparison(column.name, pick(FilterComparison.allCases), literal(&self))
  }
}
