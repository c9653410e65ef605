// Reads the outbox, batch by batch, and says what it found in the messages that a replication slot would have sent.
//
// **Why nothing is missed.** A line bears the id of the transaction that wrote it. All transactions below a snapshot's xmin have ended, and those of
// them that committed are seen in it. So whoever has read all lines below xmin in that snapshot never has to look below it again: xmin is the next
// cursor. Order of commit does not matter, and neither do sequences.
//
// **What a line brings** is the row as it is in that snapshot: all of it, or that it is gone. It may be newer than the line; then another line is to
// come that says the same again. After a TRUNCATE all rows that the table has in the snapshot are brought: a row that a transaction with a lower id
// inserted after it may have been read before it.
//
// **Why a cursor outlives a crash of Postgres.** The ids of transactions whose records were lost in the crash are given again, and so are changes
// lost that were committed without waiting (synchronous_commit = off) and seen. So before a batch counts, a transaction of our own is
// begun after it was read, committed and waited for: then the log, up to behind everything that the snapshot showed, is on disk. A cursor
// that moves over no lines counts as soon as that was done by a transaction whose id is not lower: nothing was seen, so only the ids must
// not be given again.
//
// **Locks.** The tables are locked (ACCESS SHARE) before the snapshot is taken: a table that is rewritten in between would look empty.
//
// May use: Connection, OutboxTable.

/// A reader of the outbox on one connection, for one thread.
package struct OutboxReader {
  /// Batches have about as many lines, unless one transaction has more.
  private static let linesMax = 10_000
  private static let deletedMax = 10_000

  private let connection: Connection
  private let name: String
  private var tables: [UInt32: OutboxTable] = [:]
  /// Transactions up to this one would keep their ids in a crash.
  private var flushed: UInt64 = 0

  /// - name: of the reader.
  package init(_ connection: Connection, name: String) throws(SourceError) {
    self.connection = connection
    self.name = name
    try connection.query("SELECT pg_catalog.set_config('synchronous_commit', 'local', false)")
  }
}

// MARK: The reader's place

extension OutboxReader {
  package struct Server: Hashable, Sendable {
    package var systemIdentifier: UInt64
    package var timeline: UInt32
    package var database: String
    /// No transaction from this id on had ended.
    package var xmax: UInt64
  }

  /// - Throws: ``SourceError``: `replicationUnavailable` on a standby, `outboxMissing`, `permissionDenied`, of the connection.
  package func server() throws(SourceError) -> Server {
    let server = try Catalog(connection: connection).serverFacts()
    let facts = try OutboxCatalog(connection: connection).facts(of: [])
    guard !facts.isStandby else {
      throw SourceError(
        .replicationUnavailable, "The server is a standby, where no outbox can be emptied: connect to the primary.")
    }
    guard facts.hasOutbox, facts.hasReader else {
      throw SourceError(
        .outboxMissing,
        "The database \(SQLText.identifier(server.database)) has no outbox, in which changes are noted. Run `vizinho prepare --outbox` "
          + "with the table's options, which prints the SQL, and runs it with --apply.")
    }
    guard facts.mayRead else {
      throw SourceError(
        .permissionDenied,
        "The role \(SQLText.identifier(facts.role)) may not read the outbox. Run: "
          + "\(OutboxSQL.grants(to: facts.role).joined(separator: "; "));")
    }
    let xmax = try connection.query("SELECT pg_snapshot_xmax(pg_current_snapshot())::text").first?.text(0) ?? ""
    return Server(
      systemIdentifier: server.systemIdentifier, timeline: server.timeline, database: server.database,
      xmax: UInt64(xmax) ?? 0)
  }

  /// Keeps other processes from reading under this name for as long as the connection lives.
  /// - Returns: the server's process that reads under it already; nil: this one has it now.
  package func lock() throws(SourceError) -> Int? {
    let key = "hashtext('vizinho outbox'), hashtext(\(SQLText.literal(name)))"
    if try connection.query("SELECT pg_try_advisory_lock(\(key))").first?.text(0) == "t" { return nil }
    let holder = try connection.query(
      """
      SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND pid <> pg_backend_pid()
         AND classid::bigint = hashtext('vizinho outbox')::bigint & 4294967295
         AND objid::bigint = hashtext(\(SQLText.literal(name)))::bigint & 4294967295
      """)
    return Int(holder.first?.text(0) ?? "") ?? 0
  }

