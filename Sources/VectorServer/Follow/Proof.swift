// What a comparison with Postgres found.
//
// May use: VectorIndex's ids.

import VectorIndex

/// The result of comparing a collection with its table at one place in the log.
public struct Proof: Sendable {
  public var collection: String
  /// Both sides had applied exactly what committed before it.
  public var lsn: String
  /// Rows that both have, or only one.
  public var rows: Int
  /// Rows of the table that no index has, since their vector is NULL, or zero under cosine.
  public var nullVectors: Int
  public var zeroVectors: Int
  /// Of 4,096.
  public var differentBuckets: Int
  /// Rows that differ, are missing, or should not be there: still so when they were looked at a second time. At most ``namedMax`` are named.
  public var differentRows: Int
  public var named: [String]
  /// Rows that were read anew and applied.
  public var repairedRows: Int
  /// Attributes that are not compared (docs/PROOF.md).
  public var notCompared: [String]
  public var seconds: Double
  /// Rows of sums that differ which nobody looked at, since they are too many: some of them differ, too.
  public var rowsNotLookedAt = 0
  /// Why rows that were read anew are not on disk; nil: they are, or there were none.
  public var unsaved: String?

  public static let namedMax = 100

  public var isEqual: Bool { differentBuckets == 0 }

  /// Adds rows that differ.
  mutating func add(_ rows: [RecordID]) {
    differentRows += rows.count
    named += rows.prefix(max(0, Self.namedMax - named.count)).map(\.description)
  }

  /// Follows words about the rows that differ.
  var beyondText: String {
    rowsNotLookedAt > 0 ? " (of those looked at: \(rowsNotLookedAt) more are in sums that differ)" : ""
  }
}
