// What is asked of the system catalogs before a table is followed, each question as one function from a connection to values.
//
// Only questions here; what an answer means is decided in FollowRules.swift and Preparation.swift.
//
// May use: Connection, PgOutputMessage for the replica identity.

/// What the server has for replication.
struct ReplicationFacts: Hashable {
  var walLevel: String
  var slotsMax: Int
  var slotsUsed: Int
  var sendersMax: Int
  var sendersUsed: Int
  var hasSlot: Bool
  /// Whether it is read from, and so has a sender.
  var isSlotActive: Bool
  var role: String
  var canReplicate: Bool
  var isStandby: Bool
  var version: Int
}

struct PublicationFacts: Hashable {
  var name: String
  /// `FOR ALL TABLES`: it has no list that a table could be added to.
  var isForAllTables: Bool
  /// `FOR TABLES IN SCHEMA`: no table in it may have a list of columns.
  var hasSchemas: Bool
  var publishesAll: Bool
  var usesPartitionRoot: Bool
}

/// A table in a publication.
struct PublishedTable: Hashable {
  var columns: [String]
  /// Whether the publication names them, and does not just send all that there are.
  var hasColumnList: Bool
  var rowFilter: String?
  /// The columns that the filter looks at.
  var filterColumns: [String]
}

/// A table, for following.
struct FollowedTableFacts: Hashable {
  struct Column: Hashable {
    enum Generated: Hashable { case no, stored, virtual }
    var name: String
    var typeOID: UInt32
    var baseTypeOID: UInt32
    var typeModifier: Int32
    /// As SQL writes it.
    var typeName: String
    var isNotNull: Bool
    var generated: Generated
    /// In the table (`attnum`).
    var number = 0
  }

  /// The table itself, or a partition or a child of it.
  struct Member: Hashable {
    var oid: UInt32
    var schema: String
    var name: String
    var identity: PgOutputMessage.ReplicaIdentity
    /// Those of the index behind the identity; empty without one.
    var identityColumns: [String]
    var isLogged: Bool
    /// Which transactions made it a part of those that it is a part of.
    var attachedBy = ""

    var sqlName: String { SQLText.qualified(schema, name) }
  }

  var oid: UInt32
  var schema: String
  var name: String
  var isPartitioned: Bool
  /// Of a partition: the root, quoted.
  var partitionRoot: String?
  var columns: [Column]
  var primaryKey: [String]
  /// The columns of each unique index over all rows that is checked with every row.
  var uniqueKeys: [[String]]
  /// The same of those that are deferrable: rows may have one key until the end of a statement, or of a transaction.
  var deferrableKeys: [[String]] = []
  /// The table first.
  var members: [Member]

  var sqlName: String { SQLText.qualified(schema, name) }
  /// ``FollowFacts/attachments``.
  var attachments: [String] { members.filter { !$0.attachedBy.isEmpty }.map { "\($0.oid):\($0.attachedBy)" } }
}

struct FollowCatalog {
  let connection: Connection

  func replicationFacts(slot: String?) throws(SourceError) -> ReplicationFacts {
    let row =
      try connection.query(
        """
        SELECT current_setting('wal_level'), current_setting('max_replication_slots'),
               (SELECT count(*) FROM pg_replication_slots), current_setting('max_wal_senders'),
               (SELECT count(*) FROM pg_stat_get_wal_senders()),
               EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1), session_user,
               coalesce((SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = session_user), false),
               pg_is_in_recovery(), EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1 AND active)
        """, [slot ?? ""]
      ).first ?? []
    return ReplicationFacts(
      walLevel: row.text(0), slotsMax: Int(row.text(1)) ?? 0, slotsUsed: Int(row.text(2)) ?? 0,
      sendersMax: Int(row.text(3)) ?? 0, sendersUsed: Int(row.text(4)) ?? 0, hasSlot: row.text(5) == "t",
      isSlotActive: row.text(9) == "t", role: row.text(6), canReplicate: row.text(7) == "t",
      isStandby: row.text(8) == "t",
      version: connection.serverVersion)
  }

  /// Nil: there is none of that name.
  func publication(_ name: String) throws(SourceError) -> PublicationFacts? {
    try connection.query(
      """
      SELECT puballtables, EXISTS (SELECT FROM pg_publication_namespace n WHERE n.pnpubid = p.oid),
             pubinsert AND pubupdate AND pubdelete AND pubtruncate, pubviaroot
        FROM pg_publication p WHERE pubname = $1
      """, [name]
    ).first.map { row in
      PublicationFacts(
        name: name, isForAllTables: row.text(0) == "t", hasSchemas: row.text(1) == "t",
        publishesAll: row.text(2) == "t", usesPartitionRoot: row.text(3) == "t")
    }
  }

