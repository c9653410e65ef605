// The journal as the stream writes it: what a restart finds, and what it drops.

import Foundation
import TestSupport
import Testing
import VectorSnapshot

@testable import PostgresSource
@testable import VectorServer

@Suite struct StreamLogTests {
  private func number<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
  }

  private func begin(_ lsn: UInt64) -> [UInt8] {
    [UInt8(ascii: "B")] + number(lsn) + number(Int64(0)) + number(UInt32(7))
  }

  private func commit(_ lsn: UInt64) -> [UInt8] {
    [UInt8(ascii: "C"), 0] + number(lsn) + number(lsn + 8) + number(Int64(0))
  }

  private func relation(_ id: UInt32) -> [UInt8] {
    [UInt8(ascii: "R")] + number(id) + Array("public\0t\0d".utf8) + number(Int16(1)) + [1] + Array("id\0".utf8)
      + number(UInt32(20)) + number(Int32(-1))
  }

  private func delete(_ relation: UInt32) -> [UInt8] {
    [UInt8(ascii: "D")] + number(relation) + Array("K".utf8) + number(Int16(1)) + Array("b".utf8) + number(Int32(8))
      + number(Int64(5))
  }

  private func take(_ log: StreamLog, _ messages: [UInt8]...) throws {
    for message in messages { try message.withUnsafeBytes { _ = try log.take($0) } }
  }

  private func withLog(_ body: (DataDirectoryLock) throws -> Void) throws {
    let path = NSTemporaryDirectory() + "stream-log-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try body(try DataDirectoryLock(path: path))
  }

  private let point = StreamPoint(
    systemIdentifier: 42, timeline: 3, lsn: LSN(rawValue: 100), continues: false, database: "app", slot: "vizinho")

  @Test func aRestartGoesOnWhereTheLastWholeTransactionEnded() throws {
    try withLog { lock in
      do {
        let log = try StreamLog(Journal(lock: lock))
        #expect(log.point == nil)
        try log.reach(point)
        try take(log, begin(120), relation(9), delete(9), commit(120))
        try take(log, begin(140), delete(9))
        #expect(log.isWithinTransaction)
        try log.synchronize()
        #expect(log.durableLSN == LSN(rawValue: 128))
      }
      let log = try StreamLog(Journal(lock: lock))
      #expect(log.point?.lsn == LSN(rawValue: 128))
      #expect(log.point?.database == "app")
      #expect(!log.isWithinTransaction)
      let mark = log.mark()
      #expect(mark.relations == [relation(9)])
      #expect(mark.transactions == 1)
      #expect(log.frontier.mark.end == log.journal.endPosition)
    }
  }

  @Test func aTransactionThatBrokeOffIsDroppedAndComesAgain() throws {
    try withLog { lock in
      let log = try StreamLog(Journal(lock: lock))
      try log.reach(point)
      let end = log.frontier.mark.end
      try take(log, begin(120), relation(9), delete(9))
      try log.dropUnfinished()
      #expect(log.journal.endPosition == end)
      #expect(log.mark().relations.isEmpty, "its relation comes again too")
      try take(log, begin(120), relation(9), delete(9), commit(120))
      #expect(log.frontier.mark.lsn == LSN(rawValue: 128))
      var kinds: [UInt8] = []
      _ = try log.journal.read(from: log.journal.oldestPosition) { record, body in
        if record.kind == .message { kinds.append(body.unsafeLoad(fromByteOffset: 0, as: UInt8.self)) }
        return true
      }
      #expect(kinds == Array("BRDC".utf8))
    }
  }

  @Test func nothingIsDurableBeforeItIsSynchronized() throws {
    try withLog { lock in
      let log = try StreamLog(Journal(lock: lock))
      try log.reach(point)
      #expect(log.durableLSN == .unknown)
      try log.synchronize()
      #expect(log.durableLSN == LSN(rawValue: 100))
      try take(log, begin(120), delete(9), commit(120))
      #expect(log.durableLSN == LSN(rawValue: 100))
      #expect(log.hasUndurable)
    }
  }

  @Test func aPointSurvivesItsBytes() throws {
    let bytes = point.encoded()
    #expect(StreamPoint(bytes.span.bytes) == point)
    for length in bytes.indices { #expect(StreamPoint(Array(bytes[..<length]).span.bytes) == nil) }
    #expect(StreamPoint((bytes + [0]).span.bytes) == nil)
  }

  @Test func aStreamThatBeginsAnewForgetsRelations() throws {
    try withLog { lock in
      let log = try StreamLog(Journal(lock: lock))
      try log.reach(point)
      try take(log, begin(120), relation(9), commit(120))
      let epoch = log.epoch
      var other = point
      other.lsn = LSN(rawValue: 500)
      try log.reach(other)
      #expect(log.mark().relations.isEmpty)
      #expect(log.epoch != epoch)
      #expect(log.mark(of: epoch) == nil, "what followed the other stream does not go on in this one")
    }
  }

  /// A Postgres that is restored to an earlier time gives the same places in its log again, for other transactions.
  @Test func aStreamThatBeginsAtAnEarlierPlaceTakesNothingFromTheOneBefore() throws {
    try withLog { lock in
      let first: UInt64
      let second: UInt64
      let start: JournalPosition
      var other = point
      other.lsn = LSN(rawValue: 50)
      do {
        let log = try StreamLog(Journal(lock: lock))
        try log.reach(point)
        first = log.epoch
        try take(log, begin(120), relation(9), delete(9), commit(120))
        try log.synchronize()
        start = log.journal.endPosition
        try log.reach(other)
        second = log.epoch
        #expect(log.durableLSN == .unknown, "the server has not come to what was durable before")
        #expect(log.frontier.mark.lsn == LSN(rawValue: 50))
        #expect(log.frontier.mark.walEnd == LSN(rawValue: 50))
        try log.synchronize()
        #expect(log.durableLSN == LSN(rawValue: 50))
      }
      let log = try StreamLog(Journal(lock: lock))
      #expect(log.epoch == second)
      #expect(
        log.point?.lsn == LSN(rawValue: 50), "not 128, behind which the server would pass over everything up to there")
      #expect(log.durableLSN == LSN(rawValue: 50))
      #expect(log.mark().relations.isEmpty)
      #expect(log.mark(of: first) == nil)
      #expect(log.mark(of: second)?.position == start, "what stands before is another stream's")
    }
  }

  /// Where the log ends is asked beside the stream, of whoever stands at the address then, and noted a while later.
  @Test func whatAnotherSaidOfItsLogIsPassedOver() throws {
    try withLog { lock in
      let log = try StreamLog(Journal(lock: lock))
      func noted(_ lsn: UInt64, _ timeline: UInt32?, _ epoch: UInt64) -> UInt64 {
        log.noteLogEnd(LogEnd(lsn: LSN(rawValue: lsn), timeline: timeline), of: epoch)
        return log.frontier.mark.walEnd.rawValue
      }
      #expect(noted(1_000, 3, 0) == 0, "nothing is followed yet")
      try log.reach(point)
      let epoch = log.epoch
      #expect(noted(1_000, 3, epoch) == 1_000)
      #expect(log.frontier.mark.lsn == LSN(rawValue: 100), "it has not come")
      #expect(noted(900, 3, epoch) == 1_000)
      #expect(noted(2_000, 4, epoch) == 1_000, "of another timeline")
      #expect(noted(2_000, nil, epoch) == 2_000, "a standby names none")
      #expect(noted(3_000, 3, epoch &+ 1) == 2_000)
      var other = point
      other.lsn = LSN(rawValue: 50)
      try log.reach(other)
      #expect(noted(3_000, 3, epoch) == 50, "of the server that was set back since")
      // The connection on which changes come says it of itself.
      log.noteLogEnd(LSN(rawValue: 500))
      #expect(log.frontier.mark.walEnd == LSN(rawValue: 500))
      log.noteLogEnd(LSN(rawValue: 400))
      #expect(log.frontier.mark.walEnd == LSN(rawValue: 400))
      log.noteLogEnd(LSN(rawValue: 10))
      #expect(log.frontier.mark.walEnd == LSN(rawValue: 50), "not before what has come")
    }
  }

  @Test func aSegmentSaysOfWhichStreamItIs() throws {
    try withLog { lock in
      let epoch: UInt64
      do {
        let log = try StreamLog(Journal(lock: lock, options: JournalOptions(segmentBytes: 1)))
        try log.reach(point)
        epoch = log.epoch
        try take(log, begin(120), relation(9), delete(9), commit(120))
        try log.rollIfDue()
        try log.synchronize()
        #expect(try log.journal.removeSegments(before: log.journal.endPosition) == 1)
      }
      let log = try StreamLog(Journal(lock: lock))
      #expect(log.epoch == epoch)
      #expect(log.mark(of: epoch)?.position == log.journal.oldestPosition)
    }
  }

  /// Where the journal was taken away, what is on disk goes on in a stream of the same epoch.
  @Test func aStreamMayGoOnInAnEmptyJournal() throws {
    try withLog { lock in
      let log = try StreamLog(Journal(lock: lock))
      #expect(log.mark(of: 7)?.position == log.journal.oldestPosition)
      var known = point
      known.epoch = 7
      try log.reach(known)
      #expect(log.mark(of: 7) != nil)
      #expect(log.mark(of: 8) == nil)
    }
  }
}
