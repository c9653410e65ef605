// Whether what is kept here may go on from a slot. Pure rules, because the worst mistake makes no error: asked to start before what a slot
// was acknowledged to, Postgres starts there instead and leaves out the transactions between without a word.
//
// May use: SlotFacts, SystemIdentity, TimelineHistory.

package enum AttachCheck {
  /// What is kept here: the state that the slot's stream is to be applied to.
  package struct Local: Hashable, Sendable {
    package var slot: String
    package var systemIdentifier: UInt64
    /// Of the log that `applied` is a position in.
    package var timeline: UInt32
    package var database: String
    /// The end of the last applied transaction, or where the slot began: the stream is to start here.
    package var applied: LSN
    /// Up to where something is kept that was applied, at ``applied`` or behind it: when power is lost, rows may be on disk and the
    /// messages that they came from not.
    package var reached: LSN

    /// - reached: ``applied``, if that is less or nil.
    package init(
      slot: String, systemIdentifier: UInt64, timeline: UInt32, database: String, applied: LSN, reached: LSN? = nil
    ) {
      self.slot = slot
      self.systemIdentifier = systemIdentifier
      self.timeline = timeline
      self.database = database
      self.applied = applied
      self.reached = max(applied, reached ?? applied)
    }
  }

  /// - history: of the server's timeline.
  /// - slot: nil = there is none.
  /// - isStandby: whether the server replays another's log.
  package static func verdict(
    local: Local, server: SystemIdentity, history: TimelineHistory, slot: SlotFacts?, isStandby: Bool = false
  ) -> AttachVerdict {
    if isStandby, let refusal = refusal(local, server) ?? refusalOfStandby(local, server, history, slot) {
      return .refuse(refusal)
    }
    if let refusal = refusal(local, server) ?? refusal(local, server, history) ?? refusal(local, slot) {
      return .refuse(refusal)
    }
    return .attach(at: local.applied, warnings: slot.map(warnings) ?? [])
  }
}

package enum AttachVerdict: Hashable, Sendable {
  /// Start the stream here.
  case attach(at: LSN, warnings: [String])
  case refuse(AttachRefusal)
}

/// Why not, and what helps.
package struct AttachRefusal: Hashable, Sendable {
  package enum Remedy: Hashable, Sendable {
    /// Load everything again, with a new slot.
    case rebuild
    /// Once something else has ended, it works.
    case retry
    /// Another connection string, or another slot, is meant.
    case configure
  }

  package var reason: SourceError.Code
  package var remedy: Remedy
  /// Sentences for a person, with what to do.
  package var message: String

  package var error: SourceError { SourceError(reason, message) }
}

// MARK: The server

extension AttachCheck {
  private static let rebuild = "What is kept here can be searched, but not brought up to date: load everything again."

  private static func refusal(_ local: Local, _ server: SystemIdentity) -> AttachRefusal? {
    guard local.systemIdentifier == server.systemIdentifier, local.systemIdentifier != 0 else {
      return AttachRefusal(
        reason: .historyDiverged, remedy: .configure,
        message: "The server is another one: its system identifier is \(server.systemIdentifier), and what is kept "
          + "here is of \(local.systemIdentifier). Connect to the server that it was loaded from, or load everything "
          + "again from this one.")
    }
    guard local.database == server.database else {
      return AttachRefusal(
        reason: .historyDiverged, remedy: .configure,
        message: "The connection is to the database \(SQLText.identifier(server.database)), and what is kept here is "
          + "of \(SQLText.identifier(local.database)). Connect to that one, or load everything again from this one.")
    }
    return nil
  }

  private static func refusal(
    _ local: Local, _ server: SystemIdentity, _ history: TimelineHistory
  ) -> AttachRefusal? {
    func diverged(_ why: String) -> AttachRefusal {
      AttachRefusal(reason: .historyDiverged, remedy: .rebuild, message: why + " " + rebuild)
    }
    if local.timeline != server.timeline {
      guard let switchPoint = history.switchPoint(of: local.timeline) else {
        return diverged(
          "The server's timeline \(server.timeline) does not come from timeline \(local.timeline), to which what is "
            + "kept here belongs: the server was restored to an earlier time, or is another copy.")
      }
      guard local.reached <= switchPoint else {
        return diverged(
          "The server left timeline \(local.timeline) at \(switchPoint), and what is kept here goes on to "
            + "\(local.reached) on it: it holds transactions that the server has lost, as after the promotion of a "
            + "standby that was behind.")
      }
    }
    guard local.reached <= server.position else {
      return diverged(
        "The server's log ends at \(server.position), and what is kept here goes on to \(local.reached): the server "
          + "was set back, as by a restored copy of its files.")
    }
    return nil
  }
}

