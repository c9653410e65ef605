// The user's own table: read once, never written.
//
// May use: PostgresSource's reader.

import PostgresSource
import VectorIndex

/// Where vectors are in the user's database.
struct UserTable: Sendable {
  /// As SQL writes it.
  var name: String
  /// nil: the primary key.
  var keyColumns: [String]?
  /// nil: the only column with vectors.
  var vectorColumn: String?

  struct Rows: Sendable {
    var keys: [RecordID]
    var vectors: VectorFile
    var columnType: VectorType
    /// Rows without a vector.
    var nullVectors: Int
  }

  /// Reads keys and vectors, in the order of the table.
  /// - Throws: ``SourceError``, whose messages say what is missing and what mends it.
  func read(_ connection: ConnectionOptions) throws -> Rows {
    let source = RowSource.table(TableSource(name, keyColumns: keyColumns, vectorColumn: vectorColumn))
    let reader = try BulkReader(connection: connection, source: source, workers: 2)
    let description = try reader.describe()
    let (batches, summary) = try Self.batches(reader)
    var rows = Rows(
      keys: [], vectors: VectorFile(count: 0, dimension: description.dimension, values: []),
      columnType: description.vectorType, nullVectors: summary.nullVectors)
    rows.vectors.values.reserveCapacity(summary.rows * description.dimension)
    for batch in batches {
      rows.keys += batch.ids
      rows.vectors.values += batch.vectors
    }
    rows.vectors.count = rows.keys.count
    return rows
  }

  /// Reads vectors alone, to ask with: at most so many, of a table that has more evenly drawn.
  func readVectors(_ connection: ConnectionOptions, most: Int) throws -> VectorFile {
    func reader(rows: Int) throws -> BulkReader {
      let source = RowSource.query(.vectors(of: vectorsSQL(rows: rows, most: most), rowsMax: most))
      return try BulkReader(connection: connection, source: source, workers: 1)
    }
    // Says what is wrong with the names, so before anything else is asked about the table.
    let whole = try reader(rows: 0)
    let description = try whole.describe()
    let counted = try Connection(connection, stop: StopFlag()).query("SELECT count(*) FROM \(name)")
    let rows = Int((counted.first?.first ?? nil) ?? "") ?? 0
    let (batches, _) = try Self.batches(rows > most ? reader(rows: rows) : whole)
    let values = batches.flatMap(\.vectors)
    return VectorFile(
      count: values.count / description.dimension, dimension: description.dimension, values: values)
  }

  /// All vectors; of more rows than are read as many as are read, row i of n being taken where i · most / n reaches another whole number.
  /// - rows: of the table, about: more or fewer by the time of the read do no harm.
  func vectorsSQL(rows: Int, most: Int) -> String {
    let column = vectorColumn.map(SQLText.identifier) ?? "*"
    guard rows > most else { return "SELECT \(column) FROM \(name)" }
    let number = "vizinho_drawn_by"
    return """
      SELECT \(column) FROM (SELECT \(column), row_number() OVER () AS \(number) FROM \(name)) AS numbered
       WHERE \(number) * \(most) / \(rows) > (\(number) - 1) * \(most) / \(rows)
      """
  }

  private static func batches(_ reader: BulkReader) throws -> (batches: [RowBatch], summary: BulkReadSummary) {
    let batches = Shared<[RowBatch]>([])
    let summary = try reader.read { batch in batches.withLock { $0.append(batch) } }
    return (batches.withLock { $0 }.sorted { ($0.range, $0.ordinal) < ($1.range, $1.ordinal) }, summary)
  }
}
