// What the server says of a replication slot.
//
// May use: Connection, ReplicationConnection, LSN.

/// A slot as `pg_replication_slots` has it.
package struct SlotFacts: Hashable, Sendable {
  package var name: String
  /// Nil for a physical slot.
  package var plugin: String?
  /// Nil for a physical slot.
  package var database: String?
  package var isTemporary = false
  /// The server process that uses it.
  package var activePID: Int?
  /// What the server still keeps of its log for this slot begins here.
  package var restartLSN: LSN?
  /// What was acknowledged: no transaction that ended at or before it will be sent. Nil while the slot is being made.
  package var confirmedFlushLSN: LSN?
  package var walStatus: WALStatus?
  /// How many bytes of log the server may still write before it gives the slot up; nil: it is never given up for that, or is already.
  package var safeWALBytes: Int?
  /// How many bytes of log the server keeps for the slot.
  package var retainedWALBytes: Int?
  /// Why the slot was given up, in the server's word; nil: it was not, or the server is older than PostgreSQL 16.
  package var invalidationReason: String?
  /// Whether standbys keep it up too.
  package var isFailover = false
  /// Whether the server, a standby, keeps it up from its primary's: nobody can read it before the standby takes over.
  package var isSynced = false

  /// What the server keeps for a slot.
  package enum WALStatus: String, Hashable, Sendable {
    /// All that is needed, within `max_wal_size`.
    case reserved
    /// All that is needed, beyond `max_wal_size`.
    case extended
    /// Perhaps not for long: more than `max_slot_wal_keep_size`.
    case unreserved
    /// No longer what is needed.
    case lost
  }

  package init(name: String) { self.name = name }

  /// Whether the server has given the slot up.
  package var isLost: Bool { walStatus == .lost || invalidationReason != nil }

  /// - Returns: nil when there is no slot of that name.
  package static func read(_ name: String, over connection: Connection) throws(SourceError) -> SlotFacts? {
    try connection.query(statement(version: connection.serverVersion, slot: "$1"), [name]).first
      .map { SlotFacts(name, row: $0) }
  }

  /// The same of the very server that a replication connection leads to: of several hosts, another connection may find another.
  package static func read(_ name: String, over connection: ReplicationConnection) throws(SourceError) -> SlotFacts? {
    try ReplicationCommand.checkSlotName(name)
    return try connection.command(statement(version: connection.serverVersion, slot: "'\(name)'")).first
      .map { SlotFacts(name, row: $0) }
  }

  /// - slot: its name, as SQL.
  private static func statement(version: Int, slot: String) -> String {
    // 16 knows one reason, and says it as a condition.
    let reason =
      version >= 170_000
      ? "invalidation_reason" : version >= 160_000 ? "CASE WHEN conflicting THEN 'conflicting' END" : "NULL"
    return """
      SELECT plugin, database, temporary, active_pid, restart_lsn, confirmed_flush_lsn, wal_status, safe_wal_size,
             pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                             restart_lsn)::bigint,
             \(reason), \(version >= 170_000 ? "failover, synced" : "false, false")
        FROM pg_replication_slots WHERE slot_name = \(slot)
      """
  }

  private init(_ name: String, row: [String?]) {
    self.init(name: name)
    plugin = row[0]
    database = row[1]
    isTemporary = row.text(2) == "t"
    activePID = Int(row.text(3))
    restartLSN = LSN(row.text(4))
    confirmedFlushLSN = LSN(row.text(5))
    walStatus = WALStatus(rawValue: row.text(6))
    safeWALBytes = Int(row.text(7))
    retainedWALBytes = Int(row.text(8)).map { max($0, 0) }
    invalidationReason = row[9]
    isFailover = row.text(10) == "t"
    isSynced = row.text(11) == "t"
  }
}
