// What is true of 64 slots in a row, so that a pass over all rows need not look at each.
//
//     [slot / 64]   a cache line, in an array of one byte a slot
//        0  u32     atomic: the attribute row of the first slot, where those of the others follow; else 0
//        8  u64     atomic: the version since which each slot has had a row that is there; 0 = not so
//       16  u32     the writer's: slots whose row is there
//
// May use: nothing.

import Synchronization

/// The notes of all blocks. The one who changes rows writes; pinned readers read without a lock.
struct BlockNotes: @unchecked Sendable {
  // Proof of Sendable: what readers read is atomic; the rest belongs to the one who changes rows.

  static let slots = 64
  /// Of the array that holds them.
  static let slotBytes = 1

  private let base: UnsafeMutableRawPointer

  /// - base: the array, all zero, which stays as long as anybody uses this.
  init(at base: UnsafeMutableRawPointer) { self.base = base }

  @inline(__always)
  private func line(_ block: Int) -> UnsafeMutableRawPointer { base + block * Self.slots * Self.slotBytes }

  @inline(__always)
  func firstRow(_ block: Int) -> UnsafeMutablePointer<Atomic<UInt32>> {
    line(block).assumingMemoryBound(to: Atomic<UInt32>.self)
  }

  @inline(__always)
  private func wholeSince(_ block: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    (line(block) + 8).assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  private func rows(_ block: Int) -> UnsafeMutablePointer<UInt32> {
    (line(block) + 16).assumingMemoryBound(to: UInt32.self)
  }

  /// Whether each of the 64 slots has a row that is there at `version`, which the caller has pinned.
  ///
  /// A death at or before `version` was noted before that was published, and so before the reader pinned it; a later one takes
  /// nothing from this reader, as no slot is used again while it is there. Births are noted with the version of the last.
  @inline(__always)
  func isWhole(_ block: Int, at version: UInt64) -> Bool {
    let since = wholeSince(block)[0].load(ordering: .acquiring)
    return since != 0 && since <= version
  }

  /// A slot's row has been born.
  /// - Returns: whether the block may be whole now.
  func gain(_ slot: UInt32) -> Bool {
    let count = rows(Int(slot) / Self.slots)
    count.pointee &+= 1
    return count.pointee >= Self.slots
  }

  func setWhole(_ block: Int, since version: UInt64) { wholeSince(block)[0].store(version, ordering: .releasing) }

  /// A slot's row is about to die.
  /// - wasBorn: false for one that was staged only.
  func lose(_ slot: UInt32, wasBorn: Bool) {
    let block = Int(slot) / Self.slots
    wholeSince(block)[0].store(0, ordering: .releasing)
    let count = rows(block)
    if wasBorn, count.pointee > 0 { count.pointee -= 1 }
  }
}
