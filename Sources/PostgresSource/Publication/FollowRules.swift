// What must hold for a table to be followed, as rules over what the catalogs say. Pure.
//
// Each refusal says the SQL that mends it. What is refused would else fail late, fail the application's own statements, or be left out of the
// stream without a word.
//
// May use: FollowCatalog's values, PublicationSQL.

struct FollowRules {
  var publicationName: String
  /// The source's own condition, and whether the publication's means the same.
  var filter: String?
  var filterAgrees: Bool
  var description: SourceDescription
  /// The columns that must be published: those of the description, or of several of the same table.
  var needed: [String]
  var replication: ReplicationFacts
  var table: FollowedTableFacts
  /// Nil: there is none.
  var publication: PublicationFacts?
  /// Nil: the table is not in it.
  var published: PublishedTable?
  /// ``FollowFacts/publicationVersions``.
  var versions: [String] = []

  private var keys: [String] { description.keyColumns.map(\.name) }

  func refusals() -> [SourceError] {
    serverRefusals() + publicationRefusals() + inherentRefusals()
  }

  /// Those that no publication mends.
  func inherentRefusals() -> [SourceError] {
    table.shapeRefusals() + identityRefusals() + table.payloadRefusals(description.payload)
  }

  /// What the rules' outcome is when nothing is refused.
  func facts() -> FollowFacts {
    let published = published?.columns ?? []
    let columns = table.columns.filter { published.contains($0.name) }.map { column in
      FollowFacts.Column(
        name: column.name, typeOID: column.typeOID, baseTypeOID: column.baseTypeOID, typeModifier: column.typeModifier,
        isKey: keys.contains(column.name), number: column.number)
    }
    return FollowFacts(
      publication: publicationName, relationOID: table.oid, schema: table.schema, name: table.name,
      isPartitioned: table.isPartitioned, replicaIdentity: table.members.first?.identity ?? .nothing,
      rowFilter: self.published?.rowFilter, columns: columns, members: table.members.map(\.oid),
      triggers: [], publicationVersions: versions, attachments: table.attachments)
  }
}

// MARK: The server

extension FollowRules {
  private func serverRefusals() -> [SourceError] {
    var refusals: [SourceError] = []
    func refuse(_ message: String) { refusals.append(SourceError(.replicationUnavailable, message)) }
    if replication.isStandby, replication.version < 160_000 {
      refuse(
        "The server is a standby of PostgreSQL \(replication.version / 10_000), which decodes no changes before 16: "
          + "connect to the primary.")
    }
    if replication.walLevel != "logical" {
      refuse(
        "The server's wal_level is \(replication.walLevel), so its log does not say which rows have changed. Run: "
          + "\(PublicationSQL.walLevel); and restart the server"
          + (replication.isStandby ? ", after the same on its primary." : "."))
    }
    if !replication.hasSlot, replication.slotsUsed >= replication.slotsMax {
      refuse(
        "All of the server's \(replication.slotsMax) replication slots are in use. Run: ALTER SYSTEM SET "
          + "max_replication_slots = \(replication.slotsMax + 2); and restart the server, or drop a slot that nobody "
          + "needs: SELECT slot_name, active FROM pg_replication_slots.")
    }
    if !replication.isSlotActive, replication.sendersUsed >= replication.sendersMax {
      refuse(
        "All of the server's \(replication.sendersMax) senders of its log are in use. Run: ALTER SYSTEM SET "
          + "max_wal_senders = \(replication.sendersMax + 2); and restart the server.")
    }
    if !replication.canReplicate {
      refuse(
        "The role \(SQLText.identifier(replication.role)) may not replicate. Run: ALTER ROLE "
          + "\(SQLText.identifier(replication.role)) REPLICATION;")
    }
    return refusals
  }
}

// MARK: The publication

extension FollowRules {
  /// As the table has to stand in the publication: with what is needed and what it has already.
  var entry: String { entry(filter: published?.rowFilter ?? filter) }

