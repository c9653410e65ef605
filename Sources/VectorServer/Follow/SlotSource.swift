// Changes from Postgres's walsender, by a replication slot:
//
//     connect → is it still the Postgres, the slot and the place that we know (AttachCheck)? → START_REPLICATION → messages → journal
//
// Everything that is asked before is asked on that one connection: of several hosts, another connection may find another.
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
    // Before a slot is made: Postgres tells of a change by what its catalogs were then, and of one before the publication it never can.
    try connection.checkPublication(configuration.publication)
    let start = try place(stream, connection, system)
    // What comes tells only of what was sent: all that is yet to be would otherwise look like nothing.
    stream.log.noteLogEnd(system.position)
    try Self.orBroken {
      try connection.startReplication(slot: configuration.slot, from: start, publication: configuration.publication)
    }
    return SlotSession(stream, connection)
  }

  func beginAnew(_ stream: ChangeStream, after broken: BrokenSource) throws {
    let connection = try ReplicationConnection(stream.configuration.connection, stop: stream.stop)
    let system = try connection.identifySystem()
    try connection.checkPublication(stream.configuration.publication)
    let slot = try SlotFacts.read(stream.configuration.slot, over: connection)
    if let known = known(stream, system) {
      // This may be another server than the one on which it was broken: no good slot is to go for that, and none to be left on a standby.
      switch try verdict(stream, connection, system, slot, known) {
      case .attach where broken.mayPass: return
      case .refuse(let refusal) where refusal.remedy != .rebuild: throw refusal.error
      default: break
      }
    }
    // One that is in order but for us is left behind: it would keep Postgres's log for ever.
    if let slot {
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

  /// Up to where everything is here, and of which stream; nil: nothing was followed yet.
  private func known(_ stream: ChangeStream, _ system: SystemIdentity) -> StreamPoint? {
    if let point = stream.log.point { return point }
    // Where the journal is gone, the snapshots still say what they have.
    return stream.floor().map { floor in
      StreamPoint(
        systemIdentifier: floor.position.systemID, timeline: floor.position.timeline,
        lsn: LSN(rawValue: floor.position.appliedLSN), epoch: floor.epoch, database: system.database,
        slot: stream.configuration.slot)
    }
  }

  private func verdict(
    _ stream: ChangeStream, _ connection: ReplicationConnection, _ system: SystemIdentity, _ slot: SlotFacts?,
    _ known: StreamPoint
  ) throws(SourceError) -> AttachVerdict {
    AttachCheck.verdict(
      local: AttachCheck.Local(
        slot: stream.configuration.slot, systemIdentifier: known.systemIdentifier, timeline: known.timeline,
        database: known.database, applied: known.lsn, reached: stream.reached(known.epoch)),
      server: system, history: try connection.timelineHistory(of: system.timeline), slot: slot,
      isStandby: try connection.isInRecovery())
  }

  /// Where the stream is to start. Makes the slot if nothing was followed yet; else makes sure that it goes on where the journal ends.
  private func place(
    _ stream: ChangeStream, _ connection: ReplicationConnection, _ system: SystemIdentity
  ) throws -> LSN {
    let log = stream.log
    if let point = log.point, point.slot.hasPrefix(StreamPoint.outboxPrefix) {
      throw SourceError(
        .slotUnfit,
        "The journal in \(log.journal.path) is that of an outbox, whose places are not those of a slot. Serve with --outbox, or move the "
          + "folder away.")
    }
    let slot = try SlotFacts.read(stream.configuration.slot, over: connection)
    guard let known = known(stream, system) else { return try begin(stream, connection, system, slot) }
    switch try verdict(stream, connection, system, slot, known) {
    case .attach(let lsn, let warnings):
      for warning in warnings { stream.logger.warning("\(warning)") }
      let point = point(stream, system, lsn, continues: log.point != nil, epoch: known.epoch)
      if log.point?.timeline != point.timeline { try log.reach(point) }
      return lsn
    case .refuse(let refusal):
      guard refusal.remedy == .rebuild else { throw refusal.error }
      throw BrokenSource(reason: refusal.message, mayPass: true)
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
  /// When Postgres was asked for a word, since it has said none; nil: it has.
  private var askedAt: ContinuousClock.Instant?

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
    let event: StreamEvent?
    do {
      event = try SlotSource.orBroken {
        try connection.receive(timeoutMilliseconds: 100) { data in isBoundary = try keep(data.bytes) != nil }
      }
    } catch let error as SourceError where error.code == .publicationMissing {
      // At some change there was none. Were it there again now, that change would still be in the slot, or left out (from 18 on).
      throw BrokenSource(reason: error.message)
    }
    if event != nil { askedAt = nil }
    switch event {
    case .data?:
      if isBoundary {
        try log.rollIfDue()
        try stream.waitForRoom { try stayAlive() }
      }
      connection.beginListening()
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
    case nil: try askIfSilent()
    }
    return 0
  }

  mutating func end() { try? tell() }

  /// A connection whose other end is gone without a word looks like one on which nothing happens.
  private mutating func askIfSilent() throws {
    guard let limit = stream.configuration.silenceMax else { return }
    let silence = Duration.seconds(connection.silentSeconds)
    guard silence < limit else {
      throw SourceError(
        .connectionLost,
        "Postgres has said nothing for \(Int(silence / .seconds(1))) s, though it was asked: the connection is taken for broken."
      )
    }
    guard silence > limit / 6, askedAt.map({ ContinuousClock.now - $0 > limit / 6 }) ?? true else { return }
    try tell(requestsReply: true)
    askedAt = .now
  }

  private mutating func tell(requestsReply: Bool = false) throws {
    let durable = stream.log.durableLSN
    let received = stream.log.frontier.mark.lsn
    try connection.sendStatus(
      write: max(received, durable), flush: durable, apply: durable, requestsReply: requestsReply)
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
    var hasWaited = false
    while true {
      do {
        let end = try stream.log.take(bytes)
        if hasWaited { stream.change(.streaming) }
        return end
      } catch let error as SnapshotError where error.code == .noSpace {
        hasWaited = true
        stream.change(.stalled(error.message))
        try stream.pause()
        try stayAlive()
      }
    }
  }
}
