// The changes of a table from a live server, as the stream has them, without a replication connection: a slot that SQL reads.

import Testing
import VectorIndex

@testable import PostgresSource

struct ChangeStream {
  private let connection: Connection
  private let slot: String
  private let publication: String

  /// Creates publication and slot. They go with the database.
  init(_ database: LiveDatabase, of table: String, with options: String = "") throws {
    connection = try database.connect()
    slot = database.name
    publication = "p"
    try connection.query("CREATE PUBLICATION \(publication) FOR TABLE \(table) \(options)")
    try connection.query("SELECT pg_create_logical_replication_slot('\(slot)', 'pgoutput')")
  }

  /// The table as following it begins, in step with what is loaded now.
  func follow(_ source: TableSource, _ database: LiveDatabase) throws -> FollowedModel {
    let loaded = try database.load(.table(source))
    let facts = try FollowPreflight(
      connection, source: source, description: loaded.description, publication: publication, slot: slot
    ).run()
    return FollowedModel(try FollowedTable(loaded.description, columns: facts.columns), loaded)
  }

  /// The messages of all transactions that have committed since the last call.
  func messages() throws -> [[UInt8]] {
    let rows = try connection.query(
      """
      SELECT encode(data, 'hex') FROM pg_logical_slot_get_binary_changes('\(slot)', NULL, NULL, 'proto_version', '2',
        'publication_names', '\(publication)', 'binary', 'true')
      """)
    return rows.map { row in
      let digits = Array(row.text(0).utf8)
      return stride(from: 0, to: digits.count, by: 2).map { i in
        UInt8(String(decoding: digits[i..<(i + 2)], as: UTF8.self), radix: 16) ?? 0
      }
    }
  }
}

/// Rows that are kept in step with a table, in a dictionary.
struct FollowedModel {
  let table: FollowedTable
  private var binding: TableBinding?
  /// Those without a vector, too, which an index has not: their vector is empty.
  private var all: [RecordID: LoadedRow]
  /// Rows whose change left something out that is not known here.
  private(set) var unknown: [RecordID] = []
  /// Changes that left something out.
  private(set) var partial = 0

  init(_ table: FollowedTable, _ loaded: LoadedRows) {
    self.table = table
    all = loaded.rows
  }

  /// What a load reads.
  var rows: [RecordID: LoadedRow] { all.filter { !$0.value.vector.isEmpty } }

  mutating func apply(_ messages: [[UInt8]]) throws {
    for bytes in messages {
      switch try PgOutputMessage(bytes) {
      case .relation(let relation): binding = try table.bind(relation)
      case .truncate: all = [:]
      case .insert, .update, .delete: try apply(#require(binding).event(bytes))
      default: break
      }
    }
  }

  private mutating func apply(_ event: RowEvent?) throws {
    switch try #require(event) {
    case .remove(let id): all[id] = nil
    case .write(let row):
      let known = all[row.previousID ?? row.id]
      if let previous = row.previousID { all[previous] = nil }
      if !row.isWhole { partial += 1 }
      guard row.isWhole || known != nil else {
        unknown.append(row.id)
        return
      }
      var made = LoadedRow(vector: known?.vector ?? [], vectorHash: known?.vectorHash ?? 0, attributes: [], payload: [])
      switch row.vector {
      case .unchanged: break
      case .value(.null): (made.vector, made.vectorHash) = ([], 0)
      case .value(.components(let components, let hash)): (made.vector, made.vectorHash) = (components, hash)
      }
      made.attributes = row.attributes.indices.map { row.attributes[$0].value ?? known?.attributes[$0] ?? .null }
      made.payload = row.payload.indices.map { row.payload[$0].value ?? known?.payload[$0] ?? nil }
      all[row.id] = made
    }
  }
}
