// The attributes of the rows: columns by *attribute row*, and for each slot the attribute row that it has.
//
//     bindings  [slot]            u32, atomic: the slot's attribute row; 0 = the row of NULLs
//     blocks    [slot / 64]       see BlockNotes.swift
//     columns   [attribute row]   see AttributeCells.swift
//
// An update writes a new attribute row and swaps the slot's binding: a reader that loads the binding once sees one row or the
// other, whole. Old attribute rows are used again when no pin is older, as slots are. (docs/decisions/0013-attributes.md)
//
// May use: AttributeCells, SlotMemory, BlockNotes, ReaderPins, DeferredFrees.

import Synchronization

/// The attributes of an index's rows. The one who changes rows writes; pinned readers read without a lock.
final class AttributeStore: @unchecked Sendable {
  // Proof of Sendable: bindings are atomic; cells follow AttributeCells' rule; the rest belongs to the one who changes rows.

  let schema: AttributeSchema
  let columns: [AttributeCells]
  /// `[slot]`, readable for whole blocks of 64 slots, of which one was used.
  let bindings: UnsafeMutablePointer<Atomic<UInt32>>
  private let bindingMemory: ReservedMemory
  private let blockMemory: ReservedMemory
  let blocks: BlockNotes
  private let rows: SlotMemory
  private let pins: ReaderPins
  private var frees: DeferredFrees
  /// Attribute rows in use or free; row 0 is the one of NULLs.
  private var rowsUsed = 1
  private var freeRows: [UInt32] = []
  /// Rows that an update has replaced, until no reader can be on them.
  private var replaced: [(row: UInt32, slot: UInt32, version: UInt64)] = []
  private var replacedOfSlot: [UInt32: Int] = [:]
  /// Slots that stand in the lists of values that they are about to have.
  private var announced: Set<UInt32> = []

  static let rowOfNulls: UInt32 = 0
  static let blockSlots = BlockNotes.slots

  /// - Precondition: `slots` has no slot yet.
  init(schema: AttributeSchema, slots: SlotMemory, pins: ReaderPins) throws(IndexError) {
    self.schema = schema
    self.pins = pins
    frees = DeferredFrees(pins: pins)
    bindingMemory = try slots.makeArray(slotBytes: 4)
    bindings = bindingMemory.base.bindMemory(to: Atomic<UInt32>.self, capacity: slots.slotsMax)
    blockMemory = try slots.makeArray(slotBytes: BlockNotes.slotBytes)
    blocks = BlockNotes(at: blockMemory.base)
    // Replaced rows wait for readers: some more rows than slots.
    rows = SlotMemory(slotsMax: slots.slotsMax + slots.slotsMax / 8 + Self.blockSlots, budget: slots.budget)
    var columns: [AttributeCells] = []
    for column in schema.columns { columns.append(try AttributeCells(column, rows: rows)) }
    self.columns = columns
    try rows.commit(slots: Self.blockSlots)
    wipeFresh(Self.rowOfNulls)
  }

  deinit { frees.freeAll() }

  var bytes: Int { columns.reduce(bindingMemory.committedBytes + blockMemory.committedBytes) { $0 + $1.bytes } }

  /// The attribute row of a slot. Pairs with the releasing stores of `bind` and `release`.
  @inline(__always)
  func row(of slot: UInt32) -> UInt32 { bindings[Int(slot)].load(ordering: .acquiring) }

  /// For the 64 slots from `64 × block` on: the attribute row of the first, where each has the one after the one before it, so that
  /// nobody need look each up. 0 where some have others. What is in the row of a slot that cannot be seen means nothing.
  ///
  /// A reader that takes this for true an instant after an update sees the row that was replaced, which is whole until it leaves.
  @inline(__always)
  func firstRow(ofBlock block: Int) -> UInt32 { blocks.firstRow(block)[0].load(ordering: .acquiring) }

  /// The values of a slot's row. For whoever is pinned and may see the slot, or changes rows.
  func values(of slot: UInt32) -> [AttributeValue] { values(inRow: row(of: slot)) }

  /// The values of an attribute row. For whoever is pinned since before it was replaced.
  func values(inRow row: UInt32) -> [AttributeValue] { columns.map { $0.value(row) } }
}

// MARK: - Writing

