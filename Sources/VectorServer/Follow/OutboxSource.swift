// Changes from Postgres's outbox, where no slot is allowed:
//
//     connect → is it still the Postgres, the outbox and the place that we know? → look → lines → messages as a slot would send them → journal
//
// In the place of a position in the log stands the id of a transaction (xid8): everything below it is applied. A batch of lines is one transaction
// of the journal, which ends at the cursor behind it. What is durable here is deleted there.
//
// May use: PostgresSource's outbox, ChangeStream.

import Foundation
import PostgresSource
import VectorWire

/// The outbox, read under the configuration's name.
struct OutboxSource: ChangeSource {
  let noun = "outbox"
  /// Nothing is deleted while it is held.
  let hold: OutboxHold

  func attach(_ stream: ChangeStream) throws -> OutboxSession {
    var (reader, server) = try open(stream)
    let cursor = try place(stream, &reader, server)
    // Before anything is read: what waits there is not to look like nothing.
    stream.log.noteLogEnd(LSN(rawValue: try reader.glance(from: cursor).xmin))
    return OutboxSession(stream, hold, reader, from: cursor)
  }

  func beginAnew(_ stream: ChangeStream, after broken: BrokenSource) throws {
    var (reader, server) = try open(stream)
    _ = try begin(stream, &reader, server, above: known(stream)?.lsn ?? 0)
  }

  private func open(_ stream: ChangeStream) throws -> (OutboxReader, OutboxReader.Server) {
    let name = stream.configuration.slot
    // Most of what is asked is answered at once. The reader knows what is not.
    let connection = try Connection(
      stream.configuration.connection, stop: stream.stop,
      patienceSeconds: stream.configuration.silenceMax.map { $0 / .seconds(1) })
    let reader = try OutboxReader(connection, name: name)
    let server = try reader.server()
    if let process = try reader.lock() {
      throw SourceError(
        .slotInUse,
        "The outbox is read under the name \(name) by the server's process \(process). Stop the other server, or give this one a name of its own "
          + "with --slot.")
    }
    return (reader, server)
  }

  /// Up to where everything is here, and of which Postgres; nil: nothing was followed yet.
  private func known(_ stream: ChangeStream) -> (system: UInt64, timeline: UInt32, lsn: UInt64)? {
    if let point = stream.log.point { return (point.systemIdentifier, point.timeline, point.lsn.rawValue) }
    // Where the journal is gone, the snapshots still say what they have.
    return stream.floor().map { ($0.position.systemID, $0.position.timeline, $0.position.appliedLSN) }
  }

  /// From where on lines are to be read. Registers if nothing was followed yet; else makes sure that the outbox still has everything from there on.
  private func place(
    _ stream: ChangeStream, _ reader: inout OutboxReader, _ server: OutboxReader.Server
  ) throws -> UInt64 {
    let log = stream.log
    if let point = log.point, !point.slot.hasPrefix(StreamPoint.outboxPrefix) {
      throw SourceError(
        .slotUnfit,
        "The journal in \(log.journal.path) is that of the slot \(point.slot), whose places are not those of an outbox. Serve without --outbox, or "
          + "move the folder away.")
    }
    guard let (system, timeline, known) = known(stream) else { return try begin(stream, &reader, server, above: 0) }
    // When power was lost, a snapshot may have what the journal has not.
    let farthest = max(known, stream.reached(log.point?.epoch ?? stream.floor()?.epoch ?? 0).rawValue)
    guard system == 0 || server.systemIdentifier == 0 || system == server.systemIdentifier, farthest <= server.xmax
    else {
      throw SourceError(
        .historyDiverged,
        "This Postgres is another cluster than the one that was followed, or was restored to before the transaction \(farthest), which is applied "
          + "here. Connect to the right one, or move the data directory away.")
    }
    // 0 is a number that somebody could not find out.
    let followed = timeline & ~Position.transactionsFlag
    guard followed == 0 || server.timeline == 0 || followed == server.timeline else {
      throw BrokenSource(
        reason:
          "Postgres has gone to the timeline \(server.timeline), and nothing says which transactions went with it")
    }
    guard let confirmed = try reader.confirmed() else { throw Self.forgotten(stream) }
    guard confirmed <= known else {
      throw BrokenSource(
        reason: "the outbox was read up to the transaction \(confirmed), and here is only what was before \(known)")
    }
    if log.point == nil { try reach(stream, known, server, epoch: stream.floor()?.epoch ?? 0) }
    return known
  }

  static func forgotten(_ stream: ChangeStream) -> BrokenSource {
    BrokenSource(reason: "the outbox does not know the reader \(stream.configuration.slot) any more")
  }

  private func begin(
    _ stream: ChangeStream, _ reader: inout OutboxReader, _ server: OutboxReader.Server, above known: UInt64
  ) throws -> UInt64 {
    while true {
      // Above what was applied here, so that nobody takes what is loaded now for what was there.
      if let cursor = try reader.register(above: known) {
        try reach(stream, cursor, server)
        return cursor
      }
      if stream.stop.isRaised { throw SourceError(.cancelled, "The server ends.") }
      Thread.sleep(forTimeInterval: 0.1)
    }
  }

