// A table that is to be followed, looked at on one connection: what it is, and that its changes will come.
//
// May use: Preflight, FollowPreflight.

/// What was found, as of one look.
package struct FollowedSource: Sendable {
  /// The table, with the publication's condition: what a load reads.
  package var source: TableSource
  package var description: SourceDescription
  package var facts: FollowFacts
  package var table: FollowedTable
  /// ``TableFiles`` at the time.
  package var files: String

  /// What must be the same for a collection to be followed on, as a text that can be kept.
  package var fingerprint: String {
    ([shape] + facts.attachments + facts.publicationVersions + facts.triggers).joined(separator: "\n")
  }

  /// What of it says which rows there are, and of what.
  private var shape: String {
    let needed = FollowedTable.names(in: description)
    let columns = facts.columns.filter { needed.contains($0.name) }.sorted { $0.name < $1.name }
      .map { "\($0.name) \($0.number) \($0.typeOID) \($0.typeModifier) \($0.isKey)" }
    let leaves = description.leaves.map(\.oid).sorted().map(String.init)
    return ([String(facts.relationOID), facts.rowFilter ?? ""] + columns + leaves).joined(separator: "\n")
  }

  /// Looks at a table and its publication.
  ///
  /// - slot: the slot by which it is followed, which may not be there yet.
  /// - Throws: ``SourceError``; each message says the SQL or the option that mends it.
  package static func look(
    at source: TableSource, on connection: Connection, publication: String, slot: String
  ) throws(SourceError) -> FollowedSource {
    let description = try Preflight(connection, .table(source)).run()
    let facts = try FollowPreflight(
      connection, source: source, description: description, publication: publication, slot: slot
    ).run()
    var read = source
    read.filter = facts.rowFilter
    return FollowedSource(
      source: read, description: description, facts: facts,
      table: try FollowedTable(description, columns: facts.columns),
      files: try TableFiles.read(facts.members, on: connection))
  }

  /// Why a collection that was made of this cannot be followed on as `now`; nil: it can.
  package func difference(from now: FollowedSource) -> String? {
    if facts.relationOID != now.facts.relationOID { return "the table was dropped and made anew" }
    if facts.triggers != now.facts.triggers {
      return "the triggers that note its changes were made anew, or were switched off for a while"
    }
    if facts.rowFilter != now.facts.rowFilter { return "the publication's condition on the table has changed" }
    let (before, after) = (description, now.description)
    if before.keyColumns != after.keyColumns || before.vectorColumn != after.vectorColumn
      || before.vectorType != after.vectorType || before.dimension != after.dimension
      || before.attributes != after.attributes || before.payload != after.payload
    {
      return "the table's key, vector, attributes or payload have changed"
    }
    // Rows of a partition that was attached or detached come and go without a word.
    if Set(before.leaves.map(\.oid)) != Set(after.leaves.map(\.oid)) || facts.attachments != now.facts.attachments {
      return "partitions were attached to the table or detached from it"
    }
    if shape != now.shape { return "columns of the table were made anew, or have another type" }
    // Whoever looks now and then does not see that a table was out of the publication for a moment.
    if facts.publicationVersions != now.facts.publicationVersions {
      return "the publication, or what it has of the table, was altered: changes may not have been sent meanwhile"
    }
    return nil
  }
}

/// Where a server stands in its log.
package struct ServerPosition: Hashable, Sendable {
  /// 0: the role may not ask.
  package var systemIdentifier: UInt64
  package var timeline: UInt32
  /// What is flushed: every commit that was waited for ends at or before it.
  package var flushed: LSN

  /// - Throws: ``SourceError``.
  package static func read(on connection: Connection) throws(SourceError) -> ServerPosition {
    let server = try Catalog(connection: connection).serverFacts()
    let row = try connection.query("SELECT pg_current_wal_flush_lsn()").first ?? []
    guard let flushed = LSN(row.text(0)) else {
      throw SourceError(.serverError, "Postgres did not say where its log stands: is it a standby?")
    }
    return ServerPosition(
      systemIdentifier: server.systemIdentifier, timeline: server.timeline, flushed: flushed)
  }
}

/// Up to where a server has its log for good, whatever of it a slot has sent.
package struct LogEnd: Hashable, Sendable {
  package var lsn: LSN
  /// nil: the server is a standby, which does not tell.
  package var timeline: UInt32?

  /// In one question, for it is asked all the time. Of a standby: how much of its primary's log it has.
  /// - Throws: ``SourceError``.
  package static func read(on connection: Connection) throws(SourceError) -> LogEnd {
    let row =
      try connection.query(
        """
        SELECT CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                    ELSE pg_current_wal_flush_lsn() END,
               CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_flush_lsn()) END
        """
      ).first ?? []
    guard let lsn = LSN(row.text(0)) else {
      throw SourceError(.serverError, "Postgres did not say where its log ends.")
    }
    return LogEnd(lsn: lsn, timeline: UInt32(row.text(1).prefix(8), radix: 16))
  }
}

/// Which files a table and its partitions lie in.
package enum TableFiles {
  /// A text that changes when one of them is rewritten.
  /// - Throws: ``SourceError``.
  package static func read(_ oids: [UInt32], on connection: Connection) throws(SourceError) -> String {
    try connection.query(
      "SELECT string_agg(oid::text || ':' || pg_relation_filenode(oid)::text, ',' ORDER BY oid) FROM pg_class WHERE oid = ANY ($1::oid[])",
      ["{" + oids.map(String.init).joined(separator: ",") + "}"]
    ).first?.text(0) ?? ""
  }
}