  /// Up to where lines may have been deleted; nil: the outbox does not know this reader, and may have deleted any.
  package func confirmed() throws(SourceError) -> UInt64? {
    try connection.query(
      "SELECT confirmed::text FROM vizinho.reader WHERE name = $1 AND outbox = 'vizinho.outbox'::regclass", [name]
    ).first.flatMap { UInt64($0.text(0)) }
  }

  /// Begins anew: from now on nothing is deleted that this reader has not.
  /// - Returns: the cursor to begin at, above `floor`.
  package mutating func register(above floor: UInt64) throws(SourceError) -> UInt64? {
    try connection.query(
      """
      INSERT INTO vizinho.reader (name, outbox, confirmed)
      VALUES ($1, 'vizinho.outbox'::regclass, pg_snapshot_xmin(pg_current_snapshot()))
      ON CONFLICT (name) DO UPDATE SET outbox = excluded.outbox, confirmed = excluded.confirmed
      """, [name])
    let xmin = try glance(from: 0).xmin
    return xmin > floor ? xmin : nil
  }

  /// Makes sure that a cursor that has moved over no lines outlives a crash of the server, and tells it what this reader has for good. Lines
  /// that were read need ``confirm(_:)``, whatever was confirmed before: one with a lower id may have been committed since.
  /// - Returns: false: the outbox does not know this reader any more.
  package mutating func secure(_ cursor: UInt64, confirmed: UInt64) throws(SourceError) -> Bool {
    guard cursor > flushed &+ 1 || flushed == 0 else { return true }
    return try confirm(confirmed)
  }

  /// - Returns: false: the outbox does not know this reader any more.
  package mutating func confirm(_ confirmed: UInt64) throws(SourceError) -> Bool {
    let row =
      try connection.query(
        """
        WITH changed AS (
            UPDATE vizinho.reader SET confirmed = CASE WHEN confirmed < $2::xid8 THEN $2::xid8 ELSE confirmed END
             WHERE name = $1 AND outbox = 'vizinho.outbox'::regclass RETURNING 1)
        SELECT (SELECT count(*) FROM changed), pg_current_xact_id()::text
        """, [name, String(confirmed)]
      ).first ?? []
    guard row.text(0) == "1" else { return false }
    flushed = max(flushed, UInt64(row.text(1)) ?? 0)
    return true
  }

  /// Deletes lines that every reader has.
  /// - Returns: whether there may be more.
  package mutating func delete() throws(SourceError) -> Bool {
    let patience = connection.patienceSeconds
    connection.patienceSeconds = nil
    defer { connection.patienceSeconds = patience }
    let row =
      try connection.query(
        """
        WITH gone AS (
            DELETE FROM vizinho.outbox WHERE ctid = ANY (ARRAY (
                SELECT ctid FROM vizinho.outbox WHERE xid < (SELECT confirmed FROM vizinho.reader ORDER BY confirmed LIMIT 1)
                 ORDER BY xid, seq LIMIT \(Self.deletedMax))) RETURNING 1)
        SELECT count(*) FROM gone
        """
      ).first ?? []
    return row.text(0) == String(Self.deletedMax)
  }

  /// Commits something that is waited for: everything that was seen before is on disk then.
  package static func flush(_ connection: Connection, name: String) throws(SourceError) {
    var reader = try OutboxReader(connection, name: name)
    guard try reader.confirm(0) else {
      throw SourceError(.slotMissing, "The outbox has no reader \(name) any more: start again.")
    }
  }
}

// MARK: Reading

extension OutboxReader {
  /// What there is, in one short look.
  package struct Glance: Hashable, Sendable {
    /// All transactions below have ended.
    package var xmin: UInt64
    /// Whether there are lines from the cursor up to xmin.
    package var hasLines: Bool
    /// Whether lines that are committed wait for an older transaction to end.
    package var hasHeldBack: Bool
  }

