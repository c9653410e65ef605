// The threads that search.
//
// May use: SearchQueue, RequestRunner, NIOPosix's thread pool.

import NIOPosix

/// A fixed set of threads, each with its own working memory, fed by one queue.
final class SearchThreads: Sendable {
  private let count: Int
  private let queue: SearchQueue
  private let pool: NIOThreadPool

  /// Starts the threads.
  init(count: Int, queue: SearchQueue, makeRunner: @escaping @Sendable () -> RequestRunner) {
    self.count = count
    self.queue = queue
    pool = NIOThreadPool(numberOfThreads: count)
    pool.start()
    // As many loops as threads, and no loop ends before the queue is closed: each has a thread of its own.
    for _ in 0..<count {
      pool.submit { state in
        guard state == .active else { return }
        var runner = makeRunner()
        while let task = queue.pop() {
          if case .reply(let frame) = runner.answer(task) { task.outbox.deliver(frame, for: task) }
          queue.finish()
        }
      }
    }
  }

  /// Ends the threads after the requests that they are at.
  func stop() async {
    queue.close(threads: count)
    // Fails only for a pool that was never started or is the process's own.
    try? await pool.shutdownGracefully()
  }
}
