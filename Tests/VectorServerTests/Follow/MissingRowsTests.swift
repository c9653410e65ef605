// Rows that are read by their keys: not before Postgres shows what it has told, and no more at once than memory takes.

import Foundation
import Synchronization
import TestSupport
import Testing
import VectorIndex

@testable import PostgresSource
@testable import VectorServer

/// A Postgres that is asked for rows, and shows what it is told to.
private final class FakeRows: Sendable {
  private struct State {
    var rows: [Int64: FollowerFixture.Row]
    var snapshot: VisibilitySnapshot
    /// How many keys each statement had.
    var asked: [Int] = []
    var whenAsked: @Sendable () -> Void = {}
  }
  private let state: Mutex<State>
  private let layout: RowLayout

  init(_ rows: [Int64: FollowerFixture.Row], _ snapshot: VisibilitySnapshot) throws {
    state = Mutex(State(rows: rows, snapshot: snapshot))
    layout = try FollowerFixture.source().description.layout
  }

  var asked: [Int] { state.withLock { $0.asked } }

  func show(_ rows: [Int64: FollowerFixture.Row], _ snapshot: VisibilitySnapshot) {
    state.withLock { ($0.rows, $0.snapshot) = (rows, snapshot) }
  }

  func whenAsked(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.whenAsked = body } }

  func connect() throws(SourceError) -> MissingRows.Fetch {
    { (keys: [RecordID]) throws(SourceError) -> FetchedRows in try self.fetch(keys) }
  }

  private func fetch(_ keys: [RecordID]) throws(SourceError) -> FetchedRows {
    let state = state.withLock { state in
      state.asked.append(keys.count)
      return state
    }
    state.whenAsked()
    var found = FetchedRows(rows: [], missing: [], snapshot: state.snapshot)
    for case .int64(let id) in keys {
      if let row = state.rows[id] {
        found.rows.append(try FollowerFixture.fetched(id, row, layout))
      } else {
        found.missing.append(.int64(id))
      }
    }
    return found
  }
}

