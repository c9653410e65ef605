// Plain blocking threads for work that fills the cores for a while and then is over.
//
// Not Swift concurrency: its few threads serve everything else in the process and must not be blocked by file reads.
//
// May use: Glibc.

import Glibc

enum WorkerThreads {
  /// Runs `body` on `count` threads at once, the caller's among them, and returns when all have returned.
  ///
  /// When the system refuses a thread, fewer run: `body` must take its share from a common counter.
  /// - Precondition: `count` is at least 1.
  static func run(_ count: Int, _ body: @escaping @Sendable () -> Void) {
    precondition(count >= 1)
    var threads: [pthread_t] = []
    for _ in 1..<count {
      let box = Unmanaged.passRetained(Body(run: body))
      var thread = pthread_t()
      let status = pthread_create(
        &thread, nil,
        { argument in
          // The argument is the box that was retained for this thread alone.
          if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
          return nil
        }, box.toOpaque())
      guard status == 0 else {
        box.release()
        break
      }
      threads.append(thread)
    }
    body()
    for thread in threads { pthread_join(thread, nil) }
  }

  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(run: @escaping @Sendable () -> Void) { self.run = run }
  }
}
