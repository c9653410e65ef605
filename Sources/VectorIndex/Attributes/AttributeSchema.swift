// Which attributes the rows of an index have.
//
// May use: AttributeValue.

/// The type of an attribute. The raw values are stable.
public enum AttributeType: UInt8, Sendable, CaseIterable {
  case bool = 1
  case int64 = 2
  case float64 = 3
  case timestamp = 4
  case uuid = 5
  case keyword = 6
  case int64Array = 7
  case uuidArray = 8
  case keywordArray = 9

  public var name: String {
    switch self {
    case .bool: "bool"
    case .int64: "int64"
    case .float64: "float64"
    case .timestamp: "timestamp"
    case .uuid: "uuid"
    case .keyword: "keyword"
    case .int64Array: "int64[]"
    case .uuidArray: "uuid[]"
    case .keywordArray: "keyword[]"
    }
  }

  public var isArray: Bool { element != self }

  /// The type of an array's elements; of anything else, itself.
  public var element: AttributeType {
    switch self {
    case .int64Array: .int64
    case .uuidArray: .uuid
    case .keywordArray: .keyword
    default: self
    }
  }

  /// Whether rows can be found by a value: not where values hardly ever come twice and are asked for by range.
  public var canBeIndexed: Bool { self != .float64 && self != .timestamp }

  /// What its values look like, for a sentence.
  var valueName: String {
    switch self {
    case .bool: "true or false"
    case .int64: "a whole number of 64 bits"
    case .float64: "a number"
    case .timestamp: "a timestamp with its offset, such as '2024-01-31T12:00:00Z'"
    case .uuid: "a UUID"
    case .keyword: "text"
    case .int64Array, .uuidArray, .keywordArray: "an array of \(element.name)"
    }
  }
}

/// A column of attributes.
public struct AttributeColumn: Hashable, Sendable {
  /// 1 to 63 bytes, as Postgres has them. Compared by its bytes.
  public var name: String
  public var type: AttributeType
  /// Text alone: whether the column's collation is C, so that its order is that of the bytes. Only then is there an order.
  public var ordersBytewise: Bool
  /// Whether rows are found by a value of it, without looking at all rows. Costs about 4 bytes a row and 30 a distinct value.
  public var isIndexed: Bool
  /// Whether its values are tenants: rows of different ones are to be kept apart by whoever lets others search
  /// (``FilterProgram/tenant``).
  public var isTenant: Bool

  public init(
    _ name: String, _ type: AttributeType, ordersBytewise: Bool = false, isIndexed: Bool? = nil, isTenant: Bool = false
  ) {
    self.name = name
    self.type = type
    self.ordersBytewise = ordersBytewise
    self.isIndexed = isIndexed ?? type.canBeIndexed
    self.isTenant = isTenant
  }
}

/// The columns of an index's attributes, in order.
public struct AttributeSchema: Hashable, Sendable {
  public let columns: [AttributeColumn]

  public static let columnsMax = 64
  public static let nameBytesMax = 63
  /// No attributes.
  public static let empty = AttributeSchema()

  private init() { columns = [] }

  /// - Throws: `invalidConfiguration`: more than 64 columns, a name that is empty, too long or there twice, an index that a type
  ///   does not have, a second tenant, or one that is not an int64, a uuid or a keyword that is found by value.
  public init(_ columns: [AttributeColumn]) throws(IndexError) {
    guard columns.count <= Self.columnsMax else {
      throw IndexError(
        .invalidConfiguration, "\(columns.count) attributes; an index has at most \(Self.columnsMax): leave some out")
    }
    for (i, column) in columns.enumerated() {
      let name = "the attribute \"\(column.name.prefix(Self.nameBytesMax))\""
      guard (1...Self.nameBytesMax).contains(column.name.utf8.count), !column.name.utf8.contains(0) else {
        throw IndexError(
          .invalidConfiguration, "\(name): a name has from 1 to \(Self.nameBytesMax) bytes, none of them zero")
      }
      guard !columns[..<i].contains(where: { $0.name.utf8.elementsEqual(column.name.utf8) }) else {
        throw IndexError(.invalidConfiguration, "\(name) is there twice; give one of them another name")
      }
      guard !column.isIndexed || column.type.canBeIndexed else {
        throw IndexError(
          .invalidConfiguration, "\(name) is \(column.type.name), which is not found by value; leave the index out")
      }
      guard !column.ordersBytewise || column.type == .keyword else {
        throw IndexError(.invalidConfiguration, "\(name) is \(column.type.name) and has no collation")
      }
      try Self.checkTenant(column, name, others: columns[..<i])
    }
    self.columns = columns
  }

