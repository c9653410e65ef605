// How far the journal goes that may be applied, and who waits for it to go farther.
//
// May use: Foundation's condition.

import Foundation
import PostgresSource
import VectorSnapshot

/// The end of the committed part of the journal. One thread moves it, any number wait for it.
final class Frontier: @unchecked Sendable {
  // Proof of Sendable: everything is touched under the condition's lock.

  struct Mark: Hashable, Sendable {
    /// Every transaction before it is whole.
    var end: JournalPosition
    /// Every transaction that committed before it stands before ``end``.
    var lsn: LSN
    /// How far Postgres's log is known to go, whether it has come or not.
    var walEnd: LSN
    /// Transactions in the journal up to ``end``, counted from a moment that is the same for all marks.
    var transactions: UInt64 = 0
    /// Which Postgres: its system identifier and timeline.
    var systemIdentifier: UInt64
    var timeline: UInt32

    /// Bytes of the log, as far as it is known to go, from where somebody stands.
    func unapplied(from applied: UInt64) -> UInt64 { walEnd.rawValue > applied ? walEnd.rawValue - applied : 0 }
  }

  private let condition = NSCondition()
  private var state: Mark
  private var isClosed = false

  init(_ mark: Mark) { state = mark }

  var mark: Mark { withLock { state } }

  func advance(_ body: (inout Mark) -> Void) {
    withLock {
      body(&state)
      condition.broadcast()
    }
  }

  /// Wakes everybody, for good.
  func close() {
    withLock {
      isClosed = true
      condition.broadcast()
    }
  }

  /// Wakes everybody once, so that each looks at what else it waits for.
  func nudge() { withLock { condition.broadcast() } }

  /// Returns when the mark is not `seen` any more, when somebody nudges, or after `seconds`.
  func wait(past seen: Mark, seconds: Double) -> Mark {
    withLock {
      if state == seen, !isClosed { _ = condition.wait(until: Date(timeIntervalSinceNow: seconds)) }
      return state
    }
  }

  private func withLock<R>(_ body: () -> R) -> R {
    condition.lock()
    defer { condition.unlock() }
    return body()
  }
}
