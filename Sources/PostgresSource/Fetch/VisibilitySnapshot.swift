// Which transactions a statement saw. A stream delivers a transaction before other sessions see it, so a row that is fetched on the strength of
// the stream may still be the old one: the snapshot tells.
//
// May use: nothing but the standard library.

/// What `pg_current_snapshot()` says.
package struct VisibilitySnapshot: Hashable, Sendable {
  /// All transactions before it have ended.
  package var xmin: UInt64
  /// No transaction from it on had begun to be seen.
  package var xmax: UInt64
  /// Those between that were still running.
  package var running: Set<UInt64>

  package init(xmin: UInt64, xmax: UInt64, running: Set<UInt64>) {
    self.xmin = xmin
    self.xmax = xmax
    self.running = running
  }

  /// Reads Postgres's form, `xmin:xmax:running,running`.
  package init?(_ text: String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 3, let xmin = UInt64(parts[0]), let xmax = UInt64(parts[1]), xmin <= xmax else { return nil }
    var running = Set<UInt64>()
    for part in parts[2].split(separator: ",") {
      guard let id = UInt64(part) else { return nil }
      running.insert(id)
    }
    self.init(xmin: xmin, xmax: xmax, running: running)
  }

  /// Whether the statement saw what the transaction did, which the stream says has committed.
  ///
  /// The stream leaves out the epoch, the upper half of the id. No two transactions that matter at a time are 2³¹ ids apart, or Postgres
  /// itself could not tell them apart: so it is the epoch that puts the id nearest to the snapshot's end.
  package func isVisible(_ transactionID: UInt32) -> Bool {
    let half: UInt64 = 1 << 31
    var id = xmax & ~0xFFFF_FFFF | UInt64(transactionID)
    if id > xmax, id - xmax > half, id >= half * 2 {
      id -= half * 2
    } else if id < xmax, xmax - id > half {
      id += half * 2
    }
    return id < xmin || id < xmax && !running.contains(id)
  }
}
