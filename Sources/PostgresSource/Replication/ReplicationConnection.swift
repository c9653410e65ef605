// A connection that speaks the replication protocol: who the server is, slots, and (ReplicationConnection+Stream.swift) a slot's stream.
//
// Such a connection has no extended protocol, so what goes into a command as text is quoted by ReplicationCommand. As in Connection, every
// wait is a poll of at most 100 ms, so that a raised stop flag ends it whatever the server does.
//
// May use: libpq, poll(2). Unsafe, because this is where C hands out its buffers.

internal import CPostgres

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

/// A replication connection, used by the thread that made it.
package final class ReplicationConnection {
  let handle: OpaquePointer
  let stop: StopFlag
  let server: String
  let warnings = StreamWarnings()
  /// What the running stream reads; nil before it starts.
  var stream: (slot: String, publication: String)?
  /// Whether libpq still holds bytes that the socket did not take.
  var hasUnsent = false
  /// When the server last sent something, if only a part of a message.
  var heardAt = monotonicSeconds()

  /// Connects with `replication=database`.
  ///
  /// Blocks for as long as the connect timeout lets libpq try each host.
  /// - Throws: ``SourceError`` with `connectionFailed`, `serverTooOld` or `cancelled`.
  package init(_ options: ConnectionOptions, stop: StopFlag) throws(SourceError) {
    guard !stop.isRaised else { throw Self.cancelled }
    guard let handle = Connection.connect(options, additional: [("replication", "database")]) else {
      throw SourceError(.connectionFailed, "libpq is out of memory.")
    }
    self.handle = handle
    self.stop = stop
    server = options.description
    guard PQstatus(handle) == CONNECTION_OK else {
      throw SourceError(
        .connectionFailed,
        "Cannot make a replication connection to Postgres (\(server)): "
          + "\(Connection.trimmed(PQerrorMessage(handle))). It needs a role with REPLICATION (ALTER ROLE … "
          + "REPLICATION), a free place in max_wal_senders, and the server itself: a pooler such as PgBouncer cannot "
          + "pass it on.")
    }
    // Warnings go to their collector, which this object keeps alive for longer than the connection.
    PQsetNoticeReceiver(
      handle, { collector, result in StreamWarnings.receive(collector, result) },
      Unmanaged.passUnretained(warnings).toOpaque())
    try prepareSession()
  }

  deinit { PQfinish(handle) }

  /// As the server numbers itself: 180004 is 18.4.
  package var serverVersion: Int { Int(PQserverVersion(handle)) }

  /// Becomes readable when the server says something, or goes away.
  package var fileDescriptor: Int32 { PQsocket(handle) }

  private func prepareSession() throws(SourceError) {
    try Connection.checkVersion(serverVersion, server)
    // An exported snapshot is held in a transaction that idles; a missing publication is but a warning from PostgreSQL 18 on.
    var settings = [
      ("statement_timeout", "0"), ("idle_in_transaction_session_timeout", "0"), ("idle_session_timeout", "0"),
      ("lock_timeout", "0"), ("client_min_messages", "warning"),
    ]
    if serverVersion >= 170_000 { settings.append(("transaction_timeout", "0")) }
    let calls = settings.map { "pg_catalog.set_config('\($0.0)', '\($0.1)', false)" }
    try command("SELECT " + calls.joined(separator: ", "))
  }
}

// MARK: Questions

extension ReplicationConnection {
  /// Who the server is, and how far its log is safely written.
  package func identifySystem() throws(SourceError) -> SystemIdentity {
    let row = try command("IDENTIFY_SYSTEM").first ?? []
    guard let identifier = UInt64(row.text(0)), let timeline = UInt32(row.text(1)), let position = LSN(row.text(2))
    else {
      throw SourceError(.malformedData, "The server (\(server)) does not say which system it is: it is no PostgreSQL.")
    }
    return SystemIdentity(
      systemIdentifier: identifier, timeline: timeline, position: position, database: row.text(3))
  }

  /// Where the timeline left its ancestors. The first timeline has none.
  package func timelineHistory(of timeline: UInt32) throws(SourceError) -> TimelineHistory {
    guard timeline > 1 else { return .first }
    let row = try command("TIMELINE_HISTORY \(timeline)").first ?? []
    return try TimelineHistory(parsing: row.text(1))
  }

