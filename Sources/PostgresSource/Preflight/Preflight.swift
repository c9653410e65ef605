// The checks before the first row: everything that would fail later, or worse, succeed with rows missing.
//
// Each refusal has a stable code and says the SQL or the flag that mends it. The checks only read, so they run in any
// transaction: on their own for a description, and again under the snapshot that a read uses.
//
// May use: Connection, Catalog.

struct Preflight {
  let catalog: Catalog
  private let source: RowSource

  init(_ connection: Connection, _ source: RowSource) {
    catalog = Catalog(connection: connection)
    self.source = source
  }

  /// - Throws: ``SourceError`` with the code of the first check that fails.
  func run() throws(SourceError) -> SourceDescription {
    let server = try catalog.serverFacts()
    let vectors = try checkExtension(in: server.database)
    switch source {
    case .table(let table): return try describe(table, server, vectors)
    case .query(let query): return try describe(query, server, vectors)
    }
  }

  private func checkExtension(in database: String) throws(SourceError) -> VectorExtension {
    guard let vectors = try catalog.vectorExtension() else {
      throw SourceError(
        .extensionMissing,
        "pgvector is not installed in the database \(SQLText.identifier(database)). "
          + "Run there: CREATE EXTENSION vector; or connect to the database that has the vectors.")
    }
    let parts = vectors.version.split(separator: ".").map { Int($0) ?? 0 }
    guard parts.count >= 2, (parts[0], parts[1]) >= (0, 7), vectors.typesByOID.count == 2 else {
      throw SourceError(
        .extensionTooOld,
        "pgvector \(vectors.version) is installed in \(SQLText.identifier(database)); 0.7 or later is needed. "
          + "Install a newer package and run there: ALTER EXTENSION vector UPDATE;")
    }
    return vectors
  }
}

// MARK: Tables

extension Preflight {
  private func describe(
    _ source: TableSource, _ server: ServerFacts, _ vectors: VectorExtension
  ) throws(SourceError) -> SourceDescription {
    let relation = try find(source.name, server, vectors)
    let table = SQLText.qualified(relation.schema, relation.name)
    // First, because a session with row_security = off may not even describe such a table.
    if let hiding = try catalog.tableThatHidesRows(relation.oid) {
      let role = SQLText.identifier(server.role)
      throw SourceError(
        .rowSecurity,
        "Row-level security on \(hiding) would hide rows from the role \(role), silently. Run: "
          + "ALTER ROLE \(role) BYPASSRLS; or connect as the table's owner (without FORCE ROW LEVEL SECURITY).")
    }
    let columns = try catalog.connection.describe("SELECT * FROM \(table)")

    var keyNames = source.keyColumns ?? []
    if keyNames.isEmpty { keyNames = try catalog.primaryKey(relation.oid) }
    guard !keyNames.isEmpty else {
      throw SourceError(
        .keyMissing,
        "The table \(table) has no primary key, so its rows have no names. Add one with "
          + "ALTER TABLE \(table) ADD PRIMARY KEY (…); or name unique columns that are NOT NULL with --id-columns. "
          + "It has: \(try list(columns)).")
    }
    let keys = try keyColumns(keyNames, among: columns, of: table)
    let vector = try vectorColumn(source.vectorColumn, among: columns, of: table, vectors)
    let attributes = try attributes(source.attributes, among: columns, of: table, .table(relation.oid))
    let payload = try payload(source.payload, among: columns, of: table, .table(relation.oid))
    let leaves = try leaves(
      of: relation, table, keyNames + [vector.column.name] + attributes.map(\.sourceColumn) + payload, server)

    if let filter = source.filter {
      do {
        _ = try catalog.connection.describe("SELECT FROM \(table) WHERE (\n\(filter)\n)")
      } catch let error where error.sqlState?.hasPrefix("42") == true {
        throw SourceError(
          .invalidFilter,
          "The condition is not one that Postgres understands for \(table). \(error.message) "
            + "Write a boolean expression over the table's columns, without WHERE: \(try list(columns)).",
          sqlState: error.sqlState)
      }
    }

    let column = SQLText.identifier(vector.column.name)
    let dimension = try dimension(stated: source.dimension, vector.column) { () throws(SourceError) in
      let found = try firstDimension(of: column, in: table)
      return SourceError(
        .dimensionUnknown,
        "The column \(column) of \(table) has no fixed dimension. Set it with ALTER TABLE \(table) ALTER COLUMN "
          + "\(column) TYPE \(vector.type.rawValue)(\(found.map(String.init) ?? "N")); or say it with "
          + "--dimension \(found.map(String.init) ?? "N")."
          + (found.map { " (The first vector has \($0).)" } ?? ""))
    }
    // Without statistics the size tells: next to a row's vector, its header and key are small.
    let rowBytes = dimension * vector.type.bytesPerComponent + 64
    return SourceDescription(
      table: table, keyColumns: keys, vectorColumn: vector.column.name, vectorType: vector.type, dimension: dimension,
      attributes: attributes, payload: payload,
      leaves: leaves.map(\.leaf), estimatedRows: leaves.reduce(0) { $0 + ($1.rows ?? $1.bytes / rowBytes) },
      isEstimateCounted: source.filter == nil && leaves.allSatisfy { $0.rows != nil || $0.bytes == 0 },
      serverVersion: catalog.connection.serverVersion, pgvectorVersion: vectors.version, database: server.database,
      systemIdentifier: server.systemIdentifier, timeline: server.timeline, isStandby: server.isStandby)
  }

