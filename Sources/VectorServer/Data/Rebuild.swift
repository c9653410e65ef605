// From rows in Postgres to a collection on disk: look, read, link, calibrate, save.
//
// May use: PostgresSource, VectorIndex, DataDirectory.

import PostgresSource
import Synchronization
import VectorIndex
import VectorSnapshot
import VectorWire

/// One rebuild. Blocks the thread that runs it; ``progress`` may be asked from any other.
public final class Rebuild: Sendable {
  private let plan: RebuildPlan
  private let directory: DataDirectory
  private let writer: String
  /// How changes of the rows are to be followed; nil: they are read once.
  private let following: Following?
  private let reader: BulkReader
  private let queries: CalibrationQueries?
  private let state = Mutex(RebuildProgress.reading(rows: 0, estimated: 0))
  private let estimated = Atomic<Int>(0)
  private let zeroVectors = Atomic<Int>(0)
  private let isCancelled = Atomic<Bool>(false)
  private let prepared = Mutex<Prepared?>(nil)

  /// What there is before the first row.
  private struct Prepared: Sendable {
    var description: SourceDescription
    var index: HNSWIndex
    var estimate: RebuildEstimate
  }

  /// - writer: the program's name and version, for the snapshot.
  /// - Throws: ``ServerError`` (`invalidConfiguration`), ``SourceError`` (`invalidArgument`).
  public convenience init(_ plan: RebuildPlan, into directory: DataDirectory, writer: String) throws {
    try self.init(plan, into: directory, writer: writer, followedBy: nil)
  }

  /// How rows come to a place from which their changes can be followed.
  enum Following: Hashable, Sendable {
    /// By a temporary slot of this name: a place in the log.
    case slot(String)
    /// By an ordinary snapshot, for the outbox's reader of this name: the place is the snapshot's xmin.
    case outbox(reader: String)
  }

  /// - following: for rows whose changes are to be followed: they are then of a known place, have stamps, and are compared with the table before
  ///   the snapshot that they were read of is let go.
  init(_ plan: RebuildPlan, into directory: DataDirectory, writer: String, followedBy following: Following?) throws {
    try DataDirectory.checkName(plan.collection)
    self.following = following
    self.plan = plan
    self.directory = directory
    self.writer = writer
    var patience = 10.0
    // Nobody asks for its place in the log.
    if case .outbox = following { patience = 0 }
    reader = try BulkReader(
      connection: plan.connection, source: plan.source, workers: plan.workers, snapshotPatienceSeconds: patience,
      hashesVectors: following != nil)
    queries = try plan.calibrationQuery.map { sql throws(SourceError) in
      try CalibrationQueries(sql, plan.connection)
    }
  }

  public var progress: RebuildProgress {
    let state = state.withLock { $0 }
    guard case .reading = state else { return state }
    return .reading(rows: reader.progress.rows, estimated: estimated.load(ordering: .relaxed))
  }

  /// Looks at the source, and says what will be read and what memory that takes. ``run()`` does it if nobody has.
  ///
  /// - Throws: ``SourceError``, ``IndexError``; ``ServerError`` (`notEnoughMemory`) where it cannot fit.
  public func look() throws -> RebuildEstimate { try prepare().estimate }

  private func prepare() throws -> Prepared {
    if let done = prepared.withLock({ $0 }) { return done }
    let description = try reader.describe()
    estimated.store(description.estimatedRows, ordering: .relaxed)
    var attributes = try description.attributeSchema()
    if let tenant = plan.tenant { attributes = try attributes.withTenant(tenant) }
    var configuration = HNSWConfiguration(
      dimension: description.dimension, metric: plan.metric, recordIDKind: description.recordIDKind,
      storage: plan.storage, connectivity: plan.connectivity, constructionEffort: plan.constructionEffort,
      recallTarget: plan.recallTarget, searchEffort: plan.searchEffort, seed: plan.seed,
      attributes: attributes)
    configuration.payload = description.payload
    configuration.keepsStamps = following != nil
    let index = try HNSWIndex(configuration: configuration, payloadCodec: LZ4PayloadCodec())
    let estimate = RebuildEstimate(
      rows: description.estimatedRows, isCounted: description.isEstimateCounted, configuration: configuration,
      bytesAvailable: index.statistics().budgetBytes)
    try estimate.check()
    let made = Prepared(description: description, index: index, estimate: estimate)
    prepared.withLock { $0 = made }
    return made
  }

