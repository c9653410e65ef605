// The outbox: what stands in Postgres where changes cannot be decoded from its log. Pure.
//
//     vizinho.outbox         a line for each key that a statement touched, written by the statement's own transaction; its id (xid8) beside it
//     vizinho.reader         who reads, and up to which transaction it has everything: lines below the least of these are deleted
//     vizinho.note_changes() what the triggers call, statement by statement: their arguments are the key's columns
//
// The triggers always fire, also in a session that replicates (session_replication_role). The key is text in a form that its type reads again.
//
// May use: SQLText.

package enum OutboxSQL {
  static let schema = "vizinho"
  static let function = "note_changes"

  static let createSchema = "CREATE SCHEMA vizinho"

  /// Lines come and go all the time, so vacuum is to come after a number of them, not after a part of the table.
  static let createOutbox = """
    CREATE TABLE vizinho.outbox (
        xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        seq bigint GENERATED ALWAYS AS IDENTITY,
        rel oid NOT NULL,
        op "char" NOT NULL,
        key text[],
        PRIMARY KEY (xid, seq)
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000)
    """

  static let createReader = """
    CREATE TABLE vizinho.reader (
        name text PRIMARY KEY,
        outbox oid NOT NULL,
        confirmed xid8 NOT NULL
    )
    """

  /// Runs with the rights of whoever made it, so that writers need none of their own; with a search path in which nobody else can put a name.
  static let createFunction = """
    CREATE OR REPLACE FUNCTION vizinho.note_changes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $vizinho$
    DECLARE
        followed oid := coalesce(pg_partition_root(TG_RELID)::oid, TG_RELID);
        key_columns text;
    BEGIN
        IF TG_OP = 'TRUNCATE' THEN
            INSERT INTO vizinho.outbox (rel, op) VALUES (followed, 'T');
            RETURN NULL;
        END IF;
        SELECT string_agg(format('t.%I::text COLLATE "C"', a.name), ', ' ORDER BY a.place) INTO key_columns
          FROM unnest(TG_ARGV) WITH ORDINALITY AS a (name, place);
        EXECUTE format('INSERT INTO vizinho.outbox (rel, op, key) SELECT $1, $2, c.k FROM (%s) AS c (k)',
            CASE TG_OP
                WHEN 'INSERT' THEN format('SELECT ARRAY[%s] FROM new_rows AS t', key_columns)
                WHEN 'DELETE' THEN format('SELECT ARRAY[%s] FROM old_rows AS t', key_columns)
                ELSE format('SELECT ARRAY[%1$s] FROM new_rows AS t UNION SELECT ARRAY[%1$s] FROM old_rows AS t', key_columns)
            END)
        USING followed, "left"(TG_OP, 1)::"char";
        RETURN NULL;
    END
    $vizinho$
    """

  /// What a trigger of the outbox is for.
  enum Event: String, CaseIterable, Hashable {
    case insert, update, delete, truncate

    var triggerName: String { "vizinho_\(rawValue)" }

    /// The bit in `pg_trigger.tgtype`, where a trigger after the statement has no other.
    var type: Int {
      switch self {
      case .insert: 4
      case .delete: 8
      case .update: 16
      case .truncate: 32
      }
    }

    fileprivate var tables: String {
      switch self {
      case .insert: " REFERENCING NEW TABLE AS new_rows"
      case .update: " REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows"
      case .delete: " REFERENCING OLD TABLE AS old_rows"
      case .truncate: ""
      }
    }
  }

  /// - table: quoted.
  static func createTrigger(_ event: Event, on table: String, key: [String]) -> String {
    "CREATE OR REPLACE TRIGGER \(event.triggerName) AFTER \(event.rawValue.uppercased()) ON \(table)\(event.tables) "
      + "FOR EACH STATEMENT EXECUTE FUNCTION vizinho.note_changes(\(key.map(SQLText.literal).joined(separator: ", ")))"
  }

  static func enableTrigger(_ event: Event, on table: String) -> String {
    "ALTER TABLE \(table) ENABLE ALWAYS TRIGGER \(event.triggerName)"
  }

  static func grants(to role: String) -> [String] {
    let name = SQLText.identifier(role)
    return [
      "GRANT USAGE ON SCHEMA vizinho TO \(name)", "GRANT SELECT, DELETE ON vizinho.outbox TO \(name)",
      "GRANT SELECT, INSERT, UPDATE, DELETE ON vizinho.reader TO \(name)",
    ]
  }
}
