// What a collection with a tenant column asks of whoever searches it.
//
// May use: the catalog, VectorWire.

import VectorIndex
import VectorWire

/// The rule of a collection whose rows have tenants: nothing of a row is told to who does not name its tenant.
struct TenantRule {
  private let collection: String
  private let column: AttributeColumn

  /// - Returns: nil for a collection without a tenant column.
  init?(_ collection: Collection) {
    let schema = collection.index.configuration.attributes
    guard let tenant = schema.tenant else { return nil }
    self.collection = String(collection.name.prefix(100))
    column = schema.columns[tenant]
  }

  /// What is said to a search whose filter keeps to no tenant.
  /// - place: which query's, with a colon; empty where all have the same.
  func refusal(_ place: String) -> WireError {
    WireError(
      .tenantRequired,
      place
        + "collection \"\(collection)\" keeps the tenants of \"\(column.name)\" apart: a search needs a filter such as "
        + "\(example), alone or as a part of an AND, with one value: OR, NOT and IN will not do")
  }

  /// What is said to a fetch, which has no filter.
  var fetchRefusal: WireError {
    WireError(
      .tenantRequired,
      "collection \"\(collection)\" keeps the tenants of \"\(column.name)\" apart, and a fetch names none: read the rows in "
        + "Postgres, or search by id with the filter \(example)")
  }

  private var example: String {
    let value: AttributeValue =
      switch column.type {
      case .uuid: .uuid(high: 0x1234_5678_90AB_4DEF, low: 0x8123_4567_89AB_CDEF)
      case .keyword: .keyword("acme")
      default: .int64(7)
      }
    return Filter.comparison(column.name, .equal, value).description
  }
}
