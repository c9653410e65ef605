// How a collection's following of Postgres goes, and who can say where Postgres is: what a follower tells a collection.
//
// May use: VectorWire's Position and errors, TimestampText.

import VectorIndex
import VectorWire

/// How far, and how well, a collection follows its table.
public struct FollowState: Hashable, Sendable {
  /// Where in its life the following is.
  public enum Phase: String, Hashable, Sendable, CaseIterable {
    /// The rows are being read.
    case loading = "loading"
    /// What was committed meanwhile is being applied.
    case catchingUp = "catching up"
    case inStep = "in step"
    /// Nothing comes, or nothing can be applied; it is tried again.
    case stalled = "stalled"
    /// It cannot go on unless the rows are read again. Searches are answered, and their replies say so.
    case stale = "stale"
  }

  public var phase: Phase
  /// Why it is stalled or stale, and what to do; empty otherwise.
  public var reason: String
  /// Bytes of the log that Postgres is known to have written beyond the position of the collection.
  public var lagBytes: UInt64
  /// Transactions that came and are not applied.
  public var lagTransactions: UInt64
  /// Since when something that has come is not applied, or more is known to be yet to come than one in step may lack; nil: neither is
  /// so, though ``lagBytes`` may be more than 0.
  public var behindSince: ContinuousClock.Instant?
  /// When the last transaction that was applied was committed: microseconds since 2000, by the clock of Postgres.
  public var lastCommitTime: Int64?

  public init(
    _ phase: Phase, reason: String = "", lagBytes: UInt64 = 0, lagTransactions: UInt64 = 0,
    behindSince: ContinuousClock.Instant? = nil, lastCommitTime: Int64? = nil
  ) {
    self.phase = phase
    self.reason = reason
    self.lagBytes = lagBytes
    self.lagTransactions = lagTransactions
    self.behindSince = behindSince
    self.lastCommitTime = lastCommitTime
  }

  /// Whether the collection's position may still rise.
  var mayRise: Bool { phase != .stale }

  /// As a clause of a sentence that is for a client.
  var words: String {
    "it is \(phase.rawValue)" + (reason.isEmpty ? "" : ": \(reason)")
  }

  /// The entries of docs/PROTOCOL.md.
  static func statistics(_ state: FollowState?, now: ContinuousClock.Instant = .now) -> [Statistic] {
    guard let state else { return [Statistic("follow_state", .text("none"))] }
    let behind = state.behindSince.map { max(.zero, now - $0) } ?? .zero
    var entries = [
      Statistic("follow_state", .text(state.phase.rawValue)),
      Statistic("lag_bytes", .integer(state.lagBytes)),
      Statistic("lag_transactions", .integer(state.lagTransactions)),
      Statistic("lag_milliseconds", .integer(UInt64(behind / .milliseconds(1)))),
    ]
    if !state.reason.isEmpty {
      // A statistic's text has a bound on the wire.
      entries.append(Statistic("follow_reason", .text(state.reason.prefix(utf8BytesMax: reasonBytesMax))))
    }
    if let time = state.lastCommitTime { entries.append(Statistic("last_commit", .text(TimestampText.text(time)))) }
    return entries
  }

  private static let reasonBytesMax = 1_024
}

/// Who can say where Postgres is now: a connection to it that the follower keeps.
public protocol PositionSource: Sendable {
  /// Asks for the position that every transaction lies before which has been committed when this is called.
  ///
  /// Called on search threads and event loops: it must return at once.
  /// - Parameter completion: to be called once, from any thread, with what Postgres answered to a question that was sent after
  ///   this call; or, within a few seconds, with `strongUnavailable` and why. Another call of it is passed over.
  func currentPosition(_ completion: @escaping @Sendable (Result<Position, WireError>) -> Void)
}
