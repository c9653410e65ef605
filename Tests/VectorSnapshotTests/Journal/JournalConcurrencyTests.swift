// One thread appends while others make durable, read and remove.

import Foundation
import Synchronization
import TestSupport
import Testing
import VectorIndex

@testable import VectorSnapshot

@Suite struct JournalConcurrencyTests {
  /// What the threads find wrong.
  private final class Findings: Sendable {
    private let found = Mutex<[String]>([])
    var all: [String] { found.withLock { $0 } }
    func add(_ text: String) { found.withLock { $0.append(text) } }
    func check(_ holds: Bool, _ text: @autoclosure () -> String) { if !holds { add(text()) } }

    func attempt(_ what: String, _ body: () throws -> Void) {
      do { try body() } catch { add("\(what): \(error)") }
    }
  }

  /// A record of a transaction: the transaction's number, and its own within it; the last says how many there are.
  private static func body(_ transaction: Int, _ index: Int, padding: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(littleEndian: UInt64(transaction))
    bytes.append(littleEndian: UInt64(index))
    return bytes + [UInt8](repeating: UInt8(truncatingIfNeeded: transaction), count: padding)
  }

  private static let commit = JournalRecordKind(67)

  @Test(arguments: testSeeds)
  func oneAppendsWhileOthersSynchronizeReadAndRemove(seed: UInt64) throws {
    print("JournalConcurrencyTests, seed \(seed)")
    let fixture = try JournalFixture()
    let options = JournalOptions(segmentBytes: 30_000, bufferBytes: 4 << 10)
    let journal = try Journal(lock: fixture.lock, options: options)
    let findings = Findings()
    let isDone = Atomic<Bool>(false)
    /// Where the last transaction ended that is whole: what is before is never dropped.
    let whole = Atomic<UInt64>(journal.endPosition.rawValue)
    let transactions = 3_000

    WorkerThreads.run(count: 4) { thread in
      switch thread {
      case 0:
        findings.attempt("append") { try Self.write(transactions, to: journal, whole: whole, seed: seed) }
        isDone.store(true, ordering: .releasing)
      case 1:
        findings.attempt("synchronize") {
          while !isDone.load(ordering: .acquiring) {
            let before = whole.load(ordering: .acquiring)
            let durable = try journal.synchronize()
            findings.check(durable.rawValue >= before, "durable \(durable), and \(before) were appended before")
          }
        }
      case 2:
        while !isDone.load(ordering: .acquiring) { Self.read(journal, to: whole, findings) }
      default:
        findings.attempt("remove") {
          while !isDone.load(ordering: .acquiring) {
            let end = min(whole.load(ordering: .acquiring), journal.durablePosition.rawValue)
            try journal.removeSegments(before: JournalPosition(end > 200_000 ? end - 200_000 : 0))
          }
        }
      }
    }
    #expect(findings.all == [])
    let end = try journal.synchronize()
    try journal.removeSegments(before: JournalPosition(end.rawValue - 200_000))
    #expect(end == journal.endPosition && journal.oldestPosition.rawValue > 0)

    let expected = try records(of: journal)
    let again = try Journal(lock: fixture.lock, options: options)
    #expect(again.recovery == JournalRecovery(recordCount: expected.count))
    #expect(try records(of: again) == expected)
    #expect(expected.filter { $0.kind == Self.commit.rawValue }.count > 30)
  }

  /// Transactions of some records each; every fifth breaks off and is dropped.
  private static func write(
    _ transactions: Int, to journal: Journal, whole: borrowing Atomic<UInt64>, seed: UInt64
  ) throws {
    var generator = SeededGenerator(seed: seed)
    for transaction in 0..<transactions {
      let start = journal.endPosition
      let count = Int.random(in: 0...12, using: &generator)
      for index in 0..<count {
        let padding = Int.random(in: 0...(index == 3 ? 6_000 : 300), using: &generator)
        try journal.append(JournalRecordKind(1), body(transaction, index, padding: padding))
      }
      if transaction % 5 == 4 {
        try journal.truncate(to: start)
        continue
      }
      let range = try journal.append(commit, body(transaction, count, padding: 0))
      whole.store(range.upperBound.rawValue, ordering: .releasing)
      try journal.rollIfDue { [(JournalRecordKind(82), [UInt8](repeating: 7, count: 50))] }
    }
  }

  /// What is whole reads as whole transactions, in their order, none of those that broke off among them.
  private static func read(_ journal: Journal, to whole: borrowing Atomic<UInt64>, _ findings: Findings) {
    let end = whole.load(ordering: .acquiring)
    var transaction: UInt64?
    var index: UInt64 = 0
    do {
      try journal.read(from: journal.oldestPosition, to: JournalPosition(end)) { record, span in
        let bytes = span.withUnsafeBytes { Array($0) }
        guard !record.opensSegment else {
          findings.check(index == 0, "a segment begins within a transaction")
          return true
        }
        var reader = ByteReader(bytes)
        guard let number = reader.read(UInt64.self), let place = reader.read(UInt64.self) else {
          findings.add("a record of \(bytes.count) bytes")
          return false
        }
        findings.check(number % 5 != 4, "transaction \(number) broke off")
        findings.check(place == index, "record \(place) of transaction \(number), not \(index)")
        if index == 0, let before = transaction { findings.check(number > before, "\(number) after \(before)") }
        if index > 0 { findings.check(number == transaction, "\(number) within another") }
        transaction = number
        index = record.kind == commit ? 0 : index + 1
        return true
      }
      findings.check(index == 0, "what was whole ends within transaction \(String(describing: transaction))")
    } catch {
      // Removed while it was read.
      findings.check(error.code == .notFound, "read: \(error)")
    }
  }
}
