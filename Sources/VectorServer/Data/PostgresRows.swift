// Rows of a rebuild that are read from Postgres.
//
// May use: PostgresSource, VectorIndex.

import PostgresSource
import Synchronization
import VectorIndex
import VectorWire

/// A table or a query, read once under one snapshot.
final class PostgresRows: RebuildRows {
  /// How rows come to a place from which their changes can be followed.
  enum Following: Hashable, Sendable {
    /// By a temporary slot of this name: a place in the log.
    case slot(String)
    /// By an ordinary snapshot, for the outbox's reader of this name: the place is the snapshot's xmin.
    case outbox(reader: String)
  }

  private let plan: RebuildPlan
  /// nil: they are read once.
  private let following: Following?
  private let slotPatienceSeconds: Double
  private let reader: BulkReader
  /// Ends the comparison, as the reader's own ends the reading.
  private let stop = StopFlag()
  private let described = Mutex<SourceDescription?>(nil)
  private let zeroVectors = Atomic<Int>(0)

  /// - following: for rows whose changes are to be followed: they are then of a known place, have stamps, and are compared with the table before
  ///   the snapshot that they were read of is let go.
  /// - slotPatienceSeconds: how long transactions that write may keep the slot from being made.
  /// - Throws: ``SourceError`` (`invalidArgument`).
  init(
    _ plan: RebuildPlan, followedBy following: Following?, slotPatienceSeconds: Double = 20
  ) throws(SourceError) {
    self.plan = plan
    self.following = following
    self.slotPatienceSeconds = slotPatienceSeconds
    var patience = 10.0
    // Nobody asks for its place in the log.
    if case .outbox = following { patience = 0 }
    reader = try BulkReader(
      connection: plan.connection, source: plan.source, workers: plan.workers, snapshotPatienceSeconds: patience,
      hashesVectors: following != nil)
  }

  var rowsRead: Int { reader.progress.rows }

  func cancel() {
    stop.raise()
    reader.cancel()
  }

  func look() throws -> RebuildOutline {
    let description = try reader.describe()
    var attributes = try description.attributeSchema()
    if let tenant = plan.tenant { attributes = try attributes.withTenant(tenant) }
    var configuration = HNSWConfiguration(
      dimension: description.dimension, metric: plan.metric, recordIDKind: description.recordIDKind,
      attributes: attributes)
    configuration.payload = description.payload
    configuration.keepsStamps = following != nil
    described.withLock { $0 = description }
    return RebuildOutline(
      configuration: plan.index(of: configuration), rows: description.estimatedRows,
      certainty: description.isEstimateCounted ? .counted : .guessed)
  }

  func stage(into index: HNSWIndex) throws -> StagedRows {
    guard let description = described.withLock({ $0 }) else { preconditionFailure("look comes first") }
    let proof = Mutex(Array(repeating: BucketSum(), count: RowHasher.bucketCount))
    var slot: String?
    if case .slot(let name) = following { slot = name }
    let summary = try reader.read(
      underSlot: slot, slotPatienceSeconds: slotPatienceSeconds,
      { [self] batch in try stage(batch, description, index, proof) },
      check: { [self] snapshot in
        if following != nil { try compare(proof.withLock { $0 }, with: description, under: snapshot) }
      })
    var position = Position(
      systemID: description.systemIdentifier, appliedLSN: summary.lsn.rawValue, timeline: description.timeline)
    if case .outbox = following {
      position.appliedLSN = summary.xmin
      position.timeline |= Position.transactionsFlag
    }
    let zeros = zeroVectors.load(ordering: .relaxed)
    return StagedRows(
      rows: summary.rows - zeros, nullVectors: summary.nullVectors, zeroVectors: zeros,
      position: position,
      source: sourceText(summary.description), buckets: proof.withLock { $0 }, warnings: summary.warnings)
  }

  private func stage(
    _ batch: RowBatch, _ description: SourceDescription, _ index: HNSWIndex, _ proof: borrowing Mutex<[BucketSum]>
  ) throws {
    var stamps: [RowStamp]?
    var buckets: [Int] = []
    if following != nil {
      var hasher = RowHasher(description)
      stamps = batch.ids.indices.map { i in
        let hash = batch.vectorHashes[i]
        buckets.append(hasher.bucket(of: batch.ids[i]))
        return RowStamp(
          vector: hash,
          row: hasher.row(
            batch.ids[i], vectorHash: hash, attributes: batch.attributes.isEmpty ? [] : batch.attributes[i],
            payload: batch.payload.isEmpty ? [] : batch.payload[i]))
      }
    }
    let zeros = try batch.vectors.withUnsafeBufferPointer { vectors throws(IndexError) in
      try index.stage(
        batch.ids, vectors, attributes: batch.attributes.isEmpty ? nil : batch.attributes,
        payload: batch.payload.isEmpty ? nil : batch.payload, stamps: stamps)
    }
    zeroVectors.wrappingAdd(zeros.count, ordering: .relaxed)
    guard let stamps else { return }
    let left = Set(zeros)
    proof.withLock { sums in
      for i in stamps.indices where !left.contains(i) { sums[buckets[i]].add(stamps[i].row) }
    }
  }

  /// Lets the server add up what it has, under the snapshot that was read.
  func compare(
    _ buckets: [BucketSum], with description: SourceDescription, under snapshot: String
  ) throws {
    let reader = try ProofReader(
      Connection(plan.connection, stop: stop), source: plan.source, description: description,
      leavesOutZeroVectors: plan.metric == .cosine)
    try reader.begin(snapshot: snapshot)
    let sums = try reader.sums()
    try reader.end()
    // What was committed without waiting was read too: no crash may take it back now.
    if case .outbox(let name) = following {
      try OutboxReader.flush(Connection(plan.connection, stop: stop), name: name)
    }
    let different = buckets.indices.count { buckets[$0] != sums.buckets[$0] }
    guard different == 0 else {
      throw ServerError(
        .notEqual,
        "what was read is not what the table has: \(different) of \(buckets.count) sums differ (docs/PROOF.md). Nothing of it is used; "
          + "start again, and report it if it happens twice")
    }
  }

  /// A query's text stays out: it is the operator's own, secrets and all.
  private func sourceText(_ description: SourceDescription) -> String {
    let key = description.keyColumns.map(\.name).joined(separator: ", ")
    let what = description.table ?? "a query"
    return "\(what) of database \(description.database), key (\(key)), column \(description.vectorColumn) "
      + "\(description.vectorType.rawValue)(\(description.dimension))"
      + (description.attributes.isEmpty
        ? "" : ", attributes (\(description.attributes.map(\.column.name).joined(separator: ", ")))")
      + (plan.tenant.map { ", tenant \($0)" } ?? "")
      + (description.payload.isEmpty ? "" : ", payload (\(description.payload.joined(separator: ", ")))")
  }
}
