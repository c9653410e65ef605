// Components of a vector, from the wire's big-endian bytes to f32. The one hot loop of the load.
//
// May use: the standard library. Unsafe, because this is where bytes meet libpq; the decoder has checked every length.

package enum VectorBytes {
  /// Reads `count` big-endian f32.
  /// - Precondition: `source` holds `4 * count` bytes, at any alignment; `target` has room for `count` floats.
  /// - Returns: whether all are finite. The floats are written either way.
  package static func readFloats(
    _ source: UnsafeRawPointer, count: Int, into target: UnsafeMutablePointer<Float>
  ) -> Bool {
    // A maximum instead of a branch, and signed, because that is what the baseline's vector unit compares.
    var largest: Int32 = 0
    for i in 0..<count {
      let bits = UInt32(bigEndian: source.loadUnaligned(fromByteOffset: i &* 4, as: UInt32.self))
      largest = max(largest, Int32(truncatingIfNeeded: bits & 0x7FFF_FFFF))
      (target + i).initialize(to: Float(bitPattern: bits))
    }
    return largest < 0x7F80_0000
  }

  /// Reads `count` big-endian f16 and widens them exactly.
  ///
  /// In integers and one multiplication, because the baseline x86-64 converts f16 by a call for each component: with
  /// exponent and fraction moved to their places in an f32, the value is 2^-112 of what it should be, subnormals
  /// included.
  /// - Precondition: `source` holds `2 * count` bytes, at any alignment; `target` has room for `count` floats.
  /// - Returns: whether all are finite. The floats are written either way.
  package static func readHalves(
    _ source: UnsafeRawPointer, count: Int, into target: UnsafeMutablePointer<Float>
  ) -> Bool {
    let rescale = Float(bitPattern: (127 + 112) << 23)
    var largest: Int32 = 0
    for i in 0..<count {
      let bits = UInt32(UInt16(bigEndian: source.loadUnaligned(fromByteOffset: i &* 2, as: UInt16.self)))
      let magnitude = bits & 0x7FFF
      largest = max(largest, Int32(truncatingIfNeeded: magnitude))
      let value = Float(bitPattern: magnitude << 13) * rescale
      (target + i).initialize(to: Float(bitPattern: value.bitPattern | (bits & 0x8000) << 16))
    }
    return largest < 0x7C00
  }
}
