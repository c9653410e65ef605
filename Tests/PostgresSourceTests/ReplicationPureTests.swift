// The small pure parts of replication: frames, commands, histories of timelines, what errors mean, what a snapshot shows.

import Testing

@testable import PostgresSource

struct StreamFrameTests {
  private func frame(_ bytes: [UInt8]) throws -> StreamFrame {
    try bytes.withUnsafeBytes { try StreamFrame($0) }
  }

  @Test func dataAndKeepalives() throws {
    let data = [0x77, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4] + [UInt8](repeating: 0, count: 8) + [0x42, 0x43]
    try data.withUnsafeBytes { buffer in
      guard case .data(let data) = try StreamFrame(buffer) else {
        Issue.record("not data")
        return
      }
      #expect(data.walStart == LSN("1/2") && data.walEnd == LSN("3/4"))
      #expect(Array(data.bytes) == [0x42, 0x43])
    }
    let keepalive = [0x6B, 0, 0, 0, 1, 0, 0, 0, 2] + [UInt8](repeating: 0, count: 8) + [1]
    guard case .keepalive(let walEnd, let replyRequested) = try frame(keepalive) else {
      Issue.record("not a keepalive")
      return
    }
    #expect(walEnd == LSN("1/2") && replyRequested)
    guard case .keepalive(_, false) = try frame(Array(keepalive.dropLast()) + [0]) else {
      Issue.record("not a keepalive")
      return
    }
  }

  @Test func otherBytesAreRefused() throws {
    let zeros = [UInt8](repeating: 0, count: 30)
    let frames: [[UInt8]] = [
      [], [0x77], [0x77] + zeros[..<24], [0x6B] + zeros[..<16], [0x6B] + zeros[..<18], [0x78] + zeros,
    ]
    for bytes in frames {
      let error = try #require(throws: SourceError.self) { _ = try frame(bytes) }
      #expect(error.code == .malformedData)
    }
  }

  @Test func statusByteByByte() {
    let status = StreamFrame.status(
      write: LSN(rawValue: 0x0102_0304_0506_0708), flush: LSN(rawValue: 2), apply: LSN(rawValue: 3), microseconds: -2,
      requestsReply: true)
    #expect(
      status == [
        0x72, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
        0xFF,
        0xFF, 0xFE, 1,
      ])
  }
}

struct ReplicationCommandTests {
  @Test func slotNames() throws {
    for name in ["s", "vizinho_1", String(repeating: "x", count: 63)] { try ReplicationCommand.checkSlotName(name) }
    for name in ["", "S", "a-b", "a b", "é", "a\"", "a\0", String(repeating: "x", count: 64)] {
      let error = try #require(throws: SourceError.self) { try ReplicationCommand.checkSlotName(name) }
      #expect(error.code == .invalidArgument)
    }
  }

  @Test func commands() throws {
    #expect(
      try ReplicationCommand.createSlot("s", temporary: false, exportsSnapshot: true, failover: true)
        == "CREATE_REPLICATION_SLOT \"s\" LOGICAL pgoutput (SNAPSHOT 'export', FAILOVER true)")
    #expect(
      try ReplicationCommand.createSlot("s", temporary: true, exportsSnapshot: false, failover: false)
        == "CREATE_REPLICATION_SLOT \"s\" TEMPORARY LOGICAL pgoutput (SNAPSHOT 'nothing')")
    // A name within double quotes within a literal: each quote is doubled once for the one and once for the other.
    #expect(
      try ReplicationCommand.start(slot: "s", from: LSN(rawValue: 0x16_B374_D848), publication: "it's \"p\"\\")
        == "START_REPLICATION SLOT \"s\" LOGICAL 16/B374D848 (proto_version '2', publication_names '\"it''s \"\"p\"\"\\\"', "
        + "binary 'true', messages 'true')")
    #expect(throws: SourceError.self) { try ReplicationCommand.start(slot: "s", from: .unknown, publication: "p\0") }
  }
}

struct TimelineHistoryTests {
  @Test func readsAHistory() throws {
    let history = try TimelineHistory(
      parsing: "1\t0/3000000\tno recovery target specified\n\n# by hand\n  2 A/B before 2000-01-01 \n")
    #expect(history.switchPoint(of: 1) == LSN("0/3000000"))
    #expect(history.switchPoint(of: 2) == LSN("A/B"))
    #expect(history.switchPoint(of: 3) == nil)
    #expect(try TimelineHistory(parsing: "") == .first)
  }

  @Test func otherTextsAreRefused() throws {
    for text in ["1", "1 x", "x 0/1", "0 0/1", "-1 0/1", "1\t0/1\treason\n2"] {
      let error = try #require(throws: SourceError.self) { try TimelineHistory(parsing: text) }
      #expect(error.code == .malformedData, "\(text)")
    }
  }
}

