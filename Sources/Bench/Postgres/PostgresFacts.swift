// Whether a Postgres can be measured at all: what it is, what it has, what this role may do.
//
// May use: PostgresSource's connection.

import PostgresSource

/// The database, as it is found.
struct PostgresFacts: Sendable {
  var database: String
  var databaseOID: String
  var role: String
  /// As in `18.1`.
  var version: String
  var pgvectorVersion: String
  /// Where pgvector's types and operators are.
  var extensionSchema: String
  var isStandby: Bool
  /// Whether this role may make a replication slot, and the server keeps enough in its log for one.
  var followsByLog: Bool
  /// Connections that the server takes and does not reserve for others.
  var connectionsMax: Int

  /// - Throws: ``SourceError`` of the connection; ``BenchError`` with `unfitPostgres` where pgvector is missing or too old, or the role may
  ///   not make a schema.
  init(_ connection: Connection) throws {
    let rows = try connection.query(
      """
      SELECT current_database(), current_user, current_setting('server_version'),
             has_database_privilege(current_database(), 'CREATE'), pg_is_in_recovery(),
             current_setting('wal_level') = 'logical'
               AND (SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user),
             (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()),
             current_setting('max_connections')::int
               - CASE WHEN (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user) THEN 0
                   ELSE current_setting('superuser_reserved_connections')::int
                     + coalesce(current_setting('reserved_connections', true)::int, 0) END
      """)
    let row = rows.first?.map { $0 ?? "" } ?? []
    guard row.count == 8 else { throw BenchError(.unfitPostgres, "Postgres does not say what it is.") }
    database = row[0]
    role = row[1]
    version = String(row[2].prefix { $0 != " " })
    isStandby = row[4] == "t"
    followsByLog = row[5] == "t"
    databaseOID = row[6]
    connectionsMax = Int(row[7]) ?? .max
    let found = try connection.query(
      """
      SELECT e.extversion, n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
       WHERE e.extname = 'vector'
      """
    ).first?.map { $0 ?? "" }
    let quoted = SQLText.identifier(database)
    guard let found, found.count == 2 else {
      throw BenchError(
        .unfitPostgres,
        "pgvector is not installed in the database \(quoted). Run there: CREATE EXTENSION vector; or connect to the "
          + "database that has the vectors.")
    }
    pgvectorVersion = found[0]
    extensionSchema = found[1]
    guard Self.isVersion(pgvectorVersion, atLeast: (0, 7)) else {
      throw BenchError(
        .unfitPostgres,
        "pgvector \(pgvectorVersion) is installed in \(quoted); 0.7 or later is needed. Install a newer package and run "
          + "there: ALTER EXTENSION vector UPDATE;")
    }
    guard !isStandby else {
      throw BenchError(
        .unfitPostgres, "The server is a standby, which can build nothing: connect to the primary, or to a copy of it.")
    }
    guard row[3] == "t" else {
      throw BenchError(
        .unfitPostgres,
        "The role \(SQLText.identifier(role)) may not make a schema in \(quoted), where the comparison keeps its tables. "
          + "Run: GRANT CREATE ON DATABASE \(quoted) TO \(SQLText.identifier(role)); or name another database.")
    }
  }

  /// What a run needs beside the clients: it holds the schema, writes, cleans up, and the engine reads and follows.
  static let ownConnections = 8

  /// - most: connections that the server takes and does not reserve for others.
  /// - clients: that search at once.
  /// - Throws: ``BenchError`` with `unfitPostgres` where there are too few.
  static func checkConnections(_ most: Int, clients: Int) throws(BenchError) {
    guard clients > most - ownConnections else { return }
    throw BenchError(
      .unfitPostgres,
      "--clients asks for \(clients) connections at once, and a run needs \(ownConnections) beside them; the server has \(most) that are "
        + "not reserved for others. Give fewer --clients, or raise max_connections.")
  }

  /// Whether pgvector can go on scanning when a filter leaves too few rows: since 0.8.
  var hasIterativeScans: Bool { Self.isVersion(pgvectorVersion, atLeast: (0, 8)) }

  static func isVersion(_ text: String, atLeast least: (Int, Int)) -> Bool {
    let parts = text.split(separator: ".").map { Int($0) ?? 0 }
    return parts.count >= 2 && (parts[0], parts[1]) >= least
  }
}
