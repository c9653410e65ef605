// The proof that a collection is its table: the sums of both at one place in the log; where they differ, the rows; and, if asked, the mending.
// docs/PROOF.md has the rules.
//
// May use: FollowService, PostgresSource's proof.

import Foundation
import Logging
import PostgresSource
import VectorIndex
import VectorWire

extension FollowService {
  /// Compares a collection with its table. Blocks the calling thread; searches and changes go on.
  ///
  /// - repairs: whether rows that differ are read anew and applied, and a snapshot with them is written.
  /// - isCancelled: asked now and then; ends it, with `cancelled`.
  /// - Throws: ``ServerError`` (`notFollowed`), ``SourceError`` (also `transactionsOpen`: then there is no moment to compare at).
  public func verify(
    _ name: String, repairs: Bool, isCancelled: @escaping @Sendable () -> Bool = { false }, progress: (String) -> Void
  ) throws -> Proof {
    guard let running = withState({ $0.followers[name] }) else {
      throw ServerError(.notFollowed, "there is no collection \"\(name)\" that is in step with Postgres")
    }
    let follower = running.follower
    let mended = follower.mendedRows
    var result = Result { () throws -> Proof in
      try cancelled(when: isCancelled) { cancel in
        try self.proof(
          of: follower, repairs: repairs, within: ProofPatience(cancel: cancel, seconds: ProofPatience.asked),
          progress: progress)
      }
    }
    // Whatever became of the rest.
    if follower.mendedRows > mended {
      progress("writing a snapshot")
      let unsaved = saveMended(follower)
      result = result.map { proof in
        var proof = proof
        proof.unsaved = unsaved
        return proof
      }
    }
    let proof = try result.get()
    conclude(proof)
    return proof
  }

  /// Rows that were mended stand in no journal: a start from the snapshot of before would have what they were.
  /// - Returns: why no snapshot could be written; nil: it is.
  private func saveMended(_ follower: CollectionFollower) -> String? {
    do { try follower.save() } catch {
      logger.error(
        "rows were mended, and no snapshot could be written: \(error)",
        metadata: ["collection": "\(follower.collection.name)"])
      return "\(error)"
    }
    return nil
  }

  /// Does something with a flag that is raised when the server ends, or when `isCancelled` says so: whoever waits for Postgres looks at it.
  private func cancelled<R>(
    when isCancelled: @escaping @Sendable () -> Bool, _ body: (StopFlag) throws -> R
  ) rethrows -> R {
    let (cancel, isOver) = (StopFlag(), StopFlag())
    let asking = WorkerThread("vizinho-cancel") { [stop] in
      while !isOver.isRaised {
        if stop.isRaised || isCancelled() { return cancel.raise() }
        Thread.sleep(forTimeInterval: 0.05)
      }
    }
    defer {
      isOver.raise()
      asking.join()
    }
    return try body(cancel)
  }

  /// Compares what a follower has with its table, whether it is served or not.
  ///
  /// - cancel: ends it, with `cancelled`.
  func proof(
    of follower: CollectionFollower, repairs: Bool, unless cancel: StopFlag, progress: (String) -> Void
  ) throws -> Proof {
    try proof(
      of: follower, repairs: repairs, within: ProofPatience(cancel: cancel, seconds: ProofPatience.asked),
      progress: progress)
  }

  func proof(
    of follower: CollectionFollower, repairs: Bool, within patience: ProofPatience, progress: (String) -> Void
  ) throws -> Proof {
    if configuration.followsOutbox {
      return try outboxedProof(of: follower, repairs: repairs, within: patience, progress: progress)
    }
    let cancel = patience.cancel
    let start = ContinuousClock.now
    let name = follower.collection.name
    // What was applied in one step cannot be told apart: then another moment is taken.
    for attempt in 1...10 {
      let reader = try ProofMoment(configuration, follower, stop: cancel)
      progress("comparing at \(reader.lsn)\(attempt > 1 ? ", attempt \(attempt)" : "")")
      let theirs = try reader.sums()
      try wait(for: follower, until: reader.lsn, within: patience)
      guard let ours = follower.buckets(before: reader.lsn) else { continue }
      let different = theirs.buckets.indices.filter { theirs.buckets[$0] != ours[$0] }
      var proof = Proof(
        collection: name, lsn: "\(reader.lsn)", rows: theirs.buckets.reduce(0) { $0 + $1.count },
        nullVectors: theirs.nullVectors, zeroVectors: theirs.zeroVectors, differentBuckets: different.count,
        differentRows: 0, named: [], repairedRows: 0,
        notCompared: RowHasher(follower.table.description).notCompared, seconds: 0)
      if !different.isEmpty {
        progress("\(different.count) of \(theirs.buckets.count) sums differ: looking at their rows")
        let suspects = SuspectGroups(different, theirs.buckets, ours, all: repairs)
        proof.rowsNotLookedAt = suspects.rowsLeftOut
        for group in suspects.groups {
          if cancel.isRaised { throw SourceError(.cancelled, "The comparison was cancelled.") }
          let rows = try self.suspects(of: group, follower, try reader.rows(ofBuckets: group), within: patience)
          proof.add(rows)
          if repairs, !rows.isEmpty {
            try follower.repair(rows, within: patience)
            proof.repairedRows += rows.count
          }
        }
      }
      try reader.end()
      proof.seconds = (ContinuousClock.now - start) / .seconds(1)
      return proof
    }
    throw ServerError(
      .notFollowed,
      "the collection \"\(name)\" changes so fast that no moment could be compared: try again when less is written")
  }

