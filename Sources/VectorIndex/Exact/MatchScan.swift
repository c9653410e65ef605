// Brute force over the rows of a match set for one query: what a filter that few rows meet is answered by, and the safety net of a
// filtered walk. On the rows that answers are scored with, or on codes and, where those cannot tell, on these.
//
// May use: Scorer, CodeErrors, MatchSet, SearchScratch.

internal import CVectorKernels

struct MatchScan {
  let matches: MatchSet
  let store: VectorStore

  /// Bytes of rows that are on their way while as many are scored: half of a small first-level cache.
  private static let batchBytes = 16_384
  private static let batchMin = 8
  /// Half of a scratch's batch: one is scored while the other is on its way.
  private static let batchMax = SearchScratch.batchMax / 2
  /// Rows that are near by their codes are scored again so many at a time: the first of them have arrived by then.
  private static let pendingMax = 16

  /// Fills the list of nearest with the `limit` nearest of the matching rows, ascending. Nothing can be missing.
  ///
  /// - Complexity: one distance a matching row; no allocation once warmed.
  func run(keeping limit: Int, _ scratch: inout SearchScratch) {
    scratch.nearest.reset(limit: max(1, min(limit, matches.count)))
    let fine = store.answering
    eachBatch(of: fine, &scratch) { slots, count, scratch in
      let bound = scratch.nearest.bound
      var kept = count
      if bound == Candidate.none {
        // There is room still, for rows that are infinitely far, too.
        fine.score(scratch.answerQuery, slots: slots, count: count, into: scratch.batchDistances)
      } else {
        // Slots ascend, so of two at the same distance the one that is there already comes first.
        kept = fine.score(
          scratch.answerQuery, slots: slots, count: count, below: Candidate.distance(bound),
          into: scratch.batchDistances)
      }
      for i in 0..<kept {
        let candidate = Candidate.pack(scratch.batchDistances[i], slots[i])
        if candidate < scratch.nearest.bound { scratch.nearest.insert(candidate) }
      }
    }
  }

  /// The same by codes: a row is scored as answers are where its codes leave it open whether it is nearer than the `limit`-th so far.
  ///
  /// How many those are depends on how the rows lie. Of rows that lie anywhere, about twice `limit · ln(rows / limit)`; where the matching rows
  /// begin at one distance from the query and are dense there, it may be half of them. See ``CodeErrors`` for what can be missing.
  ///
  /// - Complexity: a distance by codes a matching row, and one for each that is scored again; no allocation once warmed.
  func runOnCodes(keeping limit: Int, _ scratch: inout SearchScratch) {
    let codes = store.walking
    var refinement = Refinement(store: store)
    refinement.errors.sample(matches.spread(CodeErrors.sampleCount, into: scratch.batchSlots), store, &scratch)
    scratch.nearest.reset(limit: max(1, min(limit, matches.count)))
    scratch.reserveHits(Self.pendingMax)
    refinement.update(scratch.nearest)
    eachBatch(of: codes, &scratch) { slots, count, scratch in
      let distances = scratch.batchDistances
      var kept = count
      if refinement.isOpen {
        codes.score(scratch.walkQuery, slots: slots, count: count, into: distances)
      } else {
        kept = codes.score(
          scratch.walkQuery, slots: slots, count: count, below: refinement.reach, into: distances)
      }
      for i in 0..<kept {
        // The reach may have shrunk within the batch.
        if !refinement.isOpen, distances[i] >= refinement.reach { continue }
        refinement.take(slots[i], distances[i], &scratch)
        if refinement.pending == Self.pendingMax { refinement.flush(&scratch) }
      }
    }
    refinement.flush(&scratch)
  }

  /// Calls `body` with the slots of the matching rows, ascending, a batch at a time; the rows of the next are on their way meanwhile.
  @inline(__always)
  private func eachBatch(
    of scorer: Scorer, _ scratch: inout SearchScratch,
    _ body: (UnsafeMutablePointer<UInt32>, Int, inout SearchScratch) -> Void
  ) {
    let batch = min(Self.batchMax, max(Self.batchMin, Self.batchBytes / scorer.rowBytes))
    var cursor = MatchCursor(matches)
    // In bounds: each has half of the memory.
    var ready = scratch.batchSlots
    var coming = scratch.batchSlots + Self.batchMax
    var count = cursor.take(batch, into: ready, prefetching: scorer)
    while count > 0 {
      let comingCount = cursor.take(batch, into: coming, prefetching: scorer)
      body(ready, count, &scratch)
      (ready, coming, count) = (coming, ready, comingCount)
    }
    scratch.distancesComputed &+= matches.count
  }

