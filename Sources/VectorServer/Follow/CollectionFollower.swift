// One collection in step with its table: a thread that reads the journal from where the collection stands and applies what it says.
//
//     journal → pgoutput message → row event → gathered outcomes → changes of the index, one step → applied position rises
//
// The same path serves the stream as it comes, the recovery after a crash, and a newly loaded collection that catches up. Its snapshots are
// written by the same thread, between two steps: the stream goes on into the journal meanwhile.
//
// May use: StreamLog, ChangeGatherer, ChangeResolver, ProofLedger, the data directory.

import Dispatch
import Foundation
import Logging
import PostgresSource
import Synchronization
import VectorIndex
import VectorSnapshot
import VectorWire

/// How a follower's snapshots are written, and who is told.
struct SnapshotSaver: Sendable {
  /// Writes the newest snapshot of a collection, in which stands in which files its table lay when the two were last proved equal; returns the
  /// seconds that it took.
  var save: @Sendable (Collection, _ files: String) throws -> Double
  /// A part of the journal may not be needed any more.
  var collected: @Sendable () -> Void
}

/// Keeps one collection in step.
final class CollectionFollower: Sendable {
  let collection: Collection
  let followed: FollowedSource
  /// The files in which the table lay when the collection was last proved equal to it.
  let provedFiles: Mutex<String>
  var table: FollowedTable { followed.table }
  var facts: FollowFacts { followed.facts }
  let log: StreamLog
  let configuration: FollowConfiguration
  private let saver: SnapshotSaver
  let logger: Logger
  let stop = StopFlag()
  private let savesAtEnd = Atomic(true)
  /// nil: the thread has ended.
  private let requests = Mutex<[@Sendable (inout JournalApplier) -> Void]?>([])
  let state: Mutex<State>
  private let maintenance: Maintenance
  /// What the stream had told of relations where the collection began to follow.
  let relations: [[UInt8]]
  /// Whether everything that stands in the journal before the beginning is in the collection.
  let continues: Bool
  /// Why nothing comes; nil: the stream is well.
  private let outage: Mutex<String?>
  /// Told when the collection cannot go on without being loaded anew.
  private let onResync: @Sendable (CollectionFollower, String) -> Void

  struct State {
    /// Everything before it is applied.
    var position: JournalPosition
    var transactions: UInt64
    var ledger: ProofLedger
    /// The journal's position that is in the newest snapshot; nil: nothing of it is needed.
    var saved: JournalPosition
    /// Why the collection cannot go on; nil: it does.
    var fault: String?
  }

  /// - mark: where in the journal the collection stands.
  init(
    _ collection: Collection, of followed: FollowedSource, files: String, ledger: ProofLedger,
    from mark: StreamLog.Mark,
    log: StreamLog, configuration: FollowConfiguration, saver: SnapshotSaver, outage: String?, logger: Logger,
    onResync: @escaping @Sendable (CollectionFollower, String) -> Void
  ) {
    self.collection = collection
    self.followed = followed
    provedFiles = Mutex(files)
    self.log = log
    self.configuration = configuration
    self.saver = saver
    self.onResync = onResync
    var logger = logger
    logger[metadataKey: "collection"] = "\(collection.name)"
    self.logger = logger
    state = Mutex(
      State(position: mark.position, transactions: mark.transactions, ledger: ledger, saved: mark.position))
    relations = mark.relations
    continues = mark.continues
    self.outage = Mutex(outage)
    maintenance = Maintenance(of: collection.index)
  }

  /// The oldest part of the journal that this collection may need again.
  var journalNeeded: JournalPosition { state.withLock { $0.saved } }

  /// Whether everything up to a position is applied.
  func hasReached(_ position: JournalPosition) -> Bool { state.withLock { $0.position >= position } }

  var fault: String? { state.withLock { $0.fault } }

  /// The sums as they were when exactly the transactions before `lsn` were applied; nil where that cannot be told.
  func buckets(before lsn: LSN) -> [BucketSum]? { state.withLock { $0.ledger.buckets(before: lsn) } }

