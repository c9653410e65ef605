// From a kernel's sums to distances: the one place that knows what the metrics mean.
//
// May use: CVectorKernels through DistanceKernels; a plane's pointers.

internal import CVectorKernels

/// Scores queries against the rows of one plane. A trivial value: copied into a search, it costs no reference count.
///
/// Distances here are for comparing: cosine `1 − cos`, inner product negated, L2 **squared**. ``Metric/finished(_:)`` turns
/// them into what a user sees.
struct Scorer: @unchecked Sendable {
  // Proof of Sendable: constant pointers into memory that lives as long as the store.

  /// What a kernel wants a query to be.
  enum QueryForm {
    case floats
    /// 8-bit codes.
    case int8
    /// 8-bit codes for rows of 4-bit ones, whose numbers stand 7.5 too high.
    case int8ForInt4
  }

  let metric: Metric
  let form: QueryForm
  let rowBytes: Int
  let width: Int
  /// Whether sums are squared distances already.
  private let sumsAreDistances: Bool
  let plane: UnsafePointer<vz_plane>
  private let rows: UnsafeRawPointer
  /// Reads a row of half precision; nil where a kernel takes rows as they lie.
  private let widen: vz_widen_row?

  /// - kernel: of `kernels`, what sums a query of `form` against the plane's rows.
  init(_ rowPlane: RowPlane, form: QueryForm, kernels: DistanceKernels) {
    metric = rowPlane.metric
    self.form = form
    rowBytes = rowPlane.rowBytes
    width = rowPlane.width
    sumsAreDistances = rowPlane.format == .f32 && metric == .l2
    rows = UnsafeRawPointer(rowPlane.rows)
    widen = rowPlane.format == .f16 ? kernels.table.f16_widen : nil
    let plane = UnsafeMutablePointer<vz_plane>.allocate(capacity: 1)
    plane.initialize(
      to: vz_plane(
        rows: rowPlane.rows, row_bytes: rowPlane.rowBytes, scales: rowPlane.scales, biases: rowPlane.biases,
        side_stride: rowPlane.sideStride, width: rowPlane.width,
        sum: kernels.sum(of: rowPlane.format, form: form, metric: metric), hop: kernels.table.hop))
    self.plane = UnsafePointer(plane)
  }

  /// Frees what `init` allocated. Once, by whoever made it.
  func deallocate() { plane.deallocate() }
}

// MARK: - Queries

extension Scorer {
  /// Makes a query of a vector.
  ///
  /// - vector: `[width]`, 64-byte aligned, zero from the dimension on; kept where `form` is `floats`.
  /// - inverseLength: 1 / ‖vector‖; used under cosine only.
  /// - codes: `[width]` bytes, 64-byte aligned, written and kept where `form` is not `floats`.
  func prepare(
    _ vector: UnsafePointer<Float>, inverseLength: Float, codes: UnsafeMutablePointer<Int8>,
    into query: UnsafeMutablePointer<vz_query>
  ) {
    var made = constants(inverseLength: inverseLength, squaredLength: metric == .l2 ? squaredLength(vector) : 0)
    if form == .floats {
      made.numbers = UnsafeRawPointer(vector)
    } else {
      let (unit, sum) = RowFormat.writeInt8(vector, width, to: codes)
      made.numbers = UnsafeRawPointer(codes)
      made.factor *= unit
      if form == .int8ForInt4 { made.shift = -made.factor * 7.5 * Float(sum) }
    }
    query.initialize(to: made)
  }

  /// Makes a query of a row of the same plane.
  ///
  /// - numbers: `[width]`, 64-byte aligned: where the row's numbers go if the kernel cannot read them in place.
  @inline(__always)
  func prepare(row slot: UInt32, numbers: UnsafeMutablePointer<Float>) -> vz_query {
    let place = Int(slot) * plane.pointee.side_stride
    let scale = plane.pointee.scales[place]
    var made = constants(inverseLength: scale, squaredLength: plane.pointee.biases?[place] ?? 0)
    if metric != .cosine { made.factor *= scale }
    if let widen {
      widen(row(slot), width, numbers)
      made.numbers = UnsafeRawPointer(numbers)
    } else {
      made.numbers = row(slot)
    }
    return made
  }

