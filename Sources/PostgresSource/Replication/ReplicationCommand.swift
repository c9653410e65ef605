// The commands of the replication protocol as text. Its grammar is not SQL's: a quote within a literal is doubled, and nothing else is an escape.
//
// May use: LSN, SQLText for names in double quotes.

enum ReplicationCommand {
  /// A slot is named with lower-case letters, digits and underscores, at most 63.
  static func checkSlotName(_ name: String) throws(SourceError) {
    let isFit = name.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F }
    guard isFit, (1...63).contains(name.utf8.count) else {
      throw SourceError(
        .invalidArgument,
        "A replication slot is named with 1 to 63 lower-case letters, digits and underscores, not: \(name.prefix(100))."
      )
    }
  }

  static func createSlot(
    _ name: String, temporary: Bool, exportsSnapshot: Bool, failover: Bool
  ) throws(SourceError) -> String {
    try checkSlotName(name)
    var options = ["SNAPSHOT '\(exportsSnapshot ? "export" : "nothing")'"]
    if failover { options.append("FAILOVER true") }
    return "CREATE_REPLICATION_SLOT \(SQLText.identifier(name))\(temporary ? " TEMPORARY" : "") LOGICAL pgoutput "
      + "(\(options.joined(separator: ", ")))"
  }

  static func dropSlot(_ name: String) throws(SourceError) -> String {
    try checkSlotName(name)
    return "DROP_REPLICATION_SLOT \(SQLText.identifier(name))"
  }

  /// Changes with their values in binary, messages of `pg_logical_emit_message`; no open transactions, no prepared ones.
  static func start(slot: String, from position: LSN, publication: String) throws(SourceError) -> String {
    try checkSlotName(slot)
    guard !publication.utf8.contains(0) else {
      throw SourceError(.invalidArgument, "The name of a publication has a NUL in it.")
    }
    // A list of names, of which each may be quoted, as one literal.
    return
      "START_REPLICATION SLOT \(SQLText.identifier(slot)) LOGICAL \(position) (proto_version '2', publication_names "
      + "\(literal(SQLText.identifier(publication))), binary 'true', messages 'true')"
  }

  static func literal(_ text: String) -> String {
    var result = "'"
    for scalar in text.unicodeScalars {
      if scalar == "'" { result.unicodeScalars.append("'") }
      result.unicodeScalars.append(scalar)
    }
    result.unicodeScalars.append("'")
    return result
  }
}
