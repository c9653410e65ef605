// Which tenant's rows a filter keeps to.
//
// May use: Filter, AttributeStore.

extension Filter {
  /// The one value of a column that every row has which the filter is TRUE of, as can be seen from its form: it is `column = value`, or
  /// an AND, of ANDs if need be, with that among its parts. nil where it is anything else, true of one value or not, and where it
  /// asks for NULL or for several values.
  public func pinnedValue(of column: String) -> AttributeValue? {
    var values: Set<AttributeValue> = []
    collectPins(of: column, into: &values)
    guard values.count == 1, let value = values.first, value != .null else { return nil }
    return value
  }

  private func collectPins(of column: String, into values: inout Set<AttributeValue>) {
    switch self {
    case .comparison(let name, .equal, let value) where name.utf8.elementsEqual(column.utf8): values.insert(value)
    case .and(let parts): for part in parts { part.collectPins(of: column, into: &values) }
    default: return
    }
  }
}

extension HNSWIndex {
  /// Whether a search with this program may be made from the row of a slot: any, unless the program keeps to a tenant, and then only
  /// that tenant's. The reader is pinned.
  func maySearchFrom(_ slot: UInt32, _ program: FilterProgram?) -> Bool {
    guard let tenant = program?.tenant, let attributes, let column = attributes.schema.tenant else { return true }
    return attributes.columns[column].value(attributes.row(of: slot)) == tenant
  }
}
