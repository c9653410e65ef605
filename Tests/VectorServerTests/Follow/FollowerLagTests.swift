// How far a follower says that it is behind, of what has come and of what has not; and for how long it is waited for.

import Foundation
import Synchronization
import TestSupport
import Testing
import VectorIndex

@testable import PostgresSource
@testable import VectorServer

@Suite(.timeLimit(.minutes(2))) struct FollowerLagTests {
  @Test func whatHasNotComeCounts() async throws {
    let fixture = try FollowerFixture()
    let collection = try FollowerFixture.emptyCollection()
    let follower = try fixture.follower(of: collection, saver: FollowerFixture.noSaver)
    let bound = follower.configuration.lagBytesReady
    let thread = WorkerThread("follower") { follower.run() }
    try await FollowerFixture.until { collection.followState?.phase == .inStep }
    fixture.log.noteLogEnd(LSN(rawValue: start.appliedLSN + bound))
    try await FollowerFixture.until { collection.followState?.lagBytes == bound }
    #expect(collection.followState?.phase == .inStep && collection.followState?.behindSince == nil)
    fixture.log.noteLogEnd(LSN(rawValue: start.appliedLSN + bound + 1))
    try await FollowerFixture.until { collection.followState?.phase == .catchingUp }
    #expect(collection.followState?.lagBytes == bound + 1)
    #expect(collection.followState?.behindSince != nil)
    // It was of no interest here.
    fixture.log.frontier.advance { $0.lsn = LSN(rawValue: start.appliedLSN + bound + 1) }
    try await FollowerFixture.until { collection.followState?.phase == .inStep }
    #expect(collection.followState?.lagBytes == 0 && collection.followState?.behindSince == nil)
    follower.end(saves: false)
    thread.join()
  }

  /// However often they are read while the first of them cannot be applied.
  @Test func transactionsCountUntilTheyAreApplied() async throws {
    var random = SeededRandom(seed: 1)
    let fixture = try FollowerFixture()
    let collection = try FollowerFixture.emptyCollection()
    let follower = try fixture.follower(
      of: collection, saver: FollowerFixture.noSaver,
      rowReading: { () throws(SourceError) -> MissingRows.Fetch in
        throw SourceError(.connectionFailed, "nobody is there")
      })
    try fixture.commit(FollowerFixture.rows(0..<3, &random))
    let thread = WorkerThread("follower") { follower.run() }
    try await FollowerFixture.until { collection.followState?.phase == .inStep }
    // Only Postgres knows the row's other values.
    try fixture.commit([:], moving: [1: 10])
    try await FollowerFixture.until { collection.followState?.phase == .stalled }
    #expect(collection.followState?.lagTransactions == 1)
    for id in 20..<23 as Range<Int64> { try fixture.commit(FollowerFixture.rows(id..<(id + 1), &random)) }
    try await FollowerFixture.until { collection.followState?.lagTransactions == 4 }
    #expect(collection.followState?.phase == .stalled && collection.index.count == 3)
    follower.end(saves: false)
    thread.join()
  }

  @Test func oneThatDoesNotMoveIsToldOf() throws {
    let fixture = try FollowerFixture()
    let collection = try FollowerFixture.emptyCollection()
    let follower = try fixture.follower(of: collection, saver: FollowerFixture.noSaver)
    func tell(outage: String? = nil, stuck: String? = nil) -> FollowState? {
      follower.tellLag(fixture.log.frontier.mark, outage: outage, stuck: stuck)
      return collection.followState
    }
    collection.followState = FollowState(.inStep)
    #expect(tell()?.phase == .inStep)
    try fixture.commit([:])
    #expect(tell()?.phase == .catchingUp)
    #expect(tell()?.lagBytes == 16 && tell()?.behindSince != nil)
    #expect(tell(outage: "nothing comes")?.phase == .catchingUp, "there is something left to be applied")
    let stuck = tell(outage: "nothing comes", stuck: "nothing moves")
    #expect(stuck?.phase == .stalled && stuck?.reason == "nothing moves")
    // What it says of itself counts then.
    #expect(tell()?.phase == .stalled)
    collection.position = position(fixture.lsn)
    collection.followState = FollowState(.inStep)
    let idle = tell(outage: "nothing comes")
    #expect(idle?.phase == .stalled && idle?.reason == "nothing comes" && idle?.lagBytes == 0)
  }

  /// The stream may come to be well after a follower was made, and before anybody knows of it to tell it so.
  @Test func itAsksByItselfWhetherAnythingComes() async throws {
    let fixture = try FollowerFixture()
    let collection = try FollowerFixture.emptyCollection()
    let outage = Shared<String?>("connecting")
    let follower = try fixture.follower(
      of: collection, saver: FollowerFixture.noSaver, outage: { outage.withLock { $0 } })
    let thread = WorkerThread("follower") { follower.run() }
    try await FollowerFixture.until { collection.followState?.phase == .stalled }
    #expect(collection.followState?.reason == "connecting")
    outage.withLock { $0 = nil }
    try await FollowerFixture.until { collection.followState?.phase == .inStep }
    follower.end(saves: false)
    thread.join()
  }

  /// The reason of before is none any more.
  @Test func oneThatGoesOnIsNotStalled() throws {
    let fixture = try FollowerFixture()
    let collection = try FollowerFixture.emptyCollection()
    let follower = try fixture.follower(of: collection, saver: FollowerFixture.noSaver)
    try fixture.commit([:])
    collection.followState = FollowState(.stalled, reason: "there is no memory")
    follower.applied(7, fixture.log.frontier.mark)
    let state = collection.followState
    #expect(state?.phase == .catchingUp && state?.reason == "" && state?.behindSince != nil)
    #expect(state?.lastCommitTime == 7)
    // Nor is it in step by that, though nothing is left.
    collection.position = position(fixture.lsn)
    collection.followState = FollowState(.stalled, reason: "there is no memory")
    follower.applied(8, fixture.log.frontier.mark)
    #expect(collection.followState?.phase == .catchingUp)
    collection.followState = FollowState(.stale, reason: "3 rows differ")
    follower.applied(9, fixture.log.frontier.mark)
    #expect(collection.followState?.phase == .stale && collection.followState?.reason == "3 rows differ")
  }

  // MARK: Waiting

  private final class Held: Sendable {}

  /// Its thread is busy, or not there.
  @Test func aProofDoesNotWaitForEver() throws {
    let fixture = try FollowerFixture()
    let collection = try FollowerFixture.emptyCollection()
    collection.followState = FollowState(.stalled, reason: "there is no memory")
    let follower = try fixture.follower(of: collection, saver: FollowerFixture.noSaver)
    let patience = ProofPatience(cancel: StopFlag(), seconds: 0.2)
    do {
      _ = try follower.differing([.int64(1)], within: patience)
      Issue.record("nobody has looked")
    } catch let error as ServerError {
      #expect(error.code == .notFollowed && error.message.contains("it is stalled: there is no memory"))
    }
    #expect(throws: ServerError.self) { try follower.repair([.int64(1)], within: patience) }
    let cancel = StopFlag()
    cancel.raise()
    do {
      _ = try follower.differing([.int64(1)], within: ProofPatience(cancel: cancel, seconds: 60))
      Issue.record("nobody has looked")
    } catch let error as SourceError { #expect(error.code == .cancelled) }
    // A snapshot of Postgres, and the connection that has it, are not held by what nobody waits for any more.
    weak var held: Held?
    func glance() throws {
      let looker = Held()
      held = looker
      _ = try follower.glance(also: [], within: patience) { [looker] in
        withExtendedLifetime(looker) { nil }
      }
    }
    #expect(throws: ServerError.self) { try glance() }
    #expect(held == nil)
    #expect(follower.requests.withLock { $0?.count } == 4, "they are there, and do nothing")
  }

  /// What a command tells of as being on disk is.
  @Test func aSnapshotThatIsNotWrittenIsNoneThatIs() throws {
    let fixture = try FollowerFixture()
    let follower = try fixture.follower(
      of: FollowerFixture.emptyCollection(),
      saver: SnapshotSaver(save: { _, _, place in place().map { _ in 0 } }, collected: {}))
    try follower.save()
    #expect(follower.state.withLock { $0.snapshots } == 1)
    try fixture.commit([:])
    // It ends in the middle of a transaction.
    follower.state.withLock { $0.touched = fixture.log.frontier.mark.end }
    follower.end()
    #expect(throws: ServerError.self) { try follower.save() }
  }
}
