// How fast records go into a journal and come back. Prints; asserts no time.
//
//     VIZINHO_MEASURE=1 swift test -c release --skip-build --disable-xctest --filter JournalSpeed

import Foundation
import Synchronization
import TestSupport
import Testing
import VectorIndex

@testable import VectorSnapshot

@Suite(.enabled(if: environment("VIZINHO_MEASURE") == "1"), .serialized)
struct JournalSpeed {
  /// Rows of 8, 384 and 768 components beside a few columns, one a transaction with its begin and commit.
  @Test(arguments: [100, 1_600, 3_200])
  func recordsPerSecond(bodyBytes: Int) throws {
    let fixture = try JournalFixture()
    let journal = try Journal(lock: fixture.lock)
    let body = [UInt8](repeating: 7, count: bodyBytes)
    let count = 300_000_000 / (bodyBytes + 100)
    let isDone = Atomic<Bool>(false)
    let synchronizations = Atomic<Int>(0)
    let start = ContinuousClock.now
    WorkerThreads.run(count: 2) { thread in
      if thread == 0 {
        for _ in 0..<count {
          _ = try? journal.append(JournalRecordKind(66), [UInt8](repeating: 1, count: 21))
          _ = try? journal.append(JournalRecordKind(73), body)
          _ = try? journal.append(JournalRecordKind(67), [UInt8](repeating: 1, count: 26))
          _ = try? journal.rollIfDue { [] }
        }
        report("\(count) transactions of \(bodyBytes) bytes appended", ContinuousClock.now - start, journal)
        isDone.store(true, ordering: .releasing)
      } else {
        while !isDone.load(ordering: .acquiring) {
          usleep(10_000)
          if (try? journal.synchronize()) != nil { synchronizations.add(1, ordering: .relaxed) }
        }
      }
    }
    try journal.synchronize()
    report(
      "durable, after \(synchronizations.load(ordering: .relaxed)) synchronisations", ContinuousClock.now - start,
      journal)
    let reading = ContinuousClock.now
    var records = 0
    try journal.read(from: journal.oldestPosition) { _, _ in
      records += 1
      return true
    }
    report("read back", ContinuousClock.now - reading, journal)
    #expect(records == 3 * count)
    let opening = ContinuousClock.now
    let again = try Journal(lock: fixture.lock)
    report("opened", ContinuousClock.now - opening, again)
  }

  private func report(_ what: String, _ duration: Duration, _ journal: Journal) {
    let seconds = duration / .seconds(1)
    let megabytes = Double(journal.statistics.bytes) / 1e6
    print("  \(what): \(String(format: "%.2f s, %.0f MB/s", seconds, megabytes / seconds))")
  }
}
