// A replication connection on a live server: who it is, slots, a publication's changes in binary, and every way in which a stream ends.

import Foundation
import PostgresSource
import Testing
import VectorIndex

@Suite(.serialized)
struct ReplicationTests {
  private static let randomVector = "(SELECT array_agg(random()) FROM generate_series(1, 768))::vector"

  // MARK: Questions and slots

  @Test func whoTheServerIs() throws {
    try ReplicationLab.with("CREATE PUBLICATION \"odd 'p'\\\"") { lab in
      let connection = try lab.connect()
      let identity = try connection.identifySystem()
      let control = try lab.database.connect().query("SELECT system_identifier FROM pg_control_system()")
      #expect(String(Int64(bitPattern: identity.systemIdentifier)) == control[0][0])
      #expect(identity.database == lab.database.name && identity.timeline >= 1 && identity.position > .unknown)
      #expect(try connection.timelineHistory(of: 1) == .first)
      #expect(try connection.publicationExists("odd 'p'\\"))
      #expect(try !connection.publicationExists("p"))
      // What is not there is an error of the server's, and the connection is still of use.
      #expect(throws: SourceError.self) { try connection.timelineHistory(of: 4_000_000_000) }
      #expect(try connection.identifySystem().systemIdentifier == identity.systemIdentifier)
    }
  }

  @Test func aSlotAndItsSnapshot() throws {
    try ReplicationLab.with("CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)") { lab in
      let connection = try lab.connect()
      let created = try connection.createSlot(lab.slot)
      #expect(created.name == lab.slot && created.consistentPoint > .unknown)
      let snapshot = try #require(created.snapshot)
      try lab.database.run("INSERT INTO t VALUES (2)")
      let reader = try lab.database.connect()
      try reader.query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ")
      try reader.query("SET TRANSACTION SNAPSHOT \(SQLText.literal(snapshot))")
      #expect(try reader.query("SELECT id FROM t") == [["1"]])
      try reader.query("COMMIT")

      let facts = try #require(try lab.facts())
      #expect(facts.plugin == "pgoutput" && facts.database == lab.database.name && !facts.isTemporary && !facts.isLost)
      #expect(facts.confirmedFlushLSN == created.consistentPoint && facts.activePID == nil)
      #expect(facts.walStatus != nil && facts.retainedWALBytes != nil && facts.invalidationReason == nil)
      #expect(facts.isFailover == (connection.serverVersion >= 170_000))

      let again = try #require(throws: SourceError.self) { try lab.connect().createSlot(lab.slot) }
      #expect(again.code == .slotExists && again.sqlState == "42710")
      try connection.dropSlot(lab.slot)
      #expect(try lab.facts() == nil)
      let missing = try #require(throws: SourceError.self) { try connection.dropSlot(lab.slot) }
      #expect(missing.code == .slotMissing && missing.sqlState == "42704")
    }
  }

  @Test func aTemporarySlotGoesWithItsConnection() throws {
    try ReplicationLab.with { lab in
      var connection: ReplicationConnection? = try lab.connect()
      let created = try #require(try connection?.createSlot(lab.slot, temporary: true, exportsSnapshot: false))
      #expect(created.snapshot == nil)
      let facts = try #require(try lab.facts())
      #expect(facts.isTemporary && facts.activePID != nil && !facts.isFailover)
      connection = nil
      try eventually { try lab.facts() == nil }
    }
  }