  private func find(
    _ name: String, _ server: ServerFacts, _ vectors: VectorExtension
  ) throws(SourceError) -> Relation {
    let found: Relation?
    do {
      found = try catalog.relation(name)
    } catch let error where error.sqlState?.hasPrefix("42") == true && error.code != .permissionDenied {
      throw SourceError(
        .tableMissing,
        "\(name) is no name of a table as SQL writes it: name, schema.name or \"Odd Name\". \(error.message)",
        sqlState: error.sqlState)
    } catch let error where error.code == .permissionDenied {
      throw SourceError(
        .permissionDenied,
        "The role \(SQLText.identifier(server.role)) may not look for \(name). \(error.message)",
        sqlState: error.sqlState)
    }
    guard let found else {
      let others = try catalog.tablesWithVectors(vectors.typesByOID)
      throw SourceError(
        .tableMissing,
        "There is no table \(name) in the database \(SQLText.identifier(server.database)) that the role "
          + "\(SQLText.identifier(server.role)) can see. Names are folded to lower case unless double-quoted. "
          + (others.isEmpty
            ? "No table has a vector column." : "Tables with a vector column: \(others.joined(separator: ", "))."))
    }
    guard found.kind == "r" || found.kind == "p" else {
      throw SourceError(
        .notATable,
        "\(SQLText.qualified(found.schema, found.name)) is not a table but \(Self.kindName(found.kind)). "
          + "Read it as a query: SELECT … FROM \(SQLText.qualified(found.schema, found.name)).")
    }
    return found
  }

  private static func kindName(_ kind: String) -> String {
    switch kind {
    case "v": "a view"
    case "m": "a materialized view"
    case "f": "a foreign table"
    case "S": "a sequence"
    case "i", "I": "an index"
    default: "another kind of relation"
    }
  }

  /// The tables to read. All members of the tree must be readable, because each is read directly.
  private func leaves(
    of relation: Relation, _ table: String, _ columns: [String], _ server: ServerFacts
  ) throws(SourceError) -> [Descendant] {
    let tree = try catalog.descendants(of: relation.oid, columns: columns)
    let role = SQLText.identifier(server.role)
    let unreadable = tree.filter { !$0.isReadable }
    if let first = unreadable.first {
      let grants = unreadable.prefix(20).map { "GRANT SELECT ON \($0.leaf.sqlName) TO \(role);" }
      throw SourceError(
        .permissionDenied,
        "The role \(role) may not read \(unreadable.count) of the \(tree.count) tables that hold the rows of \(table). "
          + "Partitions are read directly, so each needs the privilege. Run: "
          + "GRANT USAGE ON SCHEMA \(SQLText.identifier(first.leaf.schema)) TO \(role); "
          + grants.joined(separator: " ") + (unreadable.count > 20 ? " and so on." : ""))
    }
    if let other = tree.first(where: { $0.kind != "r" && $0.kind != "p" }) {
      throw SourceError(
        .notATable,
        "A part of \(table), \(other.leaf.sqlName), is \(Self.kindName(other.kind)): no snapshot of this server covers "
          + "it. Read the tables without it, or read all as a query.")
    }
    return tree.filter { $0.kind == "r" }
  }
}

