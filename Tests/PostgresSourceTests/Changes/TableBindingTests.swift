// Which relations are still the table that was loaded.

import Testing
import VectorIndex

@testable import PostgresSource

struct TableBindingTests {
  private typealias Fixture = FollowedFixture

  private func refusal(
    _ change: (inout PgOutputMessage.Relation) -> Void, identity: PgOutputMessage.ReplicaIdentity = .primaryKey
  ) throws -> String {
    var relation = Fixture.relation(identity: identity)
    change(&relation)
    let table = try Fixture.table()
    let error = try #require(throws: SourceError.self) { try table.bind(relation) }
    #expect(error.code == .sourceChanged && error.message.contains("Load it again"))
    return error.message
  }

  @Test func moreColumnsAndAnotherOrderDoNoHarm() throws {
    let plain = try Fixture.binding().write(ChangeMessage.insert(Fixture.row()))
    var columns = Array(Fixture.columns.reversed())
    columns.insert(Fixture.column("new", 600), at: 2)
    var row = Array(Fixture.row().reversed())
    row.insert(.text("(1,2)"), at: 2)
    let binding = try Fixture.table().bind(Fixture.relation(columns))
    #expect(try binding.write(ChangeMessage.insert(row)) == plain)
    // What is not read may go.
    columns.removeAll { $0.name == "other" || $0.name == "new" }
    _ = try Fixture.table().bind(Fixture.relation(columns))
  }

  @Test func whatWasAlteredIsRefused() throws {
    #expect(try refusal { $0.columns.removeAll { $0.name == "tags" } }.contains("\"tags\" was dropped"))
    #expect(try refusal { $0.columns[2].name = "w" }.contains("\"v\" was dropped or renamed"))
    #expect(try refusal { $0.columns[3].typeOID = 20 }.contains("\"n\" has another type (20 in pg_type, not 23)"))
    #expect(try refusal { $0.columns[2].typeModifier = 3 }.contains("\"v\" has another modifier"))
    #expect(try refusal { $0.columns[5].typeOID = 114 }.contains("\"meta\""))
    #expect(try refusal { $0.columns[1].name = "id" }.contains("comes twice"))
    #expect(try refusal { $0.name = "u" }.contains("called \"public\".\"u\""))
    #expect(try refusal { $0.schema = "" }.contains("called \"pg_catalog\".\"t\""))
  }

  @Test func anotherKeyIsRefused() throws {
    #expect(try refusal { $0.columns[0].isKey = false }.contains("lacks \"id\""))
    #expect(
      try refusal(
        {
          $0.columns[0].isKey = false
          $0.columns[3].isKey = true
        }, identity: .index
      ).contains("lacks \"id\""))
    #expect(try refusal { $0.columns[3].isKey = true }.contains("is \"id\", \"n\" now, which is more than \"id\""))
    #expect(
      try refusal { relation in
        relation.replicaIdentity = .nothing
        for i in relation.columns.indices { relation.columns[i].isKey = false }
      }.contains("REPLICA IDENTITY"))
    // All of the old row is more than its key.
    _ = try Fixture.binding(identity: .full)
    _ = try Fixture.binding(identity: .index)
  }

  @Test func whatCannotBeFollowedIsRefused() throws {
    var description = try Fixture.description()
    func code(_ columns: [FollowFacts.Column] = Fixture.columns) throws -> SourceError.Code {
      try #require(throws: SourceError.self) { try FollowedTable(description, columns: columns) }.code
    }
    #expect(try code(Array(Fixture.columns.dropLast())) == .columnMissing)
    description.payload = ["other"]
    #expect(try code() == .attributeType)
    description.table = nil
    #expect(try code() == .invalidArgument)
  }
}
