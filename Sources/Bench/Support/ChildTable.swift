// The processes that this program has started and that run: for a signal handler, which may neither lock nor allocate.
//
// May use: atomics and kill. Unsafe, because no array holds atomics: the cells are allocated once, and all of them are initialized until
// the end.

import Glibc
import Synchronization

/// A fixed number of process ids. Any thread may use it, and so may a signal handler.
final class ChildTable: Sendable {
  /// More than a run ever has at once; what does not fit is not ended by a handler.
  private static let capacity = 64
  private static let free: Int32 = 0

  nonisolated(unsafe) private let cells: UnsafeMutablePointer<Atomic<Int32>>

  init() {
    cells = .allocate(capacity: Self.capacity)
    for i in 0..<Self.capacity { (cells + i).initialize(to: Atomic(Self.free)) }
  }

  deinit {
    cells.deinitialize(count: Self.capacity)
    cells.deallocate()
  }

  /// - process: the first of a process group of its own.
  func add(_ process: Int32) {
    for i in 0..<Self.capacity where replace(i, Self.free, by: process) { return }
  }

  /// To be called once a process has been waited for: its number may then become another's.
  func remove(_ process: Int32) {
    for i in 0..<Self.capacity where replace(i, process, by: Self.free) { return }
  }

  /// Ends all of them, and what they have started, at once.
  func killAll() {
    for i in 0..<Self.capacity {
      let process = cells[i].load(ordering: .acquiring)
      if process != Self.free { kill(-process, SIGKILL) }
    }
  }

  private func replace(_ cell: Int, _ old: Int32, by new: Int32) -> Bool {
    cells[cell].compareExchange(expected: old, desired: new, ordering: .acquiringAndReleasing).exchanged
  }
}
