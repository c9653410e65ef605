// A database of its own for each live test, on the server that VIZINHO_TEST_POSTGRES names.
//
// Without the variable a live test fails: `scripts/test` sets it.

import Foundation
import PostgresSource
import Testing
import VectorIndex

struct LiveDatabase {
  let options: ConnectionOptions
  let name: String

  struct Unavailable: Error, CustomStringConvertible {
    var description: String
  }

  static func serverOptions() throws -> ConnectionOptions {
    guard let url = ProcessInfo.processInfo.environment["VIZINHO_TEST_POSTGRES"], !url.isEmpty else {
      throw Unavailable(
        description: "VIZINHO_TEST_POSTGRES is not set. Run scripts/test, or: scripts/postgres start && "
          + "export VIZINHO_TEST_POSTGRES=$(scripts/postgres url)")
    }
    return try ConnectionOptions(url)
  }

  /// Runs `body` with a new database, which is dropped afterwards.
  /// - made: what CREATE DATABASE says of it.
  static func with(vectorExtension: Bool = true, made: String = "", _ body: (LiveDatabase) throws -> Void) throws {
    let server = try serverOptions()
    let name = "vizinho_test_" + UUID().uuidString.prefix(8).lowercased()
    let admin = try Connection(server, stop: StopFlag())
    try admin.query("CREATE DATABASE \(name) \(made)")
    defer { _ = try? admin.query("DROP DATABASE IF EXISTS \(name) WITH (FORCE)") }
    let database = LiveDatabase(options: server.setting("dbname", to: name), name: name)
    if vectorExtension { try database.run("CREATE EXTENSION vector") }
    try body(database)
  }

  func connect() throws -> Connection { try Connection(options, stop: StopFlag()) }

  /// Runs statements, one after another, on one connection.
  func run(_ statements: String...) throws {
    let connection = try connect()
    for statement in statements { try connection.query(statement) }
  }

  func value(_ sql: String) throws -> String? { try connect().query(sql).first?.first ?? nil }

  func reader(_ source: RowSource, workers: Int = 2, patience: Double = 10) throws -> BulkReader {
    try BulkReader(connection: options, source: source, workers: workers, snapshotPatienceSeconds: patience)
  }

  /// Reads all rows into a dictionary; a key that comes twice is an error.
  func readAll(
    _ source: RowSource, workers: Int = 2, options: ConnectionOptions? = nil
  ) throws -> (rows: [RecordID: [Float]], summary: BulkReadSummary) {
    let reader = try BulkReader(connection: options ?? self.options, source: source, workers: workers)
    let collector = Collector()
    let summary = try reader.read { try collector.add($0) }
    return (collector.rows, summary)
  }

  /// The error that describing the source ends with.
  func refusal(_ source: RowSource, options: ConnectionOptions? = nil) throws -> SourceError {
    try #require(throws: SourceError.self) {
      _ = try BulkReader(connection: options ?? self.options, source: source).describe()
    }
  }
}

/// Gathers batches from several threads.
final class Collector: Sendable {
  private let state = Locked<[RecordID: [Float]]>([:])

  struct Duplicate: Error {
    var id: RecordID
  }

  var rows: [RecordID: [Float]] { state.with { $0 } }

  func add(_ batch: RowBatch) throws {
    try state.with { rows in
      for i in 0..<batch.count {
        let vector = Array(batch.vectors[(i * batch.dimension)..<((i + 1) * batch.dimension)])
        guard rows.updateValue(vector, forKey: batch.ids[i]) == nil else { throw Duplicate(id: batch.ids[i]) }
      }
    }
  }
}

/// A value behind a lock.
final class Locked<Value: Sendable>: @unchecked Sendable {
  // Sendable: `value` is only touched while `lock` is held.
  private let lock = NSLock()
  private var value: Value
  init(_ value: Value) { self.value = value }

  func with<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
    lock.lock()
    defer { lock.unlock() }
    return try body(&value)
  }
}

/// Work on a thread of its own, to be waited for.
final class Background: Sendable {
  private let finished = DispatchSemaphore(value: 0)
  private let failure = Locked<(any Error)?>(nil)

  init(_ body: @escaping @Sendable () throws -> Void) {
    Thread {
      do { try body() } catch { self.failure.with { $0 = error } }
      self.finished.signal()
    }.start()
  }

  func wait() throws {
    finished.wait()
    finished.signal()
    if let error = failure.with({ $0 }) { throw error }
  }
}

/// SplitMix64: the same rounds from the same seed.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