  /// Ends ``run()`` after the step that it is at.
  /// - saves: whether a snapshot of what has changed is written then; not where another collection takes this one's place.
  func end(saves: Bool = true) {
    savesAtEnd.store(saves, ordering: .relaxed)
    stop.raise()
    log.frontier.nudge()
  }

  /// The thread's whole life.
  func run() {
    var applier = JournalApplier(self)
    var seen: Frontier.Mark?
    while !stop.isRaised, fault == nil {
      let mark = seen.map { log.frontier.wait(past: $0, seconds: 0.5) } ?? log.frontier.mark
      do {
        try applier.applyAll(until: mark)
        seen = mark
        reached(mark)
        answerRequests(&applier)
        saveIfDue(&applier)
      } catch let error as SourceError where error.code == .cancelled {
        break
      } catch let error as JournalApplier.Stall {
        describe(.stalled, error.reason, mark)
        pause()
      } catch {
        fail("\(error)")
        break
      }
    }
    maintenance.stop()
    if fault == nil, applier.bytesSinceSnapshot > 0, savesAtEnd.load(ordering: .relaxed) {
      do { try save(&applier) } catch { logger.error("no snapshot could be written: \(error)") }
    }
    requests.withLock { $0 = nil }
  }

  private func pause() {
    for _ in 0..<20 where !stop.isRaised { Thread.sleep(forTimeInterval: 0.05) }
  }

  /// Everything of the journal up to the mark is applied.
  private func reached(_ mark: Frontier.Mark) {
    state.withLock { state in
      state.position = max(state.position, mark.end)
      state.transactions = mark.transactions
    }
    let position = collection.position
    if position.appliedLSN < mark.lsn.rawValue || position.timeline != mark.timeline {
      collection.position = Position(
        systemID: mark.systemIdentifier, appliedLSN: max(position.appliedLSN, mark.lsn.rawValue),
        timeline: mark.timeline)
    }
    describe(.inStep, "", mark)
  }

  /// The collection stays as it is, and answers say that it is stale.
  func fail(_ reason: String) {
    let isFirst = state.withLock { state in
      defer { state.fault = reason }
      return state.fault == nil
    }
    describe(.stale, reason, log.frontier.mark)
    guard isFirst else { return }
    logger.error("not in step any more: \(reason)")
    onResync(self, reason)
  }

  /// A step was made that ends with a commit.
  func applied(_ commitTime: Int64, _ mark: Frontier.Mark) {
    guard var state = collection.followState else { return }
    let applied = collection.position.appliedLSN
    state.lastCommitTime = commitTime
    state.lagBytes = mark.walEnd.rawValue > applied ? mark.walEnd.rawValue - applied : 0
    if state.phase != .stalled, state.phase != .stale, mark.lsn.rawValue > applied {
      if state.phase == .inStep { state.phase = .catchingUp }
      state.behindSince = state.behindSince ?? .now
    }
    collection.followState = state
  }

  private func describe(_ phase: FollowState.Phase, _ reason: String, _ mark: Frontier.Mark) {
    let applied = collection.position.appliedLSN
    let (transactions, fault) = state.withLock { ($0.transactions, $0.fault) }
    let previous = collection.followState
    let isBehind = mark.lsn.rawValue > applied
    var next = FollowState(
      phase, reason: reason, lagBytes: mark.walEnd.rawValue > applied ? mark.walEnd.rawValue - applied : 0,
      lagTransactions: mark.transactions > transactions ? mark.transactions - transactions : 0,
      behindSince: isBehind || phase != .inStep ? previous?.behindSince ?? .now : nil,
      lastCommitTime: previous?.lastCommitTime)
    // Somebody else may have found in the meantime that it cannot go on.
    if let fault { (next.phase, next.reason) = (.stale, fault) }
    // Everything that came is applied, but nothing comes.
    if next.phase == .inStep, let outage = outage.withLock({ $0 }) { (next.phase, next.reason) = (.stalled, outage) }
    collection.followState = next
  }

  /// The stream does not come, or comes again (nil).
  func streamStalled(_ reason: String?) {
    outage.withLock { $0 = reason }
    log.frontier.nudge()
  }
}

