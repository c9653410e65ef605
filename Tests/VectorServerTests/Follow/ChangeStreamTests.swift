// The stream's life, over a source that fails as it is told: what becomes of the journal, of what is told, and of the source.

import Foundation
import Logging
import Synchronization
import Testing

@testable import PostgresSource
@testable import VectorServer
@testable import VectorSnapshot

/// One connection after the other, each as it is written down.
private final class ScriptedSource: ChangeSource {
  enum Step {
    /// Of a transaction, begun or ended.
    case message([UInt8])
    /// What has come is in the journal's file.
    case written
    case fails(any Error)
    /// The server is told to end.
    case ends
  }

  let noun = "script"
  /// For each attempt to attach: an error, or what then comes.
  let connections: Mutex<[Result<[Step], any Error>]>
  let calls = Mutex<[String]>([])

  init(_ connections: [Result<[Step], any Error>]) { self.connections = Mutex(connections) }

  func note(_ call: String) { calls.withLock { $0.append(call) } }

  func attach(_ stream: ChangeStream) throws -> ScriptedSession {
    note(stream.log.isWithinTransaction ? "attach within a transaction" : "attach")
    let next = connections.withLock { $0.isEmpty ? .success([.ends]) : $0.removeFirst() }
    return ScriptedSession(self, stream, try next.get())
  }

  func beginAnew(_ stream: ChangeStream, after broken: BrokenSource) throws {
    note(broken.mayPass ? "ask again" : "begin anew")
    var point = ChangeStreamTests.point
    point.lsn = LSN(rawValue: 1_000)
    try stream.log.reach(point)
  }
}

private struct ScriptedSession: ChangeSession {
  private let source: ScriptedSource
  private let stream: ChangeStream
  private var steps: [ScriptedSource.Step]

  init(_ source: ScriptedSource, _ stream: ChangeStream, _ steps: [ScriptedSource.Step]) {
    self.source = source
    self.stream = stream
    self.steps = steps
  }

  mutating func acknowledge() { source.note("acknowledge \(stream.log.durableLSN)") }

  mutating func take() throws -> Double {
    switch steps.isEmpty ? .ends : steps.removeFirst() {
    case .message(let bytes):
      _ = try bytes.withUnsafeBytes { try stream.log.take($0) }
    case .written: try stream.log.synchronize()
    case .fails(let error): throw error
    case .ends: stream.end()
    }
    source.note("take")
    return 0
  }

  mutating func end() { source.note("end \(stream.log.durableLSN)") }
}

/// A disk on which a file cannot be cut once.
private final class FailingCut: Sendable {
  private let failures = Atomic<Int>(0)

  var hasFailed: Bool { failures.load(ordering: .relaxed) > 0 }

  var fileSystem: FileSystem {
    var fileSystem = FileSystem.posix
    fileSystem.truncate = { [self] file, byteCount throws(SystemError) in
      guard failures.wrappingAdd(1, ordering: .relaxed).oldValue > 0 else { throw SystemError("ftruncate", EIO) }
      try FileSystem.posix.truncate(file, byteCount)
    }
    return fileSystem
  }
}

@Suite struct ChangeStreamTests {
  static let point = StreamPoint(
    systemIdentifier: 42, timeline: 3, lsn: LSN(rawValue: 100), continues: false, database: "app", slot: "vizinho")

  private static func begin(_ lsn: UInt64) -> ScriptedSource.Step {
    .message(
      PgOutputEncoder.begin(
        PgOutputMessage.Begin(finalLSN: LSN(rawValue: lsn), commitMicroseconds: 0, transactionID: 7)))
  }

  private static func commit(_ lsn: UInt64) -> ScriptedSource.Step {
    .message(
      PgOutputEncoder.commit(
        PgOutputMessage.Commit(
          commitLSN: LSN(rawValue: lsn), endLSN: LSN(rawValue: lsn + 8), commitMicroseconds: 0)))
  }

  private struct Outcome {
    var conditions: [StreamCondition]
    var calls: [String]
    var log: StreamLog
  }

