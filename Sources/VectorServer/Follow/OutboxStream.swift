// From Postgres's outbox into the journal, where no slot is allowed: one thread, one connection, tried again for as long as the server lives.
//
//     connect → is it still the Postgres, the outbox and the place that we know? → look → lines → messages as a slot would send them → journal
//
// In the place of a position in the log stands the id of a transaction (xid8): everything below it is applied. A batch of lines is one transaction
// of the journal, which ends at the cursor behind it. What is durable here is deleted there.
//
// May use: PostgresSource's outbox, StreamLog.

import Foundation
import Logging
import PostgresSource
import Synchronization
import VectorSnapshot
import VectorWire

/// The one reader of the outbox, under its name.
final class OutboxStream: ChangeSource {
  private let configuration: FollowConfiguration
  private let log: StreamLog
  private let logger: Logger
  private let hold: OutboxHold
  private let stop = StopFlag()
  private let floor: @Sendable () -> Position?
  private let onChange: @Sendable (StreamCondition) -> Void
  private let current = Mutex(StreamCondition.connecting)

  /// - hold: nothing is deleted while it is held.
  /// - floor: the least position of a loaded collection, where the journal is empty.
  /// - onChange: told of every new condition, on the stream's thread.
  init(
    _ configuration: FollowConfiguration, log: StreamLog, hold: OutboxHold, logger: Logger,
    floor: @escaping @Sendable () -> Position?, onChange: @escaping @Sendable (StreamCondition) -> Void
  ) {
    self.configuration = configuration
    self.log = log
    self.hold = hold
    self.logger = logger
    self.floor = floor
    self.onChange = onChange
  }

  func end() { stop.raise() }

  func run() {
    var pause = Self.pauseMin
    while !stop.isRaised {
      do {
        try session { pause = Self.pauseMin }
      } catch let error as SourceError where error.code == .cancelled {
        break
      } catch let broken as Broken {
        change(.broken(broken.reason))
        abandon(broken)
      } catch {
        change(.stalled("\(error)"))
      }
      rest(pause)
      pause = min(2 * pause, Self.pauseMax)
    }
  }

  private static let pauseMin = 0.2
  private static let pauseMax = 10.0
  /// How long an open transaction may hold others back before it is named.
  private static let heldBackSeconds = 5.0
  /// Where nothing changes, how often the cursor is noted in the journal.
  private static let idleSeconds = 10.0

  private func rest(_ seconds: Double) {
    let end = ContinuousClock.now + .seconds(seconds)
    while !stop.isRaised {
      let left = (end - ContinuousClock.now) / .seconds(1)
      guard left > 0 else { return }
      Thread.sleep(forTimeInterval: min(left, 0.05))
    }
  }

  private func change(_ condition: StreamCondition) {
    let isNew = current.withLock { current in
      defer { current = condition }
      return current != condition
    }
    guard isNew else { return }
    condition.tell(logger, configuration.slot)
    onChange(condition)
  }
}

// MARK: - Attaching

extension OutboxStream {
  /// The outbox cannot go on from where the journal ends.
  private struct Broken: Error {
    var reason: String
    var known: UInt64
  }

  /// How a point of the journal names an outbox's reader, so that no slot is taken for it.
  private var source: String { StreamPoint.outboxPrefix + configuration.slot }

  private func open() throws -> (OutboxReader, OutboxReader.Server) {
    let connection = try Connection(configuration.connection, stop: stop)
    let reader = try OutboxReader(connection, name: configuration.slot)
    let server = try reader.server()
    if let process = try reader.lock() {
      throw SourceError(
        .slotInUse,
        "The outbox is read under the name \(configuration.slot) by the server's process \(process). Stop the other server, or give this one "
          + "a name of its own with --slot.")
    }
    return (reader, server)
  }

  /// Reads until that ends.
  private func session(_ isStreaming: () -> Void) throws {
    var (reader, server) = try open()
    let cursor = try attach(&reader, server)
    do {
      change(.streaming)
      isStreaming()
      try follow(&reader, from: cursor)
    } catch {
      try log.dropUnfinished()
      throw error
    }
  }