extension AttributeStore {
  /// Writes an attribute row that no slot has yet.
  /// - values: checked.
  /// - Throws: `outOfMemory`; nothing has changed then.
  func write(_ values: [AttributeValue]) throws(IndexError) -> UInt32 {
    guard values.contains(where: { $0 != .null }) else { return Self.rowOfNulls }
    let row: UInt32
    if let free = freeRows.popLast() {
      row = free
    } else {
      // Whole blocks are read, so the rows after the last one must be readable.
      try rows.commit(slots: rowsUsed + Self.blockSlots)
      row = UInt32(rowsUsed)
      rowsUsed += 1
      wipeFresh(row)
    }
    do throws(IndexError) {
      for (column, value) in zip(columns, values) { try column.write(value, to: row, &frees) }
    } catch {
      discard(row)
      frees.seal()
      throw error
    }
    return row
  }

  /// Takes back a row that was written and that no slot has.
  func discard(_ row: UInt32) {
    guard row != Self.rowOfNulls else { return }
    for column in columns { column.wipe(row) }
    freeRows.append(row)
  }

  /// Gives a row to a slot.
  ///
  /// - isLast: whether no slot above it was ever used.
  /// - Throws: `outOfMemory`; the slot has the row that it had, and the new one is taken back.
  func bind(_ slot: UInt32, to row: UInt32, isLast: Bool) throws(IndexError) {
    try list(slot, row)
    settle(slot, row, isLast: isLast)
  }

  /// Makes a row's values lead to a slot.
  /// - Throws: `outOfMemory`; the row is taken back.
  private func list(_ slot: UInt32, _ row: UInt32) throws(IndexError) {
    let old = self.row(of: slot)
    do throws(IndexError) {
      // In the lists first: a reader that finds the slot there looks at the row that it has by then.
      for column in columns {
        guard let postings = column.postings else { continue }
        for key in AttributeCells.keys(column.keys(row), without: column.keys(old)) {
          try postings.append(key, slot, &frees) { keeps($0, key, column) }
        }
      }
    } catch {
      // What is in the lists already is looked at for nothing.
      discard(row)
      frees.seal()
      throw error
    }
    frees.seal()
  }

  /// Binds a slot to a row whose values lead to it.
  private func settle(_ slot: UInt32, _ row: UInt32, isLast: Bool) {
    // Before the binding: whoever sees the block as it was finds the row that the slot had.
    let cell = blocks.firstRow(Int(slot) / Self.blockSlots)
    let lane = slot % UInt32(Self.blockSlots)
    if lane == 0, isLast {
      cell[0].store(row, ordering: .releasing)
    } else {
      let first = cell[0].load(ordering: .relaxed)
      if first != 0, row != first + lane { cell[0].store(0, ordering: .releasing) }
    }
    bindings[Int(slot)].store(row, ordering: .releasing)
  }

  /// Makes a row's values lead to a slot that readers may see and that will get the row by ``rebind(_:at:)``, or by ``withdraw(_:)``
  /// will not. Whoever is led there meanwhile finds the row that the slot has.
  /// - Throws: `outOfMemory`; the row is taken back.
  func announce(_ slot: UInt32, _ row: UInt32) throws(IndexError) {
    try list(slot, row)
    announced.insert(slot)
  }

  /// Gives slots the rows that were announced, in the place of those they have, from version `version` on, which is published next.
  /// Readers that are at work may see them before.
  func rebind(_ changes: [(slot: UInt32, row: UInt32)], at version: UInt64) {
    for (slot, row) in changes {
      let old = self.row(of: slot)
      settle(slot, row, isLast: false)
      guard old != Self.rowOfNulls else { continue }
      replaced.append((old, slot, version))
      replacedOfSlot[slot, default: 0] += 1
    }
    announced.removeAll(keepingCapacity: true)
  }

  /// Takes back the rows that were announced.
  func withdraw(_ changes: [(slot: UInt32, row: UInt32)]) {
    announced.removeAll(keepingCapacity: true)
    for (slot, row) in changes { takeBack(row, of: slot) }
    frees.seal()
  }

  /// Whether a list of `key` must keep a slot: it has the value, had it when some reader began, or is about to have it.
  private func keeps(_ slot: UInt32, _ key: UInt64, _ column: AttributeCells) -> Bool {
    column.hasKey(key, row(of: slot)) || (!replacedOfSlot.isEmpty && replacedOfSlot[slot] != nil)
      || (!announced.isEmpty && announced.contains(slot))
  }

