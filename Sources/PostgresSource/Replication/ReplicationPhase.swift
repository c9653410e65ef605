// What an SQLSTATE means depends on what was asked for: the errors of replication commands and of a stream, told apart.
//
// May use: SourceError.

/// What a replication connection is at.
package enum ReplicationPhase: Hashable, Sendable {
  /// A question that names no slot.
  case question
  /// A slot of this name is to be made.
  case makingSlot(String)
  /// A slot of this name is dropped, or its stream is to begin.
  case slot(String)
  /// The slot's stream runs.
  case streaming(slot: String, publication: String)
}

extension SourceError {
  /// The server's error on a replication connection: the code by its SQLSTATE and the phase, the message with what to do about it.
  package init(serverState state: String, _ message: String, in phase: ReplicationPhase) {
    let found: (code: Code, advice: String)? =
      switch (state, phase) {
      case ("42710", .makingSlot(let name)):
        (.slotExists, "If nobody needs it, drop it: SELECT pg_drop_replication_slot(\(SQLText.literal(name))).")
      case ("42704", .slot(let name)): (.slotMissing, Self.advice(forSlotGone: name))
      case ("42704", .streaming(_, let publication)):
        (.publicationMissing, Self.advice(forMissingPublication: publication))
      case ("55P03", .makingSlot): (.transactionsOpen, Self.transactionsOpenAdvice)
      case ("55006", _):
        (
          .slotInUse,
          "Stop the other process, or wait: after a crash the server lets go of the slot within wal_sender_timeout. "
            + "Two processes need a slot each."
        )
      case ("55000", .makingSlot):
        (
          .replicationUnavailable,
          "Logical replication needs ALTER SYSTEM SET wal_level = logical; and a restart of the server (on a "
            + "standby: of its primary too)."
        )
      case ("55000", .slot(let name)), ("55000", .streaming(let name, _)), ("58P01", .slot(let name)),
        ("58P01", .streaming(let name, _)):
        (.slotLost, Self.advice(forSlotGone: name))
      case ("53400", _):
        (
          .replicationUnavailable,
          "Raise max_replication_slots and restart the server, or drop a slot that nobody needs (see "
            + "pg_replication_slots)."
        )
      case ("42501", _):
        (.permissionDenied, "Give the role the privilege: ALTER ROLE … REPLICATION.")
      case ("57P01", _), ("57P02", _), ("57P03", _), ("57P05", _),
        (_, _) where state.hasPrefix("08"):
        (.connectionLost, "Connect again: the slot keeps what was not acknowledged.")
      case ("53300", _):
        (.tooManyConnections, "Raise max_wal_senders, or stop another replication connection.")
      default: nil
      }
    guard let found else {
      self.init(.serverError, message, sqlState: state)
      return
    }
    self.init(found.code, message + " " + found.advice, sqlState: state)
  }

  private static func advice(forSlotGone name: String) -> String {
    "The changes since are lost to a reader of the slot \(name): load everything again, with a new slot."
  }

  static let transactionsOpenAdvice =
    "A slot is made when all transactions have ended that were writing before: see backend_xid in pg_stat_activity, and "
    + "pg_prepared_xacts. \(transactionsOpenRemedy)"

  /// What to do about it.
  static let transactionsOpenRemedy =
    "What is open must be ended, or waited for for longer (vizinho serve --slot-patience-seconds)."

  package static func advice(forMissingPublication name: String) -> String {
    "There is no publication \(SQLText.identifier(name)) at this position of the log, so its changes are not sent: "
      + "make it with CREATE PUBLICATION, and load everything again."
  }
}
