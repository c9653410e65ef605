// The proof where changes come by the outbox. A batch has rows that may be newer than its place, so there is no place at which both sides are
// exactly the same under load. But rows that nothing has changed since a snapshot are: so those that have are left out of the sums of both sides,
// and are compared in another moment, which is short, for it reads only them; and again, until none is left.
//
//     S      a snapshot; X = its xmin; the table's sums in it
//     wait   until the collection has applied everything below X
//     M      on the collection's thread, between two steps: its sums, and which rows the outbox names from X on by now
//     →      both sums without the rows of M must be equal; M goes into the next round
//
// A row outside of M was not changed by a transaction from X on that anybody has seen; so what the collection has of it, read at any time since
// the last change of it below X, is what S shows.
//
// May use: FollowService, PostgresSource's proof.

import Foundation
import Logging
import PostgresSource
import VectorIndex

extension FollowService {
  /// As ``proof(of:repairs:within:progress:)``.
  func outboxedProof(
    of follower: CollectionFollower, repairs: Bool, within patience: ProofPatience, progress: (String) -> Void
  ) throws -> Proof {
    let cancel = patience.cancel
    let start = ContinuousClock.now
    let name = follower.collection.name
    hold.hold()
    defer { hold.release() }
    // A TRUNCATE in between moves every row: then another moment is taken.
    for attempt in 1...10 {
      let moment = try self.moment(of: follower, unless: cancel)
      let place = LSN(rawValue: moment.xmin)
      progress("comparing at the transaction \(moment.xmin)\(attempt > 1 ? ", attempt \(attempt)" : "")")
      let theirs = try moment.sums()
      try wait(for: follower, until: place, within: patience)
      guard let glance = try glance(at: follower, moment, within: patience) else { continue }
      var hasher = RowHasher(follower.table.description)
      var (a, b) = (theirs.buckets, glance.buckets)
      for (id, hash) in try moment.hashes(of: glance.moved) { a[hasher.bucket(of: id)].remove(hash) }
      for (id, stamp) in glance.stamps { b[hasher.bucket(of: id)].remove(stamp) }
      var different = a.indices.filter { a[$0] != b[$0] }
      var proof = Proof(
        collection: name, lsn: "\(place)", rows: theirs.buckets.reduce(0) { $0 + $1.count },
        nullVectors: theirs.nullVectors, zeroVectors: theirs.zeroVectors, differentBuckets: different.count,
        differentRows: 0, named: [], repairedRows: 0, notCompared: hasher.notCompared, seconds: 0)
      func note(_ rows: [RecordID]) throws {
        proof.add(rows)
        guard repairs, !rows.isEmpty else { return }
        try follower.repair(rows, within: patience)
        proof.repairedRows += rows.count
      }
      if !different.isEmpty {
        progress("\(different.count) of \(a.count) sums differ: looking at their rows")
        let moved = Set(glance.moved)
        let suspects = SuspectGroups(different, a, b, all: repairs)
        proof.rowsNotLookedAt = suspects.rowsLeftOut
        for group in suspects.groups {
          if cancel.isRaised { throw SourceError(.cancelled, "The comparison was cancelled.") }
          let rows = try self.suspects(of: group, follower, try moment.rows(ofBuckets: group), within: patience)
          try note(rows.filter { !moved.contains($0) })
        }
      }
      try moment.end()
      let late = try compare(glance.moved, follower, within: patience, progress)
      try note(late)
      different = Array(Set(different + late.map { hasher.bucket(of: $0) }))
      proof.differentBuckets = different.count
      proof.seconds = (ContinuousClock.now - start) / .seconds(1)
      return proof
    }
    throw ServerError(
      .notFollowed, "the table of \"\(name)\" is truncated so often that no moment could be compared: try again")
  }

  /// Compares rows that were on the move, in moments of which each leaves fewer.
  /// - Returns: those that differ.
  private func compare(
    _ moved: [RecordID], _ follower: CollectionFollower, within patience: ProofPatience, _ progress: (String) -> Void
  ) throws -> [RecordID] {
    var (rest, different) = (moved, [RecordID]())
    for _ in 0..<100 where !rest.isEmpty {
      progress("\(rest.count) rows have changed meanwhile: comparing them in another moment")
      let moment = try self.moment(of: follower, unless: patience.cancel)
      let theirs = try moment.hashes(of: rest)
      try wait(for: follower, until: LSN(rawValue: moment.xmin), within: patience)
      let glance = try glance(at: follower, moment, within: patience, also: rest)
      try moment.end()
      guard let glance else { continue }
      let again = Set(glance.moved)
      different += rest.filter { !again.contains($0) && theirs[$0] != glance.stamps[$0] }
      rest = rest.filter { again.contains($0) }
    }
    guard rest.isEmpty else {
      throw ServerError(
        .notFollowed,
        "\(rest.count) rows change so fast that no moment could be compared: try again when less is written")
    }
    return different
  }

  private func moment(of follower: CollectionFollower, unless cancel: StopFlag) throws -> OutboxMoment {
    try OutboxMoment(
      Connection(configuration.connection, stop: cancel), description: follower.table.description,
      leavesOutZeroVectors: follower.collection.index.configuration.metric == .cosine)
  }

  /// - also: rows whose stamps are wanted beside those that have moved.
  /// - Returns: nil: every row may have moved.
  private func glance(
    at follower: CollectionFollower, _ moment: OutboxMoment, within patience: ProofPatience, also: [RecordID] = []
  ) throws -> CollectionFollower.Glance? {
    // It is asked on the follower's thread, which has nobody else.
    let connection = try Connection(configuration.connection, stop: patience.cancel, patienceSeconds: 60)
    let looker = UncheckedLooker(connection: connection, moment: moment)
    let relation = follower.facts.relationOID
    return try follower.glance(also: also, within: patience) {
      try looker.moment.moved(relation, seenBy: looker.connection)
    }
  }
}

/// What goes to the follower's thread and back, while the thread that sent it waits.
private struct UncheckedLooker: @unchecked Sendable {
  // Proof of Sendable: one thread at a time has it, for the sender blocks until the other is done, or never asks anything of it again.
  var connection: Connection
  var moment: OutboxMoment
}
