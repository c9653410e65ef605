// What a server still lacks to be followed: its settings, a role, privileges, a publication. As statements, to be shown or to be run.
//
// Nothing here touches a table: what would have to change there is the application's, and FollowPreflight says it.
//
// May use: Connection, FollowCatalog, FollowRules, PublicationSQL.

/// The server's side of following some tables.
package struct Preparation {
  /// A table that is to be followed. The same table may come more than once, with other columns.
  package struct Table {
    package var source: TableSource
    package var description: SourceDescription
    /// The condition that the publication is to have for it. Nil: that which it has, or none.
    package var rowFilter: String?

    package init(source: TableSource, description: SourceDescription, rowFilter: String? = nil) {
      self.source = source
      self.description = description
      self.rowFilter = rowFilter
    }
  }

  private let publication: String
  private let role: String?
  private let tables: [Table]

  /// - role: who is to follow; nil: whoever the program connects as, who needs no statement here.
  package init(publication: String, role: String?, tables: [Table]) {
    self.publication = publication
    self.role = role
    self.tables = tables
  }

  /// What is missing, in the order in which it is to be run; empty: nothing is. It only reads.
  /// - Throws: ``SourceError``: of the connection; `followUnsupported` and `replicaIdentity` when a table must be changed first;
  ///   `invalidArgument` when one table is to have two conditions.
  package func steps(over connection: Connection) throws(SourceError) -> [PreparationStep] {
    let catalog = FollowCatalog(connection: connection)
    let rules = try rules(catalog)
    var steps = try serverSteps(catalog.replicationFacts(slot: nil))
    if let role { steps += try RoleSteps.steps(role, rules.map(\.table), catalog, replicates: true) }
    steps += try publicationSteps(rules, catalog)
    // By hand last, so that what a connection can do stands together.
    return steps.filter { $0.phase != .byHand } + steps.filter { $0.phase == .byHand }
  }

  /// Runs what is missing.
  ///
  /// The statements about roles and the publication are one transaction. It is taken back when a table could still not be followed, as with a
  /// condition on columns outside the replica identity: Postgres would refuse the application's updates.
  /// - Returns: the steps that were run, and those that are left to a person.
  /// - Throws: ``SourceError``: as ``steps(over:)``, and what FollowPreflight refuses.
  package func apply(
    over connection: Connection
  ) throws(SourceError) -> (applied: [PreparationStep], byHand: [PreparationStep]) {
    let steps = try steps(over: connection)
    let together = steps.filter { $0.phase == .transaction }
    if !together.isEmpty {
      try connection.query("BEGIN")
      do throws(SourceError) {
        for step in together { try connection.query(step.sql) }
        for table in try rules(FollowCatalog(connection: connection)) {
          // What the server lacks comes with a restart.
          if let refusal = table.refusals().first(where: { $0.code != .replicationUnavailable }) { throw refusal }
        }
        try connection.query("COMMIT")
      } catch {
        _ = try? connection.query("ROLLBACK")
        throw error
      }
    }
    let alone = steps.filter { $0.phase == .alone }
    for step in alone { try connection.query(step.sql) }
    return (alone + together, steps.filter { $0.phase == .byHand })
  }

  /// For each table once, with all columns that are wanted of it.
  private func rules(_ catalog: FollowCatalog) throws(SourceError) -> [FollowRules] {
    var rules: [FollowRules] = []
    for wanted in tables {
      guard let name = wanted.description.table else {
        throw SourceError(.followUnsupported, "A query cannot be followed, for changes come table by table.")
      }
      guard let table = try catalog.table(name) else {
        throw SourceError(.sourceChanged, "The table \(name) is gone: start again.")
      }
      let own = try catalog.rules(
        table, publication, filter: wanted.rowFilter, description: wanted.description,
        needed: wanted.description.columnsNeeded, slot: nil)
      if let refusal = own.inherentRefusals().first { throw refusal }
      guard let index = rules.firstIndex(where: { $0.table.oid == table.oid }) else {
        rules.append(own)
        continue
      }
      guard rules[index].filter == own.filter else {
        throw SourceError(
          .invalidArgument,
          "The table \(name) is to have two conditions, and a publication has one for a table: "
            + "\(own.filter ?? "none") and \(rules[index].filter ?? "none").")
      }
      let known = rules[index].needed
      rules[index].needed += own.needed.filter { !known.contains($0) }
    }
    return rules
  }
}

// MARK: The server and its publication

extension Preparation {
  private func serverSteps(_ facts: ReplicationFacts) -> [PreparationStep] {
    var steps: [PreparationStep] = []
    if facts.walLevel != "logical" {
      steps.append(
        PreparationStep(
          .alone, PublicationSQL.walLevel,
          why: "The log is to say which rows have changed; now it is \(facts.walLevel)."))
    }
    if facts.slotsUsed >= facts.slotsMax {
      steps.append(
        PreparationStep(
          .alone, "ALTER SYSTEM SET max_replication_slots = \(facts.slotsMax + 2)",
          why: "All \(facts.slotsMax) replication slots are in use; one is needed, and another for a while when the "
            + "tables are compared."))
    }
    if facts.sendersUsed >= facts.sendersMax {
      steps.append(
        PreparationStep(
          .alone, "ALTER SYSTEM SET max_wal_senders = \(facts.sendersMax + 2)",
          why: "All \(facts.sendersMax) senders of the log are in use; one is needed, and another for a while."))
    }
    if !steps.isEmpty {
      steps.append(
        PreparationStep(.byHand, "", why: "Restart the server: these settings are read when it starts."))
    }
    return steps
  }

  private func publicationSteps(
    _ rules: [FollowRules], _ catalog: FollowCatalog
  ) throws(SourceError) -> [PreparationStep] {
    guard let found = try catalog.publication(publication) else {
      guard !rules.isEmpty else { return [] }
      return [
        PreparationStep(
          .transaction, PublicationSQL.create(publication, rules.map(\.entry)),
          why: "The changes of these tables are to be sent. It must be there before the slot.")
      ]
    }
    var steps: [PreparationStep] = []
    func add(_ sql: String, _ why: String) { steps.append(PreparationStep(.transaction, sql, why: why)) }
    if !found.publishesAll {
      add(PublicationSQL.publishEverything(publication), "All kinds of changes are to be sent.")
    }
    if !found.usesPartitionRoot, rules.contains(where: { $0.table.isPartitioned }) {
      add(
        PublicationSQL.usePartitionRoot(publication), "Changes of partitions are to be sent as those of their table.")
    }
    for rules in rules {
      let table = rules.table.sqlName
      if rules.isAbsent {
        add(PublicationSQL.add(rules.entry, to: publication), "The changes of \(table) are to be sent.")
      } else if let entry = rules.replacement {
        add(PublicationSQL.drop(table, from: publication), "What is sent of \(table) is to change: it is added again.")
        add(PublicationSQL.add(entry, to: publication), "With what is needed of \(table), and what was sent before.")
      } else if rules.needsGeneratedColumns {
        add(PublicationSQL.publishGenerated(publication), "Generated columns of \(table) are to be sent.")
      }
    }
    return steps
  }
}
