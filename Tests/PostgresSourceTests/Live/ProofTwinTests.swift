// The twin of RowHasher: Postgres. The hash of every row that a load reads is the one that SQL computes, and so are the sums.

import Foundation
import TestSupport
import Testing
import VectorIndex

@testable import PostgresSource

@Suite(.serialized)
struct ProofTwinTests {
  /// Loads a source, and compares each row's hash and all sums with Postgres's; under both kinds of metric.
  @discardableResult
  private static func expectEqual(_ database: LiveDatabase, _ source: RowSource, _ what: String) throws -> LoadedRows {
    let loaded = try database.load(source)
    for leavesOut in [false, true] {
      let reader = try database.proof(source, loaded.description, leavesOutZeroVectors: leavesOut)
      #expect(try reader.sums() == loaded.sums(leavesOutZeroVectors: leavesOut), "\(what), \(leavesOut)")
      let rows = try reader.rows(ofBuckets: Array(0..<RowHasher.bucketCount))
      let hashes = loaded.hashes.filter { id, _ in !leavesOut || loaded.rows[id]?.isZero == false }
      #expect(rows.count == hashes.count, "\(what), \(leavesOut)")
      for row in rows { #expect(hashes[row.id] == row.row, "\(what), row \(row.id)") }
    }
    return loaded
  }

  @Test(arguments: testSeeds) func everyTypeOfAttribute(seed: UInt64) throws {
    print("hashes against Postgres, seed \(seed)")
    var random = SeededRandom(seed: seed)
    let columns = FilterSQLTwinTests.columns
    try LiveDatabase.with { database in
      let connection = try database.connect()
      try connection.query("CREATE DOMAIN tag AS varchar(60)")
      let definitions = columns.map { SQLText.identifier($0.name) + " " + $0.sql }
      try connection.query(
        "CREATE TABLE t (id bigint PRIMARY KEY, v vector(3), \(definitions.joined(separator: ", ")))")
      let parameters = columns.indices.map { i in
        "NULLIF($\(i + 1)::text, '~NULL~')::\(columns[i].sql.replacing(" COLLATE \"C\"", with: ""))"
      }
      for id in 0..<Int64(300) {
        let values = columns.map { column in
          random.chance(15) ? AttributeValue.null : column.fit(random.value(column.type))
        }
        let vector = random.chance(10) ? "NULL" : random.chance(10) ? "'[0,-0,0]'" : "'[1e-45,\(id),-0]'"
        try connection.query(
          "INSERT INTO t VALUES (\(id - 150), \(vector), \(parameters.joined(separator: ", ")))",
          values.map { $0 == .null ? "~NULL~" : FilterSQLTwinTests.literal($0) })
      }
      // Not a number as the processor makes it, an array of several dimensions, one that begins elsewhere, and long texts.
      try database.run(
        "UPDATE t SET double = 'Infinity'::float8 - 'Infinity'::float8, single = 'Infinity'::real - 'Infinity'::real WHERE id = 1",
        "UPDATE t SET wholes = '{{1,2},{3,NULL}}', words = '[5:6]={a,b}' WHERE id = 2",
        "UPDATE t SET \"in\" = repeat('ç🐘', 10000), words = array_fill(repeat('x', 9000), ARRAY[20]) WHERE id = 3")
      let attributes = columns.map { SourceAttribute($0.name) }
      var source = TableSource("t", attributes: attributes)
      source.payload = ["in", "at", "wholes", "double"]
      let loaded = try Self.expectEqual(database, .table(source), "seed \(seed)")
      #expect(loaded.rows.count > 200 && loaded.nullVectors > 5)
      #expect(loaded.rows.values.contains { $0.isZero })
      #expect(RowHasher(loaded.description).notCompared.isEmpty)
      // The same rows as a query and in part.
      var query = QuerySource("SELECT * FROM t -- all", keyColumns: ["id"], vectorColumn: "v", attributes: attributes)
      query.payload = source.payload
      try Self.expectEqual(database, .query(query), "query, seed \(seed)")
      source.filter = "flag OR small > 0 -- some"
      let part = try Self.expectEqual(database, .table(source), "filter, seed \(seed)")
      #expect(!part.rows.isEmpty && part.rows.count < loaded.rows.count)
    }
  }

  @Test func everyKeyAndBothTypesOfVectors() throws {
    let keys: [(String, String)] = [
      ("a smallint PRIMARY KEY", "g - 20"), ("a int PRIMARY KEY", "-g"), ("a bigint PRIMARY KEY", "g * 1234567890123"),
      ("a uuid PRIMARY KEY", "md5(g::text)::uuid"), ("a text PRIMARY KEY", "repeat('ç🐘 ', g)"),
      ("a char(12) PRIMARY KEY", "'é' || g"),
      ("a varchar(900) PRIMARY KEY", "g || ' '"), ("a short PRIMARY KEY", "'d' || g"),
      ("a char(5), b int, c uuid, d text, PRIMARY KEY (d, a, c, b)", "g % 3, g, md5(g::text)::uuid, 'x' || g % 5"),
    ]
    try LiveDatabase.with { database in
      try database.run(
        "CREATE SCHEMA \"Odd \"\"one\"", "ALTER EXTENSION vector SET SCHEMA \"Odd \"\"one\"",
        "CREATE DOMAIN short AS varchar(20)")
      for (columns, values) in keys {
        for type in ["vector", "halfvec"] {
          try database.run(
            "DROP TABLE IF EXISTS t",
            "CREATE TABLE t (\(columns), v \"Odd \"\"one\".\(type)(2), n int, title char(8))",
            """
            INSERT INTO t
            SELECT \(values),
                   (CASE g % 7 WHEN 0 THEN NULL WHEN 1 THEN '[0,-0]' ELSE '[' || 6e-8 || ',' || -g || ']' END)::"Odd ""one".\(type),
                   nullif(g % 4, 0), nullif('t' || g, 't9')
              FROM generate_series(1, 40) g
            """)
          var source = TableSource("t", attributes: [SourceAttribute("n")])
          source.payload = ["title"]
          let loaded = try Self.expectEqual(database, .table(source), "\(columns) \(type)")
          #expect(loaded.rows.count == 35 && loaded.nullVectors == 5)
        }
      }
    }
  }

  /// What an index under cosine leaves out is what pgvector's length calls zero, down to the smallest component that there is.
  @Test func zeroIsWhatTheIndexCallsZero() throws {
    try LiveDatabase.with { database in
      for (type, least) in [("vector", "1e-45"), ("halfvec", "6e-8")] {
        try database.run(
          "DROP TABLE IF EXISTS t", "CREATE TABLE t (id int PRIMARY KEY, v \(type)(9))",
          "INSERT INTO t VALUES (1, '[0,0,0,0,0,0,0,0,0]'), (2, '[-0,0,0,0,0,0,0,0,-0]'), (3, '[0,0,0,0,0,0,0,0,\(least)]')",
          "INSERT INTO t VALUES (4, '[-\(least),0,0,0,0,0,0,0,0]'), (5, '[1,0,0,0,0,0,0,0,0]'), (6, NULL)")
        let source = RowSource.table(TableSource("t"))
        let loaded = try database.load(source)
        let index = try HNSWIndex(configuration: HNSWConfiguration(dimension: 9, metric: .cosine, storage: .f32))
        let ids = loaded.rows.keys.sorted { $0.description < $1.description }
        let leftOut = try ids.flatMap { loaded.rows[$0]?.vector ?? [] }.withUnsafeBufferPointer {
          try index.stage(ids, $0)
        }
        #expect(leftOut == [0, 1])
        let sums = try database.proof(source, loaded.description, leavesOutZeroVectors: true).sums()
        #expect(sums.zeroVectors == 2 && sums.nullVectors == 1 && sums == loaded.sums(leavesOutZeroVectors: true))
      }
    }
  }

  @Test func placesInJSONAndWhatIsNotCompared() throws {
    let attributes = try SourceAttribute.list(
      parsing: """
        b=meta->>b:bool, n=meta->n:int8, f=meta->f:float8, s=meta->>'s':text, ns=meta->ns:int8[], ss=meta->ss:text[], t=meta->>t:timestamptz,
        u=meta->>u:uuid, us=meta->us:uuid[]
        """)
    try LiveDatabase.with { database in
      let connection = try database.connect()
      try connection.query("CREATE TABLE t (id int PRIMARY KEY, v vector(1), meta jsonb)")
      let documents = [
        #"{"b": true, "n": 7, "f": 1.5, "s": "pt\n", "t": "2024-01-31T12:00:00Z", "u": "6f1c0a00-0000-4000-8000-00000000beef", "ns": [1, null, 2.0], "ss": ["a", null, {}]}"#,
        #"{"b": 1, "n": 7.5, "f": -0.0, "s": 7, "ns": {}, "ss": []}"#, #"{"f": 1e400, "n": 1e18}"#, #"{"f": 1e-400}"#,
        "[]", "null",
      ]
      for (number, text) in documents.enumerated() {
        try connection.query("INSERT INTO t VALUES (\(number), '[1]', $1::jsonb)", [text])
      }
      try connection.query("INSERT INTO t VALUES (-1, '[1]', NULL)")
      var source = TableSource("t", attributes: attributes)
      source.payload = ["meta"]
      let loaded = try Self.expectEqual(database, .table(source), "places")
      #expect(RowHasher(loaded.description).notCompared == ["t", "u", "us"])
    }
  }

  /// Rows of partitions are read through their root, and only a part of them when the rows are asked for.
  @Test func partitionsAndBuckets() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (id int, v vector(2), body text, PRIMARY KEY (id)) PARTITION BY RANGE (id)",
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (3000)",
        "CREATE TABLE t2 (body text, id int NOT NULL, v vector(2))",
        "ALTER TABLE t ATTACH PARTITION t2 FOR VALUES FROM (3000) TO (9000)",
        "INSERT INTO t SELECT g, '[1,2]', 'body ' || g FROM generate_series(0, 5999) g")
      var table = TableSource("t", attributes: [SourceAttribute("body")])
      table.payload = ["body"]
      let source = RowSource.table(table)
      let loaded = try Self.expectEqual(database, source, "partitions")
      let expected = loaded.sums()
      let reader = try database.proof(source, loaded.description)
      var hasher = RowHasher(loaded.description)

      // One row is another one: its bucket tells, and no other. The row can be found.
      try database.run("UPDATE t SET body = 'else' WHERE id = 4000")
      let bucket = hasher.bucket(of: .int64(4_000))
      let changed = try reader.sums()
      let different = changed.buckets.indices.filter { changed.buckets[$0] != expected.buckets[$0] }
      #expect(different == [bucket])
      let rows = try reader.rows(ofBuckets: different)
      let hashes = loaded.hashes
      #expect(rows.count == expected.buckets[bucket].count)
      #expect(rows.filter { hashes[$0.id] != $0.row }.map(\.id) == [.int64(4_000)])
      #expect(rows.allSatisfy { hasher.bucket(of: $0.id) == bucket })
      #expect(try reader.rows(ofBuckets: []).isEmpty)
      let two = try reader.rows(ofBuckets: [bucket, (bucket + 1) % 4_096])
      #expect(two.count == expected.buckets[bucket].count + expected.buckets[(bucket + 1) % 4_096].count)

      // As of a snapshot that another session holds.
      let holder = try database.connect()
      try holder.query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
      let snapshot = try #require(try holder.query("SELECT pg_export_snapshot()").first?.first ?? nil)
      try database.run("DELETE FROM t WHERE id < 100", "INSERT INTO t VALUES (8000, NULL, NULL)")
      try reader.begin(snapshot: snapshot)
      #expect(try reader.sums() == changed)
      try reader.end()
      let later = try reader.sums()
      #expect(later.nullVectors == 1 && later.buckets.reduce(0) { $0 + $1.count } == 5_900)
      #expect(later == (try database.load(source)).sums())
    }
  }

  /// The bytes are those of UTF-8, whatever the server keeps; in parallel workers, too, whose client encoding is the server's.
  @Test func anotherEncoding() throws {
    try LiveDatabase.with(made: "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0") { database in
      try database.run(
        "CREATE TABLE t (id text PRIMARY KEY, k char(9), v vector(1), body text, tags text[])",
        "INSERT INTO t SELECT 'é' || g, 'ç' || g, '[1]', 'ação ' || g, ARRAY['ü', NULL, 'x'] FROM generate_series(1, 2000) g"
      )
      var table = TableSource("t", keyColumns: ["k"], attributes: [SourceAttribute("body"), SourceAttribute("tags")])
      table.payload = ["body", "id"]
      let loaded = try Self.expectEqual(database, .table(table), "LATIN1")
      let options = database.options.setting(
        "options",
        to:
          "-c parallel_setup_cost=0 -c parallel_tuple_cost=0 -c min_parallel_table_scan_size=0 -c max_parallel_workers_per_gather=2"
      )
      let connection = try Connection(options, stop: StopFlag())
      let sql = ProofSQL(
        source: .table(table), description: loaded.description, leavesOutZeroVectors: true, vectorSchema: "public")
      let plan = try connection.query("EXPLAIN " + sql.sums).map { $0.text(0) }
      #expect(plan.contains { $0.contains("Gather") }, "\(plan)")
      let reader = try ProofReader(
        connection, source: .table(table), description: loaded.description, leavesOutZeroVectors: true)
      #expect(try reader.sums() == loaded.sums())
    }
  }

  /// The statement that docs/PROOF.md shows is one that computes these sums.
  @Test func theSQLOfThePage() throws {
    let repository = URL(filePath: #filePath).appending(path: "../../../..").standardized
    let page = try String(contentsOf: repository.appending(path: "docs/PROOF.md"), encoding: .utf8)
    let block = try #require(page.split(separator: "```sql\n").last?.split(separator: ";\n```").first)
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (id bigint PRIMARY KEY, v vector(2), lang text)",
        "INSERT INTO t SELECT g, CASE g % 9 WHEN 0 THEN '[0,0]' WHEN 1 THEN NULL ELSE '[1,2]' END::vector, nullif('l' || g % 5, 'l3') "
          + "FROM generate_series(1, 500) g")
      let loaded = try database.load(.table(TableSource("t", attributes: [SourceAttribute("lang")])))
      var found = loaded.sums(leavesOutZeroVectors: true)
      found.buckets = ProofSums().buckets
      for row in try database.connect().query(String(block)) {
        let bucket = try #require(Int(row.text(0)))
        found.buckets[bucket].count = try #require(Int(row.text(1)))
        found.buckets[bucket].xor = UInt64(bitPattern: try #require(Int64(row.text(2))))
        found.buckets[bucket].sum = try #require(UInt64(row.text(3)))
      }
      #expect(found == loaded.sums(leavesOutZeroVectors: true) && found.zeroVectors == 55)
      // The row that the page writes out.
      var hasher = RowHasher(loaded.description)
      var key: [UInt8] = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7]
      let hash = try #require(UInt64(md5Hex([0, 2, 0, 0, 0x3F, 0x80, 0, 0, 0x40, 0, 0, 0]).prefix(16), radix: 16))
      #expect(loaded.rows[.int64(7)]?.vectorHash == hash)
      key += CopyStream.bigEndian(hash) + [1, 0, 0, 0, 2, 0x6C, 0x32]
      let row = hasher.row(.int64(7), vectorHash: hash, attributes: [.keyword("l2")], payload: [])
      #expect(row == UInt64(md5Hex(key).prefix(16), radix: 16) && loaded.hashes[.int64(7)] == row)
    }
  }

  @Test func whatHasNoName() throws {
    try LiveDatabase.with { database in
      try database.run("CREATE TABLE t (id int, v vector(1))", "INSERT INTO t VALUES (1, '[1]')")
      let source = RowSource.table(TableSource("t", keyColumns: ["id"]))
      let description = try database.reader(source).describe()
      let reader = try database.proof(source, description)
      #expect(try reader.sums().buckets.reduce(0) { $0 + $1.count } == 1)
      try database.run("INSERT INTO t VALUES (NULL, '[1]')")
      #expect(throws: SourceError.self) { try reader.sums() }
      try database.run("DROP TABLE t", "DROP EXTENSION vector")
      let error = #expect(throws: SourceError.self) { try database.proof(source, description) }
      #expect(error?.code == .extensionMissing)
    }
  }
}
