// What breaks on the way is an error, once, and never a success with rows missing.

import Foundation
import PostgresSource
import Testing
import VectorIndex

@Suite(.serialized)
struct FailureTests {
  private struct SinkFailure: Error {}
  private struct NobodyToInterrupt: Error {}

  /// A table whose read takes many ranges and more bytes than all buffers between server and sink hold.
  private func withLargeTable(_ body: (LiveDatabase) throws -> Void) throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (id int PRIMARY KEY, v vector(384))",
        "INSERT INTO t SELECT g, array_fill(1::real, ARRAY[384])::vector FROM generate_series(1, 30000) g")
      try body(database)
    }
  }

  /// Reads, and runs `interrupt` once, inside the first call of the sink.
  private func read(
    _ reader: BulkReader, interruptedBy interrupt: @escaping @Sendable () throws -> Void
  ) throws -> SourceError {
    let isFirst = Locked(true)
    return try #require(throws: SourceError.self) {
      try reader.read { _ in
        if isFirst.with({ first in
          defer { first = false }
          return first
        }) {
          try interrupt()
        }
      }
    }
  }

  @Test func unreachableServer() throws {
    // Nothing listens on port 1.
    let options = try ConnectionOptions("host=127.0.0.1 port=1 dbname=app user=alice password=s3cr3tword")
    let reader = try BulkReader(connection: options, source: .table(TableSource("t")))
    let error = try #require(throws: SourceError.self) { try reader.describe() }
    #expect(error.code == .connectionFailed)
    #expect(error.message.contains("host=127.0.0.1") && error.message.contains("port=1"))
    #expect(!error.message.contains("s3cr3tword"))
    let noHost = try ConnectionOptions("postgresql://alice:s3cr3tword@no-such-host.invalid/app")
    let unresolved = try #require(throws: SourceError.self) {
      try BulkReader(connection: noHost, source: .table(TableSource("t"))).read { _ in }
    }
    #expect(unresolved.code == .connectionFailed)
    #expect(!unresolved.message.contains("s3cr3tword"))
  }

  @Test func wrongPasswordAndMissingDatabase() throws {
    try LiveDatabase.with { database in
      let role = database.name + "_login"
      let admin = try database.connect()
      try admin.query("CREATE ROLE \(role) LOGIN PASSWORD 'right'")
      defer { _ = try? admin.query("DROP ROLE \(role)") }
      let port = try database.value("SHOW port") ?? ""
      for (password, databaseName) in [("s3cr3tword", database.name), ("right", "no_such_database")] {
        // Over TCP, because a socket may trust its users.
        let options = try ConnectionOptions(
          "postgresql://\(role):\(password)@127.0.0.1:\(port)/\(databaseName)?sslmode=disable")
        let error = try #require(throws: SourceError.self) {
          try BulkReader(connection: options, source: .table(TableSource("t"))).describe()
        }
        #expect(error.code == .connectionFailed)
        #expect(error.message.contains(role))
        #expect(!error.description.contains(password + "@") && !error.description.contains("s3cr3tword"))
      }
    }
  }

  @Test func aWorkersBackendIsTerminated() throws {
    try withLargeTable { database in
      let reader = try database.reader(.table(TableSource("t")), workers: 2)
      let error = try read(reader) {
        let killed = try database.connect().query(
          """
          SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND query LIKE 'COPY%' AND pid <> pg_backend_pid()
          """)
        guard !killed.isEmpty else { throw NobodyToInterrupt() }
      }
      #expect(error.code == .connectionLost)
      #expect(reader.progress.rows < 30_000)
    }
  }

  @Test(arguments: ["query LIKE '%pg_locks%'", "query NOT LIKE '%pg_locks%'"])
  func whatHoldsTheLocksOrTheSnapshotIsTerminated(condition: String) throws {
    try withLargeTable { database in
      let reader = try database.reader(.table(TableSource("t")), workers: 1)
      let error = try read(reader) {
        let killed = try database.connect().query(
          """
          SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND state = 'idle in transaction' AND \(condition)
          """)
        guard killed.count == 1 else { throw NobodyToInterrupt() }
      }
      #expect(error.code == .connectionLost)
    }
  }

  @Test func aStatementIsCancelledOnTheServer() throws {
    try withLargeTable { database in
      let reader = try database.reader(.table(TableSource("t")), workers: 1)
      let error = try read(reader) {
        _ = try database.connect().query(
          "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%'"
        )
      }
      #expect(error.code == .serverError)
      #expect(error.sqlState == "57014")
    }
  }

  @Test func anErrorInTheMiddleOfTheRows() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (id int PRIMARY KEY, v vector(1))",
        "INSERT INTO t SELECT g, '[1]' FROM generate_series(1, 50000) g")
      let error = try #require(throws: SourceError.self) {
        try database.readAll(.table(TableSource("t", filter: "1 / (id - 40000) IS NOT NULL")))
      }
      #expect(error.code == .serverError)
      #expect(error.sqlState == "22012")
    }
  }

  @Test func theSinksErrorEndsTheRead() throws {
    try withLargeTable { database in
      let reader = try database.reader(.table(TableSource("t")), workers: 3)
      let calls = Locked(0)
      #expect(throws: SinkFailure.self) {
        try reader.read { _ in
          let call = calls.with { calls in
            calls += 1
            return calls
          }
          if call == 2 { throw SinkFailure() }
        }
      }
      #expect(reader.progress.rows < 30_000)
    }
  }

  @Test func cancelled() throws {
    try withLargeTable { database in
      let reader = try database.reader(.table(TableSource("t")), workers: 2)
      let error = try read(reader) { reader.cancel() }
      #expect(error.code == .cancelled)
      #expect(reader.progress.rows < 30_000)
      #expect(try #require(throws: SourceError.self) { try reader.describe() }.code == .cancelled)
    }
  }

  /// The server says nothing for an hour: the stop flag has to end the wait, and the server has to notice.
  @Test func cancelledWhileTheServerIsSilent() throws {
    try LiveDatabase.with { database in
      let query = QuerySource(
        "SELECT 1 AS id, '[1]'::vector(1) AS v, pg_sleep(3600)", keyColumns: ["id"], vectorColumn: "v")
      let reader = try database.reader(.query(query))
      let canceller = Background {
        usleep(500_000)
        reader.cancel()
      }
      let error = try #require(throws: SourceError.self) { try reader.read { _ in } }
      try canceller.wait()
      #expect(error.code == .cancelled)
      let others =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%' AND pid <> pg_backend_pid()"
      var remaining = try database.value(others)
      for _ in 0..<100 where remaining != "0" {
        usleep(100_000)
        remaining = try database.value(others)
      }
      #expect(remaining == "0")
    }
  }

  @Test func noConnectionIsLeftBehind() throws {
    try withLargeTable { database in
      for fails in [false, true] {
        let reader = try database.reader(.table(TableSource("t")), workers: 4)
        _ = try? reader.read { _ in if fails { throw SinkFailure() } }
        let others =
          "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        var remaining = try database.value(others)
        for _ in 0..<100 where remaining != "0" {
          usleep(100_000)
          remaining = try database.value(others)
        }
        #expect(remaining == "0")
      }
    }
  }
}
