// From a kernel's sums to distances: the one place that knows what the metrics mean.
//
// May use: CVectorKernels through DistanceKernels; the store's pointers.

internal import CVectorKernels

/// Scores a query against the rows of one store. A trivial value: copied into a search, it costs no reference count.
///
/// Distances here are for comparing: cosine `1 − cos`, inner product negated, L2 **squared**. ``Metric/finished(_:)`` turns
/// them into what a user sees.
struct Scorer {
  /// `[slot][width]`, padded with zeros. The address is the store's for life (see ReservedMemory).
  let rows: UnsafePointer<Float>
  /// `[slot]`, the inverse of each row's length under cosine; unused otherwise.
  let scales: UnsafePointer<Float>
  let width: Int
  let metric: Metric
  private let kernel: vz_score_rows

  init(rows: UnsafePointer<Float>, scales: UnsafePointer<Float>, width: Int, metric: Metric, kernels: DistanceKernels) {
    self.rows = rows
    self.scales = scales
    self.width = width
    self.metric = metric
    self.kernel = metric == .l2 ? kernels.squaredL2 : kernels.innerProduct
  }

  /// Scores `query` against `count` rows named by `slots`: one crossing into C.
  ///
  /// - query: `[width]`, 64-byte aligned, zero from the dimension on.
  /// - queryScale: under cosine, the inverse of the query's length.
  /// - distances: `[count]`, written.
  @inline(__always)
  func score(
    _ query: UnsafePointer<Float>, scale queryScale: Float, slots: UnsafePointer<UInt32>, count: Int,
    into distances: UnsafeMutablePointer<Float>
  ) {
    kernel(query, rows, width, slots, count, distances)
    switch metric {
    case .cosine: for i in 0..<count { distances[i] = 1 - distances[i] * (queryScale * scales[Int(slots[i])]) }
    case .innerProduct: for i in 0..<count { distances[i] = -distances[i] }
    case .l2: break
    }
  }

  /// Scores `query` against the rows `first..<first + count`.
  func scoreRange(
    _ query: UnsafePointer<Float>, scale queryScale: Float, first: Int, count: Int,
    into distances: UnsafeMutablePointer<Float>
  ) {
    kernel(query, rows + first * width, width, nil, count, distances)
    switch metric {
    case .cosine: for i in 0..<count { distances[i] = 1 - distances[i] * (queryScale * scales[first + i]) }
    case .innerProduct: for i in 0..<count { distances[i] = -distances[i] }
    case .l2: break
    }
  }

  @inline(__always)
  func row(_ slot: UInt32) -> UnsafePointer<Float> { rows + Int(slot) * width }
}

extension Metric {
  /// A comparison distance as the user sees it: pgvector's value. Cosine is clamped to [0, 2] as pgvector does, so that
  /// rounding cannot make a distance negative.
  @inline(__always)
  func finished(_ distance: Float) -> Float {
    switch self {
    case .cosine: min(max(distance, 0), 2)
    case .innerProduct: distance
    case .l2: distance.squareRoot()
    }
  }
}
