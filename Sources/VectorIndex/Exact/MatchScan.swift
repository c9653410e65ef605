// Brute force over the rows of a match set for one query: what a filter that few rows meet is answered by, and the safety net of a
// filtered walk.
//
// May use: Scorer, MatchSet, SearchScratch.

internal import CVectorKernels

struct MatchScan {
  let matches: MatchSet

  /// Bytes of rows that are on their way while as many are scored: half of a small first-level cache.
  private static let batchBytes = 16_384
  private static let batchMin = 8

  /// Fills the list of nearest with the `limit` nearest of the matching rows, ascending.
  ///
  /// - scorer: of the plane that is read; `query` is prepared for it.
  /// - Complexity: one distance a matching row; no allocation once warmed.
  func run(
    on scorer: Scorer, _ query: UnsafePointer<vz_query>, keeping limit: Int, _ scratch: inout SearchScratch
  ) {
    scratch.nearest.reset(limit: max(1, min(limit, matches.count)))
    let half = SearchScratch.batchMax / 2
    let batch = min(half, max(Self.batchMin, Self.batchBytes / scorer.rowBytes))
    var cursor = MatchCursor(matches)
    // In bounds: each has half of the memory.
    var ready = scratch.batchSlots
    var coming = scratch.batchSlots + half
    var count = cursor.take(batch, into: ready, prefetching: scorer)
    while count > 0 {
      let comingCount = cursor.take(batch, into: coming, prefetching: scorer)
      score(ready, count, on: scorer, query, &scratch)
      (ready, coming, count) = (coming, ready, comingCount)
    }
    scratch.distancesComputed &+= matches.count
  }

  @inline(__always)
  private func score(
    _ slots: UnsafeMutablePointer<UInt32>, _ count: Int, on scorer: Scorer, _ query: UnsafePointer<vz_query>,
    _ scratch: inout SearchScratch
  ) {
    let bound = scratch.nearest.bound
    var kept = count
    if bound == Candidate.none {
      // There is room still, for rows that are infinitely far, too.
      scorer.score(query, slots: slots, count: count, into: scratch.batchDistances)
    } else {
      // Slots ascend, so of two at the same distance the one that is there already comes first.
      kept = scorer.score(
        query, slots: slots, count: count, below: Candidate.distance(bound), into: scratch.batchDistances)
    }
    for i in 0..<kept {
      let candidate = Candidate.pack(scratch.batchDistances[i], slots[i])
      if candidate < scratch.nearest.bound { scratch.nearest.insert(candidate) }
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
