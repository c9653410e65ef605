// From Postgres's walsender into the journal: one thread, one connection, tried again for as long as the server lives.
//
//     connect → is it still the Postgres, the slot and the place that we know (AttachCheck)? → START_REPLICATION → messages → journal
//
// It applies nothing. What it has put into the journal becomes visible through the frontier, and is acknowledged once it is durable.
//
// May use: PostgresSource's replication, StreamLog.

import Foundation
import Logging
import PostgresSource
import Synchronization
import VectorSnapshot
import VectorWire

/// The one reader of the slot.
final class ChangeStream: ChangeSource {
  private let configuration: FollowConfiguration
  private let log: StreamLog
  private let logger: Logger
  private let stop = StopFlag()
  /// The least position of which a loaded collection says that it is in step with it; nil: none is loaded.
  private let floor: @Sendable () -> Position?
  private let onChange: @Sendable (StreamCondition) -> Void
  private let current = Mutex(StreamCondition.connecting)

  /// - floor: asked where the journal is empty.
  /// - onChange: told of every new condition, on the stream's thread.
  init(
    _ configuration: FollowConfiguration, log: StreamLog, logger: Logger, floor: @escaping @Sendable () -> Position?,
    onChange: @escaping @Sendable (StreamCondition) -> Void
  ) {
    self.configuration = configuration
    self.log = log
    self.logger = logger
    self.floor = floor
    self.onChange = onChange
  }

  var condition: StreamCondition { current.withLock { $0 } }

  /// Ends ``run()`` within a moment.
  func end() { stop.raise() }

  /// The thread's whole life.
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

