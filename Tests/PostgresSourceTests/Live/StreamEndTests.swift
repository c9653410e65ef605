// How streams end, and how they do not begin.

import Foundation
import PostgresSource
import Testing

@Suite(.serialized)
struct StreamEndTests {
  private static let setup = "CREATE TABLE t (id int PRIMARY KEY)"
  private static let publication = "CREATE PUBLICATION p FOR TABLE t"

  private func startFailure(_ lab: ReplicationLab, publication: String = "p") throws -> SourceError {
    let connection = try lab.connect()
    return try #require(throws: SourceError.self) {
      try connection.startReplication(slot: lab.slot, from: .unknown, publication: publication)
    }
  }

  @Test func aSlotInUse() throws {
    try ReplicationLab.with(Self.setup, Self.publication) { lab in
      let stream = try lab.stream(temporary: false)
      let error = try startFailure(lab)
      #expect(error.code == .slotInUse && error.sqlState == "55006" && error.message.contains("wal_sender_timeout"))
      let dropping = try #require(throws: SourceError.self) { try lab.connect().dropSlot(lab.slot) }
      #expect(dropping.code == .slotInUse)
      // The one that has it goes on.
      try lab.database.run("INSERT INTO t VALUES (1)")
      #expect(try stream.transaction().count == 1)
    }
  }

  @Test func aSlotThatIsNotThere() throws {
    try ReplicationLab.with(Self.setup, Self.publication) { lab in
      let error = try startFailure(lab)
      #expect(error.code == .slotMissing && error.sqlState == "42704")
    }
  }

  @Test func aPublicationThatIsNotThere() throws {
    try ReplicationLab.with(Self.setup, Self.publication) { lab in
      _ = try lab.connect().createSlot(lab.slot, exportsSnapshot: false)
      let error = try startFailure(lab, publication: "q")
      #expect(error.code == .publicationMissing && error.message.contains("\"q\""))
    }
  }

  /// From PostgreSQL 18 on the server only warns, and leaves the changes out.
  @Test func aPublicationThatIsDroppedMeanwhile() throws {
    try ReplicationLab.with(Self.setup, Self.publication) { lab in
      let stream = try lab.stream()
      try lab.database.run("INSERT INTO t VALUES (1)")
      #expect(try stream.transaction().count == 1)
      try lab.database.run("DROP PUBLICATION p", "INSERT INTO t VALUES (2)")
      let error = try stream.failure()
      #expect(error.code == .publicationMissing && error.message.contains("\"p\""), "\(error)")
    }
  }

  /// The publication is there now, but was not when the changes were made.
  @Test func aPublicationThatCameTooLate() throws {
    try ReplicationLab.with(Self.setup) { lab in
      let connection = try lab.connect()
      let created = try connection.createSlot(lab.slot, temporary: true, exportsSnapshot: false)
      try lab.database.run("INSERT INTO t VALUES (1)", Self.publication)
      try connection.startReplication(slot: lab.slot, from: created.consistentPoint, publication: "p")
      let error = try StreamReader(connection, position: created.consistentPoint).failure()
      #expect(error.code == .publicationMissing, "\(error)")
    }
  }

  @Test func theServerEndsTheSender() throws {
    try ReplicationLab.with(Self.setup, Self.publication) { lab in
      let stream = try lab.stream(temporary: false)
      let pid = try #require(try lab.facts()?.activePID)
      #expect(try lab.database.value("SELECT pg_terminate_backend(\(pid))") == "t")
      let error = try stream.failure()
      #expect(error.code == .connectionLost, "\(error)")
      #expect(try lab.facts() != nil)
    }
  }

  @Test func aRaisedStopFlagEndsEveryWait() throws {
    try ReplicationLab.with(Self.setup, Self.publication) { lab in
      let stop = StopFlag()
      let connection = try lab.connect(stop: stop)
      let created = try connection.createSlot(lab.slot, temporary: true, exportsSnapshot: false)
      try connection.startReplication(slot: lab.slot, from: created.consistentPoint, publication: "p")
      let raising = Background {
        usleep(200_000)
        stop.raise()
      }
      let error = try #require(throws: SourceError.self) {
        while true { _ = try connection.receive(timeoutMilliseconds: 600_000) { _ in } }
      }
      try raising.wait()
      #expect(error.code == .cancelled)
      let late = try #require(throws: SourceError.self) { try lab.connect(stop: stop) }
      #expect(late.code == .cancelled)
    }
  }

  /// A slot waits for the transactions that write; the flag ends that too.
  @Test func aRaisedStopFlagEndsTheMakingOfASlot() throws {
    try ReplicationLab.with(Self.setup) { lab in
      let writer = try lab.database.connect()
      try writer.query("BEGIN")
      try writer.query("INSERT INTO t VALUES (1)")
      let stop = StopFlag()
      let connection = try lab.connect(stop: stop)
      let raising = Background {
        usleep(200_000)
        stop.raise()
      }
      let error = try #require(throws: SourceError.self) {
        try connection.createSlot(lab.slot, temporary: true)
      }
      try raising.wait()
      #expect(error.code == .cancelled)
      try writer.query("ROLLBACK")
    }
  }

  /// Nor is it waited for for ever; and the server, too, gives it up.
  @Test func theMakingOfASlotHasAnEnd() throws {
    try ReplicationLab.with(Self.setup) { lab in
      let writer = try lab.database.connect()
      try writer.query("BEGIN")
      try writer.query("INSERT INTO t VALUES (1)")
      let connection = try lab.connect()
      let error = try #require(throws: SourceError.self) {
        try connection.createSlot(lab.slot, temporary: true, patienceSeconds: 0.3)
      }
      #expect(error.code == .transactionsOpen && error.message.contains("pg_stat_activity"))
      try eventually { try lab.facts() == nil }
      try writer.query("COMMIT")
      let created = try lab.connect().createSlot(lab.slot, temporary: true, patienceSeconds: 60)
      #expect(created.snapshot != nil)
    }
  }

  /// A transaction that has written wants a lock of the table behind which a load would have it wait.
  @Test func aLoadIsInNoTransactionsWay() throws {
    try ReplicationLab.with(
      "CREATE TABLE v (id int PRIMARY KEY, v vector(1))", "INSERT INTO v VALUES (1, '[1]'), (2, '[2]')"
    ) { lab in
      let writer = try lab.database.connect()
      try writer.query("BEGIN")
      try writer.query("UPDATE v SET v = '[3]' WHERE id = 1")
      let reader = try lab.database.reader(.table(TableSource("v")))
      let failure = Locked<SourceError?>(nil)
      let loading = Background {
        do {
          _ = try reader.read(underSlot: lab.slot, slotPatienceSeconds: 15, { _ in }, check: { _ in })
        } catch let error as SourceError {
          failure.with { $0 = error }
        }
      }
      // It looks again and again at which transactions are open.
      let looker = try lab.database.connect()
      try eventually {
        try !looker.query(
          """
          SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
             AND (query LIKE 'SELECT pg_snapshot_xmin%' OR query LIKE 'CREATE_REPLICATION_SLOT%')
          """
        ).isEmpty
      }
      try writer.query("ALTER TABLE v ADD COLUMN n int")
      try loading.wait()
      let error = try #require(failure.with { $0 })
      #expect(error.code == .transactionsOpen)
      // Other tests may have one open for longer.
      #expect(error.message.contains("the process ") && error.message.contains("has had a transaction open"))
      try writer.query("COMMIT")

      let again = try lab.database.reader(.table(TableSource("v")))
      let summary = try again.read(underSlot: lab.slot, { _ in }, check: { _ in })
      #expect(summary.rows == 2 && summary.lsn > .unknown)
    }
  }

  // MARK: Attaching

  @Test func attachingToARealSlot() throws {
    try ReplicationLab.with(Self.setup, Self.publication) { lab in
      let connection = try lab.connect()
      let server = try connection.identifySystem()
      let created = try connection.createSlot(lab.slot, exportsSnapshot: false)
      var local = AttachCheck.Local(
        slot: lab.slot, systemIdentifier: server.systemIdentifier, timeline: server.timeline,
        database: lab.database.name, applied: created.consistentPoint)
      func verdict() throws -> AttachVerdict {
        let other = try lab.connect()
        let server = try other.identifySystem()
        return AttachCheck.verdict(
          local: local, server: server, history: try other.timelineHistory(of: server.timeline), slot: try lab.facts())
      }
      func refusal() throws -> SourceError.Code? {
        if case .refuse(let refusal) = try verdict() { refusal.reason } else { nil }
      }
      #expect(try verdict() == .attach(at: created.consistentPoint, warnings: []))

      try connection.startReplication(slot: lab.slot, from: local.applied, publication: "p")
      #expect(try refusal() == .slotInUse)
      let stream = StreamReader(connection, position: local.applied)
      try lab.database.run("INSERT INTO t VALUES (1)")
      _ = try stream.transaction()
      try connection.sendStatus(write: stream.position, flush: stream.position, apply: stream.position)
      try eventually { try lab.facts()?.confirmedFlushLSN == stream.position }
      let pid = try #require(try lab.facts()?.activePID)
      _ = try lab.database.value("SELECT pg_terminate_backend(\(pid))")
      try eventually { try lab.facts()?.activePID == nil }

      // What was acknowledged is not kept here: an older copy.
      #expect(try refusal() == .historyDiverged)
      local.applied = stream.position
      #expect(try verdict() == .attach(at: stream.position, warnings: []))
      try lab.connect().dropSlot(lab.slot)
      #expect(try refusal() == .slotMissing)
    }
  }
}
