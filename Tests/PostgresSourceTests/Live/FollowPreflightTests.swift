// What keeps a table from being followed, on a live server: each refusal, and that what its message says to run mends it.

import PostgresSource
import Testing
import VectorIndex

@Suite(.serialized)
struct FollowPreflightTests {
  private static let table = "CREATE TABLE t (id bigint PRIMARY KEY, v vector(3), n int, note text)"
  private static let columns = "(id, v, n, note)"

  private func preflight(
    _ database: LiveDatabase, _ source: TableSource, over connection: Connection? = nil
  ) throws -> FollowPreflight {
    let description = try database.reader(.table(source)).describe()
    return FollowPreflight(
      try connection ?? database.connect(), source: source, description: description, publication: "p", slot: nil)
  }

  private func source(
    _ name: String = "t", keys: [String]? = nil, attributes: String? = "n", payload: [String] = ["note"],
    filter: String? = nil
  ) throws -> TableSource {
    var source = TableSource(
      name, keyColumns: keys, filter: filter, attributes: try attributes.map(SourceAttribute.list(parsing:)) ?? [])
    source.payload = payload
    return source
  }

  /// The statements that a message says to run.
  private func statements(_ message: String) -> [String] {
    guard let start = message.range(of: "un: ")?.upperBound, let end = message.lastIndex(of: ";") else { return [] }
    return message[start..<end].split(separator: "; ").map(String.init)
  }

