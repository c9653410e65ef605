// The checks before a table is followed, beside those of the load (Preflight): server, role, publication, replica identity, columns.
//
// May use: Connection, FollowCatalog, FollowRules.

/// Asks whether a table can be followed by a publication. It only reads, so it can run in any transaction.
package struct FollowPreflight {
  private let catalog: FollowCatalog
  private let source: TableSource
  private let description: SourceDescription
  private let publication: String
  private let slot: String?

  /// - description: what the load's preflight found of `source`.
  /// - slot: the one that is to be used. If there is none of that name, or nil, one more must be free.
  package init(
    _ connection: Connection, source: TableSource, description: SourceDescription, publication: String, slot: String?
  ) {
    catalog = FollowCatalog(connection: connection)
    self.source = source
    self.description = description
    self.publication = publication
    self.slot = slot
  }

  /// - Throws: ``SourceError``: the first of ``refusals()``, or of the connection.
  package func run() throws(SourceError) -> FollowFacts {
    let rules = try rules()
    if let refusal = rules.refusals().first { throw refusal }
    return rules.facts()
  }

  /// Everything that keeps the table from being followed, in the order in which it is best mended; empty: nothing does.
  package func refusals() throws(SourceError) -> [SourceError] { try rules().refusals() }

  private func rules() throws(SourceError) -> FollowRules {
    guard let name = description.table else {
      throw SourceError(
        .followUnsupported, "A query cannot be followed, for changes come table by table: name a table with --table.")
    }
    guard let table = try catalog.table(name) else {
      throw SourceError(.sourceChanged, "The table \(name) is gone: start again.")
    }
    return try catalog.rules(
      table, publication, filter: source.filter, description: description, needed: description.columnsNeeded, slot: slot
    )
  }
}

extension FollowCatalog {
  /// Everything that the rules look at.
  func rules(
    _ table: FollowedTableFacts, _ name: String, filter: String?, description: SourceDescription, needed: [String],
    slot: String?
  ) throws(SourceError) -> FollowRules {
    let publication = try publication(name)
    var published: PublishedTable?
    if let publication { published = try publishedTable(publication, table) }
    let versions = publication != nil ? try versions(of: name, with: table) : []
    var agrees = false
    if let filter, let other = published?.rowFilter { agrees = try meanTheSame(filter, other, of: table.sqlName) }
    return FollowRules(
      publicationName: name, filter: filter, filterAgrees: agrees, description: description, needed: needed,
      replication: try replicationFacts(slot: slot), table: table, publication: publication, published: published,
      versions: versions)
  }

  /// Whether two conditions are planned as the same one: Postgres writes them in its own way there, whatever they looked like.
  private func meanTheSame(_ a: String, _ b: String, of table: String) throws(SourceError) -> Bool {
    if a == b { return true }
    func plan(_ condition: String) throws(SourceError) -> [String] {
      try connection.query("EXPLAIN (COSTS OFF) SELECT FROM \(table) WHERE (\n\(condition)\n)").map { $0.text(0) }
    }
    return try plan(a) == plan(b)
  }
}
