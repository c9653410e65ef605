// Rows by their keys: the same as the load reads, whatever the key is, and with the snapshot that saw them.

import PostgresSource
import Testing
import VectorIndex

@Suite(.serialized)
struct RowFetcherTests {
  private func fetcher(
    _ database: LiveDatabase, _ source: TableSource, over connection: Connection? = nil, rowFilter: String? = nil
  ) throws -> (fetcher: RowFetcher, description: SourceDescription) {
    let description = try database.reader(.table(source)).describe()
    return (
      try RowFetcher(connection ?? database.connect(), description: description, rowFilter: rowFilter), description
    )
  }

  private struct Row: Equatable {
    var vector: [Float]
    var attributes: [AttributeValue]
    var payload: [String?]
  }

  /// The rows as the load reads them.
  private func loaded(_ database: LiveDatabase, _ source: TableSource) throws -> [RecordID: Row] {
    let rows = Locked<[RecordID: Row]>([:])
    _ = try database.reader(.table(source)).read { batch in
      rows.with { rows in
        for i in 0..<batch.count {
          rows[batch.ids[i]] = Row(
            vector: Array(batch.vectors[(i * batch.dimension)..<((i + 1) * batch.dimension)]),
            attributes: batch.attributes.isEmpty ? [] : batch.attributes[i],
            payload: batch.payload.isEmpty ? [] : batch.payload[i])
        }
      }
    }
    return rows.with { $0 }
  }

