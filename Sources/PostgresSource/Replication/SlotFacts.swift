// What the server says of a replication slot.
//
// May use: Connection, LSN.

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
    let version = connection.serverVersion
    // 16 knows one reason, and says it as a condition.
    let reason =
      version >= 170_000
      ? "invalidation_reason" : version >= 160_000 ? "CASE WHEN conflicting THEN 'conflicting' END" : "NULL"
    let row = try connection.query(
      """
      SELECT plugin, database, temporary, active_pid, restart_lsn, confirmed_flush_lsn, wal_status, safe_wal_size,
             pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                             restart_lsn)::bigint,
             \(reason), \(version >= 170_000 ? "failover" : "false")
        FROM pg_replication_slots WHERE slot_name = $1
      """, [name]
    ).first
    guard let row else { return nil }
    var facts = SlotFacts(name: name)
    facts.plugin = row[0]
    facts.database = row[1]
    facts.isTemporary = row.text(2) == "t"
    facts.activePID = Int(row.text(3))
    facts.restartLSN = LSN(row.text(4))
    facts.confirmedFlushLSN = LSN(row.text(5))
    facts.walStatus = WALStatus(rawValue: row.text(6))
    facts.safeWALBytes = Int(row.text(7))
    facts.retainedWALBytes = Int(row.text(8)).map { max($0, 0) }
    facts.invalidationReason = row[9]
    facts.isFailover = row.text(10) == "t"
    return facts
  }
}
