// What rows bring back with a hit: texts that no filter asks for, compressed, off the hot path.
//
//     entries  [slot]  u64, atomic: (first byte of a block in the heap) / 8 << 16 | row in the block; 0 = nothing
//     heap             blocks (PayloadBlock.swift), one after the other, from byte 8 on
//
// A block never changes. What rows leave behind stays until the index is made anew, or saved and loaded.
//
// May use: SlotMemory, ReservedMemory, MachineMemory, PayloadBlock.

import Synchronization

/// The payload of an index's rows. The one who changes rows writes; pinned readers read without a lock.
final class PayloadStore: @unchecked Sendable {
  // Proof of Sendable: a block is written before an entry leads to it, and never changed; entries are atomic; the rest is the
  // writer's.

  let columns: Int
  let codec: (any PayloadCodec)?
  private let entryMemory: ReservedMemory
  private let entries: UnsafeMutablePointer<Atomic<UInt64>>
  private let heap: ReservedMemory
  /// Bytes of the heap in use.
  private var used = PayloadBlock.alignment

  static let nothing: UInt64 = 0
  static let entryBytes = 8

  /// - Precondition: `slots` has no slot yet.
  init(columns: Int, codec: (any PayloadCodec)?, slots: SlotMemory) throws(IndexError) {
    self.columns = columns
    self.codec = codec
    entryMemory = try slots.makeArray(slotBytes: Self.entryBytes)
    entries = entryMemory.base.bindMemory(to: Atomic<UInt64>.self, capacity: slots.slotsMax)
    // Address space costs nothing; there is no more than twice the machine's memory.
    heap = try ReservedMemory(reserving: 2 * MachineMemory.physicalBytes, slots.budget)
  }

  var bytes: Int { entryMemory.committedBytes + heap.committedBytes }

  /// The entries as they lie in memory, for whoever saves them while nothing changes.
  var entryBase: UnsafeRawPointer { UnsafeRawPointer(entryMemory.base) }

  /// Where a slot's payload is. Pairs with the releasing store of `bind`.
  func entry(of slot: UInt32) -> UInt64 { entries[Int(slot)].load(ordering: .acquiring) }

  static func offset(_ entry: UInt64) -> Int { Int(entry >> 16) * PayloadBlock.alignment }
  static func row(_ entry: UInt64) -> Int { Int(entry & 0xFFFF) }
  static func entry(offset: Int, row: Int) -> UInt64 {
    UInt64(offset / PayloadBlock.alignment) << 16 | UInt64(row)
  }

  /// The bytes from a block on, as far as a block can be long.
  func block(at offset: Int) -> UnsafeRawBufferPointer {
    // In bounds: an entry leads to a block that was committed whole.
    let header = UnsafeRawBufferPointer(start: heap.base + offset, count: heap.committedBytes - offset)
    return UnsafeRawBufferPointer(rebasing: header[..<(PayloadBlock.Header(header)?.byteCount ?? 0)])
  }

  /// The values of a slot. For whoever is pinned and may see the slot, or changes rows.
  func values(of slot: UInt32) -> [String?] { values(at: CollectionOfOne(entry(of: slot)))[0] }

  /// The values that some entries lead to. A block is decompressed once for all that follow each other in it.
  func values(at entries: some Collection<UInt64>) -> [[String?]] {
    let nulls = [String?](repeating: nil, count: columns)
    var open: (offset: Int, content: PayloadBlock.Content?)?
    return entries.map { entry in
      guard entry != Self.nothing else { return nulls }
      let offset = Self.offset(entry)
      if open?.offset != offset { open = (offset, PayloadBlock.content(block(at: offset), codec: codec)) }
      return open?.content?.values(Self.row(entry), columns: columns) ?? nulls
    }
  }
}

// MARK: - Writing

extension PayloadStore {
  /// Rows that were made into blocks, by whoever brings them, before it is their turn to be written.
  struct Made: Sendable {
    var blocks: [[UInt8]] = []
    /// For each row its block and its number there; nil = nothing.
    var places: [(block: Int, row: Int)?] = []
  }

  /// - rows: for each row a value for each column, checked.
  static func make(_ rows: [[String?]], codec: (any PayloadCodec)?) -> Made {
    var made = Made()
    var waiting: [[UInt8]] = []
    var bytes = 0
    func close() {
      guard !waiting.isEmpty else { return }
      made.blocks.append(PayloadBlock.make(waiting, codec: codec))
      waiting = []
      bytes = 0
    }
    for values in rows {
      guard values.contains(where: { $0 != nil }) else {
        made.places.append(nil)
        continue
      }
      let row = PayloadBlock.row(values)
      if bytes > 0, bytes + row.count > PayloadBlock.contentBytes || waiting.count == PayloadBlock.rowsMax { close() }
      made.places.append((made.blocks.count, waiting.count))
      waiting.append(row)
      bytes += row.count
    }
    close()
    return made
  }

  /// Writes blocks.
  /// - Returns: where each begins.
  /// - Throws: `outOfMemory`; nothing has changed then.
  func write(_ blocks: [[UInt8]]) throws(IndexError) -> [Int] {
    let total = blocks.reduce(0) { $0 + PayloadBlock.padded($1.count) }
    try heap.commit(used + total)
    return blocks.map { block in
      let offset = used
      (heap.base + offset).copyMemory(from: block, byteCount: block.count)
      used += PayloadBlock.padded(block.count)
      return offset
    }
  }

  /// Forgets the blocks that were written last, of which the first begins at `offset` and to which nothing leads.
  func takeBack(from offset: Int) { used = offset }

  func bind(_ slot: UInt32, to entry: UInt64) { entries[Int(slot)].store(entry, ordering: .releasing) }

  /// Forgets what slots had that no reader can see.
  func release(_ slots: [UInt32]) {
    for slot in slots { entries[Int(slot)].store(Self.nothing, ordering: .relaxed) }
  }
}

// MARK: - Loading

extension PayloadStore {
  /// Memory for so many bytes of blocks, to be filled by the caller, from byte 8 of the heap on.
  func restoreHeap(_ count: Int) throws(IndexError) -> UnsafeMutableRawBufferPointer {
    try heap.commit(PayloadBlock.alignment + count)
    used = PayloadBlock.alignment + count
    return UnsafeMutableRawBufferPointer(start: heap.base + PayloadBlock.alignment, count: count)
  }
}
