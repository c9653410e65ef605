// The representations of a row: how many bytes they take, and how a vector becomes one of them and a vector again.
//
// A row has two numbers beside it, its side, so that a distance is `scale · (factor · sum + shift) + bias · weight + constant`
// with four numbers that belong to the query (Scorer.swift, vector_kernels.h). What they are depends on the metric:
//
//                 scale                                   bias
//     cosine      1 / length of what the row's numbers are  what the numbers are multiplied with to be the vector
//     product     what the numbers are multiplied with      0
//     l2          the same (1 for f32)                      squared length of the vector (0 for f32)
//
// May use: nothing but the standard library.

package enum RowFormat: Sendable {
  case f32
  case f16
  /// −127...127, scaled so that the largest component is 127.
  case int8
  /// 0...15, standing for −7.5...7.5; see vector_kernels.h for the order.
  case int4

  /// Numbers that a kernel reads at once: whole cache lines, but for f32.
  var widthMultiple: Int {
    switch self {
    case .f32: 16
    case .f16: 32
    case .int8: 64
    case .int4: 128
    }
  }

  /// The largest of the above: the padding of a query that any kernel can read.
  static let widthMultipleMax = 128

  package func width(ofDimension dimension: Int) -> Int { Self.padded(dimension, to: widthMultiple) }

  package func rowBytes(width: Int) -> Int {
    switch self {
    case .f32: width * 4
    case .f16: width * 2
    case .int8: width
    case .int4: width / 2
    }
  }

  /// Floats beside a row: its scale, and its bias where there is one or where it is saved.
  func sideFloats(metric: Metric) -> Int { self == .int4 && metric != .l2 ? 1 : 2 }

  static func padded(_ dimension: Int, to multiple: Int) -> Int { (dimension + multiple - 1) / multiple * multiple }
}

/// A row's numbers beside its numbers.
struct RowSide: Hashable, Sendable {
  var scale: Float
  var bias: Float
}

extension RowFormat {
  /// Writes `vector` as a row, padding included, and returns its side.
  ///
  /// - vector: `[width]`, finite, zero from `dimension` on.
  /// - inverseLength: 1 / ‖vector‖; used under cosine only.
  /// - power: a power of two that the vector is to be multiplied with, which floats might not hold then. 1 but for `int8`.
  func encode(
    _ vector: UnsafePointer<Float>, inverseLength: Float, times power: Float = 1, dimension: Int, width: Int,
    metric: Metric, into row: UnsafeMutableRawPointer
  ) -> RowSide {
    switch self {
    case .f32:
      row.copyMemory(from: vector, byteCount: width * 4)
      return RowSide(scale: metric == .cosine ? inverseLength : 1, bias: 0)
    case .f16:
      let unit = Self.unitOfHalves(vector, width)
      Self.writeHalves(vector, width, times: 1 / unit, to: row.assumingMemoryBound(to: UInt16.self))
      return fineSide(row, width: width, unit: unit, metric: metric)
    case .int8:
      let (unit, _) = Self.writeInt8(vector, width, to: row.assumingMemoryBound(to: Int8.self))
      return fineSide(row, width: width, unit: Self.int8Unit(unit * power), metric: metric)
    case .int4:
      return Self.writeInt4(
        vector, dimension: dimension, width: width, inverseLength: inverseLength, metric: metric,
        to: row.assumingMemoryBound(to: UInt8.self))
    }
  }

  /// The vector that a row stands for: `[width]`, padding included. Not for `int4`, which is kept beside a finer row.
  func decode(
    _ row: UnsafeRawPointer, side: RowSide, width: Int, metric: Metric, into vector: UnsafeMutablePointer<Float>
  ) {
    let unit = self == .f32 ? 1 : metric == .cosine ? side.bias : side.scale
    readNumbers(row, width, times: unit, to: vector)
  }

  /// The row's numbers as they are, times `unit`.
  func readNumbers(_ row: UnsafeRawPointer, _ width: Int, times unit: Float, to out: UnsafeMutablePointer<Float>) {
    switch self {
    case .f32: out.update(from: row.assumingMemoryBound(to: Float.self), count: width)
    case .f16: Self.readHalves(row.assumingMemoryBound(to: UInt16.self), width, times: unit, to: out)
    case .int8:
      let numbers = row.assumingMemoryBound(to: Int8.self)
      for j in 0..<width { out[j] = Float(numbers[j]) * unit }
    case .int4: preconditionFailure("4-bit codes are not read back")
    }
  }

  /// Whether all numbers of a row are some that the kernels expect: halves are finite, and no 8-bit code is −128.
  func isSound(_ row: UnsafeRawPointer, width: Int) -> Bool {
    switch self {
    case .f32, .int4: true
    case .f16: (0..<width).allSatisfy { row.load(fromByteOffset: 2 * $0, as: UInt16.self) & 0x7C00 != 0x7C00 }
    case .int8: (0..<width).allSatisfy { row.load(fromByteOffset: $0, as: Int8.self) != .min }
    }
  }

