// From rows to a collection on disk: look, read, link, calibrate, save. Where the rows come from is RebuildRows's business.
//
// May use: RebuildRows, VectorIndex, DataDirectory.

import PostgresSource
import Synchronization
import VectorIndex
import VectorSnapshot
import VectorWire

/// One rebuild. Blocks the thread that runs it; ``progress`` may be asked from any other.
public final class Rebuild: Sendable {
  private let plan: RebuildPlan
  private let rows: any RebuildRows
  private let directory: DataDirectory
  private let writer: String
  private let queries: CalibrationQueries?
  private let state = Mutex(RebuildProgress.reading(rows: 0, estimated: 0))
  private let estimated = Atomic<Int>(0)
  private let isCancelled = Atomic<Bool>(false)
  private let prepared = Mutex<Prepared?>(nil)

  /// What there is before the first row.
  private struct Prepared: Sendable {
    var index: HNSWIndex
    var estimate: RebuildEstimate
  }

  /// From Postgres, to be read once.
  ///
  /// - writer: the program's name and version, for the snapshot.
  /// - Throws: ``ServerError`` (`invalidConfiguration`), ``SourceError`` (`invalidArgument`).
  public convenience init(_ plan: RebuildPlan, into directory: DataDirectory, writer: String) throws {
    try self.init(plan, of: PostgresRows(plan, followedBy: nil), into: directory, writer: writer)
  }

  init(_ plan: RebuildPlan, of rows: any RebuildRows, into directory: DataDirectory, writer: String) throws {
    try DataDirectory.checkName(plan.collection)
    self.plan = plan
    self.rows = rows
    self.directory = directory
    self.writer = writer
    queries = try plan.calibrationQuery.map { sql throws(SourceError) in
      try CalibrationQueries(sql, plan.connection)
    }
  }

  public var progress: RebuildProgress {
    let state = state.withLock { $0 }
    guard case .reading = state else { return state }
    return .reading(rows: rows.rowsRead, estimated: estimated.load(ordering: .relaxed))
  }

  /// Looks at the source, and says what will be read and what memory that takes. ``run()`` does it if nobody has.
  ///
  /// - Throws: ``SourceError``, ``IndexError``; ``ServerError`` (`notEnoughMemory`) where it cannot fit.
  public func look() throws -> RebuildEstimate { try prepare().estimate }

  private func prepare() throws -> Prepared {
    if let done = prepared.withLock({ $0 }) { return done }
    let outline = try rows.look()
    estimated.store(outline.rows, ordering: .relaxed)
    // Those that are there already stay until the new one is served.
    let bytesInUse = HNSWIndex.bytesInUse
    let index = try HNSWIndex(configuration: outline.configuration, payloadCodec: LZ4PayloadCodec())
    let estimate = RebuildEstimate(
      rows: outline.rows, certainty: outline.certainty, configuration: outline.configuration,
      bytesBesidePerRow: outline.bytesBesidePerRow, bytesAvailable: index.statistics().budgetBytes,
      bytesInUse: bytesInUse)
    try estimate.check()
    let made = Prepared(index: index, estimate: estimate)
    prepared.withLock { $0 = made }
    return made
  }

  /// An index that is made and not saved.
  struct Built: Sendable {
    var collection: Collection
    var staged: StagedRows
    var calibration: IndexCalibration?
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
      built.collection, source: built.staged.source, definition: nil, writer: writer, threads: plan.threads)
    return RebuildReport(
      collection: built.collection, rows: built.collection.index.count, nullVectors: built.staged.nullVectors,
      zeroVectors: built.staged.zeroVectors, lsn: LSN(rawValue: built.staged.position.appliedLSN),
      calibration: built.calibration, readSeconds: built.readSeconds, linkSeconds: built.linkSeconds,
      calibrateSeconds: built.calibrateSeconds, saveSeconds: (clock.now - start) / .seconds(1),
      snapshotPath: publication.entry.path, snapshotBytes: publication.byteCount,
      warnings: built.staged.warnings + (publication.removalFailure.map { ["\($0)"] } ?? []))
  }

  /// Reads, links and calibrates.
  func build() throws -> Built {
    let clock = ContinuousClock()
    let start = clock.now
    let index = try prepare().index
    let questions = try queries?.read(dimension: index.configuration.dimension, metric: plan.metric)
    let staged = try rows.stage(into: index)
    let afterReading = clock.now

    state.withLock { $0 = .linking(rows: 0, of: staged.rows) }
    try index.linkStaged(threads: plan.threads, calibrates: false) { [self] linked in
      state.withLock { $0 = .linking(rows: linked, of: staged.rows) }
      return !isCancelled.load(ordering: .relaxed)
    }
    let afterLinking = clock.now

    state.withLock { $0 = .calibrating }
    let calibration = try index.calibrate(queries: questions, threads: plan.threads)
    let collection = try Collection(name: plan.collection, index: index, position: staged.position)
    return Built(
      collection: collection, staged: staged, calibration: calibration,
      readSeconds: (afterReading - start) / .seconds(1), linkSeconds: (afterLinking - afterReading) / .seconds(1),
      calibrateSeconds: (clock.now - afterLinking) / .seconds(1))
  }

  /// Ends a running ``run()`` that still reads or links, with `cancelled`.
  public func cancel() {
    isCancelled.store(true, ordering: .relaxed)
    queries?.cancel()
    rows.cancel()
  }
}
