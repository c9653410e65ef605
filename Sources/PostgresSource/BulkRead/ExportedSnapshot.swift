// One view of the database for many connections, and the position in the log that it contains.
//
// Two connections stand behind it for as long as the read lasts. The *guard* holds ACCESS SHARE locks on everything that
// is read, taken before the snapshot: without them a TRUNCATE or a rewriting ALTER TABLE between the snapshot and a
// worker's first look would make the worker see an empty table, without an error. The *holder* keeps the exported
// snapshot importable.
//
// Or, where the table is followed, a temporary replication slot exports the snapshot and says its exact place in the log.
// Postgres makes a slot when the transactions that write have ended, and one of those may wait for our locks. So they are
// waited for before anything is locked, and not for long afterwards.
//
// May use: Connection, ReplicationConnection, Preflight, OpenTransactions.

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

/// What the workers import.
struct ExportedSnapshot {
  /// The connection whose session keeps the snapshot.
  enum Holder {
    case session(Connection)
    /// Nothing may be asked on it: the next command would end the snapshot.
    case slot(ReplicationConnection)
  }

  let lock: Connection
  let holder: Holder
  /// The argument of `SET TRANSACTION SNAPSHOT`.
  let name: String
  /// Every transaction whose commit record ends at or before it is visible in the snapshot; `unknown` when that could
  /// not be had.
  let lsn: LSN
  /// Every transaction with a lower id has ended, and is visible if it has committed; 0: not known.
  let xmin: UInt64
  /// The source as the snapshot sees it.
  let description: SourceDescription
  let warnings: [String]

  /// Locks, takes the snapshot, and checks the source again within it.
  ///
  /// - `patienceSeconds`: how long to wait for the transactions that may have written their commit record but cannot be
  ///   seen yet. After it the snapshot is taken all the same, without an LSN.
  static func take(
    _ options: ConnectionOptions, _ source: RowSource, stop: StopFlag, patienceSeconds: Double
  ) throws(SourceError) -> ExportedSnapshot {
    let lock = try Connection(options, stop: stop)
    let holder = try Connection(options, stop: stop)

    // The refusals come from here, before anything is locked.
    var description = try Preflight(holder, source).run()
    let source = source.with(dimension: description.dimension)
    try lock.query("BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED READ ONLY")
    try lockTables(source, description, lock)

    let floor = try LSNFloor.read(holder)
    let deadline = monotonicSeconds() + patienceSeconds
    var relocks = 0
    while true {
      try holder.query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
      let row =
        try holder.query("SELECT pg_export_snapshot(), pg_snapshot_xmin(pg_current_snapshot())::text").first ?? []
      let xmin = UInt64(row.text(1)) ?? 0
      let isSound = floor.isContained(inSnapshotWithXmin: xmin)
      let isLate = monotonicSeconds() >= deadline
      if isSound || isLate {
        description = try Preflight(holder, source).run()
        // A partition that was attached after the locking is in the snapshot, but nobody has locked it.
        if try locksAll(description.leaves, lock) {
          return ExportedSnapshot(
            lock: lock, holder: .session(holder), name: row.text(0), lsn: isSound ? floor.lsn : .unknown,
            xmin: xmin, description: description,
            warnings: floor.warnings(isSound: isSound, patienceSeconds: patienceSeconds))
        }
        relocks += 1
        guard relocks < 10 else {
          throw SourceError(
            .sourceChanged, "The table gets new partitions faster than they can be locked: try again when that is over."
          )
        }
        try lockTables(source, description, lock)
      }
      try holder.query("ROLLBACK")
      if !isSound { usleep(20_000) }
    }
  }

  /// Locks, and makes a temporary slot whose snapshot shows exactly the transactions that commit before its ``lsn``.
  ///
  /// Waits until every transaction has ended that was writing when it began: a slot is not made before.
  ///
  /// - patienceSeconds: how long they may take before anything is locked, and those that have begun by then afterwards.
  /// - Throws: ``SourceError`` with `transactionsOpen` when they take longer. Nothing is locked any more then.
  static func take(
    _ options: ConnectionOptions, _ source: RowSource, slot: String, stop: StopFlag, patienceSeconds: Double
  ) throws(SourceError) -> ExportedSnapshot {
    let looker = try Connection(options, stop: stop)
    var description = try Preflight(looker, source).run()
    let source = source.with(dimension: description.dimension)
    try OpenTransactions.waitForEnd(on: looker, patienceSeconds: patienceSeconds)
    let lock = try Connection(options, stop: stop)
    try lock.query("BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED READ ONLY")
    for _ in 0..<10 {
      try lockTables(source, description, lock)
      let holder = try ReplicationConnection(options, stop: stop)
      let created: CreatedSlot
      do throws(SourceError) {
        created = try holder.createSlot(
          slot, temporary: true, exportsSnapshot: true, patienceSeconds: patienceSeconds)
      } catch {
        throw OpenTransactions.named(error, on: looker)
      }
      guard let name = created.snapshot else {
        throw SourceError(
          .snapshotLost, "Postgres made the slot \(slot) and exported no snapshot. Start the read again.")
      }
      try looker.query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
      try looker.query("SET TRANSACTION SNAPSHOT \(SQLText.literal(name))")
      description = try Preflight(looker, source).run()
      try looker.query("COMMIT")
      // A partition that was attached after the locking is in the snapshot, but nobody has locked it.
      if try locksAll(description.leaves, lock) {
        return ExportedSnapshot(
          lock: lock, holder: .slot(holder), name: name, lsn: created.consistentPoint, xmin: 0,
          description: description,
          warnings: [])
      }
    }
    throw SourceError(
      .sourceChanged, "The table gets new partitions faster than they can be locked: try again when that is over.")
  }