  /// Takes the rows of slots back that no reader can see, and wipes them.
  func release(_ slots: [UInt32]) {
    for slot in slots {
      let row = row(of: slot)
      guard row != Self.rowOfNulls else { continue }
      bindings[Int(slot)].store(Self.rowOfNulls, ordering: .releasing)
      takeBack(row, of: slot)
    }
    frees.seal()
  }

  /// Takes replaced rows back that no reader can be on any more, and at most so many.
  /// - Returns: whether there are others.
  func reclaim(atMost count: Int) -> Bool {
    let oldest = pins.oldest()
    frees.free(oldest: oldest)
    // Versions ascend, so those that are done stand first. Looking at no others keeps a change cheap while a reader stays pinned.
    let done = Array(replaced.prefix(count).prefix { oldest >= $0.version })
    guard !done.isEmpty else { return false }
    replaced.removeFirst(done.count)
    for item in done {
      if let count = replacedOfSlot[item.slot], count > 1 {
        replacedOfSlot[item.slot] = count - 1
      } else {
        replacedOfSlot[item.slot] = nil
      }
    }
    for item in done { takeBack(item.row, of: item.slot) }
    frees.seal()
    return replaced.first.map { oldest >= $0.version } ?? false
  }

  private func takeBack(_ row: UInt32, of slot: UInt32) {
    let now = self.row(of: slot)
    for column in columns {
      guard let postings = column.postings else { continue }
      for key in AttributeCells.keys(column.keys(row), without: column.keys(now)) {
        postings.noteDead(key, &frees) { keeps($0, key, column) }
      }
    }
    discard(row)
  }

  /// Makes a row NULL whose memory is zero.
  private func wipeFresh(_ row: UInt32) {
    // A zero cell is an array of no elements, which has no run to take back.
    for column in columns { column.wipe(row) }
  }
}

// MARK: - Loading

extension AttributeStore {
  /// Commits an attribute row for each of `count` slots of an index that has none yet: slot n gets row n + 1.
  func restoreRows(_ count: Int) throws(IndexError) {
    try rows.commit(slots: count + 1 + Self.blockSlots)
    rowsUsed = count + 1
  }

  /// Binds the slots to the rows that were made for them. No reader is there yet.
  /// - isLive: by slot; the rows of the others are free, and NULL.
  func bindRestored(_ isLive: [Bool]) {
    for (slot, isLive) in isLive.enumerated() where isLive {
      bindings[slot].store(UInt32(slot) + 1, ordering: .releasing)
    }
    for block in 0..<((isLive.count + Self.blockSlots - 1) / Self.blockSlots) {
      blocks.firstRow(block)[0].store(UInt32(block * Self.blockSlots) + 1, ordering: .releasing)
    }
    // As free slots are: the lowest first, so that slots keep the rows that follow each other.
    freeRows = isLive.indices.reversed().filter { !isLive[$0] }.map { UInt32($0) + 1 }
  }

  /// Fills the posting lists of a column from its rows. Several columns at a time, each on a thread of its own.
  func restorePostings(of column: AttributeCells, _ isLive: [Bool]) throws(IndexError) {
    guard let postings = column.postings else { return }
    // No reader has seen what is outgrown.
    var frees = DeferredFrees(pins: pins)
    defer { frees.freeAll() }
    for (slot, isLive) in isLive.enumerated() where isLive {
      for key in column.keys(UInt32(slot) + 1) {
        try postings.append(key, UInt32(slot), &frees) { _ in true }
      }
    }
  }

  /// Adds the words of a column, each for the first time. Several columns at a time, each on a thread of its own.
  /// - Returns: false when one is there twice or is no UTF-8.
  func restoreWords(
    of dictionary: KeywordDictionary, lengths: [UInt16], _ bytes: [UInt8]
  ) throws(IndexError) -> Bool {
    var frees = DeferredFrees(pins: pins)
    defer { frees.freeAll() }
    var start = 0
    for (number, length) in lengths.enumerated() {
      let end = start + Int(length)
      guard let word = String(validating: bytes[start..<end], as: UTF8.self),
        try dictionary.code(adding: word, &frees) == UInt32(number)
      else { return false }
      start = end
    }
    return true
  }
}
