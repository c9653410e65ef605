// All that a table's load gives, row by row, and the sums over it.

import Testing
import VectorIndex

@testable import PostgresSource

/// A row as an index keeps it.
struct LoadedRow: Hashable, Sendable {
  var vector: [Float]
  var vectorHash: UInt64
  var attributes: [AttributeValue]
  var payload: [String?]
}

struct LoadedRows: Sendable {
  var description: SourceDescription
  var rows: [RecordID: LoadedRow] = [:]
  var nullVectors = 0

  /// The hash of each row.
  var hashes: [RecordID: UInt64] {
    var hasher = RowHasher(description)
    var hashes: [RecordID: UInt64] = [:]
    for (id, row) in rows {
      hashes[id] = hasher.row(id, vectorHash: row.vectorHash, attributes: row.attributes, payload: row.payload)
    }
    return hashes
  }

  /// What Postgres must find.
  /// - leavesOutZeroVectors: as an index under cosine does.
  func sums(leavesOutZeroVectors: Bool = false) -> ProofSums {
    var hasher = RowHasher(description)
    var sums = ProofSums()
    sums.nullVectors = nullVectors
    for (id, hash) in hashes {
      if leavesOutZeroVectors, rows[id]?.isZero == true {
        sums.zeroVectors += 1
      } else {
        sums.buckets[hasher.bucket(of: id)].add(hash)
      }
    }
    return sums
  }
}

extension LoadedRow {
  var isZero: Bool { vector.allSatisfy { $0 == 0 } }
}

extension LiveDatabase {
  /// Loads a source as a follower does.
  func load(_ source: RowSource, workers: Int = 2) throws -> LoadedRows {
    let reader = try BulkReader(connection: options, source: source, workers: workers, hashesVectors: true)
    let gathered = Locked(LoadedRows(description: try reader.describe()))
    let summary = try reader.read { batch in
      #expect(batch.vectorHashes.count == batch.count)
      gathered.with { loaded in
        for i in 0..<batch.count {
          loaded.rows[batch.ids[i]] = LoadedRow(
            vector: Array(batch.vectors[(i * batch.dimension)..<((i + 1) * batch.dimension)]),
            vectorHash: batch.vectorHashes[i], attributes: batch.attributes.isEmpty ? [] : batch.attributes[i],
            payload: batch.payload.isEmpty ? [] : batch.payload[i])
        }
      }
    }
    gathered.with { $0.nullVectors = summary.nullVectors }
    let loaded = gathered.with { $0 }
    #expect(loaded.rows.count == summary.rows, "a key that comes twice")
    return loaded
  }

  func proof(
    _ source: RowSource, _ description: SourceDescription, leavesOutZeroVectors: Bool = false
  ) throws -> ProofReader {
    try ProofReader(
      connect(), source: source, description: description, leavesOutZeroVectors: leavesOutZeroVectors)
  }
}
