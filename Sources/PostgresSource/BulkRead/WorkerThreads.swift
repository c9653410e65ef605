// Threads for blocking work: start some, watch other things while they run, and come back when all have ended.
//
// May use: pthread, poll(2). Unsafe, because a thread's argument is a C pointer.

internal import Synchronization

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

enum WorkerThreads {
  /// What a thread gets, and what all of a group share.
  private final class Group: Sendable {
    let body: @Sendable () throws -> Void
    let stop: StopFlag
    /// The pipe's end that the last thread closes.
    let doneDescriptor: Int32
    let running: Atomic<Int>
    let failure = Mutex<(any Error)?>(nil)

    init(count: Int, stop: StopFlag, doneDescriptor: Int32, body: @escaping @Sendable () throws -> Void) {
      running = Atomic(count)
      self.stop = stop
      self.doneDescriptor = doneDescriptor
      self.body = body
    }

    func run() {
      do { try body() } catch { fail(error) }
      leave(1)
    }

    /// The first failure is the cause; those that it brings about in the other threads are not.
    func fail(_ error: any Error) {
      failure.withLock { if $0 == nil { $0 = error } }
      stop.raise()
    }

    func leave(_ count: Int) {
      if running.subtract(count, ordering: .acquiringAndReleasing).newValue == 0 { close(doneDescriptor) }
    }
  }

  /// Runs `body` on `count` threads and returns when all have ended.
  ///
  /// - `watched`: descriptors; when one of them becomes readable, `check` is called on the calling thread.
  /// - Throws: the first error that a thread or `check` has thrown; `stop` is raised at that moment, so that the other
  ///   threads end too.
  static func run(
    _ count: Int, stop: StopFlag, watched: [Int32], check: () throws -> Void,
    body: @escaping @Sendable () throws -> Void
  ) throws {
    var pipeEnds: [Int32] = [-1, -1]
    guard pipe(&pipeEnds) == 0 else {
      throw SourceError(.systemResources, "The system refuses a pipe: the process has too many files open.")
    }
    for end in pipeEnds { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    defer { close(pipeEnds[0]) }
    let group = Group(count: count, stop: stop, doneDescriptor: pipeEnds[1], body: body)

    var threads: [pthread_t] = []
    for _ in 0..<count {
      var thread = pthread_t()
      // The thread takes over this retain.
      let argument = Unmanaged.passRetained(group)
      let status = pthread_create(
        &thread, nil,
        { pointer in
          // A thread's argument is the pointer given above: never null.
          if let pointer { Unmanaged<Group>.fromOpaque(pointer).takeRetainedValue().run() }
          return nil
        }, argument.toOpaque())
      if status != 0 {
        argument.release()
        group.fail(SourceError(.systemResources, "The system refuses a thread: use fewer workers."))
        group.leave(count - threads.count)
        break
      }
      threads.append(thread)
    }

    var descriptors = [pollfd(fd: pipeEnds[0], events: Int16(POLLIN), revents: 0)]
    descriptors += watched.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    while true {
      guard poll(&descriptors, nfds_t(descriptors.count), -1) > 0 else { continue }
      // The pipe hangs up when the last thread has closed it.
      if descriptors[0].revents != 0 { break }
      do { try check() } catch {
        group.fail(error)
        descriptors.removeLast(descriptors.count - 1)
      }
    }
    for thread in threads { pthread_join(thread, nil) }
    if let error = group.failure.withLock({ $0 }) { throw error }
  }
}
