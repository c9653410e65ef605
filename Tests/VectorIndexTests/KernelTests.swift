// Every kernel that this CPU can run, against sums in double precision; those of integers against exact ones.
// scripts/check-kernels has the same for the kernels of other CPUs.

import CVectorKernels
import TestSupport
import Testing

@testable import VectorIndex

@Suite struct KernelTests {
  @Test(arguments: DistanceKernels.available.map(\.name), Kernel.allCases)
  func agreesWithExactSums(name: String, kernel: Kernel) throws {
    let function = kernel.function(of: try DistanceKernels.named(name).table)
    for seed in testSeeds {
      print("kernels \(name), \(kernel), seed \(seed)")
      var random = SeededRandom(seed: seed)
      for dimension in [1, 15, 16, 17, 32, 33, 63, 64, 65, 127, 128, 129, 384, 4_096] {
        for count in [0, 1, 2, 3, 4, 5, 7, 8, 9, 33] {
          let rig = Rig(kernel, dimension: dimension, rows: max(count, 8), numbers: [.anywhere, .anywhere], &random)
          rig.check(function, count: count, &random)
        }
      }
    }
  }

  /// Numbers at either end of their range: where a kernel's narrow sums would saturate, they do it here.
  @Test(arguments: DistanceKernels.available.map(\.name), Kernel.allCases)
  func doesNotSaturate(name: String, kernel: Kernel) throws {
    let function = kernel.function(of: try DistanceKernels.named(name).table)
    var random = SeededRandom(seed: 1)
    for dimension in [128, 129, 384, 1_024, 4_096] {
      for query in [Choice.largest, .smallest, .ends] {
        for row in [Choice.largest, .smallest, .ends] {
          let rig = Rig(kernel, dimension: dimension, rows: 8, numbers: [query, row], &random)
          rig.check(function, count: 5, &random)
        }
      }
    }
  }

  /// Of 65,536 halves, those that rows may hold: the portable twin makes others large numbers.
  @Test(arguments: DistanceKernels.available.map(\.name))
  func widensEveryHalf(name: String) throws {
    let halves = UnsafeMutableRawPointer.allocate(byteCount: 1 << 17, alignment: 64)
    let floats = UnsafeMutableRawPointer.allocate(byteCount: 1 << 18, alignment: 64)
    defer {
      halves.deallocate()
      floats.deallocate()
    }
    let out = floats.bindMemory(to: Float.self, capacity: 1 << 16)
    for half in 0..<(1 << 16) { halves.storeBytes(of: UInt16(half), toByteOffset: 2 * half, as: UInt16.self) }
    try DistanceKernels.named(name).table.f16_widen(halves, 1 << 16, out)
    for half in 0..<(1 << 16) {
      let number = Float16(bitPattern: UInt16(half))
      if number.isFinite { #expect(out[half].bitPattern == Float(number).bitPattern) }
    }
  }

  @Test func namesWhatItDoesNotHave() {
    #expect(throws: IndexError.self) { try DistanceKernels.named("abacus") }
  }
}

/// A kernel, and what it takes.
enum Kernel: CaseIterable {
  case f32Product, f32SquaredL2, f16Product, int8Product, f32Int8Product, int4Product

  func function(of table: vz_kernels) -> vz_sum_rows {
    switch self {
    case .f32Product: table.f32_product
    case .f32SquaredL2: table.f32_squared_l2
    case .f16Product: table.f16_product
    case .int8Product: table.int8_product
    case .f32Int8Product: table.f32_int8_product
    case .int4Product: table.int4_product
    }
  }

  var query: RowFormat { self == .int8Product || self == .int4Product ? .int8 : .f32 }

  var rows: RowFormat {
    switch self {
    case .f32Product, .f32SquaredL2: .f32
    case .f16Product: .f16
    case .int8Product, .f32Int8Product: .int8
    case .int4Product: .int4
    }
  }

  var squares: Bool { self == .f32SquaredL2 }
}

/// How numbers are chosen: anywhere in their range, at either end, or all at one.
enum Choice { case anywhere, ends, largest, smallest }

/// A query and rows in aligned memory, and the numbers in it.
private final class Rig {
  let kernel: Kernel
  let width: Int
  let query: UnsafeMutableRawPointer
  let rows: UnsafeMutableRawPointer
  let queryNumbers: [Double]
  let rowNumbers: [[Double]]