  private func rest(_ seconds: Double) {
    let end = ContinuousClock.now + .seconds(seconds)
    while !stop.isRaised, ContinuousClock.now < end { Thread.sleep(forTimeInterval: 0.05) }
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

extension ChangeStream {
  /// The slot cannot go on from where the journal ends.
  private struct Broken: Error {
    var reason: String
    var slot: SlotFacts?
  }

  /// Connects, and takes messages until that ends.
  private func session(_ isStreaming: () -> Void) throws {
    let connection = try ReplicationConnection(configuration.connection, stop: stop)
    let system = try connection.identifySystem()
    let start = try attach(connection, system)
    do {
      try connection.startReplication(slot: configuration.slot, from: start, publication: configuration.publication)
      change(.streaming)
      isStreaming()
      try receive(on: connection)
    } catch {
      try log.dropUnfinished()
      if let error = error as? SourceError, error.code == .slotLost || error.code == .slotMissing {
        throw Broken(reason: error.message, slot: try? facts())
      }
      throw error
    }
  }

  private func facts() throws(SourceError) -> SlotFacts? {
    try SlotFacts.read(configuration.slot, over: Connection(configuration.connection, stop: stop))
  }

  /// Makes the slot if nothing was followed yet; else makes sure that it goes on where the journal ends.
  private func attach(_ connection: ReplicationConnection, _ system: SystemIdentity) throws -> LSN {
    if let point = log.point, point.slot.hasPrefix(StreamPoint.outboxPrefix) {
      throw SourceError(
        .slotUnfit,
        "The journal in \(log.journal.path) is that of an outbox, whose places are not those of a slot. Serve with --outbox, or move the "
          + "folder away.")
    }
    let slot = try facts()
    // Where the journal is gone, the snapshots still say what they have.
    let found = floor().map { position in
      StreamPoint(
        systemIdentifier: position.systemID, timeline: position.timeline, lsn: LSN(rawValue: position.appliedLSN),
        database: system.database, slot: configuration.slot)
    }
    guard let known = log.point ?? found else { return try begin(connection, system, slot) }
    let history = try connection.timelineHistory(of: system.timeline)
    let verdict = AttachCheck.verdict(
      local: AttachCheck.Local(
        slot: configuration.slot, systemIdentifier: known.systemIdentifier, timeline: known.timeline,
        database: known.database, applied: known.lsn),
      server: system, history: history, slot: slot)
    switch verdict {
    case .attach(let lsn, let warnings):
      for warning in warnings { logger.warning("\(warning)") }
      let point = StreamPoint(
        systemIdentifier: system.systemIdentifier, timeline: system.timeline, lsn: lsn, continues: log.point != nil,
        database: system.database, slot: configuration.slot)
      if log.point?.timeline != point.timeline { try log.reach(point) }
      return lsn
    case .refuse(let refusal):
      guard refusal.remedy == .rebuild else { throw refusal.error }
      throw Broken(reason: refusal.message, slot: slot)
    }
  }

  /// Nothing was followed before: whatever the slot has yet to tell is new.
  private func begin(
    _ connection: ReplicationConnection, _ system: SystemIdentity, _ slot: SlotFacts?
  ) throws -> LSN {
    let lsn: LSN
    if let slot {
      guard slot.plugin == "pgoutput", slot.database == system.database else {
        throw SourceError(
          .slotUnfit,
          "The replication slot \(configuration.slot) exists and is another program's (plugin \(slot.plugin ?? "none"), database "
            + "\(slot.database ?? "none")). Choose another name with --slot.")
      }
      // One that nobody reads is left of a data directory that was lost, or of a server that has ended: that one will notice, and load anew.
      if let process = slot.activePID { throw Self.inUse(configuration.slot, by: process) }
      if slot.isLost { throw Broken(reason: "the slot \(configuration.slot) is lost", slot: slot) }
      lsn = slot.confirmedFlushLSN ?? .unknown
    } else {
      logger.info("making the replication slot", metadata: ["slot": "\(configuration.slot)"])
      lsn = try connection.createSlot(configuration.slot, temporary: false, exportsSnapshot: false).consistentPoint
    }
    let point = StreamPoint(
      systemIdentifier: system.systemIdentifier, timeline: system.timeline, lsn: lsn, continues: false,
      database: system.database, slot: configuration.slot)
    try log.reach(point)
    try log.synchronize()
    return lsn
  }

  private static func inUse(_ slot: String, by process: Int) -> SourceError {
    SourceError(
      .slotInUse,
      "The slot \(slot) is in use by the server's process \(process). Stop the other server, or give this one a slot of its own with --slot."
    )
  }

  /// Begins a new slot in the place of one that cannot go on. Tried until it is done.
  private func abandon(_ broken: Broken) {
    while !stop.isRaised {
      do {
        let connection = try ReplicationConnection(configuration.connection, stop: stop)
        let system = try connection.identifySystem()
        // One that is in order but for us is left behind: it would keep Postgres's log for ever.
        if let slot = try facts() {
          if let process = slot.activePID { throw Self.inUse(configuration.slot, by: process) }
          try connection.dropSlot(configuration.slot)
        }
        _ = try begin(connection, system, nil)
        return
      } catch let error as SourceError where error.code == .cancelled {
        return
      } catch {
        logger.warning("the slot could not be made anew, trying again: \(error)")
        rest(Self.pauseMax)
      }
    }
  }
}

// MARK: - Receiving

extension ChangeStream {
  /// The longest time between two words to Postgres, whatever happens.
  private static let statusSeconds = 5.0
  /// Where no transaction comes, how often what Postgres's log has passed is noted, so that it need not be kept for us.
  private static let idleSeconds = 10.0
  private static let idleBytes: UInt64 = 16 << 20

  private struct Progress {
    var statusAt = ContinuousClock.now
    var flushed = LSN.unknown
    var noted = LSN.unknown
    var notedAt = ContinuousClock.now
  }

  private func receive(on connection: ReplicationConnection) throws {
    var progress = Progress()
    progress.noted = log.frontier.mark.lsn
    try tell(connection, &progress)
    while !stop.isRaised {
      var isBoundary = false
      let event = try connection.receive(timeoutMilliseconds: 100) { data in
        isBoundary = try keep(data.bytes, connection, &progress) != nil
      }
      switch event {
      case .data?:
        if isBoundary {
          try log.rollIfDue()
          try waitForRoom(connection, &progress)
        }
      case .keepalive(let walEnd, let replyRequested)?:
        if !log.isWithinTransaction {
          log.frontier.advance { mark in
            mark.lsn = max(mark.lsn, walEnd)
            mark.walEnd = max(mark.walEnd, walEnd)
          }
          // A Postgres that shuts down waits until all that it has sent is acknowledged.
          try noteIdle(&progress, isAsked: replyRequested)
          if replyRequested { try log.synchronize() }
        } else {
          log.frontier.advance { $0.walEnd = max($0.walEnd, walEnd) }
        }
        if replyRequested { try tell(connection, &progress) }
      case nil: break
      }
      // What has become durable is told soon, so that Postgres need not keep its log.
      let isDue = ContinuousClock.now - progress.statusAt > .seconds(Self.statusSeconds)
      let isNews = log.durableLSN > progress.flushed && ContinuousClock.now - progress.statusAt > .milliseconds(200)
      if isDue || isNews { try tell(connection, &progress) }
    }
    // So that the next start need not hear again what is durable.
    try? log.synchronize()
    try? tell(connection, &progress)
  }

  private func tell(_ connection: ReplicationConnection, _ progress: inout Progress) throws {
    let durable = log.durableLSN
    let received = log.frontier.mark.lsn
    try connection.sendStatus(write: max(received, durable), flush: durable, apply: durable)
    progress.flushed = durable
    progress.statusAt = .now
  }

  /// Puts a message into the journal. Where the disk is full, waits for room: Postgres keeps what is not acknowledged.
  private func keep(
    _ bytes: UnsafeRawBufferPointer, _ connection: ReplicationConnection, _ progress: inout Progress
  ) throws -> LSN? {
    while true {
      do {
        let end = try log.take(bytes)
        if case .stalled = condition { change(.streaming) }
        return end
      } catch let error as SnapshotError where error.code == .noSpace {
        change(.stalled(error.message))
        try pauseAlive(connection, &progress)
      }
    }
  }

  /// Where the journal has as much as it may have, waits until a snapshot lets some of it go.
  private func waitForRoom(_ connection: ReplicationConnection, _ progress: inout Progress) throws {
    while log.journal.statistics.bytes > configuration.journalBytesMax {
      change(
        .stalled(
          "the journal has \(log.journal.statistics.bytes) bytes, and may have \(configuration.journalBytesMax): it shrinks when the "
            + "collections' snapshots are written"))
      try pauseAlive(connection, &progress)
    }
    if case .stalled = condition { change(.streaming) }
  }

  private func pauseAlive(_ connection: ReplicationConnection, _ progress: inout Progress) throws {
    if stop.isRaised { throw SourceError(.cancelled, "The server ends.") }
    Thread.sleep(forTimeInterval: 0.2)
    if ContinuousClock.now - progress.statusAt > .seconds(Self.statusSeconds) { try tell(connection, &progress) }
  }

  /// Notes in the journal how far Postgres's log has gone without a change for us: acknowledged without a note, it would look after a
  /// restart as if changes were missed.
  private func noteIdle(_ progress: inout Progress, isAsked: Bool) throws {
    let reached = log.frontier.mark.lsn
    guard reached > progress.noted, var point = log.point else { return }
    let isLong = ContinuousClock.now - progress.notedAt > .seconds(Self.idleSeconds)
    guard isAsked || isLong || reached.rawValue - progress.noted.rawValue > Self.idleBytes else { return }
    point.lsn = reached
    try log.reach(point)
    try log.rollIfDue()
    progress.noted = reached
    progress.notedAt = .now
  }
}
