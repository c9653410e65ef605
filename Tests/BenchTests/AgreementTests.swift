// What two answers to one query have in common.

import TestSupport
import Testing
import VectorIndex

@testable import Bench

struct AgreementTests {
  private func rows(_ pairs: [(Int64, Double)]) -> [RankedRow] {
    pairs.map { RankedRow(id: .int64($0.0), distance: $0.1) }
  }

  /// With Postgres's distance of every row that is there.
  private func compare(
    _ exact: [(Int64, Double)], _ answer: [(Int64, Double)], others: [Int64: Double] = [:], k: Int = 3
  ) -> Agreement {
    var known = Dictionary(uniqueKeysWithValues: others.map { (RecordID.int64($0.key), $0.value) })
    for (id, distance) in exact { known[.int64(id)] = distance }
    return Agreement(exact: rows(exact), answer: rows(answer), known: known, k: k)
  }

  private let exact: [(Int64, Double)] = [(1, 0.1), (2, 0.2), (3, 0.3)]

  @Test func theSameAnswerIsComplete() {
    let same = compare(exact, exact)
    #expect(same.overlap == 1)
    #expect(same.isComplete)
    #expect(same.rankDistance == 0)
    #expect(same.scoreErrors == [0, 0, 0])
  }

  @Test func aFartherRowIsExtraAndItsPlaceMissing() {
    let other = compare(exact, [(1, 0.1), (3, 0.3), (9, 0.4)], others: [9: 0.4])
    #expect(abs(other.overlap - 2.0 / 3) < 1e-12)
    #expect(other.missing == [.int64(2)])
    #expect(other.extra == [.int64(9)])
    // Among the rows that both have, the order is the same.
    #expect(other.rankDistance == 0)
  }

  @Test func aRowAsFarAsTheLastIsNoError() {
    let tied = compare(exact, [(1, 0.1), (2, 0.2), (9, 0.3)], others: [9: 0.300_005])
    #expect(tied.overlap == 1)
    #expect(tied.isComplete)
    // It is Postgres's distance that decides, not what the engine says.
    let claimed = compare(exact, [(1, 0.1), (2, 0.2), (9, 0.3)], others: [9: 0.31])
    #expect(abs(claimed.overlap - 2.0 / 3) < 1e-12)
    #expect(claimed.extra == [.int64(9)])
    #expect(claimed.missing == [.int64(3)])
  }

  @Test func aRowThatIsNotThereIsExtra() {
    let gone = compare(exact, [(1, 0.1), (2, 0.2), (9, 0.25)])
    #expect(gone.extra == [.int64(9)])
    #expect(gone.missing == [.int64(3)])
    #expect(gone.scoreErrors.count == 2)
  }

  @Test func fewerRowsThanAskedForAreAllThatThereAre() {
    let few = [(Int64(1), 0.1), (2, 0.2)]
    #expect(compare(few, few).overlap == 1)
    // A row as near as the last of them does not meet the condition, or it would be among them.
    #expect(compare(few, [(1, 0.1), (9, 0.2)], others: [9: 0.2]).extra == [.int64(9)])
    #expect(compare([], []).overlap == 1)
    #expect(compare([], [(1, 0.1)]).overlap == 0)
    let short = compare(exact, [(1, 0.1)])
    #expect(abs(short.overlap - 1.0 / 3) < 1e-12)
    #expect(short.missing == [.int64(2), .int64(3)])
  }

  @Test func aRowTwiceCountsOnce() {
    let twice = compare(exact, [(1, 0.1), (1, 0.1), (2, 0.2)])
    #expect(abs(twice.overlap - 2.0 / 3) < 1e-12)
    #expect(twice.extra == [.int64(1)])
    #expect(twice.missing == [.int64(3)])
  }

  @Test func ranksAreThoseOfTheRowsThatBothHave() {
    #expect(abs(compare(exact, [(2, 0.2), (1, 0.1), (3, 0.3)]).rankDistance - 2.0 / 3) < 1e-12)
    #expect(abs(compare(exact, [(3, 0.3), (2, 0.2), (1, 0.1)]).rankDistance - 4.0 / 3) < 1e-12)
    // Rows at one distance have no order.
    let tied: [(Int64, Double)] = [(1, 0.1), (2, 0.2), (3, 0.2)]
    #expect(compare(tied, [(1, 0.1), (3, 0.2), (2, 0.2)]).rankDistance == 0)
    #expect(compare(tied, [(3, 0.2), (1, 0.1), (2, 0.2)]).rankDistance > 0)
  }

  @Test func scoreErrorsAreAgainstPostgresDistances() throws {
    let off = compare(exact, [(1, 0.11), (2, 0.2), (9, 0.5)], others: [9: 0.4])
    #expect(off.scoreErrors.count == 3)
    #expect(abs(try #require(off.scoreErrors.max()) - 0.1) < 1e-9)
    #expect(abs(try #require(off.relativeScoreErrors.max()) - 0.25) < 1e-9)
    // A row that is the question itself has no relative error.
    let itself = compare([(1, 0), (2, 0.5)], [(1, 0.000_1), (2, 0.5)], k: 2)
    #expect(itself.relativeScoreErrors == [0])
  }

  @Test func largeDistancesTieInProportion() {
    let far: [(Int64, Double)] = [(1, 1_000), (2, 2_000)]
    #expect(compare(far, [(1, 1_000), (9, 2_000)], others: [9: 2_000.01], k: 2).isComplete)
    #expect(!compare(far, [(1, 1_000), (9, 2_000)], others: [9: 2_000.1], k: 2).isComplete)
    // Inner products are below zero: the nearest is the least.
    let inner: [(Int64, Double)] = [(1, -5), (2, -4)]
    #expect(compare(inner, [(1, -5), (9, -4)], others: [9: -4.000_01], k: 2).isComplete)
    #expect(!compare(inner, [(1, -5), (9, -3)], others: [9: -3], k: 2).isComplete)
  }

  /// Distances on a coarse grid, so that many tie; the k nearest in some order of the ties are always complete.
  @Test(arguments: testSeeds) func anyOrderOfTiesIsRight(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<200 {
      let all = (0..<Int64.random(in: 1...30, using: &random)).map {
        (id: $0, distance: Double(Int.random(in: 0...6, using: &random)) / 10)
      }
      let k = Int.random(in: 1...12, using: &random)
      func nearest() -> [(Int64, Double)] {
        Array(all.shuffled(using: &random).sorted { $0.distance < $1.distance }.prefix(k)).map { ($0.id, $0.distance) }
      }
      let (exact, answer) = (nearest(), nearest())
      let others = Dictionary(uniqueKeysWithValues: all.map { ($0.id, $0.distance) })
      let found = compare(exact, answer, others: others, k: k)
      #expect(found.overlap == 1 && found.isComplete && found.rankDistance == 0)
      let short = compare(exact, Array(answer.dropLast()), others: others, k: k)
      #expect(short.missing.count == 1 && short.extra.isEmpty)
    }
  }

  /// By sorting, which the search by halves must come to.
  @Test(arguments: testSeeds) func displacementIsThatOfTheFootrule(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<200 {
      let count = Int.random(in: 1...20, using: &random)
      let shuffled = (0..<count).map { Double($0) }.shuffled(using: &random)
      let expected = shuffled.enumerated().reduce(0) { $0 + abs($1.offset - Int($1.element)) }
      #expect(abs(Agreement.meanDisplacement(shuffled) - Double(expected) / Double(count)) < 1e-12)
    }
    #expect(Agreement.meanDisplacement([]) == 0)
  }
}
