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
    var place = "the filter"
    if case .each = modifiers.filters {
      place = "the filter of query \(query)"
      if let last, last.filter == filter { return last.program }
    } else if let last {
      return last.program
    }
    let form: WireFilter.Form
    do throws(WireError) { form = try filter.form() } catch {
      throw WireError(error.code, "\(place): \(error.message)")
    }
    let program: FilterProgram
    do throws(IndexError) { program = try compile(form) } catch { throw WireError(error, of: place) }
    last = (filter, program)
    return program
  }

  private func compile(_ form: WireFilter.Form) throws(IndexError) -> FilterProgram {
    switch form {
    case .tree(let filter): try index.compile(filter)
    case .text(let text): try index.compile(try Filter(parsing: text, schema: index.configuration.attributes))
    }
  }
}
