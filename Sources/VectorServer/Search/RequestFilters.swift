// The filters of one request, made ready to run on the index of its collection.
//
// May use: VectorIndex, VectorWire.

import VectorIndex
import VectorWire

/// Compiles each filter when its query's turn has come, and not again for queries that follow with the same.
struct RequestFilters {
  private let index: HNSWIndex
  private let modifiers: SearchModifiers
  private var last: (filter: WireFilter, program: FilterProgram)?

  init(of modifiers: SearchModifiers, for index: HNSWIndex) {
    self.index = index
    self.modifiers = modifiers
  }

  /// The program of a query's filter; nil where it has none.
  /// - Throws: what is wrong with the filter, naming the query where each has its own.
  mutating func program(ofQuery query: Int) throws(WireError) -> FilterProgram? {
    guard let filter = modifiers.filter(of: query) else { return nil }
    // Messages speak of "the filter"; only where there are many is there more to say.
    var place = ""
    if case .each = modifiers.filters {
      if let last, last.filter == filter { return last.program }
      place = "query \(query): "
    } else if let last {
      return last.program
    }
    let program: FilterProgram
    do throws(WireError) {
      program = try compile(filter)
    } catch {
      throw WireError(error.code, place + error.message)
    }
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
