// record id → slot: an open-addressing hash table of slot numbers that readers probe without a lock.
//
//     header: u32 binary logarithm of the capacity | u32 unused
//     then capacity × u32: 0 = never used, 0xFFFFFFFF = used once, otherwise slot + 1
//
// The ids themselves stay in the RecordIDColumn: a row costs 8 to 16 bytes here, and no second copy of its id.
//
// May use: RecordIDColumn, MemoryBudget, Synchronization.

import Synchronization

/// The current slot of each id. One writer; readers must be pinned (see ReaderPins), because a table that was outgrown
/// is freed once no reader can still hold it.
final class RecordTable: @unchecked Sendable {
  // Proof of Sendable: readers use `buckets` (acquire) and atomic cells; everything else belongs to the writer.

  private typealias Cell = Atomic<UInt32>
  private static var tombstone: UInt32 { .max }
  private static var headerCells: Int { 2 }

  private let ids: RecordIDColumn
  private let budget: MemoryBudget
  private let buckets: Atomic<UnsafeMutablePointer<Atomic<UInt32>>>
  /// Cells that are not "never used".
  private var used = 0
  private(set) var count = 0

  init(ids: RecordIDColumn, budget: MemoryBudget) throws(IndexError) {
    self.ids = ids
    self.budget = budget
    let capacity = Self.capacity(forCount: 0)
    buckets = Atomic(Self.makeBuckets(capacity: capacity))
    let bytes = Self.bytes(ofCapacity: capacity)
    guard budget.take(bytes) else { throw budget.refusal(of: bytes) }
  }

  deinit {
    budget.giveBack(bytes)
    buckets.load(ordering: .relaxed).deallocate()
  }

  /// The cells of a table for `count` ids: a power of two, at most half of them used.
  static func capacity(forCount count: Int) -> Int {
    var capacity = 64
    while capacity < 2 * count { capacity *= 2 }
    return capacity
  }

  static func bytes(ofCapacity capacity: Int) -> Int { (headerCells + capacity) * MemoryLayout<Cell>.stride }

  private static func makeBuckets(capacity: Int) -> UnsafeMutablePointer<Cell> {
    let pointer = UnsafeMutablePointer<Cell>.allocate(capacity: headerCells + capacity)
    for i in 0..<(headerCells + capacity) { (pointer + i).initialize(to: Cell(0)) }
    pointer[0].store(UInt32(capacity.trailingZeroBitCount), ordering: .relaxed)
    return pointer
  }

  private static func capacity(of table: UnsafeMutablePointer<Cell>) -> Int {
    1 << Int(table[0].load(ordering: .relaxed))
  }

  var bytes: Int { Self.bytes(ofCapacity: Self.capacity(of: buckets.load(ordering: .relaxed))) }

  /// The slot of `id`, or nil. Expected O(1): the load factor is at most a half, or three quarters where memory is short.
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
  /// - Precondition: the id is there already, or room for it is reserved.
  func set(_ id: RecordID, to slot: UInt32) {
    let table = buckets.load(ordering: .relaxed)
    if let cell = Self.find(id, in: table, ids: ids) {
      table[cell].store(slot + 1, ordering: .releasing)
      return
    }
    precondition(4 * used < 3 * Self.capacity(of: table), "room for a new id is reserved first")
    Self.append(id, slot, to: table)
    used += 1
    count += 1
  }

  /// Makes room for `more` ids.
  /// - Returns: an outgrown table to free once no reader can hold it.
  /// - Throws: `outOfMemory`; the table is as it was.
  /// - Complexity: amortized O(`more`).
  func reserve(_ more: Int) throws(IndexError) -> OutgrownTable? {
    let capacity = Self.capacity(of: buckets.load(ordering: .relaxed))
    guard 2 * (used + more) > capacity else { return nil }
    // Ids that are gone stay behind. Where there are some, a third more room: or a table that is nearly half full of ids would be
    // made anew for every few that come and go.
    let wanted = Self.capacity(forCount: used == count ? count + more : (count + more) * 4 / 3)
    if budget.take(Self.bytes(ofCapacity: wanted) - Self.bytes(ofCapacity: capacity)) {
      return replace(capacity: wanted)
    }
    // No memory for a larger one: fuller, where probes are longer, or as large as it is without those that are gone.
    if 4 * (used + more) <= 3 * capacity { return nil }
    if 8 * (count + more) <= 5 * capacity { return replace(capacity: capacity) }
    throw budget.refusal(of: Self.bytes(ofCapacity: wanted) - Self.bytes(ofCapacity: capacity))
  }

  /// Makes the table anew. For as long as readers hold the old one there are two, of which the budget counts one.
  private func replace(capacity: Int) -> OutgrownTable {
    let old = buckets.load(ordering: .relaxed)
    let new = Self.makeBuckets(capacity: capacity)
    for i in 0..<Self.capacity(of: old) {
      let value = old[Self.headerCells + i].load(ordering: .relaxed)
      if value != 0, value != Self.tombstone { Self.append(ids[value - 1], value - 1, to: new) }
    }
    used = count
    buckets.store(new, ordering: .releasing)
    return OutgrownTable(pointer: old)
  }

  /// Makes the table anew, as large as it is, of the ids of some slots alone.
  ///
  /// - Precondition: the ids differ, and room for those that are new is reserved.
  /// - Returns: the old one, to free once no reader can hold it.
  func replace(by slots: [UInt32]) -> OutgrownTable {
    let old = buckets.load(ordering: .relaxed)
    let capacity = Self.capacity(of: old)
    precondition(4 * slots.count <= 3 * capacity, "room for new ids is reserved first")
    let new = Self.makeBuckets(capacity: capacity)
    for slot in slots { Self.append(ids[slot], slot, to: new) }
    used = slots.count
    count = slots.count
    buckets.store(new, ordering: .releasing)
    return OutgrownTable(pointer: old)
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
}

/// A hash table that readers may still hold.
struct OutgrownTable {
  fileprivate let pointer: UnsafeMutablePointer<Atomic<UInt32>>
  func free() { pointer.deallocate() }
}