  /// Registers if nothing was followed yet; else makes sure that the outbox still has everything from the cursor on.
  private func attach(_ reader: inout OutboxReader, _ server: OutboxReader.Server) throws -> UInt64 {
    if let point = log.point, !point.slot.hasPrefix(StreamPoint.outboxPrefix) {
      throw SourceError(
        .slotUnfit,
        "The journal in \(log.journal.path) is that of the slot \(point.slot), whose places are not those of an outbox. Serve without --outbox, or "
          + "move the folder away.")
    }
    let found = floor().map { ($0.systemID, $0.timeline, $0.appliedLSN) }
    guard
      let (system, timeline, known) = log.point.map({ ($0.systemIdentifier, $0.timeline, $0.lsn.rawValue) }) ?? found
    else { return try begin(&reader, server, above: 0) }
    guard system == 0 || server.systemIdentifier == 0 || system == server.systemIdentifier, known <= server.xmax else {
      throw SourceError(
        .historyDiverged,
        "This Postgres is another cluster than the one that was followed, or was restored to before the transaction \(known), which is applied "
          + "here. Connect to the right one, or move the data directory away.")
    }
    guard timeline == 0 || server.timeline == 0 || timeline == server.timeline else {
      throw Broken(
        reason:
          "Postgres has gone to the timeline \(server.timeline), and nothing says which transactions went with it",
        known: known)
    }
    guard let confirmed = try reader.confirmed() else {
      throw Broken(reason: "the outbox does not know the reader \(configuration.slot) any more", known: known)
    }
    guard confirmed <= known else {
      throw Broken(
        reason: "the outbox was read up to the transaction \(confirmed), and here is only what was before \(known)",
        known: known)
    }
    if log.point == nil { try reach(known, server, continues: false) }
    return known
  }

  private func begin(
    _ reader: inout OutboxReader, _ server: OutboxReader.Server, above known: UInt64
  ) throws -> UInt64 {
    while true {
      // Above what was applied here, so that nobody takes what is loaded now for what was there.
      if let cursor = try reader.register(above: known) {
        try reach(cursor, server, continues: false)
        return cursor
      }
      if stop.isRaised { throw SourceError(.cancelled, "The server ends.") }
      Thread.sleep(forTimeInterval: 0.1)
    }
  }

  private func reach(_ cursor: UInt64, _ server: OutboxReader.Server, continues: Bool) throws {
    try log.reach(
      StreamPoint(
        systemIdentifier: server.systemIdentifier, timeline: server.timeline, lsn: LSN(rawValue: cursor),
        continues: continues, database: server.database, slot: source))
    try log.synchronize()
  }

  /// Begins anew in the place of what cannot go on. Tried until it is done.
  private func abandon(_ broken: Broken) {
    while !stop.isRaised {
      do {
        var (reader, server) = try open()
        _ = try begin(&reader, server, above: broken.known)
        return
      } catch let error as SourceError where error.code == .cancelled {
        return
      } catch {
        logger.warning("the outbox could not be begun anew, trying again: \(error)")
        rest(Self.pauseMax)
      }
    }
  }
}

// MARK: - Following

extension OutboxStream {
  private struct Progress {
    var cursor: UInt64
    /// Whether lines may stand in the outbox that this reader has.
    var hasToDelete = true
    var confirmed: UInt64 = 0
    var noted: UInt64
    var notedAt = ContinuousClock.now
    /// Since when xmin stays where it is, with lines behind it.
    var heldBack: (xmin: UInt64, since: ContinuousClock.Instant)?
    var isToldHeldBack = false
  }

  private func follow(_ reader: inout OutboxReader, from cursor: UInt64) throws {
    var progress = Progress(cursor: cursor, noted: cursor)
    while !stop.isRaised {
      try waitForRoom()
      let glance = try reader.glance(from: progress.cursor)
      if glance.hasLines {
        log.frontier.advance { $0.walEnd = max($0.walEnd, LSN(rawValue: glance.xmin)) }
        try take(&reader, &progress)
      } else if glance.xmin > progress.cursor {
        try secure(&reader, glance.xmin)
        progress.cursor = glance.xmin
        log.frontier.advance { mark in
          mark.lsn = max(mark.lsn, LSN(rawValue: glance.xmin))
          mark.walEnd = max(mark.walEnd, LSN(rawValue: glance.xmin))
        }
        try noteIdle(&progress)
      }
      try watch(&reader, glance, &progress)
      try clean(&reader, &progress)
      if !glance.hasLines { rest(configuration.outboxInterval / .seconds(1)) }
    }
    // So that the next start need not read again what is durable.
    _ = try? log.synchronize()
  }

