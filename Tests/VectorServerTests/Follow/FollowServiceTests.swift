// What a service knows of its collections before Postgres has answered: what is on disk, what was planned, what of the journal is needed.

import Foundation
import Logging
import Synchronization
import Testing
import VectorIndex
import VectorSnapshot
import VectorWire

@testable import PostgresSource
@testable import VectorServer

@Suite struct FollowServiceTests {
  private static let secret = "SELECT embedding FROM questions WHERE token = 'dont-print-me'"

  private func withPath(_ body: (String) throws -> Void) throws {
    let path = NSTemporaryDirectory() + "follow-service-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try body(path)
  }

  private func definition(_ change: (inout CollectionDefinition) -> Void = { _ in }) throws -> CollectionDefinition {
    let plan = RebuildPlan(
      collection: "docs", connection: try ConnectionOptions("host=127.0.0.1 port=1"), source: .table(TableSource("t")),
      metric: .l2)
    var definition = try CollectionDefinition(plan, attributes: nil)
    change(&definition)
    return definition
  }

  /// A snapshot of a collection that is followed.
  private func save(_ definition: CollectionDefinition, in directory: DataDirectory) throws {
    let index = try HNSWIndex(configuration: FollowerFixture.configuration())
    let record = FollowedRecord(definition: definition, table: "t", files: "", epoch: 5)
    _ = try directory.save(
      Collection(name: definition.name, index: index, position: start), source: "", definition: record.text,
      writer: "a test", threads: 1)
  }

  /// It is not run, so nothing is asked of Postgres.
  private func service(
    _ directory: DataDirectory, _ catalog: CollectionCatalog = CollectionCatalog(),
    _ definitions: [CollectionDefinition] = []
  ) throws -> FollowService {
    var configuration = FollowConfiguration(connection: try ConnectionOptions("host=127.0.0.1 port=1"))
    configuration.journalBytesMax = 16 << 10
    configuration.threads = 1
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return try FollowService(
      configuration, definitions: definitions, directory: directory, catalog: catalog, writer: "a test", logger: logger)
  }

  @Test func whatIsMarkedIsServedAsStaleFromTheBeginning() throws {
    try withPath { path in
      let directory = try DataDirectory(path: path, create: true)
      try save(definition(), in: directory)
      try directory.staleMark(of: "docs").set("3 rows differ")
      let catalog = CollectionCatalog()
      let service = try service(directory, catalog)
      let state = catalog["docs"]?.followState
      #expect(state?.phase == .stale && state?.reason == "3 rows differ")
      #expect(service.withState { $0.resuming.isEmpty && $0.waiting["docs"] != nil && $0.epochs.isEmpty })
      #expect(!service.isReady)
    }
  }

  @Test func aNewSnapshotOfAWholeCollectionIsNotMarked() throws {
    try withPath { path in
      let directory = try DataDirectory(path: path, create: true)
      try save(definition(), in: directory)
      try directory.staleMark(of: "docs").set("3 rows differ")
      try save(definition(), in: directory)
      #expect(try directory.staleMark(of: "docs").reason() == nil)
      let catalog = CollectionCatalog()
      let service = try service(directory, catalog)
      #expect(catalog["docs"]?.followState?.phase == .stalled)
      #expect(service.withState { $0.resuming == ["docs"] })
    }
  }

  @Test func aDropTakesWhatIsOnlyPlanned() throws {
    try withPath { path in
      let directory = try DataDirectory(path: path, create: true)
      try save(definition(), in: directory)
      let catalog = CollectionCatalog()
      let service = try service(directory, catalog, [definition { $0.name = "new" }])
      for name in ["docs", "new"] {
        let claim = service.withState { $0.claim(name) }
        #expect(service.isCurrent(claim))
        try service.drop(name)
        #expect(!service.isCurrent(claim), "what was planned for it comes to nothing")
        #expect(throws: ServerError.self) { try service.drop(name) }
        #expect(throws: ServerError.self) { try service.loadOnce(definition { $0.name = name }, claim) }
      }
      #expect(catalog.all.isEmpty)
      #expect(try directory.collectionNames() == [])
      #expect(service.withState { $0.waiting.isEmpty && $0.resuming.isEmpty && $0.leaving.isEmpty })
    }
  }

