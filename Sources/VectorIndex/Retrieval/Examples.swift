// From rows that a result should be like, and others that it should not, to a query.
//
// That is Rocchio's idea (J. J. Rocchio, "Relevance feedback in information retrieval", in: The SMART Retrieval System, 1971) without a
// query to begin with. With p the mean of the one kind and n of the other:
//
//     cosine, inner product   p − n/2     of unit vectors under cosine: each example has the same say
//     L2                      2p − n      the same direction from n to p, with weights that add up to 1
//
// Under cosine and inner product p − n/2 and 2p − n order all rows alike (the latter is what Qdrant calls "average vector"), and the half
// keeps inner products near those with p. L2 has no such freedom: there the query is a place, and only weights that add up to 1 give the
// same place relative to the rows wherever the origin is.
//
// May use: VectorStore, SearchScratch.

struct Examples {
  let positives: [UInt32]
  let negatives: [UInt32]
  let store: VectorStore

  /// Under cosine, a mean that is shorter than this is what rounding left of examples that cancel each other out.
  private static let lengthMin = 1e-6

  /// Makes the scratch's queries. The reader is pinned.
  /// - Throws: `zeroVector`, `notFinite`.
  func prepareQuery(_ scratch: inout SearchScratch) throws(IndexError) {
    var sum = [Double](repeating: 0, count: store.width)
    let weights = store.metric == .l2 ? (2.0, -1.0) : (1.0, -0.5)
    if negatives.isEmpty {
      add(positives, weight: 1, to: &sum, scratch)
    } else {
      add(positives, weight: weights.0, to: &sum, scratch)
      add(negatives, weight: weights.1, to: &sum, scratch)
    }
    var scale = 1.0
    if store.metric == .cosine {
      let length = sum.reduce(0) { $0 + $1 * $1 }.squareRoot()
      guard length >= Self.lengthMin else {
        throw IndexError(
          .zeroVector,
          "the examples cancel each other out, and the cosine distance to zero is undefined; leave some out")
      }
      scale = 1 / length
    }
    for j in 0..<store.width {
      let component = Float(sum[j] * scale)
      guard component.isFinite else {
        throw IndexError(.notFinite, "the examples are too long for their difference to be a vector; leave some out")
      }
      scratch.vector[j] = component
    }
    scratch.prepareQueries(inverseLength: 1, store)
  }

  /// Adds the mean of rows, turned as they are kept.
  private func add(_ slots: [UInt32], weight: Double, to sum: inout [Double], _ scratch: borrowing SearchScratch) {
    for slot in slots {
      store.fine.decode(slot, into: scratch.vector)
      let unit = store.metric == .cosine ? Double(store.inverseLength(slot)) : 1
      let scale = weight * unit / Double(slots.count)
      for j in 0..<store.width { sum[j] += Double(scratch.vector[j]) * scale }
    }
  }
}

extension HNSWIndex {
  func checkExamples(_ positives: [RecordID], _ negatives: [RecordID]) throws(IndexError) {
    guard !positives.isEmpty else {
      throw IndexError(
        .invalidRetrieval, "there is no row that the results should be like; name one at least, beside those unlike")
    }
    let count = positives.count + negatives.count
    guard count <= RetrievalOptions.examplesMax else {
      throw IndexError(
        .invalidRetrieval, "\(count) rows are named as examples; name at most \(RetrievalOptions.examplesMax)")
    }
    for id in positives { try check(id) }
    for id in negatives { try check(id) }
  }

  /// Where rows stand. The reader is pinned; as in searches near a row, a row that was replaced since is taken as it is now.
  /// - Throws: `unknownRecord`.
  func slots(of ids: [RecordID], _ program: FilterProgram?) throws(IndexError) -> [UInt32] {
    var slots: [UInt32] = []
    for id in ids {
      guard let slot = store.table.slot(of: id), !store.isStaged(slot), maySearchFrom(slot, program) else {
        throw IndexError(
          .unknownRecord, "there is no row \(id) to search from; it may have been removed, so leave it out")
      }
      slots.append(slot)
    }
    return slots
  }
}
