// A follower without a Postgres: what a slot would have sent is written into its journal, and what the table has is kept beside it.

import Foundation
import Logging
import Synchronization
import TestSupport
import Testing
import VectorIndex
import VectorSnapshot
import VectorWire

@testable import PostgresSource
@testable import VectorServer

/// A table "public"."t" (id bigint, v vector(8), title text) that is followed, and the one who writes to it. Not for several threads at once.
final class FollowerFixture {
  struct Row: Hashable, Sendable {
    var vector: [Float]
    var title: String?
  }

  let path: String
  let lock: DataDirectoryLock
  let log: StreamLog
  private(set) var rows: [Int64: Row] = [:]
  /// By the place in the log behind each transaction's commit: the rows then, and where the journal ended.
  private(set) var history: [UInt64: (rows: [Int64: Row], end: JournalPosition)] = [:]
  private(set) var lsn: UInt64 = 100
  private var hasRelation = false

  static let dimension = 8
  private static let relation: UInt32 = 16_400

  init() throws {
    path = NSTemporaryDirectory() + "vizinho-follower-\(UUID().uuidString)"
    lock = try DataDirectoryLock(path: path)
    log = try StreamLog(Journal(lock: lock))
    try log.reach(
      StreamPoint(
        systemIdentifier: start.systemID, timeline: start.timeline, lsn: LSN(rawValue: start.appliedLSN),
        continues: false, database: "d", slot: "s"))
    history[lsn] = ([:], log.frontier.mark.end)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  private static let columns = [
    FollowFacts.Column(name: "id", typeOID: 20, baseTypeOID: 20, typeModifier: -1, isKey: true),
    FollowFacts.Column(name: "v", typeOID: 16_500, baseTypeOID: 16_500, typeModifier: 8, isKey: false),
    FollowFacts.Column(name: "title", typeOID: 25, baseTypeOID: 25, typeModifier: -1, isKey: false),
  ]

  static func source() throws -> FollowedSource {
    let description = SourceDescription(
      table: "\"public\".\"t\"", keyColumns: [SourceDescription.KeyColumn(name: "id", type: .bigint)],
      vectorColumn: "v", vectorType: .vector, dimension: dimension, attributes: [], payload: ["title"], leaves: [],
      estimatedRows: 0, isEstimateCounted: false, serverVersion: 180_000, pgvectorVersion: "0.8.0", database: "d",
      systemIdentifier: start.systemID, timeline: start.timeline, isStandby: false)
    return FollowedSource(
      source: TableSource("public.t"), description: description,
      facts: FollowFacts(
        publication: "p", relationOID: relation, schema: "public", name: "t", isPartitioned: false,
        replicaIdentity: .primaryKey, rowFilter: nil, columns: columns, members: [relation], triggers: []),
      table: try FollowedTable(description, columns: columns), files: "")
  }

  static func configuration(budget: Int? = nil) -> HNSWConfiguration {
    var configuration = HNSWConfiguration(
      dimension: dimension, metric: .l2, storage: .f32, connectivity: 6, constructionEffort: 20, memoryBudget: budget)
    configuration.payload = ["title"]
    configuration.keepsStamps = true
    return configuration
  }

  /// For followers that write no snapshot.
  static let noSaver = SnapshotSaver(save: { _, _, _ in nil }, collected: {})

  /// A collection without a row, where the stream begins.
  static func emptyCollection() throws -> Collection {
    let collection = try Collection(name: "rows", index: HNSWIndex(configuration: configuration()), position: start)
    collection.followState = FollowState(.catchingUp)
    return collection
  }

  static func until(_ holds: () -> Bool) async throws {
    while !holds() { try await Task.sleep(for: .milliseconds(1)) }
  }

  /// - collection: stands where the fixture began, or at a commit.
  /// - relations: what the stream had told before the journal's beginning.
  func follower(
    of collection: Collection, snapshotAfterBytes: Int = .max, saver: SnapshotSaver,
    relations: [[UInt8]] = [], fetchedBytesMax: Int = .max, rowReading: MissingRows.Connect? = nil,
    journalBytesMax: Int = 8 << 30, saveRetryInterval: Duration = .seconds(60),
    outage: @escaping @Sendable () -> String? = { nil },
    onResync: @escaping @Sendable (CollectionFollower, String) -> Void = { _, reason in
      Issue.record("not in step any more: \(reason)")
    }
  ) throws -> CollectionFollower {
    var configuration = FollowConfiguration(connection: try ConnectionOptions("host=127.0.0.1 port=1"))
    configuration.snapshotAfterBytes = snapshotAfterBytes
    configuration.fetchedBytesMax = fetchedBytesMax
    configuration.journalBytesMax = journalBytesMax
    configuration.saveRetryInterval = saveRetryInterval
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let source = try Self.source()
    var hasher = RowHasher(source.description)
    var buckets = Array(repeating: BucketSum(), count: RowHasher.bucketCount)
    collection.index.forEachStamp { id, stamp in buckets[hasher.bucket(of: id)].add(stamp.row) }
    return CollectionFollower(
      collection, of: source, files: "",
      ledger: ProofLedger(buckets: buckets, at: LSN(rawValue: collection.position.appliedLSN)),
      from: StreamLog.Mark(
        position: log.journal.oldestPosition, relations: relations, transactions: 0, epoch: log.epoch,
        continues: false),
      log: log, configuration: configuration, saver: saver, outage: outage, logger: logger,
      rowReading: rowReading,
      onResync: onResync)
  }

  // MARK: Writing

  /// Rows of random vectors.
  static func rows(_ ids: Range<Int64>, title: String? = nil, _ random: inout SeededRandom) -> [Int64: Row] {
    var rows: [Int64: Row] = [:]
    for id in ids { rows[id] = Row(vector: random.vector(dimension: dimension), title: title) }
    return rows
  }

  /// What the stream tells of the table.
  /// - titleType: of its column `title`; only that of text is the one that is followed.
  static func relationMessage(titleType: UInt32 = 25) -> [UInt8] {
    PgOutputEncoder.relation(
      PgOutputMessage.Relation(
        id: relation, schema: "public", name: "t", replicaIdentity: .primaryKey,
        columns: columns.map { column in
          PgOutputMessage.Column(
            isKey: column.isKey, name: column.name, typeOID: column.name == "title" ? titleType : column.typeOID,
            typeModifier: column.typeModifier)
        }))
  }

  /// A transaction: rows that are written, rows that go, and rows that get another key, of which nothing else is told.
  /// - titleType: as which type the table's column is told of before; nil: nothing is told that was told already.
  /// - Returns: the place in the log behind its commit.
  @discardableResult
  func commit(
    _ written: [Int64: Row], removing gone: [Int64] = [], moving moved: [Int64: Int64] = [:],
    id transactionID: UInt32 = 7, titleType: UInt32? = nil
  ) throws -> UInt64 {
    lsn += 16
    let commit = LSN(rawValue: lsn - 8)
    try take(PgOutputEncoder.begin(.init(finalLSN: commit, commitMicroseconds: 0, transactionID: transactionID)))
    if titleType != nil || !hasRelation {
      try take(Self.relationMessage(titleType: titleType ?? 25))
      hasRelation = true
    }
    for (id, row) in written {
      try take(
        PgOutputEncoder.insert(
          relation: Self.relation, fields: [Self.big(id), Self.bytes(row.vector), row.title.map { Array($0.utf8) }]))
      rows[id] = row
    }
    for id in gone {
      try take(PgOutputEncoder.delete(relation: Self.relation, key: [Self.big(id), nil, nil]))
      rows[id] = nil
    }
    for (id, next) in moved {
      try take(Self.move(id, to: next))
      let row = rows.removeValue(forKey: id)
      rows[next] = row
    }
    try take(
      PgOutputEncoder.commit(.init(commitLSN: commit, endLSN: LSN(rawValue: lsn), commitMicroseconds: 0)))
    history[lsn] = (rows, log.frontier.mark.end)
    return lsn
  }

  private func take(_ message: [UInt8]) throws { try message.withUnsafeBytes { _ = try log.take($0) } }

  /// The message `U` of a row with another key, whose other values lie outside of it and are not sent.
  private static func move(_ id: Int64, to next: Int64) -> [UInt8] {
    var message = Array("U".utf8) + big(relation)
    for (mark, key, rest) in [("K", id, "nn"), ("N", next, "uu")] {
      message += Array(mark.utf8) + big(Int16(3))
      message += Array("b".utf8) + big(Int32(8))
      message += big(key) + Array(rest.utf8)
    }
    return message
  }

  /// A row as it is read by its key.
  static func fetched(_ id: Int64, _ row: Row, _ layout: RowLayout) throws(SourceError) -> FetchedRow {
    var wire = big(Int16(3))
    let fields: [[UInt8]?] = [big(id), bytes(row.vector), row.title.map { Array($0.utf8) }]
    for field in fields {
      wire += big(Int32(field?.count ?? -1)) + (field ?? [])
    }
    return try FetchedRow(wire: wire, layout: layout)
  }

  private static func big<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
  }

  private static func bytes(_ vector: [Float]) -> [UInt8] {
    big(UInt16(vector.count)) + [0, 0] + vector.flatMap { big($0.bitPattern) }
  }

  // MARK: Comparing

  /// What an index has that the table had not behind that commit, or the other way round; at most a few.
  func faults(of index: HNSWIndex, at lsn: UInt64) -> [String] {
    guard let rows = history[lsn]?.rows else { return ["no transaction ends at \(lsn)"] }
    var faults: [String] = []
    if index.count != rows.count { faults.append("\(index.count) rows instead of \(rows.count)") }
    for (id, row) in rows where faults.count < 5 {
      if index.vector(of: .int64(id)) != row.vector { faults.append("the vector of \(id)") }
      if index.payload(of: .int64(id)) != [row.title] { faults.append("the title of \(id)") }
    }
    return faults
  }
}
