// Where the rows of a rebuild come from: what Rebuild asks of whoever has them.
//
//     PostgresRows   a table or a query, read under one snapshot
//     OwnRows        the collection that is served, as it is at one moment
//
// May use: VectorIndex, PostgresSource's sums, VectorWire's Position.

import PostgresSource
import VectorIndex
import VectorWire

/// The rows of one rebuild. Calls block; ``rowsRead`` and ``cancel()`` are for any thread.
protocol RebuildRows: AnyObject, Sendable {
  /// Looks at what there is, and whether it can be made into what is wanted: before the first row. Called once.
  ///
  /// - Throws: ``SourceError``, ``IndexError``, ``ServerError`` (`invalidConfiguration`).
  func look() throws -> RebuildOutline

  /// Writes all rows into an index, staged, and makes sure that they are the rows that they should be. Called once, after ``look()``.
  ///
  /// - Throws: ``SourceError``, ``IndexError``, ``ServerError`` (`notEqual`).
  func stage(into index: HNSWIndex) throws -> StagedRows

  var rowsRead: Int { get }

  /// Ends what is running with `cancelled`.
  func cancel()
}

/// What is known before the first row.
struct RebuildOutline: Sendable {
  /// The index that is to be made.
  var configuration: HNSWConfiguration
  /// About how many rows there are.
  var rows: Int
  /// How sure that is.
  var certainty: RebuildEstimate.Certainty
  /// Bytes a row that are taken beside the index until all rows are staged.
  var bytesBesidePerRow = 0
}

/// What has been staged.
struct StagedRows: Sendable {
  var rows: Int
  /// Rows that were left out because their vector is NULL, or zero and the metric is cosine.
  var nullVectors = 0
  var zeroVectors = 0
  /// Up to where Postgres's changes are in the rows.
  var position: Position
  /// Where they come from, in words.
  var source: String
  /// What proves them, where they have stamps: of all buckets.
  var buckets: [BucketSum]
  /// Sentences for the operator.
  var warnings: [String] = []
}