  /// Runs a stream until its script ends it.
  private func run(
    _ source: ScriptedSource, _ fileSystem: FileSystem = .posix, _ check: (Outcome) throws -> Void
  ) throws {
    let path = NSTemporaryDirectory() + "change-stream-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let log = try StreamLog(
      Journal(lock: DataDirectoryLock(path: path), options: JournalOptions(), fileSystem: fileSystem))
    try log.reach(Self.point)
    let conditions = Mutex<[StreamCondition]>([])
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let stream = ChangeStream(
      source, FollowConfiguration(connection: try ConnectionOptions("postgresql://nowhere")), log: log,
      logger: logger, floor: { nil }, onChange: { condition in conditions.withLock { $0.append(condition) } })
    stream.run()
    try check(
      Outcome(conditions: conditions.withLock { $0 }, calls: source.calls.withLock { $0 }, log: log))
  }

  @Test func whatHasComeIsDurableAndAcknowledgedWhenTheServerEnds() throws {
    try run(ScriptedSource([.success([Self.begin(120), Self.commit(120), .ends])])) { outcome in
      #expect(outcome.conditions == [.streaming])
      #expect(
        outcome.calls == [
          "attach", "acknowledge 0/0", "take", "acknowledge 0/0", "take", "acknowledge 0/0", "take", "end 0/80",
        ])
    }
  }

  @Test func aConnectionThatBreaksIsMadeAgainAndItsTransactionDropped() throws {
    let lost = SourceError(.connectionLost, "gone")
    let source = ScriptedSource([
      .success([Self.begin(120), Self.commit(120), Self.begin(140), .fails(lost)]), .failure(lost),
      .success([.ends]),
    ])
    try run(source) { outcome in
      #expect(outcome.conditions == [.streaming, .stalled("\(lost)"), .streaming])
      #expect(outcome.calls.filter { $0 == "attach" }.count == 3)
      #expect(!outcome.calls.contains("begin anew"))
      #expect(!outcome.log.isWithinTransaction)
      #expect(outcome.log.point?.lsn == LSN(rawValue: 128))
      #expect(outcome.log.journal.endPosition == outcome.log.frontier.mark.end)
    }
  }

  /// What fails as soon as it is attached does not look well in between.
  @Test func whatFailsEachTimeIsNotToldAsWell() throws {
    let full = SourceError(.serverError, "no space")
    let source = ScriptedSource([
      .success([Self.begin(120), .fails(full)]), .success([.fails(full)]), .success([.fails(full)]),
      .success([Self.begin(120), Self.commit(120), .ends]),
    ])
    try run(source) { outcome in
      #expect(outcome.conditions == [.streaming, .stalled("\(full)"), .streaming])
      #expect(outcome.calls.filter { $0 == "attach" }.count == 4)
      #expect(outcome.log.point?.lsn == LSN(rawValue: 128))
    }
  }

  @Test func thePauseGrowsUntilAConnectionHasLasted() {
    var pause = RetryPause()
    var pauses: [Double] = []
    for lasted in [nil, .seconds(1), nil, nil, .seconds(9), nil, nil, nil] as [Duration?] {
      pauses.append(pause.next(after: lasted))
    }
    #expect(pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10])
    let (again, later) = (pause.next(after: .seconds(11)), pause.next())
    #expect(again == 0.2 && later == 0.4)
  }

  @Test func aSilenceIsToldAndTakenBack() throws {
    let path = NSTemporaryDirectory() + "change-stream-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let log = try StreamLog(Journal(lock: DataDirectoryLock(path: path)))
    var configuration = FollowConfiguration(connection: try ConnectionOptions("postgresql://nowhere"))
    configuration.silenceMax = .zero
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let stream = ChangeStream(
      ScriptedSource([]), configuration, log: log, logger: logger, floor: { nil }, onChange: { _ in })
    func isStalled() -> Bool { if case .stalled = stream.condition { true } else { false } }
    stream.change(.streaming)
    stream.tellSilence()
    #expect(stream.condition == .streaming, "nobody waits")
    stream.heard()
    Thread.sleep(forTimeInterval: 0.001)
    stream.tellSilence()
    #expect(isStalled())
    stream.heard()
    #expect(stream.condition == .streaming)
    // Another reason is no silence's to take back, or to tell.
    stream.change(.stalled("the disk is full"))
    Thread.sleep(forTimeInterval: 0.001)
    stream.tellSilence()
    stream.heard()
    #expect(stream.condition == .stalled("the disk is full"))
  }

  @Test func nothingComesBehindATransactionThatCouldNotBeDropped() throws {
    let disk = FailingCut()
    let lost = SourceError(.connectionLost, "gone")
    let source = ScriptedSource([
      .success([Self.begin(120), Self.commit(120), Self.begin(140), .written, .fails(lost)]), .success([.ends]),
    ])
    try run(source, disk.fileSystem) { outcome in
      #expect(disk.hasFailed)
      #expect(outcome.calls.filter { $0.hasPrefix("attach") } == ["attach", "attach"])
      #expect(outcome.conditions.count == 3 && outcome.conditions.last == .streaming)
      #expect(outcome.log.journal.endPosition == outcome.log.frontier.mark.end)
    }
  }

  @Test func whatCannotGoOnIsBegunAnew() throws {
    let broken = BrokenSource(reason: "changes were missed")
    let source = ScriptedSource(
      [.success([Self.begin(120), .fails(broken)]), .success([.ends])])
    try run(source) { outcome in
      #expect(outcome.conditions == [.streaming, .broken("changes were missed"), .streaming])
      #expect(outcome.calls.filter { ["attach", "begin anew"].contains($0) } == ["attach", "begin anew", "attach"])
      #expect(outcome.log.point?.lsn == LSN(rawValue: 1_000))
    }
  }

  @Test func whoeverIsBrokenBeforeItStreamsIsBegunAnewToo() throws {
    let source = ScriptedSource([.failure(BrokenSource(reason: "the slot is lost")), .success([.ends])])
    try run(source) { outcome in
      #expect(outcome.conditions == [.broken("the slot is lost"), .streaming])
      #expect(outcome.calls.prefix(3) == ["attach", "begin anew", "attach"])
    }
  }

  /// The server that says so may be met in another's place.
  @Test func whatAServerSaysOfItselfIsAskedAgain() throws {
    let source = ScriptedSource([
      .failure(BrokenSource(reason: "the server has no slot", mayPass: true)), .success([.ends]),
    ])
    try run(source) { outcome in
      #expect(outcome.conditions == [.broken("the server has no slot"), .streaming])
      #expect(outcome.calls.prefix(3) == ["attach", "ask again", "attach"])
    }
  }

  /// A server that ends is mostly waiting for a message.
  @Test func aCancelledConnectionEndsTheStream() throws {
    let cancelled = SourceError(.cancelled, "The server ends.")
    let source = ScriptedSource([
      .success([Self.begin(120), Self.commit(120), Self.begin(140), .fails(cancelled)]), .success([.ends]),
    ])
    try run(source) { outcome in
      #expect(outcome.conditions == [.streaming])
      #expect(outcome.calls.filter { $0 == "attach" }.count == 1)
      #expect(outcome.calls.last == "end 0/80")
      #expect(!outcome.log.isWithinTransaction)
    }
  }

  @Test func idlePlacesAreNotedWhereTheyAreUrgentAndAhead() throws {
    try run(ScriptedSource([])) { outcome in
      var notes = IdleNotes(outcome.log, noted: LSN(rawValue: 100))
      let end = outcome.log.journal.endPosition
      try notes.note(LSN(rawValue: 200))
      try notes.note(LSN(rawValue: 100), isUrgent: true)
      #expect(outcome.log.journal.endPosition == end, "not after so short a while, and nothing that is noted already")
      try notes.note(LSN(rawValue: 200), isUrgent: true)
      #expect(notes.noted == LSN(rawValue: 200))
      #expect(outcome.log.point?.lsn == LSN(rawValue: 200))
      #expect(outcome.log.point?.continues == true, "nothing was missed")
    }
  }
}
