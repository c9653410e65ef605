// A thread for work that blocks, and that somebody waits for in the end.
//
// May use: Foundation's threads.

import Dispatch
import Foundation

/// A running thread.
final class WorkerThread: Sendable {
  private let ended = DispatchSemaphore(value: 0)

  init(_ name: String, _ body: @escaping @Sendable () -> Void) {
    let ended = ended
    let thread = Thread {
      body()
      ended.signal()
    }
    thread.name = name
    thread.stackSize = 8 << 20
    thread.start()
  }

  /// Returns when its body has; any number of times.
  func join() {
    ended.wait()
    ended.signal()
  }
}
