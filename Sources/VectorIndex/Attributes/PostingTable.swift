// value → slots: which rows have had a value in a column, so that a few rows are found without a look at all.
//
//     table   open addressing: u64 binary logarithm of the capacity, u64 unused, then capacity × (u64 key, u64 list)
//     list    0 = unused cell, 1 = no slots, slot << 1 | 1 + 2³³ = one slot, else the address of a block
//     block   u32 count, u32 capacity, u32 dead, u32 unused, then slots
//
// Lists are appended to, and may name slots that have the value no more: whoever reads one looks at the rows themselves. A list is
// made anew, without those, when it is full or when most of it is dead.
//
// May use: MemoryBudget, DeferredFrees, Synchronization.

import Synchronization

/// The slots by the value of one column. One writer; readers are pinned.
final class PostingTable: @unchecked Sendable {
  // Proof of Sendable: readers use `table` (acquire) and atomic cells, and of a block what its count tells of; blocks and tables
  // that were replaced are freed by DeferredFrees; the rest is the writer's.

  private typealias Cell = Atomic<UInt64>
  private static let headerCells = 2
  private static let unused: UInt64 = 0
  private static let noSlots: UInt64 = 1
  private static let single: UInt64 = 1 << 33

  private let budget: MemoryBudget
  private let table: Atomic<UnsafeMutablePointer<Atomic<UInt64>>>
  /// Cells with a key, and those of them that have no slots.
  private var used = 0
  private var emptied = 0
  private(set) var bytes = 0

  init(budget: MemoryBudget) throws(IndexError) {
    self.budget = budget
    let bytes = Self.bytes(log2: 3)
    guard budget.take(bytes) else { throw budget.refusal(of: bytes) }
    table = Atomic(Self.makeTable(log2: 3))
    self.bytes = bytes
  }

  deinit {
    let cells = table.load(ordering: .relaxed)
    for i in 0..<(1 << Self.log2(cells)) {
      Block(list: cells[Self.headerCells + 2 * i + 1].load(ordering: .relaxed))?.start.deallocate()
    }
    cells.deallocate()
    budget.giveBack(bytes)
  }

  /// A list of slots.
  private struct Block {
    static let headerBytes = 16
    let start: UnsafeMutableRawPointer

    init(start: UnsafeMutableRawPointer) { self.start = start }

    init?(list: UInt64) {
      guard list != PostingTable.unused, list & 1 == 0,
        let start = UnsafeMutableRawPointer(bitPattern: UInt(list))
      else { return nil }
      self.start = start
    }

    private var header: UnsafeMutablePointer<Atomic<UInt32>> { start.assumingMemoryBound(to: Atomic<UInt32>.self) }
    var list: UInt64 { UInt64(UInt(bitPattern: start)) }
    var capacity: Int { Int(header[1].load(ordering: .relaxed)) }
    var dead: Int {
      get { Int(header[2].load(ordering: .relaxed)) }
      nonmutating set { header[2].store(UInt32(newValue), ordering: .relaxed) }
    }
    var slots: UnsafeMutablePointer<UInt32> { (start + Self.headerBytes).assumingMemoryBound(to: UInt32.self) }
    var count: Int {
      // Pairs with the releasing store below: the slots under the count are written.
      get { Int(header[0].load(ordering: .acquiring)) }
      nonmutating set { header[0].store(UInt32(newValue), ordering: .releasing) }
    }
    var bytes: Int { Self.bytes(capacity: capacity) }

    static func bytes(capacity: Int) -> Int { headerBytes + capacity * 4 }

    static func make(capacity: Int) -> Block {
      let start = UnsafeMutableRawPointer.allocate(byteCount: bytes(capacity: capacity), alignment: 16)
      let header = start.bindMemory(to: Atomic<UInt32>.self, capacity: 4)
      for (i, value) in [0, UInt32(capacity), 0, 0].enumerated() { (header + i).initialize(to: Atomic(value)) }
      (start + headerBytes).bindMemory(to: UInt32.self, capacity: capacity)
      return Block(start: start)
    }
  }
}

// MARK: - Reading

extension PostingTable {
  /// The slots that have, or have had, a value. Readers hold a pin for as long as they look at it.
  struct List {
    fileprivate let list: UInt64

    var count: Int {
      if list == PostingTable.unused || list == PostingTable.noSlots { return 0 }
      return list & 1 == 1 ? 1 : Block(list: list)?.count ?? 0
    }

