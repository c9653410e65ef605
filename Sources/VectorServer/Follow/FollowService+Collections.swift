// A collection's way into step: from disk or by a load, and into the place of the one before it.
//
// May use: FollowService, CollectionLoad, CollectionFollower.

import Foundation
import Logging
import PostgresSource
import VectorIndex
import VectorSnapshot
import VectorWire

extension FollowService {
  /// Goes on from what is on disk, as soon as Postgres can be asked. On the thread that works.
  func resume(_ loaded: DataDirectory.Loaded, _ definition: CollectionDefinition) {
    let collection = loaded.collection
    untilDone("the collection cannot go on yet", of: definition) { [self] in
      let plan = try definition.plan(configuration)
      let found = try CollectionLoad.look(plan, configuration, stop: stop)
      guard Self.fits(collection.index, found.description), loaded.followed?.table == found.fingerprint else {
        collection.followState = FollowState(
          .stale, reason: "the table \(definition.table) is not what it was when it was loaded")
        withState { $0.resuming.remove(definition.name) }
        load(definition)
        return
      }
      var hasher = RowHasher(found.description)
      var buckets = Array(repeating: BucketSum(), count: RowHasher.bucketCount)
      collection.index.forEachStamp { id, stamp in buckets[hasher.bucket(of: id)].add(stamp.row) }
      let position = LSN(rawValue: collection.position.appliedLSN)
      // From the journal's beginning, where the relations stand: what the collection has is passed over.
      let mark = StreamLog.Mark(position: log.journal.oldestPosition, relations: [], transactions: 0, continues: false)
      try start(
        FollowableCollection(
          collection: collection, definition: definition, source: loaded.source, followed: found,
          files: loaded.followed?.files ?? "", ledger: ProofLedger(buckets: buckets, at: position), mark: mark))
      // Rewritten while nobody looked: the files are others, and the rows may be.
      if loaded.followed?.files != found.files { prove(definition.name, files: found.files) }
    }
  }

  /// Whether an index is one of these rows.
  private static func fits(_ index: HNSWIndex, _ description: SourceDescription) -> Bool {
    let configuration = index.configuration
    guard configuration.keepsStamps, configuration.dimension == description.dimension,
      configuration.recordIDKind == description.recordIDKind, configuration.payload == description.payload,
      let schema = try? description.attributeSchema()
    else { return false }
    return configuration.attributes.columns.elementsEqual(schema.columns) { a, b in
      a.name == b.name && a.type == b.type && a.ordersBytewise == b.ordersBytewise
    }
  }

  /// Loads a collection that is to be followed, and tries again where that fails.
  func loadUntilDone(_ definition: CollectionDefinition) {
    untilDone("the collection could not be loaded", of: definition) { [self] in
      try loadOnce(definition) { _ in }
    }
  }

  /// Puts a load on the list of work.
  func load(_ definition: CollectionDefinition) { jobs.add { [self] in loadUntilDone(definition) } }

  /// Loads a collection, lets it catch up, and puts it in the place of the one of its name, if there is one.
  ///
  /// - Throws: the collection that was there is then as it was.
  func loadOnce(_ definition: CollectionDefinition, estimate: (RebuildEstimate) -> Void) throws {
    let started = ContinuousClock.now
    // The stream makes the slot. A load before that would have a place in the log from which nobody keeps what comes.
    while let outage {
      if stop.isRaised { throw SourceError(.cancelled, "The server ends.") }
      guard outage == Self.connecting || log.point != nil else { throw SourceError(.connectionLost, outage) }
      Thread.sleep(forTimeInterval: 0.05)
    }
    let epoch = log.epoch
    let load = CollectionLoad(definition, configuration, directory: directory, writer: writer)
    // Nothing that commits after the load's snapshot may stand before the mark. The journal is kept from there.
    let mark = withState { state in
      let mark = log.mark()
      (state.load, state.loadMark) = (load, mark.position)
      return mark
    }
    defer { withState { ($0.load, $0.loadMark) = (nil, nil) } }
    let loaded = try load.run(from: mark) { needed in
      logger.info("loading", metadata: ["collection": "\(definition.name)", "memory": "\(needed.text)"])
      estimate(needed)
    }
    logger.info(
      "read and proved equal",
      metadata: [
        "collection": "\(definition.name)", "rows": "\(loaded.collection.index.count)",
        "lsn": "\(loaded.collection.position.lsnText)",
        "seconds": "\(String(format: "%.1f", (ContinuousClock.now - started) / .seconds(1)))",
      ])
    guard log.epoch == epoch else {
      throw SourceError(.slotLost, "The slot was lost while the collection \(definition.name) was loaded.")
    }
    try start(loaded)
  }

