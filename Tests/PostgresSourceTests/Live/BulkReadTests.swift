// Whole reads on a live server, against what SQL says is there.

import Foundation
import PostgresSource
import Testing
import VectorIndex

@Suite(.serialized)
struct BulkReadTests {
  private struct Wrong: Error {
    var what: String
  }

  @Test func everyTypeOfKey() throws {
    try LiveDatabase.with { database in
      let cases: [(type: String, values: [(sql: String, id: RecordID)])] = [
        ("smallint", [("-32768", .int64(-32_768)), ("32767", .int64(32_767))]),
        ("integer", [("-2147483648", .int64(-2_147_483_648)), ("7", .int64(7))]),
        ("bigint", [("-9223372036854775808", .int64(.min)), ("9223372036854775807", .int64(.max))]),
        (
          "uuid",
          [
            (
              "'6f1c0a00-0000-4000-8000-00000000beef'", .uuid(high: 0x6F1C_0A00_0000_4000, low: 0x8000_0000_0000_BEEF)
            )
          ]
        ),
        (
          "text",
          [
            ("''", .text("")), ("'Ünïcode 🐘'", .text("Ünïcode 🐘")),
            ("repeat('x', 2600)", .text(String(repeating: "x", count: 2_600))),
          ]
        ),
        ("varchar(10)", [("'abc'", .text("abc"))]),
        ("char(5)", [("'abc'", .text("abc  "))]),
      ]
      for (type, values) in cases {
        try database.run("DROP TABLE IF EXISTS t", "CREATE TABLE t (id \(type) PRIMARY KEY, v vector(2))")
        for (number, value) in values.enumerated() {
          try database.run("INSERT INTO t VALUES (\(value.sql), '[\(number),-0.5]')")
        }
        let rows = try database.readAll(.table(TableSource("t"))).rows
        #expect(rows.count == values.count)
        for (number, value) in values.enumerated() { #expect(rows[value.id] == [Float(number), -0.5], "\(type)") }
      }
    }
  }

  @Test func compositeKey() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (v halfvec(2), part int, tenant text, PRIMARY KEY (tenant, part))",
        "INSERT INTO t VALUES ('[1,2]', 1, 'a'), ('[3,4]', 2, 'a'), ('[5,6]', 1, 'b')")
      let rows = try database.readAll(.table(TableSource("t"))).rows
      #expect(
        rows == [
          .composite([.text("a"), .int64(1)]): [1, 2], .composite([.text("a"), .int64(2)]): [3, 4],
          .composite([.text("b"), .int64(1)]): [5, 6],
        ])
    }
  }

  @Test(arguments: ["vector", "halfvec"])
  func componentsAsPostgresHasThem(type: String) throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (id int PRIMARY KEY, v \(type)(17))",
        "SELECT setseed(0.25)",
        """
        INSERT INTO t
        SELECT g, (SELECT array_agg(x) FROM (SELECT ((random() - 0.5) * 10 ^ (g % 9 - 4))::real AS x
                                               FROM generate_series(1, 17)) AS s)::\(type)
          FROM generate_series(1, 300) g
        """)
      let rows = try database.readAll(.table(TableSource("t"))).rows
      let expected = try database.connect().query("SELECT id, v::text FROM t")
      #expect(rows.count == 300 && expected.count == 300)
      for row in expected {
        // The text form has the shortest digits that give the same f32 back.
        let components = row[1]!.dropFirst().dropLast().split(separator: ",").map { Float($0)! }
        #expect(rows[.int64(Int64(row[0]!)!)] == components)
      }
    }
  }

  @Test func partitionsOfTwoLevels() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (id int, region text, v vector(2), PRIMARY KEY (id, region)) PARTITION BY LIST (region)",
        "CREATE TABLE t_eu PARTITION OF t FOR VALUES IN ('eu') PARTITION BY RANGE (id)",
        "CREATE TABLE \"t eu \"\"low\"\"\" PARTITION OF t_eu FOR VALUES FROM (0) TO (500)",
        "CREATE TABLE t_eu_high PARTITION OF t_eu FOR VALUES FROM (500) TO (2000)",
        // Other columns in another order.
        "CREATE TABLE t_us (v vector(2), gone int, region text NOT NULL, id int NOT NULL)",
        "ALTER TABLE t_us DROP COLUMN gone", "ALTER TABLE t ATTACH PARTITION t_us FOR VALUES IN ('us')",
        "CREATE TABLE t_empty PARTITION OF t DEFAULT",
        "INSERT INTO t SELECT g, CASE g % 3 WHEN 0 THEN 'us' ELSE 'eu' END, ARRAY[g, -g]::vector FROM generate_series(1, 1500) g"
      )
      let (rows, summary) = try database.readAll(.table(TableSource("t")))
      #expect(summary.description.leaves.map(\.name) == ["t eu \"low\"", "t_empty", "t_eu_high", "t_us"])
      #expect(rows.count == 1_500)
      for id in 1...1_500 {
        let region = id % 3 == 0 ? "us" : "eu"
        #expect(rows[.composite([.int64(Int64(id)), .text(region)])] == [Float(id), Float(-id)])
      }
      // A leaf and an inner part are tables too.
      #expect(try database.readAll(.table(TableSource("t_eu"))).rows.count == 1_000)
      #expect(try database.readAll(.table(TableSource("t_us"))).rows.count == 500)
    }
  }

  @Test func inheritanceChildren() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (id int PRIMARY KEY, v vector(1))", "CREATE TABLE child (extra text) INHERITS (t)",
        "INSERT INTO t VALUES (1, '[1]')", "INSERT INTO child VALUES (2, '[2]', 'x')")
      #expect(try database.readAll(.table(TableSource("t"))).rows == [.int64(1): [1], .int64(2): [2]])
    }
  }

  @Test func manyRangesAndBatches() throws {
    try LiveDatabase.with { database in
      // Inline vectors, about five a block: 4,000 blocks.
      try database.run(
        "CREATE TABLE t (id int PRIMARY KEY, v vector(384))",
        "INSERT INTO t SELECT g, array_fill((g % 1000)::real, ARRAY[384])::vector FROM generate_series(1, 20000) g",
        "DELETE FROM t WHERE id % 10 = 0")
      for workers in [1, 3, 8] {
        let reader = try database.reader(.table(TableSource("t")), workers: workers)
        let seen = Locked<[Int64: Float]>([:])
        let places = Locked<Set<[Int]>>([])
        let summary = try reader.read { batch in
          guard batch.vectors.count == batch.count * 384, batch.dimension == 384,
            places.with({ $0.insert([batch.range, batch.ordinal]).inserted })
          else { throw Wrong(what: "batch \(batch.range).\(batch.ordinal)") }
          try seen.with { seen in
            for i in 0..<batch.count {
              guard case .int64(let id) = batch.ids[i],
                seen.updateValue(batch.vectors[i * 384 + 383], forKey: id) == nil
              else { throw Wrong(what: "id \(batch.ids[i])") }
            }
          }
        }
        let rows = seen.with { $0 }
        #expect(summary.rows == 18_000 && rows.count == 18_000)
        #expect(rows.allSatisfy { $0.value == Float($0.key % 1_000) })
        #expect(reader.progress.rows == 18_000)
        #expect(reader.progress.ranges >= 8 && reader.progress.rangesDone == reader.progress.ranges)
        #expect(reader.progress.bytes == summary.bytes && summary.bytes > 18_000 * 384 * 4)
      }
    }
  }

  @Test func nullVectorsAreCounted() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (id int PRIMARY KEY, v vector(2))",
        "INSERT INTO t SELECT g, CASE WHEN g % 4 > 0 THEN '[1,2]'::vector END FROM generate_series(1, 100) g")
      let (rows, summary) = try database.readAll(.table(TableSource("t")))
      #expect(rows.count == 75 && summary.rows == 75 && summary.nullVectors == 25)
      try database.run("UPDATE t SET v = NULL")
      let none = try database.readAll(.table(TableSource("t"))).summary
      #expect(none.rows == 0 && none.nullVectors == 100)
    }
  }

  @Test func noRows() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (id int PRIMARY KEY, v vector(2))",
        "CREATE TABLE p (id int PRIMARY KEY, v vector(2)) PARTITION BY RANGE (id)")
      for source in [
        RowSource.table(TableSource("t")), .table(TableSource("p")),
        .query(QuerySource("SELECT * FROM t", keyColumns: ["id"], vectorColumn: "v")),
      ] {
        let (rows, summary) = try database.readAll(source)
        #expect(rows.isEmpty && summary.rows == 0 && summary.nullVectors == 0)
        #expect(summary.lsn != .unknown)
      }
    }
  }

  @Test func filterAndQuery() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE \"T able\" (\"Id\" int PRIMARY KEY, \"a \"\"b\"\"\" vector(1))",
        "INSERT INTO \"T able\" SELECT g, ARRAY[g]::vector FROM generate_series(1, 20) g")
      let filtered = TableSource("\"T able\"", filter: "\"Id\" <= 3 OR \"Id\" = 20 -- the ends")
      #expect(Set(try database.readAll(.table(filtered)).rows.keys) == [.int64(1), .int64(2), .int64(3), .int64(20)])
      let query = QuerySource(
        "SELECT \"Id\"::text || '!' AS \"k\", \"a \"\"b\"\"\"::halfvec(1) AS e FROM \"T able\" ORDER BY 1 LIMIT 2",
        keyColumns: ["k"], vectorColumn: "e")
      let result = try database.readAll(.query(query), workers: 8)
      #expect(result.rows == [.text("10!"): [10], .text("1!"): [1]])
      #expect(result.summary.description.leaves.isEmpty)
    }
  }

  @Test func theVectorsOfAQueryNeedNoKey() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE questions (text text, embedding vector(2))",
        "INSERT INTO questions SELECT 'why?', ARRAY[g, 1]::vector FROM generate_series(1, 20) g",
        "INSERT INTO questions VALUES ('', NULL)")
      for sql in ["SELECT embedding FROM questions -- all\n;", "SELECT * FROM questions", "TABLE questions"] {
        let (rows, summary) = try database.readAll(.query(.vectors(of: sql, rowsMax: 100)))
        #expect(Set(rows.values) == Set((1...20).map { [Float($0), 1] }) && summary.nullVectors == 1)
      }
      let some = QuerySource.vectors(of: "SELECT embedding AS e FROM questions ORDER BY 1 DESC NULLS LAST", rowsMax: 3)
      #expect(
        try database.readAll(.query(some)).rows == [.int64(1): [20, 1], .int64(2): [19, 1], .int64(3): [18, 1]])
      let none = QuerySource.vectors(of: "SELECT text FROM questions", rowsMax: 3)
      #expect(try database.refusal(.query(none)).code == .vectorColumnUnclear)
      let two = QuerySource.vectors(of: "SELECT embedding AS a, embedding AS b FROM questions", rowsMax: 3)
      #expect(try database.refusal(.query(two)).code == .vectorColumnUnclear)
    }
  }

  @Test func nullKeysAreRefused() throws {
    try LiveDatabase.with { database in
      try database.run("CREATE TABLE t (id int, v vector(1))", "INSERT INTO t VALUES (1, '[1]'), (NULL, '[2]')")
      let error = try #require(throws: SourceError.self) {
        try database.readAll(.table(TableSource("t", keyColumns: ["id"])))
      }
      #expect(error.code == .nullKey)
    }
  }

  @Test func aReaderReadsOnce() throws {
    try LiveDatabase.with { database in
      try database.run("CREATE TABLE t (id int PRIMARY KEY, v vector(1))")
      let reader = try database.reader(.table(TableSource("t")))
      _ = try reader.read { _ in }
      let error = try #require(throws: SourceError.self) { try reader.read { _ in } }
      #expect(error.code == .invalidArgument)
    }
  }

  @Test func aChangeOfTheTableAfterItsDescriptionIsNoticed() throws {
    try LiveDatabase.with { database in
      try database.run("CREATE TABLE t (id int PRIMARY KEY, v vector(2))")
      let reader = try database.reader(.table(TableSource("t")))
      _ = try reader.describe()
      try database.run("ALTER TABLE t ALTER COLUMN v TYPE vector(3)")
      let error = try #require(throws: SourceError.self) { try reader.read { _ in } }
      #expect(error.code == .sourceChanged)
    }
  }

  @Test func argumentsAreChecked() throws {
    let options = try ConnectionOptions("host=127.0.0.1")
    for workers in [-1, 0, 65] {
      #expect(throws: SourceError.self) {
        try BulkReader(connection: options, source: .table(TableSource("t")), workers: workers)
      }
    }
  }
}