  /// An index that is made and not saved.
  struct Built: Sendable {
    var collection: Collection
    var description: SourceDescription
    var summary: BulkReadSummary
    var calibration: IndexCalibration?
    /// What proves it equal to its table, where the rows have stamps.
    var buckets: [BucketSum]
    var readSeconds: Double
    var linkSeconds: Double
    var calibrateSeconds: Double
  }

  /// Reads, links, calibrates and saves. What is on disk changes at the very end, in one step, or not at all.
  ///
  /// - Throws: ``SourceError``, ``IndexError``, ``SnapshotError``, ``ServerError``.
  public func run() throws -> RebuildReport {
    let built = try build()
    let clock = ContinuousClock()
    let start = clock.now
    state.withLock { $0 = .saving }
    let publication = try directory.save(
      built.collection, source: sourceText(built.description), definition: nil, writer: writer, threads: plan.threads)
    return RebuildReport(
      collection: built.collection, rows: built.collection.index.count, nullVectors: built.summary.nullVectors,
      zeroVectors: zeroVectors.load(ordering: .relaxed), lsn: built.summary.lsn, calibration: built.calibration,
      readSeconds: built.readSeconds, linkSeconds: built.linkSeconds, calibrateSeconds: built.calibrateSeconds,
      saveSeconds: (clock.now - start) / .seconds(1), snapshotPath: publication.entry.path,
      snapshotBytes: publication.byteCount,
      warnings: built.summary.warnings + (publication.removalFailure.map { ["\($0)"] } ?? []))
  }

  /// Reads, links and calibrates.
  func build() throws -> Built {
    let clock = ContinuousClock()
    let start = clock.now
    let prepared = try prepare()
    let (description, index) = (prepared.description, prepared.index)
    let questions = try queries?.read(dimension: description.dimension, metric: plan.metric)
    let proof = Mutex(Array(repeating: BucketSum(), count: RowHasher.bucketCount))
    var slot: String?
    if case .slot(let name) = following { slot = name }
    let summary = try reader.read(
      underSlot: slot, { [self] batch in try stage(batch, description, index, proof) },
      check: { [self] snapshot in
        if following != nil { try compare(proof.withLock { $0 }, with: description, under: snapshot) }
      })
    let afterReading = clock.now

    let total = summary.rows - zeroVectors.load(ordering: .relaxed)
    state.withLock { $0 = .linking(rows: 0, of: total) }
    try index.linkStaged(threads: plan.threads, calibrates: false) { [self] linked in
      state.withLock { $0 = .linking(rows: linked, of: total) }
      return !isCancelled.load(ordering: .relaxed)
    }
    let afterLinking = clock.now

    state.withLock { $0 = .calibrating }
    let calibration = try index.calibrate(queries: questions, threads: plan.threads)
    var place = summary.lsn.rawValue
    if case .outbox = following { place = summary.xmin }
    let collection = try Collection(
      name: plan.collection, index: index,
      position: Position(
        systemID: description.systemIdentifier, appliedLSN: place, timeline: description.timeline))
    return Built(
      collection: collection, description: summary.description, summary: summary, calibration: calibration,
      buckets: proof.withLock { $0 }, readSeconds: (afterReading - start) / .seconds(1),
      linkSeconds: (afterLinking - afterReading) / .seconds(1),
      calibrateSeconds: (clock.now - afterLinking) / .seconds(1))
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
  private func compare(
    _ buckets: [BucketSum], with description: SourceDescription, under snapshot: String
  ) throws {
    let reader = try ProofReader(
      Connection(plan.connection, stop: StopFlag()), source: plan.source, description: description,
      leavesOutZeroVectors: plan.metric == .cosine)
    try reader.begin(snapshot: snapshot)
    let sums = try reader.sums()
    try reader.end()
    // What was committed without waiting was read too: no crash may take it back now.
    if case .outbox(let name) = following {
      try OutboxReader.flush(Connection(plan.connection, stop: StopFlag()), name: name)
    }
    let different = buckets.indices.count { buckets[$0] != sums.buckets[$0] }
    guard different == 0 else {
      throw ServerError(
        .notEqual,
        "what was read is not what the table has: \(different) of \(buckets.count) sums differ (docs/PROOF.md). Nothing of it is used; "
          + "start again, and report it if it happens twice")
    }
  }

  /// Ends a running ``run()`` that still reads or links, with `cancelled`.
  public func cancel() {
    isCancelled.store(true, ordering: .relaxed)
    queries?.cancel()
    reader.cancel()
  }

  /// Where the rows come from, in words. A query's text stays out: it is the operator's own, secrets and all.
  func sourceText(_ description: SourceDescription) -> String {
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
