// The outbox where it is pure: its rules, and what becomes of a line. The whole of it, against a server: Tests/e2e/test_outbox.py.

import Testing
import VectorIndex

@testable import PostgresSource

struct OutboxTests {
  private static func column(_ name: String, _ type: UInt32, isNotNull: Bool = true) -> FollowedTableFacts.Column {
    FollowedTableFacts.Column(
      name: name, typeOID: type, baseTypeOID: type, typeModifier: -1, typeName: "t", isNotNull: isNotNull,
      generated: .no)
  }

  private static func trigger(
    _ member: UInt32, _ event: OutboxSQL.Event, isAlways: Bool = true, key: [String] = ["id"]
  ) -> OutboxFacts.Trigger {
    OutboxFacts.Trigger(oid: 100 + UInt32(event.type), member: member, event: event, isAlways: isAlways, key: key)
  }

  /// A table with one partition that can be followed.
  private static func rules() -> OutboxRules {
    let description = SourceDescription(
      table: "\"public\".\"t\"", keyColumns: [SourceDescription.KeyColumn(name: "id", type: .bigint)],
      vectorColumn: "v",
      vectorType: .vector, dimension: 3, attributes: [], payload: [], leaves: [], estimatedRows: 0,
      isEstimateCounted: false, serverVersion: 170_000, pgvectorVersion: "0.8", database: "app", systemIdentifier: 1,
      timeline: 1, isStandby: false)
    func member(_ oid: UInt32, _ name: String) -> FollowedTableFacts.Member {
      FollowedTableFacts.Member(
        oid: oid, schema: "public", name: name, identity: .primaryKey, identityColumns: ["id"], isLogged: true)
    }
    return OutboxRules(
      description: description,
      table: FollowedTableFacts(
        oid: 5, schema: "public", name: "t", isPartitioned: true, partitionRoot: nil,
        columns: [column("id", 20), column("v", 70_000, isNotNull: false)], primaryKey: ["id"], uniqueKeys: [["id"]],
        members: [member(5, "t"), member(6, "p")]),
      outbox: OutboxFacts(
        isStandby: false, role: "alice", hasSchema: true, hasOutbox: true, hasReader: true, hasFunction: true,
        mayRead: true,
        mayReadTable: true,
        triggers: OutboxSQL.Event.allCases.map { trigger(5, $0) }
          + [OutboxSQL.Event.insert, .update, .delete].map { trigger(6, $0) }, isSubscribed: false))
  }

  private func expect(
    _ code: SourceError.Code, _ words: String..., change: (inout OutboxRules) -> Void,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    var rules = Self.rules()
    change(&rules)
    let refusals = rules.refusals()
    #expect(refusals.map(\.code) == [code], sourceLocation: sourceLocation)
    for word in words {
      #expect(refusals.first?.message.contains(word) == true, "\(refusals)", sourceLocation: sourceLocation)
    }
  }

  @Test func nothingToRefuse() {
    let rules = Self.rules()
    #expect(rules.refusals().isEmpty && rules.missing.isEmpty)
    let facts = rules.facts()
    #expect(facts.relationOID == 5 && facts.members == [5, 6] && facts.rowFilter == nil)
    #expect(facts.columns.map(\.isKey) == [true, false] && facts.triggers.count == 7)
  }

  @Test func aTriggerThatWasSwitchedOffIsAnother() {
    var rules = Self.rules()
    rules.outbox.triggers[0].xmin = "750"
    let before = rules.facts().triggers
    rules.outbox.triggers[0].xmin = "751"
    #expect(rules.refusals().isEmpty && rules.facts().triggers != before)
    #expect(rules.facts().triggers.dropFirst() == before.dropFirst())
  }

  @Test func whatIsMissing() {
    expect(.outboxMissing, "vizinho prepare --outbox") { $0.outbox.hasOutbox = false }
    expect(.outboxMissing, "vizinho prepare --outbox") { $0.outbox.hasFunction = false }
    expect(.permissionDenied, "GRANT SELECT, DELETE ON vizinho.outbox TO \"alice\"") { $0.outbox.mayRead = false }
    expect(.permissionDenied, "GRANT SELECT ON TABLE \"public\".\"p\" TO \"alice\";") { $0.outbox.mayReadTable = false }
    expect(.outboxMissing, "1 triggers", "vizinho_delete on \"public\".\"p\"") { $0.outbox.triggers.removeLast() }
    expect(.outboxMissing, "vizinho_insert") { $0.outbox.triggers[0].isAlways = false }
    expect(.outboxMissing, "(\"id\")") { $0.outbox.triggers[0].key = ["id", "part"] }
    // Only the root of a tree tells that it was emptied.
    var rules = Self.rules()
    rules.outbox.triggers.removeAll { $0.event == .truncate }
    #expect(rules.missing == [OutboxRules.Wanted(event: .truncate, table: "\"public\".\"t\"")])
  }

