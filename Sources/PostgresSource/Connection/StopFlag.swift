// One flag that ends the work of several threads.
//
// May use: Synchronization.

internal import Synchronization

/// Raised once, by a cancelling caller or a failing worker; looked at between chunks and at least every 100 ms.
package final class StopFlag: Sendable {
  private let raised = Atomic(false)

  package init() {}

  /// Pairs with the load in `isRaised`. Relaxed: the flag carries no data with it.
  package func raise() { raised.store(true, ordering: .relaxed) }
  package var isRaised: Bool { raised.load(ordering: .relaxed) }
}
