// Brute force for many queries at once: the oracle that recall is measured against.
//
// May use: BatchDistance, Scorer, Candidate, VectorStore.

import Synchronization

/// Exact nearest neighbours of batches of queries, over the rows of an index.
///
/// A block of rows meets all queries in one matrix product, which ranks them up to rounding; the best of each query are then
/// scored again by the kernels that the graph search uses, so that distances and ties come out the same there and here. Where
/// rounding could have kept a row out (L2 far from the origin, where ‖q‖² + ‖r‖² − 2⟨q, r⟩ cancels), all rows are scored
/// by the kernels.
public struct ExactIndex: Sendable {
  private let index: HNSWIndex
  private var store: VectorStore { index.store }

  /// Rows a matrix product: 1,024 × 384 floats are 1.5 MiB, about a core's second-level cache.
  private static let blockRows = 1_024
  /// Queries a matrix product: bounds the products to 1 MiB.
  private static let blockQueries = 256
  /// How many more than `k` are scored again.
  private static let margin = 32

  /// The rows of `index`; nothing is copied.
  public init(over index: HNSWIndex) { self.index = index }

  /// The `k` nearest rows of each query, ascending.
  ///
  /// - queries: `[count][dimension]`, row-major, by the rules of ``HNSWIndex/search(_:_:scratch:_:)``.
  /// - threads: each takes blocks of queries.
  /// - Throws: as ``HNSWIndex/search(_:_:scratch:_:)``.
  /// - Complexity: `count × rows × dimension` multiplications. Memory: 1 MiB a thread, and the results.
  public func search(_ queries: [Float], k: Int, threads: Int = 1) throws(IndexError) -> [[SearchHit]] {
    try SearchOptions(k: k).validate()
    let dimension = store.dimension
    guard queries.count % dimension == 0 else {
      throw IndexError(
        .dimensionMismatch, "\(queries.count) floats are no whole number of queries of \(dimension) dimensions")
    }
    let count = queries.count / dimension
    var inverseLengths: [Float] = []
    for i in 0..<count {
      try queries.withUnsafeBufferPointer { buffer throws(IndexError) in
        inverseLengths.append(
          try index.checked(UnsafeBufferPointer(rebasing: buffer[(i * dimension)..<((i + 1) * dimension)])))
      }
    }
    let blocks = (count + Self.blockQueries - 1) / Self.blockQueries
    let results = Shared([[SearchHit]](repeating: [], count: count))
    WorkerThreads.distribute(blocks, threads: threads) { [inverseLengths] block in
      let range = (block * Self.blockQueries)..<min((block + 1) * Self.blockQueries, count)
      let found = searchBlock(queries, range, inverseLengths, k: k)
      results.withLock { $0.replaceSubrange(range, with: found) }
    }
    return results.withLock { $0 }
  }

