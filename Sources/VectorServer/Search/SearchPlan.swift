// What one search asks for, in terms of the index that it runs on.
//
// May use: RequestFilters, RequestPayload, VectorIndex, VectorWire.

import VectorIndex
import VectorWire

/// The same for each query of a request, whatever it searches with.
struct SearchPlan {
  let index: HNSWIndex
  let options: RetrievalOptions
  let modifiers: SearchModifiers
  let payload: RequestPayload?
  var filters: RequestFilters

  /// - Throws: what is wrong with the payload that is asked for, and what `RequestFilters` finds before anything is searched.
  init(
    _ terms: SearchTerms, includesSelf: Bool, _ collection: Collection, queryCount: Int
  ) throws(WireError) {
    index = collection.index
    options = RetrievalOptions(terms, includesSelf: includesSelf)
    modifiers = terms.modifiers
    filters = try RequestFilters(of: modifiers, for: collection, queryCount: queryCount)
    payload = try RequestPayload(of: modifiers, for: index)
  }
}