    /// Appends up to `limit` slots.
    func copy(into target: UnsafeMutablePointer<UInt32>, limit: Int) -> Int {
      guard limit > 0, list != PostingTable.unused, list != PostingTable.noSlots else { return 0 }
      guard let block = Block(list: list) else {
        target[0] = UInt32(truncatingIfNeeded: list >> 1)
        return 1
      }
      let count = min(limit, block.count)
      target.update(from: block.slots, count: count)
      return count
    }
  }

  func list(of key: UInt64) -> List {
    // Pairs with the releasing store of `rebuild`.
    let cells = table.load(ordering: .acquiring)
    guard let cell = Self.find(key, in: cells) else { return List(list: Self.unused) }
    return List(list: cells[cell + 1].load(ordering: .acquiring))
  }

  /// The cell of a key; nil when there is none.
  private static func find(_ key: UInt64, in cells: UnsafeMutablePointer<Cell>) -> Int? {
    let mask = (1 << log2(cells)) - 1
    var position = Int(truncatingIfNeeded: mixed(key ^ seed)) & mask
    while true {
      let cell = headerCells + 2 * position
      // The list is stored after the key (`append`), so a cell that has one has its key.
      if cells[cell + 1].load(ordering: .acquiring) == unused { return nil }
      if cells[cell].load(ordering: .relaxed) == key { return cell }
      position = (position + 1) & mask
    }
  }

  /// Of the process, so that whoever writes rows cannot make all values collide.
  private static let seed = UInt64.random(in: .min ... .max)

  private static func log2(_ cells: UnsafeMutablePointer<Cell>) -> Int { Int(cells[0].load(ordering: .relaxed)) }
  private static func bytes(log2: Int) -> Int { (headerCells + 2 << log2) * 8 }

  private static func makeTable(log2: Int) -> UnsafeMutablePointer<Cell> {
    let count = headerCells + 2 << log2
    let cells = UnsafeMutablePointer<Cell>.allocate(capacity: count)
    for i in 0..<count { (cells + i).initialize(to: Cell(0)) }
    cells[0].store(UInt64(log2), ordering: .relaxed)
    return cells
  }
}

// MARK: - Writing

extension PostingTable {
  /// Adds a slot to the list of a value.
  ///
  /// - keeps: whether a slot that stands in the list must stay there.
  /// - Throws: `outOfMemory`; the lists are as they were.
  func append(_ key: UInt64, _ slot: UInt32, _ frees: inout DeferredFrees, keeps: (UInt32) -> Bool) throws(IndexError) {
    try growIfFull(&frees)
    let cells = table.load(ordering: .relaxed)
    let mask = (1 << Self.log2(cells)) - 1
    var position = Int(truncatingIfNeeded: mixed(key ^ Self.seed)) & mask
    var cell = Self.headerCells + 2 * position
    var list = cells[cell + 1].load(ordering: .relaxed)
    while list != Self.unused, cells[cell].load(ordering: .relaxed) != key {
      position = (position + 1) & mask
      cell = Self.headerCells + 2 * position
      list = cells[cell + 1].load(ordering: .relaxed)
    }
    if list == Self.unused || list == Self.noSlots {
      if list == Self.unused { used += 1 } else { emptied -= 1 }
      cells[cell].store(key, ordering: .relaxed)
      cells[cell + 1].store(Self.list(ofOne: slot), ordering: .releasing)
      return
    }
    guard let block = Block(list: list) else {
      let other = UInt32(truncatingIfNeeded: list >> 1)
      guard other != slot else { return }
      try replace(cells + cell + 1, with: [other, slot], spare: 2, &frees)
      return
    }
    let count = block.count
    if count > 0, block.slots[count - 1] == slot { return }
    if count < block.capacity {
      block.slots[count] = slot
      block.count = count + 1
      return
    }
    var kept = survivors(of: block, keeps)
    // New slots count up: the list stays in order by itself, mostly.
    if let last = kept.last, last > slot {
      if kept.contains(slot) { return try replace(cells + cell + 1, with: kept, spare: kept.count, &frees) }
    } else if kept.last == slot {
      return try replace(cells + cell + 1, with: kept, spare: kept.count, &frees)
    }
    kept.append(slot)
    try replace(cells + cell + 1, with: kept, spare: kept.count, &frees)
  }