struct ReplicationPhaseTests {
  @Test func whatAnErrorMeansDependsOnWhatWasAsked() {
    let streaming = ReplicationPhase.streaming(slot: "s", publication: "p")
    let cases: [(state: String, phase: ReplicationPhase, code: SourceError.Code)] = [
      ("42704", .slot("s"), .slotMissing), ("42704", streaming, .publicationMissing),
      ("42704", .question, .serverError),
      ("42710", .makingSlot("s"), .slotExists), ("55006", .slot("s"), .slotInUse), ("55006", streaming, .slotInUse),
      ("55000", .slot("s"), .slotLost), ("55000", streaming, .slotLost), ("58P01", streaming, .slotLost),
      ("55000", .makingSlot("s"), .replicationUnavailable), ("53400", .makingSlot("s"), .replicationUnavailable),
      ("55P03", .makingSlot("s"), .transactionsOpen), ("55P03", .question, .serverError),
      ("42501", .makingSlot("s"), .permissionDenied), ("57P01", streaming, .connectionLost),
      ("57P03", .question, .connectionLost), ("08006", streaming, .connectionLost),
      ("53300", .question, .tooManyConnections), ("XX000", streaming, .serverError),
    ]
    for (state, phase, code) in cases {
      let error = SourceError(serverState: state, "Postgres says: so.", in: phase)
      #expect(error.code == code && error.sqlState == state, "\(state) \(phase)")
      #expect(error.message.hasPrefix("Postgres says: so."))
    }
  }
}

struct StreamWarningsTests {
  @Test func onlyASkippedPublicationCounts() {
    let warnings = StreamWarnings()
    warnings.add("55000", "skipped loading publication \"p\" before the stream")
    warnings.publication = "p\u{e9}"
    warnings.add("01000", "p\u{e9} and something else")
    warnings.add("55000", "something else")
    #expect(warnings.skippedPublication == nil)
    warnings.add("55000", "skipped p\u{e9}")
    warnings.add("55000", "again p\u{e9}")
    #expect(warnings.skippedPublication == "skipped p\u{e9}")
  }
}

struct VisibilitySnapshotTests {
  @Test func readsPostgresForm() {
    #expect(VisibilitySnapshot("10:20:") == VisibilitySnapshot(xmin: 10, xmax: 20, running: []))
    #expect(VisibilitySnapshot("10:20:10,14") == VisibilitySnapshot(xmin: 10, xmax: 20, running: [10, 14]))
    for text in ["", "10", "10:20", "20:10:", "a:b:", "1:2:x", "1:2:1:3", "-1:2:"] {
      #expect(VisibilitySnapshot(text) == nil, "\(text)")
    }
  }

  @Test func withinOneEpoch() {
    let snapshot = VisibilitySnapshot(xmin: 10, xmax: 20, running: [10, 14])
    for (id, isVisible) in [
      (3, true), (9, true), (10, false), (11, true), (14, false), (19, true), (20, false), (21, false),
    ] {
      #expect(snapshot.isVisible(UInt32(id)) == isVisible, "\(id)")
    }
  }

  @Test func acrossEpochs() {
    let epoch: UInt64 = 1 << 32
    // The snapshot has just entered its second epoch: high ids are of the first.
    let young = VisibilitySnapshot(xmin: epoch + 5, xmax: epoch + 10, running: [epoch + 7])
    #expect(young.isVisible(.max) && young.isVisible(4) && young.isVisible(5))
    #expect(!young.isVisible(7) && !young.isVisible(10))
    // It is about to leave it: low ids are of the third, and have not been seen.
    let old = VisibilitySnapshot(xmin: epoch * 2 - 5, xmax: epoch * 2 - 2, running: [epoch * 2 - 4])
    #expect(!old.isVisible(3) && !old.isVisible(.max) && old.isVisible(.max - 2))
    #expect(!old.isVisible(UInt32(truncatingIfNeeded: epoch * 2 - 4)))
    // A snapshot whose oldest transaction is of the epoch before.
    let wide = VisibilitySnapshot(xmin: epoch - 3, xmax: epoch + 3, running: [epoch - 3, epoch + 1])
    #expect(!wide.isVisible(.max - 2) && wide.isVisible(.max) && !wide.isVisible(1) && wide.isVisible(2))
    // In the first there is none before.
    let first = VisibilitySnapshot(xmin: 100, xmax: 100, running: [])
    #expect(first.isVisible(99) && !first.isVisible(100) && !first.isVisible(.max))
  }
}