  @Test func whoMayNotReplicate() throws {
    try ReplicationLab.with { lab in
      let role = lab.database.name + "_plain"
      let admin = try lab.database.connect()
      try admin.query("CREATE ROLE \(role) LOGIN PASSWORD 'right'")
      defer { _ = try? admin.query("DROP ROLE \(role)") }
      let plain = try #require(throws: SourceError.self) {
        try ReplicationConnection(lab.database.options.setting("user", to: role), stop: StopFlag())
      }
      #expect(plain.code == .connectionFailed && plain.message.contains("ALTER ROLE … REPLICATION"))
      let port = try lab.database.value("SHOW port") ?? ""
      let options = try ConnectionOptions(
        "postgresql://\(role):s3cr3tword@127.0.0.1:\(port)/\(lab.database.name)?sslmode=disable")
      let wrong = try #require(throws: SourceError.self) { try ReplicationConnection(options, stop: StopFlag()) }
      #expect(wrong.code == .connectionFailed && !wrong.description.contains("s3cr3tword"))
    }
  }

  // MARK: Changes

  @Test func allKindsOfChangesInBinary() throws {
    try ReplicationLab.with(
      "CREATE TABLE t (id bigint PRIMARY KEY, v vector(768), n int, note text)", "CREATE PUBLICATION p FOR TABLE t"
    ) { lab in
      let stream = try lab.stream()
      let writer = try lab.database.connect()
      try writer.query("INSERT INTO t VALUES (7, \(Self.randomVector), -2, NULL)")
      let vector = try #require(
        try writer.query("SELECT encode(vector_send(v), 'hex') FROM t").first?[0].map(Self.bytes(hexadecimal:)))

      let inserted = try stream.transaction()
      let relation = try #require(stream.relations.values.first)
      #expect(relation.schema == "public" && relation.name == "t" && relation.replicaIdentity == .primaryKey)
      #expect(relation.columns.map(\.name) == ["id", "v", "n", "note"])
      #expect(relation.columns.map(\.isKey) == [true, false, false, false])
      #expect(relation.columns[0].typeOID == 20 && relation.columns[1].typeModifier == 768)
      try expect(
        inserted,
        ["binary \(PgOutputBytes.big(Int64(7)))", "binary \(vector)", "binary \(PgOutputBytes.big(Int32(-2)))", "null"]
      ) {
        if case .insert(let insert) = $0, insert.relation == relation.id { insert.new } else { nil }
      }

      // A vector of 768 dimensions lies out of line, so it is not sent again.
      try writer.query("UPDATE t SET note = 'é'")
      try expect(
        try stream.transaction(),
        [
          "binary \(PgOutputBytes.big(Int64(7)))", "unchanged", "binary \(PgOutputBytes.big(Int32(-2)))",
          "binary [195, 169]",
        ]
      ) {
        if case .update(let update) = $0, update.old == nil { update.new } else { nil }
      }

      try writer.query("UPDATE t SET id = 8")
      let moved = try stream.transaction()
      try expect(moved, ["binary \(PgOutputBytes.big(Int64(7)))", "null", "null", "null"]) {
        if case .update(let update) = $0, case .key(let key)? = update.old { key } else { nil }
      }
      try expect(
        moved,
        [
          "binary \(PgOutputBytes.big(Int64(8)))", "unchanged", "binary \(PgOutputBytes.big(Int32(-2)))",
          "binary [195, 169]",
        ]
      ) {
        if case .update(let update) = $0 { update.new } else { nil }
      }

      try writer.query("DELETE FROM t")
      try expect(try stream.transaction(), ["binary \(PgOutputBytes.big(Int64(8)))", "null", "null", "null"]) {
        if case .delete(let delete) = $0, case .key(let key) = delete.old { key } else { nil }
      }

      try writer.query("TRUNCATE t RESTART IDENTITY")
      let truncated = try stream.transaction()
      #expect(
        truncated.map(\.value) == [
          .truncate(PgOutputMessage.Truncate(relations: [relation.id], cascades: false, restartsIdentity: true))
        ])

      // The whole old row, with the vector that is out of line.
      try writer.query("ALTER TABLE t REPLICA IDENTITY FULL")
      try writer.query("INSERT INTO t VALUES (1, \(Self.randomVector), 0, 'x')")
      _ = try stream.transaction()
      try writer.query("UPDATE t SET n = 1")
      let full = try stream.transaction()
      #expect(stream.relations[relation.id]?.replicaIdentity == .full)
      guard case .update(let update)? = full.first?.value, case .full(let old)? = update.old else {
        Issue.record("no whole old row: \(full)")
        return
      }
      guard case .binary(let place) = old.fields[1] else {
        Issue.record("the old row has no vector")
        return
      }
      #expect(place.count == vector.count)
    }
  }

  @Test func messagesOfTheApplications() throws {
    try ReplicationLab.with("CREATE TABLE t (id int PRIMARY KEY)", "CREATE PUBLICATION p FOR TABLE t") { lab in
      let stream = try lab.stream()
      let writer = try lab.database.connect()
      try writer.query("SELECT pg_logical_emit_message(false, 'loose', 'a')")
      try writer.query("BEGIN")
      try writer.query("SELECT pg_logical_emit_message(true, 'bound', 'bc')")
      try writer.query("INSERT INTO t VALUES (1)")
      try writer.query("COMMIT")
      let transaction = try stream.transaction()
      #expect(transaction.count == 2)
      for (found, isTransactional, prefix, text) in [
        (stream.loose.first, false, "loose", "a"), (transaction.first, true, "bound", "bc"),
      ] {
        let found = try #require(found)
        guard case .message(let message) = found.value else {
          Issue.record("\(found.value) is no message")
          return
        }
        #expect(message.isTransactional == isTransactional && message.prefix == prefix && message.lsn > .unknown)
        #expect(Array(found.bytes[message.content]) == Array(text.utf8))
      }
    }
  }

  /// Nothing of a subtransaction that is rolled back comes, and what a large transaction changes comes at its commit, not before.
  @Test func onlyWhatIsCommitted() throws {
    try ReplicationLab.with("CREATE TABLE t (id int PRIMARY KEY)", "CREATE PUBLICATION p FOR TABLE t") { lab in
      let stream = try lab.stream()
      let writer = try lab.database.connect()
      try writer.query("BEGIN")
      try writer.query("INSERT INTO t VALUES (1)")
      try writer.query("SAVEPOINT s")
      try writer.query("INSERT INTO t SELECT generate_series(100, 20000)")
      try writer.query("ROLLBACK TO s")
      try writer.query("INSERT INTO t VALUES (2)")
      try lab.database.run("INSERT INTO t VALUES (3)")
      try writer.query("COMMIT")
      var ids: [[Int32]] = []
      for _ in 0..<2 {
        ids.append(
          try stream.transaction().compactMap { message in
            guard case .insert(let insert) = message.value, case .binary(let place)? = insert.new.fields.first else {
              return nil
            }
            return message.bytes[place].reduce(Int32(0)) { $0 << 8 | Int32($1) }
          })
      }
      #expect(ids == [[3], [1, 2]])
    }
  }

  // MARK: Status

  @Test func whatIsAcknowledgedMovesTheSlot() throws {
    try ReplicationLab.with("CREATE TABLE t (id int PRIMARY KEY)", "CREATE PUBLICATION p FOR TABLE t") { lab in
      let stream = try lab.stream(temporary: false)
      let start = try #require(try lab.facts()?.confirmedFlushLSN)
      try lab.database.run("INSERT INTO t VALUES (1)")
      _ = try stream.transaction()
      try stream.connection.sendStatus(
        write: stream.position, flush: .unknown, apply: .unknown, requestsReply: true)
      // The reply shows that the status was read; it acknowledges nothing.
      var walEnd: LSN?
      while walEnd == nil {
        if case .keepalive(let end, _)? = try stream.connection.receive(timeoutMilliseconds: 10_000, { _ in }) {
          walEnd = end
        }
      }
      #expect(try #require(walEnd) >= stream.position)
      #expect(try lab.facts()?.confirmedFlushLSN == start)
      #expect(try lab.facts()?.activePID != nil)
      try stream.connection.sendStatus(write: stream.position, flush: stream.position, apply: stream.position)
      try eventually { try lab.facts()?.confirmedFlushLSN == stream.position }
    }
  }

  @Test func nothingComesInTime() throws {
    try ReplicationLab.with("CREATE TABLE t (id int PRIMARY KEY)", "CREATE PUBLICATION p FOR TABLE t") { lab in
      let stream = try lab.stream()
      // Keepalives may come first.
      var events = 0
      while try stream.connection.receive(timeoutMilliseconds: 0, { _ in }) != nil { events += 1 }
      #expect(events < 1_000)
      struct Refused: Error {}
      try lab.database.run("INSERT INTO t VALUES (1)")
      #expect(throws: Refused.self) {
        while true { _ = try stream.connection.receive(timeoutMilliseconds: 10_000) { _ in throw Refused() } }
      }
    }
  }

  // MARK: Helpers

  private func expect(
    _ messages: [StreamReader.Message], _ values: [String],
    sourceLocation: SourceLocation = #_sourceLocation, _ tuple: (PgOutputMessage) -> PgOutputMessage.Tuple?
  ) throws {
    let message = try #require(messages.first, sourceLocation: sourceLocation)
    #expect(messages.count == 1, sourceLocation: sourceLocation)
    let found = try #require(tuple(message.value), "\(message.value)", sourceLocation: sourceLocation)
    #expect(PgOutputBytes.values(found, in: message.bytes) == values, sourceLocation: sourceLocation)
  }

  private static func bytes(hexadecimal text: String) -> [UInt8] {
    let digits = Array(text.utf8).map { UInt8($0 > 0x39 ? $0 - 0x57 : $0 - 0x30) }
    return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }
}
