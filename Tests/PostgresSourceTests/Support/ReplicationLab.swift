// A database with a publication, whose slots are dropped when the test ends, and a reader of its stream.

import Foundation
import PostgresSource
import Testing

struct ReplicationLab {
  let database: LiveDatabase
  /// A slot's name that no other test has.
  let slot: String

  /// Runs the statements in a new database, and then `body`.
  static func with(_ setup: String..., body: (ReplicationLab) throws -> Void) throws {
    try LiveDatabase.with { database in
      for statement in setup { try database.run(statement) }
      let lab = ReplicationLab(database: database, slot: database.name + "_slot")
      // A database with a slot in use cannot be dropped.
      defer { try? lab.dropSlots() }
      try body(lab)
    }
  }

  func connect(stop: StopFlag = StopFlag()) throws -> ReplicationConnection {
    try ReplicationConnection(database.options, stop: stop)
  }

  func facts(_ name: String? = nil) throws -> SlotFacts? {
    try SlotFacts.read(name ?? slot, over: database.connect())
  }

  /// Makes the slot and begins its stream.
  func stream(publication: String = "p", temporary: Bool = true) throws -> StreamReader {
    let connection = try connect()
    let created = try connection.createSlot(slot, temporary: temporary, exportsSnapshot: false)
    try connection.startReplication(slot: slot, from: created.consistentPoint, publication: publication)
    return StreamReader(connection, position: created.consistentPoint)
  }

  private func dropSlots() throws {
    let admin = try database.connect()
    try admin.query(
      "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = $1 AND active",
      [database.name])
    try eventually {
      try admin.query("SELECT FROM pg_replication_slots WHERE database = $1 AND active", [database.name]).isEmpty
    }
    try admin.query(
      "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1", [database.name])
  }
}

/// Waits until something is so; after half a minute it is a failure.
func eventually(_ condition: () throws -> Bool) throws {
  for _ in 0..<1_500 {
    if try condition() { return }
    usleep(20_000)
  }
  throw LiveDatabase.Unavailable(description: "what was waited for did not come")
}

/// Reads a stream transaction by transaction.
final class StreamReader {
  struct Message {
    var bytes: [UInt8]
    var value: PgOutputMessage
  }

  let connection: ReplicationConnection
  /// Those seen so far, by id.
  private(set) var relations: [UInt32: PgOutputMessage.Relation] = [:]
  /// All that came outside of transactions.
  private(set) var loose: [Message] = []
  /// The end of the last transaction.
  private(set) var position: LSN

  init(_ connection: ReplicationConnection, position: LSN) {
    self.connection = connection
    self.position = position
  }

  /// The next message, whatever it is.
  func message() throws -> Message {
    for _ in 0..<3_000 {
      var bytes: [UInt8]?
      switch try connection.receive(timeoutMilliseconds: 10, { bytes = Array($0.bytes) }) {
      case .data:
        let bytes = try #require(bytes)
        return Message(bytes: bytes, value: try PgOutputMessage(bytes))
      case .keepalive(_, let replyRequested):
        if replyRequested { try connection.sendStatus(write: position, flush: .unknown, apply: .unknown) }
      case nil: break
      }
    }
    throw LiveDatabase.Unavailable(description: "no message came within 30 s")
  }

  /// The changes of the next transaction that has any: without its begin and commit, and without relations and types, which are remembered.
  func transaction() throws -> [Message] {
    var changes: [Message]?
    while true {
      let message = try message()
      switch message.value {
      case .begin: changes = []
      case .relation(let relation): relations[relation.id] = relation
      case .type, .origin: break
      case .commit(let commit):
        position = commit.endLSN
        let found = try #require(changes)
        if !found.isEmpty { return found }
      default:
        if changes == nil { loose.append(message) } else { changes?.append(message) }
      }
    }
  }

  /// Reads until the stream ends, and gives its error.
  func failure() throws -> SourceError {
    try #require(throws: SourceError.self) {
      while true { _ = try message() }
    }
  }
}
