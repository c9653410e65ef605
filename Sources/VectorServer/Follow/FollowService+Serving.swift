// From a collection that is there to one that is served: it follows, catches up, takes the place of the one before it, and is saved.
// And what is done when it cannot go on.
//
// May use: FollowService, CollectionLoad, CollectionFollower.

import Foundation
import Logging
import PostgresSource
import Synchronization
import VectorIndex
import VectorSnapshot
import VectorWire

extension FollowService {
  /// Lets a collection follow, waits until it has caught up, proves it where that was not done, and publishes it.
  ///
  /// - load: of which it comes; nil: it is from disk, and published already.
  /// - Returns: why it is not on disk; nil: it is.
  /// - Throws: where it cannot go on before that, or is not equal to its table.
  @discardableResult
  func start(
    _ loaded: FollowableCollection, _ claim: Claim, of load: CollectionLoad? = nil,
    progress: (String) -> Void = { _ in }
  ) throws -> String? {
    let name = loaded.definition.name
    let collection = loaded.collection
    let lag = log.frontier.mark.unapplied(from: collection.position.appliedLSN)
    prepare(collection, FollowState(.catchingUp, lagBytes: lag, behindSince: .now))
    let follower = CollectionFollower(
      collection, of: loaded.followed, files: loaded.files, ledger: loaded.ledger, from: loaded.mark, log: log,
      configuration: configuration,
      saver: SnapshotSaver(
        save: { [self] collection, files, place in
          let start = ContinuousClock.now
          let record = FollowedRecord(
            definition: loaded.definition, table: loaded.followed.fingerprint, files: files,
            epoch: loaded.mark.epoch)
          let publication = try directory.save(
            collection, source: loaded.source, definition: record.text, writer: writer,
            threads: configuration.threads, at: place)
          return publication.map { _ in (ContinuousClock.now - start) / .seconds(1) }
        }, published: { [self] follower in unmark(follower) }, collected: { [self] in collectJournal() }),
      outage: { [self] in outage }, logger: logger,
      onResync: { [self] follower, reason in resync(follower, loaded.definition, reason) })
    // One that is new may not write what is on disk before it is served.
    follower.turn.isHeld.store(load != nil, ordering: .releasing)
    let thread = WorkerThread("vizinho-follow") { follower.run() }
    let running = Running(
      follower: follower, definition: loaded.definition, source: loaded.source, thread: thread)
    func abandon() {
      withState { state in
        if state.catchingUp[name] === follower { state.catchingUp[name] = nil }
      }
      follower.end(saves: false)
      thread.join()
    }
    let isWanted = withState { state -> Bool in
      guard state.isCurrent(claim) else { return false }
      // The journal is kept for it from here on.
      if load != nil {
        state.catchingUp[name] = follower
      } else {
        state.resuming.remove(name)
        state.waiting[name] = nil
        state.followers[name] = running
      }
      return true
    }
    guard isWanted else {
      abandon()
      throw Self.superseded(name)
    }
    guard let load else {
      logger.info("goes on", metadata: ["collection": "\(name)", "lsn": "\(collection.position.lsnText)"])
      // Found before anybody knew whose business it is.
      if let fault = follower.fault { resync(follower, loaded.definition, fault) }
      return nil
    }
    do {
      try catchUp(follower, loaded, load, progress)
      guard isCurrent(claim) else { throw Self.superseded(name) }
    } catch {
      abandon()
      throw error
    }
    // The one before stops where a transaction ends; searches go on in it until this one is as far. That of another stream may have a place that the
    // server is never to have again: its answers say that they are stale.
    var reached: UInt64 = 0
    if let previous = withState({ $0.followers[name] }) {
      // It goes on until its snapshot is written, if one is, for that may take longer than a search wants to wait for news.
      previous.follower.endSaves()
      previous.follower.end(saves: false)
      previous.thread.join()
      previous.follower.tellEnded()
      if previous.follower.epoch == follower.epoch { reached = previous.follower.collection.position.appliedLSN }
    }
    // One that gets no farther, for lack of memory, takes the place all the same, for nobody else follows: what the one before has comes
    // back with its end. Whoever waits for a position waits at the new one.
    var standstill = Standstill()
    while !stop.isRaised, follower.fault == nil, isCurrent(claim), collection.position.appliedLSN < reached,
      standstill.seconds(of: follower) < Self.swapStandstillMax
    { Thread.sleep(forTimeInterval: 0.002) }
    let replaced = withState { state -> (isDone: Bool, old: Collection?) in
      guard state.isCurrent(claim) else { return (isDone: false, old: nil) }
      state.catchingUp[name] = nil
      state.waiting[name] = nil
      state.followers[name] = running
      state.generations[name, default: 0] += 1
      // Under the lock, so that a drop either comes before or finds it there.
      return (isDone: true, old: catalog.publish(collection))
    }
    guard replaced.isDone else {
      abandon()
      throw Self.superseded(name)
    }
    follower.turn.isHeld.store(false, ordering: .releasing)
    return saveFirst(follower, loaded.definition)
  }

