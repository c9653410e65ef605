// record id → slot: an open-addressing hash table of slot numbers that readers probe without a lock.
//
//     header: u32 binary logarithm of the capacity | u32 unused
//     then capacity × u32: 0 = never used, 0xFFFFFFFF = used once, otherwise slot + 1
//
// The ids themselves stay in the RecordIDColumn: a row costs 8 to 16 bytes here, and no second copy of its id.
//
// May use: RecordIDColumn, Synchronization.

import Synchronization

/// The current slot of each id. One writer; readers must be pinned (see ReaderPins), because a table that was outgrown
/// is freed once no reader can still hold it.
final class RecordTable: @unchecked Sendable {
  // Proof of Sendable: readers use `buckets` (acquire) and atomic cells; everything else belongs to the writer.

  private typealias Cell = Atomic<UInt32>
  private static var tombstone: UInt32 { .max }
  private static var headerCells: Int { 2 }

  private let ids: RecordIDColumn
  private let buckets: Atomic<UnsafeMutablePointer<Atomic<UInt32>>>
  /// Cells that are not "never used".
  private var used = 0
  private(set) var count = 0

  init(ids: RecordIDColumn) {
    self.ids = ids
    buckets = Atomic(Self.makeBuckets(capacity: 64))
  }

  deinit { buckets.load(ordering: .relaxed).deallocate() }

  private static func makeBuckets(capacity: Int) -> UnsafeMutablePointer<Cell> {
    let pointer = UnsafeMutablePointer<Cell>.allocate(capacity: headerCells + capacity)
    for i in 0..<(headerCells + capacity) { (pointer + i).initialize(to: Cell(0)) }
    pointer[0].store(UInt32(capacity.trailingZeroBitCount), ordering: .relaxed)
    return pointer
  }

  private static func capacity(of table: UnsafeMutablePointer<Cell>) -> Int {
    1 << Int(table[0].load(ordering: .relaxed))
  }

  var bytes: Int { (Self.headerCells + Self.capacity(of: buckets.load(ordering: .relaxed))) * 4 }

  /// The slot of `id`, or nil. Expected O(1): the load factor is at most a half.
  func slot(of id: RecordID) -> UInt32? {
    // Pairs with the releasing store of `grow`.
    let table = buckets.load(ordering: .acquiring)
    guard let cell = Self.find(id, in: table, ids: ids) else { return nil }
    let value = table[cell].load(ordering: .acquiring)
    // The writer may have removed it between the probe and here.
    return value == Self.tombstone || value == 0 ? nil : value - 1
  }

  private static func find(_ id: RecordID, in table: UnsafeMutablePointer<Cell>, ids: RecordIDColumn) -> Int? {
    let mask = capacity(of: table) - 1
    var position = id.hashValue & mask
    while true {
      let cell = headerCells + position
      // Pairs with the releasing stores of `set`: a slot that is seen here has its id written.
      let value = table[cell].load(ordering: .acquiring)
      if value == 0 { return nil }
      if value != tombstone, ids[value - 1] == id { return cell }
      position = (position + 1) & mask
    }
  }

  /// Points `id` at `slot`, whose cell in the id column is written.
  /// - Returns: an outgrown table to free once no reader can hold it.
  func set(_ id: RecordID, to slot: UInt32) -> OutgrownTable? {
    var table = buckets.load(ordering: .relaxed)
    if let cell = Self.find(id, in: table, ids: ids) {
      table[cell].store(slot + 1, ordering: .releasing)
      return nil
    }
    var outgrown: OutgrownTable?
    if 2 * (used + 1) > Self.capacity(of: table) {
      outgrown = grow()
      table = buckets.load(ordering: .relaxed)
    }
    Self.append(id, slot, to: table)
    used += 1
    count += 1
    return outgrown
  }

  func remove(_ id: RecordID) {
    let table = buckets.load(ordering: .relaxed)
    guard let cell = Self.find(id, in: table, ids: ids) else { return }
    table[cell].store(Self.tombstone, ordering: .releasing)
    count -= 1
  }

  private static func append(_ id: RecordID, _ slot: UInt32, to table: UnsafeMutablePointer<Cell>) {
    let mask = capacity(of: table) - 1
    var position = id.hashValue & mask
    while table[headerCells + position].load(ordering: .relaxed) != 0 { position = (position + 1) & mask }
    table[headerCells + position].store(slot + 1, ordering: .releasing)
  }

  private func grow() -> OutgrownTable {
    let old = buckets.load(ordering: .relaxed)
    var capacity = 64
    while capacity < 4 * (count + 1) { capacity *= 2 }
    let new = Self.makeBuckets(capacity: capacity)
    for i in 0..<Self.capacity(of: old) {
      let value = old[Self.headerCells + i].load(ordering: .relaxed)
      if value != 0, value != Self.tombstone { Self.append(ids[value - 1], value - 1, to: new) }
    }
    used = count
    buckets.store(new, ordering: .releasing)
    return OutgrownTable(pointer: old)
  }
}

/// A hash table that readers may still hold.
struct OutgrownTable {
  fileprivate let pointer: UnsafeMutablePointer<Atomic<UInt32>>
  func free() { pointer.deallocate() }
}