  func entry(filter: String?) -> String {
    // With the identity full, or where the publication takes whole schemas, Postgres has no list of columns.
    let isWhole = hasFullIdentity || publication?.hasSchemas == true
    let listed = published?.hasColumnList == true ? published?.columns ?? [] : []
    let columns = listed + needed.filter { !listed.contains($0) }
    return PublicationSQL.entry(table.sqlName, columns: isWhole ? nil : columns, filter: filter)
  }

  /// Whether the publication is there, and takes the table in.
  var isAbsent: Bool { publication != nil && published == nil }

  /// The entry to put in the place of the table's own; nil: it is fit.
  var replacement: String? {
    guard let published, publication?.isForAllTables == false else { return nil }
    let isWrong =
      !missing(of: published, generated: .no).isEmpty
      || published.hasColumnList && (hasFullIdentity || !missing(of: published, generated: .stored).isEmpty)
      || filter != nil && !filterAgrees
    return isWrong ? entry(filter: filter ?? published.rowFilter) : nil
  }

  /// Whether the publication's option for generated columns is what is missing.
  var needsGeneratedColumns: Bool {
    guard let published, replication.version >= 180_000, !published.hasColumnList else { return false }
    return !missing(of: published, generated: .stored).isEmpty
  }

  private func missing(
    of published: PublishedTable, generated: FollowedTableFacts.Column.Generated
  ) -> [String] {
    table.columns.filter {
      $0.generated == generated && needed.contains($0.name) && !published.columns.contains($0.name)
    }
    .map(\.name)
  }

  private var hasFullIdentity: Bool { table.members.contains { $0.identity == .full } }

  private var replacing: String {
    "BEGIN; \(PublicationSQL.drop(table.sqlName, from: publicationName)); "
      + "\(PublicationSQL.add(entry, to: publicationName)); COMMIT;"
  }

  private func publicationRefusals() -> [SourceError] {
    let name = SQLText.identifier(publicationName)
    guard let publication else {
      return [
        SourceError(
          .publicationMissing,
          "The database \(SQLText.identifier(description.database)) has no publication \(name). Run: "
            + "\(PublicationSQL.create(publicationName, [entry]));")
      ]
    }
    var refusals: [SourceError] = []
    func refuse(_ message: String) { refusals.append(SourceError(.publicationUnfit, message)) }
    if !publication.publishesAll {
      refuse(
        "The publication \(name) leaves out some of insert, update, delete and truncate. Run: "
          + "\(PublicationSQL.publishEverything(publicationName));")
    }
    if table.isPartitioned, !publication.usesPartitionRoot {
      refuse(
        "The publication \(name) sends the changes of \(table.sqlName) under the names of its partitions. Run: "
          + "\(PublicationSQL.usePartitionRoot(publicationName));")
    }
    guard let published else {
      refuse(
        "The publication \(name) does not have the table \(table.sqlName)"
          + (table.partitionRoot.map { ", or has it as a part of \($0) only: then name that one" } ?? "") + ". "
          + "Run: \(PublicationSQL.add(entry, to: publicationName));")
      return refusals
    }
    refusals += contentRefusals(published)
    return refusals
  }