  /// Lets a collection follow, waits until it has caught up, and publishes it.
  /// - Throws: ``ServerError`` where it cannot go on before that.
  private func start(_ loaded: FollowableCollection) throws {
    let name = loaded.definition.name
    let collection = loaded.collection
    prepare(collection, FollowState(.catchingUp, behindSince: .now))
    let follower = CollectionFollower(
      collection, of: loaded.followed, files: loaded.files, ledger: loaded.ledger, from: loaded.mark, log: log,
      configuration: configuration,
      saver: SnapshotSaver(
        save: { [self] collection, files in
          let start = ContinuousClock.now
          let record = FollowedRecord(
            definition: loaded.definition, table: loaded.followed.fingerprint, files: files)
          _ = try directory.save(
            collection, source: loaded.source, definition: record.text, writer: writer,
            threads: configuration.threads)
          return (ContinuousClock.now - start) / .seconds(1)
        }, collected: { [self] in collectJournal() }),
      outage: outage, logger: logger,
      onResync: { [self] follower, reason in resync(follower, loaded.definition, reason) })
    let isNew = catalog[name] !== collection
    let thread = WorkerThread("vizinho-follow") { follower.run() }
    let running = Running(follower: follower, definition: loaded.definition, thread: thread)
    let previous = withState { state in
      // The journal is kept for it from here on.
      if isNew {
        state.catchingUp[name] = follower
        return state.followers[name]
      }
      state.resuming.remove(name)
      state.waiting[name] = nil
      state.followers[name] = running
      return nil
    }
    guard isNew else {
      return logger.info("goes on", metadata: ["collection": "\(name)", "lsn": "\(collection.position.lsnText)"])
    }
    while !stop.isRaised, follower.fault == nil, !follower.hasReached(log.frontier.mark.end) {
      Thread.sleep(forTimeInterval: 0.01)
    }
    if let fault = follower.fault {
      withState { $0.catchingUp[name] = nil }
      thread.join()
      throw ServerError(.notFollowed, "it could not catch up: \(fault)")
    }
    // The one before stops where a transaction ends; searches go on in it until this one is as far.
    if let previous {
      previous.follower.end(saves: false)
      previous.thread.join()
    }
    let reached = catalog[name]?.position.appliedLSN ?? 0
    while !stop.isRaised, follower.fault == nil, collection.position.appliedLSN < reached {
      Thread.sleep(forTimeInterval: 0.002)
    }
    withState { state in
      state.catchingUp[name] = nil
      state.waiting[name] = nil
      state.followers[name] = running
    }
    catalog.publish(collection)
    // What is on disk is the one before, or nothing: a start would load again, and no harm done.
    do { try follower.save() } catch { logger.error("no snapshot could be written: \(error)") }
    logger.info("in step", metadata: ["collection": "\(name)", "lsn": "\(collection.position.lsnText)"])
  }

  /// A collection cannot go on: it stays, flagged, until another is loaded in its place.
  private func resync(_ follower: CollectionFollower, _ definition: CollectionDefinition, _ reason: String) {
    // One that is not served yet is its load's business.
    guard !stop.isRaised, withState({ $0.catchingUp[definition.name] !== follower }) else { return }
    withState { $0.waiting[definition.name] = definition }
    load(definition)
  }

  /// Lets go of what every collection has in its snapshot.
  func collectJournal() {
    let least: JournalPosition? = withState { state in
      // One that goes on from disk has not said yet what it needs.
      guard state.resuming.isEmpty else { return nil }
      let followers = state.followers.values.map(\.follower) + state.catchingUp.values
      // One that cannot go on is loaded anew, and needs nothing.
      return (followers.filter { $0.fault == nil }.map(\.journalNeeded) + (state.loadMark.map { [$0] } ?? [])).min()
    }
    guard let least else { return }
    do throws(SnapshotError) { _ = try log.journal.removeSegments(before: least) } catch {
      logger.warning("\(error)")
    }
  }

  /// Runs a piece of work until it is done, with longer and longer pauses.
  private func untilDone(
    _ what: String, of definition: CollectionDefinition, _ body: () throws -> Void
  ) {
    var pause = 1.0
    while !stop.isRaised {
      do {
        return try body()
      } catch let error as SourceError where error.code == .cancelled {
        if stop.isRaised { return }
        logger.warning("\(what): \(error)", metadata: ["collection": "\(definition.name)"])
      } catch {
        logger.error("\(what), trying again: \(error)", metadata: ["collection": "\(definition.name)"])
        note("\(error)", of: definition.name)
      }
      let end = ContinuousClock.now + .seconds(pause)
      while !stop.isRaised, ContinuousClock.now < end { Thread.sleep(forTimeInterval: 0.05) }
      pause = min(2 * pause, 60)
    }
  }

  /// Tells searches of a collection that does not follow yet why.
  private func note(_ reason: String, of name: String) {
    guard let collection = catalog[name], var state = collection.followState else { return }
    guard withState({ $0.followers[name] == nil }) || state.phase == .stale else { return }
    state.reason = reason
    collection.followState = state
  }
}
