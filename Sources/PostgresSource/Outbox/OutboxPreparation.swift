// What a database still lacks for its tables to be followed by an outbox: the outbox, triggers, a role and its privileges. As statements, to be
// shown or to be run.
//
// May use: Connection, OutboxRules, Preparation's steps.

/// The database's side of following some tables by the outbox. It changes the tables: they get triggers.
package struct OutboxPreparation {
  private let role: String?
  private let tables: [SourceDescription]

  /// - role: who is to follow; nil: whoever the program connects as.
  package init(role: String?, tables: [SourceDescription]) {
    self.role = role
    self.tables = tables
  }

  /// What is missing, in the order in which it is to be run; empty: nothing is. It only reads.
  /// - Throws: ``SourceError``: of the connection; `followUnsupported` and `replicaIdentity` when a table must be changed first.
  package func steps(over connection: Connection) throws(SourceError) -> [PreparationStep] {
    var steps: [PreparationStep] = []
    func add(_ sql: String, _ why: String) { steps.append(PreparationStep(.transaction, sql, why: why)) }
    var rules: [OutboxRules] = []
    for description in tables { rules.append(try OutboxRules.read(description, on: connection)) }
    if let refusal = rules.flatMap({ $0.inherentRefusals() }).first { throw refusal }
    let found = try OutboxCatalog(connection: connection).facts(of: [])
    if !found.hasSchema { add(OutboxSQL.createSchema, "What vizinho keeps here stands in a schema of its own.") }
    if !found.hasOutbox { add(OutboxSQL.createOutbox, "Each transaction notes here which rows it has changed.") }
    if !found.hasReader { add(OutboxSQL.createReader, "Who reads the outbox, and how far: what all have is deleted.") }
    if !found.hasFunction {
      add(OutboxSQL.createFunction, "What the triggers do.")
      add("REVOKE EXECUTE ON FUNCTION vizinho.note_changes() FROM PUBLIC", "Nobody else is to make triggers of it.")
    }
    if let role {
      steps += try RoleSteps.steps(
        role, rules.map(\.table), FollowCatalog(connection: connection), replicates: false)
      let mayRead = found.hasOutbox && found.hasReader ? try mayRead(role, connection) : false
      if !mayRead {
        for grant in OutboxSQL.grants(to: role) {
          add(grant, "The role reads the outbox and deletes what it has read.")
        }
      }
    }
    for rules in rules {
      for wanted in rules.missing {
        add(
          OutboxSQL.createTrigger(wanted.event, on: wanted.table, key: rules.description.keyColumns.map(\.name)),
          "Statements on \(wanted.table) are to note the keys of the rows that they change.")
        add(OutboxSQL.enableTrigger(wanted.event, on: wanted.table), "In every session, also in one that replicates.")
      }
    }
    return steps.filter { $0.phase != .byHand } + steps.filter { $0.phase == .byHand }
  }

  private func mayRead(_ role: String, _ connection: Connection) throws(SourceError) -> Bool {
    let known = try connection.query("SELECT FROM pg_roles WHERE rolname = $1", [role])
    guard !known.isEmpty else { return false }
    return try connection.query(
      """
      SELECT has_schema_privilege($1, 'vizinho', 'USAGE') AND has_table_privilege($1, 'vizinho.outbox', 'SELECT')
         AND has_table_privilege($1, 'vizinho.outbox', 'DELETE') AND has_table_privilege($1, 'vizinho.reader', 'SELECT')
         AND has_table_privilege($1, 'vizinho.reader', 'INSERT') AND has_table_privilege($1, 'vizinho.reader', 'UPDATE')
         AND has_table_privilege($1, 'vizinho.reader', 'DELETE')
      """, [role]
    ).first?.text(0) == "t"
  }

  /// Runs what is missing, in one transaction. Each table is locked against writers for a moment.
  /// - Returns: the steps that were run, and those that are left to a person.
  /// - Throws: ``SourceError``: as ``steps(over:)``.
  package func apply(
    over connection: Connection
  ) throws(SourceError) -> (applied: [PreparationStep], byHand: [PreparationStep]) {
    let steps = try steps(over: connection)
    let together = steps.filter { $0.phase == .transaction }
    if !together.isEmpty {
      try connection.query("BEGIN")
      do throws(SourceError) {
        for step in together { try connection.query(step.sql) }
        try connection.query("COMMIT")
      } catch {
        _ = try? connection.query("ROLLBACK")
        throw error
      }
    }
    return (together, steps.filter { $0.phase == .byHand })
  }
}
