// What the preflight asks the system catalogs, each question as one function from a connection to values.
//
// Only questions here; what an answer means is decided in Preflight.swift. Types of extensions have another OID in every
// database, so they are found by the extension that owns them.
//
// May use: Connection.

/// The server behind a connection.
struct ServerFacts {
  var isStandby: Bool
  var database: String
  var role: String
  var systemIdentifier: UInt64
  var timeline: UInt32
}

/// pgvector in this database.
struct VectorExtension {
  var version: String
  var typesByOID: [UInt32: VectorType]
}

/// A relation that a user named.
struct Relation {
  var oid: UInt32
  var schema: String
  var name: String
  var kind: String
}

/// A table that holds rows of a relation: itself or a descendant.
struct Descendant {
  var leaf: SourceDescription.Leaf
  var kind: String
  /// Of the statistics, scaled to today's size; nil when there are none.
  var rows: Int?
  /// With TOAST, without indexes.
  var bytes: Int
  var isReadable: Bool
}

struct Catalog {
  let connection: Connection

  func serverFacts() throws(SourceError) -> ServerFacts {
    let row = try connection.query("SELECT pg_is_in_recovery()::text, current_database(), current_user").first ?? []
    let isStandby = row.text(0) == "true"
    // Control data may be kept from the role; a refusal inside a transaction would end it, so ask first.
    let mayAsk =
      try connection.query(
        """
        SELECT has_function_privilege('pg_control_system()', 'EXECUTE')
           AND has_function_privilege('pg_control_checkpoint()', 'EXECUTE')
        """
      ).first?.text(0) == "t"
    var systemIdentifier: UInt64 = 0
    var timeline: UInt32 = 0
    if mayAsk {
      let control =
        try connection.query(
          "SELECT system_identifier, timeline_id FROM pg_control_system(), pg_control_checkpoint()"
        ).first ?? []
      // The identifier is an unsigned number in a signed column.
      systemIdentifier = Int64(control.text(0)).map(UInt64.init(bitPattern:)) ?? 0
      timeline = UInt32(control.text(1)) ?? 0
    }
    if !isStandby {
      // The checkpoint's timeline is behind for a moment after a promotion; the name of the file written now is not.
      let file = try connection.query("SELECT pg_walfile_name(pg_current_wal_flush_lsn())").first?.text(0) ?? ""
      timeline = UInt32(file.prefix(8), radix: 16) ?? timeline
    }
    return ServerFacts(
      isStandby: isStandby, database: row.text(1), role: row.text(2), systemIdentifier: systemIdentifier,
      timeline: timeline)
  }

  /// Nil: not installed in this database.
  func vectorExtension() throws(SourceError) -> VectorExtension? {
    let rows = try connection.query(
      """
      SELECT e.extversion, t.oid, t.typname
        FROM pg_extension e
        JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
         AND d.classid = 'pg_type'::regclass
        JOIN pg_type t ON t.oid = d.objid
       WHERE e.extname = 'vector' AND t.typname IN ('vector', 'halfvec')
      """)
    guard let first = rows.first else { return nil }
    var types: [UInt32: VectorType] = [:]
    for row in rows {
      if let oid = UInt32(row.text(1)), let type = VectorType(rawValue: row.text(2)) { types[oid] = type }
    }
    return VectorExtension(version: first.text(0), typesByOID: types)
  }

  /// Nil: there is none of that name where the role may look.
  func relation(_ name: String) throws(SourceError) -> Relation? {
    let rows = try connection.query(
      """
      SELECT c.oid, n.nspname, c.relname, c.relkind
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.oid = to_regclass($1)
      """, [name])
    guard let row = rows.first, let oid = UInt32(row.text(0)) else { return nil }
    return Relation(oid: oid, schema: row.text(1), name: row.text(2), kind: row.text(3))
  }

  /// The tables that have a vector column, quoted: what a user may have meant.
  func tablesWithVectors(_ types: [UInt32: VectorType]) throws(SourceError) -> [String] {
    try connection.query(
      """
      SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
         AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped AND a.attnum > 0
                        AND a.atttypid = ANY ($1::oid[]))
       ORDER BY 1 LIMIT 20
      """, ["{" + types.keys.map(String.init).joined(separator: ",") + "}"]
    ).map { $0.text(0) }
  }