// MARK: Queries

extension Preflight {
  private func describe(
    _ source: QuerySource, _ server: ServerFacts, _ vectors: VectorExtension
  ) throws(SourceError) -> SourceDescription {
    let from = source.fromClause
    let columns: [Connection.ResultColumn]
    let estimate: Int
    do {
      columns = try catalog.connection.describe("SELECT * FROM \(from)")
      estimate = try catalog.estimatedRows("SELECT * FROM \(from)")
    } catch let error where error.sqlState?.hasPrefix("42") == true && error.code != .permissionDenied {
      throw SourceError(
        .invalidQuery,
        "Postgres does not understand the query. \(error.message) It must be one SELECT whose result has the key "
          + "columns and the vector column, each under a name of its own.", sqlState: error.sqlState)
    }
    guard !source.keyColumns.isEmpty else {
      throw SourceError(
        .keyMissing, "A query needs --id-columns: which of its columns name a row. It has: \(try list(columns)).")
    }
    let keys = try keyColumns(source.keyColumns, among: columns, of: "the query")
    let vector = try vectorColumn(source.vectorColumn, among: columns, of: "the query", vectors)
    let column = SQLText.identifier(vector.column.name)
    var stated = source.dimension
    if stated == nil, vector.column.typeModifier < 1 { stated = try firstDimension(of: column, in: from) }
    let dimension = try dimension(stated: stated, vector.column) { () throws(SourceError) in
      SourceError(
        .dimensionUnknown,
        "The query's column \(column) has no fixed dimension, and no row has a vector to take it from. "
          + "Say it with --dimension N, or cast: \(column)::\(vector.type.rawValue)(N).")
    }
    let attributes = try attributes(source.attributes, among: columns, of: "the query", .query(from))
    let payload = try payload(source.payload, among: columns, of: "the query", .query(from))
    return SourceDescription(
      table: nil, keyColumns: keys, vectorColumn: vector.column.name, vectorType: vector.type, dimension: dimension,
      attributes: attributes, payload: payload,
      leaves: [], estimatedRows: estimate, isEstimateCounted: false, serverVersion: catalog.connection.serverVersion,
      pgvectorVersion: vectors.version, database: server.database, systemIdentifier: server.systemIdentifier,
      timeline: server.timeline, isStandby: server.isStandby)
  }
}

extension QuerySource {
  /// The query as a table expression. The line breaks keep a comment at its end from swallowing the parenthesis.
  var fromClause: String {
    var text = Substring(sql)
    while let last = text.last, last == ";" || last.isWhitespace { text.removeLast() }
    return "(\n\(text)\n) AS \"source\""
  }
}

// MARK: Columns

extension Preflight {
  private func keyColumns(
    _ names: [String], among columns: [Connection.ResultColumn], of what: String
  ) throws(SourceError) -> [SourceDescription.KeyColumn] {
    guard names.count <= 32, Set(names).count == names.count else {
      throw SourceError(.invalidArgument, "A key has 1 to 32 different columns, not: \(SQLText.identifiers(names)).")
    }
    var keys: [SourceDescription.KeyColumn] = []
    for name in names {
      let column = try find(name, among: columns, of: what)
      guard let type = KeyType(typeOID: column.typeOID) else {
        let typeName = try catalog.typeNames([column]).first ?? "unknown"
        throw SourceError(
          .keyColumnType,
          "The key column \(SQLText.identifier(name)) of \(what) is of type \(typeName). A key may hold smallint, "
            + "integer, bigint, uuid, text, varchar and char(n): choose other --id-columns, or read a query that "
            + "casts it: \(SQLText.identifier(name))::text.")
      }
      keys.append(SourceDescription.KeyColumn(name: name, type: type))
    }
    return keys
  }

