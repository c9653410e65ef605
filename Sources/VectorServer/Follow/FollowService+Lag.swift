// How far collections are behind, measured beside their followers: each says of itself how far it is between two steps, and says nothing in the
// middle of a long one, or while it waits for an answer that does not come. And Postgres's stream says how far it has sent, not how far its log
// goes: so that is asked beside the stream.
//
// What the log has counts from the next measurement on, a second later. Most of it may be of other tables, and the stream passes over it in
// a moment: a collection beside a busy table is not to be taken for one that is behind.
//
// May use: FollowService, CollectionFollower, PositionAsker.

import Foundation
import Logging
import PostgresSource
import VectorSnapshot
import VectorWire

extension FollowService {
  private static let lagSeconds = 1.0
  /// How long a follower may be at what it could apply without applying any of it.
  private static let progressSeconds = 60.0

  /// Where a follower was when it last went on.
  private struct Standing {
    var applied: UInt64
    var touched: JournalPosition
    var since: ContinuousClock.Instant
    /// When it was last said that it does not.
    var toldAt: ContinuousClock.Instant?
  }

  /// The measuring thread's whole life.
  func watchLag(_ stream: ChangeStream) {
    var standings: [String: Standing] = [:]
    var askedOf: UInt64?
    var next = ContinuousClock.now
    while !stop.isRaised {
      Thread.sleep(forTimeInterval: 0.1)
      guard ContinuousClock.now >= next else { continue }
      next = .now + .seconds(Self.lagSeconds)
      stream.tellSilence()
      let outage = outage
      askWhereTheLogEnds(&askedOf, outage)
      for (name, one) in withState({ $0.followers }) where one.follower.fault == nil {
        let follower = one.follower
        let (applied, touched) = follower.state.withLock { ($0.applied.appliedLSN, $0.touched) }
        guard let known = standings[name], known.applied == applied, known.touched == touched else {
          // What moves describes itself.
          standings[name] = Standing(applied: applied, touched: touched, since: .now)
          continue
        }
        let mark = log.frontier.mark
        let isAtWork = mark.lsn.rawValue > applied
        if !isAtWork { standings[name]?.since = .now }
        let isStuck = ContinuousClock.now - known.since > .seconds(Self.progressSeconds) && isAtWork
        follower.tellLag(
          mark, outage: outage, stuck: isStuck ? "it has applied nothing for a minute of what has come" : nil)
        let isTold = known.toldAt.map { ContinuousClock.now - $0 < .seconds(Self.progressSeconds) } ?? false
        guard isStuck, !isTold else { continue }
        standings[name]?.toldAt = .now
        logger.error(
          "no progress for a minute, and \(mark.unapplied(from: applied)) bytes of Postgres's log are not applied",
          metadata: ["collection": "\(name)", "lsn": "\(LSN(rawValue: applied))"])
      }
    }
  }

  /// Takes what Postgres has answered since it was last asked, and asks anew.
  ///
  /// - epoch: of the stream that was followed then; nil: it was not asked.
  private func askWhereTheLogEnds(_ epoch: inout UInt64?, _ outage: String?) {
    // By an outbox, the one who reads it looks. While nothing comes, who knows which server stands at the address.
    guard outage == nil, !configuration.followsOutbox else {
      epoch = nil
      return
    }
    let current = log.epoch
    if let end = asker.logEnd(), let epoch { log.noteLogEnd(end, of: epoch) }
    epoch = current
  }

  /// Up to where the collections are that follow the stream of an epoch: those that are served, that catch up, and that are to go on from disk.
  func reached(_ epoch: UInt64) -> LSN {
    let (followers, resuming) = withState { state in
      (
        state.followers.values.map(\.follower) + state.catchingUp.values,
        state.resuming.filter { state.epochs[$0] == epoch }
      )
    }
    let positions =
      followers.filter { $0.epoch == epoch && $0.fault == nil }.map(\.collection.position.appliedLSN)
      + resuming.compactMap { catalog[$0]?.position.appliedLSN }
    return LSN(rawValue: positions.max() ?? 0)
  }
}

extension CollectionFollower {
  /// Says for a follower that has not moved how far it is behind.
  ///
  /// - outage: why nothing comes; nil: the stream is well.
  /// - stuck: why it should have moved; nil: it has not been long.
  func tellLag(_ mark: Frontier.Mark, outage: String?, stuck: String?) {
    telling.withLock { _ in
      // What it says of itself, that it cannot go on, says more.
      guard var next = collection.followState, next.phase == .inStep || next.phase == .catchingUp else { return }
      let applied = collection.position.appliedLSN
      next.lagBytes = mark.unapplied(from: applied)
      let isAtWork = mark.lsn.rawValue > applied
      if isAtWork || next.lagBytes > configuration.lagBytesReady {
        next.phase = .catchingUp
        next.behindSince = next.behindSince ?? .now
      }
      if let reason = stuck ?? (isAtWork ? nil : outage) { (next.phase, next.reason) = (.stalled, reason) }
      if next != collection.followState { collection.followState = next }
    }
  }
}
