// A set of numbers for a loop to look into: open addressing, at most half full.
//
// May use: nothing but the standard library.

/// Numbers to be found fast. Whoever makes one frees it.
struct KeySet<Key: FixedWidthInteger & BitwiseCopyable> {
  private let cells: UnsafeMutablePointer<Key>?
  private let mask: Int
  /// A number that is not in the set: an empty cell.
  private let empty: Key

  /// The empty set.
  static var none: KeySet { KeySet(cells: nil, mask: 0, empty: 0) }

  static func make(_ keys: [Key]) -> KeySet {
    guard !keys.isEmpty else { return .none }
    let members = Set(keys)
    var empty: Key = 0
    while members.contains(empty) { empty += 1 }
    var capacity = 2
    while capacity < 2 * members.count { capacity *= 2 }
    let cells = UnsafeMutablePointer<Key>.allocate(capacity: capacity)
    cells.initialize(repeating: empty, count: capacity)
    for key in members {
      var position = hash(key) & (capacity - 1)
      while cells[position] != empty { position = (position + 1) & (capacity - 1) }
      cells[position] = key
    }
    return KeySet(cells: cells, mask: capacity - 1, empty: empty)
  }

  func deallocate() { cells?.deallocate() }

  /// Multiplication alone, as values come from rows and the set from a query: nobody gains by collisions but he who waits.
  @inline(__always)
  private static func hash(_ key: Key) -> Int {
    let folded = UInt64(truncatingIfNeeded: key) ^ UInt64(truncatingIfNeeded: key >> (Key.bitWidth / 2))
    return Int(truncatingIfNeeded: (folded &* 0x9E37_79B9_7F4A_7C15) &>> 32)
  }

  @inline(__always)
  func contains(_ key: Key) -> Bool {
    guard let cells, key != empty else { return false }
    var position = Self.hash(key) & mask
    while true {
      let found = cells[position]
      if found == key { return true }
      if found == empty { return false }
      position = (position + 1) & mask
    }
  }

  /// Whether `body` is true of every number in the set.
  func all(_ body: (Key) -> Bool) -> Bool {
    guard let cells else { return true }
    for i in 0...mask where cells[i] != empty && !body(cells[i]) { return false }
    return true
  }
}
