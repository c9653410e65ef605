// What the preflight finds and what it refuses, on a live server.

import PostgresSource
import Testing
import VectorIndex

@Suite(.serialized)
struct PreflightTests {
  @Test func describesATable() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE SCHEMA app",
        "CREATE TABLE app.documents (body text, embedding vector(3), id bigint PRIMARY KEY)",
        "INSERT INTO app.documents SELECT 'x', '[1,2,3]', g FROM generate_series(1, 1000) g",
        "ANALYZE app.documents")
      let description = try database.reader(.table(TableSource("app.documents"))).describe()
      #expect(description.table == "\"app\".\"documents\"")
      #expect(description.keyColumns.map(\.name) == ["id"])
      #expect(description.keyColumns.map(\.type) == [.bigint])
      #expect(description.recordIDKind == .int64)
      #expect(description.vectorColumn == "embedding")
      #expect(description.vectorType == .vector)
      #expect(description.dimension == 3)
      #expect(description.leaves.map(\.name) == ["documents"])
      #expect(description.estimatedRows == 1000 && description.isEstimateCounted)
      let filtered = TableSource("app.documents", filter: "id > 5")
      #expect(try !database.reader(.table(filtered)).describe().isEstimateCounted)
      #expect(description.serverVersion >= 150_000)
      #expect(description.database == database.name)
      #expect(!description.isStandby)
      let facts = try database.connect().query(
        "SELECT system_identifier, timeline_id FROM pg_control_system(), pg_control_checkpoint()")
      #expect(String(Int64(bitPattern: description.systemIdentifier)) == facts[0][0])
      #expect(String(description.timeline) == facts[0][1])
      #expect(
        try database.value("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
          == description.pgvectorVersion)
    }
  }

  @Test func describesAQuery() throws {
    try LiveDatabase.with { database in
      try database.run("CREATE TABLE t (a uuid, b text, v halfvec(4))")
      let query = QuerySource(
        "SELECT b AS k, a, v FROM t -- all of it\n ; ", keyColumns: ["a", "k"], vectorColumn: "v")
      let description = try database.reader(.query(query)).describe()
      #expect(description.table == nil)
      #expect(description.recordIDKind == .composite)
      #expect(description.keyColumns.map(\.type) == [.uuid, .text])
      #expect(description.vectorType == .halfvec)
      #expect(description.dimension == 4)
      #expect(description.leaves.isEmpty)
      #expect(description.estimatedRows > 0 && !description.isEstimateCounted)
    }
  }

  @Test func estimatesWithoutStatistics() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (id bigint PRIMARY KEY, v vector(768)) WITH (autovacuum_enabled = off)",
        "INSERT INTO t SELECT g, array_fill(g::real, ARRAY[768])::vector FROM generate_series(1, 1000) g")
      let description = try database.reader(.table(TableSource("t"))).describe()
      #expect((500...2_000).contains(description.estimatedRows) && !description.isEstimateCounted)
    }
  }

  @Test func missingTableListsWhatExists() throws {
    try LiveDatabase.with { database in
      try database.run("CREATE TABLE \"Odd Name\" (id int PRIMARY KEY, v vector(2))", "CREATE TABLE other (id int)")
      let error = try database.refusal(.table(TableSource("documents")))
      #expect(error.code == .tableMissing)
      #expect(error.message.contains("public.\"Odd Name\""))
      #expect(!error.message.contains("other"))
      #expect(try database.refusal(.table(TableSource("no such; syntax"))).code == .tableMissing)
      #expect(try database.refusal(.table(TableSource("nowhere.t"))).code == .tableMissing)
      #expect(try database.refusal(.table(TableSource(""))).code == .tableMissing)
      #expect(try database.reader(.table(TableSource("\"Odd Name\""))).describe().dimension == 2)
    }
  }

  @Test func missingColumnsListWhatExists() throws {
    try LiveDatabase.with { database in
      try database.run("CREATE TABLE t (id int PRIMARY KEY, v vector(2), n numeric)")
      for source in [TableSource("t", vectorColumn: "w"), TableSource("t", keyColumns: ["w"])] {
        let error = try database.refusal(.table(source))
        #expect(error.code == .columnMissing)
        #expect(error.message.contains("\"id\" integer, \"v\" vector(2), \"n\" numeric"))
      }
      #expect(try database.refusal(.table(TableSource("t", vectorColumn: "n"))).code == .vectorColumnType)
      let numeric = try database.refusal(.table(TableSource("t", keyColumns: ["n"])))
      #expect(numeric.code == .keyColumnType)
      #expect(numeric.message.contains("numeric"))
      #expect(try database.refusal(.table(TableSource("t", keyColumns: ["id", "id"]))).code == .invalidArgument)
    }
  }

  @Test func unclearVectorColumn() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE two (id int PRIMARY KEY, v vector(2), w halfvec(3))", "CREATE TABLE none (id int PRIMARY KEY)")
      let two = try database.refusal(.table(TableSource("two")))
      #expect(two.code == .vectorColumnUnclear)
      #expect(two.message.contains("\"v\" vector(2), \"w\" halfvec(3)"))
      #expect(try database.refusal(.table(TableSource("none"))).code == .vectorColumnUnclear)
      let chosen = try database.reader(.table(TableSource("two", vectorColumn: "w"))).describe()
      #expect(chosen.vectorType == .halfvec && chosen.dimension == 3)
    }
  }

  @Test func noPrimaryKey() throws {
    try LiveDatabase.with { database in
      try database.run("CREATE TABLE t (name text NOT NULL UNIQUE, v vector(2))")
      let error = try database.refusal(.table(TableSource("t")))
      #expect(error.code == .keyMissing)
      #expect(error.message.contains("ADD PRIMARY KEY") && error.message.contains("--id-columns"))
      #expect(try database.reader(.table(TableSource("t", keyColumns: ["name"]))).describe().recordIDKind == .text)
      let query = QuerySource("SELECT * FROM t", keyColumns: [], vectorColumn: "v")
      #expect(try database.refusal(.query(query)).code == .keyMissing)
    }
  }

  @Test func keyColumnsInTheKeysOrder() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE DOMAIN tag AS varchar(20)",
        "CREATE TABLE t (a int, b tag, c uuid, v vector(2), PRIMARY KEY (c, a) INCLUDE (b))")
      let description = try database.reader(.table(TableSource("t"))).describe()
      #expect(description.keyColumns.map(\.name) == ["c", "a"])
      // A domain counts as what it is made of.
      #expect(try database.reader(.table(TableSource("t", keyColumns: ["b"]))).describe().keyColumns[0].type == .text)
    }
  }

  @Test func noFixedDimension() throws {
    try LiveDatabase.with { database in
      try database.run("CREATE TABLE t (id int PRIMARY KEY, v vector)")
      #expect(try database.refusal(.table(TableSource("t"))).code == .dimensionUnknown)
      let query = QuerySource("SELECT id, v FROM t", keyColumns: ["id"], vectorColumn: "v")
      #expect(try database.refusal(.query(query)).code == .dimensionUnknown)
      try database.run("INSERT INTO t VALUES (1, NULL), (2, '[1,2,3]')")
      let error = try database.refusal(.table(TableSource("t")))
      #expect(error.message.contains("ALTER COLUMN \"v\" TYPE vector(3)"))
      // Said, or for a query taken from the first row.
      #expect(try database.reader(.table(TableSource("t", dimension: 3))).describe().dimension == 3)
      #expect(try database.reader(.query(query)).describe().dimension == 3)
      try database.run("INSERT INTO t VALUES (3, '[1]')")
      let mixed = try #require(throws: SourceError.self) { try database.readAll(.query(query)) }
      #expect(mixed.code == .dimensionMismatch)
    }
  }

  @Test func statedDimensions() throws {
    try LiveDatabase.with { database in
      try database.run("CREATE TABLE t (id int PRIMARY KEY, v vector(2))")
      #expect(try database.refusal(.table(TableSource("t", dimension: 3))).code == .dimensionMismatch)
      #expect(try database.refusal(.table(TableSource("t", dimension: 0))).code == .invalidArgument)
      #expect(try database.refusal(.table(TableSource("t", dimension: 16_001))).code == .invalidArgument)
      #expect(try database.reader(.table(TableSource("t", dimension: 2))).describe().dimension == 2)
    }
  }

  @Test func extensionMissing() throws {
    try LiveDatabase.with(vectorExtension: false) { database in
      let error = try database.refusal(.table(TableSource("t")))
      #expect(error.code == .extensionMissing)
      #expect(error.message.contains("CREATE EXTENSION vector") && error.message.contains(database.name))
    }
  }

  @Test func extensionTooOld() throws {
    try LiveDatabase.with(vectorExtension: false) { database in
      // The catalog is all that the check sees; an old pgvector's library is not at hand.
      try database.run(
        "CREATE EXTENSION vector",
        "UPDATE pg_extension SET extversion = '0.6.2' WHERE extname = 'vector'")
      let error = try database.refusal(.table(TableSource("t")))
      #expect(error.code == .extensionTooOld)
      #expect(error.message.contains("ALTER EXTENSION vector UPDATE"))
    }
  }

  @Test func extensionInAnotherSchema() throws {
    try LiveDatabase.with(vectorExtension: false) { database in
      try database.run(
        "CREATE SCHEMA \"Ext\"", "CREATE EXTENSION vector SCHEMA \"Ext\"",
        "CREATE TABLE t (id int PRIMARY KEY, v \"Ext\".vector(2))", "INSERT INTO t VALUES (1, '[1,2]')")
      #expect(try database.readAll(.table(TableSource("t"))).rows == [.int64(1): [1, 2]])
    }
  }

  @Test func notATable() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (id int PRIMARY KEY, v vector(2))", "CREATE VIEW seen AS SELECT * FROM t",
        "CREATE MATERIALIZED VIEW kept AS SELECT * FROM t")
      for name in ["seen", "kept", "t_pkey"] {
        #expect(try database.refusal(.table(TableSource(name))).code == .notATable)
      }
      let query = QuerySource("SELECT * FROM seen", keyColumns: ["id"], vectorColumn: "v")
      #expect(try database.reader(.query(query)).describe().dimension == 2)
    }
  }

  @Test func invalidSQL() throws {
    try LiveDatabase.with { database in
      try database.run("CREATE TABLE t (id int PRIMARY KEY, v vector(2))")
      for filter in ["no_such_column = 1", "id >", "id", ""] {
        let error = try database.refusal(.table(TableSource("t", filter: filter)))
        #expect(error.code == .invalidFilter, "\(filter)")
        #expect(error.message.contains("\"id\" integer"))
      }
      for sql in ["SELECT nothing FROM t", "SELEC", "DROP TABLE t", "SELECT 1; SELECT 2", "SELECT * FROM missing"] {
        let query = QuerySource(sql, keyColumns: ["id"], vectorColumn: "v")
        #expect(try database.refusal(.query(query)).code == .invalidQuery, "\(sql)")
      }
      let twice = QuerySource("SELECT id, id, v FROM t", keyColumns: ["id"], vectorColumn: "v")
      #expect(try database.refusal(.query(twice)).code == .invalidQuery)
      let writes = QuerySource(
        "WITH d AS (DELETE FROM t RETURNING id, v) SELECT * FROM d", keyColumns: ["id"], vectorColumn: "v")
      #expect(throws: SourceError.self) { try database.readAll(.query(writes)) }
    }
  }

  @Test func privilegesAndRowSecurity() throws {
    try LiveDatabase.with { database in
      let role = database.name + "_reader"
      let admin = try database.connect()
      try admin.query("CREATE ROLE \(role) LOGIN")
      defer {
        _ = try? admin.query("DROP OWNED BY \(role)")
        _ = try? admin.query("DROP ROLE \(role)")
      }
      try database.run(
        "CREATE SCHEMA app",
        "CREATE TABLE app.t (id int PRIMARY KEY, secret text, v vector(2)) PARTITION BY RANGE (id)",
        "CREATE TABLE app.low PARTITION OF app.t FOR VALUES FROM (0) TO (10)",
        "INSERT INTO app.t VALUES (1, 'x', '[1,2]')")
      let options = database.options.setting("user", to: role)
      let source = RowSource.table(TableSource("app.t"))
      #expect(try database.refusal(source, options: options).code == .permissionDenied)
      try admin.query("GRANT USAGE ON SCHEMA app TO \(role)")
      try admin.query("GRANT SELECT ON app.t TO \(role)")
      let leaf = try database.refusal(source, options: options)
      #expect(leaf.code == .permissionDenied)
      #expect(leaf.message.contains("GRANT SELECT ON \"app\".\"low\" TO \"\(role)\""))

      // The two columns that are read are enough.
      try admin.query("REVOKE SELECT ON app.t FROM \(role)")
      try admin.query("GRANT SELECT (id, v) ON app.t, app.low TO \(role)")
      #expect(try database.readAll(source, options: options).rows == [.int64(1): [1, 2]])

      // A policy on the parent alone: the leaf, read directly, would not know of it.
      try admin.query("ALTER TABLE app.t ENABLE ROW LEVEL SECURITY")
      let hidden = try database.refusal(source, options: options)
      #expect(hidden.code == .rowSecurity)
      #expect(hidden.message.contains("ALTER ROLE \"\(role)\" BYPASSRLS"))
      let query = QuerySource("SELECT id, v FROM app.t", keyColumns: ["id"], vectorColumn: "v")
      #expect(try database.refusal(.query(query), options: options).code == .permissionDenied)
      try admin.query("ALTER ROLE \(role) BYPASSRLS")
      #expect(try database.readAll(source, options: options).rows.count == 1)
    }
  }
}
