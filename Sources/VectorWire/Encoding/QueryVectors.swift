// The vectors of a Search, as they came: a slice of the frame, read only when a search thread wants them.
//
// May use: NIOCore's ByteBuffer. Unsafe pointers are used to copy elements to and from its bytes; each copy is bounded
// by both sides' lengths.

import NIOCore

#if !_endian(little)
  #error("vectors are copied as they stand on the wire, which is little-endian")
#endif

/// How the elements of a vector stand on the wire.
public enum ElementType: UInt8, Hashable, Sendable, CaseIterable {
  case float32 = 1
  /// IEEE half precision.
  case float16 = 2

  public var byteCount: Int { self == .float32 ? 4 : 2 }
}

/// `count` vectors of `dimension` elements each, one behind the other.
public struct QueryVectors: Hashable, Sendable {
  public let elementType: ElementType
  public let dimension: Int
  public let count: Int
  /// `count × dimension × elementType.byteCount` bytes, aligned to nothing.
  let bytes: ByteBuffer

  /// - Precondition: `bytes` has the length that the other three ask for.
  init(elementType: ElementType, dimension: Int, count: Int, bytes: ByteBuffer) {
    precondition(bytes.readableBytes == count * dimension * elementType.byteCount)
    self.elementType = elementType
    self.dimension = dimension
    self.count = count
    self.bytes = bytes
  }

  /// Packs vectors to be sent.
  /// - Parameter vectors: all of one length, which may differ from what the server expects: the server will say so.
  /// - Returns: nil when the lengths differ among themselves.
  public init?(_ vectors: [[Float]], as elementType: ElementType = .float32) {
    let dimension = vectors.first?.count ?? 0
    guard vectors.allSatisfy({ $0.count == dimension }) else { return nil }
    var bytes = ByteBufferAllocator().buffer(capacity: vectors.count * dimension * elementType.byteCount)
    for vector in vectors {
      switch elementType {
      case .float32: _ = vector.withUnsafeBytes { bytes.writeBytes($0) }
      case .float16: for value in vector { bytes.writeField(Half.bits(of: value)) }
      }
    }
    self.init(elementType: elementType, dimension: dimension, count: vectors.count, bytes: bytes)
  }

  /// Writes one vector as Float32.
  ///
  /// Complexity: O(dimension); no allocation.
  /// - Precondition: `index` is in `0..<count`, and `target` has `dimension` elements.
  public func copy(_ index: Int, into target: UnsafeMutableBufferPointer<Float>) {
    precondition((0..<count).contains(index), "there are \(count) vectors")
    precondition(target.count == dimension, "the target must have \(dimension) elements")
    let length = dimension * elementType.byteCount
    bytes.withUnsafeReadableBytes { all in
      // Within bounds: init holds `all.count` to count × length, and index < count.
      let source = UnsafeRawBufferPointer(rebasing: all[(index * length)..<((index + 1) * length)])
      switch elementType {
      case .float32: UnsafeMutableRawBufferPointer(target).copyMemory(from: source)
      case .float16:
        for i in 0..<dimension {
          target[i] = Half.float(ofBits: source.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self))
        }
      }
    }
  }

  /// One vector as an array.
  public subscript(index: Int) -> [Float] {
    [Float](unsafeUninitializedCapacity: dimension) { target, initialized in
      copy(index, into: UnsafeMutableBufferPointer(rebasing: target[..<dimension]))
      initialized = dimension
    }
  }
}

/// IEEE half precision by integer and float arithmetic alone: Swift has no Float16 on every platform, and without F16C
/// each conversion would be a library call. Exact for all 65,536 halves; the way back rounds to nearest, ties to even.
enum Half {
  @inline(__always)
  static func float(ofBits half: UInt16) -> Float {
    let sign = UInt32(half & 0x8000) << 16
    // Exponent and fraction in float's places, 112 too low in the exponent: one multiplication by 2^112 sets that right
    // for normal and subnormal numbers alike.
    let magnitude = Float(bitPattern: UInt32(half & 0x7FFF) << 13) * Float(bitPattern: 0x7780_0000)
    // 2^16 and beyond has no half: these were infinity or NaN, whose exponent is all ones.
    let infinite: UInt32 = magnitude >= 65_536 ? 0x7F80_0000 : 0
    return Float(bitPattern: magnitude.bitPattern | infinite | sign)
  }

  static func bits(of value: Float) -> UInt16 {
    let sign = UInt16(truncatingIfNeeded: value.bitPattern >> 16) & 0x8000
    let magnitude = Float(bitPattern: value.bitPattern & 0x7FFF_FFFF)
    if magnitude.isNaN { return sign | 0x7E00 }
    if magnitude >= 65_520 { return sign | 0x7C00 }
    if magnitude < Float(bitPattern: 0x3880_0000) {  // under 2^-14: a subnormal half, in steps of 2^-24
      return sign | UInt16((magnitude * 16_777_216).rounded(.toNearestOrEven))
    }
    let bits = magnitude.bitPattern
    let rounded = bits &+ 0x0FFF &+ ((bits >> 13) & 1)
    return sign | UInt16(truncatingIfNeeded: (rounded >> 13) &- (112 << 10))
  }
}