  private func vectorColumn(
    _ name: String?, among columns: [Connection.ResultColumn], of what: String, _ vectors: VectorExtension
  ) throws(SourceError) -> (column: Connection.ResultColumn, type: VectorType) {
    if let name {
      let column = try find(name, among: columns, of: what)
      guard let type = vectors.typesByOID[column.typeOID] else {
        let typeName = try catalog.typeNames([column]).first ?? "unknown"
        throw SourceError(
          .vectorColumnType,
          "The column \(SQLText.identifier(name)) of \(what) is of type \(typeName), not vector or halfvec. "
            + "Choose another --vector-column, or read a query that casts it: \(SQLText.identifier(name))::vector(N).")
      }
      return (column, type)
    }
    let candidates = columns.filter { vectors.typesByOID[$0.typeOID] != nil }
    guard candidates.count == 1, let type = vectors.typesByOID[candidates[0].typeOID] else {
      throw SourceError(
        .vectorColumnUnclear,
        candidates.isEmpty
          ? "\(what) has no column of type vector or halfvec. It has: \(try list(columns))."
          : "\(what) has \(candidates.count) vector columns: choose one with --vector-column. They are: "
            + "\(try list(candidates)).")
    }
    return (candidates[0], type)
  }

  func find(
    _ name: String, among columns: [Connection.ResultColumn], of what: String
  ) throws(SourceError) -> Connection.ResultColumn {
    let found = columns.filter { $0.name == name }
    guard found.count <= 1 else {
      throw SourceError(
        .invalidQuery, "\(what) has \(found.count) columns \(SQLText.identifier(name)): rename them with AS.")
    }
    guard let column = found.first else {
      throw SourceError(
        .columnMissing,
        "There is no column \(SQLText.identifier(name)) in \(what). It has: \(try list(columns)). "
          + "A column is named exactly, with its capitals and without quotes.")
    }
    return column
  }

  func list(_ columns: [Connection.ResultColumn]) throws(SourceError) -> String {
    let shown = Array(columns.prefix(50))
    let types = try catalog.typeNames(shown)
    let names = zip(shown, types).map { SQLText.identifier($0.name) + " " + $1 }
    return names.isEmpty ? "no columns" : names.joined(separator: ", ") + (columns.count > 50 ? ", …" : "")
  }

  /// The dimension by the column's type, else as stated, else the caller's refusal.
  private func dimension(
    stated: Int?, _ column: Connection.ResultColumn, refuse: () throws(SourceError) -> SourceError
  ) throws(SourceError) -> Int {
    let typed = column.typeModifier > 0 ? column.typeModifier : nil
    if let stated {
      guard (1...SourceDescription.dimensionMax).contains(stated) else {
        throw SourceError(
          .invalidArgument, "--dimension must be 1 to \(SourceDescription.dimensionMax), not \(stated).")
      }
      guard typed == nil || typed == stated else {
        throw SourceError(
          .dimensionMismatch,
          "--dimension is \(stated), but the column \(SQLText.identifier(column.name)) holds vectors of \(typed ?? 0).")
      }
    }
    guard let dimension = typed ?? stated else { throw try refuse() }
    return dimension
  }

  private func firstDimension(of column: String, in from: String) throws(SourceError) -> Int? {
    let rows = try catalog.connection.query(
      // In text, because which schema pgvector's functions are in is not known: '[1,2,3]' has two commas.
      """
      SELECT length(t) - length(replace(t, ',', '')) + 1
        FROM (SELECT \(column)::text AS t FROM \(from) WHERE \(column) IS NOT NULL LIMIT 1) AS "first"
      """)
    return rows.first.flatMap { Int($0.text(0)) }
  }
}
