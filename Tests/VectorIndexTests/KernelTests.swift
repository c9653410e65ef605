// Every kernel that this CPU can run, against sums in double precision.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct KernelTests {
  /// Sums of `n` rounded terms in any order lie within `n · ε · Σ|terms|` of the truth (Higham, Accuracy and Stability, §4.2);
  /// the kernels keep at least 4 partial sums, so an eighth of that holds with room to spare for n ≥ 16.
  private func bound(_ terms: [Double], width: Int) -> Float {
    Float(terms.reduce(0) { $0 + abs($1) } * Double(width) * 0x1p-24 + 1e-30)
  }

  @Test(arguments: DistanceKernels.available.map(\.name))
  func agreesWithDoublePrecision(name: String) throws {
    let kernels = try DistanceKernels.named(name)
    for seed in testSeeds {
      print("kernels \(name), seed \(seed)")
      var random = SeededRandom(seed: seed)
      for dimension in [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 127, 384, 768, 1_536, 4_096] {
        for count in [0, 1, 2, 3, 4, 5, 7, 8, 9, 33] {
          let rig = Rig(dimension: dimension, rows: 40, &random)
          let slots = (0..<count).map { _ in UInt32.random(in: 0..<40, using: &random) }
          for useSlots in [true, false] where useSlots || count <= 40 {
            var products = [Float](repeating: .nan, count: count + 1)
            var squares = products
            slots.withUnsafeBufferPointer { slots in
              let named = useSlots ? slots.baseAddress : nil
              kernels.innerProduct(rig.query, rig.rows, width: rig.width, slots: named, count: count, into: &products)
              kernels.squaredL2(rig.query, rig.rows, width: rig.width, slots: named, count: count, into: &squares)
            }
            for i in 0..<count {
              let row = useSlots ? Int(slots[i]) : i
              let terms = (0..<rig.width).map { (Double(rig.query[$0]), Double(rig.rows[row * rig.width + $0])) }
              let product = terms.map { $0 * $1 }
              let square = terms.map { ($0 - $1) * ($0 - $1) }
              #expect(abs(products[i] - Float(product.reduce(0, +))) <= bound(product, width: rig.width))
              #expect(abs(squares[i] - Float(square.reduce(0, +))) <= 4 * bound(square, width: rig.width))
            }
            #expect(products[count].isNaN && squares[count].isNaN, "nothing is written past the count")
          }
        }
      }
    }
  }

  @Test func namesWhatItDoesNotHave() {
    #expect(throws: IndexError.self) { try DistanceKernels.named("abacus") }
  }

  /// A query and rows in aligned memory, padded with zeros.
  private final class Rig {
    let width: Int
    let query: UnsafeMutablePointer<Float>
    let rows: UnsafeMutablePointer<Float>

    init(dimension: Int, rows count: Int, _ random: inout SeededRandom) {
      width = DistanceKernels.width(ofDimension: dimension)
      query = Self.memory(width)
      rows = Self.memory(width * count)
      for j in 0..<width { query[j] = j < dimension ? .random(in: -1...1, using: &random) : 0 }
      for i in 0..<(width * count) { rows[i] = i % width < dimension ? .random(in: -1...1, using: &random) : 0 }
    }

    private static func memory(_ count: Int) -> UnsafeMutablePointer<Float> {
      UnsafeMutableRawPointer.allocate(byteCount: count * 4, alignment: 64).bindMemory(to: Float.self, capacity: count)
    }

    deinit {
      query.deallocate()
      rows.deallocate()
    }
  }
}
