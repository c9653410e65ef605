// What the preflight asks about columns that become attributes.
//
// May use: Catalog.

extension Catalog {
  struct Collation {
    var name: String
    var isDeterministic: Bool
    /// Whether its order is that of UTF-8's bytes, which is that of code points.
    var ordersBytewise: Bool
  }

  struct ColumnFacts {
    /// nil: the type has none, or which one is not clear.
    var collation: Collation?
    var isGenerated: Bool
  }

  /// The one that stands for the database's own.
  static let defaultCollation: UInt32 = 100

  /// The base type of an array's elements; nil: it is no array.
  func elementType(ofArray type: UInt32) throws(SourceError) -> UInt32? {
    try connection.query(
      """
      WITH RECURSIVE chain (oid) AS (
          SELECT typelem FROM pg_type WHERE oid = $1::oid AND typcategory = 'A' AND typelem <> 0
          UNION ALL
          SELECT t.typbasetype FROM chain JOIN pg_type t USING (oid) WHERE t.typtype = 'd'
      )
      SELECT oid FROM chain JOIN pg_type t USING (oid) WHERE t.typtype <> 'd'
      """, [String(type)]
    ).first.flatMap { UInt32($0.text(0)) }
  }

  /// - texts: those of the columns that hold text, or arrays of it.
  func columnFacts(
    _ names: [String], texts: [String], of origin: AttributeOrigin
  ) throws(SourceError) -> [String: ColumnFacts] {
    var facts: [String: ColumnFacts] = [:]
    switch origin {
    case .table(let oid):
      let rows = try connection.query(
        """
        SELECT attname, attcollation, attgenerated <> '' FROM pg_attribute
         WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped AND attname = ANY ($2::text[])
        """, [String(oid), SQLText.textArray(names)])
      for row in rows {
        facts[row.text(0)] = ColumnFacts(
          collation: try collation(UInt32(row.text(1)) ?? 0), isGenerated: row.text(2) == "t")
      }
    case .query(let from):
      for name in texts {
        // A value that is never computed: only its collation is asked for.
        let column = SQLText.identifier(name)
        let oid = try connection.query(
          "SELECT to_regcollation(pg_collation_for((SELECT \(column) FROM \(from) LIMIT 0)))::oid"
        ).first.flatMap { UInt32($0.text(0)) }
        facts[name] = ColumnFacts(collation: try oid.flatMap(collation), isGenerated: false)
      }
    }
    return facts
  }

  /// nil: there is none of that number.
  ///
  /// In the order of bytes are C and POSIX, which Postgres compares by itself, and all of its own provider (17 and later: C, C.UTF-8,
  /// PG_UNICODE_FAST), which it documents to order by code point. Not a C.UTF-8 of the operating system's, which is that system's
  /// to say, and none where the server's encoding is another: its bytes are others.
  func collation(_ oid: UInt32) throws(SourceError) -> Collation? {
    try connection.query(
      """
      SELECT quote_ident(c.collname), c.collisdeterministic,
             getdatabaseencoding() = 'UTF8' AND CASE
               WHEN c.collprovider = 'b' OR c.collprovider = 'd' AND d.datlocprovider = 'b' THEN true
               WHEN c.collprovider = 'c' THEN coalesce(c.collcollate IN ('C', 'POSIX'), false)
               WHEN c.collprovider = 'd' AND d.datlocprovider = 'c' THEN d.datcollate IN ('C', 'POSIX')
               ELSE false END
        FROM pg_collation c CROSS JOIN pg_database d
       WHERE c.oid = $1::oid AND d.datname = current_database()
      """, [String(oid)]
    ).first.map { row in
      Collation(name: row.text(0), isDeterministic: row.text(1) == "t", ordersBytewise: row.text(2) == "t")
    }
  }
}
