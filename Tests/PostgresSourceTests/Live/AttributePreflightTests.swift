// What may become an attribute, and in what words the rest is refused.

import PostgresSource
import Testing
import VectorIndex

@Suite(.serialized)
struct AttributePreflightTests {
  private func source(_ table: String, _ attributes: String) throws -> RowSource {
    try .table(TableSource(table, attributes: SourceAttribute.list(parsing: attributes)))
  }

  private func query(_ sql: String, _ attributes: String) throws -> RowSource {
    try .query(
      QuerySource(
        sql, keyColumns: ["id"], vectorColumn: "v", attributes: SourceAttribute.list(parsing: attributes)))
  }

  @Test func otherTypesAreRefusedWithTheirCast() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TYPE mood AS ENUM ('good')",
        """
        CREATE TABLE t (id int PRIMARY KEY, v vector(1), price numeric, day date, at timestamp, code char(3), m mood,
                        doc json, meta jsonb, flags bool[], raw bytea, name text)
        """)
      let cases: [(String, [String])] = [
        ("price", ["numeric", "\"price\"::float8"]), ("day", ["date", "\"day\"::timestamp AT TIME ZONE 'UTC'"]),
        ("at", ["timestamp without time zone", "\"at\" AT TIME ZONE 'UTC'"]),
        ("code", ["character(3)", "\"code\"::text"]),
        ("m", ["mood", "\"m\"::text"]), ("doc", ["json", "::text"]), ("flags", ["boolean[]", "\"flags\"::text[]"]),
        ("meta", ["jsonb", "meta=meta->KEY:TYPE"]), ("raw", ["bytea"]), ("v", ["vector(1)"]),
      ]
      for (column, words) in cases {
        let error = try database.refusal(try source("t", column))
        #expect(error.code == .attributeType, "\(column)")
        for word in words + ["\"\(column)\"", "timestamptz"] {
          #expect(error.message.contains(word), "\(column): \(error.message)")
        }
      }
      // What the message says works.
      let cast =
        "SELECT id, v, price::float8, day::timestamp AT TIME ZONE 'UTC' AS day, at AT TIME ZONE 'UTC' AS at, m::text, doc::jsonb FROM t"
      let described = try database.reader(try query(cast, "price, day, at, m, k=doc->k:text")).describe()
      #expect(described.attributes.map(\.column.type) == [.float64, .timestamp, .timestamp, .keyword, .keyword])

      #expect(try database.refusal(try source("t", "k=name->k:text")).code == .attributeType)
      let json = try database.refusal(try source("t", "k=doc->k:text"))
      #expect(json.code == .attributeType && json.message.contains("\"doc\"::jsonb"))
      let stated = try database.refusal(try source("t", "name:int8"))
      #expect(stated.code == .attributeType && stated.message.contains("gives text"))
      #expect(try database.reader(try source("t", "name:varchar, id:int8")).describe().attributes.count == 2)
      let missing = try database.refusal(try source("t", "tenant"))
      #expect(missing.code == .columnMissing && missing.message.contains("\"price\" numeric"))
    }
  }

  @Test func namesAndNumbers() throws {
    try LiveDatabase.with { database in
      try database.run("CREATE TABLE t (id int PRIMARY KEY, v vector(1), meta jsonb)")
      for (list, words) in [
        ("id, id", "twice"), ((0...64).map { "a\($0)=id" }.joined(separator: ","), "at most 64"),
        (String(repeating: "x", count: 64) + "=id", "63"),
      ] {
        let error = try database.refusal(try source("t", list))
        #expect(error.code == .invalidArgument && error.message.contains(words), "\(error.message)")
      }
      let full = (0..<64).map { "a\($0)=meta->a\($0):int8" }.joined(separator: ",")
      #expect(try database.reader(try source("t", full)).describe().attributes.count == 64)
    }
  }

  /// Only where Postgres itself compares bytes is there an order; where it takes different texts for equal there is no attribute.
  @Test func collations() throws {
    try LiveDatabase.with { database in
      var columns = ["c text COLLATE \"C\"", "p varchar COLLATE \"POSIX\"", "d text", "cs text[] COLLATE \"C\""]
      let version = try #require(Int(database.value("SHOW server_version_num") ?? ""))
      try database.run(
        "CREATE COLLATION system (provider = libc, locale = 'C.UTF-8')",
        // Nondeterministic ones are ICU's alone, which not every server has; the catalog is all that the check sees.
        "CREATE COLLATION sloppy FROM system",
        "UPDATE pg_collation SET collisdeterministic = false WHERE collname = 'sloppy'")
      columns += ["i text COLLATE system"]
      if version >= 170_000 { columns += ["b text COLLATE pg_c_utf8"] }
      if version >= 180_000 { columns += ["f text COLLATE pg_unicode_fast"] }
      try database.run(
        "CREATE TABLE t (id int PRIMARY KEY, v vector(1), meta jsonb, s text COLLATE sloppy, ss text[] COLLATE sloppy, "
          + columns.joined(separator: ", ") + ")")
      let isDefaultBytewise =
        try database.value(
          "SELECT datlocprovider = 'b' OR datlocprovider = 'c' AND datcollate IN ('C', 'POSIX') FROM pg_database WHERE datname = current_database()"
        ) == "t"
      let expected: [String: Bool] = [
        "c": true, "p": true, "d": isDefaultBytewise, "cs": false, "i": false, "b": true, "f": true,
        "j": isDefaultBytewise,
      ]
      let names = columns.map { String($0.prefix { $0 != " " }) }
      let list = names.joined(separator: ",") + ", j=meta->j:text"
      for source in [try source("t", list), try query("SELECT * FROM t", list)] {
        for attribute in try database.reader(source).describe().attributes {
          let name = attribute.column.name
          #expect(attribute.column.ordersBytewise == expected[name], "\(name)")
        }
        for name in ["s", "ss"] {
          let wrong = {
            if case .table = source { try self.source("t", name) } else { try self.query("SELECT * FROM t", name) }
          }
          let error = try database.refusal(try wrong())
          #expect(error.code == .attributeCollation && error.message.contains("sloppy"))
          #expect(error.message.contains("\"\(name)\" COLLATE \"C\""))
        }
      }
      let cast = try query("SELECT id, v, s COLLATE \"C\" AS s FROM t", "s")
      #expect(try database.reader(cast).describe().attributes[0].column.ordersBytewise)
      // Which one is not clear: no order.
      let mixed = try query("SELECT id, v, i || b AS s FROM (SELECT id, v, i, d COLLATE \"C\" AS b FROM t)", "s")
      #expect(try database.reader(mixed).describe().attributes[0].column.ordersBytewise == false)
    }
  }

  @Test func generatedColumns() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (id int PRIMARY KEY, v vector(1), n int, twice int GENERATED ALWAYS AS (2 * n) STORED)")
      let error = try database.refusal(try source("t", "n, twice"))
      #expect(error.code == .attributeGenerated && error.message.contains("\"twice\""))
      #expect(try database.reader(try query("SELECT * FROM t", "n, twice")).describe().attributes.count == 2)
    }
  }

  @Test func privileges() throws {
    try LiveDatabase.with { database in
      let role = database.name + "_reader"
      try database.run(
        "CREATE TABLE t (id int PRIMARY KEY, v vector(1), open int, hidden int)", "CREATE ROLE \(role)",
        "GRANT SELECT (id, v, open) ON t TO \(role)")
      defer { try? database.run("DROP OWNED BY \(role)", "DROP ROLE \(role)") }
      let options = database.options.setting("options", to: "-c role=\(role)")
      let error = try database.refusal(try source("t", "open, hidden"), options: options)
      #expect(error.code == .permissionDenied)
      let reader = try BulkReader(connection: options, source: try source("t", "open"))
      #expect(try reader.describe().attributes.count == 1)
    }
  }
}