  /// What the table's entry leaves out.
  private func contentRefusals(_ published: PublishedTable) -> [SourceError] {
    let name = SQLText.identifier(publicationName)
    var refusals: [SourceError] = []
    func refuse(_ message: String) { refusals.append(SourceError(.publicationUnfit, message)) }
    let missing = needed.filter { !published.columns.contains($0) }
    let generated = table.columns.filter { missing.contains($0.name) && $0.generated != .no }
    let plain = missing.filter { column in !generated.contains { $0.name == column } }
    if !plain.isEmpty {
      refuse(
        "The publication \(name) leaves out the columns \(SQLText.identifiers(plain)) of \(table.sqlName). Run: "
          + replacing)
    }
    for column in generated { refusals.append(refusal(ofGenerated: column)) }
    if hasFullIdentity, published.hasColumnList {
      refuse(
        "The publication \(name) has a list of columns for \(table.sqlName), whose replica identity is full: "
          + "Postgres refuses every UPDATE and DELETE of it. Run: \(replacing)")
    }
    if let filter, !filterAgrees {
      refuse(
        "The source has the condition \(filter), and the publication "
          + (published.rowFilter.map { "has \($0)" } ?? "none") + ": what is loaded and what is followed must be the "
          + "same rows. The publication's is taken: leave the source's out, or change the publication's.")
    }
    for member in table.members where member.identity != .full {
      let outside = published.filterColumns.filter { !member.identityColumns.contains($0) }
      guard !outside.isEmpty else { continue }
      refuse(
        "The publication's condition for \(table.sqlName) asks for \(SQLText.identifiers(outside)), which the "
          + "replica identity of \(member.sqlName) does not have: Postgres refuses every UPDATE and DELETE of it. "
          + "Run: ALTER TABLE \(member.sqlName) REPLICA IDENTITY FULL; or give the publication a condition on the key.")
      break
    }
    return refusals
  }

  private func refusal(ofGenerated column: FollowedTableFacts.Column) -> SourceError {
    let name = SQLText.identifier(column.name)
    let start = "The column \(name) of \(table.sqlName) is generated, and the publication does not send it. "
    if replication.version < 180_000 {
      return SourceError(
        .followUnsupported,
        start + "PostgreSQL sends generated columns from 18 on: make \(name) an ordinary column that the application "
          + "or a trigger fills.")
    }
    guard column.generated == .stored else {
      return SourceError(
        .followUnsupported, start + "Virtual columns are never sent: make \(name) a stored one, or an ordinary column.")
    }
    return SourceError(
      .publicationUnfit,
      start + "Run: "
        + (published?.hasColumnList == true ? replacing : PublicationSQL.publishGenerated(publicationName) + ";"))
  }
}

// MARK: The table

extension FollowRules {
  private func identityRefusals() -> [SourceError] {
    let wanted = Set(keys)
    for member in table.members where member.identity != .full {
      guard member.identity == .nothing || Set(member.identityColumns) != wanted else { continue }
      return [
        SourceError(
          .replicaIdentity,
          "The changes of \(member.sqlName) name a row by \(words(for: member)), and not by the key "
            + "(\(SQLText.identifiers(keys))). \(identityAdvice(member))")
      ]
    }
    // With all of the old row there is always a key in it; that it names one row alone is another matter.
    guard hasFullIdentity else { return [] }
    let nullable = table.columns.filter { wanted.contains($0.name) && !$0.isNotNull }.map(\.name)
    guard nullable.isEmpty, table.uniqueKeys.contains(where: { wanted.isSuperset(of: $0) }) else {
      if nullable.isEmpty, table.deferrableKeys.contains(where: { wanted.isSuperset(of: $0) }) {
        let key = "(\(SQLText.identifiers(keys)))"
        return [
          SourceError(
            .replicaIdentity,
            "The key \(key) of \(table.sqlName) is deferrable: two rows may have the same one until the end of a "
              + "statement or of a transaction, and changes, which come row by row, would put the one in the other's "
              + "place. Run: CREATE UNIQUE INDEX \(Self.indexName(table.name)) ON \(table.sqlName) \(key);"
              + Self.checkedAtOnce)
        ]
      }
      return [
        SourceError(
          .replicaIdentity,
          "Nothing keeps two rows of \(table.sqlName) from having the same key (\(SQLText.identifiers(keys))), or "
            + "one from having none. Run: ALTER TABLE \(table.sqlName) ADD PRIMARY KEY (\(SQLText.identifiers(keys)));")
      ]
    }
    return []
  }

  /// Whether the primary key is checked only at the end of a statement, or later.
  private var hasDeferrablePrimaryKey: Bool {
    let columns = Set(table.primaryKey)
    return !columns.isEmpty && table.deferrableKeys.contains { Set($0) == columns }
  }

