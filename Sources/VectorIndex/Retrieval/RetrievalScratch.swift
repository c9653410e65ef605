// What one thread's retrievals write besides what their searches do. It grows to what the largest of them took, and is kept.
//
// May use: VectorStore, GroupCollector.

internal import CVectorKernels

/// The working memory of one thread's retrievals in one index.
final class RetrievalScratch {
  /// The answer: rows, their distances as searches compare them, and the numbers of their groups.
  var slots: [UInt32] = []
  var distances: [Float] = []
  var groups: [UInt32] = []
  /// Rows at their distances (Candidate.swift), from a scan.
  var candidates: [UInt64] = []
  var collector = GroupCollector()

  // What a choice by diversity keeps of the candidates that were not chosen yet.
  var restSlots: [UInt32] = []
  var restDistances: [Float] = []
  /// How far each is from the nearest of those chosen.
  var restApart: [Float] = []
  private var rowDistances: [Float] = []
  private let rowQuery: UnsafeMutablePointer<vz_query>
  /// `[width]`: the numbers of a row where a kernel cannot read them in place.
  private let rowNumbers: UnsafeMutablePointer<Float>

  init(_ store: VectorStore) {
    rowQuery = .allocate(capacity: 1)
    rowNumbers = VectorStore.zeros(store.width)
  }

  deinit {
    rowQuery.deallocate()
    rowNumbers.deallocate()
  }

  /// Empties the answer.
  func reset() {
    slots.removeAll(keepingCapacity: true)
    distances.removeAll(keepingCapacity: true)
    groups.removeAll(keepingCapacity: true)
  }

  func append(_ slot: UInt32, _ distance: Float) {
    slots.append(slot)
    distances.append(distance)
  }

  /// Takes the first results out of the answer.
  func skip(_ count: Int) {
    slots.removeFirst(min(count, slots.count))
    distances.removeFirst(min(count, distances.count))
  }

  /// The distance of a row from each of the rest that is nearer than all chosen before becomes that row's `restApart`.
  func compareRest(with slot: UInt32, _ store: VectorStore) {
    let count = restSlots.count
    if rowDistances.count < count { rowDistances = [Float](repeating: 0, count: max(count, 2 * rowDistances.count)) }
    rowQuery.initialize(to: store.pairing.prepare(row: slot, numbers: rowNumbers))
    restSlots.withUnsafeBufferPointer { rest in
      rowDistances.withUnsafeMutableBufferPointer { distances in
        // Both hold `count`; none of an empty array's is read.
        guard let rest = rest.baseAddress, let distances = distances.baseAddress else { return }
        store.pairing.score(rowQuery, slots: rest, count: count, into: distances)
      }
    }
    for i in 0..<count { restApart[i] = min(restApart[i], store.metric.finished(rowDistances[i])) }
  }
}

extension SearchScratch {
  /// The memory of retrievals in `store`, whose scratch this is.
  mutating func retrievalScratch(_ store: VectorStore) -> RetrievalScratch {
    if let retrieval { return retrieval }
    let fresh = RetrievalScratch(store)
    retrieval = fresh
    return fresh
  }
}
