// Messages as pgoutput would send them: for changes that came in another way and are to be kept as if they had come by the stream.
//
// May use: PgOutputMessage, for the forms are its (PgOutputDecoder.swift draws them).

package enum PgOutputEncoder {
  /// The message `B`.
  package static func begin(_ begin: PgOutputMessage.Begin) -> [UInt8] {
    var message: [UInt8] = [UInt8(ascii: "B")]
    append(begin.finalLSN.rawValue, to: &message)
    append(begin.commitMicroseconds, to: &message)
    append(begin.transactionID, to: &message)
    return message
  }

  /// The message `C`.
  package static func commit(_ commit: PgOutputMessage.Commit) -> [UInt8] {
    var message: [UInt8] = [UInt8(ascii: "C"), 0]
    append(commit.commitLSN.rawValue, to: &message)
    append(commit.endLSN.rawValue, to: &message)
    append(commit.commitMicroseconds, to: &message)
    return message
  }

  /// The message `R`.
  /// - Precondition: at most 1,600 columns; no name has a NUL, as none in Postgres has.
  package static func relation(_ relation: PgOutputMessage.Relation) -> [UInt8] {
    precondition(relation.columns.count <= 1_600, "no table has so many columns")
    var message: [UInt8] = [UInt8(ascii: "R")]
    append(relation.id, to: &message)
    append(relation.schema, to: &message)
    append(relation.name, to: &message)
    message.append(relation.replicaIdentity.rawValue)
    append(Int16(relation.columns.count), to: &message)
    for column in relation.columns {
      message.append(column.isKey ? 1 : 0)
      append(column.name, to: &message)
      append(column.typeOID, to: &message)
      append(column.typeModifier, to: &message)
    }
    return message
  }

  /// The message `I` with the fields' bytes as binary values; nil is NULL.
  /// - Precondition: at most 1,600 fields (Postgres's limit), each shorter than 2 GiB.
  package static func insert(relation: UInt32, fields: [[UInt8]?]) -> [UInt8] {
    row(UInt8(ascii: "I"), relation, UInt8(ascii: "N"), fields)
  }

  /// The message `D` of which the key is known: the fields of other columns are nil.
  /// - Precondition: as of ``insert(relation:fields:)``.
  package static func delete(relation: UInt32, key fields: [[UInt8]?]) -> [UInt8] {
    row(UInt8(ascii: "D"), relation, UInt8(ascii: "K"), fields)
  }

  /// The message `T` of one table.
  package static func truncate(relation: UInt32) -> [UInt8] {
    var message: [UInt8] = [UInt8(ascii: "T")]
    append(UInt32(1), to: &message)
    message.append(0)
    append(relation, to: &message)
    return message
  }

  private static func row(_ kind: UInt8, _ relation: UInt32, _ mark: UInt8, _ fields: [[UInt8]?]) -> [UInt8] {
    precondition(fields.count <= 1_600, "no table has so many columns")
    var message: [UInt8] = [kind]
    message.reserveCapacity(8 + fields.reduce(0) { $0 + 5 + ($1?.count ?? 0) })
    append(relation, to: &message)
    message.append(mark)
    append(Int16(fields.count), to: &message)
    for field in fields {
      guard let field else {
        message.append(UInt8(ascii: "n"))
        continue
      }
      message.append(UInt8(ascii: "b"))
      append(Int32(field.count), to: &message)
      message.append(contentsOf: field)
    }
    return message
  }

  private static func append(_ text: String, to bytes: inout [UInt8]) {
    bytes.append(contentsOf: text.utf8)
    bytes.append(0)
  }

  private static func append(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
    for shift in stride(from: value.bitWidth - 8, through: 0, by: -8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> shift))
    }
  }
}