@Suite(.timeLimit(.minutes(2))) struct MissingRowsTests {
  private let noSaver = SnapshotSaver(save: { _, _, _ in nil }, collected: {})
  private let patience = ProofPatience(cancel: StopFlag(), seconds: 60)

  private func until(_ holds: () -> Bool) async throws {
    while !holds() { try await Task.sleep(for: .milliseconds(1)) }
  }

  private func emptyCollection() throws -> Collection {
    let index = try HNSWIndex(configuration: FollowerFixture.configuration())
    let collection = try Collection(name: "rows", index: index, position: start)
    collection.followState = FollowState(.catchingUp)
    return collection
  }

  private func seen(below end: UInt64) -> VisibilitySnapshot { VisibilitySnapshot(xmin: end, xmax: end, running: []) }

  /// Two transactions in one step: the later one can be seen, and the one before it waits for a standby.
  @Test func aRowIsReadWhenAllThatIsGatheredCanBeSeen() async throws {
    var random = SeededRandom(seed: 1)
    let fixture = try FollowerFixture()
    // A step of its own, so that the next one does not have the rows' values.
    let first = try fixture.commit(FollowerFixture.rows(0..<1_000, title: "a title", &random), id: 10)
    let before = fixture.rows
    try fixture.commit([:], moving: [3: 1_003], id: 20)
    let last = try fixture.commit(FollowerFixture.rows(5..<6, &random), id: 21)
    let postgres = try FakeRows(before, VisibilitySnapshot(xmin: 20, xmax: 22, running: [20]))
    let collection = try emptyCollection()
    let follower = try fixture.follower(
      of: collection, saver: noSaver,
      rowReading: { () throws(SourceError) -> MissingRows.Fetch in try postgres.connect() })
    let thread = WorkerThread("follower") { follower.run() }
    try await until { collection.followState?.phase == .stalled || collection.position.appliedLSN >= last }
    #expect(collection.followState?.reason.contains("the transaction 20 has committed") == true)
    #expect(collection.position.appliedLSN == first && collection.index.count == 1_000)
    postgres.show(fixture.rows, seen(below: 22))
    try await until { collection.position.appliedLSN >= last || follower.fault != nil }
    follower.end(saves: false)
    thread.join()
    #expect(fixture.faults(of: collection.index, at: last) == [])
  }

  /// More than is held at once is applied in parts, and is told, and fit for a snapshot, when all of it is there.
  @Test func manyRowsThatAreReadAreAppliedInParts() async throws {
    var random = SeededRandom(seed: 2)
    let fixture = try FollowerFixture()
    let title = String(repeating: "x", count: 200)
    let first = try fixture.commit(FollowerFixture.rows(0..<1_000, title: title, &random), id: 10)
    let moved = Dictionary(uniqueKeysWithValues: (0..<1_000 as Range<Int64>).map { ($0, $0 + 5_000) })
    let last = try fixture.commit([:], moving: moved, id: 20)
    let postgres = try FakeRows(fixture.rows, seen(below: 21))
    let collection = try emptyCollection()
    let follower = try fixture.follower(
      of: collection, saver: noSaver, fetchedBytesMax: 20_000,
      rowReading: { () throws(SourceError) -> MissingRows.Fetch in try postgres.connect() })
    let moments = Mutex<[(isWhole: Bool, lsn: UInt64, rows: Int)]>([])
    let note = { @Sendable in
      let isWhole = follower.state.withLock { $0.isWhole }
      let moment = (isWhole, collection.position.appliedLSN, collection.index.count)
      moments.withLock { $0.append(moment) }
    }
    postgres.whenAsked(note)
    let thread = WorkerThread("follower") { follower.run() }
    try await until { collection.position.appliedLSN >= last || follower.fault != nil }
    follower.end(saves: false)
    thread.join()
    let found = moments.withLock { $0 }
    #expect(found.count > 2 && postgres.asked.reduce(0, +) == 1_000 && postgres.asked.allSatisfy { $0 <= 1_000 })
    #expect(found.allSatisfy { $0.lsn == first }, "the position is told when all is there")
    #expect(found.first?.isWhole == true && found.dropFirst().allSatisfy { !$0.isWhole })
    #expect(found.dropFirst().first?.rows == postgres.asked.first, "a part is there before the next is read")
    #expect(fixture.faults(of: collection.index, at: last) == [])
    #expect(follower.state.withLock { $0.isWhole })
    #expect(follower.buckets(before: LSN(rawValue: last - 8))?.reduce(0) { $0 + $1.count } == 1_000)
    #expect(follower.buckets(before: LSN(rawValue: last - 9)) == follower.buckets(before: LSN(rawValue: last - 8)))
    var hasher = RowHasher(try FollowerFixture.source().description)
    var sums = Array(repeating: BucketSum(), count: RowHasher.bucketCount)
    collection.index.forEachStamp { id, stamp in sums[hasher.bucket(of: id)].add(stamp.row) }
    #expect(follower.buckets(before: LSN(rawValue: last + 1)) == sums)
  }

  /// Whoever mends rows by what others see yet would take back what is applied, and no message would bring it again.
  @Test func rowsAreNotMendedByASnapshotOfBefore() async throws {
    var random = SeededRandom(seed: 3)
    let fixture = try FollowerFixture()
    let last = try fixture.commit(FollowerFixture.rows(0..<500, title: "a title", &random), id: 10)
    let postgres = try FakeRows([:], VisibilitySnapshot(xmin: 10, xmax: 11, running: [10]))
    let collection = try emptyCollection()
    let follower = try fixture.follower(
      of: collection, saver: noSaver,
      rowReading: { () throws(SourceError) -> MissingRows.Fetch in try postgres.connect() })
    let thread = WorkerThread("follower") { follower.run() }
    try await until { collection.position.appliedLSN >= last || follower.fault != nil }
    let ids = (0..<501 as Range<Int64>).map { RecordID.int64($0) }
    #expect(throws: JournalApplier.Stall.self) { try follower.repair(ids, within: patience) }
    #expect(collection.index.count == 500)

    var rows = fixture.rows
    rows[7]?.title = "another"
    rows[300] = nil
    rows[500] = FollowerFixture.Row(vector: random.vector(dimension: FollowerFixture.dimension))
    postgres.show(rows, seen(below: 11))
    #expect(Set(try follower.differing(ids, within: patience)) == [.int64(7), .int64(300), .int64(500)])
    #expect(collection.index.count == 500 && collection.index.contains(.int64(300)), "only looked at")
    try follower.repair(ids, within: patience)
    #expect(collection.index.payload(of: .int64(7)) == ["another"])
    #expect(!collection.index.contains(.int64(300)) && collection.index.contains(.int64(500)))
    #expect(try follower.differing(ids, within: patience) == [])
    follower.end(saves: false)
    thread.join()
  }
}
