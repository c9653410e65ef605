// Preparing a server: what is missing is said, applied, and then no longer missing; and a role that was made so can follow.

import Foundation
import PostgresSource
import Testing
import VectorIndex

@Suite(.serialized)
struct PreparationTests {
  private func table(
    _ database: LiveDatabase, _ name: String, attributes: String? = nil, payload: [String] = [], filter: String? = nil
  ) throws -> Preparation.Table {
    var source = TableSource(name, attributes: try attributes.map(SourceAttribute.list(parsing:)) ?? [])
    source.payload = payload
    return Preparation.Table(
      source: source, description: try database.reader(.table(source)).describe(), rowFilter: filter)
  }

  private func refusals(_ database: LiveDatabase, _ table: Preparation.Table) throws -> [SourceError] {
    try FollowPreflight(
      try database.connect(), source: table.source, description: table.description, publication: "p", slot: nil
    ).refusals()
  }

  @Test func anEmptyDatabase() throws {
    try ReplicationLab.with(
      "CREATE SCHEMA app", "CREATE TABLE app.a (id int PRIMARY KEY, v vector(2), n int, body text, extra text)",
      "CREATE TABLE app.b (id int, part int, v vector(2), PRIMARY KEY (id, part)) PARTITION BY LIST (part)",
      "CREATE TABLE app.b1 PARTITION OF app.b FOR VALUES IN (1)",
      "INSERT INTO app.a VALUES (1, '[1,2]', 3, 'x', 'y')"
    ) { lab in
      let database = lab.database
      let role = database.name + "_follower"
      let admin = try database.connect()
      defer {
        for sql in ["DROP OWNED BY \(role)", "DROP ROLE \(role)"] { _ = try? admin.query(sql) }
      }
      let tables = [
        try table(database, "app.a", attributes: "n", payload: ["body"], filter: "id > 0"),
        try table(database, "app.b"),
      ]
      let preparation = Preparation(publication: "p", role: role, tables: tables)
      let steps = try preparation.steps(over: admin)
      let statements = steps.map(\.sql)
      #expect(statements.first == "CREATE ROLE \"\(role)\" LOGIN REPLICATION")
      #expect(statements.contains("GRANT USAGE ON SCHEMA \"app\" TO \"\(role)\""))
      for name in ["a", "b", "b1"] {
        #expect(statements.contains("GRANT SELECT ON TABLE \"app\".\"\(name)\" TO \"\(role)\""))
      }
      #expect(
        statements.contains(
          "CREATE PUBLICATION \"p\" FOR TABLE \"app\".\"a\" (\"id\", \"v\", \"n\", \"body\") WHERE (id > 0), "
            + "\"app\".\"b\" (\"id\", \"part\", \"v\") WITH (publish_via_partition_root = true)"))
      #expect(steps.last?.phase == .byHand && steps.last?.why.contains("\\password") == true)
      #expect(steps.allSatisfy { !$0.why.isEmpty })
      // Showing the steps has changed nothing.
      #expect(try database.value("SELECT count(*) FROM pg_publication") == "0")
      #expect(try !refusals(database, tables[0]).isEmpty)

      let outcome = try preparation.apply(over: admin)
      #expect(outcome.applied.count == steps.count - 1 && outcome.byHand.count == 1)
      for table in tables { #expect(try refusals(database, table).isEmpty) }
      #expect(try preparation.steps(over: admin).isEmpty)

      // The role can do all that following takes.
      let options = database.options.setting("user", to: role)
      let description = try database.readAll(.table(tables[0].source), options: options)
      #expect(description.rows == [.int64(1): [1, 2]])
      #expect(
        try FollowPreflight(
          try Connection(options, stop: StopFlag()), source: tables[0].source, description: tables[0].description,
          publication: "p", slot: nil
        ).refusals().isEmpty)
      let connection = try ReplicationConnection(options, stop: StopFlag())
      let created = try connection.createSlot(lab.slot, temporary: true, exportsSnapshot: false)
      try connection.startReplication(slot: lab.slot, from: created.consistentPoint, publication: "p")
      let stream = StreamReader(connection, position: created.consistentPoint)
      try database.run("INSERT INTO app.b VALUES (1, 1, '[1,1]')")
      let changes = try stream.transaction()
      guard changes.count == 1, case .insert(let insert) = changes[0].value else {
        Issue.record("not one insertion: \(changes)")
        return
      }
      // The partition is named too, but the row is the root's.
      #expect(stream.relations[insert.relation]?.name == "b")
    }
  }

  @Test func onlyWhatIsMissing() throws {
    try LiveDatabase.with { database in
      try database.run(
        "CREATE TABLE a (id int PRIMARY KEY, v vector(2), w vector(2), n int)",
        "CREATE TABLE b (id int PRIMARY KEY, v vector(2))",
        "CREATE TABLE other (id int PRIMARY KEY)",
        "CREATE PUBLICATION p FOR TABLE a (id, v), other WITH (publish = 'insert')")
      let admin = try database.connect()
      // Two indexes of one table: its entry has the columns of both, and those that it had.
      var second = TableSource("a", vectorColumn: "w", attributes: try SourceAttribute.list(parsing: "n"))
      second.payload = []
      let first = Preparation.Table(
        source: TableSource("a", vectorColumn: "v"),
        description: try database.reader(.table(TableSource("a", vectorColumn: "v"))).describe())
      let tables = [
        first, Preparation.Table(source: second, description: try database.reader(.table(second)).describe()),
        try table(database, "b"),
      ]
      let preparation = Preparation(publication: "p", role: nil, tables: tables)
      #expect(
        try preparation.steps(over: admin).map(\.sql) == [
          "ALTER PUBLICATION \"p\" SET (publish = 'insert, update, delete, truncate')",
          "ALTER PUBLICATION \"p\" DROP TABLE \"public\".\"a\"",
          "ALTER PUBLICATION \"p\" ADD TABLE \"public\".\"a\" (\"id\", \"v\", \"w\", \"n\")",
          "ALTER PUBLICATION \"p\" ADD TABLE \"public\".\"b\" (\"id\", \"v\")",
        ])
      _ = try preparation.apply(over: admin)
      for table in tables { #expect(try refusals(database, table).isEmpty) }
      #expect(try preparation.steps(over: admin).isEmpty)
      #expect(
        try admin.query("SELECT tablename FROM pg_publication_tables WHERE pubname = 'p' ORDER BY 1").map { $0[0] }
          == ["a", "b", "other"])
      // The script does what applying does.
      try database.run("DROP PUBLICATION p")
      for statement in PreparationStep.script(try preparation.steps(over: admin)).split(separator: "\n")
      where !statement.hasPrefix("--") {
        try admin.query(String(statement))
      }
      #expect(try preparation.steps(over: admin).isEmpty)
    }
  }

  @Test func nothingIsAppliedThatBreaksTheApplication() throws {
    try LiveDatabase.with { database in
      try database.run("CREATE TABLE a (id int PRIMARY KEY, v vector(2), n int)", "INSERT INTO a VALUES (1)")
      let admin = try database.connect()
      // A condition on a column outside the replica identity would make each UPDATE fail.
      let filtered = Preparation(
        publication: "p", role: nil, tables: [try table(database, "a", filter: "n > 5")])
      let error = try #require(throws: SourceError.self) { _ = try filtered.apply(over: admin) }
      #expect(error.code == .publicationUnfit && error.message.contains("\"n\""))
      #expect(try database.value("SELECT count(*) FROM pg_publication") == "0")
      try database.run("UPDATE a SET n = 1")

      let twice = Preparation(
        publication: "p", role: nil,
        tables: [try table(database, "a", filter: "id > 5"), try table(database, "a", filter: "id > 6")])
      #expect(try #require(throws: SourceError.self) { _ = try twice.steps(over: admin) }.code == .invalidArgument)
      let role = Preparation(publication: "p", role: "pg_x", tables: [])
      #expect(try #require(throws: SourceError.self) { _ = try role.steps(over: admin) }.code == .invalidArgument)
      try database.run("ALTER TABLE a REPLICA IDENTITY NOTHING")
      let plain = Preparation(publication: "p", role: nil, tables: [try table(database, "a")])
      #expect(try #require(throws: SourceError.self) { _ = try plain.steps(over: admin) }.code == .replicaIdentity)
    }
  }

  @Test func aRoleThatIsThere() throws {
    try LiveDatabase.with { database in
      let role = database.name + "_half"
      let admin = try database.connect()
      try admin.query("CREATE ROLE \(role)")
      defer {
        for sql in ["DROP OWNED BY \(role)", "DROP ROLE \(role)"] { _ = try? admin.query(sql) }
      }
      try database.run(
        "CREATE TABLE a (id int PRIMARY KEY, v vector(2))", "ALTER TABLE a ENABLE ROW LEVEL SECURITY",
        "CREATE PUBLICATION p FOR TABLE a", "GRANT SELECT ON a TO \(role)",
        "REVOKE CONNECT ON DATABASE \(database.name) FROM public")
      let preparation = Preparation(publication: "p", role: role, tables: [try table(database, "a")])
      let name = "\"\(role)\""
      #expect(
        try preparation.steps(over: admin).map(\.sql) == [
          "ALTER ROLE \(name) LOGIN", "ALTER ROLE \(name) REPLICATION",
          "GRANT CONNECT ON DATABASE \"\(database.name)\" TO \(name)", "ALTER ROLE \(name) BYPASSRLS",
        ])
      _ = try preparation.apply(over: admin)
      #expect(try preparation.steps(over: admin).isEmpty)
    }
  }
}
