// The public face of the module: read a table or a query once, in parallel, under one snapshot. Read first.
//
//     let reader = try BulkReader(connection: ConnectionOptions(url), source: .table(TableSource("documents")), workers: 4)
//     let description = try reader.describe()          // checks everything; says dimension and kind of ids
//     let summary = try reader.read { batch in         // called on the workers' threads, several at once
//       try index.insert(batch.ids, batch.vectors)
//     }
//
// How it goes: Preflight (what could go wrong) → ExportedSnapshot (locks, one snapshot, its LSN) → ScanPlan (ranges of
// blocks) → WorkerThreads → CopyJob (one connection each) → BinaryCopyDecoder → RowBatch → the sink.
//
// May use: everything in this module.

internal import Synchronization

/// Reads all rows of a source, once.
public final class BulkReader: Sendable {
  private let options: ConnectionOptions
  private let source: RowSource
  private let workers: Int
  private let snapshotPatienceSeconds: Double
  private let hashesVectors: Bool
  private let stop = StopFlag()
  private let state = Mutex(State())

  private struct State {
    var described: SourceDescription?
    var hasRead = false
  }

  /// The most connections that one read may use.
  public static let workersMax = 64

  /// Counters of this reader's read, for any thread.
  public let progress = ReadProgress()

  /// - `workers`: connections that copy, 1 to ``workersMax``; a query uses one. Two more hold locks and snapshot.
  /// - `snapshotPatienceSeconds`: how long to wait for running writers, so that the LSN of the snapshot can be said.
  /// - `hashesVectors`: whether batches bring ``RowBatch/vectorHashes``, at the cost of one MD5 a row.
  /// - Throws: ``SourceError`` with `invalidArgument`. Does not connect.
  public init(
    connection: ConnectionOptions, source: RowSource, workers: Int = 2, snapshotPatienceSeconds: Double = 10,
    hashesVectors: Bool = false
  ) throws(SourceError) {
    guard (1...Self.workersMax).contains(workers) else {
      throw SourceError(.invalidArgument, "--workers must be 1 to \(Self.workersMax), not \(workers).")
    }
    guard (0...3_600).contains(snapshotPatienceSeconds) else {
      throw SourceError(
        .invalidArgument, "The snapshot's patience must be 0 to 3600 s, not \(snapshotPatienceSeconds).")
    }
    options = connection
    self.source = source
    self.workers = workers
    self.snapshotPatienceSeconds = snapshotPatienceSeconds
    self.hashesVectors = hashesVectors
  }

  /// Connects, checks everything that can be checked before the first row, and says what would be read.
  ///
  /// Blocks the calling thread: not for a thread of Swift's concurrency pool.
  /// - Throws: ``SourceError``; each message says the SQL or the flag that mends it.
  public func describe() throws(SourceError) -> SourceDescription {
    let connection = try Connection(options, stop: stop)
    let description = try Preflight(connection, source).run()
    state.withLock { $0.described = description }
    return description
  }

  /// Reads every row whose vector is not NULL, as of one moment, and hands them over in batches.
  ///
  /// Blocks the calling thread until the end. `sink` is called on the workers' threads, several at a time; a worker waits
  /// while its call lasts, so memory stays at one batch (about 4 MiB of vectors, and of attributes) a worker. The order of the batches is
  /// that of chance; ``RowBatch/range`` and ``RowBatch/ordinal`` tell the order in the table.
  ///
  /// - Returns: only when all rows were delivered.
  /// - Throws: ``SourceError``, or what `sink` throws. What was delivered before is then not all, and must not be used.
  ///   There is no second try inside, which could deliver a row twice. A reader reads once.
  public func read(_ sink: @escaping @Sendable (RowBatch) throws -> Void) throws -> BulkReadSummary {
    try read(underSlot: nil, sink) { _ in }
  }

  /// The same, of a snapshot whose place in the log is known exactly.
  ///
  /// - slot: the name of a temporary replication slot, made for this read; nil: an ordinary snapshot.
  /// - slotPatienceSeconds: how long transactions that write may keep that slot from being made.
  /// - check: called when all rows were delivered, with the name of the snapshot, which lives until it returns.
  package func read(
    underSlot slot: String?, slotPatienceSeconds: Double = 20,
    _ sink: @escaping @Sendable (RowBatch) throws -> Void,
    check: (_ snapshot: String) throws -> Void
  ) throws -> BulkReadSummary {
    let described = try state.withLock { (state) throws(SourceError) in
      guard !state.hasRead else {
        throw SourceError(.invalidArgument, "This reader has read already: make another one.")
      }
      state.hasRead = true
      return state.described
    }
    let source = described.map { self.source.with(dimension: $0.dimension) } ?? self.source
    let snapshot =
      if let slot {
        try ExportedSnapshot.take(
          options, source, slot: slot, stop: stop, patienceSeconds: slotPatienceSeconds)
      } else {
        try ExportedSnapshot.take(options, source, stop: stop, patienceSeconds: snapshotPatienceSeconds)
      }
    try Self.compare(snapshot.description, with: described)

    let ranges: [ScanRange]
    switch source {
    case .table: ranges = ScanPlan.ranges(of: snapshot.description.leaves, workers: workers)
    case .query: ranges = [ScanRange(leaf: 0, firstBlock: 0, endBlock: nil)]
    }
    progress.begin(ranges: ranges.count)
    var layout = snapshot.description.layout
    layout.hashesVectors = hashesVectors
    let job = CopyJob(options, source, snapshot, ranges, layout, progress, stop, sink)
    try WorkerThreads.run(
      max(min(workers, ranges.count), 1), stop: stop,
      watched: snapshot.fileDescriptors, check: { try snapshot.check() },
      body: { try job.work() })
    try check(snapshot.name)
    try snapshot.finish()
    return BulkReadSummary(
      description: snapshot.description, rows: progress.rows, nullVectors: progress.nullVectors, bytes: progress.bytes,
      lsn: snapshot.lsn, xmin: snapshot.xmin, warnings: snapshot.warnings)
  }

  /// Ends a running ``describe()`` or ``read(_:)`` with `cancelled`, within about 100 ms (or the connect timeout, while it
  /// connects). From any thread; the reader is of no more use afterwards.
  public func cancel() { stop.raise() }

  /// The index was made for what was described; a read of something else would fail in it, or fit it wrongly.
  private static func compare(_ found: SourceDescription, with described: SourceDescription?) throws(SourceError) {
    guard let described else { return }
    guard
      found.keyColumns == described.keyColumns, found.dimension == described.dimension,
      found.vectorType == described.vectorType, found.vectorColumn == described.vectorColumn,
      found.attributes == described.attributes, found.payload == described.payload,
      found.systemIdentifier == described.systemIdentifier, found.database == described.database
    else {
      throw SourceError(
        .sourceChanged,
        "Between the first look and the read, the key, the vector column, the attributes or the server changed: start again."
      )
    }
  }
}

/// What a read delivered.
public struct BulkReadSummary: Hashable, Sendable {
  /// The source as the read's snapshot saw it.
  public var description: SourceDescription
  /// Rows delivered.
  public var rows: Int
  /// Rows left out because their vector is NULL.
  public var nullVectors: Int
  /// Bytes of COPY data received.
  public var bytes: Int
  /// Every transaction that committed up to here is in the rows; later ones may be. ``LSN/unknown`` when that could not
  /// be had: ``warnings`` says why.
  public var lsn: LSN
  /// Every transaction with a lower id (`xid8`) has ended before, and is in the rows if it has committed; 0 where that was not asked.
  package var xmin: UInt64
  /// Sentences for the operator.
  public var warnings: [String]
}
