// Changes from a live server: what they say of a table's rows is what a load reads of them, and what SQL hashes.

import TestSupport
import Testing
import VectorIndex

@testable import PostgresSource

@Suite(.serialized)
struct StreamTwinTests {
  private static let attributes = [
    SourceAttribute("flag"), SourceAttribute("n"), SourceAttribute("x"), SourceAttribute("at"), SourceAttribute("u"),
    SourceAttribute("word"),
    SourceAttribute("tags"), SourceAttribute("lang", column: "meta", path: [.key("lang")], type: .keyword),
    SourceAttribute("level", column: "meta", path: [.key("level"), .element(-1)], type: .int64),
    SourceAttribute("us", column: "meta", path: [.key("us")], type: .uuidArray),
  ]
  private static let payload = ["word", "meta", "n", "small", "n8", "flag", "u", "code", "js", "letters"]

  private static func source() -> TableSource {
    var table = TableSource("t", attributes: attributes)
    table.payload = payload
    return table
  }

  private static func create(_ database: LiveDatabase, dimension: Int, type: String, key: String) throws {
    try database.run(
      """
      CREATE TABLE t (unread numeric, \(key), v \(type)(\(dimension)), flag bool, n int, x real, at timestamptz, u uuid, word text, tags text[],
        meta jsonb, small smallint, n8 bigint, code char(7), js json, letters letters, unread2 point)
      """)
  }

