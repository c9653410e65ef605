// Memory to measure reads in.
//
// May use: madvise; SplitMix.

import Glibc

/// Bytes that make sound rows of every format, on huge pages where the system gives them, as the rows of an index are.
final class RowMemory {
  let base: UnsafeMutableRawPointer
  let byteCount: Int

  private static let hugePage = 2 << 20
  static let line = 64

  /// - byteCount: rounded up to whole huge pages.
  init(byteCount: Int, seed: UInt64) {
    self.byteCount = (byteCount + Self.hugePage - 1) / Self.hugePage * Self.hugePage
    base = .allocate(byteCount: self.byteCount, alignment: Self.hugePage)
    madvise(base, self.byteCount, MADV_HUGEPAGE)
    var random = SplitMix(state: seed)
    // Each byte is 0x30...0x3F: as a float, a half and an 8-bit code it is an ordinary number between 0 and 64. How long sums take
    // does not depend on which.
    for offset in stride(from: 0, to: self.byteCount, by: 8) {
      base.storeBytes(
        of: random.next() & 0x0F0F_0F0F_0F0F_0F0F | 0x3030_3030_3030_3030, toByteOffset: offset, as: UInt64.self)
    }
  }

  deinit { base.deallocate() }

  /// Makes one cycle of all lines in random order: the first eight bytes of each are the offset of the next.
  func tieLines(_ random: inout SplitMix) {
    // Sattolo's algorithm: a permutation of one cycle.
    var order = Array(0..<UInt32(byteCount / Self.line))
    for i in stride(from: order.count - 1, to: 0, by: -1) {
      order.swapAt(i, Int.random(in: 0..<i, using: &random))
    }
    for (i, next) in order.enumerated() {
      base.storeBytes(of: UInt64(next) * UInt64(Self.line), toByteOffset: i * Self.line, as: UInt64.self)
    }
  }
}