  /// What a scan by codes scores again. The rows that wait for it stand in the scratch's hits, which nobody needs before the end.
  private struct Refinement {
    let store: VectorStore
    var errors = CodeErrors()
    /// Rows that are on their way.
    private(set) var pending = 0
    /// Every row is scored again: the list has room, or too little is known of errors.
    private(set) var isOpen = true
    /// Where it is not: only rows below this by their codes can be among the nearest.
    private(set) var reach = Float.infinity

    init(store: VectorStore) { self.store = store }

    @inline(__always)
    mutating func take(_ slot: UInt32, _ distance: Float, _ scratch: inout SearchScratch) {
      store.answering.prefetch(slot)
      scratch.hitSlots[pending] = slot
      scratch.hitDistances[pending] = distance
      pending &+= 1
    }

    mutating func flush(_ scratch: inout SearchScratch) {
      guard pending > 0 else { return }
      // In bounds: a batch has half of this memory.
      let distances = scratch.batchDistances + MatchScan.batchMax
      store.answering.score(scratch.answerQuery, slots: scratch.hitSlots, count: pending, into: distances)
      let isUnpicked = errors.margin == .infinity
      for i in 0..<pending {
        let candidate = Candidate.pack(distances[i], scratch.hitSlots[i])
        let isNearest = candidate < scratch.nearest.bound
        if isNearest { scratch.nearest.insert(candidate) }
        // Those that are among the nearest were picked by that, whatever their codes say, and the error of such rows is what counts.
        if isNearest || isUnpicked { errors.add(scratch.hitDistances[i] - distances[i]) }
      }
      scratch.rowsRescored &+= pending
      pending = 0
      errors.update()
      update(scratch.nearest)
    }

    @inline(__always)
    mutating func update(_ nearest: borrowing NearestList) {
      isOpen = nearest.bound == Candidate.none || errors.margin == .infinity
      if !isOpen { reach = Candidate.distance(nearest.bound) + errors.margin }
    }
  }
}

/// Goes through the slots of a match set, ascending.
private struct MatchCursor {
  private let form: MatchSet.Form
  /// The next slot of a list, or word of a mask.
  private var next = 0
  /// What is left of the word before.
  private var left: UInt64 = 0

  init(_ matches: MatchSet) { form = matches.form }

  /// Takes up to `max` slots and asks for their rows.
  /// - Returns: how many; 0 when there are no more.
  @inline(__always)
  mutating func take(_ max: Int, into slots: UnsafeMutablePointer<UInt32>, prefetching scorer: Scorer) -> Int {
    var count = 0
    switch form {
    case .slots(let list):
      while count < max, next < list.count {
        slots[count] = list[next]
        scorer.prefetch(list[next])
        next &+= 1
        count &+= 1
      }
    case .mask(let mask):
      let words = (mask.slots + 63) / 64
      while count < max {
        while left == 0 {
          guard next < words else { return count }
          left = mask.words[next]
          next &+= 1
        }
        let slot = UInt32((next &- 1) &* 64 &+ left.trailingZeroBitCount)
        left &= left &- 1
        slots[count] = slot
        scorer.prefetch(slot)
        count &+= 1
      }
    }
    return count
  }
}

extension MatchSet {
  /// Up to `max` of the slots, from all parts of the index.
  /// - Returns: how many; at least one where there is one.
  fileprivate func spread(_ max: Int, into slots: UnsafeMutablePointer<UInt32>) -> Int {
    var taken = 0
    switch form {
    case .slots(let list):
      taken = min(max, list.count)
      for i in 0..<taken { slots[i] = list[i * list.count / taken] }
    case .mask(let mask):
      // The first of each of `max` parts.
      let words = (mask.slots + 63) / 64
      for part in 0..<max {
        for word in (part * words / max)..<((part + 1) * words / max) where mask.words[word] != 0 {
          slots[taken] = UInt32(word * 64 + mask.words[word].trailingZeroBitCount)
          taken += 1
          break
        }
      }
    }
    return taken
  }
}