  @inline(__always)
  private func constants(inverseLength: Float, squaredLength: Float) -> vz_query {
    switch metric {
    case .cosine: vz_query(numbers: rows, factor: -inverseLength, shift: 0, weight: 0, constant: 1)
    case .innerProduct: vz_query(numbers: rows, factor: -1, shift: 0, weight: 0, constant: 0)
    case .l2:
      sumsAreDistances
        ? vz_query(numbers: rows, factor: 1, shift: 0, weight: 0, constant: 0)
        : vz_query(numbers: rows, factor: -2, shift: 0, weight: 1, constant: squaredLength)
    }
  }

  func squaredLength(_ vector: UnsafePointer<Float>) -> Float {
    var sums = SIMD8<Float>()
    for j in stride(from: 0, to: width, by: 8) {
      let block = UnsafeRawPointer(vector + j).loadUnaligned(as: SIMD8<Float>.self)
      sums = block * block + sums
    }
    return sums.sum()
  }
}

// MARK: - Distances

extension Scorer {
  /// Scores `query` against `count` rows named by `slots`: one crossing into C.
  ///
  /// - distances: `[count]`, written.
  @inline(__always)
  func score(
    _ query: UnsafePointer<vz_query>, slots: UnsafePointer<UInt32>, count: Int,
    into distances: UnsafeMutablePointer<Float>
  ) { vz_score(plane, query, slots, count, distances) }

  /// Scores likewise, and keeps the rows below `bound`: their slots and distances move to the front.
  /// - Returns: how many were kept.
  @inline(__always)
  func score(
    _ query: UnsafePointer<vz_query>, slots: UnsafeMutablePointer<UInt32>, count: Int, below bound: Float,
    into distances: UnsafeMutablePointer<Float>
  ) -> Int { vz_score_below(plane, query, slots, count, bound, slots, distances) }

  /// A hop of a walk: scores what is ready as above, takes candidates into the queues, and takes the links of the next node that were not
  /// visited. One crossing into C.
  ///
  /// - ready: scored; those kept and not taken go to `kept`, which has room for `VZ_KEPT_MAX`, as ``Candidate``s.
  /// - links: `[degree]`, the next node's; nil = there is none.
  /// - gathered: those of the links that were not visited. Their rows are asked for.
  /// - queues: nil = no candidate is taken.
  /// - Returns: how many candidates are left to take.
  @inline(__always)
  func hop(
    _ query: UnsafePointer<vz_query>, ready: vz_batch, below bound: Float, kept: UnsafeMutablePointer<UInt64>,
    links: Graph.Links?, degree: Int, _ visited: borrowing VisitedSet, _ gathered: inout vz_batch,
    into queues: UnsafeMutablePointer<vz_queues>?
  ) -> Int {
    // An atomic is laid out as its value; C loads it atomically, too.
    let links = UnsafeRawPointer(links)?.assumingMemoryBound(to: UInt32.self)
    return vz_hop(plane, query, ready, bound, kept, links, degree, visited.state, &gathered, queues)
  }

  /// Scores `query` against the rows `first..<first + count`.
  func scoreRange(
    _ query: UnsafePointer<vz_query>, first: Int, count: Int, into distances: UnsafeMutablePointer<Float>
  ) { vz_score_range(plane, query, first, count, distances) }

  @inline(__always)
  func row(_ slot: UInt32) -> UnsafeRawPointer { rows + Int(slot) * rowBytes }

  /// Asks for all cache lines of a row, and for its side.
  @inline(__always)
  func prefetch(_ slot: UInt32) { vz_prefetch_row(plane, slot) }
}

extension Metric {
  /// A comparison distance as the user sees it: pgvector's value. Cosine is clamped to [0, 2] as pgvector does, so that
  /// rounding cannot make a distance negative.
  @inline(__always)
  func finished(_ distance: Float) -> Float {
    switch self {
    case .cosine: min(max(distance, 0), 2)
    case .innerProduct: distance
    case .l2: max(distance, 0).squareRoot()
    }
  }
}