  init(_ kernel: Kernel, dimension: Int, rows count: Int, numbers: [Choice], _ random: inout SeededRandom) {
    self.kernel = kernel
    width = kernel.rows.width(ofDimension: dimension)
    let rowBytes = kernel.rows.rowBytes(width: width)
    query = .allocate(byteCount: kernel.query.rowBytes(width: width), alignment: 64)
    rows = .allocate(byteCount: rowBytes * count, alignment: 64)
    queryNumbers = Self.fill(query, kernel.query, dimension, width, numbers[0], &random)
    var rowNumbers: [[Double]] = []
    for i in 0..<count {
      rowNumbers.append(Self.fill(rows + i * rowBytes, kernel.rows, dimension, width, numbers[1], &random))
    }
    self.rowNumbers = rowNumbers
  }

  deinit {
    query.deallocate()
    rows.deallocate()
  }

  /// Sums `count` rows, named and not, and judges each sum.
  func check(_ function: vz_sum_rows, count: Int, _ random: inout SeededRandom) {
    let slots = (0..<count).map { _ in UInt32.random(in: 0..<UInt32(rowNumbers.count), using: &random) }
    for named in [true, false] {
      var sums = [Float](repeating: .nan, count: count + 1)
      slots.withUnsafeBufferPointer { function(query, rows, width, named ? $0.baseAddress : nil, count, &sums) }
      for i in 0..<count {
        let row = named ? Int(slots[i]) : i
        let terms = zip(queryNumbers, rowNumbers[row]).map { q, r in kernel.squares ? (q - r) * (q - r) : q * r }
        let exact = terms.reduce(0, +)
        if kernel.query == .int8 {
          // Below 2⁵³, so the sum in double precision is the integers'.
          #expect(sums[i] == Float(exact))
        } else {
          #expect(abs(Double(sums[i]) - exact) <= bound(terms))
        }
        var alone: Float = .nan
        function(query, rows + row * kernel.rows.rowBytes(width: width), width, nil, 1, &alone)
        #expect(alone == sums[i], "a row's sum does not depend on the rows beside it")
      }
      #expect(sums[count].isNaN, "nothing is written past the count")
    }
  }

  /// Sums of `n` rounded terms in any order lie within `n · ε · Σ|terms|` of the truth (Higham, Accuracy and Stability, §4.2).
  /// A squared difference is a product of two differences, each rounded itself.
  private func bound(_ terms: [Double]) -> Double {
    (kernel.squares ? 4 : 1) * terms.reduce(0) { $0 + abs($1) } * Double(width) * 0x1p-24 + 1e-30
  }

  /// Writes `dimension` numbers and the padding, and returns the numbers: 4-bit rows are padded with anything.
  private static func fill(
    _ memory: UnsafeMutableRawPointer, _ format: RowFormat, _ dimension: Int, _ width: Int, _ choice: Choice,
    _ random: inout SeededRandom
  ) -> [Double] {
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: format.rowBytes(width: width))
    var numbers: [Double] = []
    for j in 0..<(format == .int4 ? width : dimension) {
      let number = number(format, choice, &random)
      if j < dimension { numbers.append(number) }
      switch format {
      case .f32: memory.storeBytes(of: Float(number), toByteOffset: 4 * j, as: Float.self)
      case .f16: memory.storeBytes(of: Float16(number), toByteOffset: 2 * j, as: Float16.self)
      case .int8: memory.storeBytes(of: Int8(number), toByteOffset: j, as: Int8.self)
      case .int4:
        let place = memory.assumingMemoryBound(to: UInt8.self) + j / 128 * 64 + j % 64
        place.pointee |= UInt8(number) << (j % 128 < 64 ? 0 : 4)
      }
    }
    return numbers
  }

  private static func number(_ format: RowFormat, _ choice: Choice, _ random: inout SeededRandom) -> Double {
    let range: ClosedRange<Double> =
      switch format {
      case .f32: -1...1
      case .f16: -65_504...65_504
      case .int8: -127...127
      case .int4: 0...15
      }
    switch choice {
    case .largest: return range.upperBound
    case .smallest: return range.lowerBound
    case .ends: return Bool.random(using: &random) ? range.upperBound : range.lowerBound
    case .anywhere: break
    }
    switch format {
    case .f32: return Double(Float.random(in: -1...1, using: &random))
    case .f16:
      // Of all sizes, those below the normal ones, too.
      let exponent = Double(sign: .plus, exponent: Int.random(in: -25..<15, using: &random), significand: 1)
      return Double(Float16(Double.random(in: -1...1, using: &random) * exponent))
    case .int8: return Double(Int.random(in: -127...127, using: &random))
    case .int4: return Double(Int.random(in: 0...15, using: &random))
    }
  }
}
