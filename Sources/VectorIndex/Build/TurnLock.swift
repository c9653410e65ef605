// A lock that goes to those who wait in turn, and that one thread may take and another give back.
//
// May use: pthreads.

import Glibc
import Synchronization

/// Whoever waits gets hold of it in the order in which they came: one who takes it again and again, as the linker does, keeps nobody out.
final class TurnLock: @unchecked Sendable {
  // Proof of Sendable: tickets are touched under the mutex only.

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var nextTicket: UInt64 = 0
  /// The ticket of whoever holds the lock; ``nextTicket`` when nobody does.
  private var turn: UInt64 = 0

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

  func take() {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    let ticket = nextTicket
    nextTicket += 1
    while turn != ticket { pthread_cond_wait(condition, mutex) }
  }

  /// - Precondition: somebody holds it, and has done with what it guards.
  func giveBack() {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    precondition(turn < nextTicket, "a lock that nobody holds cannot be given back")
    turn += 1
    if turn < nextTicket { pthread_cond_broadcast(condition) }
  }
}

/// A hold on a lock for longer than a call, given back by whoever is first to know that it is not needed any more.
final class LockHold: Sendable {
  private let lock: TurnLock
  private let holds = Atomic(true)

  /// Takes the lock.
  init(_ lock: TurnLock) {
    self.lock = lock
    lock.take()
  }

  var isHeld: Bool { holds.load(ordering: .acquiring) }

  /// Gives the lock back, once; later calls do nothing.
  func giveBack() {
    if holds.exchange(false, ordering: .acquiringAndReleasing) { lock.giveBack() }
  }
}
