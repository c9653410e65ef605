// What must hold for a table to be followed by the outbox, as rules over what the catalogs say. Pure.
//
// May use: FollowCatalog's and OutboxCatalog's values, OutboxSQL.

struct OutboxRules {
  var description: SourceDescription
  var table: FollowedTableFacts
  var outbox: OutboxFacts

  private var keys: [String] { description.keyColumns.map(\.name) }

  /// A trigger that is to be.
  struct Wanted: Hashable {
    var event: OutboxSQL.Event
    /// Quoted.
    var table: String
  }

  /// Which triggers are not as they have to be. A statement fires those of the table that it names, so each table of a tree needs its own. That a
  /// partition alone is emptied is not noted, for the whole of its table would seem to go: whoever follows sees it by the partition's file.
  var missing: [Wanted] {
    table.members.enumerated().flatMap { number, member in
      OutboxSQL.Event.allCases.filter { event in
        if event == .truncate, number > 0 { return false }
        return !outbox.triggers.contains {
          $0.member == member.oid && $0.event == event && $0.isAlways && $0.key == keys
        }
      }.map { Wanted(event: $0, table: member.sqlName) }
    }
  }

  /// In the order in which it is best mended; empty: nothing keeps the table from being followed.
  func refusals() -> [SourceError] {
    var refusals = inherentRefusals()
    func refuse(_ code: SourceError.Code, _ message: String) { refusals.append(SourceError(code, message)) }
    let prepare =
      "Run `vizinho prepare --outbox` with this table's options, which prints the SQL, and runs it with --apply."
    guard outbox.hasOutbox, outbox.hasReader, outbox.hasFunction else {
      refuse(
        .outboxMissing,
        "The database \(SQLText.identifier(description.database)) has no outbox, in which changes are noted. \(prepare)"
      )
      return refusals
    }
    let role = SQLText.identifier(outbox.role)
    if !outbox.mayRead {
      refuse(
        .permissionDenied,
        "The role \(role) may not read the outbox. Run: \(OutboxSQL.grants(to: outbox.role).joined(separator: "; "));")
    }
    if !outbox.mayReadTable {
      refuse(
        .permissionDenied,
        "The role \(role) may not read all of \(table.sqlName), and all columns of a changed row are read. Run: "
          + table.members.map { "GRANT SELECT ON TABLE \($0.sqlName) TO \(role);" }.joined(separator: " "))
    }
    let missing = missing
    if let first = missing.first {
      refuse(
        .outboxMissing,
        "\(missing.count) triggers that note the changes of \(table.sqlName) are missing, or do not fire always, or have "
          + "another key than (\(SQLText.identifiers(keys))), \(first.event.triggerName) on \(first.table) among them. \(prepare)"
      )
    }
    return refusals
  }

  /// Those that no preparation mends.
  func inherentRefusals() -> [SourceError] {
    var refusals = table.shapeRefusals() + table.payloadRefusals(description.payload)
    func refuse(_ code: SourceError.Code, _ message: String) { refusals.append(SourceError(code, message)) }
    if outbox.isStandby {
      refuse(
        .replicationUnavailable, "The server is a standby, where no outbox can be emptied: connect to the primary.")
    }
    if let root = table.partitionRoot {
      refuse(
        .followUnsupported,
        "The table \(table.sqlName) is a partition, whose changes are noted as its table's: follow \(root).")
    }
    if outbox.isSubscribed {
      refuse(
        .followUnsupported,
        "A subscription writes to \(table.sqlName), and what it writes fires no trigger of a statement: follow the table "
          + "where the subscription takes it from.")
    }
    let wanted = Set(keys)
    let nullable = table.columns.filter { wanted.contains($0.name) && !$0.isNotNull }.map(\.name)
    // Rows are read as a snapshot has them, in which no two have the same key, also where it is checked only at a transaction's end.
    let unique = table.uniqueKeys + table.deferrableKeys
    if !nullable.isEmpty || !unique.contains(where: { wanted.isSuperset(of: $0) }) {
      refuse(
        .replicaIdentity,
        "Nothing keeps two rows of \(table.sqlName) from having the same key (\(SQLText.identifiers(keys))), or one from "
          + "having none. Run: ALTER TABLE \(table.sqlName) ADD PRIMARY KEY (\(SQLText.identifiers(keys)));")
    }
    return refusals
  }

  /// What the rules' outcome is when nothing is refused.
  func facts() -> FollowFacts {
    let columns = table.columns.map { column in
      FollowFacts.Column(
        name: column.name, typeOID: column.typeOID, baseTypeOID: column.baseTypeOID, typeModifier: column.typeModifier,
        isKey: keys.contains(column.name), number: column.number)
    }
    return FollowFacts(
      publication: "", relationOID: table.oid, schema: table.schema, name: table.name,
      isPartitioned: table.isPartitioned,
      replicaIdentity: .primaryKey, rowFilter: nil, columns: columns, members: table.members.map(\.oid),
      triggers: outbox.triggers.map { "\($0.oid):\($0.xmin)" }, attachments: table.attachments)
  }
}

extension FollowedSource {
  /// Looks at a table that is to be followed by the outbox.
  /// - Throws: ``SourceError``; each message says what mends it.
  package static func look(atOutboxed source: TableSource, on connection: Connection) throws(SourceError)
    -> FollowedSource
  {
    let description = try Preflight(connection, .table(source)).run()
    let rules = try OutboxRules.read(description, on: connection)
    if let refusal = rules.refusals().first { throw refusal }
    let facts = rules.facts()
    return FollowedSource(
      source: source, description: description, facts: facts,
      table: try FollowedTable(description, columns: facts.columns),
      files: try TableFiles.read(facts.members, on: connection))
  }
}

extension OutboxRules {
  static func read(_ description: SourceDescription, on connection: Connection) throws(SourceError) -> OutboxRules {
    guard let name = description.table else {
      throw SourceError(
        .followUnsupported, "A query cannot be followed, for changes come table by table: name a table with --table.")
    }
    guard let table = try FollowCatalog(connection: connection).table(name) else {
      throw SourceError(.sourceChanged, "The table \(name) is gone: start again.")
    }
    return OutboxRules(
      description: description, table: table,
      outbox: try OutboxCatalog(connection: connection).facts(of: table.members.map(\.oid)))
  }
}
