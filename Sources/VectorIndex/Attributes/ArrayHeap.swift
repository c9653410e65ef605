// Where the elements of array attributes lie: runs of 8-byte words, which their cells point at.
//
//     cell     u64: first word << 17 | has NULLs << 16 | elements; FFFFFFFFFFFFFFFF = NULL
//     int64    a word an element, then, if there are NULLs, a bit an element
//     uuid     two words an element, then the same
//     keyword  half a word an element: its code; a NULL has a code of its own
//
// May use: ReservedMemory, MachineMemory.

/// An array's cell.
struct ArrayCell {
  static let null = UInt64.max
  let bits: UInt64

  init(bits: UInt64) { self.bits = bits }

  init(first: Int, count: Int, hasNulls: Bool) {
    bits = UInt64(first) << 17 | (hasNulls ? 1 << 16 : 0) | UInt64(count)
  }

  var first: Int { Int(bits >> 17) }
  var count: Int { Int(bits & 0xFFFF) }
  var hasNulls: Bool { bits & 1 << 16 != 0 }

  /// The words that its elements take.
  func words(of element: AttributeType) -> Int {
    let nullWords = hasNulls ? (count + 63) / 64 : 0
    switch element {
    case .uuid: return 2 * count + nullWords
    case .keyword: return (count + 1) / 2
    default: return count + nullWords
    }
  }
}

/// The runs of one column. The writer's; readers read runs through cells.
struct ArrayHeap: ~Copyable {
  private let memory: ReservedMemory
  let words: UnsafeMutablePointer<UInt64>
  private var used = 0
  /// Runs to use again, by their room.
  private var free: [Int: [Int]] = [:]

  /// Runs of up to so many words are given out in exactly their size; longer ones in powers of two, so that they fit again.
  private static let exactMax = 16

  init(rowsMax: Int, budget: MemoryBudget) throws(IndexError) {
    // Address space for 64 words a row costs nothing; there is no more than twice the machine's memory.
    memory = try ReservedMemory(reserving: min(rowsMax * 8 * 64, 2 * MachineMemory.physicalBytes), budget)
    words = memory.base.bindMemory(to: UInt64.self, capacity: memory.reservedBytes / 8)
  }

  var bytes: Int { memory.committedBytes }

  private static func room(_ words: Int) -> Int {
    words <= exactMax ? words : 1 << (Int.bitWidth - (words - 1).leadingZeroBitCount)
  }

  /// The first word of a run of `count` words.
  mutating func take(_ count: Int) throws(IndexError) -> Int {
    let room = Self.room(count)
    if room == 0 { return 0 }
    if let first = free[room]?.popLast() { return first }
    try memory.commit((used + room) * 8)
    defer { used += room }
    return used
  }

  /// Takes back and wipes a run that no reader can see.
  mutating func giveBack(_ first: Int, _ count: Int) {
    let room = Self.room(count)
    guard room > 0 else { return }
    (words + first).update(repeating: 0, count: room)
    free[room, default: []].append(first)
  }
}
