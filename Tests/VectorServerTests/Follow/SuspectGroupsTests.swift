// Which sums are looked at row by row, where many differ.

import Testing

@testable import PostgresSource
@testable import VectorServer

@Suite struct SuspectGroupsTests {
  private func sums(_ counts: Int...) -> [BucketSum] {
    counts.map { count in
      var sum = BucketSum()
      for row in 0..<UInt64(count) { sum.add(row) }
      return sum
    }
  }

  @Test func whatFitsIsLookedAtAtOnce() {
    let groups = SuspectGroups([0, 2, 3], sums(10, 99, 20, 0), sums(11, 99, 19, 5), all: false, rowsMax: 36)
    #expect(groups.groups == [[0, 2, 3]])
    #expect(groups.rowsLeftOut == 0)
  }

  @Test func whatIsToBeMendedIsLookedAtInGroups() {
    let groups = SuspectGroups([0, 1, 2, 3], sums(10, 50, 20, 5), sums(0, 0, 0, 0), all: true, rowsMax: 25)
    #expect(groups.groups == [[0], [1], [2, 3]], "one that is too large alone is a group of its own")
    #expect(groups.rowsLeftOut == 0)
  }

  @Test func whereNothingIsMendedOneSumIsEnough() {
    let groups = SuspectGroups([1, 2, 3], sums(9, 10, 20, 5), sums(9, 0, 30, 0), all: false, rowsMax: 25)
    #expect(groups.groups == [[1]])
    #expect(groups.rowsLeftOut == 35)
  }

  @Test func nothingDiffers() { #expect(SuspectGroups([], [], [], all: true).groups == []) }
}
