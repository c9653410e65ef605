// What of the journal and on disk is still needed: parts that every collection has in a snapshot go, and a collection whose snapshots are
// not to be gone on from is marked.
//
// May use: FollowService, CollectionFollower, StaleMark.

import Logging
import Synchronization
import VectorSnapshot

extension FollowService {
  /// Lets go of what every collection has in its snapshot.
  func collectJournal() {
    // Under the lock, so that nobody begins meanwhile who needs what goes.
    let failure: SnapshotError? = withState { state in
      // One that goes on from disk has not said yet what it needs.
      guard state.resuming.isEmpty else { return nil }
      let followers = state.followers.values.map(\.follower) + state.catchingUp.values
      // One that cannot go on is loaded anew, and needs nothing.
      var needed = followers.filter { $0.fault == nil }.map(\.journalNeeded)
      if let mark = state.loadMark { needed.append(mark) }
      // Where nobody needs anything, whoever is loaded next needs what comes from now on.
      let least = needed.min() ?? log.frontier.mark.end
      do throws(SnapshotError) { try log.journal.removeSegments(before: least) } catch { return error }
      return nil
    }
    if let failure { logger.warning("\(failure)") }
  }

  /// The journal has as much as it may have: lets go of what nobody needs, and has a snapshot written of whoever needs the oldest part.
  /// Where that is a load, which needs everything from its beginning on until its end, it is ended: the others would wait for that.
  func makeRoom() {
    // A segment goes only when the one behind it is durable, which nothing else may bring about while nothing comes.
    do throws(SnapshotError) { try log.synchronize() } catch { logger.warning("\(error)") }
    collectJournal()
    let (running, load, mark) = withState { (Array($0.followers.values), $0.load, $0.loadMark) }
    let followers = running.map(\.follower).filter { $0.fault == nil }
    // Where nobody else follows, nobody waits for its end.
    guard let least = followers.map(\.journalNeeded).min() else { return }
    if let load, let mark, mark < least { return load.cancel(because: journalFull(load.definition.name)) }
    for follower in followers where follower.journalNeeded == least { follower.wantRoom() }
  }

  private func journalFull(_ name: String) -> ServerError {
    ServerError(
      .journalFull,
      "the load of \(name) was ended, so that the collections that are served go on: the journal keeps for it all that has come since it "
        + "began, and may have \(configuration.journalBytesMax.grouped) bytes. Raise --journal-bytes-max, or load when less is written"
    )
  }

  // MARK: Marks

  /// Notes on disk that a collection cannot go on from there, so that a start knows it too which comes before another is loaded.
  ///
  /// - holds: asked while nobody else marks or unmarks.
  func markStale(_ name: String, _ reason: String, where holds: () -> Bool) {
    marks.withLock { _ in
      guard holds() else { return }
      do throws(SnapshotError) { try directory.staleMark(of: name).set(reason) } catch {
        logger.error(
          "a start before it is loaded anew would not know that it is stale: \(error)",
          metadata: ["collection": "\(name)"])
      }
    }
  }

  /// A snapshot of this follower is the newest: what was said of those before does not hold of it, unless it cannot go on either.
  func unmark(_ follower: CollectionFollower) {
    marks.withLock { _ in
      guard follower.fault == nil else { return }
      do throws(SnapshotError) { try directory.staleMark(of: follower.collection.name).remove() } catch {
        logger.warning("\(error)", metadata: ["collection": "\(follower.collection.name)"])
      }
    }
  }
}