  /// Nil: the table, as such, is not in the publication.
  func publishedTable(
    _ publication: PublicationFacts, _ table: FollowedTableFacts
  ) throws(SourceError) -> PublishedTable? {
    let names = [publication.name, table.schema, table.name]
    let listed = try connection.query(
      "SELECT rowfilter FROM pg_publication_tables WHERE pubname = $1 AND schemaname = $2 AND tablename = $3", names)
    let own = try ownEntry(publication.name, table)
    if let row = listed.first {
      let columns = try connection.query(
        """
        SELECT x.name
          FROM pg_publication_tables t CROSS JOIN LATERAL unnest(t.attnames) WITH ORDINALITY AS x (name, place)
         WHERE t.pubname = $1 AND t.schemaname = $2 AND t.tablename = $3 ORDER BY x.place
        """, names
      ).map { $0.text(0) }
      return PublishedTable(
        columns: columns, hasColumnList: own?.hasColumnList == true, rowFilter: row[0],
        filterColumns: own?.filterColumns ?? [])
    }
    // As long as changes come under the partitions' names, those are listed, and the table's own entry is not.
    guard table.isPartitioned, !publication.usesPartitionRoot else { return nil }
    if let own { return own }
    let isInSchema = try !connection.query(
      """
      SELECT FROM pg_publication_namespace s JOIN pg_publication p ON p.oid = s.pnpubid
        JOIN pg_namespace n ON n.oid = s.pnnspid
       WHERE p.pubname = $1 AND n.nspname = $2
      """, [publication.name, table.schema]
    ).isEmpty
    guard publication.isForAllTables || isInSchema else { return nil }
    return PublishedTable(
      columns: table.columns.filter { $0.generated == .no }.map(\.name), hasColumnList: false, rowFilter: nil,
      filterColumns: [])
  }

  /// The table where the publication names it; nil: it does not.
  private func ownEntry(
    _ publication: String, _ table: FollowedTableFacts
  ) throws(SourceError) -> PublishedTable? {
    let key = [publication, String(table.oid)]
    let entry = """
      pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid AND p.pubname = $1 AND r.prrelid = $2::oid
      """
    let found = try connection.query(
      "SELECT r.prattrs IS NOT NULL, pg_get_expr(r.prqual, r.prrelid) FROM \(entry)", key)
    guard let row = found.first else { return nil }
    var columns = table.columns.filter { $0.generated == .no }.map(\.name)
    if row.text(0) == "t" {
      columns = try connection.query(
        """
        SELECT a.attname FROM \(entry) CROSS JOIN LATERAL unnest(r.prattrs) AS x (attnum)
          JOIN pg_attribute a ON a.attrelid = r.prrelid AND a.attnum = x.attnum ORDER BY a.attnum
        """, key
      ).map { $0.text(0) }
    }
    // The stored expression names columns by number. No string in it can look like that: constants stand in it as numbers.
    let filterColumns = try connection.query(
      """
      SELECT DISTINCT a.attname
        FROM \(entry) CROSS JOIN LATERAL regexp_matches(r.prqual::text, ':varattno ([0-9]+)', 'g') AS m
        JOIN pg_attribute a ON a.attrelid = r.prrelid AND a.attnum = m[1]::int ORDER BY 1
      """, key)
    return PublishedTable(
      columns: columns, hasColumnList: row.text(0) == "t", rowFilter: row[1],
      filterColumns: filterColumns.map { $0.text(0) })
  }
}

// MARK: Versions

extension FollowCatalog {
  /// Which rows of the catalogs say what is published of a table: each with its number and the transaction that wrote it. A table that was
  /// taken out and put back has another row, a publication that was altered and altered back the same row by another transaction. Neither a
  /// freeze nor a failover changes what is shown of that, nor does it change when another table is added.
  func versions(
    of publication: String, with table: FollowedTableFacts
  ) throws(SourceError) -> [String] {
    // A partition may be there as a part of its root.
    try connection.query(
      """
      WITH entry (relation, namespace) AS (
          SELECT c.oid, c.relnamespace FROM pg_class c
           WHERE c.oid = $2::oid OR c.oid IN (SELECT a.relid FROM pg_partition_ancestors($2::oid::regclass) AS a (relid))
      ), version (kind, number, writer) AS (
          SELECT 'publication', p.oid, p.xmin FROM pg_publication p WHERE p.pubname = $1
          UNION ALL
          SELECT 'table', r.oid, r.xmin FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
           WHERE p.pubname = $1 AND r.prrelid IN (SELECT relation FROM entry)
          UNION ALL
          SELECT 'schema', n.oid, n.xmin FROM pg_publication_namespace n JOIN pg_publication p ON p.oid = n.pnpubid
           WHERE p.pubname = $1 AND n.pnnspid IN (SELECT namespace FROM entry)
      )
      SELECT kind || ' ' || number::text || ':' || writer::text FROM version ORDER BY kind, number
      """, [publication, String(table.oid)]
    ).map { $0.text(0) }
  }
}

