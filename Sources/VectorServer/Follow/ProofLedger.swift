// The sums that prove an index equal to its table, kept in step with every change, and able to say what they were a little while ago.
//
// May use: PostgresSource's sums.

import PostgresSource

/// The bucket sums of one collection (docs/PROOF.md), as of its last applied transaction and of some before it.
struct ProofLedger {
  /// What one row's change does to its bucket.
  struct Delta {
    var bucket: Int
    var old: UInt64?
    var new: UInt64?
  }

  /// What was applied in one step: the transactions whose commits lie in `first ... last`.
  private struct Step {
    var first: LSN
    var last: LSN
    var deltas: [Delta]
  }

  private(set) var buckets: [BucketSum]
  private var steps: [Step] = []
  private var deltaCount = 0
  /// Everything from here on can be undone.
  private var horizon: LSN
  /// About 4 MiB.
  private static let deltasMax = 100_000

  /// - lsn: every transaction that committed before it is in the sums, and none after.
  init(buckets: [BucketSum], at lsn: LSN) {
    self.buckets = buckets
    horizon = lsn
  }

  mutating func apply(_ deltas: [Delta], first: LSN, last: LSN) {
    // A step that changes no sum is nothing to undo, and nothing would ever drop it: of such there may be any number.
    guard !deltas.isEmpty else { return }
    for delta in deltas { Self.apply(delta, to: &buckets) }
    steps.append(Step(first: first, last: last, deltas: deltas))
    deltaCount += deltas.count
    var dropped = 0
    while deltaCount > Self.deltasMax, dropped < steps.count {
      deltaCount -= steps[dropped].deltas.count
      horizon = steps[dropped].last
      dropped += 1
    }
    // What is older than the horizon is only in the sums.
    steps.removeFirst(dropped)
  }

  /// Rows were mended outside of any transaction: what was before cannot be told any more.
  mutating func reconcile(_ deltas: [Delta], at lsn: LSN) {
    for delta in deltas { Self.apply(delta, to: &buckets) }
    steps = []
    deltaCount = 0
    horizon = lsn
  }

  /// All rows went; nothing before that can be told any more.
  mutating func reset(at last: LSN) {
    buckets = Array(repeating: BucketSum(), count: buckets.count)
    steps = []
    deltaCount = 0
    horizon = last
  }

  /// The sums when exactly the transactions with commits below `lsn` were applied.
  /// - Returns: nil where they cannot be told: too long ago, or within what was applied in one step.
  func buckets(before lsn: LSN) -> [BucketSum]? {
    guard lsn > horizon else { return nil }
    var result = buckets
    for step in steps.reversed() {
      if step.last < lsn { break }
      guard step.first >= lsn else { return nil }
      for delta in step.deltas.reversed() {
        Self.apply(Delta(bucket: delta.bucket, old: delta.new, new: delta.old), to: &result)
      }
    }
    return result
  }

  private static func apply(_ delta: Delta, to buckets: inout [BucketSum]) {
    if let old = delta.old { buckets[delta.bucket].remove(old) }
    if let new = delta.new { buckets[delta.bucket].add(new) }
  }
}
