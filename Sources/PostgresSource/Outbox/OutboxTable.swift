// A table whose changes stand in the outbox, as it is read there: whole rows, in binary, by the keys that were noted.
//
// May use: Connection, OutboxCatalog, PgOutputEncoder.

struct OutboxTable: Hashable {
  struct Column: Hashable {
    var name: String
    var typeOID: UInt32
    var typeModifier: Int32
    /// As SQL writes it.
    var typeName: String
  }

  var oid: UInt32
  var schema: String
  var name: String
  /// All columns that have a binary form.
  var columns: [Column]
  /// Where the key's columns stand in ``columns``, in the order in which the triggers note them.
  var key: [Int]

  var sqlName: String { SQLText.qualified(schema, name) }

  /// Nil: the table is gone, or nothing notes its changes any more: then nobody can follow it.
  static func read(_ oid: UInt32, on connection: Connection) throws(SourceError) -> OutboxTable? {
    let parameters = [String(oid)]
    guard
      let row = try connection.query(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1::oid",
        parameters
      ).first
    else { return nil }
    let columns = try connection.query(
      """
      SELECT a.attname, a.atttypid, a.atttypmod, format_type(a.atttypid, a.atttypmod)
        FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
       WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped AND t.typsend <> 0 ORDER BY a.attnum
      """, parameters
    ).map { row in
      Column(
        name: row.text(0), typeOID: UInt32(row.text(1)) ?? 0, typeModifier: Int32(row.text(2)) ?? -1,
        typeName: row.text(3))
    }
    let triggers = try OutboxCatalog(connection: connection).facts(of: [oid]).triggers
    guard let names = triggers.first(where: { $0.event == .insert })?.key, !names.isEmpty else { return nil }
    let key = names.compactMap { name in columns.firstIndex { $0.name == name } }
    guard key.count == names.count else { return nil }
    return OutboxTable(oid: oid, schema: row.text(0), name: row.text(1), columns: columns, key: key)
  }

  var relation: PgOutputMessage.Relation {
    PgOutputMessage.Relation(
      // The stream writes pg_catalog as nothing.
      id: oid, schema: schema == "pg_catalog" ? "" : schema, name: name, replicaIdentity: .primaryKey,
      columns: columns.enumerated().map { number, column in
        PgOutputMessage.Column(
          isKey: key.contains(number), name: column.name, typeOID: column.typeOID, typeModifier: column.typeModifier)
      })
  }

  /// The row that was found in a page's line, or not: xid, seq, whether it was found, the key that was noted, the columns.
  var page: String {
    let keys = key.indices.map { "(o.key[\($0 + 1)])::\(columns[key[$0]].typeName)" }
    let conditions = key.indices.map { "t.\(SQLText.identifier(columns[key[$0]].name)) = \(keys[$0])" }
    let values = columns.map { SQLText.identifier($0.name) }
    return """
      SELECT o.xid::text, o.seq::text, r.found, \(keys.joined(separator: ", ")), \(values.map { "r.\($0)" }.joined(separator: ", "))
        FROM (SELECT xid, seq, key FROM vizinho.outbox
               WHERE xid >= $1::xid8 AND xid < $2::xid8 AND (xid, seq) > ($3::xid8, $4::bigint)
                 AND rel = \(oid)::oid AND op <> 'T' AND cardinality(key) = \(key.count)
               ORDER BY xid, seq LIMIT \(Self.pageRows)) AS o
        LEFT JOIN LATERAL (SELECT true AS found, \(values.joined(separator: ", ")) FROM \(sqlName) AS t
                            WHERE \(conditions.joined(separator: " AND ")) LIMIT 1) AS r ON true
       ORDER BY o.xid, o.seq
      """
  }

  static let pageRows = 250

  var everything: String { "SELECT \(SQLText.identifiers(columns.map(\.name))) FROM \(sqlName)" }

  /// What becomes of the row whose key was noted.
  /// - asked: the key, in its order. - found: the fields of the row that this key finds; nil: none.
  func messages(asked: [[UInt8]?], found: [[UInt8]?]?) -> [[UInt8]] {
    var messages: [[UInt8]] = []
    // A collation may find another key than the one that was asked for: then that one is gone.
    if found == nil || key.indices.contains(where: { found?[key[$0]] != asked[$0] }) {
      var fields = [[UInt8]?](repeating: nil, count: columns.count)
      for (number, place) in key.enumerated() { fields[place] = asked[number] }
      messages.append(PgOutputEncoder.delete(relation: oid, key: fields))
    }
    if let found { messages.append(PgOutputEncoder.insert(relation: oid, fields: found)) }
    return messages
  }
}
