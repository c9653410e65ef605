// A set of numbers for a loop to look into: open addressing, at most half full.
//
// May use: nothing but the standard library.

/// Numbers to be found fast. Whoever makes one frees it.
struct KeySet<Key: FixedWidthInteger & BitwiseCopyable> {
  let cells: UnsafeMutablePointer<Key>?
  let mask: Int
  /// A number that is not in the set: an empty cell.
  let empty: Key
  /// What keys are multiplied with, odd and this set's own: numbers that meet in one set do not meet in the next, so nobody can send
  /// a list whose members all want one cell.
  private let multiplier: UInt64
  private let highMultiplier: UInt64
  /// Leaves of a product as many of its highest bits as number the cells.
  private let shift: UInt64
  let count: Int

  /// The empty set.
  static var none: KeySet {
    KeySet(cells: nil, mask: 0, empty: 0, multiplier: 1, highMultiplier: 1, shift: 63, count: 0)
  }

  static func make(_ keys: [Key]) -> KeySet {
    guard !keys.isEmpty else { return .none }
    let members = Set(keys)
    var empty: Key = 0
    while members.contains(empty) { empty += 1 }
    var capacity = 2
    while capacity < 2 * members.count { capacity *= 2 }
    let cells = UnsafeMutablePointer<Key>.allocate(capacity: capacity)
    cells.initialize(repeating: empty, count: capacity)
    let set = KeySet(
      cells: cells, mask: capacity - 1, empty: empty, multiplier: .random(in: 0...UInt64.max) | 1,
      highMultiplier: .random(in: 0...UInt64.max) | 1,
      shift: UInt64(64 - capacity.trailingZeroBitCount), count: members.count)
    for key in members {
      var position = set.place(key)
      while cells[position] != empty { position = (position + 1) & set.mask }
      cells[position] = key
    }
    return set
  }

  func deallocate() { cells?.deallocate() }

  /// The highest bits of a product, which all bits of a key reach. Twice over, with the halves mixed between: of one product alone, numbers
  /// in a row may lie in a row.
  @inline(__always)
  private func place(_ key: Key) -> Int {
    var product = UInt64(truncatingIfNeeded: key) &* multiplier
    if Key.bitWidth > 64 { product &+= UInt64(truncatingIfNeeded: key >> 64) &* highMultiplier }
    product = (product ^ product &>> 32) &* 0x9E37_79B9_7F4A_7C15
    return Int(truncatingIfNeeded: product &>> shift)
  }

  @inline(__always)
  func contains(_ key: Key) -> Bool {
    guard let cells, key != empty else { return false }
    var position = place(key)
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
