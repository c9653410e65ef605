// From Postgres into the journal: one thread, one connection, tried again for as long as the server lives.
//
//     attach (is it still the Postgres and the place that we know?) → acknowledge, take → … → the connection breaks, and after a pause again
//
// It applies nothing. What it has put into the journal becomes visible through the frontier, and is acknowledged once it is durable. Where
// changes come from, and how they are acknowledged, is a ChangeSource.
//
// May use: StreamLog, ChangeSource.

import Foundation
import Logging
import PostgresSource
import Synchronization
import VectorSnapshot
import VectorWire

/// The one writer of the journal.
final class ChangeStream: Sendable {
  let configuration: FollowConfiguration
  let log: StreamLog
  let logger: Logger
  let stop = StopFlag()
  /// The loaded collection that is the least far; nil: none is loaded.
  let floor: @Sendable () -> StreamFloor?
  /// Up to where the farthest collection is that follows the stream of an epoch. That may be behind the journal's end, when power was lost.
  let reached: @Sendable (UInt64) -> LSN
  private let source: any ChangeSource
  private let makeRoom: @Sendable () -> Void
  private let onChange: @Sendable (StreamCondition) -> Void
  private let current = Mutex(StreamCondition.connecting)
  private let wait = Mutex(Wait())
  /// Held while somebody is told of a new condition. Taken after `wait`, where both are.
  private let telling = Mutex(())

  /// For a word of Postgres.
  private struct Wait {
    /// nil: nobody waits.
    var since: ContinuousClock.Instant?
    /// What was told of it, since it has been too long; nil: nothing.
    var told: StreamCondition?
  }

  /// - floor: asked where the journal is empty.
  /// - reached: asked whenever it is to be gone on.
  /// - makeRoom: called now and then while the journal has as much as it may have, on the stream's thread.
  /// - onChange: told of every new condition, on the stream's thread; of a silence, on that of whoever found it.
  init(
    _ source: any ChangeSource, _ configuration: FollowConfiguration, log: StreamLog, logger: Logger,
    floor: @escaping @Sendable () -> StreamFloor?, reached: @escaping @Sendable (UInt64) -> LSN = { _ in .unknown },
    makeRoom: @escaping @Sendable () -> Void = {},
    onChange: @escaping @Sendable (StreamCondition) -> Void
  ) {
    self.source = source
    self.configuration = configuration
    self.log = log
    self.logger = logger
    self.floor = floor
    self.reached = reached
    self.makeRoom = makeRoom
    self.onChange = onChange
  }

  /// Ends ``run()`` within a moment.
  func end() { stop.raise() }

  /// The thread's whole life.
  func run() {
    var pause = RetryPause()
    // Whoever waits to know whether this is the Postgres that is followed is told so when it is first found.
    var hasStreamed = false
    while !stop.isRaised {
      var attachedAt: ContinuousClock.Instant?
      do {
        try follow(source, tellsAtOnce: !hasStreamed) {
          attachedAt = .now
          hasStreamed = true
        }
      } catch let error as SourceError where error.code == .cancelled {
        break
      } catch let broken as BrokenSource {
        change(.broken(broken.reason))
        abandon(broken)
      } catch {
        change(.stalled("\(error)"))
      }
      rest(pause.next(after: attachedAt.map { ContinuousClock.now - $0 }))
    }
  }

  /// Takes what comes on one connection until that ends.
  ///
  /// - tellsAtOnce: whether that it is well is told as soon as it is attached. Where it was not before, that is told when something was
  ///   taken without another failure: what fails each time would otherwise look well each time.
  private func follow<Source: ChangeSource>(
    _ source: Source, tellsAtOnce: Bool, _ isAttached: () -> Void
  ) throws {
    // One that could not be dropped when its connection broke: nothing may come behind it.
    try log.dropUnfinished()
    var session = try source.attach(self)
    isAttached()
    if tellsAtOnce { change(.streaming) }
    defer { wait.withLock { $0 = Wait() } }
    do {
      var isTold = tellsAtOnce
      while !stop.isRaised {
        heard()
        try session.acknowledge()
        heard()
        let pause = try session.take()
        hear(since: nil)
        if !isTold { change(.streaming) }
        isTold = true
        if pause > 0 { rest(pause) }
      }
    } catch {
      try log.dropUnfinished()
      // The server ends while it waits for a message: the connection is as good as before.
      if let error = error as? SourceError, error.code == .cancelled { finish(&session) }
      throw error
    }
    finish(&session)
  }

  /// So that the next start need not hear again what is durable.
  private func finish(_ session: inout some ChangeSession) {
    _ = try? log.synchronize()
    session.end()
  }

  /// Begins anew in the place of what cannot go on. Tried until it is done.
  private func abandon(_ broken: BrokenSource) {
    var pause = RetryPause()
    while !stop.isRaised {
      do {
        return try source.beginAnew(self, after: broken)
      } catch let error as SourceError where error.code == .cancelled {
        return
      } catch {
        logger.warning("the \(source.noun) could not be begun anew, trying again: \(error)")
        rest(pause.next())
      }
    }
  }
}

