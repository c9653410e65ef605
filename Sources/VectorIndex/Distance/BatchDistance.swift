// Many queries against many rows at once, as one matrix product. The sole user of BLAS.
//
// BLAS pays where one block of rows serves many queries while it is in the cache: ground truth, batches, bulk work. A single
// query is bound by memory bandwidth, and the kernels serve it better.
//
// May use: COpenBLAS.

internal import COpenBLAS

package enum BatchDistance {
  /// OpenBLAS has threads of its own, which must not multiply with ours. Set once, before the first product.
  private static let singleThreaded: Void = openblas_set_num_threads(1)

  /// `products[i][j] = ⟨queries[i], rows[j]⟩`.
  ///
  /// - queries: `[queryCount][width]`; rows: `[rowCount][width]`; products: `[queryCount][rowCount]`, written.
  static func innerProducts(
    _ queries: UnsafePointer<Float>, queryCount: Int, rows: UnsafePointer<Float>, rowCount: Int, width: Int,
    into products: UnsafeMutablePointer<Float>
  ) {
    _ = singleThreaded
    cblas_sgemm(
      CblasRowMajor, CblasNoTrans, CblasTrans, blasint(queryCount), blasint(rowCount), blasint(width), 1,
      queries, blasint(width), rows, blasint(width), 0, products, blasint(rowCount))
  }
}