  /// What another index brings with it where a key is deferrable, and what does without.
  private static let checkedAtOnce =
    " With that index keys are checked with every row, so a statement fails that gives a row the key of another before "
    + "that one has a new one. By an outbox (`vizinho serve --outbox`) the table can be followed as it is."

  private func words(for member: FollowedTableFacts.Member) -> String {
    switch member.identity {
    case .nothing: "nothing"
    case .full: "all of its columns"
    case .primaryKey where member.identityColumns.isEmpty && hasDeferrablePrimaryKey:
      "nothing, for its primary key (\(SQLText.identifiers(table.primaryKey))) is deferrable"
    case .primaryKey where member.identityColumns.isEmpty: "nothing, for it has no primary key that is checked at once"
    case .primaryKey: "its primary key (\(SQLText.identifiers(member.identityColumns)))"
    case .index where member.identityColumns.isEmpty: "nothing, for the index that it had for that is gone"
    case .index: "an index on (\(SQLText.identifiers(member.identityColumns)))"
    }
  }

  private func identityAdvice(_ member: FollowedTableFacts.Member) -> String {
    let isDeferrable = hasDeferrablePrimaryKey && Set(table.primaryKey) == Set(keys)
    if Set(table.primaryKey) == Set(keys), member.identity != .primaryKey, !isDeferrable {
      return "Run: ALTER TABLE \(member.sqlName) REPLICA IDENTITY DEFAULT;"
    }
    let own =
      table.primaryKey.isEmpty || Set(table.primaryKey) == Set(keys)
      ? ""
      : "Leave --id-columns out, so that the primary key (\(SQLText.identifiers(table.primaryKey))) is the key; or "
    let index = Self.indexName(member.name)
    let advice =
      own + (own.isEmpty ? "Run: " : "run: ")
      + "CREATE UNIQUE INDEX \(index) ON \(member.sqlName) (\(SQLText.identifiers(keys))); ALTER TABLE "
      + "\(member.sqlName) REPLICA IDENTITY USING INDEX \(index); (the columns must be NOT NULL)."
    return isDeferrable ? advice + Self.checkedAtOnce : advice
  }

  /// Quoted, for an index of ours on a table.
  private static func indexName(_ table: String) -> String {
    SQLText.identifier("vizinho_\(table)".utf8.count <= 63 ? "vizinho_\(table)" : "vizinho_key")
  }
}

extension FollowedTableFacts {
  /// Why such a table cannot be followed at all.
  func shapeRefusals() -> [SourceError] {
    var refusals: [SourceError] = []
    func refuse(_ message: String) { refusals.append(SourceError(.followUnsupported, message)) }
    if !isPartitioned, members.count > 1 {
      refuse(
        "The table \(sqlName) has children by inheritance, whose changes come under their own names. Partition "
          + "it, or follow the tables one by one.")
    }
    if let unlogged = members.first(where: { !$0.isLogged }) {
      // A partitioned table has no storage that could be unlogged.
      refuse(
        "The table \(unlogged.sqlName) is not logged, so its changes cannot be followed. Run: ALTER TABLE "
          + "\(unlogged.sqlName) SET LOGGED;")
    }
    return refusals
  }

  /// The types whose text can be made of what is sent: smallint, integer, bigint, uuid, boolean, text, varchar, char(n), json, jsonb.
  private static let payloadTypes: Set<UInt32> = [21, 23, 20, 2950, 16, 25, 1043, 1042, 114, 3802]

  /// Why columns cannot be kept as payload.
  func payloadRefusals(_ payload: [String]) -> [SourceError] {
    columns.filter { payload.contains($0.name) && !Self.payloadTypes.contains($0.baseTypeOID) }
      .map { column in
        SourceError(
          .followUnsupported,
          "The column \(SQLText.identifier(column.name)) of \(sqlName), of type \(column.typeName), can be "
            + "kept as payload when a table is read once, but not when it is followed: its changes come in binary, "
            + "and only smallint, integer, bigint, uuid, boolean, text, varchar, char(n), json and jsonb are put "
            + "into text here. Leave it out of --payload.")
      }
  }
}
