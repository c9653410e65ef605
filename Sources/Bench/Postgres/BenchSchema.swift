// The schema in the user's database in which everything of a comparison lives: its tables are made here and go with it. Nothing else is touched.
//
// Each index has a table of its own, a copy of the others: Postgres chooses among the indexes of a table, and a writer pays for all of them, so
// that two on one table could not be measured one beside the other.
//
// May use: PostgresSource's connection, PgvectorSQL.

import Foundation
import PostgresSource
import VectorIndex

/// Used by one thread.
final class BenchSchema {
  /// For clients.
  let access: PostgresAccess
  let name: String
  /// nil: the server's processes cannot be seen from here.
  let memory: ServerMemory?
  let settings: ServerSettings
  /// Keeps the lock as long as the schema is ours.
  private let connection: Connection
  private let columnType: VectorType
  private let dimension: Int

  /// The table that has no index on vectors, from which the others are made and which the engine reads.
  static let rowsTable = "rows"
  /// What says that a schema of this name is ours to drop.
  private static let mark = "Made by bench pgvector. It is dropped and made anew by each run."

  /// Makes the schema, in the place of one that an earlier run has left.
  /// - Throws: ``BenchError`` with `unfitPostgres` where another run is at work, or where the schema is somebody else's.
  init(_ access: PostgresAccess, name: String, columnType: VectorType, dimension: Int) throws {
    self.name = name
    self.columnType = columnType
    self.dimension = dimension
    connection = try access.connect()
    memory = ServerMemory(of: connection)
    settings = try ServerSettings(of: connection)
    var clients = access
    clients.seesProcesses = memory != nil
    self.access = clients
    let locked = try connection.query(
      "SELECT pg_try_advisory_lock(hashtextextended($1, 0))", ["bench pgvector " + name])
    guard locked.first?.first == "t" else {
      throw BenchError(
        .unfitPostgres,
        "Another run is at work in the schema \(SQLText.identifier(name)): wait for its end, or give --schema.")
    }
    let found = try connection.query(
      "SELECT coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_catalog.pg_namespace WHERE nspname = $1",
      [name])
    if let comment = found.first?.first {
      guard comment == Self.mark else {
        throw BenchError(
          .unfitPostgres,
          "There is a schema \(SQLText.identifier(name)) that no run of this program has made: give another --schema.")
      }
      try Self.drop(name, over: connection)
    }
    // Together: one that is left without its mark would be nobody's, and every later run would refuse it.
    try connection.query("BEGIN")
    try connection.query("CREATE SCHEMA \(SQLText.identifier(name))")
    try connection.query("COMMENT ON SCHEMA \(SQLText.identifier(name)) IS \(SQLText.literal(Self.mark))")
    try connection.query("COMMIT")
  }

  /// A table here, as SQL writes it.
  func table(_ table: String) -> String { SQLText.qualified(name, table) }

  static func table(of index: PgvectorIndex) -> String { index == .exact ? rowsTable : "\(rowsTable)_\(index.slug)" }
  static func indexName(of index: PgvectorIndex) -> String { "\(table(of: index))_vectors" }

  func sql(_ index: PgvectorIndex, metric: Metric) -> PgvectorSQL {
    PgvectorSQL(
      index: index, table: table(Self.table(of: index)), metric: metric, column: columnType, dimension: dimension)
  }

  // MARK: Rows

  /// Rows of a chunk of the COPY: some megabytes.
  private static let chunkBytes = 4 << 20

  /// Makes the first table and fills it: row i of the vectors has the key i.
  /// - shares: for each row its number from 0 to 1.
  /// - progress: told how many rows are sent; throws to give up.
  func load(_ base: VectorFile, shares: [Double], progress: (Int) throws -> Void) throws {
    let rows = table(Self.rowsTable)
    try connection.query(
      """
      CREATE TABLE \(rows) (\(PgvectorSQL.key) bigint NOT NULL, \(PgvectorSQL.share) double precision NOT NULL,
        \(PgvectorSQL.vector) \(columnType.rawValue)(\(dimension)) NOT NULL)
      """)
    // A COPY in binary takes a column's own form, so halves go through a table of floats.
    let landing = columnType == .vector ? rows : table("landing")
    if columnType == .halfvec {
      try connection.query(
        """
        CREATE TABLE \(landing) (\(PgvectorSQL.key) bigint, \(PgvectorSQL.share) double precision, \(PgvectorSQL.vector) vector(\(dimension)))
        """)
    }
    var row = 0
    try connection.copyIn("COPY \(landing) FROM STDIN (FORMAT binary)") {
      try progress(row)
      guard row < base.count else { return nil }
      var bytes: [UInt8] = []
      while row < base.count, bytes.count < Self.chunkBytes {
        var values = BinaryParameters()
        values.append(int64: Int64(row))
        values.append(float64: shares[row])
        values.append(vector: base[row])
        values.writeCopyRow(into: &bytes)
        row += 1
      }
      return bytes
    }
    if columnType == .halfvec {
      try connection.query("INSERT INTO \(rows) SELECT * FROM \(landing) ORDER BY \(PgvectorSQL.key)")
      try connection.query("DROP TABLE \(landing)")
    }
    try finish(Self.rowsTable)
  }

  /// Makes the table of an index, a copy of the first, without the index.
  func copy(for index: PgvectorIndex) throws {
    let target = table(Self.table(of: index))
    try connection.query("CREATE TABLE \(target) (LIKE \(table(Self.rowsTable)))")
    try connection.query("INSERT INTO \(target) SELECT * FROM \(table(Self.rowsTable)) ORDER BY \(PgvectorSQL.key)")
    try finish(Self.table(of: index))
  }