  /// Whether the server replays another's log. One that does may be a standby that stands at the primary's address for a moment.
  package func isInRecovery() throws(SourceError) -> Bool {
    try command("SELECT pg_catalog.pg_is_in_recovery()").first?.text(0) == "t"
  }

  /// Makes sure that the publication is there, now.
  /// - Throws: ``SourceError`` with `publicationMissing`, and of the connection.
  package func checkPublication(_ name: String) throws(SourceError) {
    // The server looks for it when it has a change to send, and from PostgreSQL 18 on does without.
    if try publicationExists(name) { return }
    throw SourceError(
      .publicationMissing,
      "The database has no publication \(SQLText.identifier(name)). Make it with CREATE PUBLICATION, and "
        + "load everything again: changes from before it was made are not in it.")
  }

  /// Whether the database has a publication of that name, now.
  package func publicationExists(_ name: String) throws(SourceError) -> Bool {
    // Without a backslash, which means one thing or the other by a setting of the session: no literal needs it, for a name can be compared
    // as bytes.
    let hexadecimal = name.utf8.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    let rows = try command(
      "SELECT 1 FROM pg_catalog.pg_publication WHERE pg_catalog.convert_to(pubname::text, 'UTF8') = "
        + "pg_catalog.decode('\(hexadecimal)', 'hex')")
    return !rows.isEmpty
  }
}

// MARK: Slots

extension ReplicationConnection {
  /// Makes a logical slot with the plugin pgoutput.
  ///
  /// Waits until all transactions that write now have ended. A permanent slot is one that a standby keeps up too (`FAILOVER`), from
  /// PostgreSQL 17 on and on a primary.
  ///
  /// When the wait is cancelled, or this process ends in it, the server may go on and make a permanent slot that nobody knows of: look for the
  /// name before making it again. On a standby it waits for the primary to note in its log which transactions run.
  ///
  /// - temporary: the slot goes with the connection.
  /// - exportsSnapshot: the snapshot lives until the next command on this connection.
  /// - patienceSeconds: how long each of those transactions may take to end, and all of them twice that, on a standby five minutes at
  ///   least; nil: any time. When they take longer, the connection is of no more use.
  /// - Throws: ``SourceError`` with `slotExists`, `replicationUnavailable`, `permissionDenied`, `transactionsOpen`, `connectionLost`,
  ///   `cancelled`.
  package func createSlot(
    _ name: String, temporary: Bool = false, exportsSnapshot: Bool = true, patienceSeconds: Double? = nil
  ) throws(SourceError) -> CreatedSlot {
    if let patienceSeconds {
      // The server itself must give up, for while it waits it does not notice that a client has gone: slots and senders would pile up.
      let milliseconds = Int(max(patienceSeconds * 1_000, 1))
      try command("SELECT pg_catalog.set_config('lock_timeout', '\(milliseconds)ms', false)")
    }
    let isStandby = try isInRecovery()
    let failover = !temporary && serverVersion >= 170_000 && !isStandby
    // In recovery lock_timeout does not fire, for the server waits for no lock; but it looks meanwhile whether its client is there.
    let limit = patienceSeconds.map { isStandby ? max(2 * $0, Self.standbySeconds) : 2 * $0 }
    let making = try ReplicationCommand.createSlot(
      name, temporary: temporary, exportsSnapshot: exportsSnapshot, failover: failover)
    let rows: [[String?]]
    do throws(SourceError) {
      rows = try command(making, of: .makingSlot(name), within: limit)
    } catch {
      guard isStandby, error.code == .transactionsOpen, let limit else { throw error }
      throw Self.nothingNoted(name, server, limit)
    }
    let row = rows.first ?? []
    guard let position = LSN(row.text(1)) else {
      throw SourceError(.malformedData, "The server (\(server)) does not say where the new slot begins.")
    }
    return CreatedSlot(name: row.text(0), consistentPoint: position, snapshot: row.count > 2 ? row[2] : nil)
  }

  /// The primary makes its note about every 15 s where something is written, and none where it rests.
  private static let standbySeconds = 300.0

  static func nothingNoted(_ slot: String, _ server: String, _ seconds: Double) -> SourceError {
    SourceError(
      .transactionsOpen,
      "Postgres (\(server)) is a standby, and has not made the slot \(slot) for \(Int(seconds)) s: it needs its primary's note of which "
        + "transactions run, which does not come while nothing is written there, and the end of those that run. On the primary, run "
        + "SELECT pg_log_standby_snapshot(), and look for backend_xid in pg_stat_activity, and at pg_prepared_xacts.")
  }

