// The payload that one request asks for, in terms of the index of its collection.
//
// May use: VectorIndex, VectorWire.

import VectorIndex
import VectorWire

/// Columns of payload, found before anything is searched.
struct RequestPayload {
  /// In the order of the reply.
  let names: [String]
  /// The place of each among an index's columns.
  private let places: [Int]

  /// - Returns: nil where nobody asks for payload.
  /// - Throws: `unknownAttribute`, naming the column and those that there are; `invalidOption` for a column that is named twice.
  init?(of modifiers: SearchModifiers, for index: HNSWIndex) throws(WireError) {
    let known = index.configuration.payload
    switch modifiers.payload {
    case nil: return nil
    case .all:
      names = known
      places = Array(known.indices)
    case .columns(let names):
      var places: [Int] = []
      for name in names {
        // As columns are told apart: by their bytes.
        guard let place = known.firstIndex(where: { $0.utf8.elementsEqual(name.utf8) }) else {
          throw WireError(
            .unknownAttribute,
            "there is no payload \"\(name.prefix(AttributeSchema.nameBytesMax))\"; this collection has "
              + (known.isEmpty ? "none" : known.joined(separator: ", ")))
        }
        guard !places.contains(place) else {
          throw WireError(.invalidOption, "the payload \"\(name)\" is asked for twice: name it once")
        }
        places.append(place)
      }
      self.names = names
      self.places = places
    }
  }

  /// A result's values, while it is pinned.
  func values(of hits: RetrievalHits, at index: Int) -> [String?] {
    // Where no column is asked for, none is read.
    if places.isEmpty { return [] }
    let row = hits.payload(at: index)
    return places.map { row[$0] }
  }
}