  private func searchBlock(_ queries: [Float], _ range: Range<Int>, _ inverseLengths: [Float], k: Int) -> [[SearchHit]]
  {
    let width = store.width
    // For seconds, where there are millions of rows.
    let scratch = BuildScratch(store: store, of: .slots)
    let version = store.pins.enter(scratch.search.pin)
    defer { store.pins.leave(scratch.search.pin) }

    let padded = VectorStore.zeros(range.count * width)
    let products = VectorStore.zeros(range.count * Self.blockRows)
    let rows = VectorStore.zeros(Self.blockRows * width)
    defer {
      padded.deallocate()
      products.deallocate()
      rows.deallocate()
    }
    let scales = queries.withUnsafeBufferPointer { queries in
      range.enumerated().map { i, q in
        store.takeQuery(
          UnsafeBufferPointer(rebasing: queries[(q * store.dimension)..<((q + 1) * store.dimension)]),
          inverseLength: inverseLengths[q], into: padded + i * width)
      }
    }
    let lengths = range.indices.map { i in squaredLength(padded + (i - range.lowerBound) * width) }

    let used = store.slotsUsed.load(ordering: .acquiring)
    let kept = k + Self.margin
    var nearest = range.map { _ in Reservoir(limit: kept) }
    var longestRow: Float = 0
    for first in stride(from: 0, to: used, by: Self.blockRows) {
      let rowCount = min(Self.blockRows, used - first)
      for j in 0..<rowCount { store.fine.decode(UInt32(first + j), into: rows + j * width) }
      BatchDistance.innerProducts(
        padded, queryCount: range.count, rows: rows, rowCount: rowCount, width: width, into: products)
      for j in 0..<rowCount {
        let slot = UInt32(first + j)
        guard store.isVisible(slot, at: version) else { continue }
        let scale = store.metric == .cosine ? store.inverseLength(slot) : 1
        let rowLength = store.metric == .cosine ? 1 : squaredLength(rows + j * width)
        longestRow = max(longestRow, rowLength)
        for i in 0..<range.count {
          let product = products[i * rowCount + j]
          let distance =
            switch store.metric {
            case .cosine: 1 - product * scale * scales[i]
            case .innerProduct: -product
            case .l2: lengths[i] + rowLength - 2 * product
            }
          nearest[i].offer(Candidate.pack(distance, slot))
        }
      }
    }
    return nearest.indices.map { i in
      scratch.search.vector.update(from: padded + i * width, count: width)
      scratch.search.prepareQueries(inverseLength: scales[i], store)
      let entries = nearest[i].take()
      let best = rescored(entries, scratch)
      let isCertain =
        entries.count < kept
        || {
          // What was kept out ranks behind the last that was kept, give or take the rounding of both.
          let error = roundingBound(queryLength: lengths[i], rowLength: longestRow)
          return Candidate.distance(entries[kept - 1]) - error > Candidate.distance(best[k - 1])
        }()
      if isCertain { return hits(best.prefix(k)) }
      RangeScan(store: store).run(k: k, version: version, &scratch.search)
      return hits(
        (0..<scratch.search.nearest.count).map { scratch.search.nearest.entry(at: $0) })
    }
  }

  /// How far a distance of the matrix product and one of the kernels may lie apart: the bound of KernelTests for both, on terms
  /// whose sizes add up to at most ‖q‖·‖r‖, and for L2 to at most (‖q‖ + ‖r‖)².
  private func roundingBound(queryLength: Float, rowLength: Float) -> Float {
    let unit = 2 * Float(store.width + 4) * 0x1p-24
    switch store.metric {
    case .cosine: return unit
    case .innerProduct: return unit * (queryLength * rowLength).squareRoot()
    case .l2:
      let sum = queryLength.squareRoot() + rowLength.squareRoot()
      return unit * sum * sum
    }
  }

  private func hits(_ entries: some Sequence<UInt64>) -> [SearchHit] {
    entries.map {
      SearchHit(
        id: store.ids[Candidate.slot($0)], distance: store.metric.finished(Candidate.distance($0)))
    }
  }

  /// The entries with the kernels' distances from the scratch's vector, ascending.
  private func rescored(
    _ entries: [UInt64], _ scratch: BuildScratch
  ) -> [UInt64] {
    let slots = entries.map(Candidate.slot)
    var hits: [UInt64] = []
    for first in stride(from: 0, to: slots.count, by: SearchScratch.batchMax) {
      let block = slots[first..<min(first + SearchScratch.batchMax, slots.count)]
      for (i, slot) in block.enumerated() { scratch.search.batchSlots[i] = slot }
      store.answering.score(
        scratch.search.answerQuery, slots: scratch.search.batchSlots, count: block.count,
        into: scratch.search.batchDistances)
      for (i, slot) in block.enumerated() {
        hits.append(Candidate.pack(scratch.search.batchDistances[i], slot))
      }
    }
    return hits.sorted()
  }

  private func squaredLength(_ row: UnsafePointer<Float>) -> Float {
    var sum: Float = 0
    for j in 0..<store.width { sum += row[j] * row[j] }
    return sum
  }
}

/// The smallest `limit` of a stream of candidates: collects twice as many, then keeps the better half.
private struct Reservoir {
  private let limit: Int
  private var entries: [UInt64] = []
  private var bound = Candidate.none

  init(limit: Int) { self.limit = limit }

  @inline(__always)
  mutating func offer(_ entry: UInt64) {
    guard entry < bound else { return }
    entries.append(entry)
    if entries.count >= 2 * limit { shrink() }
  }

  private mutating func shrink() {
    entries.sort()
    entries.removeLast(max(0, entries.count - limit))
    if entries.count == limit { bound = entries[limit - 1] }
  }

  mutating func take() -> [UInt64] {
    shrink()
    return entries
  }
}