  /// Work that fails waits for its next turn; work that was planned for what is gone is forgotten.
  @Test func whatFailsIsTriedAgainUnlessItIsForNothing() throws {
    try withPath { path in
      let service = try service(DataDirectory(path: path, create: true), CollectionCatalog(), [definition()])
      let claim = service.withState { $0.claim("docs") }
      struct Failure: Error {}
      let tries = Atomic<Int>(0)
      // Each returns: the thread is free for others.
      for _ in 0..<2 {
        service.attempt("it fails", of: try definition(), claim) {
          tries.wrappingAdd(1, ordering: .relaxed)
          throw Failure()
        }
        try? service.drop("docs")
      }
      #expect(tries.load(ordering: .relaxed) == 1, "not once more when it was dropped")
    }
  }

  /// Some segments of transactions that change nothing.
  private func fill(_ log: StreamLog) throws {
    try log.reach(
      StreamPoint(
        systemIdentifier: 7, timeline: 2, lsn: LSN(rawValue: 100), continues: false, database: "d", slot: "s"))
    for number in 1...200 as ClosedRange<UInt64> {
      let lsn = LSN(rawValue: 100 + 16 * number)
      for message in [
        PgOutputEncoder.begin(.init(finalLSN: lsn, commitMicroseconds: 0, transactionID: 7)),
        PgOutputEncoder.commit(
          .init(commitLSN: lsn, endLSN: LSN(rawValue: lsn.rawValue + 8), commitMicroseconds: 0)),
      ] { try message.withUnsafeBytes { _ = try log.take($0) } }
      try log.rollIfDue()
    }
  }

  /// One that has everything before a position in its snapshot. Its thread does nothing.
  private func running(
    _ service: FollowService, _ definition: CollectionDefinition, savedAt position: JournalPosition
  ) throws -> FollowService.Running {
    let collection = try Collection(
      name: definition.name, index: HNSWIndex(configuration: FollowerFixture.configuration()), position: start)
    let mark = StreamLog.Mark(
      position: position, relations: [], transactions: 0, epoch: service.log.epoch, continues: false)
    let follower = CollectionFollower(
      collection, of: try FollowerFixture.source(), files: "",
      ledger: ProofLedger(
        buckets: Array(repeating: BucketSum(), count: RowHasher.bucketCount), at: LSN(rawValue: start.appliedLSN)),
      from: mark, log: service.log, configuration: service.configuration,
      saver: SnapshotSaver(save: { _, _, _ in nil }, collected: {}), outage: { nil }, logger: service.logger,
      onResync: { _, _ in })
    return FollowService.Running(
      follower: follower, definition: definition, source: "", thread: WorkerThread("nothing") {})
  }

  /// A load needs everything that comes until its end; a journal that is full would keep it from those who are served.
  @Test func aLoadForWhichTheJournalIsFullIsEnded() throws {
    try withPath { path in
      let service = try service(DataDirectory(path: path, create: true), CollectionCatalog(), [definition()])
      let log = service.log
      try fill(log)
      let load = CollectionLoad(
        try definition(), service.configuration, directory: service.directory, writer: "a test")
      let oldest = log.journal.oldestPosition
      service.withState { ($0.load, $0.loadMark) = (load, oldest) }
      service.makeRoom()
      #expect(!load.stop.isRaised, "nobody else waits")
      let beside = try running(service, definition { $0.name = "served" }, savedAt: oldest)
      service.withState { $0.followers["served"] = beside }
      service.makeRoom()
      #expect(!load.stop.isRaised, "the other keeps as much, and its snapshot is to be written first")
      let end = log.journal.endPosition
      beside.follower.state.withLock { ($0.position, $0.saved) = (end, end) }
      service.makeRoom()
      #expect(load.stop.isRaised)
      let reason = try #require(load.cancellationReason)
      #expect(reason.code == .journalFull && reason.message.contains("--journal-bytes-max"))
      #expect(reason.message.contains("docs"))
      load.cancel()
      #expect(load.cancellationReason == reason, "the first says why")
    }
  }

  @Test func whoCancelsALoadNeedsNoReason() throws {
    try withPath { path in
      let service = try service(DataDirectory(path: path, create: true))
      let load = CollectionLoad(
        try definition(), service.configuration, directory: service.directory, writer: "a test")
      load.cancel()
      load.cancel(because: ServerError(.journalFull, "too late"))
      #expect(load.stop.isRaised && load.cancellationReason == nil)
    }
  }

