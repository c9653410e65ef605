// The choice of the distance kernels. This folder's files are the only ones that see C's kernels, but for `bench kernels`, which
// measures them one by one.
//
// May use: CVectorKernels; `getenv`, for the override.

package import CVectorKernels
import Glibc

/// The kernels of one instruction set.
package struct DistanceKernels: @unchecked Sendable {
  // Proof of Sendable: constants; the table's pointers lead to code and to a literal.

  /// "avx512vnni", "avx512", "avx2", "neondot", "neon", "portable" or "scalar".
  package let name: String
  package let table: vz_kernels

  /// All that this CPU can run, fastest first. The portable twin, written with Swift's `SIMD` types, comes before plain C.
  package static let available: [DistanceKernels] = {
    var tables = [UnsafePointer<vz_kernels>?](repeating: nil, count: Int(VZ_KERNELS_MAX))
    let count = vz_kernels_available(&tables)
    var kernels = tables.prefix(count).compactMap { table in
      // Each table is a C constant that lives as long as the program.
      table.map { DistanceKernels(name: String(cString: $0.pointee.name), table: $0.pointee) }
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

  /// What sums queries of a form against rows of a format.
  func sum(of format: RowFormat, form: Scorer.QueryForm, metric: Metric) -> vz_sum_rows {
    switch (format, form) {
    case (.f32, _): metric == .l2 ? table.f32_squared_l2 : table.f32_product
    case (.f16, _): table.f16_product
    case (.int8, .floats): table.f32_int8_product
    case (.int8, _): table.int8_product
    case (.int4, _): table.int4_product
    }
  }
}
