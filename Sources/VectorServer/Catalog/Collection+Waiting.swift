// What a follower sets of a collection, and requests that wait for it.
//
// Nobody is resumed under the lock: who is resumed may come straight back.
//
// May use: FollowState, PositionWaiters, VectorWire.

import Synchronization
import VectorWire

extension Collection {
  /// Up to where the index has followed its table. Set it after the changes are applied and visible, never before: an answer
  /// names the position that was read before its search began. On one timeline it only rises.
  ///
  /// Setting it resumes the requests that waited for it; all of them where the system or the timeline is another one.
  public var position: Position {
    get { followed.withLock { $0.position } }
    set {
      let resumed = followed.withLock { followed -> [any PositionWaiter] in
        let old = followed.position
        followed.position = newValue
        let isElsewhere = old.systemID != newValue.systemID || old.timeline != newValue.timeline
        return isElsewhere ? followed.waiters.takeWaiting() : followed.waiters.take(upTo: newValue.appliedLSN)
      }
      for waiter in resumed { waiter.resume() }
    }
  }

  /// How following goes; nil: this collection does not follow. Set it before the collection is published: a request for a
  /// later position is refused where nothing follows, and waits where something does.
  public var followState: FollowState? {
    get { followed.withLock { $0.state } }
    set {
      let resumed = followed.withLock { followed -> [any PositionWaiter] in
        followed.state = newValue
        return newValue?.mayRise == true ? [] : followed.waiters.takeWaiting()
      }
      for waiter in resumed { waiter.resume() }
    }
  }

  /// Who is asked for the present position of Postgres on behalf of strong searches; nil: those are refused.
  ///
  /// Setting it puts the question under way again, to the new one; where there is none, those who waited are refused.
  public var positionSource: (any PositionSource)? {
    get { followed.withLock { $0.source } }
    set {
      let (question, refused) = followed.withLock { followed -> (UInt64?, [any PositionWaiter]) in
        followed.source = newValue
        return newValue == nil ? (nil, followed.waiters.takeAsking()) : (followed.waiters.askAgain(), [])
      }
      if let newValue, let question { put(question, to: newValue) }
      for waiter in refused { waiter.resume() }
    }
  }

  // MARK: Waiting

  /// How a collection stands to a position that was asked for.
  enum Verdict {
    case reached
    case waits
    case refused(WireError)
  }

  func verdict(on asked: Position) -> Verdict {
    let (position, state) = followed.withLock { ($0.position, $0.state) }
    return verdict(on: asked, at: position, state)
  }

  private func verdict(on asked: Position, at position: Position, _ state: FollowState?) -> Verdict {
    // 0 is a number that somebody could not find out.
    func differs<T: FixedWidthInteger>(_ a: T, _ b: T) -> Bool { a != b && a != 0 && b != 0 }
    if differs(asked.systemID, position.systemID) {
      return .refused(
        WireError(
          .positionForeign,
          "the position is of the Postgres with the system identifier \(asked.systemID); \(quotedName) follows "
            + "\(position.systemID): take a position from that one"))
    }
    if differs(asked.timeline, position.timeline), asked.countsTransactions != position.countsTransactions {
      func kind(_ position: Position) -> String {
        position.countsTransactions ? "the id of a transaction, as of an outbox" : "a place in the log, as of a slot"
      }
      return .refused(
        WireError(
          .positionForeign,
          "the position is \(kind(asked)); that of \(quotedName) is \(kind(position)): take one of that kind"))
    }
    if differs(asked.timeline, position.timeline) {
      return .refused(
        WireError(
          .positionForeign,
          "the position is on timeline \(asked.timeline); \(quotedName) is on timeline \(position.timeline): after a "
            + "failover or a restore take a new position"))
    }
    if asked.appliedLSN <= position.appliedLSN { return .reached }
    if let state, state.mayRise { return .waits }
    return .refused(notReached(asked, at: position, state))
  }

  /// What is said to a request that does not get to its position.
  func notReached(_ asked: Position) -> WireError {
    let (position, state) = followed.withLock { ($0.position, $0.state) }
    return notReached(asked, at: position, state)
  }

  private func notReached(_ asked: Position, at position: Position, _ state: FollowState?) -> WireError {
    let standing = position.appliedLSN == 0 ? "is at a position that is not known" : "is at \(position.lsnText)"
    return WireError(
      .positionNotReached,
      "\(quotedName) \(standing), and \(asked.lsnText) was asked for; "
        + (state?.words ?? "it does not follow Postgres, so that waiting is of no use: load it again"))
  }

  /// For messages; a name may be longer than they are.
  private var quotedName: String { "collection \"\(name.prefix(100))\"" }

  /// Puts a request on the list, unless there is nothing to wait for any more.
  /// - Returns: whether it waits.
  func wait(_ waiter: any PositionWaiter, for asked: Position) -> Bool {
    followed.withLock { followed in
      guard case .waits = verdict(on: asked, at: followed.position, followed.state) else { return false }
      followed.waiters.add(waiter, for: asked.appliedLSN)
      return true
    }
  }

  /// Puts a request on the list of those that wait for Postgres to say where it is, and asks.
  /// - Returns: whether it waits; it does not where there is nobody to ask.
  func ask(_ waiter: any PositionWaiter) -> Bool {
    let asked = followed.withLock { followed -> (any PositionSource, UInt64?)? in
      guard let source = followed.source else { return nil }
      return (source, followed.waiters.addAsking(waiter))
    }
    guard let (source, question) = asked else { return false }
    if let question { put(question, to: source) }
    return true
  }

  private func put(_ question: UInt64, to source: any PositionSource) {
    // A collection that was replaced has nobody left who waits for the answer.
    source.currentPosition { [weak self] in self?.answer(question, $0) }
  }

  private func answer(_ question: UInt64, _ result: Result<Position, WireError>) {
    let (answered, next, source) = followed.withLock {
      followed -> ([any PositionWaiter], UInt64?, (any PositionSource)?) in
      let taken = followed.waiters.takeAnswered(question)
      return (taken?.waiters ?? [], taken?.next, followed.source)
    }
    if let next, let source { put(next, to: source) }
    for waiter in answered { waiter.resume(with: result) }
  }

  /// Takes a request off the list.
  /// - Returns: whether it was there, and so is the caller's.
  func leave(_ waiter: any PositionWaiter) -> Bool {
    followed.withLock { $0.waiters.remove(waiter) }
  }

  /// Resumes all who wait: the collection has been replaced or removed, and they are to look again.
  func resumeAll() {
    let resumed = followed.withLock { $0.waiters.takeWaiting() + $0.waiters.takeAsking() }
    for waiter in resumed { waiter.resume() }
  }
}
