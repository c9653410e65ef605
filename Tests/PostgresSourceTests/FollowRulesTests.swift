// The rules of following a table, where no test server can be made to break them; the others are in Live/FollowPreflightTests.swift.

import Testing
import VectorIndex

@testable import PostgresSource

struct FollowRulesTests {
  private static func column(
    _ name: String, _ type: UInt32, generated: FollowedTableFacts.Column.Generated = .no
  ) -> FollowedTableFacts.Column {
    FollowedTableFacts.Column(
      name: name, typeOID: type, baseTypeOID: type, typeModifier: -1, typeName: "t", isNotNull: name == "id",
      generated: generated)
  }

  /// A table that can be followed on a server that can be followed.
  private static func rules() -> FollowRules {
    let description = SourceDescription(
      table: "\"public\".\"t\"", keyColumns: [SourceDescription.KeyColumn(name: "id", type: .bigint)],
      vectorColumn: "v",
      vectorType: .vector, dimension: 3, attributes: [], payload: [], leaves: [], estimatedRows: 0,
      isEstimateCounted: false, serverVersion: 170_000, pgvectorVersion: "0.8", database: "app", systemIdentifier: 1,
      timeline: 1, isStandby: false)
    return FollowRules(
      publicationName: "p", filter: nil, filterAgrees: false, description: description,
      needed: description.columnsNeeded,
      replication: ReplicationFacts(
        walLevel: "logical", slotsMax: 10, slotsUsed: 1, sendersMax: 10, sendersUsed: 1, hasSlot: false,
        isSlotActive: false, role: "alice", canReplicate: true, isStandby: false, version: 170_000),
      table: FollowedTableFacts(
        oid: 5, schema: "public", name: "t", isPartitioned: false, partitionRoot: nil,
        columns: [column("id", 20), column("v", 70_000)], primaryKey: ["id"], uniqueKeys: [["id"]],
        members: [
          FollowedTableFacts.Member(
            oid: 5, schema: "public", name: "t", identity: .primaryKey, identityColumns: ["id"], isLogged: true)
        ]),
      publication: PublicationFacts(
        name: "p", isForAllTables: false, hasSchemas: false, publishesAll: true, usesPartitionRoot: true),
      published: PublishedTable(columns: ["id", "v"], hasColumnList: true, rowFilter: nil, filterColumns: []))
  }

  private func expect(
    _ code: SourceError.Code, _ words: String..., change: (inout FollowRules) -> Void,
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
    #expect(rules.refusals().isEmpty)
    #expect(rules.replacement == nil && !rules.isAbsent && !rules.needsGeneratedColumns)
    let facts = rules.facts()
    #expect(
      facts.relationOID == 5 && facts.columns.map(\.name) == ["id", "v"] && facts.columns.map(\.isKey) == [true, false])
    #expect(facts.column("v")?.typeOID == 70_000 && facts.column("w") == nil && facts.members == [5])
  }

  @Test func servers() {
    expect(.replicationUnavailable, "ALTER SYSTEM SET wal_level = logical;", "restart", "replica") {
      $0.replication.walLevel = "replica"
    }
    expect(.replicationUnavailable, "max_replication_slots = 12;", "pg_replication_slots") {
      $0.replication.slotsUsed = 10
    }
    expect(.replicationUnavailable, "max_wal_senders = 12;") { $0.replication.sendersUsed = 10 }
    expect(.replicationUnavailable, "ALTER ROLE \"alice\" REPLICATION;") { $0.replication.canReplicate = false }
    expect(.replicationUnavailable, "standby", "primary") {
      $0.replication.isStandby = true
      $0.replication.version = 150_000
    }
    // The slot that is there already needs no other, and its own sender is not in the way.
    var rules = Self.rules()
    rules.replication.slotsUsed = 10
    rules.replication.sendersUsed = 10
    rules.replication.hasSlot = true
    rules.replication.isSlotActive = true
    #expect(rules.refusals().isEmpty)
  }

  /// Two rows may have the same key while a statement changes them, and changes come row by row.
  @Test func keysThatAreCheckedLate() {
    func makeDeferrable(_ identity: PgOutputMessage.ReplicaIdentity, _ rules: inout FollowRules) {
      (rules.table.uniqueKeys, rules.table.deferrableKeys) = ([], [["id"]])
      rules.table.members[0].identity = identity
      rules.table.members[0].identityColumns = []
      rules.published?.hasColumnList = false
    }
    let index = "CREATE UNIQUE INDEX \"vizinho_t\" ON \"public\".\"t\" (\"id\");"
    expect(.replicaIdentity, "(\"id\") of \"public\".\"t\" is deferrable", index, "--outbox") {
      makeDeferrable(.full, &$0)
    }
    expect(.replicaIdentity, "primary key (\"id\") is deferrable", index, "USING INDEX", "--outbox") {
      makeDeferrable(.primaryKey, &$0)
    }
    // Its own primary key as the identity would not do.
    expect(.replicaIdentity, index, "USING INDEX") { makeDeferrable(.nothing, &$0) }
    // Another one on the same columns, or on some of them, is checked with every row.
    var rules = Self.rules()
    makeDeferrable(.full, &rules)
    rules.table.uniqueKeys = [["id"]]
    #expect(rules.refusals().isEmpty)
  }

  @Test func generatedColumnsBefore18() {
    expect(.followUnsupported, "\"v\"", "from 18 on") {
      $0.table.columns[1].generated = .stored
      $0.published?.columns = ["id"]
    }
    expect(.publicationUnfit, "publish_generated_columns = stored") {
      $0.replication.version = 180_000
      $0.table.columns[1].generated = .stored
      $0.published?.columns = ["id"]
      $0.published?.hasColumnList = false
    }
    expect(.followUnsupported, "Virtual") {
      $0.replication.version = 180_000
      $0.table.columns[1].generated = .virtual
      $0.published?.columns = ["id"]
    }
  }

  @Test func everythingAtOnceInAGoodOrder() {
    var rules = Self.rules()
    rules.replication.walLevel = "replica"
    rules.publication = nil
    rules.published = nil
    rules.table.members[0].identity = .nothing
    #expect(rules.refusals().map(\.code) == [.replicationUnavailable, .publicationMissing, .replicaIdentity])
    #expect(
      rules.refusals()[1].message.contains(
        "CREATE PUBLICATION \"p\" FOR TABLE \"public\".\"t\" (\"id\", \"v\") WITH (publish_via_partition_root = true);")
    )
  }

  @Test func scripts() {
    let steps = [
      PreparationStep(.alone, "ALTER SYSTEM SET a = b", why: "A."), PreparationStep(.transaction, "GRANT x", why: "B."),
      PreparationStep(.transaction, "GRANT y", why: "C."), PreparationStep(.byHand, "", why: "Restart."),
      PreparationStep(.byHand, "ALTER ROLE r PASSWORD '…'", why: "D."),
    ]
    #expect(
      PreparationStep.script(steps) == """
        -- A.
        ALTER SYSTEM SET a = b;
        BEGIN;
        -- B.
        GRANT x;
        -- C.
        GRANT y;
        COMMIT;
        -- Restart.
        -- D.
        -- ALTER ROLE r PASSWORD '…';

        """)
    #expect(PreparationStep.script([]) == "")
    #expect(PreparationStep.script([steps[1]]) == "BEGIN;\n-- B.\nGRANT x;\nCOMMIT;\n")
  }
}
