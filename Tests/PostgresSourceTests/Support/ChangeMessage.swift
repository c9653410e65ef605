// The slow twin of the stream's rows: messages byte by byte, and a table whose rows they are.

import Testing
import VectorIndex

@testable import PostgresSource

/// Messages of changed rows.
enum ChangeMessage {
  enum Field {
    case null
    case unchanged
    case text(String)
    case binary([UInt8])
  }

  static let relation: UInt32 = 16_400

  static func insert(_ new: [Field]) -> [UInt8] { head("I") + tuple("N", new) }

  static func update(_ new: [Field], key: [Field]? = nil, full: [Field]? = nil) -> [UInt8] {
    head("U") + (key.map { tuple("K", $0) } ?? []) + (full.map { tuple("O", $0) } ?? []) + tuple("N", new)
  }

  static func delete(key: [Field]) -> [UInt8] { head("D") + tuple("K", key) }
  static func delete(full: [Field]) -> [UInt8] { head("D") + tuple("O", full) }

  private static func head(_ kind: Unicode.Scalar) -> [UInt8] { [UInt8(ascii: kind)] + CopyStream.bigEndian(relation) }

  private static func tuple(_ mark: Unicode.Scalar, _ fields: [Field]) -> [UInt8] {
    [UInt8(ascii: mark)] + CopyStream.bigEndian(Int16(fields.count))
      + fields.flatMap { field in
        switch field {
        case .null: [UInt8(ascii: "n")]
        case .unchanged: [UInt8(ascii: "u")]
        case .text(let text):
          [UInt8(ascii: "t")] + CopyStream.bigEndian(Int32(text.utf8.count)) + Array(text.utf8)
        case .binary(let bytes): [UInt8(ascii: "b")] + CopyStream.bigEndian(Int32(bytes.count)) + bytes
        }
      }
  }
}

extension ChangeMessage.Field {
  static func int8(_ value: Int64) -> Self { .binary(CopyStream.bigEndian(value)) }
  static func int4(_ value: Int32) -> Self { .binary(CopyStream.bigEndian(value)) }
  static func string(_ text: String) -> Self { .binary(Array(text.utf8)) }
  static func jsonb(_ text: String) -> Self { .binary([1] + Array(text.utf8)) }
  static func vector(_ components: [Float], _ type: VectorType = .vector) -> Self {
    .binary(CopyStream.vector(components, type))
  }
  static func texts(_ values: [String?]) -> Self {
    .binary(
      CopyStream.attribute(
        .array(values.map { $0.map { .keyword($0) } ?? .null }),
        AttributeField(name: "", scalar: .text, isArray: true)) ?? [])
  }
}

extension TableBinding {
  /// What a whole message becomes, through the decoder of messages.
  func event(_ bytes: [UInt8]) throws -> RowEvent? {
    let message = try PgOutputMessage(bytes)
    return try bytes.withUnsafeBytes { buffer in
      switch message {
      case .insert(let insert): try event(insert, in: buffer)
      case .update(let update): try event(update, in: buffer)
      case .delete(let delete): try event(delete, in: buffer)
      default: nil
      }
    }
  }

  func write(_ bytes: [UInt8]) throws -> RowWrite {
    guard case .write(let row) = try #require(try event(bytes)) else {
      throw SourceError(.malformedData, "no write")
    }
    return row
  }
}

extension VectorValue {
  static func of(_ components: [Float], _ type: VectorType = .vector) -> VectorValue {
    let hash = CopyStream.vector(components, type).withUnsafeBytes { RowHasher.vectorHash($0) }
    return .components(components, hash: hash)
  }
}

// MARK: Descriptions