  /// The side of a half-precision or 8-bit row: from its numbers, so that a distance of a row to itself is zero.
  func fineSide(_ row: UnsafeRawPointer, width: Int, unit: Float, metric: Metric) -> RowSide {
    if metric == .innerProduct { return RowSide(scale: unit, bias: 0) }
    var sum: Double = 0
    switch self {
    case .f16:
      let numbers = row.assumingMemoryBound(to: UInt16.self)
      for j in stride(from: 0, to: width, by: 8) {
        let block = SIMD8<Double>(
          Self.floats(ofHalves: UnsafeRawPointer(numbers + j).loadUnaligned(as: SIMD8<UInt16>.self)))
        sum += (block * block).sum()
      }
    case .int8:
      let numbers = row.assumingMemoryBound(to: Int8.self)
      var total = 0
      for j in 0..<width { total &+= Int(numbers[j]) &* Int(numbers[j]) }
      sum = Double(total)
    case .f32, .int4: preconditionFailure("f32 and 4-bit rows have sides of their own")
    }
    if metric == .cosine { return RowSide(scale: Float(1 / sum.squareRoot()), bias: unit) }
    return RowSide(scale: unit, bias: Float(sum * Double(unit) * Double(unit)))
  }

  /// A power of two that brings the largest component into [1, 2), or as near to that as a float can be if it is subnormal:
  /// what is computed with the components times it neither overflows nor vanishes.
  static func inversePower(ofLargest largest: Float) -> Float { 1 / max(largest.binade, 0x1p-126) }

  static func largest(_ vector: UnsafePointer<Float>, _ width: Int) -> Float {
    var largest = SIMD8<Float>()
    for j in stride(from: 0, to: width, by: 8) {
      let block = UnsafeRawPointer(vector + j).loadUnaligned(as: SIMD8<Float>.self)
      // Without its sign bit, a float orders as an integer does.
      let magnitude = unsafeBitCast(unsafeBitCast(block, to: SIMD8<Int32>.self) & 0x7FFF_FFFF, to: SIMD8<Float>.self)
      largest.replace(with: magnitude, where: magnitude .> largest)
    }
    return largest.max()
  }
}

// MARK: - Half precision

extension RowFormat {
  /// A power of two by which the components are divided so that they fit: 1 for vectors of ordinary size, whose halves then are
  /// what Postgres's `halfvec` holds.
  private static func unitOfHalves(_ vector: UnsafePointer<Float>, _ width: Int) -> Float {
    let largest = largest(vector, width)
    guard largest > 0, !(0x1p-8..<0x1p15).contains(largest) else { return 1 }
    // Half of the largest component's power, so that neither it nor its inverse overflows, and even the smallest float leaves
    // a half that is not zero.
    return max(largest.binade / 2, 0x1p-126)
  }

  /// Rounds to nearest, ties to even; where that would be infinite when it is read back, to the largest that is not.
  private static func writeHalves(
    _ vector: UnsafePointer<Float>, _ width: Int, times factor: Float, to out: UnsafeMutablePointer<UInt16>
  ) {
    let limit = SIMD8<Float>(repeating: factor == 0x1p-126 ? 0x1.FFCp1 : 65_504)
    for j in stride(from: 0, to: width, by: 8) {
      let scaled = UnsafeRawPointer(vector + j).loadUnaligned(as: SIMD8<Float>.self) * factor
      let block = pointwiseMin(pointwiseMax(scaled, -limit), limit)
      let bits = unsafeBitCast(block, to: SIMD8<UInt32>.self)
      // Times 2⁻¹¹² the exponent is a half's; subnormal halves become subnormal floats.
      let small = unsafeBitCast(
        unsafeBitCast(bits & 0x7FFF_FFFF, to: SIMD8<Float>.self) * 0x1p-112, to: SIMD8<UInt32>.self)
      let rounded = (small &+ 0xFFF &+ ((small &>> 13) & 1)) &>> 13
      let halves = SIMD8<UInt16>(truncatingIfNeeded: rounded | ((bits &>> 16) & 0x8000))
      UnsafeMutableRawPointer(out + j).storeBytes(of: halves, as: SIMD8<UInt16>.self)
    }
  }

  /// No half that was written is infinite or NaN; one that a snapshot holds becomes a large number.
  @inline(__always)
  private static func floats(ofHalves halves: SIMD8<UInt16>) -> SIMD8<Float> {
    let bits = SIMD8<UInt32>(truncatingIfNeeded: halves)
    let magnitude = unsafeBitCast((bits & 0x7FFF) &<< 13, to: SIMD8<Float>.self) * 0x1p112
    return unsafeBitCast(
      unsafeBitCast(magnitude, to: SIMD8<UInt32>.self) | ((bits & 0x8000) &<< 16), to: SIMD8<Float>.self)
  }

