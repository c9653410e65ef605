// What others want of a follower: it is done on its thread, between two steps, where no change can come in between.
//
// May use: CollectionFollower, JournalApplier.

import Dispatch
import Foundation
import PostgresSource
import Synchronization
import VectorIndex
import VectorSnapshot
import VectorWire

extension CollectionFollower {
  /// Does something on the follower's thread, between two steps. Blocks.
  ///
  /// - isCancelled: asked now and then, with whether it has begun. What has is done, and nobody learns what came of it; what has not is not,
  ///   and what `body` holds is let go of.
  /// - Throws: what `body` and `isCancelled` throw; `notFollowed` when the thread has ended; `cancelled`.
  private func perform<R: Sendable>(
    unless isCancelled: (_ hasBegun: Bool) throws -> Bool,
    _ body: @escaping @Sendable (inout JournalApplier) throws -> R
  ) throws -> R {
    let done = DispatchSemaphore(value: 0)
    let result = Mutex<Result<R, any Error>?>(nil)
    // nil: it has begun, or is not to.
    let waiting = Mutex<(@Sendable (inout JournalApplier) throws -> R)?>(body)
    defer { waiting.withLock { $0 = nil } }
    let isTaken = requests.withLock { requests in
      guard requests != nil else { return false }
      requests?.append { applier in
        let taken = waiting.withLock { waiting in
          defer { waiting = nil }
          return waiting
        }
        guard let wanted = taken else { return }
        let outcome = Result { try wanted(&applier) }
        result.withLock { $0 = outcome }
        done.signal()
      }
      return true
    }
    guard isTaken else { throw gone }
    log.frontier.nudge()
    while done.wait(timeout: .now() + 0.1) == .timedOut {
      if try isCancelled(waiting.withLock { $0 == nil }) {
        throw SourceError(.cancelled, "It was cancelled before the collection came to it.")
      }
      // The thread may have ended with the request in its hands.
      if requests.withLock({ $0 == nil }), result.withLock({ $0 == nil }) { throw gone }
    }
    return try (result.withLock { $0 } ?? .failure(gone)).get()
  }

  var gone: ServerError {
    ServerError(
      .notFollowed, "the collection \(collection.name) is not followed any more\(fault.map { ": " + $0 } ?? "")")
  }

  /// On the follower's thread.
  func answerRequests(_ applier: inout JournalApplier) {
    let waiting = requests.withLock { requests in
      defer { if requests != nil { requests = [] } }
      return requests ?? []
    }
    for request in waiting { request(&applier) }
  }

  /// Those of some rows that are not what Postgres has, looked at twice with what committed between applied: one that changed in between is not
  /// among them. Blocks.
  func differing(_ ids: [RecordID], within patience: ProofPatience) throws -> [RecordID] {
    let first = try perform(unless: patience.isOver(for: self)) { try $0.revise(ids, repairs: false) }
    guard !first.isEmpty else { return [] }
    _ = log.frontier.wait(past: log.frontier.mark, seconds: 0.2)
    return try perform(unless: patience.isOver(for: self)) { try $0.revise(first, repairs: false) }
  }

  /// What the collection has between two steps, and which rows may be ahead of a moment by then.
  struct Glance: Sendable {
    var buckets: [BucketSum]
    var moved: [RecordID]
    /// `h` of those of the rows asked for, and of those that have moved, that the collection has.
    var stamps: [RecordID: UInt64]
  }

  /// - moved: called between the same two steps; nil: every row may be ahead.
  /// - also: rows whose stamps are wanted too.
  func glance(
    also: [RecordID], within patience: ProofPatience, _ moved: @escaping @Sendable () throws -> [RecordID]?
  ) throws -> Glance? {
    try perform(unless: patience.isOver(for: self)) { [self] _ in
      guard let moved = try moved() else { return nil }
      let index = collection.index
      let stamps = Dictionary(
        (moved + also).compactMap { id in index.stamp(of: id).map { (id, $0.row) } }, uniquingKeysWith: { $1 })
      return Glance(buckets: state.withLock { $0.ledger.buckets }, moved: moved, stamps: stamps)
    }
  }

  /// The rows between two steps, and where they stand. Blocks until everything before a position of the journal is applied.
  ///
  /// - Throws: `cancelled`; ``ServerError`` (`notFollowed`).
  func ownRows(
    behind position: JournalPosition, unless isCancelled: @escaping @Sendable () -> Bool
  ) throws -> OwnRows.Moment {
    while !hasReached(position) {
      if isCancelled() { throw SourceError.rebuildCancelled }
      if let fault { throw ServerError(.notFollowed, fault) }
      Thread.sleep(forTimeInterval: 0.01)
    }
    return try perform(
      unless: { _ in isCancelled() },
      { [self] _ in
        // This thread alone changes the index, and it is between two transactions.
        OwnRows.Moment(
          rows: PinnedRows(collection.index), position: collection.position,
          buckets: state.withLock { $0.ledger.buckets })
      })
  }

  /// Reads rows anew and applies what differs. Blocks.
  func repair(_ ids: [RecordID], within patience: ProofPatience) throws {
    _ = try perform(unless: patience.isOver(for: self)) { try $0.revise(ids, repairs: true) }
  }

  /// How many rows have been mended so far.
  var mendedRows: UInt64 { state.withLock { $0.mendedRows } }
}
