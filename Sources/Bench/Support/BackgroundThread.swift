// A thread beside the one that measures.
//
// May use: pthreads.

import Glibc

/// Runs a body beside its maker; where no thread can be had, not at all.
final class BackgroundThread {
  private final class Work: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  private var thread: pthread_t?

  init(_ body: @escaping @Sendable () -> Void) {
    let work = Unmanaged.passRetained(Work(body))
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body()
        return nil
      }, work.toOpaque())
    if status == 0 { self.thread = thread } else { work.release() }
  }

  /// Waits for its end. To be called once.
  func join() {
    if let thread { pthread_join(thread, nil) }
    thread = nil
  }
}