  /// One batch: into the journal, made safe, and only then committed there.
  private func take(_ reader: inout OutboxReader, _ progress: inout Progress) throws {
    let end = try reader.read(from: progress.cursor) { message in
      if stop.isRaised { throw SourceError(.cancelled, "The server ends.") }
      try message.withUnsafeBytes { _ = try log.take($0) }
    }
    try secure(&reader, end)
    let now = Int64((Date().timeIntervalSince1970 - 946_684_800) * 1e6)
    let commit = PgOutputEncoder.commit(
      PgOutputMessage.Commit(
        commitLSN: LSN(rawValue: end - 1), endLSN: LSN(rawValue: end), commitMicroseconds: now))
    try commit.withUnsafeBytes { _ = try log.take($0) }
    progress.cursor = end
    progress.hasToDelete = true
    try log.rollIfDue()
  }

  private func secure(_ reader: inout OutboxReader, _ cursor: UInt64) throws {
    guard try reader.secure(cursor, confirmed: deletable) else { throw lost }
  }

  private var lost: Broken {
    Broken(
      reason: "the outbox does not know the reader \(configuration.slot) any more",
      known: log.frontier.mark.lsn.rawValue)
  }

  /// Up to where nothing of the outbox is needed any more.
  private var deletable: UInt64 { hold.isHeld ? 0 : log.durableLSN.rawValue }

  private func clean(_ reader: inout OutboxReader, _ progress: inout Progress) throws {
    let durable = deletable
    guard progress.hasToDelete, durable > 0 else { return }
    if durable > progress.confirmed {
      guard try reader.confirm(durable) else { throw lost }
      progress.confirmed = durable
    }
    let isMore = try reader.delete()
    if !isMore, progress.confirmed >= progress.cursor { progress.hasToDelete = false }
  }

  /// An open transaction holds back what committed after it began.
  private func watch(
    _ reader: inout OutboxReader, _ glance: OutboxReader.Glance, _ progress: inout Progress
  ) throws {
    guard glance.hasHeldBack else {
      progress.heldBack = nil
      if progress.isToldHeldBack { change(.streaming) }
      progress.isToldHeldBack = false
      return
    }
    if progress.heldBack?.xmin != glance.xmin {
      progress.heldBack = (glance.xmin, .now)
      if progress.isToldHeldBack { change(.streaming) }
      progress.isToldHeldBack = false
    }
    guard !progress.isToldHeldBack, let since = progress.heldBack?.since,
      ContinuousClock.now - since > .seconds(Self.heldBackSeconds)
    else { return }
    progress.isToldHeldBack = true
    change(
      .stalled(
        "changes that are committed wait for an older transaction to end: \(try reader.holder(of: glance.xmin)), with the id \(glance.xmin)"
      ))
  }

  /// Where the journal has as much as it may have, waits until a snapshot lets some of it go.
  private func waitForRoom() throws {
    var hasWaited = false
    while log.journal.statistics.bytes > configuration.journalBytesMax {
      if stop.isRaised { throw SourceError(.cancelled, "The server ends.") }
      hasWaited = true
      change(
        .stalled(
          "the journal has \(log.journal.statistics.bytes) bytes, and may have \(configuration.journalBytesMax): it shrinks when the "
            + "collections' snapshots are written"))
      Thread.sleep(forTimeInterval: 0.2)
    }
    if hasWaited { change(.streaming) }
  }

  /// Notes the cursor, so that a start need not look at all transactions since the last change again.
  private func noteIdle(_ progress: inout Progress) throws {
    guard progress.cursor > progress.noted, ContinuousClock.now - progress.notedAt > .seconds(Self.idleSeconds),
      var point = log.point
    else { return }
    point.lsn = LSN(rawValue: progress.cursor)
    try log.reach(point)
    try log.rollIfDue()
    progress.noted = progress.cursor
    progress.notedAt = .now
  }
}
