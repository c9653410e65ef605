// Following Postgres as a service: which collections there are, who keeps each in step, and what happens when one cannot go on.
//
//     ChangeStream ──journal──▶ CollectionFollower (one a collection) ──▶ index
//                               CollectionLoad, where there is nothing to go on from; its collection catches up and takes the other's place
//
// FollowService+Jobs.swift has the list of what is to be done, FollowService+Journal.swift what is let go of.
//
// Threads: the stream, the committer, one a follower, one that looks, loads and swaps, one collection after the other, and those that
// watch: the catalogs and the slot, how far collections are behind, and whether they are equal to their tables.
//
// May use: everything in this folder, the catalog, the data directory, swift-service-lifecycle.

import Foundation
import Logging
import PostgresSource
import ServiceLifecycle
import Synchronization
import VectorIndex
import VectorSnapshot
import VectorWire

/// Keeps the collections of a data directory in step with one Postgres.
public final class FollowService: Service, Sendable {
  let configuration: FollowConfiguration
  let directory: DataDirectory
  let catalog: CollectionCatalog
  let log: StreamLog
  let logger: Logger
  let writer: String
  let jobs = JobQueue()
  let stop = StopFlag()
  private let state = Mutex(State())
  let asker: PositionAsker
  /// Held while a proof looks at the outbox.
  let hold = OutboxHold()
  /// Held while a collection's snapshots are marked as stale, or not any more.
  let marks = Mutex(())

  struct State {
    var followers: [String: Running] = [:]
    /// Collections that are to be followed and are not yet.
    var waiting: [String: CollectionDefinition] = [:]
    /// Those from disk among them, which go on where their snapshots stand.
    var resuming: Set<String> = []
    /// Which streams they followed.
    var epochs: [String: UInt64] = [:]
    /// Raised whenever a collection of a name is published or dropped.
    var generations: [String: UInt64] = [:]
    /// Those that are being dropped.
    var leaving: Set<String> = []
    /// Those whose collections are not published yet.
    var catchingUp: [String: CollectionFollower] = [:]
    var load: CollectionLoad?
    /// From where on the journal is kept for it.
    var loadMark: JournalPosition?
    var condition = StreamCondition.connecting
    /// Whether the stream has found that this is the Postgres that is followed.
    var hasStreamed = false
    /// What the last comparison of each collection found.
    var proofs: [String: Proof] = [:]
    /// Collections that are to be compared, with the files that their tables were seen to lie in.
    var proofsWanted: [String: String] = [:]
  }

  struct Running: Sendable {
    var follower: CollectionFollower
    var definition: CollectionDefinition
    /// Where its rows came from, in words.
    var source: String
    var thread: WorkerThread
  }

  /// Loads the collections that are on disk, and opens the journal. Does not connect. Blocks the calling thread.
  ///
  /// - definitions: collections to follow. One that is there already must be defined in the same way.
  /// - catalog: where the collections are published, those that are not followed too.
  /// - Throws: ``SnapshotError``, ``ServerError`` (`invalidConfiguration` for another definition).
  public init(
    _ configuration: FollowConfiguration, definitions: [CollectionDefinition], directory: DataDirectory,
    catalog: CollectionCatalog, writer: String, logger: Logger
  ) throws {
    let configuration = configuration.refusingUnfitConnections()
    self.configuration = configuration
    self.directory = directory
    self.catalog = catalog
    self.writer = writer
    self.logger = logger
    log = try StreamLog(directory.openJournal(bytesMax: configuration.journalBytesMax))
    asker = PositionAsker(configuration.connection, byTransactions: configuration.followsOutbox)
    var wanted = Dictionary(
      definitions.map { ($0.name, $0.followed(by: configuration)) }, uniquingKeysWith: { $1 })
    var restored: [(loaded: DataDirectory.Loaded, definition: CollectionDefinition, stale: String?)] = []
    for name in try directory.collectionNames() {
      let start = ContinuousClock.now
      guard let loaded = try directory.loadWithOrigin(name, threads: configuration.threads) else { continue }
      logger.info(
        "loaded",
        metadata: [
          "collection": "\(name)", "rows": "\(loaded.collection.index.count)",
          "seconds": "\(String(format: "%.3f", (ContinuousClock.now - start) / .seconds(1)))",
        ])
      let asked = wanted.removeValue(forKey: name)
      guard let definition = loaded.followed?.definition else {
        guard asked == nil else {
          throw ServerError(
            .invalidConfiguration,
            "the collection \(name) was built once and is not followed. Choose another name with --collection, or move "
              + "\(directory.path)/collections/\(name) away, and it is loaded anew")
        }
        catalog.publish(loaded.collection)
        continue
      }
      // The numbers of the one say nothing in the other.
      guard definition.followsOutbox == configuration.followsOutbox else {
        throw ServerError(
          .invalidConfiguration,
          "the collection \(name) is followed by \(definition.followsOutbox ? "an outbox: serve with --outbox" : "a slot: serve without --outbox"), "
            + "or move \(directory.path)/collections and \(directory.path)/journal away, and it is loaded anew")
      }
      if let others = asked?.settings(otherThan: definition), !others.isEmpty {
        throw ServerError(
          .invalidConfiguration,
          "the collection \(name) is followed with other settings than those given: \(others.joined(separator: ", ")). Leave them "
            + "out to go on with what it has, or change it with `vizinho rebuild` while it is served")
      }
      restored.append((loaded, definition, try directory.staleMark(of: name).reason()))
    }
    state.withLock { state in
      for (loaded, definition, stale) in restored {
        state.waiting[definition.name] = definition
        // One that cannot go on needs nothing of what comes.
        guard stale == nil else { continue }
        state.epochs[definition.name] = loaded.followed?.epoch
        state.resuming.insert(definition.name)
      }
      for definition in wanted.values { state.waiting[definition.name] = definition }
    }
    for (loaded, definition, stale) in restored {
      let claim = Claim(name: definition.name, generation: 0)
      let followState = stale.map { FollowState(.stale, reason: $0) } ?? FollowState(.stalled, reason: Self.connecting)
      prepare(loaded.collection, followState)
      catalog.publish(loaded.collection)
      if let stale {
        logger.error(
          "not in step any more, as was found before: \(stale)", metadata: ["collection": "\(definition.name)"])
        load(definition, claim)
      } else {
        resume(loaded, definition, claim)
      }
    }
    for definition in wanted.values.sorted(by: { $0.name < $1.name }) {
      load(definition, Claim(name: definition.name, generation: 0))
    }
  }

