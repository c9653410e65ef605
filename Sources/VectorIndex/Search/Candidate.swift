// A node at a distance, as one integer: comparing and moving are one instruction each.
//
//     bits 63…32  the distance, mapped so that integers order as floats do
//     bits 31…0   the slot
//
// May use: nothing but the standard library.

enum Candidate {
  /// Farther than any.
  static let none = UInt64.max

  @inline(__always)
  static func pack(_ distance: Float, _ slot: UInt32) -> UInt64 { UInt64(orderedBits(distance)) << 32 | UInt64(slot) }

  @inline(__always)
  static func slot(_ candidate: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: candidate) }

  @inline(__always)
  static func distance(_ candidate: UInt64) -> Float {
    let bits = UInt32(truncatingIfNeeded: candidate >> 32)
    return Float(bitPattern: bits & 0x8000_0000 != 0 ? bits ^ 0x8000_0000 : ~bits)
  }

  /// The float's bits, mapped so that integers order as the floats do. NaN, which sums of huge components can give, counts
  /// as infinitely far.
  @inline(__always)
  static func orderedBits(_ distance: Float) -> UInt32 {
    let bits = (distance == distance ? distance : .infinity).bitPattern
    return bits ^ (UInt32(bitPattern: Int32(bitPattern: bits) >> 31) | 0x8000_0000)
  }
}