  /// Values for all columns but the key, some of them NULL, some long enough to be stored out of line and not compressed away.
  private static func values(_ random: inout SeededRandom, dimension: Int) -> [(column: String, sql: String)] {
    func maybe(_ sql: String) -> String { random.chance(15) ? "NULL" : sql }
    func number() -> Int { Int.random(in: -9...9, using: &random) }
    func noise(_ count: Int) -> String {
      String(
        (0..<count).map { _ in random.pick(Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ç")) })
    }
    let vector = (0..<dimension).map { _ in String(Float(number()) / 4) }.joined(separator: ",")
    let long = random.pick([0, 3, 900, 3_000])
    let uuid = "6f1c0a00-0000-4000-8000-00000000bee\(abs(number()))"
    return [
      ("unread", maybe("\(number())")), ("v", random.chance(8) ? "NULL" : "'[\(vector)]'"),
      ("flag", maybe("\(random.chance(50))")),
      ("n", maybe("\(number())")), ("x", maybe(random.pick(["'-0'", "'NaN'", "0.1", "-2"]))),
      ("at", maybe(random.pick(["'infinity'", "'2024-01-31 12:00Z'"]))), ("u", maybe("'\(uuid)'")),
      ("word", maybe("'\(noise(long))'")),
      ("tags", maybe("ARRAY['\(noise(random.pick([2, 2_500])))', NULL, 'x']")),
      (
        "meta",
        maybe(
          #"'{"lang": "\#(noise(3))", "level": [\#(number()), \#(number())], "us": ["\#(uuid)", 7], "rest": "\#(noise(random.pick([0, 3_000])))"}'"#
        )
      ),
      ("small", maybe("\(number())")), ("n8", maybe("\(number())000000000000")), ("code", maybe("'a\(number())'")),
      ("js", maybe(#"' { "b":1, "a" : [\#(number())]}'"#)), ("letters", maybe("'\(noise(5))'")),
      ("unread2", maybe("'(1,2)'")),
    ]
  }

  private static func workload(
    _ database: LiveDatabase, _ random: inout SeededRandom, dimension: Int, statements: Int, key: (Int) -> String
  ) throws {
    let connection = try database.connect()
    for _ in 0..<statements {
      let id = Int.random(in: 0..<40, using: &random)
      let other = Int.random(in: 0..<60, using: &random)
      let all = values(&random, dimension: dimension)
      let sql =
        switch Int.random(in: 0..<10, using: &random) {
        case 0, 1, 2:
          "INSERT INTO t (id, \(all.map(\.column).joined(separator: ", "))) VALUES (\(key(id)), \(all.map(\.sql).joined(separator: ", "))) "
            + "ON CONFLICT (id) DO UPDATE SET \(random.pick(["n = 77", "v = excluded.v", "meta = excluded.meta, word = excluded.word"]))"
        case 3: "DELETE FROM t WHERE id = \(key(id))"
        case 4:
          "UPDATE t SET id = \(key(other)) WHERE id = \(key(id)) AND NOT EXISTS (SELECT FROM t WHERE id = \(key(other)))"
        case 5: "UPDATE t SET (n, small) = (n + 1, small) WHERE id = \(key(id))"
        default:
          "UPDATE t SET \(all.filter { _ in random.chance(25) }.map { "\($0.column) = \($0.sql)" }.joined(separator: ", "))"
            + " WHERE id = \(key(id))"
        }
      guard !sql.hasPrefix("UPDATE t SET  WHERE") else { continue }
      try connection.query(sql)
    }
  }

  private static func expectEqual(_ model: FollowedModel, _ database: LiveDatabase, _ what: String) throws {
    let loaded = try database.load(.table(source()))
    #expect(model.unknown.isEmpty, "\(what)")
    #expect(Set(model.rows.keys) == Set(loaded.rows.keys), "\(what)")
    for (id, row) in loaded.rows { #expect(model.rows[id] == row, "\(what), row \(id)") }
    var followed = loaded
    followed.rows = model.rows
    let reader = try database.proof(.table(source()), loaded.description)
    #expect(try reader.sums() == followed.sums(), "\(what)")
  }

  struct Table: Sendable {
    var type: String
    var dimension: Int
    var identity = "DEFAULT"
    var hasTextKey = false
  }

  @Test(
    arguments: [
      Table(type: "vector", dimension: 4, hasTextKey: true), Table(type: "vector", dimension: 384),
      Table(type: "vector", dimension: 496, hasTextKey: true),
      Table(type: "vector", dimension: 768, identity: "FULL", hasTextKey: true),
      Table(type: "halfvec", dimension: 1_536), Table(type: "halfvec", dimension: 384, identity: "FULL"),
    ]
  )
  func whatChangesSayIsWhatALoadReads(_ table: Table) throws {
    let seed = testSeeds[table.dimension / 4 % testSeeds.count]
    let what = "\(table), seed \(seed)"
    var random = SeededRandom(seed: seed)
    // A text key that is stored out of line for its length, where the storage is EXTERNAL.
    let key: (Int) -> String = { id in table.hasTextKey ? "repeat('k', 1200) || \(1_000 + id)" : "\(id)" }
    try LiveDatabase.with { database in
      try database.run("CREATE DOMAIN letters AS varchar(20)")
      try Self.create(
        database, dimension: table.dimension, type: table.type,
        key: "id \(table.hasTextKey ? "text" : "bigint") PRIMARY KEY")
      if table.hasTextKey { try database.run("ALTER TABLE t ALTER id SET STORAGE EXTERNAL") }
      try database.run("ALTER TABLE t REPLICA IDENTITY \(table.identity)")
      try Self.workload(database, &random, dimension: table.dimension, statements: 30, key: key)
      // A row without a vector is not loaded, so nothing of it is known when a change leaves something out: a follower fetches it by its key.
      try database.run("DELETE FROM t WHERE v IS NULL")
      let stream = try ChangeStream(database, of: "t")
      var model = try stream.follow(Self.source(), database)
      for round in 0..<3 {
        try Self.workload(database, &random, dimension: table.dimension, statements: 60, key: key)
        // In between, columns that nobody reads come and go.
        if round == 0 { try database.run("ALTER TABLE t DROP COLUMN unread", "ALTER TABLE t ADD COLUMN unread int") }
        try model.apply(stream.messages())
      }
      print("\(what): \(model.rows.count) rows, \(model.partial) changes that left something out")
      if table.dimension >= 496, table.identity == "DEFAULT" { #expect(model.partial > 0) }
      if table.identity == "FULL" { #expect(model.partial == 0, "\(what)") }
      try Self.expectEqual(model, database, what)
      try database.run("TRUNCATE t")
      try model.apply(stream.messages())
      #expect(model.rows.isEmpty)
    }
  }

  @Test func alteredTablesAreRefused() throws {
    let alterations = [
      ("ALTER v TYPE vector(3) USING subvector(v, 1, 3)", "\"v\" has another modifier"),
      ("ALTER n TYPE bigint", "\"n\" has another type"),
      ("DROP COLUMN word", "\"word\" was dropped"), ("RENAME COLUMN tags TO labels", "\"tags\" was dropped"),
      ("ALTER code TYPE char(9)", "\"code\" has another modifier"),
      ("ALTER letters TYPE varchar(20)", "\"letters\" has another type"),
      ("RENAME TO u", "called \"public\".\"u\""),
      ("DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id, unread)", "\"id\", \"unread\" now, which is more"),
    ]
    try LiveDatabase.with { database in
      try database.run("CREATE DOMAIN letters AS varchar(20)")
      try Self.create(database, dimension: 4, type: "vector", key: "id int PRIMARY KEY")
      let stream = try ChangeStream(database, of: "t")
      let followed = try stream.follow(Self.source(), database)
      for (alteration, words) in alterations {
        var model = followed
        // In one transaction, so that the row is written, and decoded, as the table is then.
        let connection = try database.connect()
        try connection.query("BEGIN")
        try connection.query("ALTER TABLE t \(alteration)")
        try connection.query("INSERT INTO \(alteration == "RENAME TO u" ? "u" : "t") (id, unread) VALUES (2, 2)")
        try connection.query("COMMIT")
        let messages = try stream.messages()
        let error = #expect(throws: SourceError.self, "\(alteration)") { try model.apply(messages) }
        #expect(
          error?.code == .sourceChanged && error?.message.contains(words) == true,
          "\(alteration): \(error?.message ?? "")")
        // Back to a table as it was loaded, which is bound again.
        try database.run("DROP TABLE IF EXISTS t, u")
        try Self.create(database, dimension: 4, type: "vector", key: "id int PRIMARY KEY")
        try database.run("ALTER PUBLICATION p SET TABLE t", "INSERT INTO t (id, v, unread) VALUES (1, '[1,2,3,4]', 1)")
        var again = followed
        try again.apply(stream.messages())
        #expect(again.rows.keys.sorted { "\($0)" < "\($1)" } == [.int64(1)])
      }
    }
  }

  /// An update that enters a row filter is sent as an insertion, with what is out of line left out.
  @Test func rowsThatEnterAFilter() throws {
    try LiveDatabase.with { database in
      try database.run("CREATE DOMAIN letters AS varchar(20)")
      try Self.create(database, dimension: 768, type: "vector", key: "id int PRIMARY KEY")
      let stream = try ChangeStream(database, of: "t", with: "WHERE (id > 10)")
      var source = Self.source()
      source.filter = "id > 10"
      var model = try stream.follow(source, database)
      let vector = "(SELECT array_agg(sin(g * 7.77)) FROM generate_series(1, 768) g)::vector"
      try database.run(
        "INSERT INTO t (id, v) VALUES (11, \(vector)), (2, \(vector))", "UPDATE t SET id = 12 WHERE id = 2",
        "UPDATE t SET id = 1 WHERE id = 11")
      try model.apply(stream.messages())
      #expect(model.unknown == [.int64(12)] && model.rows.isEmpty)
      try database.run(
        "INSERT INTO t (id, v) VALUES (13, \(vector))", "UPDATE t SET id = 14, n = 1 WHERE id = 13",
        "UPDATE t SET n = 3, v = NULL WHERE id = 12")
      try model.apply(stream.messages())
      #expect(model.unknown == [.int64(12)] && Set(model.rows.keys) == [.int64(14)])
      let loaded = try database.load(.table(source))
      #expect(model.rows == loaded.rows)
    }
  }
}
