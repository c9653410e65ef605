// From a valid filter to a program, and to a plan of where its rows might be.
//
// May use: FilterProgram's parts.

struct FilterCompiler {
  private let store: AttributeStore
  private(set) var instructions: [FilterProgram.Instruction] = []
  private(set) var predicates: [FilterPredicate] = []
  private(set) var conditions: [WordCondition] = []
  /// Which word condition a condition on text became.
  private(set) var wordConditionOf: [Filter: Int] = [:]

  init(store: AttributeStore) { self.store = store }

  mutating func compile(_ filter: Filter) {
    switch filter {
    case .always(let value): instructions.append(.constant(Truth(value)))
    case .not(let part):
      compile(part)
      instructions.append(.not)
    case .and(let parts): compile(parts, isAnd: true)
    case .or(let parts): compile(parts, isAnd: false)
    case .isNull(let name): add(FilterPredicate(.isNull, column(name)))
    case .comparison(let name, let comparison, let value):
      compile(filter, column(name), comparison, value)
    case .between(let name, let low, let high):
      if low == .null || high == .null {
        compile(
          .and([.comparison(name, .greaterOrEqual, low), .comparison(name, .lessOrEqual, high)]))
      } else {
        compile(filter, column(name), from: low, to: high)
      }
    case .isIn(let name, let values): compileSet(filter, column(name), values)
    case .hasPrefix(let name, let prefix):
      addWords(filter, .wordSet, column(name), literals: [], .prefix(Array(prefix.utf8)))
    case .contains(let name, let values): compileArray(filter, .arrayAll, column(name), values)
    case .overlaps(let name, let values): compileArray(filter, .arrayAny, column(name), values)
    case .anyEqual(let name, let value): compileArray(filter, .arrayEqual, column(name), [value])
    }
  }

  private func column(_ name: String) -> AttributeCells {
    guard let index = store.schema.index(of: name) else { preconditionFailure("the filter was validated") }
    return store.columns[index]
  }

  /// The cheap ones first: where they decide, the others are not looked at.
  private mutating func compile(_ parts: [Filter], isAnd: Bool) {
    let ordered = parts.enumerated().sorted { ($0.element.cost, $0.offset) < ($1.element.cost, $1.offset) }
    var skips: [Int] = []
    for (i, part) in ordered.enumerated() {
      compile(part.element)
      if i > 0 { instructions.append(isAnd ? .and : .or) }
      if i < ordered.count - 1 {
        skips.append(instructions.count)
        instructions.append(.constant(.unknown))
      }
    }
    let end = instructions.count
    for skip in skips { instructions[skip] = isAnd ? .skipIfFalse(to: end) : .skipIfTrue(to: end) }
  }

  private mutating func add(_ predicate: FilterPredicate) {
    instructions.append(.predicate(predicates.count))
    predicates.append(predicate)
  }

  private mutating func addWords(
    _ filter: Filter, _ kind: FilterPredicate.Kind, _ column: AttributeCells, literals: [[UInt8]],
    _ test: WordCondition.Test, _ change: (inout FilterPredicate) -> Void = { _ in }
  ) {
    guard let dictionary = column.dictionary else { preconditionFailure("a text column has a dictionary") }
    var predicate = FilterPredicate(kind, column)
    predicate.words = conditions.count
    change(&predicate)
    wordConditionOf[filter] = conditions.count
    conditions.append(WordCondition(dictionary: dictionary, literals: literals, test: test))
    add(predicate)
  }

  private mutating func compile(
    _ filter: Filter, _ column: AttributeCells, _ comparison: FilterComparison, _ value: AttributeValue
  ) {
    switch value {
    case .null: instructions.append(.constant(.unknown))
    case .bool(let bool):
      var predicate = FilterPredicate(.bool, column)
      for candidate in [false, true] where comparison.holds(candidate ? 1 : 0, bool ? 1 : 0) {
        predicate.low |= candidate ? 2 : 1
      }
      add(predicate)
    case .keyword(let text):
      let bytes = Array(text.utf8)
      switch comparison {
      case .equal, .notEqual:
        addWords(filter, .word, column, literals: [bytes], .literals) { $0.isNegated = comparison == .notEqual }
      case .less, .lessOrEqual:
        addWords(
          filter, .wordSet, column, literals: [],
          .range(low: nil, lowIncluded: true, high: bytes, highIncluded: comparison == .lessOrEqual))
      case .greater, .greaterOrEqual:
        addWords(
          filter, .wordSet, column, literals: [],
          .range(low: bytes, lowIncluded: comparison == .greaterOrEqual, high: nil, highIncluded: true))
      }
    case .uuid(let high, let low):
      let value = UInt128(high: high, low: low)
      var predicate = FilterPredicate(.wideRange, column)
      switch comparison {
      case .equal, .notEqual: predicate.limit(value, value)
      case .less: if value == 0 { predicate.isNever = true } else { predicate.limit(0, value - 1) }
      case .lessOrEqual: predicate.limit(0, value)
      case .greater: if value == .max { predicate.isNever = true } else { predicate.limit(value + 1, .max) }
      case .greaterOrEqual: predicate.limit(value, .max)
      }
      predicate.isNegated = comparison == .notEqual
      add(predicate)
    default:
      guard let value = value.orderedKey else { preconditionFailure("the filter was validated") }
      var predicate = FilterPredicate(.range, column)
      switch comparison {
      case .equal, .notEqual: predicate.limit(value, value)
      case .less: if value == .min { predicate.isNever = true } else { predicate.limit(.min, value - 1) }
      case .lessOrEqual: predicate.limit(.min, value)
      case .greater: if value == .max { predicate.isNever = true } else { predicate.limit(value + 1, .max) }
      case .greaterOrEqual: predicate.limit(value, .max)
      }
      predicate.isNegated = comparison == .notEqual
      add(predicate)
    }
  }

