// Work that is done one piece after the other, on one thread.
//
// May use: Foundation's condition.

import Foundation

/// A list of work.
final class JobQueue: @unchecked Sendable {
  // Proof of Sendable: everything is touched under the condition's lock.

  private let condition = NSCondition()
  private var jobs: [@Sendable () -> Void] = []
  private var hasEnded = false

  func add(_ job: @escaping @Sendable () -> Void) {
    condition.lock()
    defer { condition.unlock() }
    guard !hasEnded else { return }
    jobs.append(job)
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

  private func next() -> (@Sendable () -> Void)? {
    condition.lock()
    defer { condition.unlock() }
    while jobs.isEmpty, !hasEnded { condition.wait() }
    return jobs.isEmpty ? nil : jobs.removeFirst()
  }
}
