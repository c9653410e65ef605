// One kernel, and how long it takes for a row.
//
// May use: VectorIndex's table of kernels; RowMemory, RowOrder, Timing.

internal import CVectorKernels
import VectorIndex

/// What a kernel sums, of which query and which rows.
enum KernelKind: String, Codable, CaseIterable {
  case f32Product = "f32_product"
  case f32SquaredL2 = "f32_squared_l2"
  case f16Product = "f16_product"
  case int8Product = "int8_product"
  case f32Int8Product = "f32_int8_product"
  case int4Product = "int4_product"

  var format: RowFormat {
    switch self {
    case .f32Product, .f32SquaredL2: .f32
    case .f16Product: .f16
    case .int8Product, .f32Int8Product: .int8
    case .int4Product: .int4
    }
  }

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
}

/// A kernel over rows of one dimension in one memory. A unit of each pass is a row.
final class KernelRig {
  private let function: vz_sum_rows
  private let memory: RowMemory
  private let width: Int
  let rowBytes: Int
  /// As many bytes as the widest query has; they are sound numbers, whatever a kernel takes them for.
  private let query: RowMemory
  private let sums = UnsafeMutablePointer<Float>.allocate(capacity: KernelRig.rowsAtOnceMax)

  /// Rows that a kernel is given at once where they lie in a row: what the index's range scan gives it.
  static let rowsAtOnceMax = 256

  init(_ kind: KernelKind, of kernels: DistanceKernels, dimension: Int, _ memory: RowMemory) {
    function = kind.function(of: kernels.table)
    self.memory = memory
    width = kind.format.width(ofDimension: dimension)
    rowBytes = kind.format.rowBytes(width: width)
    query = RowMemory(byteCount: width * MemoryLayout<Float>.stride, seed: 1)
  }

  deinit { sums.deallocate() }

  /// The first `rows` of them, which stay in the cache.
  /// - Precondition: at most ``rowsAtOnceMax``.
  func cached(rows: Int) -> Timing.Pass {
    precondition(rows <= Self.rowsAtOnceMax, "there is room for so many sums")
    let slots = Array(0..<UInt32(rows))
    return { [self] in
      slots.withUnsafeBufferPointer { slots in
        for _ in 0..<64 { function(query.base, memory.base, width, slots.baseAddress, rows, sums) }
      }
      return 64 * rows
    }
  }

  /// `rows` rows one after the other.
  func sequential(rows: Int) -> Timing.Pass {
    var first = 0
    return { [self] in
      var done = 0
      for _ in 0..<8 {
        let count = min(Self.rowsAtOnceMax, rows - first)
        function(query.base, memory.base + first * rowBytes, width, nil, count, sums)
        first = first + count == rows ? 0 : first + count
        done += count
      }
      return done
    }
  }

  /// Random rows: a batch is asked for while the one before is summed, as a walk does it.
  func random(_ order: RowOrder) -> Timing.Pass {
    { [self] in
      order.batches { now, next in
        guard let slots = now.baseAddress else { return }
        prefetch(next, UnsafeRawPointer(memory.base), rowBytes: rowBytes)
        function(query.base, memory.base, width, slots, now.count, sums)
      }
    }
  }
}