  /// Between two values that are not NULL.
  private mutating func compile(
    _ filter: Filter, _ column: AttributeCells, from low: AttributeValue, to high: AttributeValue
  ) {
    switch (low, high) {
    case (.keyword(let low), .keyword(let high)):
      addWords(
        filter, .wordSet, column, literals: [],
        .range(low: Array(low.utf8), lowIncluded: true, high: Array(high.utf8), highIncluded: true))
    case (.uuid(let high, let low), .uuid(let otherHigh, let otherLow)):
      var predicate = FilterPredicate(.wideRange, column)
      predicate.limit(UInt128(high: high, low: low), UInt128(high: otherHigh, low: otherLow))
      add(predicate)
    case (.bool(let low), .bool(let high)):
      var predicate = FilterPredicate(.bool, column)
      for candidate in [false, true] where (candidate || !low) && (!candidate || high) {
        predicate.low |= candidate ? 2 : 1
      }
      add(predicate)
    default:
      guard let low = low.orderedKey, let high = high.orderedKey else {
        preconditionFailure("the filter was validated")
      }
      var predicate = FilterPredicate(.range, column)
      predicate.limit(low, high)
      add(predicate)
    }
  }

  private mutating func compileSet(_ filter: Filter, _ column: AttributeCells, _ values: [AttributeValue]) {
    let present = values.filter { $0 != .null }
    let hasNull = present.count < values.count
    switch column.column.type {
    case .keyword:
      addWords(filter, .wordSet, column, literals: present.map(\.keywordBytes), .literals) {
        $0.hasNullInList = hasNull
      }
    case .uuid:
      var predicate = FilterPredicate(.wideSet, column)
      predicate.wideSet = .make(present.compactMap(\.wideKey))
      predicate.hasNullInList = hasNull
      add(predicate)
    case .bool:
      var predicate = FilterPredicate(.bool, column)
      for value in present { predicate.low |= value == .bool(true) ? 2 : 1 }
      predicate.hasNullInList = hasNull
      add(predicate)
    default:
      var predicate = FilterPredicate(.set, column)
      predicate.set = .make(present.compactMap(\.orderedKey))
      predicate.hasNullInList = hasNull
      add(predicate)
    }
  }

  private mutating func compileArray(
    _ filter: Filter, _ kind: FilterPredicate.Kind, _ column: AttributeCells, _ values: [AttributeValue]
  ) {
    let distinct = values.distinct
    let present = distinct.filter { $0 != .null }
    let isNever = kind != .arrayAny && present.count < distinct.count
    switch column.column.type.element {
    case .keyword:
      addWords(filter, kind, column, literals: present.map(\.keywordBytes), .literals) { $0.isNever = isNever }
    case .uuid:
      var predicate = FilterPredicate(kind, column)
      predicate.wideSet = .make(present.compactMap(\.wideKey))
      predicate.isNever = isNever
      add(predicate)
    default:
      var predicate = FilterPredicate(kind, column)
      predicate.set = .make(present.compactMap(\.orderedKey))
      predicate.isNever = isNever
      add(predicate)
    }
  }
}

extension FilterPredicate {
  fileprivate mutating func limit(_ low: Int64, _ high: Int64) {
    isNever = low > high
    self.low = low
    span = UInt64(bitPattern: high &- low)
  }

  fileprivate mutating func limit(_ low: UInt128, _ high: UInt128) {
    isNever = low > high
    wideLow = low
    wideSpan = high &- low
  }
}

extension FilterComparison {
  func holds<T: Comparable>(_ a: T, _ b: T) -> Bool {
    switch self {
    case .equal: a == b
    case .notEqual: a != b
    case .less: a < b
    case .lessOrEqual: a <= b
    case .greater: a > b
    case .greaterOrEqual: a >= b
    }
  }
}

extension AttributeValue {
  /// A number, a time or a float in the order of integers.
  var orderedKey: Int64? {
    switch self {
    case .int64(let value), .timestamp(let value): value
    case .float64(let value): value.orderedBits
    default: nil
    }
  }

  var wideKey: UInt128? { if case .uuid(let high, let low) = self { UInt128(high: high, low: low) } else { nil } }

  fileprivate var keywordBytes: [UInt8] { if case .keyword(let text) = self { Array(text.utf8) } else { [] } }
}

extension Filter {
  /// About how long a block of rows takes, in units of a loop over integers.
  fileprivate var cost: Int {
    switch self {
    case .always: 0
    case .isNull, .comparison, .between: 2
    case .hasPrefix: 4
    case .isIn: 8
    case .contains, .overlaps, .anyEqual: 40
    case .and(let parts), .or(let parts): parts.reduce(1) { $0 + $1.cost }
    case .not(let part): part.cost
    }
  }
}
