// Sums that can be taken back to an earlier commit, held against sums that were kept then.

import TestSupport
import Testing

@testable import PostgresSource
@testable import VectorServer

@Suite struct ProofLedgerTests {
  @Test(arguments: 1...5) func itTellsWhatItWasBeforeAnyStep(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var rows: [Int: UInt64] = [:]
    var ledger = ProofLedger(
      buckets: Array(repeating: BucketSum(), count: RowHasher.bucketCount), at: LSN(rawValue: 10))
    var history: [(before: LSN, buckets: [BucketSum])] = []
    var lsn: UInt64 = 10
    for _ in 0..<200 {
      let first = lsn + UInt64.random(in: 1...5, using: &random)
      let last = first + UInt64.random(in: 0...3, using: &random)
      history.append((LSN(rawValue: first), ledger.buckets))
      var deltas: [ProofLedger.Delta] = []
      for _ in 0..<Int.random(in: 0...6, using: &random) {
        let id = Int.random(in: 0..<50, using: &random)
        let new: UInt64? = Bool.random(using: &random) ? UInt64.random(in: 0 ... .max, using: &random) : nil
        deltas.append(.init(bucket: id % RowHasher.bucketCount, old: rows[id], new: new))
        rows[id] = new
      }
      ledger.apply(deltas, first: LSN(rawValue: first), last: LSN(rawValue: last))
      if last > first, !deltas.isEmpty {
        #expect(ledger.buckets(before: LSN(rawValue: last)) == nil, "within one step (seed \(seed))")
      }
      lsn = last
    }
    for (before, buckets) in history { #expect(ledger.buckets(before: before) == buckets, "seed \(seed)") }
    #expect(ledger.buckets(before: LSN(rawValue: 10)) == nil, "nothing is known of before it began")
    var expected = Array(repeating: BucketSum(), count: RowHasher.bucketCount)
    for (id, row) in rows { expected[id % RowHasher.bucketCount].add(row) }
    #expect(ledger.buckets(before: LSN(rawValue: lsn + 1)) == expected, "seed \(seed)")
  }

  @Test func whatIsTooLongAgoIsNotTold() {
    var ledger = ProofLedger(
      buckets: Array(repeating: BucketSum(), count: RowHasher.bucketCount), at: LSN(rawValue: 1))
    for step in UInt64(2)...6 {
      let deltas = (0..<30_000).map { ProofLedger.Delta(bucket: $0 % 4_096, old: nil, new: step) }
      ledger.apply(deltas, first: LSN(rawValue: step), last: LSN(rawValue: step))
    }
    #expect(ledger.buckets(before: LSN(rawValue: 2)) == nil)
    #expect(ledger.buckets(before: LSN(rawValue: 6))?.reduce(0) { $0 + $1.count } == 120_000)
  }

  /// Most of what a server that is followed for many tables commits.
  @Test func aStepThatChangesNothingIsNotKept() {
    var ledger = ProofLedger(
      buckets: Array(repeating: BucketSum(), count: RowHasher.bucketCount), at: LSN(rawValue: 1))
    ledger.apply([.init(bucket: 3, old: nil, new: 7)], first: LSN(rawValue: 2), last: LSN(rawValue: 2))
    ledger.apply([], first: LSN(rawValue: 4), last: LSN(rawValue: 9))
    ledger.apply([.init(bucket: 4, old: nil, new: 8)], first: LSN(rawValue: 11), last: LSN(rawValue: 11))
    func count(before lsn: UInt64) -> Int? {
      ledger.buckets(before: LSN(rawValue: lsn))?.reduce(0) { $0 + $1.count }
    }
    #expect(count(before: 2) == 0)
    #expect(count(before: 3) == 1)
    #expect(count(before: 7) == 1, "wherever in the step that is")
    #expect(count(before: 11) == 1)
    #expect(count(before: 12) == 2)
  }

  @Test func aTruncateBeginsAnew() {
    var ledger = ProofLedger(
      buckets: Array(repeating: BucketSum(), count: RowHasher.bucketCount), at: LSN(rawValue: 1))
    ledger.apply([.init(bucket: 3, old: nil, new: 7)], first: LSN(rawValue: 2), last: LSN(rawValue: 2))
    ledger.reset(at: LSN(rawValue: 3))
    ledger.apply([.init(bucket: 4, old: nil, new: 8)], first: LSN(rawValue: 3), last: LSN(rawValue: 3))
    #expect(ledger.buckets(before: LSN(rawValue: 3)) == nil)
    #expect(ledger.buckets(before: LSN(rawValue: 4))?.reduce(0) { $0 + $1.count } == 1)
  }
}
