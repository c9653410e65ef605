// From a definition to a collection that can follow: look at the table, make sure that its changes will come, read it as of a known place in the
// log, prove it. Or in the place of the table, the rows of the collection that is served, of a known place too.
//
// May use: Rebuild, PostgresSource's preflights, StreamLog.

import PostgresSource
import Synchronization
import VectorIndex

/// What a follower needs.
struct FollowableCollection: Sendable {
  var collection: Collection
  var definition: CollectionDefinition
  /// Where the rows come from, in words.
  var source: String
  var followed: FollowedSource
  /// The files in which the table lay when the collection was last proved equal to it.
  var files: String
  var ledger: ProofLedger
  var mark: StreamLog.Mark
  /// Whether it was held against the table: one that was not is, before it is served.
  var isProved = true
  /// What its load took; nil: it is from disk.
  var seconds: LoadSeconds?
}

/// What the parts of a load took, in seconds.
struct LoadSeconds: Sendable {
  /// Rows from Postgres, written into the index; and the proof that they are the table's.
  var reading: Double
  var linking: Double
  var calibrating: Double
}

/// One load. Blocks the thread that runs it.
final class CollectionLoad: Sendable {
  let definition: CollectionDefinition
  /// The collection whose own rows are taken; nil: Postgres's are.
  private let served: FollowService.Running?
  private let configuration: FollowConfiguration
  private let directory: DataDirectory
  private let writer: String
  /// Raised by ``cancel()``.
  let stop = StopFlag()
  private let rebuild = Mutex<Rebuild?>(nil)
  private let cancellation = Mutex<ServerError?>(nil)

  /// - served: the collection whose own rows are to be taken; nil: Postgres's are.
  init(
    _ definition: CollectionDefinition, rowsOf served: FollowService.Running? = nil,
    _ configuration: FollowConfiguration, directory: DataDirectory, writer: String
  ) {
    self.definition = definition
    self.served = served
    self.configuration = configuration
    self.directory = directory
    self.writer = writer
  }

  var progress: RebuildProgress? { rebuild.withLock { $0 }?.progress }

  /// Why it was cancelled, where somebody has said so.
  var cancellationReason: ServerError? { cancellation.withLock { $0 } }

  /// - reason: what whoever waits for it is told, where it is not they who cancel it. The first counts.
  func cancel(because reason: ServerError? = nil) {
    cancellation.withLock { known in
      if known == nil, !stop.isRaised { known = reason }
    }
    stop.raise()
    rebuild.withLock { $0 }?.cancel()
  }

  /// Looks at the table and at its publication.
  /// - patienceSeconds: how long Postgres may take for each answer; nil: any time, for what is looked at for the first time may be large.
  /// - Throws: ``SourceError`` with what has to be mended.
  static func look(
    _ plan: RebuildPlan, _ configuration: FollowConfiguration, stop: StopFlag, patienceSeconds: Double? = nil
  ) throws -> FollowedSource {
    guard case .table(let source) = plan.source else {
      throw ServerError(.invalidConfiguration, "only tables can be followed")
    }
    let connection = try Connection(configuration.connection, stop: stop, patienceSeconds: patienceSeconds)
    if configuration.followsOutbox { return try FollowedSource.look(atOutboxed: source, on: connection) }
    return try FollowedSource.look(
      at: source, on: connection, publication: configuration.publication, slot: configuration.slot)
  }

  /// - mark: where the journal stood before this was called.
  /// - estimate: told what the load will take in memory, before the first row is read.
  /// - Throws: ``SourceError``, ``ServerError``, ``IndexError``.
  func run(from mark: StreamLog.Mark, estimate: (RebuildEstimate) -> Void) throws -> FollowableCollection {
    var plan = try definition.plan(configuration)
    let found = try Self.look(plan, configuration, stop: stop)
    plan.source = .table(found.source)
    let load = try Rebuild(plan, of: rows(of: plan, found, from: mark), into: directory, writer: writer)
    rebuild.withLock { $0 = load }
    if stop.isRaised { load.cancel() }
    estimate(try load.look())
    let built = try load.build()
    let position = LSN(rawValue: built.collection.position.appliedLSN)
    return FollowableCollection(
      collection: built.collection, definition: definition, source: built.staged.source, followed: found,
      files: found.files, ledger: ProofLedger(buckets: built.staged.buckets, at: position), mark: mark,
      isProved: served == nil,
      seconds: LoadSeconds(
        reading: built.readSeconds, linking: built.linkSeconds, calibrating: built.calibrateSeconds))
  }

  private func rows(
    of plan: RebuildPlan, _ found: FollowedSource, from mark: StreamLog.Mark
  ) throws -> any RebuildRows {
    guard let served else {
      return try PostgresRows(
        plan,
        followedBy: configuration.followsOutbox
          ? .outbox(reader: configuration.slot) : .slot(TemporarySlot.name(configuration.slot, "load")),
        slotPatienceSeconds: configuration.slotPatience / .seconds(1))
    }
    let follower = served.follower
    guard follower.followed.fingerprint == found.fingerprint else {
      throw ServerError(
        .notFollowed,
        "the table \(definition.table) is not what it was when \(definition.name) was loaded: rebuild from Postgres (--from postgres)"
      )
    }
    // What the journal has behind the mark comes once more, and changes nothing twice; what it has before is in the rows.
    return OwnRows(plan, of: follower.collection.index, follower.table.description, source: served.source) {
      isCancelled in
      try follower.ownRows(behind: mark.position, unless: isCancelled)
    }
  }
}
