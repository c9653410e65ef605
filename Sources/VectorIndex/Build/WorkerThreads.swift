// Plain threads for work that keeps a core busy: Swift's cooperative pool is for work that waits.
//
// May use: pthreads.

import Glibc
import Synchronization

/// Runs a body on several threads at once and returns when all are done.
package enum WorkerThreads {
  private final class Work: Sendable {
    let index: Int
    let body: @Sendable (Int) -> Void
    init(index: Int, body: @escaping @Sendable (Int) -> Void) {
      self.index = index
      self.body = body
    }
  }

  /// - count: threads, this one included; 1 runs the body here.
  /// - body: given the number of its thread. Must not throw; where a thread cannot be had, its share runs here.
  package static func run(count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    var threads: [pthread_t] = []
    var here: [Int] = [0]
    for index in 1..<max(count, 1) {
      let work = Unmanaged.passRetained(Work(index: index, body: body))
      var thread = pthread_t()
      let status = pthread_create(
        &thread, nil,
        { argument in
          guard let argument else { return nil }
          let work = Unmanaged<Work>.fromOpaque(argument).takeRetainedValue()
          work.body(work.index)
          return nil
        }, work.toOpaque())
      if status == 0 {
        threads.append(thread)
      } else {
        work.release()
        here.append(index)
      }
    }
    for index in here { body(index) }
    for thread in threads { pthread_join(thread, nil) }
  }

  /// Starts a thread of its own, to be joined; nil where it cannot be had.
  static func start(_ body: @escaping @Sendable () -> Void) -> pthread_t? {
    let work = Unmanaged.passRetained(Work(index: 0) { _ in body() })
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        let work = Unmanaged<Work>.fromOpaque(argument).takeRetainedValue()
        work.body(work.index)
        return nil
      }, work.toOpaque())
    if status == 0 { return thread }
    work.release()
    return nil
  }

  private final class Counter: Sendable {
    let next = Atomic<Int>(0)
  }

  /// Runs a body once for each of `items` numbers, on several threads; each takes the next number when it is done with one.
  package static func distribute(_ items: Int, threads: Int, _ body: @escaping @Sendable (Int) -> Void) {
    let counter = Counter()
    run(count: min(threads, items)) { _ in
      while true {
        let item = counter.next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard item < items else { return }
        body(item)
      }
    }
  }

  /// The cores that this process may run on.
  package static var coreCount: Int { max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }
}

/// A value that several threads change, one at a time.
package final class Shared<Value: Sendable>: Sendable {
  private let value: Mutex<Value>
  package init(_ value: Value) { self.value = Mutex(value) }
  package func withLock<R: Sendable>(_ body: (inout Value) -> R) -> R { value.withLock { body(&$0) } }
}
