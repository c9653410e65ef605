// One retrieval under way: what it was asked, the one version that all its searches see, and what it took so far.
//
// May use: the core's searches by version, RetrievalScratch, ExcludedRows.

/// Rows that the answer leaves out: those that a search was made from.
struct ExcludedRows {
  private var slots: Set<UInt32> = []
  /// Ids of rows that were replaced after the retrieval's version: it sees an older slot of each.
  private var olderIDs: Set<RecordID> = []

  static let none = ExcludedRows()

  /// The most rows that are left out.
  var count: Int { slots.count }

  /// - slot: where the row of the id stands now.
  mutating func insert(_ slot: UInt32, _ id: RecordID, isVisible: Bool) {
    slots.insert(slot)
    if !isVisible { olderIDs.insert(id) }
  }

  func contains(_ slot: UInt32, _ store: VectorStore) -> Bool {
    if slots.isEmpty { return false }
    return slots.contains(slot) || (!olderIDs.isEmpty && olderIDs.contains(store.ids[slot]))
  }
}

/// A retrieval. The query stands in the scratch, prepared, and the version is pinned until it is answered.
struct Retrieval {
  let index: HNSWIndex
  let options: RetrievalOptions
  let program: FilterProgram?
  let excluded: ExcludedRows
  let version: UInt64
  private(set) var receipt = Receipt()
  /// Whether a row was left out because it is too far.
  var isCut = false

  /// What the searches took, and how the last one went.
  struct Receipt {
    var distancesComputed = 0
    var effort = 0
    var isExact = true
    var filter: FilterReceipt?
  }

  init(
    _ index: HNSWIndex, _ options: RetrievalOptions, matching program: FilterProgram?, excluding excluded: ExcludedRows,
    version: UInt64
  ) {
    self.index = index
    self.options = options
    self.program = program
    self.excluded = excluded
    self.version = version
  }

  var store: VectorStore { index.store }

  /// Whether a row at this distance, as searches compare them, is too far.
  func isBeyond(_ distance: Float) -> Bool {
    guard let distanceMax = options.distanceMax else { return false }
    // Of what the user sees, so that a distance that was an answer is a bound that keeps its row.
    return store.metric.finished(distance) > distanceMax
  }

  func isExcluded(_ slot: UInt32) -> Bool { excluded.contains(slot, store) }

  // MARK: Searching

  /// Finds the nearest `count` rows beside those that are left out, which are among what the scratch holds then.
  /// - Returns: whether there are no more that match.
  mutating func search(_ count: Int, _ scratch: inout SearchScratch) -> Bool {
    var search = options.search
    // More than one search may be asked for, by those that are left out.
    search.k = count + excluded.count
    let found: Receipt
    if let program {
      found = index.answer(search, matching: program, excluding: nil, version: version, &scratch) { Receipt($0) }
    } else {
      found = index.answer(search, excluding: nil, version: version, &scratch) { Receipt($0) }
    }
    receipt.add(found)
    return scratch.hitCount < search.k
  }

  /// Notes that all rows that match were scored as answers are.
  /// - matching: how many they are, under a filter.
  mutating func noteScan(matching: Int?) {
    receipt.isExact = true
    guard let matching else { return }
    let last = receipt.filter
    let hasWalked = last.map { $0.plan == .walk || $0.plan == .walkThenScan } ?? false
    // What was expected is what the last search expected; what it took is what all of it took.
    receipt.filter = FilterReceipt(
      matchingRows: matching, plan: matching == 0 ? .nothingMatches : hasWalked ? .walkThenScan : .exactScan,
      expectedScanCost: last?.expectedScanCost ?? matching, expectedWalkCost: last?.expectedWalkCost,
      distancesComputed: receipt.distancesComputed, rowsRescored: last?.rowsRescored ?? 0,
      isWalkAbandoned: last?.isWalkAbandoned ?? false)
  }

  mutating func noteDistances(_ count: Int) { receipt.distancesComputed += count }

  /// Takes the nearest `count` rows that may be in the answer.
  mutating func takeNearest(_ count: Int, _ scratch: inout SearchScratch, _ room: RetrievalScratch) {
    _ = search(count, &scratch)
    room.reset()
    for i in 0..<scratch.hitCount {
      if room.slots.count == count { return }
      let slot = scratch.hitSlots[i]
      if isExcluded(slot) { continue }
      if isBeyond(scratch.hitDistances[i]) {
        isCut = true
        return
      }
      room.append(slot, scratch.hitDistances[i])
    }
  }

  // MARK: Answering

  /// - found: results, or groups, that were found beyond those skipped.
  func answer<R>(_ found: Int, _ room: RetrievalScratch, _ body: (RetrievalHits) -> R) -> R {
    var shortfall: Shortfall?
    if found < options.search.k {
      shortfall = isCut ? .threshold : options.grouping == nil ? .fewMatch : .groups
    }
    // A pointer that nothing is read from, where there is nothing.
    room.slots.reserveCapacity(1)
    room.distances.reserveCapacity(1)
    return room.slots.withUnsafeBufferPointer { slots in
      room.distances.withUnsafeBufferPointer { distances in
        room.groups.withUnsafeBufferPointer { groups in
          guard let slots = slots.baseAddress, let distances = distances.baseAddress else {
            preconditionFailure("an array with room has an address")
          }
          let hits = SearchHits(
            store: store, slots: slots, distances: distances, payload: index.payload, count: room.slots.count,
            distancesComputed: receipt.distancesComputed, effort: receipt.effort, isExact: receipt.isExact,
            filter: receipt.filter)
          return body(
            RetrievalHits(hits, groups: options.grouping == nil ? nil : groups.baseAddress, shortfall: shortfall))
        }
      }
    }
  }
}

extension Retrieval.Receipt {
  init(_ hits: SearchHits) {
    distancesComputed = hits.distancesComputed
    effort = hits.effort
    isExact = hits.isExact
    filter = hits.filter
  }

  mutating func add(_ search: Retrieval.Receipt) {
    distancesComputed += search.distancesComputed
    effort += search.effort
    isExact = search.isExact
    filter = search.filter
  }
}
