// One moment of a table that is followed by the outbox, for the proof: its sums, and which rows may be ahead of it.
//
// May use: Connection, ProofReader, RowFetcher, OutboxRules' tables.

package import VectorIndex

/// A snapshot that is held. What it shows of a row that no line from ``xmin`` on names is what a follower has that has applied everything below xmin:
/// nothing has changed it between.
package struct OutboxMoment {
  /// All transactions below have ended.
  package let xmin: UInt64
  private let connection: Connection
  private let reader: ProofReader
  private let fetcher: RowFetcher
  private let description: SourceDescription
  private let leavesOutZeroVectors: Bool

  /// - Throws: ``SourceError`` of the connection.
  package init(
    _ connection: Connection, description: SourceDescription, leavesOutZeroVectors: Bool
  ) throws(SourceError) {
    self.connection = connection
    self.description = description
    self.leavesOutZeroVectors = leavesOutZeroVectors
    reader = try ProofReader(
      connection, source: .table(TableSource(description.table ?? "")), description: description,
      leavesOutZeroVectors: leavesOutZeroVectors)
    fetcher = try RowFetcher(connection, description: description, rowFilter: nil)
    try connection.query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    // A table that is rewritten after the snapshot would look empty in it.
    try connection.query("LOCK TABLE \(description.table ?? "") IN ACCESS SHARE MODE")
    let row = try connection.query("SELECT pg_snapshot_xmin(pg_current_snapshot())::text").first ?? []
    guard let xmin = UInt64(row.text(0)) else {
      throw SourceError(.malformedData, "The server does not say which transactions are running.")
    }
    self.xmin = xmin
  }

  package func sums() throws(SourceError) -> ProofSums { try reader.sums() }
  package func rows(ofBuckets buckets: [Int]) throws(SourceError) -> [ProofRow] { try reader.rows(ofBuckets: buckets) }
  package func end() throws(SourceError) { try connection.query("COMMIT") }

  /// `h` of some rows, as an index would have them; those that none has are left out.
  package func hashes(of ids: [RecordID]) throws(SourceError) -> [RecordID: UInt64] {
    var hasher = RowHasher(description)
    var hashes: [RecordID: UInt64] = [:]
    var rest = ids[...]
    while !rest.isEmpty {
      for row in try fetcher.fetch(Array(rest.prefix(RowFetcher.keysMax))).rows {
        if leavesOutZeroVectors, !row.vector.contains(where: { $0 != 0 }) { continue }
        let hash = row.wire[row.vectorPlace].withUnsafeBytes { RowHasher.vectorHash($0) }
        hashes[row.id] = hasher.row(row.id, vectorHash: hash, attributes: row.attributes, payload: row.payload)
      }
      rest = rest.dropFirst(RowFetcher.keysMax)
    }
    return hashes
  }

  /// The rows that transactions from ``xmin`` on have changed so far, by what another connection sees now.
  /// - Returns: nil: all of them may have changed (TRUNCATE).
  package func moved(_ relation: UInt32, seenBy other: Connection) throws(SourceError) -> [RecordID]? {
    let table = try OutboxTable.read(relation, on: other)
    guard let table, table.key.count == description.keyColumns.count else { return nil }
    // Not ::text, which takes the blanks off a char(n).
    let keys = table.key.indices.map {
      "pg_catalog.concat((o.key[\($0 + 1)])::\(table.columns[table.key[$0]].typeName))"
    }
    var ids: [RecordID] = []
    for row in try other.query(
      """
      SELECT o.op = 'T', \(keys.joined(separator: ", "))
        FROM (SELECT DISTINCT op, key FROM vizinho.outbox WHERE xid >= $1::xid8 AND rel = \(relation)::oid) AS o
      """, [String(xmin)])
    {
      guard row.text(0) != "t" else { return nil }
      var columns: [RecordID] = []
      for (number, key) in description.keyColumns.enumerated() {
        guard let id = RecordID(row.text(number + 1), kind: key.type.recordIDKind) else {
          throw SourceError(
            .malformedData, "The outbox has a key that is none of \(table.sqlName): \(row.text(number + 1)).")
        }
        columns.append(id)
      }
      ids.append(columns.count == 1 ? columns[0] : .composite(columns))
    }
    // A key may have been noted by statements of several kinds.
    return Array(Set(ids))
  }
}