  /// Drops a slot that nobody reads from.
  /// - Throws: ``SourceError`` with `slotMissing`, `slotInUse`, `connectionLost`, `cancelled`.
  package func dropSlot(_ name: String) throws(SourceError) {
    try command(try ReplicationCommand.dropSlot(name), of: .slot(name))
  }
}

// MARK: Commands and results

extension ReplicationConnection {
  /// For what a server answers at once.
  static let patienceSeconds = 60.0

  static var cancelled: SourceError {
    SourceError(.cancelled, "The work was cancelled. What was not acknowledged will come again.")
  }

  /// Runs one command, or one SQL statement; all values come as text.
  /// - seconds: how long the server may take to answer; nil: as is usual for the phase.
  @discardableResult
  func command(
    _ text: String, of phase: ReplicationPhase = .question, within seconds: Double? = nil
  ) throws(SourceError) -> [[String?]] {
    guard PQsendQuery(handle, text) == 1 else { throw lost() }
    var rows: [[String?]] = []
    var failure: SourceError?
    // A slot is made when running transactions have ended, which may take any time.
    let patience = seconds ?? (phase == .question ? Self.patienceSeconds : nil)
    while let result = try nextResult(within: patience, of: phase) {
      defer { PQclear(result) }
      switch PQresultStatus(result) {
      case PGRES_TUPLES_OK:
        rows += (0..<PQntuples(result)).map { row in
          (0..<PQnfields(result)).map { column in
            PQgetisnull(result, row, column) == 1 ? nil : String(cString: PQgetvalue(result, row, column))
          }
        }
      case PGRES_COMMAND_OK: break
      default:
        // The first error is the cause; what follows it is not.
        if failure == nil { failure = error(of: result, phase) }
      }
    }
    if let failure { throw failure }
    return rows
  }

  /// The next result of the running command, or nil after its last. The caller clears it.
  /// - seconds: how long the server may take for it; nil: as long as the connection is there.
  func nextResult(
    within seconds: Double? = nil, of phase: ReplicationPhase = .question
  ) throws(SourceError) -> OpaquePointer? {
    let start = monotonicSeconds()
    while PQisBusy(handle) == 1 {
      if let seconds, monotonicSeconds() - start > seconds {
        if case .makingSlot(let name) = phase {
          throw SourceError(
            .transactionsOpen,
            "Postgres (\(server)) has not made the slot \(name) for \(Int(seconds)) s. \(SourceError.transactionsOpenAdvice)"
          )
        }
        throw SourceError(
          .connectionLost,
          "Postgres (\(server)) has not answered for \(Int(seconds)) s on a replication connection. Connect again: the slot keeps what "
            + "was not acknowledged.")
      }
      _ = try wait(milliseconds: 100)
      guard PQconsumeInput(handle) == 1 else { throw lost() }
    }
    return PQgetResult(handle)
  }

  /// Waits until the server has sent something or has gone, or takes what is unsent.
  /// - milliseconds: at most 100.
  /// - Returns: false when the time has passed without.
  func wait(milliseconds: Int32) throws(SourceError) -> Bool {
    if stop.isRaised { throw Self.cancelled }
    let events = hasUnsent ? POLLIN | POLLOUT : POLLIN
    var descriptor = pollfd(fd: PQsocket(handle), events: Int16(events), revents: 0)
    let ready = poll(&descriptor, 1, min(milliseconds, 100))
    if ready < 0, errno != EINTR { throw lost() }
    if ready > 0, Int32(descriptor.revents) & Int32(POLLIN) != 0 { heardAt = monotonicSeconds() }
    return ready > 0
  }

  func lost() -> SourceError {
    SourceError(
      .connectionLost,
      "The replication connection to Postgres (\(server)) broke: \(Connection.trimmed(PQerrorMessage(handle))). "
        + "Connect again: the slot keeps what was not acknowledged.")
  }

  func error(of result: OpaquePointer?, _ phase: ReplicationPhase) -> SourceError {
    guard let fault = Connection.serverFault(of: result) else { return lost() }
    return SourceError(serverState: fault.state, fault.message, in: phase)
  }
}