// MARK: Tables

extension FollowCatalog {
  /// - name: quoted, as ``SourceDescription/table`` is.
  /// - Returns: nil when there is no such table any more.
  func table(_ name: String) throws(SourceError) -> FollowedTableFacts? {
    guard let relation = try Catalog(connection: connection).relation(name) else { return nil }
    let oid = [String(relation.oid)]
    let root = try connection.query(
      """
      SELECT n.nspname, c.relname
        FROM pg_class p JOIN pg_class c ON c.oid = pg_partition_root(p.oid) JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE p.oid = $1::oid AND p.relispartition
      """, oid
    ).first.map { SQLText.qualified($0.text(0), $0.text(1)) }
    let columns = try connection.query(
      """
      SELECT a.attname, a.atttypid, b.oid, a.atttypmod, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated,
             a.attnum
        FROM pg_attribute a CROSS JOIN LATERAL (
             WITH RECURSIVE chain (oid) AS (
                 SELECT a.atttypid
                 UNION ALL
                 SELECT t.typbasetype FROM chain JOIN pg_type t USING (oid) WHERE t.typtype = 'd'
             )
             SELECT chain.oid FROM chain JOIN pg_type t USING (oid) WHERE t.typtype <> 'd') b
       WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
       ORDER BY a.attnum
      """, oid
    ).map { row in
      FollowedTableFacts.Column(
        name: row.text(0), typeOID: UInt32(row.text(1)) ?? 0, baseTypeOID: UInt32(row.text(2)) ?? 0,
        typeModifier: Int32(row.text(3)) ?? -1, typeName: row.text(4), isNotNull: row.text(5) == "t",
        generated: row.text(6) == "s" ? .stored : row.text(6) == "v" ? .virtual : .no, number: Int(row.text(7)) ?? 0)
    }
    let keys = try uniqueKeys(of: relation.oid)
    return FollowedTableFacts(
      oid: relation.oid, schema: relation.schema, name: relation.name, isPartitioned: relation.kind == "p",
      partitionRoot: root, columns: columns,
      primaryKey: try Catalog(connection: connection).primaryKey(relation.oid),
      uniqueKeys: keys.filter { $0.isImmediate }.map(\.columns),
      deferrableKeys: keys.filter { !$0.isImmediate }.map(\.columns), members: try members(of: relation.oid))
  }

  /// The table and its partitions or children; the table first.
  func members(of table: UInt32) throws(SourceError) -> [FollowedTableFacts.Member] {
    let rows = try connection.query(
      """
      WITH RECURSIVE \(Catalog.tree)
      SELECT c.oid, n.nspname, c.relname, c.relreplident, c.relpersistence = 'p',
             (SELECT string_agg(h.xmin::text, ',' ORDER BY h.inhparent) FROM pg_inherits h WHERE h.inhrelid = c.oid)
        FROM tree JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
       ORDER BY c.oid <> $1::oid, c.oid
      """, [String(table)])
    // A primary key that is checked only at the end of a transaction names no rows.
    let identities = try connection.query(
      """
      WITH RECURSIVE \(Catalog.tree)
      SELECT c.oid, a.attname
        FROM tree JOIN pg_class c USING (oid) JOIN pg_index i ON i.indrelid = c.oid
       CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
       WHERE k.place <= i.indnkeyatts AND i.indimmediate
         AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)
       ORDER BY c.oid, k.place
      """, [String(table)])
    var columns: [String: [String]] = [:]
    for row in identities { columns[row.text(0), default: []].append(row.text(1)) }
    return rows.map { row in
      FollowedTableFacts.Member(
        oid: UInt32(row.text(0)) ?? 0, schema: row.text(1), name: row.text(2),
        identity: row.text(3).utf8.first.flatMap { PgOutputMessage.ReplicaIdentity(rawValue: $0) } ?? .nothing,
        identityColumns: columns[row.text(0)] ?? [], isLogged: row.text(4) == "t", attachedBy: row.text(5))
    }
  }

  /// The columns of each unique index over all rows, and whether it is checked with every row.
  private func uniqueKeys(of table: UInt32) throws(SourceError) -> [(columns: [String], isImmediate: Bool)] {
    let rows = try connection.query(
      """
      SELECT i.indexrelid, a.attname, i.indimmediate
        FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
       WHERE i.indrelid = $1::oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
         AND k.place <= i.indnkeyatts
       ORDER BY i.indexrelid, k.place
      """, [String(table)])
    var keys: [(columns: [String], isImmediate: Bool)] = []
    var index = ""
    for row in rows {
      if index != row.text(0) { keys.append((columns: [], isImmediate: row.text(2) == "t")) }
      index = row.text(0)
      keys[keys.count - 1].columns.append(row.text(1))
    }
    return keys
  }
}
