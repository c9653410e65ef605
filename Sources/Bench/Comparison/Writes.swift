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

/// A connection that writes rows of a table, each in a transaction of its own. Used by one thread.
final class RowWriter {
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
    // As a number, to come in binary.
    try connection.prepare(Self.position, "SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint")
  }

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
    var rows = 0
    var seconds = 0.0
    var firstError: String?

    var perSecond: Double { seconds > 0 ? Double(rows) / seconds : 0 }
  }

  private let written = Mutex(Written())
  private let ends = Atomic<Bool>(false)

  /// Writes while the body runs.
  /// - Returns: what the body returns, and what was written meanwhile.
  static func run<Value>(
    perSecond rate: Double, base: VectorFile, seed: UInt64, make: @escaping @Sendable () throws -> RowWriter,
    during body: () throws -> Value
  ) rethrows -> (value: Value, written: Written) {
    let writer = SteadyWriter()
    let thread = BackgroundThread { writer.write(rate, NewVectors(like: base, seed: seed), make) }
    defer {
      writer.ends.store(true, ordering: .relaxed)
      thread.join()
    }
    let value = try body()
    writer.ends.store(true, ordering: .relaxed)
    thread.join()
    return (value, writer.written.withLock { $0 })
  }

  private func write(_ rate: Double, _ vectors: NewVectors, _ make: () throws -> RowWriter) {
    var vectors = vectors
    var found = Written()
    do {
      let writer = try make()
      let clock = ContinuousClock()
      let start = clock.now
      while !ends.load(ordering: .relaxed) {
        let due = start + .seconds(Double(found.rows) / rate)
        let now = clock.now
        if due > now {
          // Short naps, so that the end is not waited for.
          usleep(UInt32(min(20_000, max(1, (due - now).nanoseconds / 1_000))))
          continue
        }
        try writer.update(Int64(vectors.anyRow()), vectors.next())
        found.rows += 1
        found.seconds = (clock.now - start) / .seconds(1)
      }
    } catch {
      found.firstError = String(describing: error)
    }
    written.withLock { $0 = found }
  }
}