  /// Keeps and tells what a comparison found.
  func conclude(_ proof: Proof) {
    withState { $0.proofs[proof.collection] = proof }
    logger.log(
      level: proof.isEqual ? .info : .error, proof.isEqual ? "equal to its table" : "not equal to its table",
      metadata: [
        "collection": "\(proof.collection)", "lsn": "\(proof.lsn)", "rows": "\(proof.rows)",
        "sums": "\(proof.differentBuckets)", "different": "\(proof.differentRows)",
        "unseen": "\(proof.rowsNotLookedAt)", "repaired": "\(proof.repairedRows)",
      ])
  }

  /// Waits until a collection has applied what committed before a place in the log.
  func wait(for follower: CollectionFollower, until lsn: LSN, within patience: ProofPatience) throws {
    let start = ContinuousClock.now
    var outageSince: ContinuousClock.Instant?
    while follower.collection.position.appliedLSN < lsn.rawValue {
      if let fault = follower.fault { throw ServerError(.notFollowed, fault) }
      try patience.check(follower, since: start)
      // The stream may come again in a moment.
      if let outage {
        let since = outageSince ?? .now
        outageSince = since
        if ContinuousClock.now - since > .seconds(30) { throw SourceError(.connectionLost, outage) }
      } else {
        outageSince = nil
      }
      Thread.sleep(forTimeInterval: 0.005)
    }
  }

  /// The rows whose stamps differ from what Postgres says, and differ still when Postgres is asked for them again.
  func suspects(
    of buckets: [Int], _ follower: CollectionFollower, _ theirs: [ProofRow], within patience: ProofPatience
  ) throws -> [RecordID] {
    let wanted = Set(buckets)
    var hasher = RowHasher(follower.table.description)
    var stamps = Dictionary(theirs.map { ($0.id, $0.row) }, uniquingKeysWith: { $1 })
    var ids: Set<RecordID> = []
    follower.collection.index.forEachStamp { id, stamp in
      guard wanted.contains(hasher.bucket(of: id)) else { return }
      if stamps.removeValue(forKey: id) != stamp.row { ids.insert(id) }
    }
    // What is left is in Postgres alone.
    ids.formUnion(stamps.keys)
    // Some of them have only changed since.
    return try follower.differing(Array(ids), within: patience)
  }
}

/// How long a proof waits for its collection, and who ends it before. Meanwhile Postgres keeps for it a snapshot, a lock on the table, and
/// its log or the outbox.
struct ProofPatience: Sendable {
  /// Ends it, with `cancelled`.
  var cancel: StopFlag
  /// For the collection to come to where the table was looked at, and to be between two steps; each time.
  var seconds: Double

  /// Where somebody asks for it, who may end it.
  static let asked = 600.0
  /// Where nobody does, and another comes by itself.
  static let scheduled = 60.0

  /// - start: since when the collection is waited for.
  /// - Throws: ``SourceError`` (`cancelled`), ``ServerError`` (`notFollowed`) when it has been too long.
  func check(_ follower: CollectionFollower, since start: ContinuousClock.Instant) throws {
    if cancel.isRaised { throw SourceError(.cancelled, "The comparison was cancelled.") }
    guard ContinuousClock.now - start > .seconds(seconds) else { return }
    let collection = follower.collection
    let words = collection.followState.map { "; \($0.words)" } ?? ""
    throw ServerError(
      .notFollowed,
      "the collection \"\(collection.name)\" has not come for \(Int(seconds)) s to where it could be compared, and nothing is kept in "
        + "Postgres for that any longer\(words)")
  }

  /// What is asked while the collection is waited for. What it has begun to do may take any time.
  func isOver(for follower: CollectionFollower) -> (_ hasBegun: Bool) throws -> Bool {
    let start = ContinuousClock.now
    return { hasBegun in
      if !hasBegun { try check(follower, since: start) }
      return cancel.isRaised
    }
  }
}

/// One moment of the table: a temporary slot, whose snapshot shows what committed before its place in the log.
private struct ProofMoment {
  let lsn: LSN
  private let slot: ReplicationConnection
  private let reader: ProofReader

  init(_ configuration: FollowConfiguration, _ follower: CollectionFollower, stop: StopFlag) throws {
    slot = try ReplicationConnection(configuration.connection, stop: stop)
    let created: CreatedSlot
    do throws(SourceError) {
      created = try slot.createSlot(
        TemporarySlot.name(configuration.slot, "proof"), temporary: true,
        patienceSeconds: configuration.slotPatience / .seconds(1))
    } catch {
      throw OpenTransactions.named(error, configuration.connection, stop: stop)
    }
    lsn = created.consistentPoint
    guard let snapshot = created.snapshot else {
      throw SourceError(.snapshotLost, "Postgres exported no snapshot. Try again.")
    }
    var source = TableSource(follower.table.description.table ?? "")
    source.filter = follower.facts.rowFilter
    reader = try ProofReader(
      Connection(configuration.connection, stop: stop), source: .table(source),
      description: follower.table.description,
      leavesOutZeroVectors: follower.collection.index.configuration.metric == .cosine)
    try reader.begin(snapshot: snapshot)
  }

  func sums() throws(SourceError) -> ProofSums { try reader.sums() }
  func rows(ofBuckets buckets: [Int]) throws(SourceError) -> [ProofRow] { try reader.rows(ofBuckets: buckets) }
  func end() throws(SourceError) { try reader.end() }
}