  private static func readHalves(
    _ row: UnsafePointer<UInt16>, _ width: Int, times unit: Float, to out: UnsafeMutablePointer<Float>
  ) {
    for j in stride(from: 0, to: width, by: 8) {
      let block = floats(ofHalves: UnsafeRawPointer(row + j).loadUnaligned(as: SIMD8<UInt16>.self)) * unit
      UnsafeMutableRawPointer(out + j).storeBytes(of: block, as: SIMD8<Float>.self)
    }
  }
}

// MARK: - 8 and 4 bits

extension RowFormat {
  /// As near to a unit as there is one that is not zero and makes no component infinite.
  private static func int8Unit(_ unit: Float) -> Float {
    // The largest float whose product with 127 is finite.
    min(max(unit, .leastNonzeroMagnitude), 0x1.020406p121)
  }

  /// Adding 1.5 · 2²³ leaves the rounded integer in a float's low bits: no call of `roundf` a number.
  private static let roundingShift: Float = 0x1.8p23

  /// Rounds to 8 bits: symmetric, the largest component becomes 127.
  /// - Returns: what a code is multiplied with to be a component, and the sum of the codes.
  @discardableResult
  static func writeInt8(
    _ vector: UnsafePointer<Float>, _ width: Int, to out: UnsafeMutablePointer<Int8>
  ) -> (unit: Float, sum: Int32) {
    let largest = largest(vector, width)
    guard largest > 0 else {
      out.update(repeating: 0, count: width)
      return (1, 0)
    }
    let inversePower = inversePower(ofLargest: largest)
    let factor = 127 / (largest * inversePower)
    var sums = SIMD8<Int32>()
    for j in stride(from: 0, to: width, by: 8) {
      let scaled = UnsafeRawPointer(vector + j).loadUnaligned(as: SIMD8<Float>.self) * inversePower
      let integers = unsafeBitCast(scaled * factor + roundingShift, to: SIMD8<Int32>.self) &- 0x4B40_0000
      sums &+= integers
      UnsafeMutableRawPointer(out + j).storeBytes(of: SIMD8<Int8>(truncatingIfNeeded: integers), as: SIMD8<Int8>.self)
    }
    return (int8Unit(largest / 127), sums.wrappedSum())
  }

  /// Where the range of 4-bit codes ends, in standard deviations of a row's components: wider costs steps, narrower clips.
  private static let int4Range: Float = 2.7

  /// - vector: `[width]`; the padding is coded as zero-ish and meets the query's zeros.
  private static func writeInt4(
    _ vector: UnsafePointer<Float>, dimension: Int, width: Int, inverseLength: Float, metric: Metric,
    to out: UnsafeMutablePointer<UInt8>
  ) -> RowSide {
    let inversePower = inversePower(ofLargest: largest(vector, width))
    let power = 1 / inversePower
    var sums = SIMD8<Float>()
    for j in stride(from: 0, to: width, by: 8) {
      let block = UnsafeRawPointer(vector + j).loadUnaligned(as: SIMD8<Float>.self) * inversePower
      sums = block * block + sums
    }
    let squares = sums.sum()
    guard squares > 0 else {
      out.update(repeating: 0x88, count: width / 2)
      return RowSide(scale: 0, bias: 0)
    }
    let step = int4Range * (squares / Float(dimension)).squareRoot() / 8
    var agreements = SIMD8<Float>()
    for n in stride(from: 0, to: width, by: 128) {
      for b in stride(from: 0, to: 64, by: 8) {
        let low = int4(vector + n + b, times: inversePower, 1 / step, &agreements)
        let high = int4(vector + n + 64 + b, times: inversePower, 1 / step, &agreements)
        let bytes = SIMD8<UInt8>(truncatingIfNeeded: low | (high &<< 4))
        UnsafeMutableRawPointer(out + n / 2 + b).storeBytes(of: bytes, as: SIMD8<UInt8>.self)
      }
    }
    // The scale at which the row agrees with its own vector: ⟨x, x⟩ = ⟨x, s·c⟩.
    let scale = squares / (step * agreements.sum())
    switch metric {
    case .cosine: return RowSide(scale: scale * (power * inverseLength), bias: 0)
    case .innerProduct: return RowSide(scale: scale * power, bias: 0)
    case .l2: return RowSide(scale: scale * power, bias: squares * power * power)
    }
  }

  /// Eight codes, and what they add to the agreement ⟨x / step, c⟩.
  @inline(__always)
  private static func int4(
    _ vector: UnsafePointer<Float>, times inversePower: Float, _ inverseStep: Float, _ agreements: inout SIMD8<Float>
  ) -> SIMD8<Int32> {
    let place = UnsafeRawPointer(vector).loadUnaligned(as: SIMD8<Float>.self) * inversePower * inverseStep
    // To the nearest of −7.5, −6.5 … 7.5.
    var inside = place + 7.5
    inside.replace(with: 0, where: inside .< 0)
    inside.replace(with: 15, where: inside .> 15)
    let code = unsafeBitCast(inside + roundingShift, to: SIMD8<Int32>.self) &- 0x4B40_0000
    agreements = place * (SIMD8<Float>(code) - 7.5) + agreements
    return code
  }
}
