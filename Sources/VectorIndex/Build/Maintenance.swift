// A thread that links new rows and mends the graph, so that whoever changes rows never waits for either.
//
// May use: HNSWIndex's linkTail and consolidate; pthreads.

import Glibc
import Synchronization

/// Keeps an index's graph up with its rows in the background, until it is stopped.
///
/// While it runs, a change costs what writing a row costs; the row is searchable at once, found by a scan of the tail until it is
/// linked. Without one, every change links its row itself.
public final class Maintenance: Sendable {
  private let index: HNSWIndex

  /// - threads: that link when many rows wait.
  /// - Precondition: no other maintenance of the index runs.
  public init(of index: HNSWIndex, threads: Int = 1) {
    precondition(threads > 0, "at least one thread links")
    self.index = index
    index.maintainer.start { index.maintainOnce(threads: threads) }
  }

  deinit { stop() }

  /// Ends the thread after what it is at. Rows that are not linked then stay in the tail until the next change links them.
  public func stop() { index.maintainer.stop() }

  /// Waits until every row is linked that was there when this was called.
  public func catchUp() { index.withLinks { index.linkTail(threads: 1, &$0) } }
}

/// The thread, and what it waits for.
final class Maintainer: @unchecked Sendable {
  // Proof of Sendable: everything is touched under the mutex.

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var thread: pthread_t?
  private var isStopping = false
  private var hasWork = false

  init() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  private func withLock<R>(_ body: () -> R) -> R {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return body()
  }

  /// Runs `round` whenever there is work, again and again while it says that there may be more.
  func start(_ round: @escaping @Sendable () -> Bool) {
    withLock {
      precondition(thread == nil, "an index is maintained by one maintenance at a time")
      isStopping = false
      hasWork = true
      thread = WorkerThreads.start { while self.wait() { while round(), !self.shouldStop {} } }
    }
  }

  func stop() {
    let ended = withLock {
      isStopping = true
      pthread_cond_signal(condition)
      defer { thread = nil }
      return thread
    }
    if let ended { pthread_join(ended, nil) }
  }

  /// - Returns: whether there is somebody to wake.
  func wake() -> Bool {
    withLock {
      guard thread != nil else { return false }
      hasWork = true
      pthread_cond_signal(condition)
      return true
    }
  }

  private var shouldStop: Bool { withLock { isStopping } }

  /// Waits for work; false when there will be none.
  private func wait() -> Bool {
    withLock {
      while !hasWork, !isStopping { pthread_cond_wait(condition, mutex) }
      hasWork = false
      return !isStopping
    }
  }
}
