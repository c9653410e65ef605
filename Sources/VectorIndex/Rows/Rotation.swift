// A fixed rotation, under which no component of a vector stands out.
//
// 8-bit rows have 127 steps for their largest component. Models whose vectors have a few large ones leave a step or two to all
// the others; turned, every component is a sum over all of them, and the largest is about three times the typical one. Lengths,
// distances and angles stay as they are.
//
// May use: nothing but the standard library.

/// A randomized fast Hadamard transform over any number of components, in place.
///
/// A round flips signs at random and mixes a block, the largest power of two that fits, by a Walsh–Hadamard transform (Ailon &
/// Chazelle, "The Fast Johnson–Lindenstrauss Transform", SIAM J. Comput. 39, 2009). Where the block is the whole vector, two
/// rounds are enough. Else the first components are mixed, then the last, then the first again.
///
/// Every index has the same signs: they are part of what saved rows mean, and stand in snapshots as ``version``.
package final class Rotation: @unchecked Sendable {
  // Proof of Sendable: nothing changes after `init`.

  /// Another way to rotate gets another number.
  package static let version: UInt64 = 1

  private static let seed: UInt64 = 0x726F_7461_7465_3031
  /// Vectors whose largest component lies in here are computed with as they are: what is summed up neither overflows nor vanishes.
  private static let ordinary: Range<Float> = 0x1p-60..<0x1p60

  let dimension: Int
  private let block: Int
  private let rounds: Int
  /// `[rounds][block]`: ± 1 / √block.
  private let signs: UnsafeMutablePointer<Float>

  init(dimension: Int) {
    self.dimension = dimension
    block = 1 << (Int.bitWidth - 1 - dimension.leadingZeroBitCount)
    rounds = block == dimension ? 2 : 3
    signs = .allocate(capacity: rounds * block)
    let size = 1 / Float(block).squareRoot()
    for i in 0..<(rounds * block) {
      (signs + i).initialize(to: mixed(Self.seed &+ UInt64(i)) >> 63 == 0 ? size : -size)
    }
  }

  deinit { signs.deallocate() }

  /// Turns a vector.
  ///
  /// - vector: `[width]`, finite; from `dimension` on zero, and left alone.
  /// - width: a multiple of 8.
  /// - Returns: what the numbers are to be multiplied with to be the vector turned: 1, or a power of two for one so long or short
  ///   that floats might not hold it.
  /// - Complexity: O(dimension · log dimension), no allocation.
  func rotate(_ vector: UnsafeMutablePointer<Float>, width: Int) -> Float {
    let power = normalise(vector, width)
    for round in 0..<rounds {
      let start = vector + start(ofRound: round)
      Self.multiply(start, by: signs + round * block, block)
      mix(start)
    }
    return power
  }

  /// Turns a vector back. One that is longer than floats can tell becomes as long as they can.
  ///
  /// - vector: `[width]` as for ``rotate(_:width:)``.
  func unrotate(_ vector: UnsafeMutablePointer<Float>, width: Int) {
    let power = normalise(vector, width)
    for round in (0..<rounds).reversed() {
      let start = vector + start(ofRound: round)
      mix(start)
      Self.multiply(start, by: signs + round * block, block)
    }
    Self.scale(vector, width, by: power)
  }

  /// Multiplies a vector by a power of two, or by as much of it as leaves all components finite.
  static func scale(_ vector: UnsafeMutablePointer<Float>, _ width: Int, by power: Float) {
    guard power != 1 else { return }
    let most = (Float.greatestFiniteMagnitude / RowFormat.largest(vector, width)).nextDown
    multiply(vector, width, by: min(power, most))
  }

  private func start(ofRound round: Int) -> Int { round == 1 ? dimension - block : 0 }

  /// Brings a vector into the range in which it can be computed with.
  /// - Returns: what undoes that.
  private func normalise(_ vector: UnsafeMutablePointer<Float>, _ width: Int) -> Float {
    let largest = RowFormat.largest(vector, width)
    guard largest > 0, !Self.ordinary.contains(largest) else { return 1 }
    let inversePower = RowFormat.inversePower(ofLargest: largest)
    Self.multiply(vector, width, by: inversePower)
    return 1 / inversePower
  }
}

// MARK: - The loops

extension Rotation {
  @inline(__always)
  private static func load(_ pointer: UnsafeMutablePointer<Float>) -> SIMD8<Float> {
    UnsafeRawPointer(pointer).loadUnaligned(as: SIMD8<Float>.self)
  }

  @inline(__always)
  private static func store(_ floats: SIMD8<Float>, _ pointer: UnsafeMutablePointer<Float>) {
    UnsafeMutableRawPointer(pointer).storeBytes(of: floats, as: SIMD8<Float>.self)
  }

  private static func multiply(_ vector: UnsafeMutablePointer<Float>, _ width: Int, by factor: Float) {
    for j in stride(from: 0, to: width, by: 8) { store(load(vector + j) * factor, vector + j) }
  }

  private static func multiply(
    _ vector: UnsafeMutablePointer<Float>, by factors: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    var j = 0
    while j + 8 <= count {
      store(load(vector + j) * load(factors + j), vector + j)
      j += 8
    }
    while j < count {
      vector[j] *= factors[j]
      j += 1
    }
  }

  /// The Walsh–Hadamard transform of a block, not normalised: its own inverse but for the factor `block`.
  private func mix(_ vector: UnsafeMutablePointer<Float>) {
    guard block >= 8 else { return mixFew(vector) }
    for j in stride(from: 0, to: block, by: 8) {
      var x = Self.load(vector + j)
      // Neighbours are added and subtracted, and go to the two halves: after the third time all are where they were.
      for _ in 0..<3 { x = SIMD8(lowHalf: x.evenHalf + x.oddHalf, highHalf: x.evenHalf - x.oddHalf) }
      Self.store(x, vector + j)
    }
    var h = 8
    // Two steps at once: half the passes over memory.
    while 4 * h <= block {
      for i in stride(from: 0, to: block, by: 4 * h) {
        for j in stride(from: i, to: i + h, by: 8) {
          let (a, b) = (Self.load(vector + j), Self.load(vector + j + h))
          let (c, d) = (Self.load(vector + j + 2 * h), Self.load(vector + j + 3 * h))
          let (p, q) = (a + b, a - b)
          let (r, s) = (c + d, c - d)
          Self.store(p + r, vector + j)
          Self.store(q + s, vector + j + h)
          Self.store(p - r, vector + j + 2 * h)
          Self.store(q - s, vector + j + 3 * h)
        }
      }
      h *= 4
    }
    guard h < block else { return }
    for j in stride(from: 0, to: h, by: 8) {
      let (a, b) = (Self.load(vector + j), Self.load(vector + j + h))
      Self.store(a + b, vector + j)
      Self.store(a - b, vector + j + h)
    }
  }

  /// The same of a block that is shorter than a vector register.
  private func mixFew(_ vector: UnsafeMutablePointer<Float>) {
    var h = 1
    while h < block {
      for j in 0..<block where j & h == 0 {
        (vector[j], vector[j + h]) = (vector[j] + vector[j + h], vector[j] - vector[j + h])
      }
      h *= 2
    }
  }
}
