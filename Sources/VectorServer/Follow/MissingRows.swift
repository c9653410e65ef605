// Rows whose values neither the stream nor the index has, read from Postgres by their keys: as many at once as memory allows, and only by
// statements that see what the stream has told.
//
// May use: CollectionFollower, PostgresSource's fetcher.

import Foundation
import PostgresSource
import VectorIndex

/// Reads rows for one follower, on its thread.
struct MissingRows {
  /// What one statement finds of some rows: at most `RowFetcher.keysMax` of them.
  typealias Fetch = ([RecordID]) throws(SourceError) -> FetchedRows
  /// Connects.
  typealias Connect = @Sendable () throws(SourceError) -> Fetch

  /// What was read of the first of some keys.
  struct Reading {
    /// How many of the keys were asked for: at least one.
    var count: Int
    var found: FetchedRows
    /// As Postgres sent them.
    var bytes: Int
  }

  private let connect: Connect
  private let stop: StopFlag
  /// nil: not connected.
  private var fetch: Fetch?
  /// So many rows take about ``bytesAtOnce``, as far as is known.
  private var keysAtOnce = 100

  private static let bytesAtOnce = 16 << 20
  /// How long a transaction may be on its way from the stream to others before somebody is told.
  private static let patience = Duration.seconds(1)
  /// How long Postgres may take to answer before the connection counts as broken, and another is made.
  private static let answerSeconds = 60.0

  init(_ follower: CollectionFollower) {
    stop = follower.stop
    if let connect = follower.rowReading {
      self.connect = connect
    } else {
      connect = { () throws(SourceError) -> Fetch in
        let fetcher = try RowFetcher(
          Connection(
            follower.configuration.connection, stop: follower.stop, patienceSeconds: Self.answerSeconds),
          description: follower.table.description, rowFilter: follower.facts.rowFilter)
        return { (keys: [RecordID]) throws(SourceError) -> FetchedRows in try fetcher.fetch(keys) }
      }
    }
  }

  /// Reads the first of some rows, as many as are well held in memory.
  ///
  /// - transactions: those that the stream has told of. It tells of a commit before others see it; how long before is not bounded, for a
  ///   session may wait for its standby in between, while those who do not are seen. So a statement must see each of them.
  /// - Throws: ``JournalApplier/Stall`` where Postgres cannot be asked, or does not show yet what it has told; ``SourceError``.
  mutating func read(_ keys: ArraySlice<RecordID>, seeing transactions: [UInt32]) throws -> Reading {
    let asked = Array(keys.prefix(keysAtOnce))
    let start = ContinuousClock.now
    var pause = 0.002
    while true {
      let found = try ask(asked)
      guard let unseen = transactions.first(where: { !found.snapshot.isVisible($0) }) else {
        let bytes = found.rows.reduce(0) { $0 + $1.wire.count }
        if bytes > 0 {
          let fitting = max(1, asked.count * Self.bytesAtOnce / bytes)
          keysAtOnce = min(fitting, 2 * keysAtOnce, RowFetcher.keysMax)
        }
        return Reading(count: asked.count, found: found, bytes: bytes)
      }
      if stop.isRaised { throw SourceError(.cancelled, "The server ends.") }
      guard ContinuousClock.now - start < Self.patience else {
        throw JournalApplier.Stall(
          reason:
            "the transaction \(unseen) has committed, and Postgres does not show it to others yet: it may wait for a standby "
            + "(synchronous_standby_names)")
      }
      Thread.sleep(forTimeInterval: pause)
      pause = min(2 * pause, 0.1)
    }
  }

  private mutating func ask(_ keys: [RecordID]) throws -> FetchedRows {
    do throws(SourceError) {
      let fetch: Fetch
      if let connected = self.fetch {
        fetch = connected
      } else {
        fetch = try connect()
        self.fetch = fetch
      }
      return try fetch(keys)
    } catch {
      fetch = nil
      switch error.code {
      case .connectionFailed, .connectionLost, .tooManyConnections, .serverError, .lockTimeout:
        throw JournalApplier.Stall(reason: "rows could not be read from Postgres: \(error.message)")
      default: throw error
      }
    }
  }
}
