// A thread that links new rows and mends the graph, so that whoever changes rows never waits for either.
//
// May use: HNSWIndex's maintainOnce and linkTail; pthreads.

import Glibc
import Synchronization

/// Keeps an index's graph up with its rows in the background, until it is stopped.
///
/// While it runs, a change costs what writing a row costs; the row is searchable at once, found by a scan of the tail until it is
/// linked. Without one, every change links its row itself.
public final class Maintenance: Sendable {
  private let index: HNSWIndex
  /// Whether it was stopped: then another one may be at work.
  private let isStopped = Atomic<Bool>(false)

  /// - threads: that link when many rows wait, and mend.
  /// - pause: between two looks for rows that linking others has cut off, unless many were linked; longer where that takes long.
  /// - Precondition: no other maintenance of the index runs.
  public init(of index: HNSWIndex, threads: Int = 1, pause: Duration = .seconds(1)) {
    precondition(threads > 0, "at least one thread links")
    self.index = index
    index.maintainer.start { index.maintainOnce(threads: threads, pause: pause) }
  }

  deinit { stop() }

  /// Ends the thread after what it is at. Rows that are not linked then stay in the tail until the next change links them.
  public func stop() {
    if !isStopped.exchange(true, ordering: .acquiringAndReleasing) { index.maintainer.stop() }
  }

  /// Links until every row is linked that was there when this was called.
  public func catchUp() {
    var left = index.tailCount
    // Bit by bit, so that nobody waits long for the links. Others may link some of them meanwhile.
    while left > 0, index.linkTail(atMost: min(left, HNSWIndex.linkedAtOnce), threads: 1) {
      left -= HNSWIndex.linkedAtOnce
    }
  }
}

/// The thread, and what it waits for.
final class Maintainer: @unchecked Sendable {
  // Proof of Sendable: everything is touched under the mutex.

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var thread: pthread_t?
  private var isStopping = false
  private var hasWork = false

  /// What is to be done after a round.
  enum Round {
    case again
    /// Another one when somebody wakes the thread, or after a while.
    case later(Duration)
    /// Another one when somebody wakes the thread.
    case idle
  }

  init() {
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(condition, &attributes)
    pthread_condattr_destroy(&attributes)
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

  /// Runs `round`, and again whenever there is work or it says so.
  func start(_ round: @escaping @Sendable () -> Round) {
    withLock {
      precondition(thread == nil, "an index is maintained by one maintenance at a time")
      isStopping = false
      thread = WorkerThreads.start { while self.waits(after: round()) {} }
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

  /// Waits until it is time for another round.
  /// - Returns: false when there is to be none.
  private func waits(after round: Round) -> Bool {
    withLock {
      switch round {
      case .again: break
      case .idle:
        while !hasWork, !isStopping { pthread_cond_wait(condition, mutex) }
      case .later(let pause):
        var deadline = Self.monotonicTime(in: pause)
        while !hasWork, !isStopping {
          if pthread_cond_timedwait(condition, mutex, &deadline) == ETIMEDOUT { break }
        }
      }
      hasWork = false
      return !isStopping
    }
  }

  private static func monotonicTime(in pause: Duration) -> timespec {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    let (seconds, attoseconds) = pause.components
    let nanoseconds = time.tv_nsec + Int(attoseconds / 1_000_000_000)
    time.tv_sec += Int(seconds) + nanoseconds / 1_000_000_000
    time.tv_nsec = nanoseconds % 1_000_000_000
    return time
  }
}