  package func glance(from cursor: UInt64) throws(SourceError) -> Glance {
    let row =
      try connection.query(
        """
        SELECT s.xmin::text, EXISTS (SELECT FROM vizinho.outbox WHERE xid >= $1::xid8 AND xid < s.xmin),
               EXISTS (SELECT FROM vizinho.outbox WHERE xid >= s.xmin)
          FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) OFFSET 0) AS s (xmin)
        """, [String(cursor)]
      ).first ?? []
    guard let xmin = UInt64(row.text(0)) else {
      throw SourceError(.malformedData, "The server does not say which transactions are running.")
    }
    return Glance(xmin: xmin, hasLines: row.text(1) == "t", hasHeldBack: row.text(2) == "t")
  }

  /// Who keeps xmin where it is, in words.
  package func holder(of xmin: UInt64) throws(SourceError) -> String {
    let id = String(xmin & 0xFFFF_FFFF)
    let row = try connection.query(
      """
      SELECT 'the process ' || pid || ' (' || coalesce(usename, '') || ') has had a transaction open'
             || coalesce(' for ' || extract(epoch FROM date_trunc('second', now() - xact_start))::int || ' s, ' || state, '')
        FROM pg_stat_activity WHERE backend_xid = $1::xid
      UNION ALL
      SELECT 'the prepared transaction ' || quote_literal(gid) || ' has been open for '
             || extract(epoch FROM date_trunc('second', now() - prepared))::int || ' s'
        FROM pg_prepared_xacts WHERE transaction = $1::xid
      """, [id]
    ).first
    return row?.text(0) ?? "a transaction is open (see backend_xid in pg_stat_activity)"
  }

  /// Hands over, as messages, what became of the rows that lines from a cursor on name; but for the commit.
  ///
  /// - Returns: the cursor behind the batch, which ``confirm(_:)`` has to make safe before anything of it counts.
  /// - Throws: ``SourceError``, and what `take` throws; nothing of the batch may be used then.
  package mutating func read(from cursor: UInt64, _ take: ([UInt8]) throws -> Void) throws -> UInt64 {
    // Lines may have piled up, or all rows be wanted.
    let patience = connection.patienceSeconds
    connection.patienceSeconds = nil
    defer { connection.patienceSeconds = patience }
    var wanted = try relations(cursor, nil).map(\.oid)
    for _ in 0..<10 {
      // Names may have changed since the last batch.
      tables = [:]
      for oid in wanted { tables[oid] = try OutboxTable.read(oid, on: connection) }
      try connection.query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
      do {
        for table in tables.values { try connection.query("LOCK TABLE \(table.sqlName) IN ACCESS SHARE MODE") }
        let end = try batchEnd(cursor)
        let found = try relations(cursor, end)
        let isComplete = found.allSatisfy { wanted.contains($0.oid) }
        if isComplete {
          try hand(found, cursor, end, take)
          try connection.query("COMMIT")
          return end
        }
        wanted = found.map(\.oid)
        try connection.query("ROLLBACK")
      } catch {
        _ = try? connection.query("ROLLBACK")
        throw error
      }
    }
    throw SourceError(.sourceChanged, "Changes of new tables come faster than the tables can be locked.")
  }

  /// Where the batch ends that begins at a cursor: behind a whole transaction.
  private func batchEnd(_ cursor: UInt64) throws(SourceError) -> UInt64 {
    let row =
      try connection.query(
        """
        SELECT s.xmin::text, (SELECT xid::text FROM vizinho.outbox WHERE xid >= $1::xid8 AND xid < s.xmin
                               ORDER BY xid, seq OFFSET \(Self.linesMax) LIMIT 1)
          FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) OFFSET 0) AS s (xmin)
        """, [String(cursor)]
      ).first ?? []
    guard let xmin = UInt64(row.text(0)) else {
      throw SourceError(.malformedData, "The server does not say which transactions are running.")
    }
    return row.count > 1 ? row[1].flatMap { UInt64($0) }.map { $0 + 1 } ?? xmin : xmin
  }

  private struct Changed {
    var oid: UInt32
    var isTruncated: Bool
  }

