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
        return loadInstead(
          of: collection, definition, "the table \(definition.table) is not what it was when it was loaded")
      }
      // From where the relations stand: what the collection has is passed over.
      guard let mark = loaded.followed?.epoch.flatMap(log.mark(of:)) else {
        return loadInstead(of: collection, definition, "changes were missed: the stream that it followed has ended")
      }
      var hasher = RowHasher(found.description)
      var buckets = Array(repeating: BucketSum(), count: RowHasher.bucketCount)
      collection.index.forEachStamp { id, stamp in buckets[hasher.bucket(of: id)].add(stamp.row) }
      let position = LSN(rawValue: collection.position.appliedLSN)
      try start(
        FollowableCollection(
          collection: collection, definition: definition, source: loaded.source, followed: found,
          files: loaded.followed?.files ?? "", ledger: ProofLedger(buckets: buckets, at: position), mark: mark))
      // Rewritten while nobody looked: the files are others, and the rows may be.
      if loaded.followed?.files != found.files { prove(definition.name, files: found.files) }
    }
  }

  /// What is on disk cannot go on: it is served, flagged, until another is loaded.
  private func loadInstead(of collection: Collection, _ definition: CollectionDefinition, _ reason: String) {
    logger.error("not in step any more: \(reason)", metadata: ["collection": "\(definition.name)"])
    collection.followState = FollowState(.stale, reason: reason)
    withState { $0.resuming.remove(definition.name) }
    load(definition)
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
      try loadOnce(definition)
    }
  }

  /// Puts a load on the list of work.
  func load(_ definition: CollectionDefinition) { jobs.add { [self] in loadUntilDone(definition) } }

  /// Loads a collection, lets it catch up, and puts it in the place of the one of its name, if there is one.
  ///
  /// - origin: whose rows are taken.
  /// - progress: told what it takes, and what is compared.
  /// - Throws: the collection that was there is then as it was.
  func loadOnce(
    _ definition: CollectionDefinition, from origin: RebuildOrigin = .postgres,
    progress: (String) -> Void = { _ in }
  ) throws {
    let started = ContinuousClock.now
    // The stream makes the slot. A load before that would have a place in the log from which nobody keeps what comes.
    while let outage {
      if stop.isRaised { throw SourceError(.cancelled, "The server ends.") }
      guard outage == Self.connecting || log.point != nil else { throw SourceError(.connectionLost, outage) }
      Thread.sleep(forTimeInterval: 0.05)
    }
    let load = CollectionLoad(
      definition, rowsOf: origin == .engine ? try served(definition) : nil, configuration, directory: directory,
      writer: writer)
    // Nothing that commits after the load's snapshot may stand before the mark. The journal is kept from there.
    let mark = withState { state in
      let mark = log.mark()
      (state.load, state.loadMark) = (load, mark.position)
      return mark
    }
    defer { withState { ($0.load, $0.loadMark) = (nil, nil) } }
    let loaded = try load.run(from: mark) { needed in
      logger.info("loading", metadata: ["collection": "\(definition.name)", "memory": "\(needed.text)"])
      progress("memory: \(needed.text)")
    }
    func text(_ seconds: Double?) -> Logger.MetadataValue { "\(String(format: "%.1f", seconds ?? 0))" }
    logger.info(
      loaded.isProved ? "read and proved equal" : "copied from what is served",
      metadata: [
        "collection": "\(definition.name)", "rows": "\(loaded.collection.index.count)",
        "lsn": "\(loaded.collection.position.lsnText)", "seconds": text((ContinuousClock.now - started) / .seconds(1)),
        "reading": text(loaded.seconds?.reading), "linking": text(loaded.seconds?.linking),
        "calibrating": text(loaded.seconds?.calibrating),
      ])
    guard log.epoch == mark.epoch else {
      throw SourceError(.slotLost, "The slot was lost while the collection \(definition.name) was loaded.")
    }
    try start(loaded, of: load, progress: progress)
  }

  /// The collection whose rows another index can be made of, as it is defined.
  /// - Throws: ``ServerError`` (`notFollowed`, `invalidConfiguration`) where there is none, or where its rows would not do.
  func served(_ definition: CollectionDefinition) throws(ServerError) -> Running {
    guard let running = withState({ $0.followers[definition.name] }) else {
      throw ServerError(
        .notFollowed,
        "there is no collection \"\(definition.name)\" in step with its table whose rows could be taken: rebuild from Postgres (--from postgres)"
      )
    }
    if let fault = running.follower.fault {
      throw ServerError(
        .notFollowed,
        "the collection \"\(definition.name)\" is not in step with its table, so its rows will not do (\(fault)): rebuild from Postgres "
          + "(--from postgres)")
    }
    let others = definition.settingsOfOtherRows(than: running.definition)
    guard others.isEmpty else {
      throw ServerError(
        .invalidConfiguration,
        "the rows that are served are other ones, or have other columns, than \(others.joined(separator: ", ")) ask\(others.count == 1 ? "s" : "") for: "
          + "leave that out, or rebuild from Postgres (--from postgres)")
    }
    return running
  }

  /// Lets a collection follow, waits until it has caught up, proves it where that was not done, and publishes it.
  /// - Throws: where it cannot go on before that, or is not equal to its table.
  private func start(
    _ loaded: FollowableCollection, of load: CollectionLoad? = nil, progress: (String) -> Void = { _ in }
  ) throws {
    let name = loaded.definition.name
    let collection = loaded.collection
    prepare(collection, FollowState(.catchingUp, behindSince: .now))
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
        }, collected: { [self] in collectJournal() }),
      outage: outage, logger: logger,
      onResync: { [self] follower, reason in resync(follower, loaded.definition, reason) })
    let isNew = catalog[name] !== collection
    let thread = WorkerThread("vizinho-follow") { follower.run() }
    let running = Running(
      follower: follower, definition: loaded.definition, source: loaded.source, thread: thread)
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
    do {
      try catchUp(follower, loaded, load, progress)
    } catch {
      withState { $0.catchingUp[name] = nil }
      follower.end(saves: false)
      thread.join()
      throw error
    }
    // The one before stops where a transaction ends; searches go on in it until this one is as far. That of another stream may have a place that the
    // server is never to have again: its answers say that they are stale.
    var reached: UInt64 = 0
    if let previous {
      // It goes on until its snapshot is written, if one is, for that may take longer than a search wants to wait for news.
      previous.follower.endSaves()
      previous.follower.end(saves: false)
      previous.thread.join()
      if previous.follower.epoch == follower.epoch { reached = previous.follower.collection.position.appliedLSN }
    }
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

  /// Waits until a new collection is as far as the journal, and sees to it that it is equal to its table.
  private func catchUp(
    _ follower: CollectionFollower, _ loaded: FollowableCollection, _ load: CollectionLoad?,
    _ progress: (String) -> Void
  ) throws {
    let cancel = load?.stop ?? stop
    while !cancel.isRaised, follower.fault == nil, !follower.hasReached(log.frontier.mark.end) {
      Thread.sleep(forTimeInterval: 0.01)
    }
    if let fault = follower.fault { throw ServerError(.notFollowed, "it could not catch up: \(fault)") }
    // At the server's own end, what was read is not thrown away.
    if cancel.isRaised, !stop.isRaised { throw SourceError.rebuildCancelled }
    guard !loaded.isProved else { return }
    let proof = try proof(of: follower, repairs: false, unless: cancel, progress: progress)
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
