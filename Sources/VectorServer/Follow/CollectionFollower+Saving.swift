// A follower's snapshots. Each is of one moment between two transactions, and is written on a thread of its own: changes go on being applied
// meanwhile.
//
// What belongs to such a moment is kept in the follower's state, which changes together with the rows (JournalApplier.swift).
//
// May use: CollectionFollower.

import Foundation
import Logging
import Synchronization
import VectorSnapshot
import VectorWire

/// How a follower's snapshots are written, and who is told.
struct SnapshotSaver: Sendable {
  /// Writes the newest snapshot of a collection.
  ///
  /// - files: in which its table lay when the two were last proved equal; stands in the snapshot.
  /// - place: asked at the moment whose rows are written, where they stand; nil: this is no moment to save.
  /// - Returns: the seconds that it took; nil where `place` returned nil, and nothing was written.
  var save: @Sendable (Collection, _ files: String, _ place: () -> Position?) throws -> Double?
  /// A part of the journal may not be needed any more.
  var collected: @Sendable () -> Void
}

/// The one who writes a follower's snapshots, one after the other.
final class SnapshotTurn: Sendable {
  /// Held while one is written.
  fileprivate let mutex = Mutex(())
  /// Whether a thread is there that writes one because it was due.
  fileprivate let isDue = Atomic(false)
  /// Whether no more are to be written but the last.
  fileprivate let isOver = Atomic(false)
}

extension CollectionFollower {
  /// Writes a snapshot of what is applied by now. Blocks until it is written.
  /// - Throws: `notFollowed` when the collection does not follow any more.
  func save() throws {
    try turn.mutex.withLock { _ in
      guard fault == nil, !turn.isOver.load(ordering: .acquiring) else { throw gone }
      try writeSnapshot()
    }
  }

  /// Begins to write a snapshot where one is due and none is being written. On the follower's thread.
  func saveIfDue() {
    guard state.withLock({ $0.unsavedBytes >= configuration.snapshotAfterBytes }),
      !turn.isDue.exchange(true, ordering: .acquiringAndReleasing)
    else { return }
    _ = WorkerThread("vizinho-save") { [self] in
      defer { turn.isDue.store(false, ordering: .releasing) }
      turn.mutex.withLock { _ in
        guard !turn.isOver.load(ordering: .acquiring) else { return }
        do { try writeSnapshot() } catch {
          // The journal keeps what the snapshot has not; a later try may find room.
          logger.error("no snapshot could be written: \(error)")
          state.withLock { $0.savedBytes = $0.appliedBytes - configuration.snapshotAfterBytes / 2 }
        }
      }
    }
  }

  /// Writes no more snapshots, and returns when the one is written that is under way.
  func endSaves() {
    turn.isOver.store(true, ordering: .releasing)
    turn.mutex.withLock { _ in }
  }

  /// The last snapshot, where something has changed. On the follower's thread, at its end.
  func saveAtEnd() {
    let before = state.withLock { $0.snapshots }
    endSaves()
    // One that was under way is the last: what was applied since its moment is in the journal.
    guard state.withLock({ $0.snapshots == before && $0.unsavedBytes > 0 }), fault == nil, savesAtEnd else { return }
    turn.mutex.withLock { _ in
      do { try writeSnapshot() } catch { logger.error("no snapshot could be written: \(error)") }
    }
  }

  /// The caller holds the turn.
  private func writeSnapshot() throws {
    let files = provedFiles.withLock { $0 }
    while true {
      var moment: (position: JournalPosition, bytes: Int)?
      let seconds = try saver.save(collection, files) {
        state.withLock { state in
          guard state.isWhole else { return nil }
          moment = (state.position, state.appliedBytes)
          return state.applied
        }
      }
      if let seconds, let moment {
        state.withLock { state in
          state.saved = moment.position
          state.savedBytes = moment.bytes
          state.snapshots += 1
        }
        logger.info("snapshot written", metadata: ["rows": "\(collection.index.count)", "seconds": "\(seconds)"])
        return saver.collected()
      }
      // A large transaction is applied in part. What is on disk stays where it does not come to its end.
      while state.withLock({ !$0.isWhole }) {
        if stop.isRaised || fault != nil { return }
        Thread.sleep(forTimeInterval: 0.01)
      }
    }
  }
}