  /// Ends the read: makes sure that locks and snapshot were held to this moment, and lets go of them.
  func finish() throws(SourceError) {
    if case .session(let connection) = holder { try connection.query("COMMIT") }
    try lock.query("COMMIT")
  }

  /// Become readable when something is wrong.
  var fileDescriptors: [Int32] {
    switch holder {
    case .session(let connection): [lock.fileDescriptor, connection.fileDescriptor]
    case .slot(let connection): [lock.fileDescriptor, connection.fileDescriptor]
    }
  }

  /// Called when one of ``fileDescriptors`` is readable.
  func check() throws(SourceError) {
    let isHeld =
      switch holder {
      case .session(let connection): !connection.isLost()
      // The server has nothing to say to a connection that asks nothing, but that it ends.
      case .slot(let connection): !Self.isReadable(connection.fileDescriptor)
      }
    guard isHeld, !lock.isLost() else {
      throw SourceError(
        .connectionLost,
        "The connection that holds the locks and the snapshot broke. Nothing of this read may be used; start it again.")
    }
  }

  private static func isReadable(_ descriptor: Int32) -> Bool {
    var descriptor = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&descriptor, 1, 0) > 0
  }

  /// A statement that is planned locks every table that it may read until its transaction ends, as `LOCK TABLE` does;
  /// but planning and explaining ask for no privilege on the whole table when the role may read its columns.
  private static func lockTables(
    _ source: RowSource, _ description: SourceDescription, _ connection: Connection
  ) throws(SourceError) {
    try connection.query("EXPLAIN " + ScanPlan.wholeSelect(source, of: description))
  }

  private static func locksAll(_ leaves: [SourceDescription.Leaf], _ lock: Connection) throws(SourceError) -> Bool {
    let held = try lock.query(
      """
      SELECT relation FROM pg_locks
       WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted AND mode = 'AccessShareLock'
      """)
    let oids = Set(held.map { $0.text(0) })
    return leaves.allSatisfy { oids.contains(String($0.oid)) }
  }
}

/// A position in the log, and what a snapshot must show to contain everything up to it.
///
/// **Why this is sound, on a primary.** Wanted: an LSN `L` and a snapshot `S` such that every transaction whose commit
/// record ends at or before `L` is visible in `S`. A committing transaction writes its commit record first and leaves the
/// list of running transactions later (it may wait for a synchronous standby in between), so an `L` read before `S` is
/// not enough: `S` may still take a transaction for running whose commit record lies below `L`. Hence, in this order:
///
///  1. Read `L = pg_current_wal_flush_lsn()`. A transaction with a commit record at or before `L` has got its
///     transaction id before this moment.
///  2. Read `X = pg_current_xact_id()`, which assigns a new id. Ids are assigned in ascending order, so all transactions
///     of (1) have ids below `X`.
///  3. Take `S`, again and again, until `xmin(S) >= X`. All ids below `xmin(S)` belong to transactions that are no longer
///     running for `S`: the committed ones among them are visible. So those of (1) are.
///
/// `xmax` of an ordinary snapshot would not do for `X`: it is one more than the latest *completed* id, and the
/// transaction in question may have a higher one. The flushed position, not the inserted one, because only what is
/// flushed keeps its LSN through a crash; a smaller `L` is always sound too. Step 3 waits for all writers that were
/// running at step 2: a long one makes the wait run out, and the answer is then "unknown".
///
/// **On a standby** the recovery process applies a commit record, visibility included, before it moves
/// `pg_last_wal_replay_lsn()` past it: any later snapshot contains all commits up to there.
struct LSNFloor {
  let lsn: LSN
  /// The `X` above; 0 on a standby.
  private let transactionID: UInt64

  static func read(_ connection: Connection) throws(SourceError) -> LSNFloor {
    // One statement each: within one, nothing says which function is called first.
    if try connection.query("SELECT pg_is_in_recovery()").first?.text(0) == "t" {
      let replayed = try connection.query("SELECT pg_last_wal_replay_lsn()").first?.text(0) ?? ""
      return LSNFloor(lsn: LSN(replayed) ?? .unknown, transactionID: 0)
    }
    let flushed = try connection.query("SELECT pg_current_wal_flush_lsn()").first?.text(0) ?? ""
    let assigned = try connection.query("SELECT pg_current_xact_id()::text").first?.text(0) ?? ""
    guard let transactionID = UInt64(assigned) else { return LSNFloor(lsn: .unknown, transactionID: 0) }
    return LSNFloor(lsn: LSN(flushed) ?? .unknown, transactionID: transactionID)
  }

  func isContained(inSnapshotWithXmin xmin: UInt64) -> Bool { xmin >= transactionID }

  func warnings(isSound: Bool, patienceSeconds: Double) -> [String] {
    guard !isSound || lsn == .unknown else { return [] }
    return [
      "The position in the log that these rows correspond to is not known: "
        + (isSound
          ? "the server does not tell it."
          : "for \(Int(patienceSeconds)) s another transaction was writing (see pg_stat_activity for one with an old "
            + "backend_xid, and pg_prepared_xacts).")
    ]
  }
}

/// Seconds on a clock that only goes forward.
func monotonicSeconds() -> Double {
  var now = timespec()
  clock_gettime(CLOCK_MONOTONIC, &now)
  return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
}
