// The role that follows, and what it must be allowed.
//
// May use: Connection, FollowCatalog.

extension FollowCatalog {
  struct RoleFacts {
    var canLogIn: Bool
    var canReplicate: Bool
    var seesAllRows: Bool
  }

  /// What a role lacks of a table's tree.
  struct TablePrivileges {
    var schema: String
    var sqlName: String
    var hasUsage: Bool
    var hasSelect: Bool
    /// Whether row-level security is on, and the role is not the owner whom it spares.
    var hidesRows: Bool
  }

  /// Nil: there is no such role.
  func role(_ name: String) throws(SourceError) -> RoleFacts? {
    try connection.query(
      """
      SELECT rolcanlogin, rolreplication OR rolsuper, rolbypassrls OR rolsuper FROM pg_roles WHERE rolname = $1
      """, [name]
    ).first.map {
      RoleFacts(canLogIn: $0.text(0) == "t", canReplicate: $0.text(1) == "t", seesAllRows: $0.text(2) == "t")
    }
  }

  /// - grantee: a role that there is, or `public`.
  func mayConnect(_ grantee: String) throws(SourceError) -> Bool {
    try connection.query("SELECT has_database_privilege($1, current_database(), 'CONNECT')", [grantee])
      .first?.text(0) == "t"
  }

  /// - grantee: a role that there is, or `public`.
  func privileges(_ grantee: String, on table: UInt32) throws(SourceError) -> [TablePrivileges] {
    try connection.query(
      """
      WITH RECURSIVE \(Catalog.tree)
      SELECT n.nspname, c.relname, has_schema_privilege($2, n.oid, 'USAGE'), has_table_privilege($2, c.oid, 'SELECT'),
             c.relrowsecurity AND (c.relforcerowsecurity OR NOT EXISTS (
                 SELECT FROM pg_roles r WHERE r.rolname = $2 AND pg_has_role(r.oid, c.relowner, 'USAGE')))
        FROM tree JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
       ORDER BY c.oid <> $1::oid, c.oid
      """, [String(table), grantee]
    ).map { row in
      TablePrivileges(
        schema: row.text(0), sqlName: SQLText.qualified(row.text(0), row.text(1)), hasUsage: row.text(2) == "t",
        hasSelect: row.text(3) == "t", hidesRows: row.text(4) == "t")
    }
  }

  func databaseName() throws(SourceError) -> String {
    try connection.query("SELECT current_database()").first?.text(0) ?? ""
  }
}

enum RoleSteps {
  /// What a role that follows some tables lacks.
  /// - replicates: whether it reads a replication slot.
  static func steps(
    _ role: String, _ tables: [FollowedTableFacts], _ catalog: FollowCatalog, replicates: Bool
  ) throws(SourceError) -> [PreparationStep] {
    guard (1...63).contains(role.utf8.count), role != "public", !role.hasPrefix("pg_"), !role.utf8.contains(0) else {
      throw SourceError(
        .invalidArgument,
        "A role has a name of 1 to 63 bytes, not public and not beginning with pg_: "
          + "\(role.prefix(100)).")
    }
    var steps: [PreparationStep] = []
    func add(_ sql: String, _ why: String) { steps.append(PreparationStep(.transaction, sql, why: why)) }
    let name = SQLText.identifier(role)
    let found = try catalog.role(role)
    if let found {
      if !found.canLogIn { add("ALTER ROLE \(name) LOGIN", "The role connects.") }
      if replicates, !found.canReplicate {
        add("ALTER ROLE \(name) REPLICATION", "The role reads a replication slot.")
      }
    } else {
      add(
        "CREATE ROLE \(name) LOGIN\(replicates ? " REPLICATION" : "")",
        "Whoever follows connects\(replicates ? ", and reads a replication slot" : "").")
      steps.append(
        PreparationStep(
          .byHand, "ALTER ROLE \(name) PASSWORD '…'",
          why: "The role has no password. Set one where no log and no history keeps it: \\password \(name) in psql."))
    }
    // A role that is not there yet has what everybody has.
    let grantee = found == nil ? "public" : role
    if try !catalog.mayConnect(grantee) {
      add(
        "GRANT CONNECT ON DATABASE \(SQLText.identifier(try catalog.databaseName())) TO \(name)",
        "The role connects to this database.")
    }
    var schemas = Set<String>()
    var hidesRows = false
    for table in tables {
      for member in try catalog.privileges(grantee, on: table.oid) {
        if !member.hasUsage, schemas.insert(member.schema).inserted {
          add("GRANT USAGE ON SCHEMA \(SQLText.identifier(member.schema)) TO \(name)", "The tables stand in it.")
        }
        if !member.hasSelect {
          add(
            "GRANT SELECT ON TABLE \(member.sqlName) TO \(name)",
            "Its rows are read, each table of a tree by "
              + "itself.")
        }
        hidesRows = hidesRows || member.hidesRows
      }
    }
    if hidesRows, found?.seesAllRows != true {
      add("ALTER ROLE \(name) BYPASSRLS", "Row-level security would hide rows from the role.")
    }
    return steps
  }
}