  /// - end: nil: up to the snapshot's xmin.
  private func relations(_ cursor: UInt64, _ end: UInt64?) throws(SourceError) -> [Changed] {
    let limit = end.map { "'\($0)'::xid8" } ?? "pg_snapshot_xmin(pg_current_snapshot())"
    return try connection.query(
      "SELECT rel, bool_or(op = 'T') FROM vizinho.outbox WHERE xid >= $1::xid8 AND xid < \(limit) GROUP BY rel ORDER BY rel",
      [String(cursor)]
    ).map { Changed(oid: UInt32($0.text(0)) ?? 0, isTruncated: $0.text(1) == "t") }
  }

  private func hand(
    _ found: [Changed], _ cursor: UInt64, _ end: UInt64, _ take: ([UInt8]) throws -> Void
  ) throws {
    let time = try connection.query(
      "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - 946684800000000")
    try take(
      PgOutputEncoder.begin(
        PgOutputMessage.Begin(
          finalLSN: LSN(rawValue: end - 1), commitMicroseconds: Int64(time.first?.text(0) ?? "") ?? 0,
          transactionID: UInt32(truncatingIfNeeded: end - 1))))
    for changed in found {
      guard let table = tables[changed.oid] else { continue }
      try take(PgOutputEncoder.relation(table.relation))
      if changed.isTruncated {
        try handEverything(of: table, take)
      } else {
        try handLines(of: table, cursor, end, take)
      }
    }
  }

  private func handLines(
    of table: OutboxTable, _ cursor: UInt64, _ end: UInt64, _ take: ([UInt8]) throws -> Void
  ) throws {
    let statement = table.page
    let keyEnd = 3 + table.key.count
    var last = (xid: "0", seq: "-9223372036854775808")
    while true {
      let rows = try connection.binaryRows(
        statement, [String(cursor), String(end), last.xid, last.seq], headCount: keyEnd + table.columns.count)
      for row in rows {
        let found = row.head[2] == nil ? nil : Array(row.head[keyEnd...])
        for message in table.messages(asked: Array(row.head[3..<keyEnd]), found: found) { try take(message) }
      }
      guard rows.count == OutboxTable.pageRows, let line = rows.last?.head, let xid = line[0], let seq = line[1] else {
        return
      }
      last = (String(decoding: xid, as: UTF8.self), String(decoding: seq, as: UTF8.self))
    }
  }

  /// All rows that there are, after a TRUNCATE.
  private func handEverything(of table: OutboxTable, _ take: ([UInt8]) throws -> Void) throws {
    try take(PgOutputEncoder.truncate(relation: table.oid))
    try connection.query("DECLARE vizinho_all NO SCROLL CURSOR FOR \(table.everything)")
    while true {
      let rows = try connection.binaryRows(
        "FETCH \(OutboxTable.pageRows) FROM vizinho_all", [], headCount: table.columns.count)
      for row in rows { try take(PgOutputEncoder.insert(relation: table.oid, fields: row.head)) }
      if rows.count < OutboxTable.pageRows { break }
    }
    try connection.query("CLOSE vizinho_all")
  }
}

extension ServerPosition {
  /// Where a server stands as the outbox counts: behind every transaction that has committed, in the place of a position in the log.
  /// - Throws: ``SourceError``.
  package static func readTransactions(on connection: Connection) throws(SourceError) -> ServerPosition {
    let server = try Catalog(connection: connection).serverFacts()
    let row = try connection.query("SELECT pg_snapshot_xmax(pg_current_snapshot())::text").first ?? []
    guard let xmax = UInt64(row.text(0)) else {
      throw SourceError(.malformedData, "The server does not say which transactions have ended.")
    }
    return ServerPosition(
      systemIdentifier: server.systemIdentifier, timeline: server.timeline, flushed: LSN(rawValue: xmax))
  }
}

/// What the outbox takes up.
package enum OutboxSize {
  /// - Throws: ``SourceError``.
  package static func bytes(on connection: Connection) throws(SourceError) -> Int {
    Int(try connection.query("SELECT pg_total_relation_size('vizinho.outbox')").first?.text(0) ?? "") ?? 0
  }
}
