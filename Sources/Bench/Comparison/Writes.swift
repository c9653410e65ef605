// Rows that change while something is measured: what is written, and how it goes into Postgres.
//
// May use: VectorFile, SplitMix, PostgresSource's connection.

import Foundation
import PostgresSource
import Synchronization
import VectorIndex

/// New vectors that lie where the rows lie: each is a row's, moved a tenth of the way to another's.
struct NewVectors: Sendable {
  private let base: VectorFile
  private var random: SplitMix

  init(like base: VectorFile, seed: UInt64) {
    self.base = base
    random = SplitMix(state: seed)
  }

  mutating func next() -> [Float] {
    let (from, towards) = (anyRow(), anyRow())
    return zip(base[from], base[towards]).map { 0.9 * $0 + 0.1 * $1 }
  }

  /// A row to be changed.
  mutating func anyRow() -> Int { Int.random(in: 0..<base.count, using: &random) }
}

/// Who changes rows of a table while something is measured. Used by one thread.
protocol TableWriter: AnyObject {
  /// Gives a row a new vector; returns when that has committed.
  func update(_ row: Int64, _ vector: [Float]) throws
  /// A position of Postgres's log behind all that this one has committed.
  func logPosition() throws -> UInt64
}

/// A connection that writes rows of a table, each in a transaction of its own. Used by one thread.
final class RowWriter: TableWriter {
  private let connection: Connection

  private static let insert = "insert"
  private static let update = "update"
  private static let position = "position"

  /// - table: as SQL writes it.
  /// - type: of its vectors.
  init(_ access: PostgresAccess, table: String, type: VectorType, dimension: Int) throws(SourceError) {
    connection = try access.connect()
    let vector = type == .vector ? "$2::vector" : "$2::vector::halfvec(\(dimension))"
    try connection.prepare(
      Self.insert,
      "INSERT INTO \(table) (\(PgvectorSQL.key), \(PgvectorSQL.share), \(PgvectorSQL.vector)) VALUES ($1::bigint, 2, \(vector))"
    )
    try connection.prepare(
      Self.update, "UPDATE \(table) SET \(PgvectorSQL.vector) = \(vector) WHERE \(PgvectorSQL.key) = $1::bigint")
    try connection.prepare(Self.position, Self.positionQuery)
  }

  /// The token that docs/PROTOCOL.md has for one's own write, as a number, to come in binary. Where a commit does not wait for its record,
  /// that may lie behind what is written, though before what is inserted; and what is inserted may end behind the header of a page (24
  /// bytes) or of a file (40) that no record has followed yet, and nothing is ever sent up to such a place.
  private static let positionQuery = """
    SELECT CASE
        WHEN current_setting('synchronous_commit') <> 'off' THEN (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint
        ELSE (
          SELECT CASE WHEN place % file_bytes = 40 THEN place - 40 WHEN place % page_bytes = 24 THEN place - 24 ELSE place END
          FROM (
            SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint AS place,
              pg_size_bytes(current_setting('wal_segment_size')) AS file_bytes,
              current_setting('wal_block_size')::bigint AS page_bytes
          ) AS inserted)
      END
    """

  /// Returns when the transaction has committed.
  func insert(_ row: Int64, _ vector: [Float]) throws(SourceError) { try write(Self.insert, row, vector) }
  func update(_ row: Int64, _ vector: [Float]) throws(SourceError) { try write(Self.update, row, vector) }

  /// Behind all that this connection has committed.
  func logPosition() throws(SourceError) -> UInt64 {
    let found = try connection.int64s(prepared: Self.position, BinaryParameters())
    return UInt64(bitPattern: found.first ?? 0)
  }

  private func write(_ statement: String, _ row: Int64, _ vector: [Float]) throws(SourceError) {
    var parameters = BinaryParameters()
    parameters.append(int64: row)
    parameters.append(vector: vector)
    _ = try connection.int64s(prepared: statement, parameters)
  }
}

/// A thread that changes rows at a rate until it is told to end. What is late is made up for and not left out.
final class SteadyWriter: Sendable {
  struct Written: Sendable {
    /// That had committed when the body ended.
    var rows = 0
    /// From the start to the end of the body, whatever the writer did meanwhile.
    var seconds = 0.0
    /// After it nothing was written any more.
    var firstError: String?
    /// Behind all that was written, and when it was asked for; nil where it could not be.
    var mark: Mark?

    var perSecond: Double { seconds > 0 ? Double(rows) / seconds : 0 }
  }

  /// A position of Postgres's log.
  struct Mark: Sendable {
    var position: UInt64
    var taken: ContinuousClock.Instant
  }

  private let written = Mutex(Written())
  private let ends = Atomic<Bool>(false)

  /// Writes while the body runs.
  /// - Returns: what the body returns, and what was written meanwhile.
  static func run<Value>(
    perSecond rate: Double, base: VectorFile, seed: UInt64, make: @escaping @Sendable () throws -> any TableWriter,
    during body: () throws -> Value
  ) rethrows -> (value: Value, written: Written) {
    let writer = SteadyWriter()
    let start = ContinuousClock.now
    let thread = BackgroundThread { writer.write(rate, from: start, NewVectors(like: base, seed: seed), make) }
    defer {
      writer.ends.store(true, ordering: .relaxed)
      thread.join()
    }
    let value = try body()
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    writer.ends.store(true, ordering: .relaxed)
    thread.join()
    var written = writer.written.withLock { $0 }
    written.seconds = seconds
    return (value, written)
  }

  private func write(
    _ rate: Double, from start: ContinuousClock.Instant, _ vectors: NewVectors, _ make: () throws -> any TableWriter
  ) {
    var found = Written()
    do {
      let writer = try make()
      do {
        try change(rate, from: start, vectors, writer, &found.rows)
      } catch {
        found.firstError = String(describing: error)
      }
      // Also after an error: what had committed before it is in the log.
      if let position = try? writer.logPosition() {
        found.mark = Mark(position: position, taken: ContinuousClock.now)
      }
    } catch {
      found.firstError = String(describing: error)
    }
    let all = found
    written.withLock { $0 = all }
  }

  private func change(
    _ rate: Double, from start: ContinuousClock.Instant, _ vectors: NewVectors, _ writer: any TableWriter,
    _ rows: inout Int
  ) throws {
    var vectors = vectors
    let clock = ContinuousClock()
    while !ends.load(ordering: .relaxed) {
      let due = start + .seconds(Double(rows) / rate)
      let now = clock.now
      if due > now {
        // Short naps, so that the end is not waited for.
        usleep(UInt32(min(20_000, max(1, (due - now).nanoseconds / 1_000))))
        continue
      }
      try writer.update(Int64(vectors.anyRow()), vectors.next())
      if !ends.load(ordering: .relaxed) { rows += 1 }
    }
  }
}
