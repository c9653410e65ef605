// Brute force over all slots for one query: the path of small collections, of exact searches, and the safety net of the
// graph. Bound by memory bandwidth.
//
// May use: Scorer, VectorStore's lifetimes, SearchScratch.

import Synchronization

struct RangeScan {
  let store: VectorStore

  /// Fills the list of nearest with the `k` nearest rows that are visible at `version`, ascending.
  ///
  /// The query stands in the scratch, prepared. Complexity: one distance a slot, or less where most slots are free; no allocation once
  /// warmed.
  func run(k: Int, version: UInt64, _ scratch: inout SearchScratch) {
    let slotsUsed = store.slotsUsed.load(ordering: .acquiring)
    scratch.nearest.reset(limit: max(1, min(k, slotsUsed)))
    // As when all rows were removed: looking who is there is cheaper then than reading what nobody has.
    let isSparse = 4 * store.liveCount.load(ordering: .relaxed) < slotsUsed
    var first = 0
    while first < slotsUsed {
      let count = min(SearchScratch.batchMax, slotsUsed - first)
      if isSparse, !hasVisible(first, count, version: version) {
        first += count
        continue
      }
      store.answering.scoreRange(scratch.answerQuery, first: first, count: count, into: scratch.batchDistances)
      for i in 0..<count {
        let candidate = Candidate.pack(scratch.batchDistances[i], UInt32(first + i))
        guard candidate < scratch.nearest.bound else { continue }
        if store.isVisible(UInt32(first + i), at: version) { scratch.nearest.insert(candidate) }
      }
      first += count
      scratch.distancesComputed &+= count
    }
  }

  private func hasVisible(_ first: Int, _ count: Int, version: UInt64) -> Bool {
    for slot in first..<(first + count) where store.isVisible(UInt32(slot), at: version) { return true }
    return false
  }
}
