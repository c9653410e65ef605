// Which vectors can be stored and asked for. pgvector's rules, applied at the public face so that no loop has to.
//
// May use: nothing but the standard library.

import Glibc

/// What a vector is, for the purpose of searching.
enum VectorCheck {
  /// `inverseLength` is 1 / ‖v‖, finite and positive.
  case ordinary(inverseLength: Float)
  case zero
  case notFinite

  /// One pass over `vector`. The length is summed in double precision, so that large components do not overflow it.
  init(_ vector: UnsafeBufferPointer<Float>) {
    var sum = SIMD8<Double>()
    var i = 0
    let pointer = vector.baseAddress
    while i + 8 <= vector.count, let pointer {
      let block = SIMD8<Double>(UnsafeRawPointer(pointer + i).loadUnaligned(as: SIMD8<Float>.self))
      sum = block * block + sum
      i += 8
    }
    var total = sum.sum()
    while i < vector.count {
      let component = Double(vector[i])
      total += component * component
      i += 1
    }
    // The square of a finite float is finite in double, and 4,096 of them stay far below its maximum: the total is
    // not finite exactly when a component is not.
    guard total.isFinite else {
      self = .notFinite
      return
    }
    guard total > 0 else {
      self = .zero
      return
    }
    let inverse = Float(1 / total.squareRoot())
    self = .ordinary(inverseLength: inverse.isFinite ? inverse : .greatestFiniteMagnitude)
  }
}

/// `ln`, without Foundation.
func naturalLogarithm(_ x: Double) -> Double { log(x) }
