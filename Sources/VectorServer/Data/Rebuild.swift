// From rows in Postgres to a collection on disk: read, link, save.
//
// May use: PostgresSource, VectorIndex, DataDirectory.

import PostgresSource
import Synchronization
import VectorIndex
import VectorWire

/// What to rebuild, from what.
public struct RebuildPlan: Sendable {
  public var collection: String
  public var connection: ConnectionOptions
  public var source: RowSource
  public var metric: Metric
  /// The precision in which rows are kept; nil = what suits their dimension.
  public var storage: VectorStorage?
  /// Edges a node [M].
  public var connectivity = 16
  /// [efConstruction]
  public var constructionEffort = 200
  /// The ef of searches that give none.
  public var searchEffort = 100
  public var seed: UInt64 = 1
  /// Connections that copy.
  public var workers = 2
  /// Threads that link and compress. With one worker and one thread, the same rows give the same index.
  public var threads = WorkerThreads.coreCount

  public init(collection: String, connection: ConnectionOptions, source: RowSource, metric: Metric) {
    self.collection = collection
    self.connection = connection
    self.source = source
    self.metric = metric
  }
}

/// How far a rebuild has come.
public enum RebuildProgress: Hashable, Sendable {
  case reading(rows: Int, estimated: Int)
  case linking(rows: Int, of: Int)
  case saving
}

/// What a rebuild did.
public struct RebuildReport: Sendable {
  public var collection: Collection
  public var rows: Int
  /// Rows left out because their vector is NULL.
  public var nullVectors: Int
  /// Rows left out because their vector is zero and the metric is cosine.
  public var zeroVectors: Int
  public var lsn: LSN
  public var readSeconds: Double
  public var linkSeconds: Double
  public var saveSeconds: Double
  public var snapshotPath: String
  public var snapshotBytes: Int
  public var warnings: [String]
}

/// One rebuild. Blocks the thread that runs it; ``progress`` may be asked from any other.
public final class Rebuild: Sendable {
  private let plan: RebuildPlan
  private let directory: DataDirectory
  private let writer: String
  private let reader: BulkReader
  private let state = Mutex(RebuildProgress.reading(rows: 0, estimated: 0))
  private let estimated = Atomic<Int>(0)
  private let zeroVectors = Atomic<Int>(0)

  /// - writer: the program's name and version, for the snapshot.
  /// - Throws: ``ServerError`` (`invalidConfiguration`), ``SourceError`` (`invalidArgument`).
  public init(_ plan: RebuildPlan, into directory: DataDirectory, writer: String) throws {
    try DataDirectory.checkName(plan.collection)
    self.plan = plan
    self.directory = directory
    self.writer = writer
    reader = try BulkReader(connection: plan.connection, source: plan.source, workers: plan.workers)
  }

  public var progress: RebuildProgress {
    let state = state.withLock { $0 }
    guard case .reading = state else { return state }
    return .reading(rows: reader.progress.rows, estimated: estimated.load(ordering: .relaxed))
  }

  /// Reads, links and saves. What is on disk changes at the very end, in one step, or not at all.
  ///
  /// - Throws: ``SourceError``, ``IndexError``, ``SnapshotError``.
  public func run() throws -> RebuildReport {
    let clock = ContinuousClock()
    let start = clock.now
    let description = try reader.describe()
    estimated.store(description.estimatedRows, ordering: .relaxed)
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: description.dimension, metric: plan.metric, recordIDKind: description.recordIDKind,
        storage: plan.storage, connectivity: plan.connectivity, constructionEffort: plan.constructionEffort,
        searchEffort: plan.searchEffort,
        seed: plan.seed))
    let summary = try reader.read { [self] batch in
      let zeros = try batch.vectors.withUnsafeBufferPointer { vectors throws(IndexError) in
        try index.stage(batch.ids, vectors)
      }
      zeroVectors.wrappingAdd(zeros.count, ordering: .relaxed)
    }
    let afterReading = clock.now

    let total = summary.rows - zeroVectors.load(ordering: .relaxed)
    state.withLock { $0 = .linking(rows: 0, of: total) }
    try index.linkStaged(threads: plan.threads) { [self] linked in
      state.withLock { $0 = .linking(rows: linked, of: total) }
      return true
    }
    let afterLinking = clock.now

    state.withLock { $0 = .saving }
    let collection = try Collection(
      name: plan.collection, index: index,
      position: Position(
        systemID: description.systemIdentifier, appliedLSN: summary.lsn.rawValue, timeline: description.timeline))
    let publication = try directory.save(
      collection, source: Self.sourceText(description), writer: writer, threads: plan.threads)
    return RebuildReport(
      collection: collection, rows: index.count, nullVectors: summary.nullVectors,
      zeroVectors: zeroVectors.load(ordering: .relaxed), lsn: summary.lsn,
      readSeconds: (afterReading - start) / .seconds(1), linkSeconds: (afterLinking - afterReading) / .seconds(1),
      saveSeconds: (clock.now - afterLinking) / .seconds(1), snapshotPath: publication.entry.path,
      snapshotBytes: publication.byteCount,
      warnings: summary.warnings + (publication.removalFailure.map { ["\($0)"] } ?? []))
  }

  /// Ends a running ``run()`` that still reads, with `cancelled`.
  public func cancel() { reader.cancel() }

  /// Where the rows come from, in words. A query's text stays out: it is the operator's own, secrets and all.
  private static func sourceText(_ description: SourceDescription) -> String {
    let key = description.keyColumns.map(\.name).joined(separator: ", ")
    let what = description.table ?? "a query"
    return "\(what) of database \(description.database), key (\(key)), column \(description.vectorColumn) "
      + "\(description.vectorType.rawValue)(\(description.dimension))"
  }
}
