// Transactions that write and have not ended: Postgres makes no slot before they have.
//
// May use: Connection, LSNFloor.

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

/// Waits for them, and names them.
package enum OpenTransactions {
  /// Waits until every transaction has ended that writes now. Holds nothing that others may want meanwhile.
  ///
  /// On a standby nobody writes.
  /// - Throws: ``SourceError`` with `transactionsOpen` when that takes longer; of the connection.
  static func waitForEnd(on connection: Connection, patienceSeconds: Double) throws(SourceError) {
    let floor = try LSNFloor.read(connection)
    let deadline = monotonicSeconds() + patienceSeconds
    var pause: UInt32 = 1_000
    while true {
      let xmin = try connection.query("SELECT pg_snapshot_xmin(pg_current_snapshot())::text").first?.text(0) ?? ""
      if floor.isContained(inSnapshotWithXmin: UInt64(xmin) ?? 0) { return }
      guard monotonicSeconds() < deadline else { throw Self.error(naming: try oldest(on: connection)) }
      usleep(pause)
      pause = min(2 * pause, 100_000)
    }
  }

  /// Who has had a transaction open for the longest that writes, anywhere on the server, in words; nil: nobody has.
  static func oldest(on connection: Connection) throws(SourceError) -> String? {
    // Whose session it is, its process and its transaction are shown to everybody; since when, only to some.
    let row = try connection.query(
      """
      SELECT 'the process ' || pid || ' (' || coalesce(usename, '') || ') has had a transaction open'
             || coalesce(' for ' || extract(epoch FROM date_trunc('second', now() - xact_start))::int || ' s, ' || state, ''),
             age(backend_xid)
        FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
      UNION ALL
      SELECT 'the prepared transaction ' || quote_literal(gid) || ' has been open for '
             || extract(epoch FROM date_trunc('second', now() - prepared))::int || ' s', age(transaction)
        FROM pg_prepared_xacts
      ORDER BY 2 DESC LIMIT 1
      """
    ).first
    return row?.text(0)
  }

  /// The error with whom it is about, as far as the server says so; any other as it is.
  package static func named(_ error: SourceError, _ options: ConnectionOptions, stop: StopFlag) -> SourceError {
    guard error.code == .transactionsOpen,
      let connection = try? Connection(options, stop: stop, patienceSeconds: 10)
    else { return error }
    return named(error, on: connection)
  }

  static func named(_ error: SourceError, on connection: Connection) -> SourceError {
    guard error.code == .transactionsOpen, let found = try? oldest(on: connection) else { return error }
    return Self.error(naming: found)
  }

  private static func error(naming oldest: String?) -> SourceError {
    SourceError(
      .transactionsOpen,
      "The end of a transaction that has written is waited for, since Postgres makes no slot before: "
        + (oldest ?? "see backend_xid in pg_stat_activity, and pg_prepared_xacts")
        + ". \(SourceError.transactionsOpenRemedy)")
  }
}