  @Test func tablesThatCannotBeFollowed() {
    expect(.replicationUnavailable, "standby") { $0.outbox.isStandby = true }
    expect(.followUnsupported, "follow \"public\".\"root\"") { $0.table.partitionRoot = "\"public\".\"root\"" }
    expect(.followUnsupported, "subscription") { $0.outbox.isSubscribed = true }
    expect(.followUnsupported, "inheritance") { $0.table.isPartitioned = false }
    expect(.replicaIdentity, "ADD PRIMARY KEY (\"id\");") { $0.table.uniqueKeys = [["v"]] }
    expect(.replicaIdentity, "ADD PRIMARY KEY") { $0.table.columns[0].isNotNull = false }
    // Whenever a snapshot is taken, a key that is checked late has been.
    var rules = Self.rules()
    (rules.table.uniqueKeys, rules.table.deferrableKeys) = ([], [["id"]])
    #expect(rules.refusals().isEmpty)
  }

  /// Its own number, or none, stands where that of the server's process should.
  @Test func aPoolerIsNoticed() throws {
    try Connection.checkProcess("4711", greeted: 4_711, "host=a")
    for greeted: Int32 in [4_712, 0, -1] {
      let error = try #require(throws: SourceError.self) {
        try Connection.checkProcess("4711", greeted: greeted, "host=a")
      }
      #expect(error.code == .connectionFailed && error.message.contains("pooler") && error.message.contains("host=a"))
    }
    let options = try ConnectionOptions("host=a")
    #expect(!options.refusesPoolers && options.refusingPoolers().setting("dbname", to: "b").refusesPoolers)
  }

  @Test func triggerArguments() {
    #expect(OutboxCatalog.arguments(hex: "") == [])
    #expect(OutboxCatalog.arguments(hex: "69640070c3a300") == ["id", "pã"])
    #expect(
      OutboxSQL.createTrigger(.update, on: "\"a\".\"b\"", key: ["o'k", "id"])
        == "CREATE OR REPLACE TRIGGER vizinho_update AFTER UPDATE ON \"a\".\"b\" REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows "
        + "FOR EACH STATEMENT EXECUTE FUNCTION vizinho.note_changes('o''k', 'id')")
  }

  @Test func whatBecomesOfALine() throws {
    let table = OutboxTable(
      oid: 9, schema: "public", name: "t",
      columns: ["v", "part", "id"].map { .init(name: $0, typeOID: 20, typeModifier: -1, typeName: "bigint") },
      key: [2, 1])
    func decoded(_ asked: [[UInt8]?], _ found: [[UInt8]?]?) throws -> [PgOutputMessage] {
      try table.messages(asked: asked, found: found).map { try PgOutputMessage($0) }
    }
    // There: all of it. The places count from the message's kind.
    #expect(
      try decoded([[1], [2]], [nil, [2], [1]]) == [
        .insert(.init(relation: 9, new: .init([.null, .binary(14..<15), .binary(20..<21)])))
      ])
    // Gone: its key, in the relation's order.
    let gone = PgOutputMessage.delete(
      .init(relation: 9, old: .key(.init([.null, .binary(14..<15), .binary(20..<21)]))))
    #expect(try decoded([[1], [2]], nil) == [gone])
    // A collation finds another key: the one asked for is gone.
    #expect(
      try decoded([[1], [2]], [[7], [2], [3]]) == [
        gone, .insert(.init(relation: 9, new: .init([.binary(13..<14), .binary(19..<20), .binary(25..<26)]))),
      ])
    guard case .relation(let relation) = try PgOutputMessage(PgOutputEncoder.relation(table.relation)) else {
      Issue.record("no relation")
      return
    }
    #expect(relation == table.relation && relation.columns.map(\.isKey) == [false, true, true])
  }

  @Test func messagesAroundRows() throws {
    let begin = PgOutputMessage.Begin(finalLSN: LSN(rawValue: 1 << 40 | 5), commitMicroseconds: -3, transactionID: 7)
    #expect(try PgOutputMessage(PgOutputEncoder.begin(begin)) == .begin(begin))
    let commit = PgOutputMessage.Commit(
      commitLSN: LSN(rawValue: 5), endLSN: LSN(rawValue: 1 << 50), commitMicroseconds: 1 << 50)
    #expect(try PgOutputMessage(PgOutputEncoder.commit(commit)) == .commit(commit))
    #expect(
      try PgOutputMessage(PgOutputEncoder.truncate(relation: 77))
        == .truncate(.init(relations: [77], cascades: false, restartsIdentity: false)))
  }
}
