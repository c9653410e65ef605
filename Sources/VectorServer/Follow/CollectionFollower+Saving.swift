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
  /// A snapshot of this follower is the newest.
  var published: @Sendable (CollectionFollower) -> Void = { _ in }
  /// A part of the journal may not be needed any more.
  var collected: @Sendable () -> Void
}

/// The one who writes a follower's snapshots, one after the other.
final class SnapshotTurn: Sendable {
  /// Held while one is written.
  fileprivate let mutex = Mutex(())
  /// Whether none is written because it is due: what would be the newest is another's, as long as this one is not served.
  let isHeld = Atomic(false)
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
      let before = state.withLock { $0.snapshots }
      try write()
      // It may have come to its end in the middle of a transaction.
      guard state.withLock({ $0.snapshots }) > before else { throw gone }
    }
  }

  /// Begins to write a snapshot where one is due and none is being written. On the follower's thread.
  func saveIfDue() {
    guard isSaveDue, !turn.isHeld.load(ordering: .acquiring),
      !turn.isDue.exchange(true, ordering: .acquiringAndReleasing)
    else { return }
    _ = WorkerThread("vizinho-save") { [self] in
      defer { turn.isDue.store(false, ordering: .releasing) }
      turn.mutex.withLock { _ in
        guard fault == nil, !turn.isOver.load(ordering: .acquiring) else { return }
        do { try write() } catch { logger.error("no snapshot could be written: \(error)") }
      }
    }
  }

  private var isSaveDue: Bool {
    state.withLock { state in
      // What could not be written a moment ago cannot now; later there may be room.
      if let again = state.saveAgainAt { return ContinuousClock.now >= again }
      return state.isRoomWanted || state.unsavedBytes >= configuration.snapshotAfterBytes
        // However little of it was this collection's: what others change must not be kept for its sake.
        || state.keptBytes >= UInt64(journalShare)
    }
  }

  /// What of the journal may be kept for one collection: so much that a quiet one is not written for every change of others, and so
  /// little that the journal has room for some.
  private var journalShare: Int {
    // Divided first, for either may be as large as an integer can be.
    4 * min(configuration.snapshotAfterBytes, configuration.journalBytesMax / 16, Int.max / 4)
  }

  /// The journal has as much as it may have, and nobody needs an older part of it: has a snapshot written, where that lets go of something.
  func wantRoom() {
    let end = log.frontier.mark.end
    let isStalled = collection.followState?.phase == .stalled
    let isOfUse = state.withLock { state in
      guard state.keptBytes > 0 else { return false }
      // One that is still on its way does not write one for every step.
      let isFar = state.keptBytes >= UInt64(configuration.journalBytesMax / 16)
      guard isStalled || isFar || state.position >= end else { return false }
      state.isRoomWanted = true
      return true
    }
    if isOfUse { log.frontier.nudge() }
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
    let isDue = state.withLock { $0.snapshots == before && ($0.unsavedBytes > 0 || $0.saveAgainAt != nil) }
    guard isDue, fault == nil, savesAtEnd else { return }
    turn.mutex.withLock { _ in
      do { try write() } catch { logger.error("no snapshot could be written: \(error)") }
    }
  }

  /// The caller holds the turn.
  private func write() throws {
    do {
      try writeSnapshot()
      state.withLock { ($0.saveAgainAt, $0.isRoomWanted) = (nil, false) }
    } catch {
      // The journal keeps what is in no snapshot.
      let again = ContinuousClock.now + configuration.saveRetryInterval
      state.withLock { ($0.saveAgainAt, $0.isRoomWanted) = (again, false) }
      throw error
    }
  }

  /// Waits for the end of a transaction that is applied in part.
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
        saver.published(self)
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
