// A collection's way into step: from disk or by a load. FollowService+Serving.swift has what then becomes of it.
//
// May use: FollowService, CollectionLoad, CollectionFollower.

import Foundation
import Logging
import PostgresSource
import VectorIndex
import VectorSnapshot
import VectorWire

extension FollowService {
  /// Puts on the list of work that a collection goes on from what is on disk, as soon as Postgres can be asked.
  func resume(_ loaded: DataDirectory.Loaded, _ definition: CollectionDefinition, _ claim: Claim) {
    jobs.add { [self] in
      attempt("the collection cannot go on yet", of: definition, claim) { [self] in
        try goOn(loaded, definition, claim)
      }
    }
  }

  private func goOn(_ loaded: DataDirectory.Loaded, _ definition: CollectionDefinition, _ claim: Claim) throws {
    // Where the journal is gone, the stream finds by what the collections have whether it goes on there. A follower that began before would have
    // its collection stand nowhere.
    if log.point == nil { try waitForStream(claim) }
    let collection = loaded.collection
    let plan = try definition.plan(configuration)
    let found: FollowedSource
    do { found = try CollectionLoad.look(plan, configuration, stop: stop) } catch {
      // Changes may have been lost already: what comes after it is mended may not be taken for all. Of another Postgres it would say
      // nothing.
      guard !Self.isPassing(error), isKnownPostgres(claim) else { throw error }
      return loadInstead(of: collection, definition, claim, "\(error)")
    }
    guard Self.fits(collection.index, found.description), loaded.followed?.table == found.fingerprint else {
      guard isKnownPostgres(claim) else { throw SourceError(.connectionLost, outage ?? Self.connecting) }
      return loadInstead(
        of: collection, definition, claim, "the table \(definition.table) is not what it was when it was loaded")
    }
    // From where the relations stand: what the collection has is passed over.
    guard let mark = loaded.followed?.epoch.flatMap(log.mark(of:)) else {
      return loadInstead(
        of: collection, definition, claim, "changes were missed: the stream that it followed has ended")
    }
    var hasher = RowHasher(found.description)
    var buckets = Array(repeating: BucketSum(), count: RowHasher.bucketCount)
    collection.index.forEachStamp { id, stamp in buckets[hasher.bucket(of: id)].add(stamp.row) }
    let position = LSN(rawValue: collection.position.appliedLSN)
    try start(
      FollowableCollection(
        collection: collection, definition: definition, source: loaded.source, followed: found,
        files: loaded.followed?.files ?? "", ledger: ProofLedger(buckets: buckets, at: position), mark: mark), claim)
    // Rewritten while nobody looked: the files are others, and the rows may be.
    if loaded.followed?.files != found.files { wantProof(of: definition.name, files: found.files) }
  }

  /// What is on disk cannot go on: it is served, flagged, until another is loaded.
  private func loadInstead(
    of collection: Collection, _ definition: CollectionDefinition, _ claim: Claim, _ reason: String
  ) {
    logger.error("not in step any more: \(reason)", metadata: ["collection": "\(definition.name)"])
    collection.followState = FollowState(.stale, reason: reason)
    markStale(definition.name, reason) { withState { $0.isCurrent(claim) && $0.hasStreamed } }
    withState { state in
      guard state.isCurrent(claim) else { return }
      state.resuming.remove(definition.name)
      state.epochs[definition.name] = nil
    }
    load(definition, claim)
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

  /// Loads a collection, lets it catch up, and puts it in the place of the one of its name, if there is one.
  ///
  /// - claim: where it is not current any more, nothing comes of it.
  /// - origin: whose rows are taken.
  /// - progress: told what it takes, and what is compared.
  /// - Returns: why what is served then is not on disk; nil: it is.
  /// - Throws: the collection that was there is then as it was.
  @discardableResult
  func loadOnce(
    _ definition: CollectionDefinition, _ claim: Claim, from origin: RebuildOrigin = .postgres,
    progress: (String) -> Void = { _ in }
  ) throws -> String? {
    // The stream makes the slot. A load before that would have a place in the log from which nobody keeps what comes.
    try waitForStream(claim)
    let load = CollectionLoad(
      definition, rowsOf: origin == .engine ? try served(definition) : nil, configuration, directory: directory,
      writer: writer)
    // Nothing that commits after the load's snapshot may stand before the mark. The journal is kept from there.
    let mark = withState { state -> StreamLog.Mark? in
      guard state.isCurrent(claim) else { return nil }
      let mark = log.mark()
      (state.load, state.loadMark) = (load, mark.position)
      return mark
    }
    guard let mark else { throw Self.superseded(definition.name) }
    defer {
      withState { ($0.load, $0.loadMark) = (nil, nil) }
      collectJournal()
    }
    do {
      return try carryOut(load, claim, from: mark, progress)
    } catch {
      // What it met when it was cancelled is not why.
      if let reason = load.cancellationReason { throw reason }
      throw error
    }
  }

  private func carryOut(
    _ load: CollectionLoad, _ claim: Claim, from mark: StreamLog.Mark, _ progress: (String) -> Void
  ) throws -> String? {
    let started = ContinuousClock.now
    let definition = load.definition
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
    return try start(loaded, claim, of: load, progress: progress)
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
}
