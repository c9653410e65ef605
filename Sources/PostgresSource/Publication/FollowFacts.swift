// What following a table needs to know of it, beside what the load knows.
//
// May use: PgOutputMessage for the replica identity.

/// A table that can be followed, as the catalogs had it. The stream tells of later changes to it by another relation message.
package struct FollowFacts: Hashable, Sendable {
  /// A published column.
  package struct Column: Hashable, Sendable {
    package var name: String
    /// As it is declared, and as a relation message has it: a domain's own.
    package var typeOID: UInt32
    /// The same but for a domain, of which it is what it is made of.
    package var baseTypeOID: UInt32
    /// As it is declared, or -1. Of a vector: its dimension.
    package var typeModifier: Int32
    /// Whether it is of the source's key.
    package var isKey: Bool
    /// In the table (`attnum`). One that was dropped and added again, whose values are others in every row, has another.
    package var number: Int

    package init(
      name: String, typeOID: UInt32, baseTypeOID: UInt32, typeModifier: Int32, isKey: Bool, number: Int = 0
    ) {
      self.name = name
      self.typeOID = typeOID
      self.baseTypeOID = baseTypeOID
      self.typeModifier = typeModifier
      self.isKey = isKey
      self.number = number
    }
  }

  package var publication: String
  /// As the stream names the table: of a partitioned table the root's.
  package var relationOID: UInt32
  package var schema: String
  package var name: String
  package var isPartitioned: Bool
  /// Of the table itself; a partition may have `full` where it has another.
  package var replicaIdentity: PgOutputMessage.ReplicaIdentity
  /// The publication's condition, an SQL expression: only rows for which it is true are sent, so the load must repeat it.
  package var rowFilter: String?
  /// In the table's order, which is that of a row's fields.
  package var columns: [Column]
  /// The table and its partitions. That a partition goes is no change that is sent: whoever follows looks whether they are still the same.
  package var members: [UInt32]
  /// Those that note its changes in the outbox, where it is followed so: each with the version of its row in the catalog, which is another
  /// once it was switched off or replaced. It may have missed something then.
  package var triggers: [String]
  /// What the publication is and what it has of the table, as versions of rows in the catalogs (``FollowCatalog/versions(of:with:)``). While
  /// the table was out of it, or some changes were not published, something may have been missed.
  package var publicationVersions: [String] = []
  /// Which transactions attached the partitions. What was changed in one while it was detached was not sent.
  package var attachments: [String] = []

  package func column(_ name: String) -> Column? { columns.first { $0.name == name } }
}
