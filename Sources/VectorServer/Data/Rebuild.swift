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
  private let reader: BulkReader
  private let queries: CalibrationQueries?
  private let state = Mutex(RebuildProgress.reading(rows: 0, estimated: 0))
  private let estimated = Atomic<Int>(0)
  private let zeroVectors = Atomic<Int>(0)
  private let prepared = Mutex<Prepared?>(nil)

  /// What there is before the first row.
  private struct Prepared: Sendable {
    var description: SourceDescription
    var index: HNSWIndex
    var estimate: RebuildEstimate
  }

  /// - writer: the program's name and version, for the snapshot.
  /// - Throws: ``ServerError`` (`invalidConfiguration`), ``SourceError`` (`invalidArgument`).
  public init(_ plan: RebuildPlan, into directory: DataDirectory, writer: String) throws {
    try DataDirectory.checkName(plan.collection)
    self.plan = plan
    self.directory = directory
    self.writer = writer
    reader = try BulkReader(connection: plan.connection, source: plan.source, workers: plan.workers)
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
    let index = try HNSWIndex(configuration: configuration, payloadCodec: LZ4PayloadCodec())
    let estimate = RebuildEstimate(
      rows: description.estimatedRows, isCounted: description.isEstimateCounted, configuration: configuration,
      bytesAvailable: index.statistics().budgetBytes)
    try estimate.check()
    let made = Prepared(description: description, index: index, estimate: estimate)
    prepared.withLock { $0 = made }
    return made
  }

  /// Reads, links, calibrates and saves. What is on disk changes at the very end, in one step, or not at all.
  ///
  /// - Throws: ``SourceError``, ``IndexError``, ``SnapshotError``, ``ServerError``.
  public func run() throws -> RebuildReport {
    let clock = ContinuousClock()
    let start = clock.now
    let prepared = try prepare()
    let (description, index) = (prepared.description, prepared.index)
    let questions = try queries?.read(dimension: description.dimension, metric: plan.metric)
    let summary = try reader.read { [self] batch in
      let zeros = try batch.vectors.withUnsafeBufferPointer { vectors throws(IndexError) in
        try index.stage(
          batch.ids, vectors, attributes: batch.attributes.isEmpty ? nil : batch.attributes,
          payload: batch.payload.isEmpty ? nil : batch.payload)
      }
      zeroVectors.wrappingAdd(zeros.count, ordering: .relaxed)
    }
    let afterReading = clock.now

    let total = summary.rows - zeroVectors.load(ordering: .relaxed)
    state.withLock { $0 = .linking(rows: 0, of: total) }
    try index.linkStaged(threads: plan.threads, calibrates: false) { [self] linked in
      state.withLock { $0 = .linking(rows: linked, of: total) }
      return true
    }
    let afterLinking = clock.now

    state.withLock { $0 = .calibrating }
    let calibration = try index.calibrate(queries: questions, threads: plan.threads)
    let afterCalibrating = clock.now

    state.withLock { $0 = .saving }
    let collection = try Collection(
      name: plan.collection, index: index,
      position: Position(
        systemID: description.systemIdentifier, appliedLSN: summary.lsn.rawValue, timeline: description.timeline))
    let publication = try directory.save(
      collection, source: sourceText(description), writer: writer, threads: plan.threads)
    return RebuildReport(
      collection: collection, rows: index.count, nullVectors: summary.nullVectors,
      zeroVectors: zeroVectors.load(ordering: .relaxed), lsn: summary.lsn, calibration: calibration,
      readSeconds: (afterReading - start) / .seconds(1), linkSeconds: (afterLinking - afterReading) / .seconds(1),
      calibrateSeconds: (afterCalibrating - afterLinking) / .seconds(1),
      saveSeconds: (clock.now - afterCalibrating) / .seconds(1), snapshotPath: publication.entry.path,
      snapshotBytes: publication.byteCount,
      warnings: summary.warnings + (publication.removalFailure.map { ["\($0)"] } ?? []))
  }

  /// Ends a running ``run()`` that still reads, with `cancelled`.
  public func cancel() {
    queries?.cancel()
    reader.cancel()
  }

  /// Where the rows come from, in words. A query's text stays out: it is the operator's own, secrets and all.
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