  private static func checkTenant(
    _ column: AttributeColumn, _ name: String, others: ArraySlice<AttributeColumn>
  ) throws(IndexError) {
    guard column.isTenant else { return }
    guard [.int64, .uuid, .keyword].contains(column.type), column.isIndexed else {
      throw IndexError(
        .invalidConfiguration,
        "\(name) is \(column.type.name)\(column.isIndexed ? "" : " and not found by value"); a tenant is int64, uuid or keyword "
          + "and found by value")
    }
    guard !others.contains(where: \.isTenant) else {
      throw IndexError(.invalidConfiguration, "\(name) would be a second tenant; rows have one")
    }
  }

  /// The same columns, one of them the tenant.
  /// - Throws: `invalidConfiguration`: there is no such column, or it cannot be one.
  public func withTenant(_ name: String) throws(IndexError) -> AttributeSchema {
    guard let tenant = index(of: name) else {
      throw IndexError(
        .invalidConfiguration,
        "the tenant \"\(name.prefix(Self.nameBytesMax))\" is none of the attributes; "
          + (isEmpty ? "there are none: give it as one" : "they are " + columns.map(\.name).joined(separator: ", ")))
    }
    var marked = columns
    for i in marked.indices { marked[i].isTenant = i == tenant }
    return try AttributeSchema(marked)
  }

  /// The position of the tenant's column; nil = rows have no tenant.
  public var tenant: Int? { columns.firstIndex(where: \.isTenant) }

  public var isEmpty: Bool { columns.isEmpty }

  /// The position of a column.
  public func index(of name: String) -> Int? {
    columns.firstIndex { $0.name.utf8.elementsEqual(name.utf8) }
  }

  /// Checks a row's values.
  /// - Throws: `attributeMismatch`, naming the column.
  public func check(_ values: [AttributeValue]) throws(IndexError) {
    guard values.count == columns.count else {
      throw IndexError(
        .attributeMismatch,
        "the row has \(values.count) attributes; this index has \(columns.count)"
          + (columns.isEmpty ? "" : ": " + columns.map(\.name).joined(separator: ", ")))
    }
    for (column, value) in zip(columns, values) {
      if let wrong = column.fault(of: value) {
        throw IndexError(.attributeMismatch, "the attribute \"\(column.name)\" is \(column.type.name), and \(wrong)")
      }
    }
  }
}

extension AttributeColumn {
  /// What is wrong with a value of this column; nil when nothing is.
  func fault(of value: AttributeValue) -> String? {
    switch (type, value) {
    case (_, .null), (.bool, .bool), (.int64, .int64), (.float64, .float64), (.uuid, .uuid): return nil
    case (.timestamp, .timestamp(let microseconds)):
      return TimestampText.isValid(microseconds) ? nil : "the timestamp lies beyond the years that Postgres has"
    case (.keyword, .keyword(let text)): return Self.fault(of: text)
    case (.int64Array, .array(let elements)), (.uuidArray, .array(let elements)), (.keywordArray, .array(let elements)):
      guard elements.count <= AttributeValue.arrayCountMax else {
        return "the array has \(elements.count) elements; at most \(AttributeValue.arrayCountMax) are kept"
      }
      for element in elements {
        switch (type.element, element) {
        case (_, .null), (.int64, .int64), (.uuid, .uuid): continue
        case (.keyword, .keyword(let text)): if let wrong = Self.fault(of: text) { return wrong }
        default: return "an element of the array is \(element.kindName); give \(type.element.valueName)"
        }
      }
      return nil
    default: return "the value is \(value.kindName); give \(type.valueName), or NULL"
    }
  }

  private static func fault(of text: String) -> String? {
    text.utf8.count <= AttributeValue.keywordBytesMax
      ? nil : "the text has \(text.utf8.count) bytes; at most \(AttributeValue.keywordBytesMax) are kept"
  }
}
