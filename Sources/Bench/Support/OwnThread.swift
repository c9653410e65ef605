// Work that blocks, out of the way of Swift's cooperative threads.
//
// May use: Foundation's threads.

import Foundation

/// Runs `body` on a thread of its own and waits for it without blocking.
func onOwnThread<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
  try await withCheckedThrowingContinuation { continuation in
    let thread = Thread { continuation.resume(with: Result { try body() }) }
    thread.stackSize = 8 << 20
    thread.start()
  }
}
