// Rows of a table by their keys: those of which the stream of changes says too little.
//
// One statement asks for up to a thousand keys, which go as parameters, by the expressions with which the load reads; it also says which
// transactions it saw.
//
// May use: Connection, ScanPlan for the columns, FetchedRow.

package import VectorIndex

/// Fetches rows of one table, on one connection.
package struct RowFetcher {
  /// The most keys of one fetch.
  package static let keysMax = 1_000

  private let connection: Connection
  private let layout: RowLayout
  private let statement: String

  /// - description: of a table.
  /// - rowFilter: the publication's condition; rows for which it is not true count as missing.
  /// - Throws: ``SourceError`` with `followUnsupported` for a query, and of the connection.
  package init(
    _ connection: Connection, description: SourceDescription, rowFilter: String?
  ) throws(SourceError) {
    guard let table = description.table else {
      throw SourceError(.followUnsupported, "Rows of a query cannot be asked for by their keys: name a table.")
    }
    self.connection = connection
    layout = description.layout
    let keys = description.keyColumns.map { SQLText.identifier($0.name) }
    // What a key is compared as: the base type tells char(n), where trailing blanks do not count, from other text.
    let types = try connection.describe("SELECT \(keys.joined(separator: ", ")) FROM \(table)").map {
      Self.parameterType($0.typeOID)
    }
    var condition = Self.condition(keys, types) + " AND \(SQLText.identifier(description.vectorColumn)) IS NOT NULL"
    // The line breaks keep a comment at the filter's end from swallowing the parenthesis.
    if let rowFilter { condition += " AND (\n\(rowFilter)\n)" }
    // One statement has one snapshot; the outer join makes it tell the snapshot even when there is no row.
    statement = """
      SELECT s.seen, r.* FROM (SELECT pg_current_snapshot()::text) AS s (seen)
        LEFT JOIN (SELECT true, \(ScanPlan.columns(description)) FROM \(table) WHERE \(condition)) AS r ON true
      """
  }

  /// - keys: at most ``keysMax``, of the description's ``SourceDescription/recordIDKind``. Twice the same is the same as once.
  /// - Returns: what was there for this statement; ask again as long as the snapshot does not show a transaction that matters.
  /// - Throws: ``SourceError`` of the connection, or with the code of the first row that cannot be indexed, as the load has them.
  package func fetch(_ keys: [RecordID]) throws(SourceError) -> FetchedRows {
    precondition(keys.count <= Self.keysMax, "at most \(Self.keysMax) keys at a time")
    var seen = Set<RecordID>()
    let asked = keys.filter { seen.insert($0).inserted }
    // No text in Postgres has a NUL, so there is no such row; and no parameter could say it.
    let found = try connection.binaryRows(statement, parameters(asked.filter { !$0.hasNUL }), headCount: 2)
    guard let head = found.first?.head.first ?? nil,
      let snapshot = VisibilitySnapshot(String(decoding: head, as: UTF8.self))
    else {
      throw SourceError(.malformedData, "The server does not say which transactions a statement has seen.")
    }
    var missing = seen
    var rows: [FetchedRow] = []
    for row in found where row.head[1] != nil {
      let fetched = try FetchedRow(wire: row.wire, layout: layout)
      // A collation may take another key for the one that was asked for.
      if missing.remove(fetched.id) != nil { rows.append(fetched) }
    }
    return FetchedRows(rows: rows, missing: asked.filter { missing.contains($0) }, snapshot: snapshot)
  }
}

// MARK: Keys

extension RowFetcher {
  private static func parameterType(_ typeOID: UInt32) -> String {
    switch typeOID {
    case 1042: "bpchar"
    case 2950: "uuid"
    case 21, 23, 20: "int8"
    default: "text"
    }
  }

  private static func condition(_ keys: [String], _ types: [String]) -> String {
    let arrays = types.indices.map { "$\($0 + 1)::pg_catalog.\(types[$0])[]" }
    guard keys.count > 1 else { return "\(keys[0]) = ANY (\(arrays[0]))" }
    return "(\(keys.joined(separator: ", "))) IN (SELECT * FROM unnest(\(arrays.joined(separator: ", "))))"
  }

  /// For each key column an array of its values.
  private func parameters(_ keys: [RecordID]) throws(SourceError) -> [String] {
    let count = layout.keyTypes.count
    var columns = [[String]](repeating: [], count: count)
    for key in keys {
      let values = if case .composite(let values) = key { values } else { [key] }
      guard values.count == count, zip(values, layout.keyTypes).allSatisfy({ $0.kind == $1.recordIDKind }) else {
        throw SourceError(.invalidArgument, "\(key) is not a key of the table that it is asked of.")
      }
      for (column, value) in values.enumerated() { columns[column].append(value.parameterText) }
    }
    return columns.map(SQLText.textArray)
  }
}

extension RecordID {
  fileprivate var parameterText: String {
    if case .text(let text) = self { text } else { description }
  }

  fileprivate var hasNUL: Bool {
    switch self {
    case .text(let text): text.utf8.contains(0)
    case .composite(let columns): columns.contains { $0.hasNUL }
    case .int64, .uuid: false
    }
  }
}
