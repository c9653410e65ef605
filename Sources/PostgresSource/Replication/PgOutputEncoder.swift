// A row as an insertion's message: for rows that did not come by the stream and are to be kept beside those that did.
//
// May use: PgOutputMessage, for the form is its (PgOutputDecoder.swift draws it).

package enum PgOutputEncoder {
  /// The message `I` with the fields' bytes as binary values; nil is NULL.
  /// - Precondition: at most 1,600 fields (Postgres's limit), each shorter than 2 GiB.
  package static func insert(relation: UInt32, fields: [[UInt8]?]) -> [UInt8] {
    precondition(fields.count <= 1_600, "no table has so many columns")
    var message: [UInt8] = [UInt8(ascii: "I")]
    message.reserveCapacity(8 + fields.reduce(0) { $0 + 5 + ($1?.count ?? 0) })
    append(relation, to: &message)
    message.append(UInt8(ascii: "N"))
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

  private static func append(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
    for shift in stride(from: value.bitWidth - 8, through: 0, by: -8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> shift))
    }
  }
}
