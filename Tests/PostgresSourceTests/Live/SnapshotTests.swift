// One moment for all rows, while others write; and the position in the log that goes with it.

import Foundation
import PostgresSource
import Testing
import VectorIndex

@Suite(.serialized)
struct SnapshotTests {
  /// Each transaction takes from one row what it gives to another and replaces a third, so the sum and the number of rows
  /// stay. Updates move rows to other blocks: a read that is not of one moment finds some twice, or not at all.
  @Test func rowsAreOfOneMomentWhileOthersWrite() throws {
    let seed: UInt64 = 0x5EED_5A4B
    print("seed \(seed)")
    try LiveDatabase.with { database in
      let count = 6_000
      try database.run(
        "CREATE TABLE t (id int PRIMARY KEY, filler text, v vector(2)) WITH (fillfactor = 50)",
        "INSERT INTO t SELECT g, repeat('x', 1500), '[100,1]' FROM generate_series(1, \(count)) g")
      let stop = Locked(false)
      let transactions = Locked(0)
      let writer = Background {
        var generator = SeededGenerator(seed: seed)
        let connection = try database.connect()
        var spare = count + 1
        while !stop.with({ $0 }) {
          let from = Int.random(in: 1...(count / 2), using: &generator)
          let to = Int.random(in: 1...(count / 2), using: &generator)
          try connection.query("BEGIN")
          try connection.query("UPDATE t SET v = v - '[1,0]'::vector WHERE id = \(from)")
          try connection.query("UPDATE t SET v = v + '[1,0]'::vector, filler = filler || 'x' WHERE id = \(to)")
          let old = try connection.query(
            "DELETE FROM t WHERE id = (SELECT min(id) FROM t WHERE id > \(count / 2)) RETURNING v::text")
          try connection.query("INSERT INTO t VALUES (\(spare), repeat('y', 1500), '\(old[0][0]!)')")
          try connection.query("COMMIT")
          spare += 1
          transactions.with { $0 += 1 }
        }
      }
      defer { stop.with { $0 = true } }
      while transactions.with({ $0 }) < 20 { usleep(1_000) }
      for _ in 0..<5 {
        let before = transactions.with { $0 }
        let reader = try database.reader(.table(TableSource("t")), workers: 3)
        let collector = Collector()
        let summary = try reader.read { batch in
          usleep(5_000)
          try collector.add(batch)
        }
        let rows = collector.rows
        #expect(rows.count == count)
        #expect(rows.values.reduce(0) { $0 + $1[0] } == Float(count * 100))
        #expect(summary.lsn != .unknown)
        #expect(transactions.with { $0 } > before)
      }
      stop.with { $0 = true }
      try writer.wait()
    }
  }

  @Test func theLSNContainsEveryCommitBeforeTheRead() throws {
    try LiveDatabase.with { database in
      try database.run("CREATE TABLE t (id int PRIMARY KEY, v vector(1))", "INSERT INTO t VALUES (1, '[1]')")
      let before = try #require(LSN(try database.value("SELECT pg_current_wal_flush_lsn()") ?? ""))
      let summary = try database.readAll(.table(TableSource("t"))).summary
      #expect(summary.lsn >= before)
      #expect(summary.warnings.isEmpty)
      let after = try #require(LSN(try database.value("SELECT pg_current_wal_insert_lsn()") ?? ""))
      #expect(summary.lsn <= after)
    }
  }

  /// A running writer may have its commit record in the log already: nobody can tell from outside.
  @Test func theLSNIsUnknownWhileAnotherWrites() throws {
    try LiveDatabase.with { database in
      try database.run("CREATE TABLE t (id int PRIMARY KEY, v vector(1))", "INSERT INTO t VALUES (1, '[1]')")
      let writer = try database.connect()
      try writer.query("BEGIN")
      try writer.query("INSERT INTO t VALUES (2, '[2]')")
      let reader = try database.reader(.table(TableSource("t")), patience: 0.2)
      let summary = try reader.read { _ in }
      #expect(summary.rows == 1)
      #expect(summary.lsn == .unknown)
      #expect(summary.warnings.count == 1)
      #expect(summary.warnings.first?.contains("pg_stat_activity") == true)
      try writer.query("COMMIT")
      let later = try database.readAll(.table(TableSource("t"))).summary
      #expect(later.rows == 2 && later.lsn != .unknown)
    }
  }

  @Test func waitsForAShortWriter() throws {
    try LiveDatabase.with { database in
      try database.run("CREATE TABLE t (id int PRIMARY KEY, v vector(1))")
      let hasWritten = DispatchSemaphore(value: 0)
      let writer = Background {
        let connection = try database.connect()
        try connection.query("BEGIN")
        try connection.query("INSERT INTO t VALUES (1, '[1]')")
        hasWritten.signal()
        usleep(300_000)
        try connection.query("COMMIT")
      }
      hasWritten.wait()
      let (rows, summary) = try database.readAll(.table(TableSource("t")))
      try writer.wait()
      #expect(rows.count == 1 && summary.lsn != .unknown)
    }
  }

  /// TRUNCATE is not transactional for older snapshots: it must wait, or the later ranges would be empty.
  @Test func truncateWaitsForTheRead() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (id int PRIMARY KEY, v vector(384))",
        "INSERT INTO t SELECT g, array_fill(1::real, ARRAY[384])::vector FROM generate_series(1, 10000) g")
      let isReading = DispatchSemaphore(value: 0)
      let reader = try database.reader(.table(TableSource("t")), workers: 2)
      let truncation = Background {
        // It waits for as long as the read takes, which on a busy machine may be long.
        let connection = try Connection(database.options, stop: StopFlag(), lockTimeoutSeconds: 300)
        isReading.wait()
        try connection.query("TRUNCATE t")
      }
      let summary = try reader.read { _ in
        isReading.signal()
        usleep(100_000)
      }
      try truncation.wait()
      #expect(summary.rows == 10_000)
      #expect(try database.value("SELECT count(*) FROM t") == "0")
    }
  }

  @Test func aLockedTableIsNotWaitedForForever() throws {
    try LiveDatabase.with { database in
      try database.run("CREATE TABLE t (id int PRIMARY KEY, v vector(1))")
      let blocker = try database.connect()
      try blocker.query("BEGIN")
      try blocker.query("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
      let connection = try Connection(database.options, stop: StopFlag(), lockTimeoutSeconds: 1)
      let error = try #require(throws: SourceError.self) { try connection.query("SELECT * FROM t") }
      #expect(error.code == .lockTimeout)
    }
  }
}
