// The kernels once more, in Swift's portable SIMD types: what runs where C has no file for the CPU, and a twin that every C
// kernel is tested against.
//
// `a * b + c`, not `addingProduct`: without FMA in the baseline the latter is one libm call a lane (3 × slower).
//
// May use: nothing but the standard library.

internal import CVectorKernels

extension DistanceKernels {
  static let portable: DistanceKernels = {
    // A literal, for the table's name in C.
    let name: StaticString = "portable"
    return DistanceKernels(
      name: "portable",
      table: vz_kernels(
        name: UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self),
        f32_product: { query, rows, width, slots, count, out in
          sumRows(query, rows, width, slots, count, out, bytes: 4) { q, row, j in f32(q, j) * f32(row, j) }
        },
        f32_squared_l2: { query, rows, width, slots, count, out in
          sumRows(query, rows, width, slots, count, out, bytes: 4) { q, row, j in
            let difference = f32(q, j) - f32(row, j)
            return difference * difference
          }
        },
        f16_product: { query, rows, width, slots, count, out in
          sumRows(query, rows, width, slots, count, out, bytes: 2) { q, row, j in f32(q, j) * f16(row, j) }
        },
        int8_product: { query, rows, width, slots, count, out in
          for i in 0..<count {
            let row = rows + place(i, slots) * width
            var sum = SIMD16<Int32>()
            for j in stride(from: 0, to: width, by: 16) { sum &+= int8(query, j) &* int8(row, j) }
            out[i] = Float(sum.wrappedSum())
          }
        },
        f32_int8_product: { query, rows, width, slots, count, out in
          sumRows(query, rows, width, slots, count, out, bytes: 1) { q, row, j in
            f32(q, j) * SIMD16<Float>(int8(row, j))
          }
        },
        int4_product: { query, rows, width, slots, count, out in
          for i in 0..<count {
            let row = rows + place(i, slots) * (width / 2)
            var sum = SIMD16<Int32>()
            for line in stride(from: 0, to: width, by: 128) {
              for b in stride(from: 0, to: 64, by: 16) {
                let pairs = (row + line / 2 + b).loadUnaligned(as: SIMD16<UInt8>.self)
                sum &+= int8(query, line + b) &* SIMD16<Int32>(truncatingIfNeeded: pairs & 15)
                sum &+= int8(query, line + 64 + b) &* SIMD16<Int32>(truncatingIfNeeded: pairs &>> 4)
              }
            }
            out[i] = Float(sum.wrappedSum())
          }
        },
        f16_widen: { row, width, out in
          for j in stride(from: 0, to: width, by: 16) {
            UnsafeMutableRawPointer(out + j).storeBytes(of: f16(row, j), as: SIMD16<Float>.self)
          }
        },
        hop: vz_hop_plain))
  }()
}

@inline(__always)
private func place(_ i: Int, _ slots: UnsafePointer<UInt32>?) -> Int { slots.map { Int($0[i]) } ?? i }

/// Sums `term(query, row, j)` over the blocks of 16 numbers of each row.
@inline(__always)
private func sumRows(
  _ query: UnsafeRawPointer, _ rows: UnsafeRawPointer, _ width: Int, _ slots: UnsafePointer<UInt32>?, _ count: Int,
  _ out: UnsafeMutablePointer<Float>, bytes: Int,
  _ term: (UnsafeRawPointer, UnsafeRawPointer, Int) -> SIMD16<Float>
) {
  for i in 0..<count {
    let row = rows + place(i, slots) * (width * bytes)
    var sum = SIMD16<Float>()
    for j in stride(from: 0, to: width, by: 16) { sum = term(query, row, j) + sum }
    out[i] = sum.sum()
  }
}

// 16 numbers from `j` on; in bounds because `j` is a multiple of 16 below the width, which is one too.

@inline(__always)
private func f32(_ vector: UnsafeRawPointer, _ j: Int) -> SIMD16<Float> {
  (vector + 4 * j).loadUnaligned(as: SIMD16<Float>.self)
}

/// No row holds an infinity or NaN.
@inline(__always)
private func f16(_ vector: UnsafeRawPointer, _ j: Int) -> SIMD16<Float> {
  let bits = SIMD16<UInt32>(truncatingIfNeeded: (vector + 2 * j).loadUnaligned(as: SIMD16<UInt16>.self))
  let magnitude = unsafeBitCast((bits & 0x7FFF) &<< 13, to: SIMD16<Float>.self) * 0x1p112
  return unsafeBitCast(
    unsafeBitCast(magnitude, to: SIMD16<UInt32>.self) | ((bits & 0x8000) &<< 16), to: SIMD16<Float>.self)
}

@inline(__always)
private func int8(_ vector: UnsafeRawPointer, _ j: Int) -> SIMD16<Int32> {
  SIMD16<Int32>(truncatingIfNeeded: (vector + j).loadUnaligned(as: SIMD16<Int8>.self))
}
