// A follower's snapshots: written beside changes, each of whole transactions, and good to go on from.

import Foundation
import Synchronization
import TestSupport
import Testing
import VectorIndex
import VectorWire

@testable import PostgresSource
@testable import VectorServer
@testable import VectorSnapshot

@Suite(.timeLimit(.minutes(2))) struct FollowerSnapshotTests {
  /// A disk of which one write takes until it is told to go on.
  private final class SlowDisk: Sendable {
    private let slowWrite: Int
    private let writes = Atomic<Int>(0)
    private let stands = Atomic<Bool>(false)
    private let isOpen = Atomic<Bool>(false)

    /// - write: which one, from 0.
    init(standingAtWrite write: Int) { slowWrite = write }

    var isStanding: Bool { stands.load(ordering: .acquiring) && !isOpen.load(ordering: .acquiring) }
    func goOn() { isOpen.store(true, ordering: .releasing) }

    var fileSystem: FileSystem {
      var fileSystem = FileSystem.posix
      fileSystem.write = { [self] file, bytes, offset throws(SystemError) in
        if writes.wrappingAdd(1, ordering: .relaxed).oldValue == slowWrite {
          stands.store(true, ordering: .releasing)
          while !isOpen.load(ordering: .acquiring) { usleep(500) }
        }
        return try FileSystem.posix.write(file, bytes, offset)
      }
      return fileSystem
    }
  }

  /// Writes small files, a block after the other.
  private func saver(to publisher: SnapshotPublisher) -> SnapshotSaver {
    SnapshotSaver(
      save: { collection, _, place in
        let publication = try IndexSnapshot.publish(
          collection.index, to: publisher, options: .init(threads: 1, blockBytes: 4_096)
        ) {
          place().map { place in
            SnapshotOrigin(
              collection: collection.name, source: "", systemID: place.systemID, timeline: place.timeline,
              appliedLSN: place.appliedLSN, createdAt: 0, writer: "a test")
          }
        }
        return publication.map { _ in 0 }
      }, collected: {})
  }

  private func until(_ holds: () -> Bool) async throws {
    while !holds() { try await Task.sleep(for: .milliseconds(1)) }
  }

  private let noSaver = SnapshotSaver(save: { _, _, _ in nil }, collected: {})

  /// The disk stands still while the links are on their way into the file, or later, and meanwhile the server applies transactions and answers
  /// searches from them. The file then has the rows of before. Whoever goes on from any of the files by the journal comes to the same rows.
  @Test(arguments: [3, 14]) func changesAreFoundWhileASnapshotIsWritten(write: Int) async throws {
    var random = SeededRandom(seed: UInt64(write))
    let fixture = try FollowerFixture()
    let collection = try Collection(
      name: "rows", index: HNSWIndex(configuration: FollowerFixture.configuration()), position: start)
    let disk = SlowDisk(standingAtWrite: write)
    let directory = SnapshotDirectory(path: fixture.path + "/rows")
    let publisher = try SnapshotPublisher(
      directory, lock: fixture.lock, keeping: 1_000, fileSystem: disk.fileSystem)
    let follower = try fixture.follower(of: collection, snapshotAfterBytes: 1, saver: saver(to: publisher))
    let beginning = follower.journalNeeded
    let first = try fixture.commit(FollowerFixture.rows(0..<400, title: "a title", &random))
    collection.followState = FollowState(.catchingUp)
    let thread = WorkerThread("follower") { follower.run() }
    try await until { disk.isStanding }
    #expect(collection.position == position(first))

    for n in 0..<20 as Range<Int64> {
      var rows = FollowerFixture.rows(n..<(n + 1), title: "again", &random)
      rows[1_000 + n] = FollowerFixture.Row(vector: [Float](repeating: 1 + Float(n) / 100, count: 8))
      let last = try fixture.commit(rows, removing: n > 0 ? [100 + n, 999 + n] : [100])
      if n % 5 == 0 { try await until { collection.position.appliedLSN >= last } }
    }
    let last = fixture.lsn
    try await withServer([collection]) { _, port in
      let client = try await RawClient.greeted(port: port)
      try await client.send(search(.at(last)), 1)
      let (reply, _) = try await client.nextReply()
      #expect(reply.answers[0].results.first?.id == .int64(1_019), "what the last transaction wrote")
      #expect(reply.position == position(last))
      await client.close()
    }
    #expect(disk.isStanding && follower.state.withLock { $0.snapshots } == 0)
    #expect(follower.journalNeeded == beginning, "what is in no file yet is in the journal")
    #expect(fixture.faults(of: collection.index, at: last) == [])

    disk.goOn()
    // Everything that came while the first was written is due then.
    try await until { follower.state.withLock { $0.unsavedBytes } == 0 }
    follower.end()
    thread.join()
    #expect(follower.fault == nil)
    let files = try directory.list().reversed().map { try SnapshotFile(path: $0.path) }
    let origins = try files.map { try IndexSnapshot.origin(of: $0).appliedLSN }
    #expect(origins.first == first && origins.last == last, "\(origins)")
    #expect(follower.journalNeeded == fixture.history[last]?.end)

    for (file, lsn) in zip(files, origins) {
      let (copy, origin) = try IndexSnapshot.load(file, threads: 1)
      #expect(fixture.faults(of: copy, at: lsn) == [], "the file of \(lsn)")
      let again = try Collection(
        name: "rows", index: copy,
        position: Position(systemID: origin.systemID, appliedLSN: origin.appliedLSN, timeline: origin.timeline))
      let successor = try fixture.follower(of: again, saver: noSaver)
      let running = WorkerThread("follower") { successor.run() }
      try await until { again.position.appliedLSN >= last || successor.fault != nil }
      successor.end(saves: false)
      running.join()
      #expect(again.position == position(last) && fixture.faults(of: copy, at: last) == [])
    }
  }

  /// Looked at as often as can be while transactions are applied, large ones in several steps: every moment that is saved has just the rows before
  /// the commit that it names.
  @Test(arguments: testSeeds) func savedMomentsLieBetweenTransactions(seed: UInt64) async throws {
    print("moments between transactions, seed \(seed)")
    var random = SeededRandom(seed: seed)
    let fixture = try FollowerFixture()
    let collection = try Collection(
      name: "rows", index: HNSWIndex(configuration: FollowerFixture.configuration()), position: start)
    let moments = Mutex<[(lsn: UInt64, rows: UInt64)]>([])
    let follower = try fixture.follower(
      of: collection,
      saver: SnapshotSaver(
        save: { collection, _, place in
          let moment = collection.index.withFrozen(noting: place) { frozen, place in
            (place.appliedLSN, frozen.header.rows)
          }
          if let moment { moments.withLock { $0.append(moment) } }
          return moment.map { _ in 0 }
        }, collected: {}))
    var next: Int64 = 0
    // Rows only come, so that their number tells which transactions they are of.
    for n in 0..<40 {
      let isLarge = n == 11 || n == 27
      let count = Int64.random(in: isLarge ? 25_000...30_000 : 1...30, using: &random)
      try fixture.commit(FollowerFixture.rows(next..<(next + count), &random))
      next += count
    }
    let last = fixture.lsn
    let saving = WorkerThread("saver") {
      do { while collection.position.appliedLSN < last { try follower.save() } } catch { Issue.record(error) }
    }
    collection.followState = FollowState(.catchingUp)
    let thread = WorkerThread("follower") { follower.run() }
    try await until { collection.position.appliedLSN >= last || follower.fault != nil }
    saving.join()
    follower.end(saves: false)
    thread.join()
    let found = moments.withLock { $0 }
    print("\(found.count) moments of \(Set(found.map(\.lsn)).count) places")
    #expect(Set(found.map(\.lsn)).count > 1)
    for (lsn, rows) in found { #expect(fixture.history[lsn].map { UInt64($0.rows.count) } == rows, "at \(lsn)") }
    #expect(fixture.faults(of: collection.index, at: last) == [])
  }

  /// Rows that went leave their memory behind until the graph is mended, which too few of them do not bring about. A follower at the end of its
  /// memory does.
  @Test func aFollowerWithoutMemoryMakesRoom() async throws {
    var random = SeededRandom(seed: 6)
    let fixture = try FollowerFixture()
    let collection = try Collection(
      name: "rows", index: HNSWIndex(configuration: FollowerFixture.configuration(budget: 700_000)), position: start)
    var count: Int64 = 0
    do {
      while true {
        try collection.index.insert(.int64(count), random.vector(dimension: FollowerFixture.dimension))
        count += 1
      }
    } catch { #expect(error.code == .outOfMemory) }
    let follower = try fixture.follower(of: collection, saver: noSaver)
    let removed = try fixture.commit([:], removing: Array(0..<150))
    collection.followState = FollowState(.catchingUp)
    let thread = WorkerThread("follower") { follower.run() }
    try await until { collection.position.appliedLSN >= removed }
    let last = try fixture.commit(FollowerFixture.rows(100_000..<100_100, &random))
    try await until { collection.position.appliedLSN >= last || follower.fault != nil }
    follower.end(saves: false)
    thread.join()
    #expect(follower.fault == nil && collection.index.count == Int(count) - 50)
    #expect(collection.index.contains(.int64(100_099)))
  }
}
