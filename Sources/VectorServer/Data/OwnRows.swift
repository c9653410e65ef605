// Rows of a rebuild that are those of the collection which is served: another index of the same rows, without reading them from Postgres.
//
// Each row brings its stamp along: what Postgres's row hashed to when it was read. So what is copied is held against it, row by row, and all of it
// against the sums that are kept in step with every change.
//
// May use: VectorIndex, PostgresSource's hashes and sums.

import PostgresSource
import Synchronization
import VectorIndex
import VectorWire

/// The rows of an index that goes on changing and being searched.
final class OwnRows: RebuildRows {
  /// What there is at one moment, between two changes.
  struct Moment: Sendable {
    var rows: PinnedRows
    /// Up to where Postgres's changes are in the rows, and none from there on.
    var position: Position
    /// The sums that were kept of them (docs/PROOF.md).
    var buckets: [BucketSum]
  }

  private let plan: RebuildPlan
  private let index: HNSWIndex
  private let description: SourceDescription
  private let source: String
  private let moment: @Sendable (_ isCancelled: @escaping @Sendable () -> Bool) throws -> Moment
  private let copied = Atomic<Int>(0)
  private let stop = StopFlag()

  /// Rows that are read and written at once: what is held of them beside the two indexes.
  private static let rowsAtOnce = 512

  /// - plan: what the new index is to be. Its source is not read.
  /// - description: what the rows were made of, for their hashes.
  /// - source: where they came from, in words.
  /// - moment: takes the moment; called once, when the rows are to be copied.
  init(
    _ plan: RebuildPlan, of index: HNSWIndex, _ description: SourceDescription, source: String,
    moment: @escaping @Sendable (_ isCancelled: @escaping @Sendable () -> Bool) throws -> Moment
  ) {
    self.plan = plan
    self.index = index
    self.description = description
    self.source = source
    self.moment = moment
  }

  var rowsRead: Int { copied.load(ordering: .relaxed) }

  func cancel() { stop.raise() }

  func look() throws -> RebuildOutline {
    let kept = index.configuration
    let wanted = plan.index(of: kept)
    guard kept.storage.canBecome(wanted.storage) else {
      let possible = VectorStorage.allCases.filter { kept.storage.canBecome($0) }.map(\.name)
      throw ServerError(
        .invalidConfiguration,
        "the rows are kept as \(kept.storage.name), and \(wanted.storage.name) needs more of the vectors than that keeps. From these rows it "
          + "can be \(possible.joined(separator: ", ")) (--storage); for \(wanted.storage.name), rebuild from Postgres (--from postgres)"
      )
    }
    return RebuildOutline(
      configuration: wanted, rows: index.count, certainty: .known, bytesBesidePerRow: PinnedRows.bytesPerRow)
  }

  func stage(into target: HNSWIndex) throws -> StagedRows {
    let moment = try moment { [stop] in stop.isRaised }
    let rows = moment.rows
    var hasher = RowHasher(description)
    var buckets = Array(repeating: BucketSum(), count: RowHasher.bucketCount)
    for first in stride(from: 0, to: rows.count, by: Self.rowsAtOnce) {
      if stop.isRaised { throw SourceError.rebuildCancelled }
      let batch = rows.batch(first..<min(first + Self.rowsAtOnce, rows.count))
      try add(batch, to: &buckets, &hasher)
      try target.stage(batch)
      copied.add(batch.ids.count, ordering: .relaxed)
    }
    let different = buckets.indices.count { buckets[$0] != moment.buckets[$0] }
    guard different == 0 else {
      throw ServerError(
        .notEqual,
        "what was copied is not what is served: \(different) of \(buckets.count) sums differ (docs/PROOF.md). Nothing of it is used; rebuild "
          + "from Postgres (--from postgres), and report it if it happens twice")
    }
    return StagedRows(rows: rows.count, position: moment.position, source: source, buckets: buckets)
  }

  /// Adds rows up, each of which must be what its stamp says.
  private func add(_ batch: PinnedRows.Batch, to buckets: inout [BucketSum], _ hasher: inout RowHasher) throws {
    for (i, id) in batch.ids.enumerated() {
      let stamp = batch.stamps?[i] ?? .unknown
      let hash = hasher.row(
        id, vectorHash: stamp.vector, attributes: batch.attributes?[i] ?? [], payload: batch.payload?[i] ?? [])
      guard hash == stamp.row else {
        throw ServerError(
          .notEqual,
          "the row \(id) is not what it was when it came from Postgres: its hash is another (docs/PROOF.md). Nothing of the rebuild is used; "
            + "rebuild from Postgres (--from postgres)")
      }
      buckets[hasher.bucket(of: id)].add(hash)
    }
  }
}

extension SourceError {
  static var rebuildCancelled: SourceError {
    SourceError(.cancelled, "The rebuild was cancelled; what is served is as it was.")
  }
}
