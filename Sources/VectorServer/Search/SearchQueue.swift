// Requests that wait for a search thread.
//
// May use: SearchTask, Dispatch's semaphore.

import Dispatch
import NIOCore
import Synchronization

/// A bounded first-in, first-out queue between event loops and search threads.
final class SearchQueue: Sendable {
  private struct State {
    var tasks = CircularBuffer<SearchTask>(initialCapacity: 64)
    var isClosed = false
  }

  private let tasksMax: Int
  private let state = Mutex(State())
  /// Counts the tasks, and at the end the threads that are to leave.
  private let available = DispatchSemaphore(value: 0)

  /// Tasks that were taken and are not done. Only a hint to others, so relaxed will do.
  private let outstanding = Atomic<Int>(0)

  init(tasksMax: Int) { self.tasksMax = tasksMax }

  /// Whether no task waits or is being worked at.
  var isIdle: Bool { outstanding.load(ordering: .relaxed) == 0 }

  /// A task that was popped is done.
  func finish() { outstanding.subtract(1, ordering: .relaxed) }

  /// Takes as many tasks as there is room for, in order, under one lock.
  /// - Returns: how many were taken.
  func push(_ tasks: [SearchTask]) -> Int {
    let taken = state.withLock { state in
      let taken = state.isClosed ? 0 : min(tasks.count, tasksMax - state.tasks.count)
      for task in tasks[..<taken] { state.tasks.append(task) }
      return taken
    }
    outstanding.add(taken, ordering: .relaxed)
    for _ in 0..<taken { available.signal() }
    return taken
  }

  /// Waits for a task; nil when the queue is closed.
  func pop() -> SearchTask? {
    available.wait()
    return state.withLock { state in state.isClosed ? nil : state.tasks.popFirst() }
  }

  /// Sends `threads` waiting threads home. What still waits is dropped.
  func close(threads: Int) {
    state.withLock { state in
      state.isClosed = true
      state.tasks.removeAll()
    }
    for _ in 0..<threads { available.signal() }
  }
}