  /// Takes away the table of an index that could not be built, as far as it was made.
  func discard(_ index: PgvectorIndex) throws {
    precondition(index != .exact, "the first table is everybody's")
    try connection.query("DROP TABLE IF EXISTS \(table(Self.table(of: index)))")
  }

  /// Keys, an index for the filter, and statistics, as a table has them that is in use.
  private func finish(_ name: String) throws {
    let target = table(name)
    try connection.query("ALTER TABLE \(target) ADD PRIMARY KEY (\(PgvectorSQL.key))")
    try connection.query("CREATE INDEX ON \(target) (\(PgvectorSQL.share))")
    try connection.query("VACUUM (ANALYZE) \(target)")
  }

  // MARK: Indexes

  /// What an index cost.
  struct Built {
    var seconds: Double
    var indexBytes: Int
    /// The table with its TOAST, which a search reads beside some indexes.
    var tableBytes: Int
    /// Beyond what there was before, as ``ServerMemory`` sees it.
    var peakMemoryBytes: Int?
    var statement: String
  }

  /// Builds an index by its statement, with so much memory and so many helpers.
  func build(
    _ index: PgvectorIndex, _ sql: PgvectorSQL, maintenanceBytes: Int, workers: Int
  ) throws -> Built {
    guard let statement = sql.create(named: Self.indexName(of: index)) else {
      return Built(seconds: 0, indexBytes: 0, tableBytes: try size(of: Self.table(of: index)), statement: "no index")
    }
    try connection.set("maintenance_work_mem", "\(maintenanceBytes >> 10)kB")
    try connection.set("max_parallel_maintenance_workers", String(workers))
    // Otherwise the size of the table decides, and small ones get no helpers.
    let target = sql.table
    try connection.query("ALTER TABLE \(target) SET (parallel_workers = \(workers))")
    let seconds: Double
    let peak: Int?
    if let memory {
      let seen = try memory.growth(during: { try self.run(statement) })
      seconds = seen.value
      peak = seen.bytes
    } else {
      seconds = try run(statement)
      peak = nil
    }
    // Searches are to be planned as for any table.
    try connection.query("ALTER TABLE \(target) RESET (parallel_workers)")
    try connection.query("VACUUM (ANALYZE) \(target)")
    return Built(
      seconds: seconds, indexBytes: try size(of: Self.indexName(of: index)),
      tableBytes: try size(of: Self.table(of: index)), peakMemoryBytes: peak, statement: statement)
  }

  /// - Returns: the seconds that it took, and nothing else did.
  private func run(_ statement: String) throws -> Double {
    let clock = ContinuousClock()
    let start = clock.now
    try connection.query(statement)
    return (clock.now - start) / .seconds(1)
  }

  /// Of an index, or of a table with what is stored out of line.
  private func size(of name: String) throws -> Int {
    let found = try connection.query("SELECT pg_table_size(\(SQLText.literal(table(name)))::regclass)")
    return Int((found.first?.first ?? nil) ?? "") ?? 0
  }

  /// Lets what was written reach the disk now and not while something is measured.
  /// - Returns: what Postgres says where it does not do it.
  func checkpoint() throws(SourceError) -> SourceError? {
    do throws(SourceError) { try connection.query("CHECKPOINT") } catch {
      guard !error.endsRun else { throw error }
      return error
    }
    return nil
  }

  // MARK: The end

  /// Makes the server give up what this connection is waiting for, if anything.
  /// - other: another connection of the same role.
  func cancel(over other: Connection) throws {
    try other.query("SELECT pg_cancel_backend($1::int)", [String(connection.serverProcessID)])
  }

  /// Drops a publication and a slot of this schema's run, and waits for a walsender that is still at the slot; one that stays is ended: an
  /// engine that a killed run has left behind reads on for ever.
  func dropReplication(publication: String, slot: String, over connection: Connection) throws {
    for attempt in 0..<Self.attemptsMax {
      do throws(SourceError) {
        try connection.query(
          "SELECT pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots WHERE slot_name = $1", [slot]
        )
        break
      } catch {
        // 55006: somebody reads from it still.
        guard error.sqlState == "55006", attempt < Self.attemptsMax - 1 else { throw error }
        if attempt < Self.patientAttempts {
          usleep(100_000)
        } else {
          // No pause after it, since such an engine comes back.
          try endReader(of: slot, over: connection)
        }
      }
    }
    try connection.query("DROP PUBLICATION IF EXISTS \(SQLText.identifier(publication))")
  }

  /// Ends the walsender at a slot, and waits until it has ended. The slot is named by a run, and only while the schema has the mark of one.
  private func endReader(of slot: String, over connection: Connection) throws(SourceError) {
    try connection.query(
      """
      SELECT pg_terminate_backend(active_pid, 1000) FROM pg_catalog.pg_replication_slots
       WHERE slot_name = $1 AND active_pid IS NOT NULL AND database = current_database()
         AND EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $2 AND obj_description(oid, 'pg_namespace') = $3)
      """, [slot, name, Self.mark])
  }

  /// So often a tenth of a second is waited, as for an engine that has just been ended.
  private static let patientAttempts = 10
  private static let attemptsMax = 40

  static func drop(_ name: String, over connection: Connection) throws {
    try connection.query("DROP SCHEMA IF EXISTS \(SQLText.identifier(name)) CASCADE")
  }
}
