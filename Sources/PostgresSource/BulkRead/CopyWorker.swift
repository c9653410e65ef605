// What one connection of a bulk read does: import the snapshot, then copy range after range.
//
// May use: Connection, BinaryCopyDecoder.

internal import Synchronization

/// What all workers of one read share.
final class CopyJob: Sendable {
  let options: ConnectionOptions
  let source: RowSource
  let description: SourceDescription
  let snapshot: String
  let ranges: [ScanRange]
  let layout: RowLayout
  let progress: ReadProgress
  let stop: StopFlag
  let sink: @Sendable (RowBatch) throws -> Void
  private let next = Atomic(0)

  init(
    _ options: ConnectionOptions, _ source: RowSource, _ snapshot: ExportedSnapshot, _ ranges: [ScanRange],
    _ layout: RowLayout, _ progress: ReadProgress, _ stop: StopFlag,
    _ sink: @escaping @Sendable (RowBatch) throws -> Void
  ) {
    self.options = options
    self.source = source
    self.ranges = ranges
    self.layout = layout
    self.progress = progress
    self.stop = stop
    self.sink = sink
    description = snapshot.description
    self.snapshot = snapshot.name
  }

  /// The number of the next range that nobody has taken.
  private func takeRange() -> Int? {
    let number = next.add(1, ordering: .relaxed).oldValue
    return number < ranges.count ? number : nil
  }
}

extension CopyJob {
  /// Of vectors, and as much again of attributes.
  private static let batchBytes = 4 << 20
  /// No more than 4,096 rows: what a worker holds at a time.
  private var batchRows: Int { min(max(Self.batchBytes / (description.dimension * 4), 64), 4_096) }

  /// The whole life of a worker, on the thread that calls it.
  func work() throws {
    // Short: the guard holds the locks already, so only a session that waits for an exclusive lock on the same table is
    // in the way, and it waits for the guard. Waiting for it would last forever.
    let connection = try Connection(options, stop: stop, lockTimeoutSeconds: 10)
    try connection.query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try connection.query("SET TRANSACTION SNAPSHOT \(SQLText.literal(snapshot))")
    // All locks at once and now (planning takes them), when nobody is likely to wait for one: none has to be asked for later.
    try connection.query("EXPLAIN " + ScanPlan.wholeSelect(source, of: description))
    while let number = takeRange() {
      try copy(number, connection)
      progress.finishRange()
    }
    try connection.query("COMMIT")
  }

  private func copy(_ number: Int, _ connection: Connection) throws {
    let range = ranges[number]
    let statement = ScanPlan.statement(range, source, of: description)
    var decoder = BinaryCopyDecoder(layout: layout)
    var ordinal = 0
    var batch = RowBatch(dimension: description.dimension, leaf: range.leaf, range: number, ordinal: 0)
    var bytes = 0
    var nullVectors = 0
    let rowsMax = batchRows

    func deliver() throws {
      if !batch.ids.isEmpty { try sink(batch) }
      progress.add(rows: batch.count, nullVectors: decoder.nullVectorCount - nullVectors, bytes: bytes)
      nullVectors = decoder.nullVectorCount
      bytes = 0
    }

    let rows = try connection.copyOut(statement) { chunk in
      bytes += chunk.count
      try decoder.decode(chunk, into: &batch)
      if batch.count >= rowsMax || batch.attributeBytes >= Self.batchBytes {
        try deliver()
        ordinal += 1
        batch = RowBatch(dimension: description.dimension, leaf: range.leaf, range: number, ordinal: ordinal)
        batch.ids.reserveCapacity(rowsMax)
        batch.vectors.reserveCapacity(rowsMax * description.dimension)
      }
    }
    // The server says how many rows it has sent: the last check that none was lost on the way.
    guard decoder.isComplete, decoder.rowCount + decoder.nullVectorCount == rows else {
      throw SourceError(
        .malformedData,
        "The server's binary COPY ended after \(decoder.rowCount + decoder.nullVectorCount) rows, but the server sent "
          + "\(rows). Nothing of this read may be used; start it again.")
    }
    try deliver()
  }
}
