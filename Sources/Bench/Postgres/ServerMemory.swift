// How much memory the processes of a Postgres take, seen from outside.
//
// May use: ProcessFacts, PostgresSource's connection, VectorIndex's threads.

import Foundation
import PostgresSource
import Synchronization
import VectorIndex

/// Looks at the processes of a server now and then.
final class ServerMemory: Sendable {
  /// What was looked at, in words.
  static let meaning =
    "the largest sum of its processes' own memory, and the largest part of shared memory that one of them had touched"

  private let server: Int32
  private let most = Atomic<Int>(0)
  private let ends = Atomic<Bool>(false)

  /// - connection: to the server; nil comes back where its processes cannot be seen from here.
  init?(of connection: Connection) {
    guard connection.isLocal, let own = ProcessFacts.status(of: connection.serverProcessID),
      // In another namespace the number is another process's.
      own.name.hasPrefix("postgres"), let parent = ProcessFacts.status(of: own.parent),
      parent.name.hasPrefix("postgres"), ProcessFacts.memory(of: connection.serverProcessID) != nil
    else { return nil }
    server = own.parent
  }

  /// Runs something while it looks ten times a second.
  /// - Returns: what the body returns, and the most that was seen.
  func peak<Value>(during body: () throws -> Value) rethrows -> (value: Value, bytes: Int) {
    most.store(0, ordering: .relaxed)
    ends.store(false, ordering: .relaxed)
    look()
    let watcher = BackgroundThread {
      while !self.ends.load(ordering: .relaxed) {
        self.look()
        usleep(100_000)
      }
    }
    defer {
      ends.store(true, ordering: .relaxed)
      watcher.join()
    }
    let value = try body()
    look()
    return (value, most.load(ordering: .relaxed))
  }

  private func look() {
    let all = ([server] + ProcessFacts.children(of: server)).compactMap { ProcessFacts.memory(of: $0) }
    let bytes = all.reduce(0) { $0 + $1.anonymousBytes } + (all.map(\.sharedBytes).max() ?? 0)
    most.max(bytes, ordering: .relaxed)
  }
}