// MARK: - What sources need of it

extension ChangeStream {
  var condition: StreamCondition { current.withLock { $0 } }

  /// Tells how it goes, where that is news.
  ///
  /// - before: it is told only where it is as this says; nil: whatever it is.
  /// - Returns: false where it was not told for that reason.
  @discardableResult
  func change(_ condition: StreamCondition, if before: StreamCondition? = nil) -> Bool {
    // In the order in which they came to be.
    telling.withLock { _ in
      let previous = current.withLock { current in
        let previous = current
        if before == nil || current == before { current = condition }
        return previous
      }
      guard before == nil || previous == before else { return false }
      guard previous != condition else { return true }
      condition.tell(logger, configuration.slot)
      onChange(condition)
      return true
    }
  }

  /// Postgres has said something, or is about to be asked; on the stream's thread. That it was silent before is taken back.
  func heard() { hear(since: .now) }

  /// - start: since when it is waited for; nil: nobody waits.
  private func hear(since start: ContinuousClock.Instant?) {
    let told = wait.withLock { wait in
      defer { wait = Wait(since: start) }
      return wait.told
    }
    if let told { change(.streaming, if: told) }
  }

  /// Tells that nothing comes, where Postgres has said nothing for too long in the middle of something: what it was asked may take its
  /// time, or its answer may never come. On another thread, now and then.
  func tellSilence() {
    guard let limit = configuration.silenceMax else { return }
    // Within the lock, so that it cannot be told after it was taken back.
    wait.withLock { wait in
      guard let since = wait.since, ContinuousClock.now - since > limit else { return }
      let silence = StreamCondition.stalled(
        "Postgres has said nothing for \(Int(limit / .seconds(1))) s, though it was asked: its answer is waited for.")
      if change(silence, if: .streaming) { wait.told = silence }
    }
  }

  /// Waits, unless the server ends.
  func rest(_ seconds: Double) {
    let end = ContinuousClock.now + .seconds(seconds)
    while !stop.isRaised {
      let left = (end - ContinuousClock.now) / .seconds(1)
      guard left > 0 else { return }
      Thread.sleep(forTimeInterval: min(left, 0.05))
    }
  }

  /// Waits a moment where nothing can be taken.
  /// - Throws: ``SourceError`` with `cancelled` when the server ends.
  func pause() throws(SourceError) {
    if stop.isRaised { throw SourceError(.cancelled, "The server ends.") }
    Thread.sleep(forTimeInterval: 0.2)
    // Nobody has asked Postgres meanwhile.
    heard()
  }

  /// Where the journal has as much as it may have, has room made, and waits until a snapshot lets some of it go.
  /// - meanwhile: called now and then.
  func waitForRoom(_ meanwhile: () throws -> Void = {}) throws {
    var hasWaited = false
    var askedAt: ContinuousClock.Instant?
    while log.journal.statistics.bytes > configuration.journalBytesMax {
      hasWaited = true
      change(
        .stalled(
          "the journal has \(log.journal.statistics.bytes) bytes, and may have \(configuration.journalBytesMax): it shrinks when the "
            + "collections' snapshots are written"))
      if askedAt.map({ ContinuousClock.now - $0 >= .seconds(1) }) ?? true {
        makeRoom()
        askedAt = .now
      }
      try pause()
      try meanwhile()
    }
    if hasWaited { change(.streaming) }
  }
}

/// How long is waited before it is tried again: longer and longer, until a connection has lasted. What fails soon after a good beginning
/// is not well for having begun.
struct RetryPause {
  static let secondsMin = 0.2
  static let secondsMax = 10.0

  private var seconds = RetryPause.secondsMin

  /// - lasted: how long the connection did that has ended; nil: there was none.
  mutating func next(after lasted: Duration? = nil) -> Double {
    if let lasted, lasted > .seconds(Self.secondsMax) { seconds = Self.secondsMin }
    defer { seconds = min(2 * seconds, Self.secondsMax) }
    return seconds
  }
}

/// How far Postgres has gone without a change for us, as it is noted in the journal now and then: otherwise a start would look at all of it again,
/// or take it for changes that were missed.
struct IdleNotes {
  private static let seconds = 10.0

  private let log: StreamLog
  private(set) var noted: LSN
  private var notedAt = ContinuousClock.now

  /// - noted: what the journal has.
  init(_ log: StreamLog, noted: LSN) {
    self.log = log
    self.noted = noted
  }

  /// Notes a place behind everything that has come; where no transaction is coming in.
  /// - isUrgent: whether now, and not only after a while.
  mutating func note(_ reached: LSN, isUrgent: Bool = false) throws {
    guard reached > noted, isUrgent || ContinuousClock.now - notedAt > .seconds(Self.seconds), var point = log.point
    else { return }
    point.lsn = reached
    try log.reach(point)
    try log.rollIfDue()
    noted = reached
    notedAt = .now
  }
}
