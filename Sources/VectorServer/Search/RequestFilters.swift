// The filters of one request, made ready to run on the index of its collection, and held against its tenants.
//
// May use: VectorIndex, VectorWire.

import VectorIndex
import VectorWire

/// Compiles each filter when its query's turn has come, and not again for queries that follow with the same.
///
/// Where the collection has a tenant column there is no program, and so no search, that does not keep to one tenant.
struct RequestFilters {
  private let index: HNSWIndex
  private let modifiers: SearchModifiers
  private let tenants: TenantRule?
  private var last: (filter: WireFilter, program: FilterProgram)?

  /// - Throws: `tenantRequired`, and where there are tenants, what is wrong with any of the filters: before anything is searched.
  init(of modifiers: SearchModifiers, for collection: Collection, queryCount: Int) throws(WireError) {
    index = collection.index
    self.modifiers = modifiers
    tenants = TenantRule(collection)
    guard tenants != nil else { return }
    if case .each = modifiers.filters {
      for query in 0..<queryCount { _ = try program(ofQuery: query) }
    } else {
      _ = try program(ofQuery: 0)
    }
  }

  /// The program of a query's filter; nil where it has none.
  /// - Throws: what is wrong with the filter, naming the query where each has its own.
  mutating func program(ofQuery query: Int) throws(WireError) -> FilterProgram? {
    // Messages speak of "the filter"; only where there are many is there more to say.
    var place = ""
    if case .each = modifiers.filters { place = "query \(query): " }
    guard let filter = modifiers.filter(of: query) else {
      if let tenants { throw tenants.refusal(place) }
      return nil
    }
    if let last, place.isEmpty || last.filter == filter { return last.program }
    let program: FilterProgram
    do throws(WireError) {
      program = try compile(filter)
    } catch {
      throw WireError(error.code, place + error.message)
    }
    if let tenants, program.tenant == nil { throw tenants.refusal(place) }
    last = (filter, program)
    return program
  }

  private func compile(_ filter: WireFilter) throws(WireError) -> FilterProgram {
    let form = try filter.form()
    do throws(IndexError) {
      switch form {
      case .tree(let filter): return try index.compile(filter)
      case .text(let text):
        return try index.compile(try Filter(parsing: text, schema: index.configuration.attributes))
      }
    } catch {
      throw WireError(error)
    }
  }
}
