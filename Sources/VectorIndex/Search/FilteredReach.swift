// How far a walk with a filter goes, by what it has met.
//
// The k-th row that matches is the k-th of all where filter and query agree, and the k·N/m-th where they have nothing to do with each
// other. A reach is measured for a rank among all rows (RecallCurve.swift), and a lower rank needs a greater one; so a walk that took the
// reach of the k-th to the k·N/m-th would go several times too far. Which rank it is, the walk sees: it has met what lies nearer.
//
// May use: RecallCurve, StopRule, NearestList; the scratch's list of refused nodes.

/// The reach of one search, found while it walks. It only grows.
struct FilteredReach {
  let curve: UnsafePointer<RecallCurve>
  /// The recall that is asked for.
  let target: Float

  /// Whether `candidate`, the nearest that is left, lies within what the target needs by all that was met so far.
  @inline(__always)
  func expands(_ candidate: UInt64, _ rule: StopRule, _ scratch: inout SearchScratch) -> Bool {
    guard scratch.nearest.count >= rule.rank else { return true }
    return Candidate.distance(candidate) < rule.bound(scratch.nearest, reach: scratch.refused.reach)
      || grows(to: candidate, rule, &scratch)
  }

  /// Reads the reach anew, for the rank that the last wanted row has among all rows.
  /// - Complexity: two steps for each node that was refused, up to ``RefusedNodes/max``; once for each time that the walk would end.
  @inline(never)
  private func grows(to candidate: UInt64, _ rule: StopRule, _ scratch: inout SearchScratch) -> Bool {
    let rank = rankAmongAll(rule.rank, scratch)
    // A reach is measured by the recall of all up to a rank, of which the last are missed most. Where those that match are the last, as
    // when filter and query disagree, nothing makes up for it.
    let isLate = rank > 2 * rule.rank && 4 * rankAmongAll((rule.rank + 1) / 2, scratch) > 3 * rank
    let recall = isLate ? min(1 - (1 - target) / 2, RecallCurve.targetRange.upperBound) : target
    scratch.refused.reach = max(scratch.refused.reach, curve.pointee.reach(target: recall, results: rank))
    return Candidate.distance(candidate) < rule.bound(scratch.nearest, reach: scratch.refused.reach)
  }

  /// Which of all rows met so far the `n`-th that matches is.
  private func rankAmongAll(_ n: Int, _ scratch: borrowing SearchScratch) -> Int {
    n + scratch.refused.count(below: Candidate.pack(scratch.nearest.distance(at: n - 1), 0))
  }
}

/// The nodes that a walk met near enough and was not to find, and the reach that it has come to.
struct RefusedNodes: ~Copyable {
  /// `[max]`, as they came. When it is full, what is nearer than the results by then is not known to the last, and the oldest, which lie
  /// farthest as a rule, make room.
  private var candidates: UnsafeMutablePointer<UInt64>?
  private var total = 0
  var reach: Float = 1

  static let max = 16_384

  deinit { candidates?.deallocate() }

  /// Makes room; only searches with a filter need any. Allocates once.
  mutating func reserve() {
    if candidates == nil { candidates = .allocate(capacity: Self.max) }
  }

  mutating func reset() {
    total = 0
    reach = 1
  }

  /// There is room: ``reserve()`` was called.
  @inline(__always)
  mutating func append(_ candidate: UInt64) {
    candidates.unsafelyUnwrapped[total & (Self.max &- 1)] = candidate
    total &+= 1
  }

  func count(below bound: UInt64) -> Int {
    guard let candidates else { return 0 }
    var count = 0
    for i in 0..<min(total, Self.max) { count &+= candidates[i] < bound ? 1 : 0 }
    return count
  }
}
