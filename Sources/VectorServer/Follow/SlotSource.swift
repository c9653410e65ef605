// Changes from Postgres's walsender, by a replication slot:
//
//     connect → is it still the Postgres, the slot and the place that we know (AttachCheck)? → START_REPLICATION → messages → journal
//
// The slot's server is told what is durable here, and may forget it.
//
// May use: PostgresSource's replication, ChangeStream.

import Logging
import PostgresSource
import VectorSnapshot
import VectorWire

/// The replication slot of the configuration.
struct SlotSource: ChangeSource {
  let noun = "slot"

  func attach(_ stream: ChangeStream) throws -> SlotSession {
    let configuration = stream.configuration
    let connection = try ReplicationConnection(configuration.connection, stop: stream.stop)
    let system = try connection.identifySystem()
    let start = try place(stream, connection, system)
    try Self.orBroken {
      try connection.startReplication(slot: configuration.slot, from: start, publication: configuration.publication)
    }
    return SlotSession(stream, connection)
  }

  func beginAnew(_ stream: ChangeStream) throws {
    let connection = try ReplicationConnection(stream.configuration.connection, stop: stream.stop)
    let system = try connection.identifySystem()
    // One that is in order but for us is left behind: it would keep Postgres's log for ever.
    if let slot = try facts(stream) {
      if let process = slot.activePID { throw Self.inUse(stream.configuration.slot, by: process) }
      try connection.dropSlot(stream.configuration.slot)
    }
    _ = try begin(stream, connection, system, nil)
  }

  /// A slot that is lost or gone does not come back by trying again.
  static func orBroken<R>(_ body: () throws -> R) throws -> R {
    do { return try body() } catch let error as SourceError {
      guard error.code == .slotLost || error.code == .slotMissing else { throw error }
      throw BrokenSource(reason: error.message)
    }
  }

  private func facts(_ stream: ChangeStream) throws(SourceError) -> SlotFacts? {
    try SlotFacts.read(
      stream.configuration.slot, over: Connection(stream.configuration.connection, stop: stream.stop))
  }

  private static func inUse(_ slot: String, by process: Int) -> SourceError {
    SourceError(
      .slotInUse,
      "The slot \(slot) is in use by the server's process \(process). Stop the other server, or give this one a slot of its own with --slot."
    )
  }

  private func point(
    _ stream: ChangeStream, _ system: SystemIdentity, _ lsn: LSN, continues: Bool, epoch: UInt64 = 0
  ) -> StreamPoint {
    StreamPoint(
      systemIdentifier: system.systemIdentifier, timeline: system.timeline, lsn: lsn, continues: continues,
      epoch: epoch, database: system.database, slot: stream.configuration.slot)
  }

  /// Where the stream is to start. Makes the slot if nothing was followed yet; else makes sure that it goes on where the journal ends.
  private func place(
    _ stream: ChangeStream, _ connection: ReplicationConnection, _ system: SystemIdentity
  ) throws -> LSN {
    let (log, configuration) = (stream.log, stream.configuration)
    if let point = log.point, point.slot.hasPrefix(StreamPoint.outboxPrefix) {
      throw SourceError(
        .slotUnfit,
        "The journal in \(log.journal.path) is that of an outbox, whose places are not those of a slot. Serve with --outbox, or move the "
          + "folder away.")
    }
    let slot = try facts(stream)
    // Where the journal is gone, the snapshots still say what they have.
    let found = stream.floor().map { floor in
      StreamPoint(
        systemIdentifier: floor.position.systemID, timeline: floor.position.timeline,
        lsn: LSN(rawValue: floor.position.appliedLSN), epoch: floor.epoch, database: system.database,
        slot: configuration.slot)
    }
    guard let known = log.point ?? found else { return try begin(stream, connection, system, slot) }
    let history = try connection.timelineHistory(of: system.timeline)
    let verdict = AttachCheck.verdict(
      local: AttachCheck.Local(
        slot: configuration.slot, systemIdentifier: known.systemIdentifier, timeline: known.timeline,
        database: known.database, applied: known.lsn),
      server: system, history: history, slot: slot)
    switch verdict {
    case .attach(let lsn, let warnings):
      for warning in warnings { stream.logger.warning("\(warning)") }
      let point = point(stream, system, lsn, continues: log.point != nil, epoch: known.epoch)
      if log.point?.timeline != point.timeline { try log.reach(point) }
      return lsn
    case .refuse(let refusal):
      guard refusal.remedy == .rebuild else { throw refusal.error }
      throw BrokenSource(reason: refusal.message)
    }
  }

