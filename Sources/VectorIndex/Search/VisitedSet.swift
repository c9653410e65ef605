// Which slots a search has met.
//
// 64 slots share a 16-byte cell of bits and the number of the search that wrote them (VSAG). A cell of an older search counts
// as empty, so a reset is one addition, and 100,000 slots take 25 KB: they stay in the first-level cache.
//
// May use: nothing but the standard library. Owns its memory.

/// A set of slots that is emptied in constant time.
struct VisitedSet: ~Copyable {
  private struct Cell {
    var bits: UInt64
    var generation: UInt64
  }

  private var cells: UnsafeMutablePointer<Cell>
  private(set) var slots: Int
  private var generation: UInt64 = 0

  init(slots: Int) {
    let count = max(1, (slots + 63) / 64)
    cells = .allocate(capacity: count)
    cells.initialize(repeating: Cell(bits: 0, generation: 0), count: count)
    self.slots = count * 64
  }

  deinit { cells.deallocate() }

  /// Empties the set and makes room for `slots`. Allocates only when there are more than ever before.
  mutating func reset(slots: Int) {
    if slots > self.slots { self = VisitedSet(slots: max(slots, self.slots + self.slots / 2)) }
    // 64 bits of generation never come round.
    generation &+= 1
  }

  /// Adds `slot`; false when it was there, or came into being after the search began and is none of its business.
  @inline(__always)
  mutating func insert(_ slot: UInt32) -> Bool {
    guard Int(slot) < slots else { return false }
    let cell = cells + Int(slot >> 6)
    let bit: UInt64 = 1 &<< UInt64(slot & 63)
    // No branch: whether a node was met before is what a processor cannot guess. The difference is below 2⁶³, so one less has
    // its highest bit set exactly where there is none.
    let difference = cell.pointee.generation ^ generation
    let bits = cell.pointee.bits & (0 &- ((difference &- 1) &>> 63))
    cell.pointee.generation = generation
    cell.pointee.bits = bits | bit
    return bits & bit == 0
  }
}
