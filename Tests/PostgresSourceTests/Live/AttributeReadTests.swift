// Attributes from a live server: every type with its odd values, and places in JSON, where nothing may end the read.

import PostgresSource
import Testing
import VectorIndex

@Suite(.serialized)
struct AttributeReadTests {
  /// Reads all rows' attributes, by their int64 ids.
  static func read(
    _ database: LiveDatabase, _ source: RowSource, workers: Int = 2
  ) throws -> (rows: [Int64: [AttributeValue]], description: SourceDescription) {
    let reader = try database.reader(source, workers: workers)
    let rows = Locked<[Int64: [AttributeValue]]>([:])
    let summary = try reader.read { batch in
      #expect(batch.attributes.count == batch.count)
      rows.with { rows in
        for (id, values) in zip(batch.ids, batch.attributes) {
          if case .int64(let id) = id { rows[id] = values }
        }
      }
    }
    return (rows.with { $0 }, summary.description)
  }

  @Test func everyTypeWithItsOddValues() throws {
    let uuid = "6f1c0a00-0000-4000-8000-00000000beef"
    let uuidValue = AttributeValue.uuid(high: 0x6F1C_0A00_0000_4000, low: 0x8000_0000_0000_BEEF)
    let cases: [(type: String, attribute: AttributeType, values: [(sql: String, value: AttributeValue)])] = [
      ("bool", .bool, [("true", .bool(true)), ("false", .bool(false))]),
      ("smallint", .int64, [("-32768", .int64(-32_768)), ("32767", .int64(32_767))]),
      ("int", .int64, [("-2147483648", .int64(-2_147_483_648)), ("0", .int64(0))]),
      ("bigint", .int64, [("-9223372036854775808", .int64(.min)), ("9223372036854775807", .int64(.max))]),
      (
        "real", .float64,
        [
          ("0.1", .float64(Double(Float(0.1)))), ("'-0'", .float64(0)), ("'NaN'", .float64(.nan)),
          ("'Infinity'", .float64(.infinity)), ("1e-45", .float64(Double(Float.leastNonzeroMagnitude))),
        ]
      ),
      (
        "float8", .float64,
        [
          ("0.1", .float64(0.1)), ("'-0'", .float64(0)), ("'NaN'", .float64(.nan)),
          ("'-Infinity'", .float64(-.infinity)),
          ("1.7976931348623157e308", .float64(.greatestFiniteMagnitude)), ("5e-324", .float64(.leastNonzeroMagnitude)),
        ]
      ),
      (
        "timestamptz", .timestamp,
        [
          ("'infinity'", .timestamp(.max)), ("'-infinity'", .timestamp(.min)),
          ("'2000-01-01 00:00:00+00'", .timestamp(0)),
          ("'1999-12-31 23:59:59.999999+00'", .timestamp(-1)),
          ("'4714-11-24 00:00:00+00 BC'", .timestamp(-211_813_488_000_000_000)),
          ("'294276-12-31 23:59:59.999999+00'", .timestamp(9_223_371_331_199_999_999)),
        ]
      ),
      ("uuid", .uuid, [("'\(uuid)'", uuidValue)]),
      ("text", .keyword, [("''", .keyword("")), ("'Ünïcode 🐘'", .keyword("Ünïcode 🐘"))]),
      ("varchar(9)", .keyword, [("'abc'", .keyword("abc"))]),
      (
        "smallint[]", .int64Array,
        [
          ("'{}'", .array([])), ("'{1,NULL,-1}'", .array([.int64(1), .null, .int64(-1)])),
          ("'{{1,2},{3,4}}'", .array([.int64(1), .int64(2), .int64(3), .int64(4)])),
          ("'[5:6]={7,8}'", .array([.int64(7), .int64(8)])),
        ]
      ),
      ("int[]", .int64Array, [("'{NULL}'", .array([.null]))]),
      ("bigint[]", .int64Array, [("'{9223372036854775807}'", .array([.int64(.max)]))]),
      ("uuid[]", .uuidArray, [("'{\(uuid),NULL}'", .array([uuidValue, .null]))]),
      (
        "text[]", .keywordArray,
        [("'{}'", .array([])), ("'{\"\",NULL,\"NULL\"}'", .array([.keyword(""), .null, .keyword("NULL")]))]
      ),
      ("varchar(3)[]", .keywordArray, [("'{abc}'", .array([.keyword("abc")]))]),
      ("tag", .keyword, [("'a'", .keyword("a"))]),
      ("tag[]", .keywordArray, [("'{a,NULL}'", .array([.keyword("a"), .null]))]),
      ("tags", .keywordArray, [("'{b}'", .array([.keyword("b")]))]),
    ]
    try LiveDatabase.with { database in
      try database.run(
        "CREATE DOMAIN short AS varchar(20)", "CREATE DOMAIN tag AS short CHECK (value <> 'x')",
        "CREATE DOMAIN tags AS text[]")
      for (type, attribute, values) in cases {
        try database.run(
          "DROP TABLE IF EXISTS t", "CREATE TABLE t (id int PRIMARY KEY, v vector(1), \"Odd \"\"Name\" \(type))",
          "INSERT INTO t VALUES (-1, '[1]', NULL), (-2, NULL, NULL)")
        for (number, value) in values.enumerated() {
          try database.run("INSERT INTO t VALUES (\(number), '[1]', \(value.sql))")
        }
        let source = [SourceAttribute("a", column: "Odd \"Name")]
        for source in [
          RowSource.table(TableSource("t", attributes: source)),
          .query(QuerySource("SELECT * FROM t", keyColumns: ["id"], vectorColumn: "v", attributes: source)),
        ] {
          let (rows, description) = try Self.read(database, source)
          #expect(description.attributes.map(\.column.type) == [attribute], "\(type)")
          #expect(rows.count == values.count + 1 && rows[-1] == [.null])
          for (number, value) in values.enumerated() { #expect(rows[Int64(number)] == [value.value], "\(type)") }
        }
      }
    }
  }

  @Test func placesInJSON() throws {
    let texts = [
      #"{"b": true, "n": 7, "f": 1.5, "s": "pt", "t": "2024-01-31T12:00:00Z", "u": "6f1c0a00-0000-4000-8000-00000000beef", "ns": [1, null, 2], "ss": ["a", null, "b"], "us": ["6f1c0a00-0000-4000-8000-00000000beef"], "deep": {"0": ["zero", "one"]}}"#,
      #"{"b": "true", "n": 7.5, "f": "1.5", "s": 7, "t": "yesterday", "u": "none", "ns": [1.5, "2", 3e0], "ss": [1, {}, "b"], "us": ["none", null]}"#,
      #"{"b": null, "n": 1e400, "f": 1e400, "s": null, "t": 7, "u": {}, "ns": {}, "ss": "a", "us": 7, "deep": {"0": {"1": "no array"}}}"#,
      #"{"n": 9223372036854775807, "f": -1e-400, "s": "", "ns": [], "ss": []}"#,
      #"{"n": 9223372036854775808, "f": 0, "t": "infinity", "ns": [9223372036854775808]}"#, "[]", "null", "\"s\"",
    ]
    let uuid = AttributeValue.uuid(high: 0x6F1C_0A00_0000_4000, low: 0x8000_0000_0000_BEEF)
    let nothing = [AttributeValue](repeating: .null, count: 10)
    let expected: [[AttributeValue]] = [
      [
        .bool(true), .int64(7), .float64(1.5), .keyword("pt"), .timestamp(760_017_600_000_000), uuid,
        .array([.int64(1), .null, .int64(2)]), .array([.keyword("a"), .null, .keyword("b")]), .array([uuid]),
        .keyword("one"),
      ],
      [
        .null, .null, .null, .null, .null, .null, .array([.null, .null, .int64(3)]),
        .array([.null, .null, .keyword("b")]),
        .array([.null, .null]), .null,
      ],
      nothing,
      [.null, .int64(.max), .float64(0), .keyword(""), .null, .null, .array([]), .array([]), .null, .null],
      [.null, .null, .float64(0), .null, .timestamp(.max), .null, .array([.null]), .null, .null, .null],
      nothing, nothing, nothing,
    ]
    let attributes = try SourceAttribute.list(
      parsing: """
        b=meta->>b:bool, n=meta->n:int8, f=meta->f:float8, s=meta->>'s':text, t=meta->>t:timestamptz, u=meta->>u:uuid,
        ns=meta->ns:int8[], ss=meta->ss:text[], us=meta->us:uuid[], deep=meta->deep->'0'->1:text
        """)
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (id int PRIMARY KEY, v vector(1), meta jsonb)", "INSERT INTO t VALUES (-1, '[1]', NULL)")
      let connection = try database.connect()
      for (number, text) in texts.enumerated() {
        try connection.query("INSERT INTO t VALUES (\(number), '[1]', $1::jsonb)", [text])
      }
      for source in [
        RowSource.table(TableSource("t", attributes: attributes)),
        .query(QuerySource("SELECT id, v, meta FROM t", keyColumns: ["id"], vectorColumn: "v", attributes: attributes)),
      ] {
        let rows = try Self.read(database, source).rows
        #expect(rows[-1] == nothing)
        for (number, values) in expected.enumerated() { #expect(rows[Int64(number)] == values, "\(texts[number])") }
      }
    }
  }

  /// Names and keys that would be SQL, if they were not quoted.
  @Test func namesAreNames() throws {
    try LiveDatabase.with { database in
      let column = "x\", (SELECT 1) AS \"y'\\"
      let key = "k' || (SELECT 'no')::text || '\\\" "
      let connection = try database.connect()
      try connection.query("CREATE TABLE t (id int PRIMARY KEY, v vector(1), \(SQLText.identifier(column)) jsonb)")
      try connection.query(
        "INSERT INTO t SELECT 1, '[1]', jsonb_build_object($1::text, 'yes'::text)", [key])
      for conforming in ["on", "off"] {
        try connection.query("ALTER DATABASE \(database.name) SET standard_conforming_strings = \(conforming)")
        let source = SourceAttribute("a", column: column, path: [.key(key)], type: .keyword)
        let rows = try Self.read(database, .table(TableSource("t", attributes: [source]))).rows
        #expect(rows == [1: [.keyword("yes")]], "standard_conforming_strings = \(conforming)")
      }
    }
  }

  @Test func partitionsAndManyBatches() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (id int, v vector(2), body text, tags int[], PRIMARY KEY (id)) PARTITION BY RANGE (id)",
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (3000)",
        // Columns in another order, as they are where a partition is attached.
        "CREATE TABLE t2 (tags int[], body text, id int NOT NULL, v vector(2))",
        "ALTER TABLE t ATTACH PARTITION t2 FOR VALUES FROM (3000) TO (6000)",
        // 30 kB a row: batches end by their attributes.
        "INSERT INTO t SELECT g, '[1,2]', repeat(chr(97 + g % 26), 30000), ARRAY[g, NULL, g % 7] FROM generate_series(0, 5999) g"
      )
      let batches = Locked(0)
      let wrong = Locked(0)
      let attributes = [SourceAttribute("tags"), SourceAttribute("body")]
      let summary = try database.reader(.table(TableSource("t", attributes: attributes)), workers: 3).read { batch in
        batches.with { $0 += 1 }
        for (id, values) in zip(batch.ids, batch.attributes) {
          guard case .int64(let n) = id else { continue }
          let letter = Character(Unicode.Scalar(UInt8(97 + n % 26)))
          if values != [
            .array([.int64(n), .null, .int64(n % 7)]), .keyword(String(repeating: letter, count: 30_000)),
          ] {
            wrong.with { $0 += 1 }
          }
        }
      }
      #expect(summary.rows == 6_000 && wrong.with { $0 } == 0)
      #expect(batches.with { $0 } >= 6_000 * 30_000 / (5 << 20))
    }
  }

  /// Any type's text, beside attributes or alone.
  @Test func payloadComesAsText() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (id int PRIMARY KEY, v vector(1), \"Odd \"\"Name\" numeric, at date, meta jsonb, n int)",
        """
        INSERT INTO t VALUES (1, '[1]', 1.50, '2024-02-29', '{"b": [1, "ç"]}', 7), (2, '[1]', NULL, NULL, NULL, NULL),
          (3, NULL, 1, '2024-02-29', '{}', 7)
        """)
      for attributes in [[], [SourceAttribute("n")]] {
        var table = TableSource("t", attributes: attributes)
        table.payload = ["Odd \"Name", "at", "meta"]
        var query = QuerySource("SELECT * FROM t", keyColumns: ["id"], vectorColumn: "v", attributes: attributes)
        query.payload = table.payload
        for source in [RowSource.table(table), .query(query)] {
          let rows = Locked<[RecordID: [String?]]>([:])
          let summary = try database.reader(source).read { batch in
            rows.with { rows in
              for (id, values) in zip(batch.ids, batch.payload) { rows[id] = values }
            }
          }
          #expect(summary.rows == 2 && summary.nullVectors == 1)
          #expect(
            rows.with { $0 }
              == [.int64(1): ["1.50", "2024-02-29", "{\"b\": [1, \"ç\"]}"], .int64(2): [nil, nil, nil]])
        }
      }
      func refusal(_ columns: [String]) throws -> SourceError {
        var table = TableSource("t")
        table.payload = columns
        return try database.refusal(.table(table))
      }
      #expect(try refusal(["nothing"]).code == .columnMissing)
      #expect(try refusal(["at", "at"]).code == .invalidArgument)
      try database.run(
        "ALTER TABLE t ADD COLUMN g int GENERATED ALWAYS AS (n + 1) STORED", "ALTER TABLE t ADD COLUMN long text",
        "UPDATE t SET long = repeat('x', 1048573) WHERE id = 1")
      #expect(try refusal(["g"]).code == .attributeGenerated)
      var table = TableSource("t")
      table.payload = ["long"]
      let error = #expect(throws: SourceError.self) { try database.readAll(.table(table)) }
      #expect(error?.code == .payloadTooLong && error?.message.contains("key 1") == true)
    }
  }

  @Test func whatIsTooLongEndsTheRead() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (id int PRIMARY KEY, v vector(1), body text)",
        "INSERT INTO t VALUES (1, '[1]', 'x'), (2, '[1]', repeat('x', 65536))")
      let error = #expect(throws: SourceError.self) {
        try Self.read(database, .table(TableSource("t", attributes: [SourceAttribute("body")])))
      }
      #expect(error?.code == .attributeTooLong && error?.message.contains("key 2") == true)
      let shorter = TableSource("t", filter: "length(body) < 10", attributes: [SourceAttribute("body")])
      #expect(try Self.read(database, .table(shorter)).rows == [1: [.keyword("x")]])
    }
  }
}
