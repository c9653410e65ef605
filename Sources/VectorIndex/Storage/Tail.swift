// The rows that are searchable and not linked yet, in the order in which they came: a ring that one writer fills, one linker
// empties, and any reader looks through.
//
// May use: ReservedMemory, Synchronization.

import Synchronization

/// The slots of the fresh rows.
///
/// A reader takes the range first, looks through it, and walks the graph afterwards. So it misses no row: one that it does not find
/// in the tail any more was linked before it left, and the graph leads to it. And it sees none twice: what it found in the tail
/// counts as visited.
final class Tail: @unchecked Sendable {
  // Proof of Sendable: cells and range are atomic; memory is committed by the one writer before the range tells of it.

  private let memory: ReservedMemory
  private let cells: UnsafeMutablePointer<Atomic<UInt32>>
  private let capacity: UInt32
  /// `start << 32 | end`, positions that run up to 2³² and round again. One word, so that a reader sees both of one moment.
  private let packed = Atomic<UInt64>(0)

  /// Positions in the ring; read the cells through ``Tail/slot(at:)``.
  struct Range {
    fileprivate let start: UInt32
    let count: Int
  }

  init(memory slots: SlotMemory) throws(IndexError) {
    // A power of two, so that positions stay in step with the ring when they go round.
    var capacity: UInt32 = 1
    while capacity < slots.slotsMax { capacity *= 2 }
    self.capacity = capacity
    memory = try ReservedMemory(reserving: Int(capacity) * 4, slots.budget)
    cells = memory.base.bindMemory(to: Atomic<UInt32>.self, capacity: Int(capacity))
  }

  var bytes: Int { memory.committedBytes }

  /// The rows in the tail now.
  @inline(__always)
  var range: Range {
    let packed = packed.load(ordering: .acquiring)
    let start = UInt32(truncatingIfNeeded: packed >> 32)
    return Range(start: start, count: Int(UInt32(truncatingIfNeeded: packed) &- start))
  }

  @inline(__always)
  func slot(_ index: Int, of range: Range) -> UInt32 {
    // Pairs with the store in `append`: whoever reads a cell that was used again sees the graph that its last row is in.
    cells[Int((range.start &+ UInt32(truncatingIfNeeded: index)) & (capacity &- 1))].load(ordering: .acquiring)
  }

  /// Makes room for `count` more rows. The writer's.
  func reserve(_ count: Int) throws(IndexError) {
    let range = range
    // Where the rows go round the ring's end, all of it.
    let end = Int(range.start & (capacity &- 1)) + range.count + count
    try memory.commit(min(end, Int(capacity)) * 4)
  }

  /// Adds rows, for which room was reserved. The writer's.
  func append(_ slots: [UInt32]) {
    let range = range
    var end = range.start &+ UInt32(truncatingIfNeeded: range.count)
    for slot in slots {
      cells[Int(end & (capacity &- 1))].store(slot, ordering: .releasing)
      end &+= 1
    }
    change { [end] start, _ in (start, end) }
  }

  /// Takes the first `count` rows out, which were linked. The linker's.
  func removeFirst(_ count: Int) { change { start, end in (start &+ UInt32(truncatingIfNeeded: count), end) } }

  /// Starts the ring from its beginning if it is empty, so that it takes no more memory than the longest tail. The writer's.
  func rewindIfEmpty() { change { start, end in start == end ? (0, 0) : (start, end) } }

  private func change(_ body: (UInt32, UInt32) -> (UInt32, UInt32)) {
    var old = packed.load(ordering: .relaxed)
    while true {
      let (start, end) = body(UInt32(truncatingIfNeeded: old >> 32), UInt32(truncatingIfNeeded: old))
      let (done, found) = packed.compareExchange(
        expected: old, desired: UInt64(start) << 32 | UInt64(end), ordering: .acquiringAndReleasing)
      if done { return }
      old = found
    }
  }
}
