// How much memory the processes of a Postgres take, seen from outside.
//
// May use: ProcessFacts, SystemFile, PostgresSource's connection, VectorIndex's threads.

import Foundation
import PostgresSource
import Synchronization
import VectorIndex

/// Looks at the processes of a server now and then.
final class ServerMemory: Sendable {
  /// What was looked at, in words.
  static let meaning =
    "the most by which the own memory of all its processes and the shared memory that the building one had touched grew "
    + "beyond what they were before the build"

  private let server: Int32
  /// The process that builds. Shared memory is looked at through it alone: another may have touched all of `shared_buffers` before, and
  /// behind that the graph of a parallel build, which is shared memory, too, could not be seen.
  private let builder: Int32
  private let most = Atomic<Int>(0)
  private let ends = Atomic<Bool>(false)

  /// - connection: to the server, the one that builds; nil comes back where its processes cannot be seen from here.
  init?(of connection: Connection) {
    guard connection.isLocal, let own = ProcessFacts.status(of: connection.serverProcessID),
      // In another namespace the number is another process's.
      own.name.hasPrefix("postgres"), let parent = ProcessFacts.status(of: own.parent),
      parent.name.hasPrefix("postgres"), ProcessFacts.memory(of: connection.serverProcessID) != nil
    else { return nil }
    server = own.parent
    builder = connection.serverProcessID
  }

  /// - server: the process whose children all others are.
  init(server: Int32, builder: Int32) {
    self.server = server
    self.builder = builder
  }

  /// Runs something while it looks ten times a second.
  /// - Returns: what the body returns, and by how much the largest sum that was seen is above the one before.
  func growth<Value>(during body: () throws -> Value) rethrows -> (value: Value, bytes: Int) {
    let before = look()
    most.store(before, ordering: .relaxed)
    ends.store(false, ordering: .relaxed)
    let watcher = BackgroundThread {
      while !self.ends.load(ordering: .relaxed) {
        self.most.max(self.look(), ordering: .relaxed)
        usleep(100_000)
      }
    }
    defer {
      ends.store(true, ordering: .relaxed)
      watcher.join()
    }
    let value = try body()
    most.max(look(), ordering: .relaxed)
    return (value, most.load(ordering: .relaxed) - before)
  }

  private func look() -> Int {
    let own = ([server] + children()).compactMap { ProcessFacts.memory(of: $0)?.anonymousBytes }
    return own.reduce(0, +) + (ProcessFacts.memory(of: builder)?.sharedBytes ?? 0)
  }

  private func children() -> [Int32] {
    // One file in the place of all of /proc, which is not to be searched ten times a second beside what is timed; not every kernel has it.
    let listed = SystemFile.text("/proc/\(server)/task/\(server)/children").map { Self.processes(in: $0) } ?? []
    return listed.isEmpty ? ProcessFacts.children(of: server) : listed
  }

  /// The numbers of processes, with blanks between them.
  static func processes(in text: String) -> [Int32] {
    text.split(whereSeparator: \.isWhitespace).compactMap { Int32($0) }
  }
}
