// What is asked of the system catalogs about an outbox.
//
// May use: Connection, FollowCatalog's values.

/// The outbox of a database, and the triggers of one table's tree.
struct OutboxFacts: Hashable {
  struct Trigger: Hashable {
    var oid: UInt32
    var member: UInt32
    var event: OutboxSQL.Event
    /// Whether it fires in every session.
    var isAlways: Bool
    /// Its arguments: the key's columns.
    var key: [String]
    /// The transaction that wrote its row in the catalog: another one once it was replaced, switched off or on.
    var xmin = ""
  }

  var isStandby: Bool
  var role: String
  var hasSchema: Bool
  var hasOutbox: Bool
  var hasReader: Bool
  var hasFunction: Bool
  /// Whether the role may do with them what a reader does.
  var mayRead: Bool
  /// Whether the role may read the table as a whole.
  var mayReadTable: Bool
  /// Those that call the outbox's function.
  var triggers: [Trigger]
  /// Whether a subscription writes to a table of the tree: its changes fire no trigger of statements.
  var isSubscribed: Bool
}

struct OutboxCatalog {
  let connection: Connection

  /// - tree: of which the triggers are asked; the first is the table itself.
  func facts(of tree: [UInt32]) throws(SourceError) -> OutboxFacts {
    let oids = "{" + tree.map(String.init).joined(separator: ",") + "}"
    let row =
      try connection.query(
        """
        SELECT pg_is_in_recovery(), current_user,
               EXISTS (SELECT FROM pg_namespace WHERE nspname = 'vizinho'),
               EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                        WHERE n.nspname = 'vizinho' AND c.relname = 'outbox' AND c.relkind = 'r'),
               EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                        WHERE n.nspname = 'vizinho' AND c.relname = 'reader' AND c.relkind = 'r'),
               EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                        WHERE n.nspname = 'vizinho' AND p.proname = 'note_changes' AND p.prosecdef),
               (SELECT count(*) = 2 AND bool_and(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
                       AND has_table_privilege(c.oid, 'DELETE')
                       AND (c.relname = 'outbox' OR has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')))
                  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = 'vizinho' AND c.relname IN ('outbox', 'reader')),
               (SELECT bool_and(has_table_privilege(x, 'SELECT')) FROM unnest($1::oid[]) AS x),
               EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid = ANY ($1::oid[]))
        """, [oids]
      ).first ?? []
    return OutboxFacts(
      isStandby: row.text(0) == "t", role: row.text(1), hasSchema: row.text(2) == "t", hasOutbox: row.text(3) == "t",
      hasReader: row.text(4) == "t", hasFunction: row.text(5) == "t", mayRead: row.text(6) == "t",
      mayReadTable: row.text(7) == "t", triggers: try triggers(of: oids), isSubscribed: row.text(8) == "t")
  }

  private func triggers(of oids: String) throws(SourceError) -> [OutboxFacts.Trigger] {
    try connection.query(
      """
      SELECT t.oid, t.tgrelid, t.tgtype, t.tgenabled = 'A', encode(t.tgargs, 'hex'), t.xmin::text
        FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
       WHERE t.tgrelid = ANY ($1::oid[]) AND NOT t.tgisinternal AND n.nspname = 'vizinho' AND p.proname = 'note_changes'
       ORDER BY t.tgrelid, t.oid
      """, [oids]
    ).compactMap { row in
      guard let event = OutboxSQL.Event.allCases.first(where: { String($0.type) == row.text(2) }) else { return nil }
      return OutboxFacts.Trigger(
        oid: UInt32(row.text(0)) ?? 0, member: UInt32(row.text(1)) ?? 0, event: event, isAlways: row.text(3) == "t",
        key: Self.arguments(hex: row.text(4)), xmin: row.text(5))
    }
  }

  /// The arguments of a trigger: texts, each with a NUL behind it.
  static func arguments(hex: String) -> [String] {
    let digits = Array(hex.utf8)
    let bytes = stride(from: 0, to: digits.count - 1, by: 2).map { place in
      UInt8(String(decoding: digits[place..<(place + 2)], as: UTF8.self), radix: 16) ?? 0
    }
    return bytes.split(separator: 0, omittingEmptySubsequences: true).map { String(decoding: $0, as: UTF8.self) }
  }
}
