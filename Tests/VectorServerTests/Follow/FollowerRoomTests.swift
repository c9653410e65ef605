// What of the journal followers keep, and how they let go of it; and what they say when somebody else finds that they cannot go on.

import Foundation
import Logging
import Synchronization
import TestSupport
import Testing
import VectorIndex
import VectorSnapshot
import VectorWire

@testable import PostgresSource
@testable import VectorServer

@Suite(.timeLimit(.minutes(2))) struct FollowerRoomTests {
  /// Snapshots that take no time, of which the first few fail.
  private final class Disk: Sendable {
    private let failures: Int
    private let count = Atomic<Int>(0)

    init(failing failures: Int = 0) { self.failures = failures }

    var tries: Int { count.load(ordering: .acquiring) }

    var saver: SnapshotSaver {
      SnapshotSaver(
        save: { [self] _, _, place in
          let number = count.wrappingAdd(1, ordering: .acquiringAndReleasing).newValue
          if number <= failures { throw SnapshotError(.noSpace, path: "", message: "the disk is full") }
          return place().map { _ in 0 }
        }, collected: {})
    }
  }

  private func until(_ holds: () -> Bool) async throws {
    while !holds() { try await Task.sleep(for: .milliseconds(1)) }
  }

  private func collection(at position: Position = start) throws -> Collection {
    let collection = try Collection(
      name: "rows", index: HNSWIndex(configuration: FollowerFixture.configuration()), position: position)
    collection.followState = FollowState(.catchingUp)
    return collection
  }

  private func snapshots(of follower: CollectionFollower) -> Int { follower.state.withLock { $0.snapshots } }

  /// Others fill the journal, in which it has next to nothing.
  @Test func aQuietCollectionIsSavedForTheJournalsSake() async throws {
    var random = SeededRandom(seed: 1)
    let (fixture, disk) = (try FollowerFixture(), Disk())
    let collection = try collection()
    let follower = try fixture.follower(of: collection, saver: disk.saver, journalBytesMax: 64 << 10)
    let beginning = follower.journalNeeded
    try fixture.commit(FollowerFixture.rows(0..<3, &random))
    let thread = WorkerThread("follower") { follower.run() }
    try await until { collection.position.appliedLSN >= fixture.lsn }
    #expect(follower.journalNeeded == beginning)
    // A quarter of what the journal may have.
    let enough = beginning.rawValue + (16 << 10)
    while fixture.log.journal.endPosition.rawValue < enough { try fixture.commit([:]) }
    try await until { snapshots(of: follower) > 0 }
    #expect(follower.journalNeeded.rawValue >= enough)
    follower.end(saves: false)
    thread.join()
  }

  @Test func whatCouldNotBeWrittenIsTriedAgain() async throws {
    var random = SeededRandom(seed: 2)
    let (fixture, disk) = (try FollowerFixture(), Disk(failing: 2))
    let collection = try collection()
    let follower = try fixture.follower(
      of: collection, snapshotAfterBytes: 1, saver: disk.saver, saveRetryInterval: .milliseconds(100))
    try fixture.commit(FollowerFixture.rows(0..<3, &random))
    let begun = ContinuousClock.now
    let thread = WorkerThread("follower") { follower.run() }
    // Nothing more comes.
    try await until { snapshots(of: follower) > 0 }
    #expect(disk.tries == 3)
    #expect(ContinuousClock.now - begun >= .milliseconds(200), "not at once")
    #expect(follower.state.withLock { $0.saveAgainAt } == nil)
    follower.end(saves: false)
    thread.join()
  }

  /// The last thing that it does is to try what it could not before, though no change has come since.
  @Test func whatCouldNotBeWrittenIsTriedAtTheEnd() async throws {
    let (fixture, disk) = (try FollowerFixture(), Disk(failing: 1))
    let follower = try fixture.follower(of: collection(), saver: disk.saver)
    let thread = WorkerThread("follower") { follower.run() }
    #expect(throws: SnapshotError.self) { try follower.save() }
    follower.end()
    thread.join()
    #expect(disk.tries == 2 && snapshots(of: follower) == 1)
  }

  @Test func whoeverKeepsTheOldestPartIsSavedWhenRoomIsWanted() async throws {
    var random = SeededRandom(seed: 3)
    let (fixture, disk) = (try FollowerFixture(), Disk())
    let collection = try collection()
    let follower = try fixture.follower(of: collection, saver: disk.saver)
    let last = try fixture.commit(FollowerFixture.rows(0..<3, &random))
    let thread = WorkerThread("follower") { follower.run() }
    try await until { follower.hasReached(fixture.log.frontier.mark.end) }
    #expect(disk.tries == 0)
    follower.wantRoom()
    try await until { snapshots(of: follower) == 1 }
    #expect(follower.journalNeeded == fixture.history[last]?.end)
    // There is nothing more to be let go of.
    follower.wantRoom()
    #expect(follower.state.withLock { !$0.isRoomWanted })
    follower.end(saves: false)
    thread.join()
  }

  /// What is on disk is another's until a new collection is served.
  @Test func oneThatIsNotServedWritesNothingByItself() async throws {
    var random = SeededRandom(seed: 4)
    let (fixture, disk) = (try FollowerFixture(), Disk())
    let collection = try collection()
    let follower = try fixture.follower(of: collection, snapshotAfterBytes: 1, saver: disk.saver)
    follower.turn.isHeld.store(true, ordering: .releasing)
    try fixture.commit(FollowerFixture.rows(0..<3, &random))
    let thread = WorkerThread("follower") { follower.run() }
    try await until { collection.position.appliedLSN >= fixture.lsn }
    follower.wantRoom()
    try await Task.sleep(for: .milliseconds(100))
    #expect(disk.tries == 0)
    follower.turn.isHeld.store(false, ordering: .releasing)
    try await until { snapshots(of: follower) > 0 }
    follower.end(saves: false)
    thread.join()
  }

  /// Whoever watches finds a fault at any moment; whatever its own thread is about to say then, the flag stays.
  @Test(arguments: testSeeds) func aFaultThatSomebodyElseFindsIsNotUnsaid(seed: UInt64) async throws {
    print("faults found beside a follower, seed \(seed)")
    var random = SeededRandom(seed: seed)
    for _ in 0..<20 {
      let fixture = try FollowerFixture()
      let collection = try collection()
      let resyncs = Atomic<Int>(0)
      let follower = try fixture.follower(
        of: collection, saver: Disk().saver, onResync: { _, _ in resyncs.wrappingAdd(1, ordering: .relaxed) })
      let thread = WorkerThread("follower") { follower.run() }
      let watcher = WorkerThread("watcher") {
        while collection.position.appliedLSN < start.appliedLSN + 64 { usleep(20) }
        follower.fail("found")
      }
      var next: Int64 = 0
      while follower.fault == nil {
        try fixture.commit(FollowerFixture.rows(next..<(next + 2), &random))
        next += 2
      }
      watcher.join()
      thread.join()
      #expect(collection.followState?.phase == .stale && collection.followState?.reason == "found")
      #expect(resyncs.load(ordering: .relaxed) == 1)
      follower.tellEnded()
      #expect(collection.followState?.phase == .stale)
    }
  }

  @Test func oneWhosePlaceAnotherTakesDoesNotSayThatItIsInStep() async throws {
    let fixture = try FollowerFixture()
    let collection = try collection()
    let follower = try fixture.follower(of: collection, saver: Disk().saver)
    let thread = WorkerThread("follower") { follower.run() }
    try await until { collection.followState?.phase == .inStep }
    follower.end(saves: false)
    thread.join()
    follower.tellEnded()
    #expect(collection.followState?.phase == .catchingUp)
    #expect(collection.followState?.mayRise == true, "whoever waits goes on waiting, for the other")
  }

  @Test func aFullJournalHasRoomMade() throws {
    let fixture = try FollowerFixture()
    var configuration = FollowConfiguration(connection: try ConnectionOptions("host=127.0.0.1 port=1"))
    configuration.journalBytesMax = 1
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let asked = Atomic<Int>(0)
    let stream = ChangeStream(
      SlotSource(), configuration, log: fixture.log, logger: logger, floor: { nil },
      makeRoom: { asked.wrappingAdd(1, ordering: .relaxed) }, onChange: { _ in })
    struct Enough: Error {}
    var turns = 0
    #expect(throws: Enough.self) {
      try stream.waitForRoom {
        turns += 1
        if turns == 2 { throw Enough() }
      }
    }
    #expect(asked.load(ordering: .relaxed) == 1, "at once, and then every second")
  }
}