  /// Nothing was followed before: whatever the slot has yet to tell is new.
  private func begin(
    _ stream: ChangeStream, _ connection: ReplicationConnection, _ system: SystemIdentity, _ slot: SlotFacts?
  ) throws -> LSN {
    let name = stream.configuration.slot
    let lsn: LSN
    if let slot {
      guard slot.plugin == "pgoutput", slot.database == system.database else {
        throw SourceError(
          .slotUnfit,
          "The replication slot \(name) exists and is another program's (plugin \(slot.plugin ?? "none"), database "
            + "\(slot.database ?? "none")). Choose another name with --slot.")
      }
      // One that nobody reads is left of a data directory that was lost, or of a server that has ended: that one will notice, and load anew.
      if let process = slot.activePID { throw Self.inUse(name, by: process) }
      if slot.isLost { throw BrokenSource(reason: "the slot \(name) is lost") }
      lsn = slot.confirmedFlushLSN ?? .unknown
    } else {
      stream.logger.info("making the replication slot", metadata: ["slot": "\(name)"])
      lsn = try connection.createSlot(name, temporary: false, exportsSnapshot: false).consistentPoint
    }
    try stream.log.reach(point(stream, system, lsn, continues: false))
    try stream.log.synchronize()
    return lsn
  }
}

// MARK: - Receiving

/// The slot's messages, one after the other.
struct SlotSession: ChangeSession {
  /// The longest time between two words to Postgres, whatever happens.
  private static let statusSeconds = 5.0
  /// What has become durable is told soon, so that Postgres need not keep its log; but not after each message.
  private static let newsMilliseconds = 200
  /// Where no transaction comes, how far what Postgres's log has passed is noted, so that it need not be kept for us.
  private static let idleBytes: UInt64 = 16 << 20

  private let stream: ChangeStream
  private let connection: ReplicationConnection
  private var idle: IdleNotes
  /// nil: nothing was told yet.
  private var statusAt: ContinuousClock.Instant?
  private var flushed = LSN.unknown
  /// Whether Postgres wants a word.
  private var isAsked = false

  init(_ stream: ChangeStream, _ connection: ReplicationConnection) {
    self.stream = stream
    self.connection = connection
    idle = IdleNotes(stream.log, noted: stream.log.frontier.mark.lsn)
  }

  mutating func acknowledge() throws {
    guard let statusAt, !isAsked else { return try tell() }
    let age = ContinuousClock.now - statusAt
    let isNews = stream.log.durableLSN > flushed && age > .milliseconds(Self.newsMilliseconds)
    if age > .seconds(Self.statusSeconds) || isNews { try tell() }
  }

  mutating func take() throws -> Double {
    let log = stream.log
    var isBoundary = false
    let event = try SlotSource.orBroken {
      try connection.receive(timeoutMilliseconds: 100) { data in isBoundary = try keep(data.bytes) != nil }
    }
    switch event {
    case .data?:
      if isBoundary {
        try log.rollIfDue()
        try stream.waitForRoom { try stayAlive() }
      }
    case .keepalive(let walEnd, let replyRequested)?:
      if !log.isWithinTransaction {
        log.frontier.advance { mark in
          mark.lsn = max(mark.lsn, walEnd)
          mark.walEnd = max(mark.walEnd, walEnd)
        }
        // Acknowledged without a note, it would look after a restart as if changes were missed. A Postgres that shuts down waits until all that
        // it has sent is acknowledged.
        let reached = log.frontier.mark.lsn
        let isFar = reached > idle.noted && reached.rawValue - idle.noted.rawValue > Self.idleBytes
        try idle.note(reached, isUrgent: replyRequested || isFar)
        if replyRequested { try log.synchronize() }
      } else {
        log.frontier.advance { $0.walEnd = max($0.walEnd, walEnd) }
      }
      isAsked = replyRequested
    case nil: break
    }
    return 0
  }

  mutating func end() { try? tell() }

  private mutating func tell() throws {
    let durable = stream.log.durableLSN
    let received = stream.log.frontier.mark.lsn
    try connection.sendStatus(write: max(received, durable), flush: durable, apply: durable)
    flushed = durable
    statusAt = .now
    isAsked = false
  }

  /// While nothing can be taken, Postgres is to know that somebody is there.
  private mutating func stayAlive() throws {
    if let statusAt, ContinuousClock.now - statusAt > .seconds(Self.statusSeconds) { try tell() }
  }

  /// Puts a message into the journal. Where the disk is full, waits for room: Postgres keeps what is not acknowledged.
  private mutating func keep(_ bytes: UnsafeRawBufferPointer) throws -> LSN? {
    while true {
      do {
        let end = try stream.log.take(bytes)
        if case .stalled = stream.condition { stream.change(.streaming) }
        return end
      } catch let error as SnapshotError where error.code == .noSpace {
        stream.change(.stalled(error.message))
        try stream.pause()
        try stayAlive()
      }
    }
  }
}
