// From a definition to a collection that can follow: look at the table, make sure that its changes will come, read it as of a known place in the
// log, prove it.
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
}

/// One load. Blocks the thread that runs it.
final class CollectionLoad: Sendable {
  let definition: CollectionDefinition
  private let configuration: FollowConfiguration
  private let directory: DataDirectory
  private let writer: String
  private let stop = StopFlag()
  private let rebuild = Mutex<Rebuild?>(nil)

  init(
    _ definition: CollectionDefinition, _ configuration: FollowConfiguration, directory: DataDirectory, writer: String
  ) {
    self.definition = definition
    self.configuration = configuration
    self.directory = directory
    self.writer = writer
  }

  var progress: RebuildProgress? { rebuild.withLock { $0 }?.progress }

  func cancel() {
    stop.raise()
    rebuild.withLock { $0 }?.cancel()
  }

  /// Looks at the table and at its publication.
  /// - Throws: ``SourceError`` with what has to be mended.
  static func look(
    _ plan: RebuildPlan, _ configuration: FollowConfiguration, stop: StopFlag
  ) throws -> FollowedSource {
    guard case .table(let source) = plan.source else {
      throw ServerError(.invalidConfiguration, "only tables can be followed")
    }
    if configuration.followsOutbox {
      return try FollowedSource.look(atOutboxed: source, on: Connection(configuration.connection, stop: stop))
    }
    return try FollowedSource.look(
      at: source, on: Connection(configuration.connection, stop: stop), publication: configuration.publication,
      slot: configuration.slot)
  }

  /// - mark: where the journal stood before this was called.
  /// - estimate: told what the load will take in memory, before the first row is read.
  /// - Throws: ``SourceError``, ``ServerError``, ``IndexError``.
  func run(from mark: StreamLog.Mark, estimate: (RebuildEstimate) -> Void) throws -> FollowableCollection {
    var plan = try definition.plan(configuration)
    let found = try Self.look(plan, configuration, stop: stop)
    plan.source = .table(found.source)
    let load = try Rebuild(
      plan, into: directory, writer: writer,
      followedBy: configuration.followsOutbox
        ? .outbox(reader: configuration.slot) : .slot(TemporarySlot.name(configuration.slot, "load")))
    rebuild.withLock { $0 = load }
    if stop.isRaised { load.cancel() }
    estimate(try load.look())
    let built = try load.build()
    return FollowableCollection(
      collection: built.collection, definition: definition, source: load.sourceText(built.description),
      followed: found, files: found.files,
      ledger: ProofLedger(buckets: built.buckets, at: LSN(rawValue: built.collection.position.appliedLSN)), mark: mark)
  }
}
