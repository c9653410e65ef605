// What a follower makes of relations that are not the table that was loaded: those of before an ALTER TABLE stand in the journal still when
// a collection is loaded after it. Only a change of a row asks for one that fits.

import Foundation
import Synchronization
import TestSupport
import Testing
import VectorIndex

@testable import PostgresSource
@testable import VectorServer

@Suite(.timeLimit(.minutes(2))) struct FollowerRelationTests {
  private static let varchar: UInt32 = 1_043
  private static let text: UInt32 = 25

  @Test func whatWasToldBeforeTheTableWasAlteredIsNoFault() async throws {
    var random = SeededRandom(seed: 1)
    let fixture = try FollowerFixture()
    let collection = try FollowerFixture.emptyCollection()
    let follower = try fixture.follower(
      of: collection, saver: FollowerFixture.noSaver,
      relations: [FollowerFixture.relationMessage(titleType: Self.varchar)])
    let thread = WorkerThread("follower") { follower.run() }
    // Nobody writes.
    try await FollowerFixture.until { collection.followState?.phase == .inStep || follower.fault != nil }
    #expect(follower.fault == nil)
    // The same where a segment says again what was told.
    let idle = try fixture.commit([:], titleType: Self.varchar)
    try await FollowerFixture.until { collection.position.appliedLSN >= idle || follower.fault != nil }
    #expect(follower.fault == nil)
    let last = try fixture.commit(FollowerFixture.rows(0..<5, title: "a title", &random), titleType: Self.text)
    try await FollowerFixture.until { collection.position.appliedLSN >= last || follower.fault != nil }
    follower.end(saves: false)
    thread.join()
    #expect(follower.fault == nil)
    #expect(fixture.faults(of: collection.index, at: last) == [])
  }

  /// It is refused, and neither read as what the table was nor passed over.
  @Test func aChangeOfAnAlteredTableIsRefused() async throws {
    var random = SeededRandom(seed: 2)
    let fixture = try FollowerFixture()
    let collection = try FollowerFixture.emptyCollection()
    let reasons = Mutex<[String]>([])
    let follower = try fixture.follower(
      of: collection, saver: FollowerFixture.noSaver, onResync: { _, reason in reasons.withLock { $0.append(reason) } })
    try fixture.commit(FollowerFixture.rows(0..<3, title: "a title", &random))
    let altered = try fixture.commit([:], titleType: Self.varchar)
    let thread = WorkerThread("follower") { follower.run() }
    try await FollowerFixture.until { collection.position.appliedLSN >= altered || follower.fault != nil }
    #expect(follower.fault == nil)
    // What fitted before does not count any more.
    try fixture.commit(FollowerFixture.rows(3..<4, title: "a title", &random))
    try await FollowerFixture.until { follower.fault != nil || collection.position.appliedLSN > altered }
    follower.end(saves: false)
    thread.join()
    #expect(reasons.withLock { $0.count } == 1 && follower.fault?.contains("another type (1043") == true)
    #expect(collection.position.appliedLSN == altered)
    #expect(fixture.faults(of: collection.index, at: altered) == [])
  }

  /// What comes later in the journal says nothing of what is read again.
  @Test func aStepThatIsReadAgainIsReadAsItWasTold() async throws {
    var random = SeededRandom(seed: 3)
    let fixture = try FollowerFixture()
    // A step of its own, so that the next one does not have the rows' values.
    try fixture.commit(FollowerFixture.rows(0..<1_000, title: "a title", &random), id: 10)
    try fixture.commit([:], moving: [3: 1_003], id: 20)
    let last = try fixture.commit([:], id: 21, titleType: Self.varchar)
    let moved = try #require(fixture.rows[1_003])
    let layout = try FollowerFixture.source().description.layout
    let tries = Atomic<Int>(0)
    let collection = try FollowerFixture.emptyCollection()
    let follower = try fixture.follower(
      of: collection, saver: FollowerFixture.noSaver,
      rowReading: { () throws(SourceError) -> MissingRows.Fetch in
        if tries.wrappingAdd(1, ordering: .relaxed).newValue == 1 {
          throw SourceError(.connectionFailed, "nobody listens")
        }
        return { (keys: [RecordID]) throws(SourceError) -> FetchedRows in
          FetchedRows(
            rows: [try FollowerFixture.fetched(1_003, moved, layout)], missing: [],
            snapshot: VisibilitySnapshot(xmin: 22, xmax: 22, running: []))
        }
      }, onResync: { _, _ in })
    let thread = WorkerThread("follower") { follower.run() }
    try await FollowerFixture.until { collection.position.appliedLSN >= last || follower.fault != nil }
    follower.end(saves: false)
    thread.join()
    #expect(follower.fault == nil && tries.load(ordering: .relaxed) == 2)
    #expect(fixture.faults(of: collection.index, at: last) == [])
  }
}