  /// - epoch: of the stream that goes on; 0: another begins.
  private func reach(
    _ stream: ChangeStream, _ cursor: UInt64, _ server: OutboxReader.Server, epoch: UInt64 = 0
  ) throws {
    try stream.log.reach(
      StreamPoint(
        systemIdentifier: server.systemIdentifier, timeline: server.timeline | Position.transactionsFlag,
        lsn: LSN(rawValue: cursor), continues: false, epoch: epoch, database: server.database,
        // Named so that no slot is taken for it.
        slot: StreamPoint.outboxPrefix + stream.configuration.slot))
    try stream.log.synchronize()
  }
}

// MARK: - Reading

/// The outbox's lines, batch by batch.
struct OutboxSession: ChangeSession {
  /// How long an open transaction may hold others back before it is named.
  private static let heldBackSeconds = 5.0

  private let stream: ChangeStream
  private let hold: OutboxHold
  private var reader: OutboxReader
  private var cursor: UInt64
  private var idle: IdleNotes
  /// Whether lines may stand in the outbox that this reader has.
  private var hasToDelete = true
  private var confirmed: UInt64 = 0
  /// Since when xmin stays where it is, with lines behind it.
  private var heldBack: (xmin: UInt64, since: ContinuousClock.Instant)?
  private var isToldHeldBack = false

  init(_ stream: ChangeStream, _ hold: OutboxHold, _ reader: OutboxReader, from cursor: UInt64) {
    self.stream = stream
    self.hold = hold
    self.reader = reader
    self.cursor = cursor
    idle = IdleNotes(stream.log, noted: LSN(rawValue: cursor))
  }

  /// Deletes lines that are not needed any more, a bounded number at a time.
  mutating func acknowledge() throws {
    let durable = deletable
    guard hasToDelete, durable > 0 else { return }
    if durable > confirmed {
      guard try reader.confirm(durable) else { throw OutboxSource.forgotten(stream) }
      confirmed = durable
    }
    let isMore = try reader.delete()
    if !isMore, confirmed >= cursor { hasToDelete = false }
  }

  mutating func take() throws -> Double {
    let log = stream.log
    try stream.waitForRoom()
    let glance = try reader.glance(from: cursor)
    let xmin = LSN(rawValue: glance.xmin)
    if glance.hasLines {
      log.frontier.advance { $0.walEnd = max($0.walEnd, xmin) }
      try takeBatch()
    } else if glance.xmin > cursor {
      try secure(glance.xmin)
      cursor = glance.xmin
      log.frontier.advance { mark in
        mark.lsn = max(mark.lsn, xmin)
        mark.walEnd = max(mark.walEnd, xmin)
      }
      try idle.note(xmin)
    }
    try watch(glance)
    return glance.hasLines ? 0 : stream.configuration.outboxInterval / .seconds(1)
  }

  /// What was not deleted is deleted by the next server.
  mutating func end() {}

  /// One batch: into the journal, made safe, and only then committed there.
  private mutating func takeBatch() throws {
    let stream = self.stream
    let (log, stop) = (stream.log, stream.stop)
    let end = try reader.read(from: cursor) { message in
      if stop.isRaised { throw SourceError(.cancelled, "The server ends.") }
      stream.heard()
      try message.withUnsafeBytes { _ = try log.take($0) }
    }
    // Always, and not only where the cursor needs it: one with a lower id than what is safe may have committed since, without waiting.
    guard try reader.confirm(deletable) else { throw OutboxSource.forgotten(stream) }
    let now = Int64((Date().timeIntervalSince1970 - 946_684_800) * 1e6)
    let commit = PgOutputEncoder.commit(
      PgOutputMessage.Commit(
        commitLSN: LSN(rawValue: end - 1), endLSN: LSN(rawValue: end), commitMicroseconds: now))
    try commit.withUnsafeBytes { _ = try log.take($0) }
    cursor = end
    hasToDelete = true
    try log.rollIfDue()
  }

  /// For a cursor that moves over no lines.
  private mutating func secure(_ cursor: UInt64) throws {
    guard try reader.secure(cursor, confirmed: deletable) else { throw OutboxSource.forgotten(stream) }
  }

  /// Up to where nothing of the outbox is needed any more.
  private var deletable: UInt64 { hold.isHeld ? 0 : stream.log.durableLSN.rawValue }

  /// An open transaction holds back what committed after it began.
  private mutating func watch(_ glance: OutboxReader.Glance) throws {
    guard glance.hasHeldBack else {
      heldBack = nil
      noteFlow()
      return
    }
    if heldBack?.xmin != glance.xmin {
      heldBack = (glance.xmin, .now)
      noteFlow()
    }
    guard !isToldHeldBack, let since = heldBack?.since,
      ContinuousClock.now - since > .seconds(Self.heldBackSeconds)
    else { return }
    isToldHeldBack = true
    stream.change(
      .stalled(
        "changes that are committed wait for an older transaction to end: \(try reader.holder(of: glance.xmin)), with the id \(glance.xmin)"
      ))
  }

  private mutating func noteFlow() {
    if isToldHeldBack { stream.change(.streaming) }
    isToldHeldBack = false
  }
}
