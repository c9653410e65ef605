// Exact answers out of Postgres: pgvector's operators over all rows, and none of its indexes.
//
// May use: PostgresSource's connection and checks, ExactSQL.

import PostgresSource
import VectorIndex

/// One connection; used by one thread at a time.
final class ExactPostgres {
  /// The table, as it was found.
  let description: SourceDescription
  let sql: ExactSQL
  private let connection: Connection

  /// Connects and looks at everything that can be looked at beforehand.
  /// - Parameters:
  ///   - source: the table; its attributes are those that filters may name.
  ///   - metric: the collection's.
  /// - Throws: ``SourceError``: no server, no pgvector, no such table, and so on, with what mends it.
  init(_ options: ConnectionOptions, _ source: TableSource, metric: Metric) throws {
    let description = try BulkReader(connection: options, source: .table(source)).describe()
    let table = description.table ?? source.name
    connection = try Connection(options, stop: StopFlag())
    let schema =
      try connection.query(
        """
        SELECT n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
         WHERE e.extname = 'vector'
        """
      ).first?.first ?? nil
    let names = SQLText.identifiers(description.keyColumns.map(\.name))
    let types = try connection.describe("SELECT \(names) FROM \(table)").map(\.typeOID)
    self.description = description
    sql = ExactSQL(
      table: table,
      keyColumns: zip(description.keyColumns, types).map { column, type in
        .init(
          name: column.name, parameterType: Self.parameterType(column.type, type), kind: column.type.recordIDKind)
      },
      vectorColumn: description.vectorColumn, vectorType: description.vectorType, metric: metric,
      extensionSchema: schema ?? "public", rowCondition: source.filter,
      attributes: description.attributes.map { ($0.column.name, $0.expression) })
    // pgvector's indexes have no other scan than this one; a B-tree that serves a filter has others, which are exact.
    try connection.query("SET enable_indexscan = off")
  }

  private static func parameterType(_ type: KeyType, _ oid: UInt32) -> String {
    switch type {
    case .smallint, .integer, .bigint: "int8"
    case .uuid: "uuid"
    // char(n) compares without the blanks that it is padded with.
    case .text: oid == 1042 ? "bpchar" : "text"
    }
  }

  /// - Throws: ``BenchError`` with `unfitPostgres` where Postgres would answer by one of pgvector's indexes after all.
  func checkPlan(_ vector: [Float], k: Int, condition: String?) throws {
    let plan = try connection.query(
      "EXPLAIN (FORMAT JSON) " + sql.nearest(k: k, condition: condition), [ExactSQL.text(vector)])
    let text = plan.compactMap { $0.first ?? nil }.joined(separator: "\n")
    guard let index = ExactSQL.orderingIndex(inPlan: text) else { return }
    throw BenchError(
      .unfitPostgres,
      "Postgres answers by the index \(SQLText.identifier(index)) although it was told not to, so its answers would not be exact: "
        + "does the role or the database force enable_indexscan?")
  }

  /// Begins to look at the database as it is at the next statement, until ``end()``.
  func begin() throws(SourceError) { try connection.query("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY") }
  func end() throws(SourceError) { try connection.query("COMMIT") }

  /// The k nearest rows, nearest first. Reads every row that meets the condition.
  func nearest(_ vector: [Float], k: Int, condition: String?) throws -> [RankedRow] {
    try connection.query(sql.nearest(k: k, condition: condition), [ExactSQL.text(vector)]).compactMap {
      try sql.row($0)
    }
  }

  /// The distances of rows, of those that are there and meet the condition.
  func distances(_ vector: [Float], of ids: [RecordID], condition: String?) throws -> [RecordID: Double] {
    let rows = try connection.query(
      sql.distances(condition: condition), [ExactSQL.text(vector)] + sql.keyParameters(ids)
    ).compactMap { try sql.row($0) }
    return Dictionary(rows.map { ($0.id, $0.distance) }, uniquingKeysWith: min)
  }
}
