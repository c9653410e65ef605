// Lets threads through in the order of their tickets, so that parallel work has a deterministic result.
//
// May use: Glibc. `Synchronization.Mutex` cannot be waited on, hence the POSIX condition.

import Glibc

/// A state that threads change one after the other, in the order of their tickets 0, 1, 2, …
///
/// `@unchecked Sendable`: `state` and `next` are touched only while `mutex` is held.
final class Turnstile<State>: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var state: State
  private var next = 0

  init(_ state: sending State) {
    self.state = state
    mutex.initialize(to: pthread_mutex_t())
    condition.initialize(to: pthread_cond_t())
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  /// Waits until all lower tickets have passed, then changes the state.
  /// - Precondition: every ticket passes exactly once; one that never comes blocks all after it.
  func pass<Result>(ticket: Int, _ body: (inout State) -> Result) -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while next != ticket { pthread_cond_wait(condition, mutex) }
    defer {
      next += 1
      pthread_cond_broadcast(condition)
    }
    return body(&state)
  }

  /// The state as it stands, when all threads are done.
  func finish() -> State {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return state
  }
}