  /// All wait to be loaded: nobody needs what came before.
  @Test func whereNobodyNeedsTheJournalItGoes() throws {
    try withPath { path in
      let service = try service(DataDirectory(path: path, create: true), CollectionCatalog(), [definition()])
      let log = service.log
      try fill(log)
      #expect(log.journal.statistics.segments > 3, "a segment is a small part of what the journal may have")
      service.withState { $0.loadMark = log.journal.oldestPosition }
      service.makeRoom()
      #expect(log.journal.statistics.segments > 3, "a load needs it")
      service.withState { $0.loadMark = nil }
      service.makeRoom()
      #expect(log.journal.statistics.segments == 1)
    }
  }

  /// By where the log ends, whatever the collection has said of itself.
  @Test func readyIsWhoeverIsNotFarBehindTheLog() throws {
    try withPath { path in
      let service = try service(DataDirectory(path: path, create: true))
      try service.log.reach(
        StreamPoint(
          systemIdentifier: start.systemID, timeline: start.timeline, lsn: LSN(rawValue: start.appliedLSN),
          continues: false, database: "d", slot: "s"))
      let fixture = try FollowerFixture()
      let collection = try Collection(
        name: "docs", index: HNSWIndex(configuration: FollowerFixture.configuration()), position: start)
      collection.followState = FollowState(.inStep)
      let running = FollowService.Running(
        follower: try fixture.follower(of: collection, saver: SnapshotSaver(save: { _, _, _ in nil }, collected: {})),
        definition: try definition(), source: "", thread: WorkerThread("follower") {})
      service.withState { $0.followers["docs"] = running }
      #expect(!service.isReady, "nobody knows yet where the log ends")
      service.withState { $0.condition = .streaming }
      #expect(service.isReady)
      let bound = service.configuration.lagBytesReady
      service.log.noteLogEnd(LSN(rawValue: start.appliedLSN + bound + 1))
      #expect(!service.isReady)
      collection.position = position(start.appliedLSN + 1)
      #expect(service.isReady)
      collection.followState = FollowState(.stalled)
      #expect(!service.isReady)
    }
  }

  @Test func aComparisonThatCouldNotBeMadeIsDueAgainSoon() {
    let now = ContinuousClock.now
    let (day, seconds) = (Duration.seconds(86_400), Duration.seconds(5))
    #expect(FollowService.proved(true, every: day, at: now) + day == now + day)
    #expect(FollowService.proved(false, every: day, at: now) + day == now + .seconds(60))
    #expect(FollowService.proved(false, every: seconds, at: now) + seconds == now + seconds)
  }

  @Test func whatPostgresKeepsForTheSlotIsToldWhereItIsMuchOrShort() {
    var slot = SlotFacts(name: "s")
    #expect(FollowService.alarm(of: slot) == nil)
    (slot.retainedWALBytes, slot.safeWALBytes) = (1 << 30, 1 << 30)
    #expect(FollowService.alarm(of: slot) == nil)
    slot.safeWALBytes = 100 << 20
    #expect(FollowService.alarm(of: slot)?.contains("throws them away after 104857600 more") == true)
    (slot.retainedWALBytes, slot.safeWALBytes) = (5 << 30, nil)
    #expect(FollowService.alarm(of: slot)?.contains("keeps 5368709120 bytes") == true)
  }

  @Test func otherSettingsAreNamedAndNotPrinted() throws {
    let plain = try definition()
    let other = try definition { definition in
      definition.calibrationQuery = Self.secret
      definition.storage = "int8"
      definition.table = "u"
    }
    #expect(plain.settings(otherThan: plain) == [])
    #expect(plain.settings(otherThan: other) == ["--table", "--storage", "--calibration-query"])
    try withPath { path in
      let directory = try DataDirectory(path: path, create: true)
      try save(other, in: directory)
      do {
        _ = try service(directory, CollectionCatalog(), [plain])
        Issue.record("it was taken")
      } catch let error as ServerError {
        #expect(error.code == .invalidConfiguration)
        #expect(error.message.contains("--calibration-query") && error.message.contains("--storage"))
        #expect(!error.message.contains("dont-print-me"))
      }
    }
  }
}
