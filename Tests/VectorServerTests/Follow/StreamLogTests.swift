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
      #expect(log.epoch == epoch + 1)
    }
  }
}