  /// A slot that stands in the list of a value has it no more, and no reader can need it there.
  func noteDead(_ key: UInt64, _ frees: inout DeferredFrees, keeps: (UInt32) -> Bool) {
    let cells = table.load(ordering: .relaxed)
    guard let cell = Self.find(key, in: cells) else { return }
    let list = cells[cell + 1].load(ordering: .relaxed)
    guard list != Self.noSlots else { return }
    guard let block = Block(list: list) else {
      if !keeps(UInt32(truncatingIfNeeded: list >> 1)) {
        cells[cell + 1].store(Self.noSlots, ordering: .releasing)
        emptied += 1
      }
      return
    }
    block.dead += 1
    guard 2 * block.dead > block.count else { return }
    block.dead = 0
    // It is smaller than what it replaces; where the budget is so short that both do not fit, the old one serves as well.
    try? replace(cells + cell + 1, with: survivors(of: block, keeps), spare: 2, &frees)
  }

  /// The slots that must stay, in order, each once.
  private func survivors(of block: Block, _ keeps: (UInt32) -> Bool) -> [UInt32] {
    var kept: [UInt32] = []
    kept.reserveCapacity(block.count)
    var isAscending = true
    for i in 0..<block.count where keeps(block.slots[i]) {
      if let last = kept.last, last >= block.slots[i] { isAscending = false }
      kept.append(block.slots[i])
    }
    guard !isAscending else { return kept }
    kept.sort()
    var unique = 0
    for slot in kept where unique == 0 || kept[unique - 1] != slot {
      kept[unique] = slot
      unique += 1
    }
    kept.removeLast(kept.count - unique)
    return kept
  }

  private static func list(ofOne slot: UInt32) -> UInt64 { UInt64(slot) << 1 | 1 | single }

  private func replace(
    _ cell: UnsafeMutablePointer<Atomic<UInt64>>, with slots: [UInt32], spare: Int, _ frees: inout DeferredFrees
  ) throws(IndexError) {
    let old = Block(list: cell[0].load(ordering: .relaxed))
    if slots.count < 2 {
      cell[0].store(slots.first.map { Self.list(ofOne: $0) } ?? Self.noSlots, ordering: .releasing)
      if slots.isEmpty { emptied += 1 }
    } else {
      let capacity = slots.count + spare
      try take(Block.bytes(capacity: capacity))
      let block = Block.make(capacity: capacity)
      for (i, slot) in slots.enumerated() { block.slots[i] = slot }
      block.count = slots.count
      cell[0].store(block.list, ordering: .releasing)
    }
    if let old {
      giveBack(old.bytes)
      frees.add(old.start)
    }
  }

  /// Makes room for one more key. Keys without slots are left out of a table that is made anew.
  private func growIfFull(_ frees: inout DeferredFrees) throws(IndexError) {
    let old = table.load(ordering: .relaxed)
    let log2 = Self.log2(old)
    guard 3 << log2 < 4 * (used + 1) else { return }
    var newLog2 = log2
    while 1 << newLog2 < 2 * (used - emptied + 1) { newLog2 += 1 }
    try take(Self.bytes(log2: newLog2))
    let new = Self.makeTable(log2: newLog2)
    let mask = (1 << newLog2) - 1
    for i in 0..<(1 << log2) {
      let list = old[Self.headerCells + 2 * i + 1].load(ordering: .relaxed)
      guard list != Self.unused, list != Self.noSlots else { continue }
      let key = old[Self.headerCells + 2 * i].load(ordering: .relaxed)
      var position = Int(truncatingIfNeeded: mixed(key ^ Self.seed)) & mask
      while new[Self.headerCells + 2 * position + 1].load(ordering: .relaxed) != Self.unused {
        position = (position + 1) & mask
      }
      new[Self.headerCells + 2 * position].store(key, ordering: .relaxed)
      new[Self.headerCells + 2 * position + 1].store(list, ordering: .relaxed)
    }
    used -= emptied
    emptied = 0
    table.store(new, ordering: .releasing)
    giveBack(Self.bytes(log2: log2))
    frees.add(UnsafeMutableRawPointer(old))
  }

  private func take(_ more: Int) throws(IndexError) {
    guard budget.take(more) else { throw budget.refusal(of: more) }
    bytes += more
  }

  private func giveBack(_ less: Int) {
    budget.giveBack(less)
    bytes -= less
  }
}
