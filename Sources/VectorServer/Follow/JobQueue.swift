// Work that is done one piece after the other, on one thread.
//
// May use: Foundation's condition.

import Foundation

/// A list of work.
final class JobQueue: @unchecked Sendable {
  // Proof of Sendable: everything is touched under the condition's lock.

  private struct Job {
    /// Not before.
    var due: ContinuousClock.Instant
    var body: @Sendable () -> Void
  }

  private let condition = NSCondition()
  private var jobs: [Job] = []
  private var hasEnded = false

  /// - seconds: for how long it is not begun; others have their turn meanwhile.
  func add(after seconds: Double = 0, _ job: @escaping @Sendable () -> Void) {
    condition.lock()
    defer { condition.unlock() }
    guard !hasEnded else { return }
    jobs.append(Job(due: ContinuousClock.now + .seconds(seconds), body: job))
    condition.signal()
  }

  /// What waits is dropped; what runs ends by itself.
  func end() {
    condition.lock()
    defer { condition.unlock() }
    hasEnded = true
    jobs = []
    condition.signal()
  }

  /// The thread's whole life.
  func run() {
    while let job = next() { job() }
  }

  /// Of those that are due, the one that was added first.
  private func next() -> (@Sendable () -> Void)? {
    condition.lock()
    defer { condition.unlock() }
    while !hasEnded {
      let now = ContinuousClock.now
      if let index = jobs.firstIndex(where: { $0.due <= now }) { return jobs.remove(at: index).body }
      guard let due = jobs.map(\.due).min() else {
        condition.wait()
        continue
      }
      // The condition waits by a clock that may be set: so not for long at once.
      _ = condition.wait(until: Date(timeIntervalSinceNow: min((due - now) / .seconds(1), 1)))
    }
    return nil
  }
}