  /// Sets a database up and expects one refusal, with these words; runs what it says, and expects none.
  /// - mends: false where the message has no statement for a test to run.
  private func expect(
    _ code: SourceError.Code, _ words: [String] = [], _ source: TableSource, mends: Bool = true,
    sourceLocation: SourceLocation = #_sourceLocation, _ setup: String...
  ) throws {
    try LiveDatabase.with { database in
      for statement in setup { try database.run(statement) }
      let refusals = try preflight(database, source).refusals()
      #expect(refusals.map(\.code) == [code], "\(refusals)", sourceLocation: sourceLocation)
      let refusal = try #require(refusals.first, sourceLocation: sourceLocation)
      for word in words {
        #expect(refusal.message.contains(word), "\(refusal.message)", sourceLocation: sourceLocation)
      }
      let thrown = try #require(throws: SourceError.self, sourceLocation: sourceLocation) {
        _ = try preflight(database, source).run()
      }
      #expect(thrown == refusal, sourceLocation: sourceLocation)
      guard mends else { return }
      let statements = statements(refusal.message)
      #expect(!statements.isEmpty, "\(refusal.message)", sourceLocation: sourceLocation)
      let connection = try database.connect()
      for statement in statements { try connection.query(statement) }
      let rest = try preflight(database, source).refusals()
      #expect(rest.isEmpty, "\(statements): \(rest)", sourceLocation: sourceLocation)
    }
  }

  @Test func whatCanBeFollowed() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE DOMAIN small AS int",
        "CREATE TABLE t (note text, id bigint PRIMARY KEY, v vector(3), n small, other bytea)",
        "CREATE PUBLICATION p FOR TABLE t (id, v, n, note) WHERE (id > 5)")
      let facts = try preflight(database, source()).run()
      let oids = try database.connect().query(
        "SELECT 't'::regclass::oid, 'vector'::regtype::oid, 'small'::regtype::oid")[0].map { $0.flatMap { UInt32($0) } }
      #expect(facts.relationOID == oids[0] && facts.members == [facts.relationOID])
      #expect(facts.publication == "p" && facts.schema == "public" && facts.name == "t" && !facts.isPartitioned)
      #expect(facts.replicaIdentity == .primaryKey && facts.rowFilter == "(id > 5)")
      #expect(facts.columns.map(\.name) == ["note", "id", "v", "n"])
      #expect(facts.columns.map(\.isKey) == [false, true, false, false])
      #expect(facts.column("v")?.typeOID == oids[1] && facts.column("v")?.typeModifier == 3)
      #expect(facts.column("n")?.typeOID == oids[2] && facts.column("n")?.baseTypeOID == 23)

      // The same condition in other words is the same; another one is not.
      #expect(try preflight(database, source(filter: "  id>5 -- only\n")).refusals().isEmpty)
      let other = try preflight(database, source(filter: "id > 6")).refusals()
      #expect(other.map(\.code) == [.publicationUnfit] && other[0].message.contains("(id > 5)"))

      // All tables, whole schemas and everything of a table serve as well.
      for publication in ["FOR ALL TABLES", "FOR TABLES IN SCHEMA public", "FOR TABLE t"] {
        try database.run("DROP PUBLICATION p", "CREATE PUBLICATION p \(publication)")
        let facts = try preflight(database, source()).run()
        #expect(facts.rowFilter == nil && facts.columns.map(\.name) == ["note", "id", "v", "n", "other"])
      }
    }
  }

  // MARK: The publication

  /// A table that was out of the publication for a moment has another version there; nothing else makes one.
  @Test func versionsOfThePublication() throws {
    try LiveDatabase.with { database in
      try database.run(Self.table, "CREATE TABLE other (id int PRIMARY KEY)", "CREATE PUBLICATION p FOR TABLE t")
      func versions() throws -> [String] { try preflight(database, source()).run().publicationVersions }
      var known = try versions()
      #expect(known.count == 2)
      func expectSame(_ statement: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        try database.run(statement)
        #expect(try versions() == known, "\(statement)", sourceLocation: sourceLocation)
      }
      func expectOther(_ statements: String..., sourceLocation: SourceLocation = #_sourceLocation) throws {
        for statement in statements { try database.run(statement) }
        let found = try versions()
        #expect(found != known, "\(statements)", sourceLocation: sourceLocation)
        known = found
      }
      try expectSame("ALTER PUBLICATION p ADD TABLE other")
      try expectSame("ALTER PUBLICATION p DROP TABLE other")
      for catalog in ["pg_publication", "pg_publication_rel"] {
        try expectSame("VACUUM (FREEZE) \(catalog)")
        try expectSame("VACUUM (FULL, FREEZE) \(catalog)")
      }
      try expectSame("ALTER TABLE t ADD COLUMN later int")
      try expectOther("ALTER PUBLICATION p DROP TABLE t", "ALTER PUBLICATION p ADD TABLE t")
      try expectOther(
        "ALTER PUBLICATION p SET (publish = 'insert')",
        "ALTER PUBLICATION p SET (publish = 'insert, update, delete, truncate')")
      try expectOther("DROP PUBLICATION p", "CREATE PUBLICATION p FOR TABLE t")
      try expectOther("DROP PUBLICATION p", "CREATE PUBLICATION p FOR ALL TABLES")
      try expectOther("DROP PUBLICATION p", "CREATE PUBLICATION p FOR TABLES IN SCHEMA public")
      #expect(known.count == 2)
      try database.run("CREATE SCHEMA other")
      try expectSame("ALTER PUBLICATION p ADD TABLES IN SCHEMA other")
      try expectOther(
        "ALTER PUBLICATION p DROP TABLES IN SCHEMA public", "ALTER PUBLICATION p ADD TABLES IN SCHEMA public")
    }
  }

  @Test func publications() throws {
    try expect(.publicationMissing, ["\"p\"", "publish_via_partition_root"], source(), Self.table)
    try expect(
      .publicationUnfit, ["truncate"], source(), Self.table,
      "CREATE PUBLICATION p FOR TABLE t WITH (publish = 'insert, update, delete')")
    try expect(
      .publicationUnfit, ["does not have the table"], source(), Self.table, "CREATE PUBLICATION p")
    try expect(
      .publicationUnfit, ["\"n\", \"note\""], source(), Self.table,
      "CREATE PUBLICATION p FOR TABLE t (id, v) WHERE (id > 5)")
    // In whole schemas a table may not have a list of columns.
    try expect(
      .publicationUnfit, ["does not have the table"], source(), Self.table, "CREATE SCHEMA s",
      "CREATE PUBLICATION p FOR TABLES IN SCHEMA s")
    try expect(
      .publicationUnfit, ["none", "id > 5"], source(filter: "id > 5"), mends: false, Self.table,
      "CREATE PUBLICATION p FOR TABLE t")
  }

  @Test func partitions() throws {
    let table = "CREATE TABLE t (id bigint PRIMARY KEY, v vector(3), n int, note text) PARTITION BY RANGE (id)"
    let parts = "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10)"
    try expect(
      .publicationUnfit, ["names of its partitions"], source(), table, parts, "CREATE PUBLICATION p FOR TABLE t")
    try expect(
      .publicationUnfit, ["names of its partitions"], source(), table, parts, "CREATE PUBLICATION p FOR ALL TABLES")
    // A partition that is sent under its root's name cannot be followed by its own.
    try expect(
      .publicationUnfit, ["\"public\".\"t\" only"], source("t1"), mends: false, table, parts,
      "CREATE PUBLICATION p FOR TABLE t WITH (publish_via_partition_root = true)")
    try expect(
      .replicaIdentity, ["\"public\".\"t1\"", "nothing"], source(), table, parts,
      "CREATE PUBLICATION p FOR TABLE t WITH (publish_via_partition_root = true)",
      "ALTER TABLE t1 REPLICA IDENTITY NOTHING")
    try LiveDatabase.with { database in
      try database.run(
        table, parts, "CREATE PUBLICATION p FOR TABLE t \(Self.columns) WITH (publish_via_partition_root = true)")
      let facts = try preflight(database, source()).run()
      let members = try database.connect().query("SELECT 't'::regclass::oid, 't1'::regclass::oid")[0]
      #expect(facts.isPartitioned && facts.members.map(String.init) == members)
      #expect(facts.relationOID == facts.members[0])
    }
  }

  @Test func conditions() throws {
    try expect(
      .publicationUnfit, ["\"n\"", "refuses every UPDATE", "REPLICA IDENTITY FULL"], source(), Self.table,
      "CREATE PUBLICATION p FOR TABLE t WHERE (n > 5 AND id > 0)")
    // What the refusal says is so.
    try LiveDatabase.with { database in
      try database.run(Self.table, "INSERT INTO t VALUES (1)", "CREATE PUBLICATION p FOR TABLE t WHERE (n > 5)")
      #expect(throws: SourceError.self) { try database.run("UPDATE t SET note = 'x'") }
    }
  }

  // MARK: The table

  @Test func replicaIdentities() throws {
    let publication = "CREATE PUBLICATION p FOR TABLE t"
    try expect(
      .replicaIdentity, ["nothing"], source(), Self.table, publication, "ALTER TABLE t REPLICA IDENTITY NOTHING")
    try expect(
      .replicaIdentity, ["an index on (\"n\")"], source(),
      "CREATE TABLE t (id bigint PRIMARY KEY, v vector(3), n int NOT NULL UNIQUE, note text)",
      publication, "ALTER TABLE t REPLICA IDENTITY USING INDEX t_n_key")
    // The key is another than the primary key: an index makes it the identity.
    try expect(
      .replicaIdentity, ["primary key (\"id\")", "Leave --id-columns out"], source(keys: ["n"]),
      "CREATE TABLE t (id bigint PRIMARY KEY, v vector(3), n int NOT NULL, note text)", publication)
    // A primary key that is checked late names no row.
    let deferrable = "CREATE TABLE t (id bigint PRIMARY KEY DEFERRABLE, v vector(3), n int, note text)"
    try expect(.replicaIdentity, ["(\"id\") is deferrable", "--outbox"], source(), deferrable, publication)
    try expect(
      .replicaIdentity, ["(\"id\") of \"public\".\"t\" is deferrable", "--outbox"], source(), deferrable, publication,
      "ALTER TABLE t REPLICA IDENTITY FULL")
    try expect(
      .replicaIdentity, ["checked at once"], source(keys: ["id"]),
      "CREATE TABLE t (id bigint NOT NULL UNIQUE, v vector(3), n int, note text)", publication)
    // With everything of the old row, there must still be something that keeps keys apart.
    try expect(
      .replicaIdentity, ["same key"], source(keys: ["id"]), "CREATE TABLE t (id bigint, v vector(3), n int, note text)",
      publication, "ALTER TABLE t REPLICA IDENTITY FULL")
    try expect(
      .publicationUnfit, ["is full"], source(), Self.table, "CREATE PUBLICATION p FOR TABLE t \(Self.columns)",
      "ALTER TABLE t REPLICA IDENTITY FULL")
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE t (a int, b text, v vector(3), n int, note text, PRIMARY KEY (a, b))", publication)
      // The order of a key's columns is not the index's.
      let facts = try preflight(database, source(keys: ["b", "a"])).run()
      #expect(facts.columns.filter(\.isKey).map(\.name) == ["a", "b"])
      try database.run("ALTER TABLE t REPLICA IDENTITY FULL")
      #expect(try preflight(database, source()).run().replicaIdentity == .full)
      let part = try preflight(database, source(keys: ["a"])).refusals()
      #expect(part.map(\.code) == [.replicaIdentity])
    }
  }

  @Test func tablesThatCannotBeFollowed() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE UNLOGGED TABLE t (id bigint PRIMARY KEY, v vector(3), n int, note text)",
        "CREATE PUBLICATION p FOR ALL TABLES")
      let unlogged = try preflight(database, source()).refusals()
      let refusal = try #require(unlogged.first { $0.code == .followUnsupported })
      for statement in statements(refusal.message) { try database.run(statement) }
      #expect(try preflight(database, source()).refusals().isEmpty)

      try database.run("CREATE TABLE child () INHERITS (t)", "ALTER TABLE child ADD PRIMARY KEY (id)")
      let children = try preflight(database, source()).refusals()
      #expect(children.map(\.code) == [.followUnsupported] && children[0].message.contains("inheritance"))

      let query = QuerySource("SELECT * FROM t", keyColumns: ["id"])
      let description = try database.reader(.query(query)).describe()
      let error = try #require(throws: SourceError.self) {
        _ = try FollowPreflight(
          try database.connect(), source: TableSource("t"), description: description, publication: "p", slot: nil
        ).run()
      }
      #expect(error.code == .followUnsupported && error.message.contains("--table"))
    }
  }

  @Test func payloads() throws {
    let fit = ["smallint", "integer", "bigint", "uuid", "boolean", "text", "varchar(9)", "char(3)", "json", "jsonb"]
    let unfit = ["numeric", "real", "timestamptz", "date", "bytea", "text[]", "interval"]
    let columns = (fit + unfit).enumerated().map { "c\($0) \($1)" }.joined(separator: ", ")
    try LiveDatabase.with { database in
      try database.run(
        "CREATE DOMAIN label AS text", "CREATE TABLE t (id bigint PRIMARY KEY, v vector(3), d label, \(columns))",
        "CREATE PUBLICATION p FOR TABLE t")
      let good = ["d"] + fit.indices.map { "c\($0)" }
      #expect(try preflight(database, source(attributes: nil, payload: good)).refusals().isEmpty)
      let bad = unfit.indices.map { "c\($0 + fit.count)" }
      let refusals = try preflight(database, source(attributes: nil, payload: bad)).refusals()
      #expect(refusals.count == unfit.count && refusals.allSatisfy { $0.code == .followUnsupported })
      for (refusal, type) in zip(refusals, ["numeric", "real", "timestamp with time zone", "date", "bytea", "text[]"]) {
        #expect(refusal.message.contains("of type \(type),"), "\(refusal.message)")
      }
    }
  }

  @Test func generatedVectors() throws {
    let table =
      "CREATE TABLE t (id bigint PRIMARY KEY, w real[], v vector(3) GENERATED ALWAYS AS (w::vector(3)) STORED)"
    var plain = TableSource("t")
    plain.payload = []
    let version = try Connection(LiveDatabase.serverOptions(), stop: StopFlag()).serverVersion
    if version >= 180_000 {
      try expect(
        .publicationUnfit, ["\"v\"", "publish_generated_columns"], plain, table, "CREATE PUBLICATION p FOR TABLE t")
      try expect(
        .publicationUnfit, ["\"v\""], plain, table, "CREATE PUBLICATION p FOR TABLE t (id)")
    } else {
      try expect(
        .followUnsupported, ["\"v\"", "18"], plain, mends: false, table, "CREATE PUBLICATION p FOR TABLE t")
    }
  }

  // MARK: The role

  @Test func aRoleThatMayNotReplicate() throws {
    try LiveDatabase.with { database in
      let role = database.name + "_plain"
      try database.run(
        Self.table, "CREATE PUBLICATION p FOR TABLE t", "CREATE ROLE \(role) LOGIN", "GRANT SELECT ON t TO \(role)")
      let admin = try database.connect()
      defer {
        for sql in ["DROP OWNED BY \(role)", "DROP ROLE \(role)"] { _ = try? admin.query(sql) }
      }
      let options = database.options.setting("user", to: role)
      func refusals() throws -> [SourceError] {
        try preflight(database, source(), over: Connection(options, stop: StopFlag())).refusals()
      }
      let found = try refusals()
      #expect(found.map(\.code) == [.replicationUnavailable])
      let statements = statements(try #require(found.first).message)
      #expect(statements == ["ALTER ROLE \"\(role)\" REPLICATION"])
      for statement in statements { try admin.query(statement) }
      #expect(try refusals().isEmpty)
    }
  }
}