// MARK: A standby

extension AttachCheck {
  /// What a standby lacks says nothing of its primary, whose slot may be in order: where an address moves or several hosts are named, a
  /// standby may be met in the primary's place for a moment. Only a slot of its own can be lost with it.
  private static func refusalOfStandby(
    _ local: Local, _ server: SystemIdentity, _ history: TimelineHistory, _ slot: SlotFacts?
  ) -> AttachRefusal? {
    let why: String
    if let refusal = refusal(local, server, history) {
      why = refusal.message
    } else if let slot, slot.isSynced {
      why =
        "It keeps the replication slot \(local.slot) up from its primary, and lets nobody read from it before it takes over."
    } else if slot == nil {
      why = "It has no replication slot \(local.slot)."
    } else {
      return nil
    }
    return AttachRefusal(
      reason: .replicationUnavailable, remedy: .retry,
      message:
        "The server is a standby. \(why) Connect to the primary (target_session_attrs=primary chooses it where several hosts are "
        + "named), or wait until this one has taken over. If it is this standby that is followed, make the slot here, and everything is "
        + "loaded again: SELECT pg_create_logical_replication_slot(\(SQLText.literal(local.slot)), 'pgoutput').")
  }
}

// MARK: The slot

extension AttachCheck {
  private static func refusal(_ local: Local, _ slot: SlotFacts?) -> AttachRefusal? {
    guard let slot else {
      return AttachRefusal(
        reason: .slotMissing, remedy: .rebuild,
        message: "The server has no replication slot \(local.slot) any more: it was dropped, or did not survive a "
          + "failover. "
          + rebuild)
    }
    guard let plugin = slot.plugin, plugin == "pgoutput" else {
      return AttachRefusal(
        reason: .slotUnfit, remedy: .configure,
        message: "The replication slot \(local.slot) is "
          + "\(slot.plugin.map { "of the plugin \($0)" } ?? "a physical one"), not of pgoutput: it is another "
          + "program's. Name another slot, and load everything again.")
    }
    guard slot.database == local.database else {
      return AttachRefusal(
        reason: .slotUnfit, remedy: .configure,
        message: "The replication slot \(local.slot) is of the database \(SQLText.identifier(slot.database ?? "")), "
          + "not of \(SQLText.identifier(local.database)). Name another slot, and load everything again.")
    }
    guard !slot.isLost else {
      return AttachRefusal(
        reason: .slotLost, remedy: .rebuild,
        message: "The server has given up the replication slot \(local.slot)"
          + (slot.invalidationReason.map { " (\($0))" } ?? "") + ": it has thrown away changes that were still to "
          + "come. \(rebuild) Raise max_slot_wal_keep_size if a slot must live through longer pauses.")
    }
    if let pid = slot.activePID {
      return AttachRefusal(
        reason: .slotInUse, remedy: .retry,
        message: "The server's process \(pid) reads from the replication slot \(local.slot). Stop the other program, "
          + "or wait: after a crash the server lets go of a slot within wal_sender_timeout. To end it: SELECT "
          + "pg_terminate_backend(\(pid)).")
    }
    guard let confirmed = slot.confirmedFlushLSN else {
      return AttachRefusal(
        reason: .slotUnfit, remedy: .retry,
        message: "The replication slot \(local.slot) is still being made: it waits for running transactions to end.")
    }
    guard confirmed <= local.applied else {
      return AttachRefusal(
        reason: .historyDiverged, remedy: .rebuild,
        message: "The replication slot \(local.slot) was acknowledged up to \(confirmed), and what is kept here ends "
          + "at \(local.applied): the transactions between will never be sent again. The data directory is an older "
          + "copy, or another program reads from the slot. \(rebuild)")
    }
    return nil
  }

  private static func warnings(_ slot: SlotFacts) -> [String] {
    guard slot.walStatus == .unreserved else { return [] }
    return [
      "The server may soon give up the replication slot \(slot.name): it keeps more of its log for it than "
        + "max_slot_wal_keep_size allows."
    ]
  }
}
