// The choice of the distance kernels. This folder's files are the only ones that see C's kernels.
//
// May use: CVectorKernels; `getenv`, for the override.

internal import CVectorKernels
import Glibc

/// The kernels of one instruction set.
package struct DistanceKernels: Sendable {
  /// "avx512", "avx2", "neon", "portable" or "scalar".
  package let name: String
  let innerProduct: vz_score_rows
  let squaredL2: vz_score_rows

  /// All that this CPU can run, fastest first. The portable twin, written with Swift's `SIMD` types, comes before plain C.
  package static let available: [DistanceKernels] = {
    var tables = [UnsafePointer<vz_kernels>?](repeating: nil, count: Int(VZ_KERNELS_MAX))
    let count = vz_kernels_available(&tables)
    var kernels = tables.prefix(count).compactMap { table in
      // Each table is a C constant that lives as long as the program.
      table.map {
        DistanceKernels(
          name: String(cString: $0.pointee.name), innerProduct: $0.pointee.inner_product,
          squaredL2: $0.pointee.squared_l2)
      }
    }
    kernels.insert(.portable, at: kernels.count - 1)
    return kernels
  }()

  /// The kernels in use: the fastest, or the one that the environment variable `VIZINHO_KERNELS` names.
  package static func selected() throws(IndexError) -> DistanceKernels {
    guard let override = getenv("VIZINHO_KERNELS") else { return available[0] }
    return try named(String(cString: override))
  }

  package static func named(_ name: String) throws(IndexError) -> DistanceKernels {
    if let kernels = available.first(where: { $0.name == name }) { return kernels }
    let names = available.map(\.name).joined(separator: ", ")
    throw IndexError(.invalidConfiguration, "this CPU has no kernels called \"\(name)\"; it can run \(names)")
  }

  /// How many floats of a row the kernels read at once. Rows are padded with zeros to a multiple of it.
  package static let widthMultiple = 16

  /// The width of a row of `dimension` floats, padding included.
  package static func width(ofDimension dimension: Int) -> Int {
    (dimension + widthMultiple - 1) / widthMultiple * widthMultiple
  }
}

extension DistanceKernels {
  /// Scores by inner product, for the tests and the micro-benchmarks: `query` is [width], `rows` [any][width].
  package func innerProduct(
    _ query: UnsafePointer<Float>, _ rows: UnsafePointer<Float>, width: Int, slots: UnsafePointer<UInt32>?, count: Int,
    into out: UnsafeMutablePointer<Float>
  ) { innerProduct(query, rows, width, slots, count, out) }

  /// Scores by squared L2 distance, likewise.
  package func squaredL2(
    _ query: UnsafePointer<Float>, _ rows: UnsafePointer<Float>, width: Int, slots: UnsafePointer<UInt32>?, count: Int,
    into out: UnsafeMutablePointer<Float>
  ) { squaredL2(query, rows, width, slots, count, out) }
}

/// Asks for the cache line at `address`.
@inline(__always)
func prefetch(_ address: UnsafeRawPointer) { vz_prefetch(address) }
