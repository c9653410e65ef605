// Which of the sums that differ are looked at row by row, and how many of them at once: a table that was rewritten differs in all of them, and is
// not to be held in memory for that.
//
// May use: PostgresSource's sums.

import PostgresSource

/// The sums that differ, in groups whose rows are held in memory together.
struct SuspectGroups {
  /// Ids and hashes of about so many rows are held at once.
  static let rowsMax = 100_000

  /// The numbers of the sums that are looked at.
  private(set) var groups: [[Int]] = []
  /// Rows in those that are not.
  private(set) var rowsLeftOut = 0

  /// - theirs, ours: of which `different` are not the same on both sides.
  /// - all: whether every row is needed, to be mended. Otherwise those of one sum do, where all are too many for one group: that there is a
  ///   difference is known, and some rows have names then.
  init(
    _ different: [Int], _ theirs: [BucketSum], _ ours: [BucketSum], all: Bool, rowsMax: Int = SuspectGroups.rowsMax
  ) {
    func rows(_ bucket: Int) -> Int { max(theirs[bucket].count, ours[bucket].count) }
    var count = 0
    for bucket in different {
      if groups.isEmpty || count + rows(bucket) > rowsMax {
        groups.append([])
        count = 0
      }
      groups[groups.count - 1].append(bucket)
      count += rows(bucket)
    }
    guard !all, groups.count > 1, let first = different.first else { return }
    groups = [[first]]
    rowsLeftOut = different.dropFirst().reduce(0) { $0 + rows($1) }
  }
}
