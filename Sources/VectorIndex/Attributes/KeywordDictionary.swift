// text ↔ code: the words of one column, each kept once. Codes count up from 0 and stay.
//
//     entries  [code]  u64: offset in the heap << 16 | length
//     heap             the bytes of all words, one after the other
//     table            open addressing: u32 binary logarithm of the capacity, then cells of code + 1; 0 = unused
//
// May use: ReservedMemory, MachineMemory, MemoryBudget, DeferredFrees.

import Synchronization

/// The words of a column. One writer adds; readers, pinned, look up without a lock.
final class KeywordDictionary: @unchecked Sendable {
  // Proof of Sendable: a word is written before `published` or a cell of the table tells of it, and stays; the rest is the
  // writer's.

  private typealias Cell = Atomic<UInt32>
  /// No word: a NULL in a cell, or a text that no row has.
  static let noCode = UInt32.max
  /// So that offset and length fit in one word.
  private static let lengthBits: UInt64 = 16
  static let codesMax = Int(UInt32.max) - 1

  private let entryMemory: ReservedMemory
  private let heap: ReservedMemory
  private let entries: UnsafeMutablePointer<UInt64>
  private let budget: MemoryBudget
  private let table: Atomic<UnsafeMutablePointer<Atomic<UInt32>>>
  private let published = Atomic<Int>(0)
  private var heapBytes = 0

  init(wordsMax: Int, budget: MemoryBudget) throws(IndexError) {
    self.budget = budget
    entryMemory = try ReservedMemory(reserving: min(wordsMax, Self.codesMax) * 8, budget)
    // Address space for 256 bytes a word costs nothing; there is no more than twice the machine's memory.
    heap = try ReservedMemory(
      reserving: min(min(wordsMax, Self.codesMax) * 256, 2 * MachineMemory.physicalBytes), budget)
    entries = entryMemory.base.bindMemory(to: UInt64.self, capacity: entryMemory.reservedBytes / 8)
    let bytes = Self.bytes(log2: 4)
    guard budget.take(bytes) else { throw budget.refusal(of: bytes) }
    table = Atomic(Self.makeTable(log2: 4))
  }

  deinit {
    let cells = table.load(ordering: .relaxed)
    budget.giveBack(Self.bytes(log2: Self.log2(cells)))
    cells.deallocate()
  }

  /// Words published so far. Pairs with the releasing store of `code(adding:)`.
  var count: Int { published.load(ordering: .acquiring) }

  var bytes: Int {
    entryMemory.committedBytes + heap.committedBytes + Self.bytes(log2: Self.log2(table.load(ordering: .acquiring)))
  }

  /// The bytes of a word. Sound for every code below ``count``, and for every code in a cell that a reader may see.
  @inline(__always)
  func word(_ code: UInt32) -> UnsafeBufferPointer<UInt8> {
    let entry = entries[Int(code)]
    let start = (heap.base + Int(entry >> Self.lengthBits)).assumingMemoryBound(to: UInt8.self)
    return UnsafeBufferPointer(start: start, count: Int(entry & ((1 << Self.lengthBits) - 1)))
  }

  func text(_ code: UInt32) -> String { String(decoding: word(code), as: UTF8.self) }

  /// The code of a word, or ``noCode``.
  /// - Complexity: expected O(length).
  func code(of word: UnsafeBufferPointer<UInt8>) -> UInt32 {
    // Pairs with the releasing store of `grow`.
    let cells = table.load(ordering: .acquiring)
    let position = find(word, in: cells)
    let value = cells[position].load(ordering: .acquiring)
    return value == 0 ? Self.noCode : value - 1
  }

  func code(of text: String) -> UInt32 {
    var text = text
    return text.withUTF8 { code(of: $0) }
  }

  /// The code of a word, which is added if need be. The writer's.
  /// - Throws: `outOfMemory`; the dictionary is as it was.
  func code(adding text: String, _ frees: inout DeferredFrees) throws(IndexError) -> UInt32 {
    let known = code(of: text)
    if known != Self.noCode { return known }
    let count = published.load(ordering: .relaxed)
    guard count < Self.codesMax else {
      throw IndexError(.outOfMemory, "a text attribute has \(count) distinct values, and there are no more codes")
    }
    try entryMemory.commit((count + 1) * 8)
    try heap.commit(heapBytes + text.utf8.count)
    try growIfFull(count, &frees)
    let bytes = Array(text.utf8)
    (heap.base + heapBytes).copyMemory(from: bytes, byteCount: bytes.count)
    entries[count] = UInt64(heapBytes) << Self.lengthBits | UInt64(bytes.count)
    heapBytes += bytes.count
    let cells = table.load(ordering: .relaxed)
    let position = bytes.withUnsafeBufferPointer { find($0, in: cells) }
    cells[position].store(UInt32(count) + 1, ordering: .releasing)
    published.store(count + 1, ordering: .releasing)
    return UInt32(count)
  }

  /// The cell where a word is, or the unused one where it would be: cells are at most half full.
  private func find(_ word: UnsafeBufferPointer<UInt8>, in cells: UnsafeMutablePointer<Cell>) -> Int {
    let mask = (1 << Self.log2(cells)) - 1
    var position = Self.hash(word) & mask
    while true {
      let value = cells[1 + position].load(ordering: .acquiring)
      if value == 0 || Self.isEqual(self.word(value - 1), word) { return 1 + position }
      position = (position + 1) & mask
    }
  }

  private func growIfFull(_ count: Int, _ frees: inout DeferredFrees) throws(IndexError) {
    let old = table.load(ordering: .relaxed)
    let log2 = Self.log2(old)
    guard 2 * (count + 1) > 1 << log2 else { return }
    let more = Self.bytes(log2: log2 + 1) - Self.bytes(log2: log2)
    guard budget.take(more) else { throw budget.refusal(of: more) }
    let new = Self.makeTable(log2: log2 + 1)
    for code in 0..<UInt32(count) {
      let position = find(word(code), in: new)
      new[position].store(code + 1, ordering: .relaxed)
    }
    table.store(new, ordering: .releasing)
    frees.add(UnsafeMutableRawPointer(old))
  }

  private static func isEqual(_ a: UnsafeBufferPointer<UInt8>, _ b: UnsafeBufferPointer<UInt8>) -> Bool {
    a.count == b.count && a.elementsEqual(b)
  }

  /// Keyed by the process: whoever writes rows cannot make all words collide.
  private static func hash(_ word: UnsafeBufferPointer<UInt8>) -> Int {
    var hasher = Hasher()
    hasher.combine(bytes: UnsafeRawBufferPointer(word))
    return hasher.finalize()
  }

  private static func log2(_ cells: UnsafeMutablePointer<Cell>) -> Int { Int(cells[0].load(ordering: .relaxed)) }

  private static func bytes(log2: Int) -> Int { (1 + 1 << log2) * 4 }

  private static func makeTable(log2: Int) -> UnsafeMutablePointer<Cell> {
    let cells = UnsafeMutablePointer<Cell>.allocate(capacity: 1 + 1 << log2)
    for i in 0...(1 << log2) { (cells + i).initialize(to: Cell(0)) }
    cells[0].store(UInt32(log2), ordering: .relaxed)
    return cells
  }
}

/// Whether the bytes of `a` come before those of `b`: the C collation.
func comesBefore(_ a: UnsafeBufferPointer<UInt8>, _ b: UnsafeBufferPointer<UInt8>) -> Bool {
  a.lexicographicallyPrecedes(b)
}