  /// Writes the snapshot of a collection that has just come to be served.
  /// - Returns: why it could not be written; nil: it was.
  private func saveFirst(_ follower: CollectionFollower, _ definition: CollectionDefinition) -> String? {
    // Found before anybody knew whose business it is.
    if let fault = follower.fault { resync(follower, definition, fault) }
    let metadata: Logger.Metadata = [
      "collection": "\(definition.name)", "lsn": "\(follower.collection.position.lsnText)",
    ]
    // What is on disk is the one before, or nothing: a start would go on from that, or load again, and no harm done.
    do { try follower.save() } catch {
      logger.error("served, and no snapshot could be written: \(error)", metadata: metadata)
      return "\(error)"
    }
    logger.info("in step", metadata: metadata)
    return nil
  }

  /// For how long, in seconds, a collection may get no farther: while it catches up, and when those before it have ended.
  private static let catchUpStandstillMax = 60.0
  private static let swapStandstillMax = 2.0

  /// Waits until a new collection is as far as the journal, and sees to it that it is equal to its table.
  private func catchUp(
    _ follower: CollectionFollower, _ loaded: FollowableCollection, _ load: CollectionLoad,
    _ progress: (String) -> Void
  ) throws {
    let cancel = load.stop
    var standstill = Standstill()
    while !cancel.isRaised, !stop.isRaised, follower.fault == nil, !follower.hasReached(log.frontier.mark.end) {
      Thread.sleep(forTimeInterval: 0.01)
      // Others wait for their turn. (Postgres comes back.)
      if outage != nil { standstill = Standstill() }
      if standstill.seconds(of: follower) > Self.catchUpStandstillMax {
        throw ServerError(
          .notFollowed, "it could not catch up: \(follower.collection.followState?.reason ?? "it gets no farther")")
      }
    }
    if let fault = follower.fault { throw ServerError(.notFollowed, "it could not catch up: \(fault)") }
    // At the server's own end, what was read is not thrown away.
    if cancel.isRaised, !stop.isRaised { throw SourceError.rebuildCancelled }
    guard !loaded.isProved else { return }
    let proof = try patientProof(of: follower, unless: cancel, progress)
    guard proof.isEqual else {
      throw ServerError(
        .notEqual,
        "\(proof.text). Nothing of the rebuild is used, and the rows that it was made of are served on: mend them (vizinho verify --repair), "
          + "or rebuild from Postgres (--from postgres)"
      )
    }
    conclude(proof)
    // What it was made of may be gone, or about to be loaded from Postgres, for a reason that holds for both.
    guard let served = withState({ $0.followers[loaded.definition.name] }), served.follower.fault == nil else {
      throw ServerError(
        .notFollowed,
        "the collection \"\(loaded.definition.name)\" was dropped, or could not go on, while another index was made of its rows: see the log"
      )
    }
  }

  /// Compares a new collection with its table as soon as a moment can be had: no work is thrown away for a transaction that is open.
  private func patientProof(
    of follower: CollectionFollower, unless cancel: StopFlag, _ progress: (String) -> Void
  ) throws -> Proof {
    while true {
      do {
        return try proof(of: follower, repairs: false, unless: cancel, progress: progress)
      } catch let error as SourceError where error.code == .transactionsOpen {
        if let fault = follower.fault { throw ServerError(.notFollowed, "it could not be compared: \(fault)") }
        logger.warning("not compared yet: \(error)", metadata: ["collection": "\(follower.collection.name)"])
        progress(error.message)
      }
    }
  }

  /// A collection cannot go on: it stays, flagged, until another is loaded in its place.
  private func resync(_ follower: CollectionFollower, _ definition: CollectionDefinition, _ reason: String) {
    let name = definition.name
    // One that is not served yet is its load's business, and one whose place another has taken is nobody's.
    markStale(name, reason) { withState { $0.followers[name]?.follower === follower } }
    guard !stop.isRaised else { return }
    let claim = withState { state -> Claim? in
      guard state.followers[name]?.follower === follower else { return nil }
      state.waiting[name] = definition
      return state.claim(name)
    }
    if let claim { load(definition, claim) }
  }
}

/// For how long a follower has been stalled and got no farther.
private struct Standstill {
  var reached: JournalPosition?
  var since = ContinuousClock.now

  mutating func seconds(of follower: CollectionFollower) -> Double {
    let reached = follower.touched
    if reached != self.reached || follower.collection.followState?.phase != .stalled {
      (self.reached, since) = (reached, .now)
    }
    return (ContinuousClock.now - since) / .seconds(1)
  }
}
