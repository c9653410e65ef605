// Byte shuffle: groups the bytes of equal significance, which makes numbers compressible for LZ4.
//
// Of the n whole elements of a block, of e bytes each, byte j of element i moves from i·e + j to j·n + i. What is left
// over at the end of the block stays where it is.
//
// May use: nothing but the standard library. Raw pointers: the bytes are on their way to and from C and a file.

enum ByteShuffle {
  /// - Precondition: the buffers have the same length and do not overlap; `elementSize` is 2, 4 or 8.
  static func shuffle(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer, elementSize: Int) {
    precondition(source.count == target.count)
    guard let from = source.baseAddress, let to = target.baseAddress else { return }
    let count = source.count / elementSize
    switch elementSize {
    case 2: split(UInt16.self, from, to, count)
    case 4: split(UInt32.self, from, to, count)
    case 8: split(UInt64.self, from, to, count)
    default: preconditionFailure("an element to shuffle has 2, 4 or 8 bytes")
    }
    copyRest(source, target, from: count * elementSize)
  }

  /// The inverse of ``shuffle(_:into:elementSize:)``, with the same preconditions.
  static func unshuffle(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer, elementSize: Int)
  {
    precondition(source.count == target.count)
    guard let from = source.baseAddress, let to = target.baseAddress else { return }
    let count = source.count / elementSize
    switch elementSize {
    case 2: join(UInt16.self, from, to, count)
    case 4: join(UInt32.self, from, to, count)
    case 8: join(UInt64.self, from, to, count)
    default: preconditionFailure("an element to shuffle has 2, 4 or 8 bytes")
    }
    copyRest(source, target, from: count * elementSize)
  }

  // One plane at a time: a loop that reads whole elements and writes one byte of each is one that the compiler turns
  // into vector instructions.

  @inline(__always)
  private static func split<Element: FixedWidthInteger & UnsignedInteger>(
    _ type: Element.Type, _ from: UnsafeRawPointer, _ to: UnsafeMutableRawPointer, _ count: Int
  ) {
    let size = MemoryLayout<Element>.size
    for plane in 0..<size {
      let shift = Element(truncatingIfNeeded: 8 * plane)
      let out = to + plane * count
      for i in 0..<count {
        // In bounds: (i + 1) · size ≤ the source's length, and plane · count + i < count · size.
        let element = Element(littleEndian: from.loadUnaligned(fromByteOffset: i &* size, as: Element.self))
        out.storeBytes(of: UInt8(truncatingIfNeeded: element &>> shift), toByteOffset: i, as: UInt8.self)
      }
    }
  }

  @inline(__always)
  private static func join<Element: FixedWidthInteger & UnsignedInteger>(
    _ type: Element.Type, _ from: UnsafeRawPointer, _ to: UnsafeMutableRawPointer, _ count: Int
  ) {
    let size = MemoryLayout<Element>.size
    for i in 0..<count {
      // In bounds: plane · count + i < count · size ≤ the source's length, and (i + 1) · size ≤ the target's.
      var element: Element = 0
      for plane in 0..<size {
        let byte = from.load(fromByteOffset: plane &* count &+ i, as: UInt8.self)
        element |= Element(truncatingIfNeeded: byte) &<< Element(truncatingIfNeeded: 8 &* plane)
      }
      to.storeBytes(of: element.littleEndian, toByteOffset: i &* size, as: Element.self)
    }
  }

  private static func copyRest(
    _ source: UnsafeRawBufferPointer, _ target: UnsafeMutableRawBufferPointer, from start: Int
  ) {
    for i in start..<source.count { target[i] = source[i] }
  }
}
