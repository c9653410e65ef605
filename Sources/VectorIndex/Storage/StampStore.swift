// What the owner of the rows says of each row's state: kept word for word beside the rows, and off every search's way.
//
//     cells  [slot][2]  u64, atomic: the vector's, the row's; 0 = unknown
//
// May use: SlotMemory, ReservedMemory, Synchronization.

import Synchronization

/// What the owner of a row says of its state, so that two copies of many rows can be compared without them: hashes, say. The index keeps
/// it and never looks into it.
public struct RowStamp: Hashable, Sendable {
  /// Of the vector alone. Stays for as long as the vector does.
  public var vector: UInt64
  /// Of all that the row has.
  public var row: UInt64

  public init(vector: UInt64, row: UInt64) {
    self.vector = vector
    self.row = row
  }

  /// What a row has that was written without one.
  public static let unknown = RowStamp(vector: 0, row: 0)
}

/// The stamps of an index's rows. The one who changes rows writes; pinned readers read without a lock.
final class StampStore: @unchecked Sendable {
  // Proof of Sendable: cells are atomic, and their memory is committed before their slot can be reached.

  static let stampBytes = 16

  private let memory: ReservedMemory
  private let cells: UnsafeMutablePointer<Atomic<UInt64>>

  /// - Precondition: `slots` has no slot yet.
  init(slots: SlotMemory) throws(IndexError) {
    memory = try slots.makeArray(slotBytes: Self.stampBytes)
    cells = memory.base.bindMemory(to: Atomic<UInt64>.self, capacity: slots.slotsMax * 2)
  }

  var bytes: Int { memory.committedBytes }

  /// The cells as they lie in memory, for whoever saves or loads them while nothing changes.
  var base: UnsafeMutableRawPointer { memory.base }

  /// The stamp of a slot. For whoever is pinned and may see it, or changes rows.
  ///
  /// The two words belong together without a lock: the vector's is written before the slot can be reached and stays for its life, so
  /// whoever came to the slot by an acquiring load, of its birth or of the table that leads to it, sees this life's. The row's alone
  /// changes, and is one word: the one before a change or the one after it.
  func stamp(of slot: UInt32) -> RowStamp {
    RowStamp(
      vector: cells[2 * Int(slot)].load(ordering: .relaxed), row: cells[2 * Int(slot) + 1].load(ordering: .relaxed))
  }

  /// Writes the stamp of a slot that no reader can reach yet.
  func set(_ slot: UInt32, to stamp: RowStamp) {
    cells[2 * Int(slot)].store(stamp.vector, ordering: .relaxed)
    cells[2 * Int(slot) + 1].store(stamp.row, ordering: .relaxed)
  }

  /// Gives a row whose vector stays another stamp.
  func setRow(_ slot: UInt32, to row: UInt64) { cells[2 * Int(slot) + 1].store(row, ordering: .relaxed) }

  /// Forgets what slots had that no reader can see.
  func release(_ slots: [UInt32]) {
    for slot in slots { set(slot, to: .unknown) }
  }
}

extension HNSWIndex {
  /// The stamp of a row; nil when there is no such row, or stamps are not kept (``HNSWConfiguration/keepsStamps``).
  public func stamp(of id: RecordID) -> RowStamp? {
    guard let stamps else { return nil }
    return withCurrentSlot(of: id) { stamps.stamp(of: $0) }
  }

  /// Gives the stamp of every row, all of one moment, in no order; nothing where stamps are not kept.
  ///
  /// Changes wait until this returns. Searches go on, and so does whoever links.
  /// - body: must not change the index.
  public func forEachStamp(_ body: (RecordID, RowStamp) -> Void) {
    guard let stamps else { return }
    withChanges {
      // The linker gives slots back meanwhile, but none that this version sees; rows that it makes visible are born after it.
      let pin = store.pins.take(for: .slots)
      defer { store.pins.giveBack(pin) }
      let version = store.pins.enter(pin)
      for slot in 0..<UInt32(store.slotsUsed.load(ordering: .acquiring)) where store.isVisible(slot, at: version) {
        body(store.ids[slot], stamps.stamp(of: slot))
      }
    }
  }
}