extension SourceDescription {
  /// Of a table "public"."t" without a server.
  static func made(
    keys: [KeyColumn], vectorType: VectorType = .vector, dimension: Int, attributes: [Attribute] = [],
    payload: [String] = []
  ) -> SourceDescription {
    SourceDescription(
      table: "\"public\".\"t\"", keyColumns: keys, vectorColumn: "v", vectorType: vectorType, dimension: dimension,
      attributes: attributes, payload: payload, leaves: [], estimatedRows: 0, isEstimateCounted: false,
      serverVersion: 180_000, pgvectorVersion: "0.8.0", database: "d", systemIdentifier: 1, timeline: 1,
      isStandby: false)
  }
}

extension SourceDescription.Attribute {
  /// A column that is the attribute.
  static func plain(_ name: String, _ scalar: AttributeField.Scalar, isArray: Bool = false) throws -> Self {
    let type = try #require(scalar.attributeType(isArray: isArray))
    return Self(
      column: AttributeColumn(name, type), sourceColumn: name, path: [],
      field: AttributeField(name: name, scalar: scalar, isArray: isArray), expression: SQLText.identifier(name))
  }

  /// A place in jsonb.
  static func place(_ name: String, _ column: String, _ path: [SourceAttribute.Step], _ type: AttributeType) -> Self {
    Self(
      column: AttributeColumn(name, type), sourceColumn: column, path: path,
      field: AttributeSQL.field(name: name, type: type),
      expression: AttributeSQL.expression(column: column, path: path, type: type))
  }
}

/// A table with a column of each kind: id, other, v, n, tags, meta, title.
struct FollowedFixture {
  static let vectorOID: UInt32 = 16_500

  static func column(
    _ name: String, _ type: UInt32, _ modifier: Int32 = -1, isKey: Bool = false
  ) -> FollowFacts.Column {
    FollowFacts.Column(name: name, typeOID: type, baseTypeOID: type, typeModifier: modifier, isKey: isKey)
  }

  static let columns = [
    column("id", 20, isKey: true), column("other", 1_700), column("v", vectorOID, 2), column("n", 23),
    column("tags", 1_009), column("meta", 3_802), column("title", 25),
  ]

  static func description() throws -> SourceDescription {
    .made(
      keys: [SourceDescription.KeyColumn(name: "id", type: .bigint)], dimension: 2,
      attributes: [
        try .plain("n", .integer), try .plain("tags", .text, isArray: true),
        .place("lang", "meta", [.key("lang")], .keyword), .place("level", "meta", [.key("level")], .int64),
      ],
      payload: ["title", "meta"])
  }

  static func table() throws -> FollowedTable { try FollowedTable(description(), columns: columns) }

  static func relation(
    _ columns: [FollowFacts.Column] = columns, identity: PgOutputMessage.ReplicaIdentity = .primaryKey
  ) -> PgOutputMessage.Relation {
    PgOutputMessage.Relation(
      id: ChangeMessage.relation, schema: "public", name: "t", replicaIdentity: identity,
      columns: columns.map { column in
        PgOutputMessage.Column(
          isKey: identity == .full || column.isKey, name: column.name, typeOID: column.typeOID,
          typeModifier: column.typeModifier)
      })
  }

  static func binding(identity: PgOutputMessage.ReplicaIdentity = .primaryKey) throws -> TableBinding {
    try table().bind(relation(identity: identity))
  }

  /// A row's fields in the relation's order.
  static func row(
    id: ChangeMessage.Field = .int8(7), v: ChangeMessage.Field = .vector([1, -2]), n: ChangeMessage.Field = .int4(5),
    tags: ChangeMessage.Field = .texts(["a", nil]),
    meta: ChangeMessage.Field = .jsonb(#"{"lang": "pt", "level": 3}"#), title: ChangeMessage.Field = .string("ç")
  ) -> [ChangeMessage.Field] {
    // A type without a send function, which nobody asked for.
    [id, .text("1.5"), v, n, tags, meta, title]
  }

  /// An old key: of all other columns nothing was sent.
  static func key(_ id: Int64) -> [ChangeMessage.Field] {
    [.int8(id), .null, .null, .null, .null, .null, .null]
  }
}
