// What one thread's filtered searches write, and what they leave behind: the rows that match.
//
// May use: FilterProgram, WordBinding, PostingTable.

/// The working memory of one thread's filters. Not copyable: two searches never share one.
public struct FilterScratch: ~Copyable {
  /// The program that the words were bound for, by its number. Not the program itself: a thread that searches no more would keep it alive,
  /// and with it the columns of an index that is gone.
  private var programNumber: UInt64 = 0
  private(set) var words: [WordBinding] = []
  var candidates = SlotList()
  var mask: UnsafeMutablePointer<UInt64>
  private var maskCapacity = 64
  let rows: UnsafeMutablePointer<UInt32>
  let cellBuffer: UnsafeMutableRawPointer
  let byteBuffer: UnsafeMutableRawPointer
  let stack: UnsafeMutablePointer<TruthMasks>

  public init() {
    mask = .allocate(capacity: maskCapacity)
    rows = .allocate(capacity: 64)
    cellBuffer = .allocate(byteCount: 64 * 16, alignment: 64)
    byteBuffer = .allocate(byteCount: 64, alignment: 64)
    stack = .allocate(capacity: FilterProgram.stackMax)
    stack.initialize(repeating: TruthMasks(isTrue: 0, isFalse: 0), count: FilterProgram.stackMax)
  }

  deinit {
    candidates.deallocate()
    mask.deallocate()
    rows.deallocate()
    cellBuffer.deallocate()
    byteBuffer.deallocate()
    stack.deallocate()
  }

  /// Makes the program's texts codes, as of now. Call it pinned, before rows are looked at.
  mutating func bind(_ program: FilterProgram) {
    if programNumber != program.number {
      programNumber = program.number
      words = program.conditions.indices.map { WordBinding(program, $0) }
    }
    for binding in words { binding.refresh() }
  }

  /// Room for a bit a slot.
  mutating func reserveMask(words count: Int) {
    guard count > maskCapacity else { return }
    mask.deallocate()
    // A little more, as an index grows a row at a time.
    maskCapacity = count + count / 8
    mask = .allocate(capacity: maskCapacity)
  }
}

/// Slots, in memory that is kept from search to search.
struct SlotList {
  private(set) var slots: UnsafeMutablePointer<UInt32>
  private var other: UnsafeMutablePointer<UInt32>
  /// `[256]`, for a sort: where the slots with each digit go.
  private let starts: UnsafeMutablePointer<Int>
  private var capacity = 256
  var count = 0

  init() {
    slots = .allocate(capacity: capacity)
    other = .allocate(capacity: capacity)
    starts = .allocate(capacity: 256)
  }

  func deallocate() {
    starts.deallocate()
    slots.deallocate()
    other.deallocate()
  }

  mutating func append(_ list: PostingTable.List) {
    let more = list.count
    reserve(count + more)
    count += list.copy(into: slots + count, limit: more)
  }

  private mutating func reserve(_ needed: Int) {
    guard needed > capacity else { return }
    let larger = max(needed, 2 * capacity)
    let new = UnsafeMutablePointer<UInt32>.allocate(capacity: larger)
    new.update(from: slots, count: count)
    slots.deallocate()
    other.deallocate()
    slots = new
    other = .allocate(capacity: larger)
    capacity = larger
  }

  /// Puts the slots in order, a byte at a time, the lowest first. The standard library's sort would allocate.
  mutating func sort() {
    var isAscending = true
    var highest: UInt32 = 0
    for i in 0..<count {
      if slots[i] < highest { isAscending = false }
      highest = max(highest, slots[i])
    }
    guard !isAscending else { return }
    var shift: UInt32 = 0
    while shift < 32, highest >> shift > 0 {
      starts.initialize(repeating: 0, count: 256)
      for i in 0..<count { starts[Int(slots[i] >> shift & 255)] += 1 }
      var start = 0
      for digit in 0..<256 { (starts[digit], start) = (start, start + starts[digit]) }
      for i in 0..<count {
        let digit = Int(slots[i] >> shift & 255)
        other[starts[digit]] = slots[i]
        starts[digit] += 1
      }
      swap(&slots, &other)
      shift += 8
    }
  }
}

/// The rows of which a filter is TRUE, at one version. Valid until its scratch is used again, and while that version is pinned.
package struct MatchSet {
  /// How many there are, exactly.
  package let count: Int
  package let form: Form

  package enum Form {
    /// The slots, ascending.
    case slots(UnsafeBufferPointer<UInt32>)
    case mask(SlotMask)
  }
}

extension FilterScratch {
  /// A set as a bit for each slot, whatever it was, for a walk to ask.
  /// - Complexity: where the set is a list, a step for 64 slots.
  mutating func mask(of matches: MatchSet) -> SlotMask {
    switch matches.form {
    case .mask(let mask): return mask
    case .slots(let slots):
      let used = slots.isEmpty ? 0 : Int(slots[slots.count - 1]) + 1
      reserveMask(words: (used + 63) / 64)
      mask.update(repeating: 0, count: (used + 63) / 64)
      for slot in slots { mask[Int(slot) / 64] |= 1 << UInt64(slot % 64) }
      return SlotMask(words: mask, slots: used)
    }
  }
}

/// A bit for each slot.
package struct SlotMask {
  let words: UnsafePointer<UInt64>
  /// Slots that it speaks of; those beyond do not match.
  let slots: Int

  @inline(__always)
  package func contains(_ slot: UInt32) -> Bool {
    // A row that came after the mask was made has a slot beyond it, or a bit that is not set.
    Int(slot) < slots && words[Int(slot) / 64] &>> UInt64(slot % 64) & 1 == 1
  }
}
