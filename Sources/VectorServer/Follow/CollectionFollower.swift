// One collection in step with its table: a thread that reads the journal from where the collection stands and applies what it says.
//
//     journal → pgoutput message → row event → gathered outcomes → changes of the index, one step → applied position rises
//
// The same path serves the stream as it comes, the recovery after a crash, and a newly loaded collection that catches up. Snapshots are
// written beside it (CollectionFollower+Saving.swift). What others want of it is in CollectionFollower+Requests.swift.
//
// May use: StreamLog, ChangeGatherer, ChangeResolver, ProofLedger, the data directory.

import Foundation
import Logging
import PostgresSource
import Synchronization
import VectorIndex
import VectorSnapshot
import VectorWire

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
  let saver: SnapshotSaver
  let turn = SnapshotTurn()
  let logger: Logger
  let stop = StopFlag()
  private let wantsLastSnapshot = Atomic(true)
  var savesAtEnd: Bool { wantsLastSnapshot.load(ordering: .relaxed) }
  /// nil: the thread has ended.
  let requests = Mutex<[@Sendable (inout JournalApplier) -> Void]?>([])
  let state: Mutex<State>
  /// Held while the collection is told how its following goes, by whichever thread.
  let telling = Mutex(())
  private let maintenance: Maintenance
  /// What the stream had told of relations where the collection began to follow.
  let relations: [[UInt8]]
  /// Whether everything that stands in the journal before the beginning is in the collection.
  let continues: Bool
  /// Of the stream that is followed.
  let epoch: UInt64
  /// Asked why nothing comes; nil: the stream is well.
  private let outage: @Sendable () -> String?
  /// How rows are read by their keys; nil: from Postgres.
  let rowReading: MissingRows.Connect?
  /// Told when the collection cannot go on without being loaded anew.
  private let onResync: @Sendable (CollectionFollower, String) -> Void

  /// Whatever says which rows the collection has changes with them: while no other change, and no moment of a snapshot, can come between.
  struct State {
    /// Everything before it is applied.
    var position: JournalPosition
    /// The same in Postgres's log. The collection's own, which searches wait for, follows it.
    var applied: Position
    /// Up to where something is applied: farther than ``position`` in the middle of a transaction that is applied in several steps.
    var touched: JournalPosition
    /// Bytes of changes applied, and how many of them are in the newest snapshot.
    var appliedBytes = 0
    var savedBytes = 0
    /// How many of the journal's are applied.
    var transactions: UInt64
    var ledger: ProofLedger
    /// The journal's position that is in the newest snapshot.
    var saved: JournalPosition
    /// Snapshots written.
    var snapshots = 0
    /// Rows that were mended outside of any transaction. They stand in no journal.
    var mendedRows: UInt64 = 0
    /// When the next is to be tried, where the last could not be written.
    var saveAgainAt: ContinuousClock.Instant?
    /// Whether one is wanted, so that the journal can let go of what it has.
    var isRoomWanted = false
    /// Why the collection cannot go on; nil: it does.
    var fault: String?

    /// Whether the rows are those of whole transactions.
    var isWhole: Bool { touched <= position }
    var unsavedBytes: Int { appliedBytes - savedBytes }
    /// Bytes of the journal, of all collections, that are kept for this one and that its next snapshot lets go of.
    var keptBytes: UInt64 { position > saved ? position.rawValue - saved.rawValue : 0 }

    /// Everything before a place in the journal is applied, and before one in the log: both at once, for a snapshot says the one, and the
    /// journal is kept from the other on.
    ///
    /// - lsn: nil: that which it was.
    mutating func reach(_ position: JournalPosition, _ lsn: LSN?, on mark: Frontier.Mark) {
      self.position = max(self.position, position)
      guard let lsn, lsn.rawValue > applied.appliedLSN || mark.timeline != applied.timeline else { return }
      applied = Position(
        systemID: mark.systemIdentifier, appliedLSN: max(applied.appliedLSN, lsn.rawValue), timeline: mark.timeline)
    }
  }

  /// - mark: where in the journal the collection stands.
  /// - rowReading: how rows are read by their keys; nil: from Postgres.
  init(
    _ collection: Collection, of followed: FollowedSource, files: String, ledger: ProofLedger,
    from mark: StreamLog.Mark,
    log: StreamLog, configuration: FollowConfiguration, saver: SnapshotSaver,
    outage: @escaping @Sendable () -> String?, logger: Logger,
    rowReading: MissingRows.Connect? = nil,
    onResync: @escaping @Sendable (CollectionFollower, String) -> Void
  ) {
    self.collection = collection
    self.followed = followed
    provedFiles = Mutex(files)
    self.log = log
    self.configuration = configuration
    self.saver = saver
    self.rowReading = rowReading
    self.onResync = onResync
    var logger = logger
    logger[metadataKey: "collection"] = "\(collection.name)"
    self.logger = logger
    state = Mutex(
      State(
        position: mark.position, applied: collection.position, touched: mark.position,
        transactions: mark.transactions, ledger: ledger, saved: mark.position))
    relations = mark.relations
    continues = mark.continues
    epoch = mark.epoch
    self.outage = outage
    // Half of the processors are left to searches.
    maintenance = Maintenance(of: collection.index, threads: max(1, WorkerThreads.coreCount / 2))
  }

  /// The oldest part of the journal that this collection may need again.
  var journalNeeded: JournalPosition { state.withLock { $0.saved } }

  /// How far something is applied, if only a part of a transaction.
  var touched: JournalPosition { state.withLock { max($0.position, $0.touched) } }

  /// Whether everything up to a position is applied.
  func hasReached(_ position: JournalPosition) -> Bool { state.withLock { $0.position >= position } }

  var fault: String? { state.withLock { $0.fault } }

  /// The sums as they were when exactly the transactions before `lsn` were applied; nil where that cannot be told.
  func buckets(before lsn: LSN) -> [BucketSum]? { state.withLock { $0.ledger.buckets(before: lsn) } }

  /// Ends ``run()`` after the step that it is at.
  /// - saves: whether a snapshot of what has changed is written then; not where another collection takes this one's place.
  func end(saves: Bool = true) {
    wantsLastSnapshot.store(saves, ordering: .relaxed)
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
        saveIfDue()
      } catch let error as SourceError where error.code == .cancelled {
        break
      } catch let error as JournalApplier.Stall {
        describe(.stalled, error.reason, mark)
        // What is applied by now need not be kept in the journal for it.
        saveIfDue()
        pause()
      } catch {
        fail("\(error)")
        break
      }
    }
    saveAtEnd()
    maintenance.stop()
    requests.withLock { $0 = nil }
  }

  private func pause() {
    for _ in 0..<20 where !stop.isRaised { Thread.sleep(forTimeInterval: 0.05) }
  }

  /// Everything of the journal up to the mark is applied.
  private func reached(_ mark: Frontier.Mark) {
    state.withLock { state in
      state.reach(mark.end, mark.lsn, on: mark)
      state.transactions = mark.transactions
    }
    tellPosition()
    describe(.inStep, "", mark)
  }

  /// Lets searches know what is applied.
  func tellPosition() {
    let applied = state.withLock { $0.applied }
    if collection.position != applied { collection.position = applied }
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
    telling.withLock { _ in
      guard var state = collection.followState else { return }
      let applied = collection.position.appliedLSN
      state.lastCommitTime = commitTime
      state.lagBytes = mark.unapplied(from: applied)
      // What kept it is over; whether nothing comes is said where nothing is left.
      if state.phase == .stalled { (state.phase, state.reason) = (.catchingUp, "") }
      if state.phase != .stale, mark.lsn.rawValue > applied {
        if state.phase == .inStep { state.phase = .catchingUp }
        state.behindSince = state.behindSince ?? .now
      }
      collection.followState = state
    }
  }

  /// Its thread has ended, since another takes its place: it goes no farther, and does not say that it is in step.
  func tellEnded() { describe(.catchingUp, "", log.frontier.mark) }

  private func describe(_ phase: FollowState.Phase, _ reason: String, _ mark: Frontier.Mark) {
    // Asked each time: what was so when the follower was made may have changed before anybody knew of it. Another change is told of by a nudge.
    let outage = outage()
    // Whoever finds a fault notes it before it comes here. So nobody can tell after that what was so before.
    telling.withLock { _ in
      let applied = collection.position.appliedLSN
      let (transactions, fault) = state.withLock { ($0.transactions, $0.fault) }
      let previous = collection.followState
      let lag = mark.unapplied(from: applied)
      let isBehind = mark.lsn.rawValue > applied || lag > configuration.lagBytesReady
      var next = FollowState(
        phase, reason: reason, lagBytes: lag,
        lagTransactions: mark.transactions > transactions ? mark.transactions - transactions : 0,
        behindSince: isBehind || phase != .inStep ? previous?.behindSince ?? .now : nil,
        lastCommitTime: previous?.lastCommitTime)
      // Somebody else may have found in the meantime that it cannot go on.
      if let fault { (next.phase, next.reason) = (.stale, fault) }
      // Everything that came is applied, but nothing comes.
      if next.phase == .inStep, let outage {
        (next.phase, next.reason) = (.stalled, outage)
      }
      // Or what is there for it has not come yet.
      if next.phase == .inStep, isBehind { next.phase = .catchingUp }
      collection.followState = next
    }
  }

  /// The stream does not come, or comes again.
  func streamChanged() { log.frontier.nudge() }
}
