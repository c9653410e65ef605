// Which rows a search may find: a condition on their attributes, as SQL would put it.
//
// May use: AttributeValue.

/// A condition on a row's attributes. A row matches when it is TRUE: not when it is FALSE, and not when it is NULL.
///
/// What each case means is what Postgres means by it, three-valued logic included; docs/FILTERS.md says it in full.
public indirect enum Filter: Hashable, Sendable {
  /// TRUE or FALSE.
  case always(Bool)
  case comparison(String, FilterComparison, AttributeValue)
  /// `column IN (…)`.
  case isIn(String, [AttributeValue])
  /// `column BETWEEN low AND high`, both included.
  case between(String, AttributeValue, AttributeValue)
  case isNull(String)
  /// `column @> {…}`: the array has all of these elements.
  case contains(String, [AttributeValue])
  /// `column && {…}`: the array has one of these elements.
  case overlaps(String, [AttributeValue])
  /// `value = ANY (column)`: the array has this element.
  case anyEqual(String, AttributeValue)
  /// The text begins with this.
  case hasPrefix(String, String)
  case and([Filter])
  case or([Filter])
  case not(Filter)

  /// How deep conditions may lie in each other.
  public static let depthMax = 16
  /// How many conditions, ANDs, ORs and NOTs there may be.
  public static let nodesMax = 256
  /// How many values all lists may have together.
  public static let listValuesMax = 10_000
  /// How many different values `@>` may ask for: each is looked for among all elements of an array.
  public static let containsValuesMax = 64
  /// The longest text of a filter.
  public static let textBytesMax = 64 << 10
}

public enum FilterComparison: UInt8, Sendable, CaseIterable {
  case equal = 1
  case notEqual = 2
  case less = 3
  case lessOrEqual = 4
  case greater = 5
  case greaterOrEqual = 6

  public var symbol: String {
    switch self {
    case .equal: "="
    case .notEqual: "<>"
    case .less: "<"
    case .lessOrEqual: "<="
    case .greater: ">"
    case .greaterOrEqual: ">="
    }
  }

  var isOrder: Bool { self != .equal && self != .notEqual }
}

// Equal means equal bytes, in names as in values.
extension Filter {
  public static func == (a: Filter, b: Filter) -> Bool {
    func same(_ a: String, _ b: String) -> Bool { a.utf8.elementsEqual(b.utf8) }
    switch (a, b) {
    case (.always(let a), .always(let b)): return a == b
    case (.comparison(let a, let op, let x), .comparison(let b, let otherOp, let y)):
      return same(a, b) && op == otherOp && x == y
    case (.isIn(let a, let x), .isIn(let b, let y)), (.contains(let a, let x), .contains(let b, let y)),
      (.overlaps(let a, let x), .overlaps(let b, let y)):
      return same(a, b) && x == y
    case (.between(let a, let low, let high), .between(let b, let otherLow, let otherHigh)):
      return same(a, b) && low == otherLow && high == otherHigh
    case (.isNull(let a), .isNull(let b)): return same(a, b)
    case (.anyEqual(let a, let x), .anyEqual(let b, let y)): return same(a, b) && x == y
    case (.hasPrefix(let a, let x), .hasPrefix(let b, let y)): return same(a, b) && same(x, y)
    case (.and(let a), .and(let b)), (.or(let a), .or(let b)): return a == b
    case (.not(let a), .not(let b)): return a == b
    default: return false
    }
  }

  public func hash(into hasher: inout Hasher) {
    func add(_ text: String) { for byte in text.utf8 { hasher.combine(byte) } }
    switch self {
    case .always(let value): hasher.combine(value)
    case .comparison(let column, let op, let value):
      add(column)
      hasher.combine(op)
      hasher.combine(value)
    case .isIn(let column, let values), .contains(let column, let values), .overlaps(let column, let values):
      add(column)
      hasher.combine(values)
    case .between(let column, let low, let high):
      add(column)
      hasher.combine(low)
      hasher.combine(high)
    case .isNull(let column): add(column)
    case .anyEqual(let column, let value):
      add(column)
      hasher.combine(value)
    case .hasPrefix(let column, let prefix):
      add(column)
      add(prefix)
    case .and(let parts), .or(let parts): hasher.combine(parts)
    case .not(let part): hasher.combine(part)
    }
  }
}

extension [AttributeValue] {
  /// Each value once, in the order in which they first came.
  var distinct: [AttributeValue] {
    var seen: Set<AttributeValue> = []
    return filter { seen.insert($0).inserted }
  }
}