// MARK: - Requests

extension CollectionFollower {
  /// Does something on the follower's thread, between two steps. Blocks.
  /// - Throws: what `body` throws; `notFollowed` when the thread has ended.
  private func perform<R: Sendable>(_ body: @escaping @Sendable (inout JournalApplier) throws -> R) throws -> R {
    let done = DispatchSemaphore(value: 0)
    let result = Mutex<Result<R, any Error>?>(nil)
    let isTaken = requests.withLock { requests in
      guard requests != nil else { return false }
      requests?.append { applier in
        let outcome = Result { try body(&applier) }
        result.withLock { $0 = outcome }
        done.signal()
      }
      return true
    }
    guard isTaken else { throw gone }
    log.frontier.nudge()
    while done.wait(timeout: .now() + 0.1) == .timedOut {
      // The thread may have ended with the request in its hands.
      if requests.withLock({ $0 == nil }), result.withLock({ $0 == nil }) { throw gone }
    }
    return try (result.withLock { $0 } ?? .failure(gone)).get()
  }

  private var gone: ServerError {
    ServerError(
      .notFollowed, "the collection \(collection.name) is not followed any more\(fault.map { ": " + $0 } ?? "")")
  }

  /// On the follower's thread.
  private func answerRequests(_ applier: inout JournalApplier) {
    let waiting = requests.withLock { requests in
      defer { if requests != nil { requests = [] } }
      return requests ?? []
    }
    for request in waiting { request(&applier) }
  }

  /// Writes a snapshot. Blocks until it is written.
  func save() throws { try perform { [self] applier in try save(&applier) } }

  /// Those of some rows that are not what Postgres has, looked at twice with what committed between applied: one that changed in between is not
  /// among them. Blocks.
  func differing(_ ids: [RecordID]) throws -> [RecordID] {
    let first = try perform { try $0.revise(ids, repairs: false) }
    guard !first.isEmpty else { return [] }
    _ = log.frontier.wait(past: log.frontier.mark, seconds: 0.2)
    return try perform { try $0.revise(first, repairs: false) }
  }

  /// What the collection has between two steps, and which rows may be ahead of a moment by then.
  struct Glance: Sendable {
    var buckets: [BucketSum]
    var moved: [RecordID]
    /// `h` of those of the rows asked for, and of those that have moved, that the collection has.
    var stamps: [RecordID: UInt64]
  }

  /// - moved: called between the same two steps; nil: every row may be ahead.
  /// - also: rows whose stamps are wanted too.
  func glance(also: [RecordID], _ moved: @escaping @Sendable () throws -> [RecordID]?) throws -> Glance? {
    try perform { [self] _ in
      guard let moved = try moved() else { return nil }
      let index = collection.index
      let stamps = Dictionary(
        (moved + also).compactMap { id in index.stamp(of: id).map { (id, $0.row) } }, uniquingKeysWith: { $1 })
      return Glance(buckets: state.withLock { $0.ledger.buckets }, moved: moved, stamps: stamps)
    }
  }

  /// Reads rows anew and applies what differs. Blocks.
  func repair(_ ids: [RecordID]) throws { _ = try perform { try $0.revise(ids, repairs: true) } }
}

// MARK: - Snapshots

extension CollectionFollower {
  private func save(_ applier: inout JournalApplier) throws {
    let position = state.withLock { $0.position }
    let seconds = try saver.save(collection, provedFiles.withLock { $0 })
    logger.info("snapshot written", metadata: ["rows": "\(collection.index.count)", "seconds": "\(seconds)"])
    applier.bytesSinceSnapshot = 0
    state.withLock { $0.saved = position }
    saver.collected()
  }

  private func saveIfDue(_ applier: inout JournalApplier) {
    guard applier.bytesSinceSnapshot >= configuration.snapshotAfterBytes else { return }
    do { try save(&applier) } catch {
      // The journal keeps what the snapshot has not; a later try may find room.
      logger.error("no snapshot could be written: \(error)")
      applier.bytesSinceSnapshot = configuration.snapshotAfterBytes / 2
    }
  }
}
