// Which slots a search has met.
//
// A bit a slot: 100,000 of them take 12 KB and stay in the first-level cache. What was met is also listed, in the order it came, so
// that emptying the set takes what filling it took, and not a pass over all bits; and the list's end is the batch that a walk has
// just gathered (gathering.h), which costs it nothing.
//
// May use: CVectorKernels. Owns its memory.

internal import CVectorKernels

/// A set of slots.
struct VisitedSet: ~Copyable {
  /// What a hop reads and writes.
  let state: UnsafeMutablePointer<vz_visited>

  init(slots: Int) {
    state = .allocate(capacity: 1)
    state.initialize(
      to: vz_visited(
        bits: Self.bits(slots), slots: UInt32(Self.rounded(slots)),
        log: .allocate(capacity: VZ_LOG_ROOM), log_count: 0, overflows: false))
  }

  deinit {
    state.pointee.bits.deallocate()
    state.pointee.log.deallocate()
    state.deallocate()
  }

  /// Clearing the word of one slot takes about as long as clearing the words of so many, one after the other.
  private static let slotsClearedAtOnce = 512

  private static func rounded(_ slots: Int) -> Int { max(64, (slots + 63) / 64 * 64) }

  private static func bits(_ slots: Int) -> UnsafeMutablePointer<UInt64> {
    let bits = UnsafeMutablePointer<UInt64>.allocate(capacity: rounded(slots) / 64)
    bits.initialize(repeating: 0, count: rounded(slots) / 64)
    return bits
  }

  /// Slots that can be in the set.
  var slots: Int { Int(state.pointee.slots) }

  /// Empties the set and makes room for `slots`. Allocates only when there are more than ever before.
  /// - Complexity: as many steps as slots were added, or one, of an eighth of the time, for 64 slots.
  mutating func reset(slots: Int) {
    if slots > self.slots {
      let more = max(slots, self.slots + self.slots / 2)
      state.pointee.bits.deallocate()
      state.pointee.bits = Self.bits(more)
      state.pointee.slots = UInt32(Self.rounded(more))
    } else if state.pointee.overflows || state.pointee.log_count > self.slots / Self.slotsClearedAtOnce {
      state.pointee.bits.update(repeating: 0, count: self.slots / 64)
    } else {
      for i in 0..<state.pointee.log_count { state.pointee.bits[Int(state.pointee.log[i] >> 6)] = 0 }
    }
    state.pointee.log_count = 0
    state.pointee.overflows = false
  }

  /// Adds `slot`; false when it was there, or came into being after the search began and is none of its business.
  @inline(__always)
  mutating func insert(_ slot: UInt32) -> Bool { vz_visit(state, slot) }

  /// Up to `max` of the slots that were met last, from the whole time that the list reaches back to.
  /// - Returns: how many.
  func spread(_ max: Int, into slots: UnsafeMutablePointer<UInt32>) -> Int {
    let listed = state.pointee.log_count
    let taken = min(max, listed)
    for i in 0..<taken { slots[i] = state.pointee.log[i * listed / taken] }
    return taken
  }
}