  @Test func whatTheLoadReads() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (id bigint PRIMARY KEY, v halfvec(3), n int, tags text[], meta jsonb, at timestamptz, c char(5))",
        """
        INSERT INTO t SELECT g, CASE WHEN g % 10 > 0 THEN format('[%s,%s,-0.5]', g, g * 2)::halfvec END, g - 5,
               CASE WHEN g % 3 > 0 THEN ARRAY['a', 'é' || g, NULL] END, jsonb_build_object('k', g, 'x', jsonb_build_array(g)),
               '2000-01-01 00:00:00+00'::timestamptz + g * interval '1 s', 'c' || g
          FROM generate_series(1, 1500) g
        """)
      var source = TableSource(
        "t", attributes: try SourceAttribute.list(parsing: "n, tags, at, k=meta->k:int8, x=meta->x->0:int8, id"))
      source.payload = ["meta", "c", "n"]
      let expected = try loaded(database, source)
      let (fetcher, description) = try fetcher(database, source)
      let keys = (1...1_500).map { RecordID.int64(Int64($0)) }
      var found: [RecordID: Row] = [:]
      for start in stride(from: 0, to: keys.count, by: RowFetcher.keysMax) {
        let asked = Array(keys[start..<min(start + RowFetcher.keysMax, keys.count)])
        let fetched = try fetcher.fetch(asked)
        for row in fetched.rows {
          found[row.id] = Row(vector: row.vector, attributes: row.attributes, payload: row.payload)
          #expect(try FetchedRow(wire: row.wire, layout: description.layout) == row)
        }
        // Rows without a vector are not in the index.
        #expect(fetched.missing == asked.filter { if case .int64(let g) = $0 { g % 10 == 0 } else { true } })
      }
      #expect(found.count == 1_350 && found == expected)

      // The vector's bytes as its type sends them.
      let row = try #require(try fetcher.fetch([.int64(7)]).rows.first)
      let sent = try database.value("SELECT encode(halfvec_send(v), 'hex') FROM t WHERE id = 7")
      let hexadecimal = row.wire[row.vectorPlace].map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }
      #expect(hexadecimal.joined() == sent)
    }
  }

  @Test func allKindsOfKeys() throws {
    try LiveDatabase.with { database in
      let odd = "a\"b\\c{d},'e' é\u{301} NULL"
      try database.run(
        "CREATE DOMAIN code AS varchar(60)",
        "CREATE TABLE t (s smallint, i int, u uuid, x text, c char(4), d code, v vector(1), PRIMARY KEY (s, i, u, x, c, d))",
        "INSERT INTO t VALUES (-1, 70000, '00000000-0000-0000-8000-0000000000ff', \(SQLText.literal(odd)), 'ab', 'NULL', '[1]')",
        "INSERT INTO t VALUES (2, -2, 'ffffffff-ffff-ffff-ffff-ffffffffffff', '', '', '', '[2]')")
      let uuids: [RecordID] = [.uuid(high: 0, low: 1 << 63 | 255), .uuid(high: .max, low: .max)]
      let columns: [(name: String, values: [RecordID])] = [
        ("s", [.int64(-1), .int64(2)]), ("i", [.int64(70_000), .int64(-2)]), ("u", uuids),
        ("x", [.text(odd), .text("")]),
        ("c", [.text("ab  "), .text("    ")]), ("d", [.text("NULL"), .text("")]),
      ]
      for (name, values) in columns {
        let (fetcher, _) = try fetcher(database, TableSource("t", keyColumns: [name]))
        let fetched = try fetcher.fetch(values)
        #expect(fetched.missing.isEmpty, "\(name)")
        #expect(
          Dictionary(uniqueKeysWithValues: fetched.rows.map { ($0.id, $0.vector) }) == [values[0]: [1], values[1]: [2]])
      }
      let (fetcher, _) = try fetcher(database, TableSource("t"))
      let whole = (0..<2).map { i in RecordID.composite(columns.map { $0.values[i] }) }
      // Each of its columns is there, but not in one row.
      let mixed = RecordID.composite(columns.enumerated().map { $1.values[$0 == 0 ? 1 : 0] })
      let fetched = try fetcher.fetch(whole + [mixed])
      #expect(Set(fetched.rows.map(\.id)) == Set(whole) && fetched.missing == [mixed])
    }
  }

  @Test func missingRowsAndOddQuestions() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (id text PRIMARY KEY, v vector(1))", "INSERT INTO t VALUES ('a', '[1]'), ('b', '[2]')")
      let (all, _) = try fetcher(database, TableSource("t"))
      #expect(try all.fetch([]).rows.isEmpty)
      let fetched = try all.fetch([.text("a"), .text("x"), .text("a"), .text("a\0b")])
      #expect(fetched.rows.map(\.id) == [.text("a")] && fetched.missing == [.text("x"), .text("a\0b")])
      let wrong = try #require(throws: SourceError.self) { try all.fetch([.int64(1)]) }
      #expect(wrong.code == .invalidArgument)
      // What the publication's condition leaves out is missing.
      let (some, _) = try fetcher(database, TableSource("t"), rowFilter: "id < 'b' -- only")
      let filtered = try some.fetch([.text("a"), .text("b")])
      #expect(filtered.rows.map(\.id) == [.text("a")] && filtered.missing == [.text("b")])
      let query = try database.reader(.query(QuerySource("SELECT * FROM t", keyColumns: ["id"]))).describe()
      let refused = try #require(throws: SourceError.self) {
        _ = try RowFetcher(try database.connect(), description: query, rowFilter: nil)
      }
      #expect(refused.code == .followUnsupported)
      let row = try #require(fetched.rows.first)
      let layout = RowLayout(keyTypes: [.text], vectorType: .vector, dimension: 1)
      #expect(try FetchedRow(wire: row.wire, layout: layout) == row)
      for wire in [
        [], Array(row.wire.dropLast()), row.wire + [0], row.wire + row.wire, Array([0, 1] + row.wire.dropFirst(2)),
      ] {
        let error = try #require(throws: SourceError.self) { try FetchedRow(wire: wire, layout: layout) }
        #expect(error.code == .malformedData)
      }
    }
  }

  /// A row is as the snapshot says that it was seen, from before the transaction's commit to after it.
  @Test func theSnapshotTellsWhatWasSeen() throws {
    try LiveDatabase.with { database in
      try database.run("CREATE TABLE t (id int PRIMARY KEY, v vector(1))", "INSERT INTO t VALUES (1, '[1]')")
      let (fetcher, _) = try fetcher(database, TableSource("t"))
      let writer = try database.connect()
      try writer.query("BEGIN")
      let text = try #require(try writer.query("SELECT pg_current_xact_id()::text")[0][0])
      let id = UInt32(truncatingIfNeeded: try #require(UInt64(text)))
      try writer.query("UPDATE t SET v = '[2]'")
      // Another that begins later and ends before: the first one stands between.
      try database.run("INSERT INTO t VALUES (2, '[5]')")
      let before = try fetcher.fetch([.int64(1)])
      #expect(!before.snapshot.isVisible(id) && before.rows.map(\.vector) == [[1]])
      try writer.query("COMMIT")
      let after = try fetcher.fetch([.int64(1)])
      #expect(after.snapshot.isVisible(id) && after.rows.map(\.vector) == [[2]])
      #expect(try fetcher.fetch([.int64(3)]).snapshot.isVisible(id))
    }
  }

  /// In partitions, too, and of each the row as it is.
  @Test func partitionedTables() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (id int PRIMARY KEY, v vector(1)) PARTITION BY HASH (id)",
        "CREATE TABLE t0 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
        "CREATE TABLE t1 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        "INSERT INTO t SELECT g, format('[%s]', g)::vector FROM generate_series(1, 100) g")
      let (fetcher, _) = try fetcher(database, TableSource("t"))
      let fetched = try fetcher.fetch((1...100).map { .int64($0) })
      #expect(fetched.rows.count == 100 && fetched.rows.allSatisfy { $0.id == .int64(Int64($0.vector[0])) })
    }
  }
}
