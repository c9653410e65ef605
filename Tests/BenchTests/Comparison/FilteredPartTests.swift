// Filters of a known selectivity, and how answers with a filter are judged.

import Testing
import VectorIndex

@testable import Bench

struct FilteredPartTests {
  @Test func aShareOfTheRowsIsExactlyThat() {
    let shares = Selectivity.shares(rows: 2_000, seed: 3)
    for share in [0.001, 0.01, 0.1, 0.5, 0.9, 1] {
      #expect(shares.count { Selectivity.matches($0, share) } == Int((2_000 * share).rounded()))
    }
    #expect(shares == Selectivity.shares(rows: 2_000, seed: 3))
    #expect(shares != Selectivity.shares(rows: 2_000, seed: 4))
    #expect(Selectivity.condition(0.001) == "share < 0.001")
    // A number that Swift would write with an exponent is a literal of SQL, too.
    #expect(Selectivity.condition(0.00001) == "share < 1e-05")
  }

  @Test func answersAreJudgedAmongTheRowsThatMatch() throws {
    // Rows on a line; of eight, the even ones match.
    let base = VectorFile(count: 8, dimension: 1, values: (0..<8).map { Float($0) })
    let shares = (0..<8).map { $0 % 2 == 0 ? 0.25 : 0.75 }
    let queries = VectorFile(count: 2, dimension: 1, values: [0, 7])
    let truth = try Truth(
      base: base, rows: [0, 2, 4, 6], queries: queries, metric: .l2, k: 3, threads: 1)
    func judge(_ first: [Int64], _ second: [Int64]) -> FilteredPart.Judged {
      FilteredPart.judge([(0, first), (1, second)], truth, shares: shares, below: 0.5)
    }
    let right = judge([0, 2, 4], [6, 4, 2])
    #expect((right.recall, right.short, right.outside) == (1, 0, 0))
    // One is missing; one is of the filter, but not near.
    let short = judge([0, 2], [6, 4, 0])
    #expect((short.recall, short.short, short.outside) == (4.0 / 6, 1, 0))
    // Rows that break the filter, that came twice, and that do not exist.
    let wrong = judge([0, 1, 2], [6, 6, 99])
    #expect((wrong.recall, wrong.short, wrong.outside) == (3.0 / 6, 1, 2))
  }

  @Test func failedSearchesAreTold() {
    var tally = PointTally()
    tally.add(ClosedLoop.Outcome())
    #expect(FilteredPart.errorNote(of: tally, id: "x", detail: "ef=40", share: 0.1) == nil)
    var outcome = ClosedLoop.Outcome()
    (outcome.errors, outcome.firstError) = (2, "no room")
    tally.add(outcome)
    outcome.firstError = "still no room"
    tally.add(outcome)
    #expect(
      FilteredPart.errorNote(of: tally, id: "x", detail: "ef=40", share: 0.1)
        == "Where a share of 0.1 matches, 4 timed searches of x (ef=40) failed; the first time it said: no room")
  }
}