  /// The types' names as SQL writes them.
  func typeNames(_ columns: [Connection.ResultColumn]) throws(SourceError) -> [String] {
    guard !columns.isEmpty else { return [] }
    return try connection.query(
      "SELECT format_type(t, m) FROM unnest($1::oid[], $2::int[]) WITH ORDINALITY AS x (t, m, i) ORDER BY i",
      [
        "{" + columns.map { String($0.typeOID) }.joined(separator: ",") + "}",
        "{" + columns.map { String($0.typeModifier) }.joined(separator: ",") + "}",
      ]
    ).map { $0.text(0) }
  }

  /// The columns of the primary key in its order; empty without one.
  func primaryKey(_ table: UInt32) throws(SourceError) -> [String] {
    try connection.query(
      """
      SELECT a.attname
        FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, position)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
       WHERE i.indrelid = $1::oid AND i.indisprimary AND k.position <= i.indnkeyatts
       ORDER BY k.position
      """, [String(table)]
    ).map { $0.text(0) }
  }

  /// The table itself and all its partitions and children, by the object ids in `$1`.
  static let tree = """
    tree (oid) AS (
        SELECT $1::oid
        UNION
        SELECT i.inhrelid FROM pg_inherits i JOIN tree ON tree.oid = i.inhparent WHERE NOT i.inhdetachpending
      )
    """

  /// A member of the table's tree whose policies apply to the role, quoted; nil when there is none.
  ///
  /// Inner members count too: a leaf is read directly, past its parents' policies.
  func tableThatHidesRows(_ table: UInt32) throws(SourceError) -> String? {
    try connection.query(
      """
      WITH RECURSIVE \(Self.tree)
      SELECT n.nspname, c.relname
        FROM tree JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE row_security_active(c.oid) ORDER BY c.oid LIMIT 1
      """, [String(table)]
    ).first.map { SQLText.qualified($0.text(0), $0.text(1)) }
  }

  /// The tables that hold the rows of `table`: itself when it is plain, its leaf partitions, its inheritance children.
  /// In order of their names, whatever the collation.
  func descendants(of table: UInt32, columns: [String]) throws(SourceError) -> [Descendant] {
    let rows = try connection.query(
      """
      WITH RECURSIVE \(Self.tree)
      SELECT c.oid, n.nspname, c.relname, c.relkind, coalesce(a.amname, '') = 'heap',
             coalesce(pg_relation_size(c.oid), 0) / current_setting('block_size')::int,
             coalesce(pg_table_size(c.oid), 0),
             CASE WHEN c.reltuples >= 0 AND c.relpages > 0
                  THEN (c.reltuples / c.relpages
                        * (coalesce(pg_relation_size(c.oid), 0) / current_setting('block_size')::int))::bigint END,
             has_schema_privilege(n.oid, 'USAGE')
               AND (SELECT bool_and(has_column_privilege(c.oid, x, 'SELECT')) FROM unnest($2::text[]) AS x)
        FROM tree JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_am a ON a.oid = c.relam
       ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
      """, [String(table), SQLText.textArray(columns)])
    return rows.map { row in
      Descendant(
        leaf: SourceDescription.Leaf(
          oid: UInt32(row.text(0)) ?? 0, schema: row.text(1), name: row.text(2), blocks: Int(row.text(5)) ?? 0,
          isHeap: row.text(4) == "t"),
        kind: row.text(3), rows: row[7].flatMap { Int($0) }, bytes: Int(row.text(6)) ?? 0,
        isReadable: row.text(8) == "t")
    }
  }

  /// The planner's estimate of a statement's rows. Planning also locks all tables that the statement reads, until the
  /// transaction ends.
  func estimatedRows(_ select: String) throws(SourceError) -> Int {
    let plan = try connection.query("EXPLAIN (FORMAT JSON) " + select).first?.text(0) ?? ""
    // The first such key is the topmost node's.
    let key = "\"Plan Rows\":"
    guard let start = plan.firstRange(of: key)?.upperBound else { return 0 }
    return Int(plan[start...].drop(while: { $0 == " " }).prefix(while: { $0.isNumber })) ?? 0
  }
}

extension [String?] {
  /// The column's text; empty for NULL or when there is no such column.
  func text(_ column: Int) -> String { column < count ? self[column] ?? "" : "" }
}
