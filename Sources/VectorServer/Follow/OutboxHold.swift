// Keeps the outbox's lines from being deleted while somebody looks for which rows have changed.
//
// May use: the standard library's mutex.

import Synchronization

/// Counts those who look.
final class OutboxHold: Sendable {
  private let holders = Atomic<Int>(0)

  var isHeld: Bool { holders.load(ordering: .sequentiallyConsistent) > 0 }

  func hold() { holders.add(1, ordering: .sequentiallyConsistent) }
  func release() { holders.subtract(1, ordering: .sequentiallyConsistent) }
}
