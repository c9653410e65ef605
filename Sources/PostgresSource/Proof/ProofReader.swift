// Asks Postgres for the hashes of its rows, and makes values of what it says.
//
// May use: Connection, ProofSQL.

package import VectorIndex

/// A row of the source and its `h`.
package struct ProofRow: Hashable, Sendable {
  package var id: RecordID
  package var row: UInt64
}

/// Reads sums and rows of one source over one connection. Each statement reads all of the source, and hashes what it reads.
package struct ProofReader {
  private let connection: Connection
  private let description: SourceDescription
  private let sql: ProofSQL

  /// - leavesOutZeroVectors: whether the index has the cosine metric.
  /// - Throws: ``SourceError`` with `extensionMissing`, or what the connection throws.
  package init(
    _ connection: Connection, source: RowSource, description: SourceDescription, leavesOutZeroVectors: Bool
  ) throws(SourceError) {
    let schema = try connection.query(
      """
      SELECT n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
       WHERE e.extname = 'vector'
      """
    ).first?.text(0)
    guard let schema else {
      throw SourceError(
        .extensionMissing,
        "pgvector is not installed in the database \(SQLText.identifier(description.database)) any more.")
    }
    self.connection = connection
    self.description = description
    sql = ProofSQL(
      source: source, description: description, leavesOutZeroVectors: leavesOutZeroVectors, vectorSchema: schema)
  }

  /// Makes all that is read until ``end()`` that of one moment: this one, or that of a snapshot which was exported and is still held.
  package func begin(snapshot: String? = nil) throws(SourceError) {
    try connection.query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    if let snapshot { try connection.query("SET TRANSACTION SNAPSHOT \(SQLText.literal(snapshot))") }
  }

  package func end() throws(SourceError) { try connection.query("COMMIT") }

  /// The sums of all buckets, in one statement, so of one moment even without ``begin(snapshot:)``.
  /// - Throws: ``SourceError``: what the connection throws, and `nullKey`.
  package func sums() throws(SourceError) -> ProofSums {
    var sums = ProofSums()
    for row in try connection.query(sql.sums) {
      guard row.count == 4, let number = row[0] else {
        throw SourceError(
          .nullKey,
          "A column of the key is NULL in a row of \(description.table ?? "the query"): such rows have no name.")
      }
      guard let bucket = Int(number), let count = Int(row.text(1)) else { throw unreadable(row) }
      switch bucket {
      case ProofSQL.nullBucket: sums.nullVectors = count
      case ProofSQL.zeroBucket: sums.zeroVectors = count
      case sums.buckets.indices:
        guard let xor = Int64(row.text(2)), let sum = UInt64(row.text(3)) else { throw unreadable(row) }
        sums.buckets[bucket].count = count
        sums.buckets[bucket].xor = UInt64(bitPattern: xor)
        sums.buckets[bucket].sum = sum
      default: throw unreadable(row)
      }
    }
    return sums
  }

  /// The rows of some buckets, in no order. All are held in memory: about a 4,096th of the table's for each bucket.
  /// - buckets: 0 ..< ``RowHasher/bucketCount``.
  package func rows(ofBuckets buckets: [Int]) throws(SourceError) -> [ProofRow] {
    precondition(buckets.allSatisfy { (0..<RowHasher.bucketCount).contains($0) }, "a bucket that there is")
    guard !buckets.isEmpty else { return [] }
    var rows: [ProofRow] = []
    for row in try connection.query(sql.rows(ofBuckets: buckets)) {
      let keys = description.keyColumns
      guard row.count == keys.count + 1, let hash = Int64(row.text(keys.count)) else { throw unreadable(row) }
      var columns: [RecordID] = []
      columns.reserveCapacity(keys.count)
      for (number, key) in keys.enumerated() {
        guard let id = RecordID(row.text(number), kind: key.type.recordIDKind) else { throw unreadable(row) }
        columns.append(id)
      }
      rows.append(
        ProofRow(id: columns.count == 1 ? columns[0] : .composite(columns), row: UInt64(bitPattern: hash)))
    }
    return rows
  }

  private func unreadable(_ row: [String?]) -> SourceError {
    SourceError(
      .malformedData,
      "The server's answer for the proof of \(description.table ?? "the query") cannot be read: "
        + "\(row.map { $0 ?? "NULL" }.joined(separator: ", ")).")
  }
}
