// The kernels once more, in Swift's portable SIMD types: what runs where C has no file for the CPU, and the oracle that
// every C kernel is tested against.
//
// `a * b + c`, not `addingProduct`: without FMA in the baseline the latter is one libm call a lane (3 × slower).
//
// May use: nothing but the standard library.

internal import CVectorKernels

extension DistanceKernels {
  static let portable = DistanceKernels(
    name: "portable",
    innerProduct: { query, rows, width, slots, count, out in
      for i in 0..<count {
        let row = rows + (slots.map { Int($0[i]) } ?? i) * width
        var sum = SIMD16<Float>()
        for j in stride(from: 0, to: width, by: 16) {
          sum = block(query, j) * block(row, j) + sum
        }
        out[i] = sum.sum()
      }
    },
    squaredL2: { query, rows, width, slots, count, out in
      for i in 0..<count {
        let row = rows + (slots.map { Int($0[i]) } ?? i) * width
        var sum = SIMD16<Float>()
        for j in stride(from: 0, to: width, by: 16) {
          let difference = block(query, j) - block(row, j)
          sum = difference * difference + sum
        }
        out[i] = sum.sum()
      }
    })
}

/// 16 floats from `j` on; in bounds because `j` is a multiple of 16 below the width, which is one too.
@inline(__always)
private func block(_ vector: UnsafePointer<Float>, _ j: Int) -> SIMD16<Float> {
  UnsafeRawPointer(vector + j).loadUnaligned(as: SIMD16<Float>.self)
}
