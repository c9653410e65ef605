// The queries that an index is calibrated on, from Postgres.
//
// They are read before the rows: what is wrong with them should be told before the work, not after it.
//
// May use: PostgresSource, VectorIndex.

import PostgresSource
import Synchronization
import VectorIndex

/// Reads the vectors of a user's query.
struct CalibrationQueries: Sendable {
  /// Rows of the query that are read at most: ten times what a calibration draws from them.
  static let rowsMax = 10 * HNSWIndex.calibrationQueryRange.upperBound

  private let reader: BulkReader

  init(_ sql: String, _ connection: ConnectionOptions) throws(SourceError) {
    // Nobody asks which position in the log they are of, so nobody waits for one.
    reader = try BulkReader(
      connection: connection, source: .query(.vectors(of: sql, rowsMax: Self.rowsMax)), workers: 1,
      snapshotPatienceSeconds: 0)
  }

  func cancel() { reader.cancel() }

  /// `[count][dimension]`, without those that are zero where the metric is cosine.
  ///
  /// Blocks the calling thread.
  /// - Throws: ``SourceError``; ``ServerError`` (`invalidConfiguration`) for too few of them or of another dimension.
  func read(dimension: Int, metric: Metric) throws -> [Float] {
    do {
      let described = try reader.describe()
      guard described.dimension == dimension else {
        throw ServerError(
          .invalidConfiguration,
          "the calibration query's vectors have \(described.dimension) dimensions, the collection's \(dimension)")
      }
      let found = Mutex<[Float]>([])
      // By one worker, so in the order of the query: which of them are drawn does not depend on chance.
      _ = try reader.read { batch in
        found.withLock { found in
          for i in 0..<batch.count {
            let vector = batch.vectors[(i * dimension)..<((i + 1) * dimension)]
            if metric != .cosine || vector.contains(where: { $0 != 0 }) { found.append(contentsOf: vector) }
          }
        }
      }
      let vectors = found.withLock { $0 }
      let range = HNSWIndex.calibrationQueryRange
      guard vectors.count / dimension >= range.lowerBound else {
        throw ServerError(
          .invalidConfiguration,
          "the calibration query gives \(vectors.count / dimension) vectors to calibrate on; at least \(range.lowerBound) "
            + "are needed, \(range.upperBound) are enough. Without such a query, rows stand in for them")
      }
      return vectors
    } catch let error as SourceError {
      throw SourceError(error.code, "The calibration query: " + error.message, sqlState: error.sqlState)
    }
  }
}