  static let connecting = "connecting to Postgres"

  /// Before it is published, so that searches that must wait do.
  func prepare(_ collection: Collection, _ followState: FollowState) {
    collection.followState = followState
    collection.positionSource = asker
  }

  // MARK: - The service

  public func run() async throws {
    let floor: @Sendable () -> StreamFloor? = { [self] in self.floor() }
    let reached: @Sendable (UInt64) -> LSN = { [self] epoch in self.reached(epoch) }
    let onChange: @Sendable (StreamCondition) -> Void = { [self] condition in streamChanged(condition) }
    let source: any ChangeSource = configuration.followsOutbox ? OutboxSource(hold: hold) : SlotSource()
    let stream = ChangeStream(
      source, configuration, log: log, logger: logger, floor: floor, reached: reached,
      makeRoom: { [self] in makeRoom() }, onChange: onChange)
    let streaming = WorkerThread("vizinho-stream") { stream.run() }
    let committing = WorkerThread("vizinho-commit") { [self] in commit() }
    let working = WorkerThread("vizinho-load") { [self] in jobs.run() }
    let watching = WorkerThread("vizinho-watch") { [self] in watch(stream) }
    asker.start()
    await waitForShutdown()

    logger.info("no longer following")
    stop.raise()
    jobs.end()
    state.withLock { $0.load }?.cancel()
    stream.end()
    let running = state.withLock { Array($0.followers.values) }
    for one in running { one.follower.end() }
    await withCheckedContinuation { continuation in
      _ = WorkerThread("vizinho-join") { [self] in
        for one in running { one.thread.join() }
        for thread in [streaming, working, watching] { thread.join() }
        log.frontier.close()
        committing.join()
        asker.end()
        continuation.resume()
      }
    }
  }

  private func waitForShutdown() async {
    do { try await gracefulShutdown() } catch { return }
  }

  /// Makes durable what came, some milliseconds of it at once.
  private func commit() {
    let pause = configuration.commitInterval / .seconds(1)
    var seen = log.frontier.mark
    while !stop.isRaised {
      do {
        if log.hasUndurable {
          Thread.sleep(forTimeInterval: pause)
          try log.synchronize()
        } else {
          seen = log.frontier.wait(past: seen, seconds: 0.5)
        }
      } catch {
        logger.error("the journal could not be made durable: \(error)")
        Thread.sleep(forTimeInterval: 1)
      }
    }
  }

  private func streamChanged(_ condition: StreamCondition) {
    let followers = state.withLock { state in
      state.condition = condition
      if case .streaming = condition { state.hasStreamed = true }
      return state.followers.values.map(\.follower) + state.catchingUp.values
    }
    switch condition {
    case .connecting: break
    case .streaming, .stalled: for follower in followers { follower.streamChanged() }
    case .broken(let reason): for follower in followers { follower.fail(reason) }
    }
  }

  func withState<R: Sendable>(_ body: (inout State) -> R) -> R { state.withLock { body(&$0) } }

  /// Why nothing comes from Postgres; nil: it does.
  var outage: String? {
    switch state.withLock({ $0.condition }) {
    case .streaming: nil
    case .connecting: Self.connecting
    case .stalled(let reason), .broken(let reason): reason
    }
  }

  /// Of the collections from disk, the one with the least place in the log. The others go on from there only if they followed the same stream.
  private func floor() -> StreamFloor? {
    let epochs = withState { $0.epochs }
    return catalog.all.compactMap { collection -> StreamFloor? in
      guard let epoch = epochs[collection.name], collection.position.appliedLSN > 0 else { return nil }
      return StreamFloor(position: collection.position, epoch: epoch)
    }.min { $0.position.appliedLSN < $1.position.appliedLSN }
  }
}
