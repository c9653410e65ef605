// The candidates of a search: the paper's C and W in one sorted array (Fu et al., NSG, arXiv:1707.00143).
//
// An entry is one integer, so that comparing and moving are one instruction each:
//
//     bits 63…32  the distance, mapped so that integers order as floats do
//     bits 31…1   the slot
//     bit 0       expanded: its neighbours have been looked at
//
// May use: nothing but the standard library. Owns its memory.

/// Up to `limit` nearest candidates, ascending by distance and then slot.
struct CandidatePool: ~Copyable {
  private var entries: UnsafeMutablePointer<UInt64>
  private var allocated: Int
  private(set) var count = 0
  /// How many candidates are kept [ef].
  private(set) var limit = 0
  /// Everything before it is expanded.
  private var cursor = 0

  init(capacity: Int) {
    allocated = max(capacity, 16)
    entries = .allocate(capacity: allocated)
  }

  deinit { entries.deallocate() }

  /// Empties the pool. Allocates only when `limit` is larger than ever before.
  mutating func reset(limit newLimit: Int) {
    count = 0
    cursor = 0
    limit = newLimit
    if newLimit > allocated { grow(to: newLimit) }
  }

  private mutating func grow(to capacity: Int) {
    let larger = UnsafeMutablePointer<UInt64>.allocate(capacity: capacity)
    larger.update(from: entries, count: count)
    entries.deallocate()
    entries = larger
    allocated = capacity
  }

  /// Makes room for one more: what a search does for a candidate that it may walk through but not return.
  @inline(__always)
  mutating func raiseLimit() {
    limit += 1
    if limit > allocated { grow(to: 2 * limit) }
  }

  /// A candidate that is not better than this does not get in.
  @inline(__always)
  var bound: UInt64 { count < limit ? .max : entries[count - 1] }

  /// Inserts a candidate that is better than ``bound`` and not in the pool.
  @inline(__always)
  mutating func insert(_ entry: UInt64) {
    var low = 0
    var high = count
    while low < high {
      let middle = (low &+ high) &>> 1
      if entries[middle] < entry { low = middle &+ 1 } else { high = middle }
    }
    if count < limit { count &+= 1 }
    // In bounds: low < count ≤ limit ≤ allocated, because the entry is better than the bound.
    let tail = entries + low
    (tail + 1).update(from: tail, count: count &- low &- 1)
    tail.pointee = entry
    if low < cursor { cursor = low }
  }

  /// The nearest candidate that is not expanded, marked as expanded; nil when there is none.
  @inline(__always)
  mutating func expandNext() -> UInt32? {
    while cursor < count {
      let entry = entries[cursor]
      if entry & 1 == 0 {
        entries[cursor] = entry | 1
        cursor &+= 1
        return Self.slot(entry)
      }
      cursor &+= 1
    }
    return nil
  }

  /// A guess at the candidate that will be expanded next, to fetch its links early.
  @inline(__always)
  var upcoming: UInt32? { cursor < count ? Self.slot(entries[cursor]) : nil }

  @inline(__always)
  func slot(at index: Int) -> UInt32 { Self.slot(entries[index]) }

  @inline(__always)
  func distance(at index: Int) -> Float { Self.distance(entries[index]) }
}

extension CandidatePool {
  @inline(__always)
  static func pack(_ distance: Float, _ slot: UInt32) -> UInt64 {
    UInt64(orderedBits(distance)) << 32 | UInt64(slot) << 1
  }

  @inline(__always)
  static func slot(_ entry: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: entry) >> 1 }

  @inline(__always)
  static func distance(_ entry: UInt64) -> Float {
    let bits = UInt32(truncatingIfNeeded: entry >> 32)
    return Float(bitPattern: bits & 0x8000_0000 != 0 ? bits ^ 0x8000_0000 : ~bits)
  }

  /// The float's bits, mapped so that integers order as the floats do. NaN, which sums of huge components can give, counts
  /// as infinitely far.
  @inline(__always)
  static func orderedBits(_ distance: Float) -> UInt32 {
    let bits = (distance == distance ? distance : .infinity).bitPattern
    return bits & 0x8000_0000 != 0 ? ~bits : bits | 0x8000_0000
  }
}
