// A request that waits for a position is parked: it is on the list of its collection and on no thread.
//
// It leaves the list in one of three ways, and whoever took it off the list is the one who goes on with it:
//
//     the position is reached, or the collection is another one      resume: back into the queue, and looked at again
//     its time is over                                               an Error
//     it is cancelled, its connection is gone, the server ends       an Error, which goes nowhere if there is nobody
//
// May use: Collection, SearchQueue, NIOCore, Synchronization.

import NIOCore
import Synchronization
import VectorWire

extension SearchTask {
  /// What a request that may wait knows of it.
  struct Waiting {
    /// Where it is parked.
    fileprivate var place: Collection?
    fileprivate var timer: Scheduled<Void>?
    /// Counts how often it was parked: a timer of an earlier time has no say.
    fileprivate var turn = 0
    /// Why it must not wait any more.
    fileprivate var ended: WireError?
    /// What it waits for; nil where Postgres has not said it yet.
    fileprivate var asked: Result<Position, WireError>?

    init(_ freshness: Freshness) {
      if case .position(let position, _) = freshness { asked = .success(position) }
    }
  }

  /// The position that its answer must not be older than; nil while Postgres is to be asked for it.
  /// - Throws: `strongUnavailable`, where Postgres did not say.
  func askedPosition() throws(WireError) -> Position? {
    switch waiting.withLock({ $0.asked }) {
    case nil: nil
    case .success(let position): position
    case .failure(let error): throw WireError(.strongUnavailable, error.message)
    }
  }

  /// When it has waited as long as it wanted to.
  private var patienceEnd: NIODeadline { arrival + .milliseconds(Int64(freshness.waitMilliseconds ?? 0)) }

  /// Announces that it goes onto the list of a collection.
  /// - Returns: the number of this time, for ``parked(_:)``.
  /// - Throws: why it must not wait any more.
  func park(at collection: Collection) throws(WireError) -> Int {
    let (turn, ended) = waiting.withLock { waiting -> (Int, WireError?) in
      if waiting.ended == nil {
        waiting.turn += 1
        waiting.place = collection
      }
      return (waiting.turn, waiting.ended)
    }
    if let ended { throw ended }
    return turn
  }

  /// It is not on the list after all, or has been taken off by the one who put it there.
  func unpark() {
    let timer = waiting.withLock { waiting in
      waiting.place = nil
      return waiting.timer.take()
    }
    timer?.cancel()
  }

  /// It is on the list: lets it wait for as long as it may. Perhaps it is not there any more.
  func parked(_ turn: Int) {
    let timer = outbox.schedule(at: min(deadline, patienceEnd)) { self.timeIsOver(turn) }
    let isParked = waiting.withLock { waiting in
      guard waiting.turn == turn, waiting.place != nil else { return false }
      waiting.timer = timer
      return true
    }
    if !isParked { timer.cancel() }
  }

  /// Whether it must not wait any more.
  var isEnded: Bool { waiting.withLock { $0.ended != nil } }

  private func timeIsOver(_ turn: Int) {
    let place = waiting.withLock { $0.turn == turn ? $0.place : nil }
    guard let place, place.leave(self) else { return }
    unpark()
    fail(timeIsOverError(at: place))
  }

  /// Whether it has waited as long as it may.
  var isOutOfPatience: Bool { NIODeadline.now() >= patienceEnd }

  /// What is said when the time is over: the request's own, or that which it would wait.
  func timeIsOverError(at collection: Collection) -> WireError {
    let wait = freshness.waitMilliseconds ?? 0
    let error: WireError =
      switch waiting.withLock({ $0.asked }) {
      case .success(let position): collection.notReached(position)
      case .failure(let error): error
      case nil: WireError(.strongUnavailable, "Postgres has not said where it is: wait longer, or take what there is")
      }
    if deadline < patienceEnd { return WireError(.deadlineExceeded, "the request's time is over: \(error.message)") }
    return WireError(error.code, "after \(wait) ms: \(error.message)")
  }

  /// It must not wait any more, neither now nor later; a search that need not wait is answered all the same.
  func endWaiting(_ error: WireError) {
    let place = waiting.withLock { waiting in
      if waiting.ended == nil { waiting.ended = error }
      return waiting.place
    }
    guard let place, place.leave(self) else { return }
    unpark()
    fail(error)
  }
}

extension SearchTask: PositionWaiter {
  func resume() {
    unpark()
    if queue.push([self]) == 0 { fail(.queueIsFull) }
  }

  func resume(with answer: Result<Position, WireError>) {
    waiting.withLock { $0.asked = answer }
    resume()
  }
}

extension WireError {
  static var queueIsFull: WireError {
    WireError(.overloaded, "the server's queue is full: try again in a moment")
  }
}
