// The list of work: collections that go on from disk or are loaded, one after the other. What fails waits for its next turn, and what it
// was planned for may be gone by then.
//
// May use: FollowService, JobQueue.

import Foundation
import Logging
import PostgresSource
import VectorIndex

extension FollowService {
  /// What a piece of work was planned for: the collection that a name stood for then, or none. It is no more when another was published, or
  /// that one was dropped.
  struct Claim: Hashable, Sendable {
    var name: String
    var generation: UInt64
  }

  func isCurrent(_ claim: Claim) -> Bool { withState { $0.isCurrent(claim) } }

  /// What is told where a piece of work is for nothing.
  static func superseded(_ name: String) -> ServerError {
    ServerError(
      .notFollowed,
      "the collection \"\(name)\" was dropped, or another took its place, while this one was made: nothing of it is used"
    )
  }

  /// Puts a load on the list of work.
  func load(_ definition: CollectionDefinition, _ claim: Claim) {
    jobs.add { [self] in
      attempt("the collection could not be loaded", of: definition, claim) { [self] in
        try loadOnce(definition, claim)
      }
    }
  }

  /// Tries a piece of work. Where it fails it is put on the list again, with longer and longer pauses, so that others have their turn.
  func attempt(
    _ what: String, of definition: CollectionDefinition, _ claim: Claim, pause: Double = 1,
    _ body: @escaping @Sendable () throws -> Void
  ) {
    guard !stop.isRaised, isCurrent(claim) else { return }
    do { try body() } catch {
      guard !stop.isRaised, isCurrent(claim) else { return }
      let isPassing = Self.isPassing(error)
      logger.log(
        level: isPassing ? .warning : .error, "\(what), trying again: \(error)",
        metadata: ["collection": "\(definition.name)"])
      note(error, of: definition.name)
      let next = min(2 * pause, isPassing ? Self.passingPauseMax : Self.pauseMax)
      jobs.add(after: pause) { [self] in attempt(what, of: definition, claim, pause: next, body) }
    }
  }

  private static let pauseMax = 60.0
  /// What Postgres lacks for a while is there again soon.
  private static let passingPauseMax = 5.0
  /// For how long a piece of work waits for the stream before others have their turn.
  private static let patience = 10.0

  static func isPassing(_ error: any Error) -> Bool {
    guard let error = error as? SourceError else { return false }
    return isPassing(error.code)
  }

  /// Waits until changes come.
  /// - Throws: ``SourceError`` (`connectionLost`) with why none do, after a while.
  func waitForStream(_ claim: Claim) throws {
    let end = ContinuousClock.now + .seconds(Self.patience)
    while let outage {
      if stop.isRaised { throw SourceError(.cancelled, "The server ends.") }
      guard isCurrent(claim) else { throw Self.superseded(claim.name) }
      guard outage == Self.connecting || log.point != nil, ContinuousClock.now < end else {
        throw SourceError(.connectionLost, outage)
      }
      Thread.sleep(forTimeInterval: 0.05)
    }
  }

  /// Waits a while for the stream to have found that this is the Postgres that was followed.
  func isKnownPostgres(_ claim: Claim) -> Bool {
    let end = ContinuousClock.now + .seconds(Self.patience)
    while !withState({ $0.hasStreamed }) {
      guard !stop.isRaised, isCurrent(claim), ContinuousClock.now < end else { return false }
      Thread.sleep(forTimeInterval: 0.05)
    }
    return true
  }

  /// Tells searches of a collection that does not follow yet, or not any more, why.
  private func note(_ error: any Error, of name: String) {
    guard let collection = catalog[name], var state = collection.followState else { return }
    guard withState({ $0.followers[name] == nil }) || state.phase == .stale else { return }
    // That Postgres cannot be asked is not why it is stale.
    if state.phase == .stale, Self.isPassing(error) { return }
    state.reason = "\(error)"
    collection.followState = state
  }
}

extension FollowService.State {
  func claim(_ name: String) -> FollowService.Claim {
    FollowService.Claim(name: name, generation: generations[name] ?? 0)
  }

  func isCurrent(_ claim: FollowService.Claim) -> Bool { generations[claim.name] ?? 0 == claim.generation }
}
