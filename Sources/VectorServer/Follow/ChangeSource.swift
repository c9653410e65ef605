// How changes come from Postgres: what is particular to a replication slot (SlotSource), and where that is forbidden to an outbox (OutboxSource).
// What both have in common is ChangeStream, which uses them.
//
// May use: nothing.

import Logging
import VectorWire

/// A way by which changes come.
protocol ChangeSource: Sendable {
  associatedtype Session: ChangeSession

  /// What Postgres keeps for us, in a word.
  var noun: String { get }

  /// Connects, and makes sure that what comes goes on where the journal ends; begins if nothing was followed yet.
  /// - Throws: ``BrokenSource`` where it cannot go on from there.
  func attach(_ stream: ChangeStream) throws -> Session

  /// Begins anew in the place of what cannot go on. The journal then has a point that does not continue what stands before it; unless what
  /// was broken goes on after all.
  func beginAnew(_ stream: ChangeStream, after broken: BrokenSource) throws
}

/// A connection on which changes come, used by the stream's thread alone.
protocol ChangeSession {
  /// Tells Postgres what is durable here, where it is time; called before each ``take()``.
  /// - Throws: as ``take()``.
  mutating func acknowledge() throws

  /// Waits a moment for what comes, and takes some of it into the journal.
  /// - Returns: for how many seconds nobody need look again.
  /// - Throws: when the connection is of no more use; ``BrokenSource`` when no other will be either.
  mutating func take() throws -> Double

  /// The server ends, and what has come is durable as far as it can be: tells Postgres so.
  mutating func end()
}

/// What was followed so far cannot be followed on: changes were missed, or nobody knows.
struct BrokenSource: Error {
  var reason: String
  /// Whether it is what a server says of itself, and another that is reached in its place may say otherwise: then it is asked once more
  /// before anything is given up.
  var mayPass = false
}

/// How the stream goes.
enum StreamCondition: Hashable, Sendable {
  case connecting
  case streaming
  /// Nothing comes; tried again.
  case stalled(String)
  /// What was followed so far cannot be followed on: every collection has to be loaded anew.
  case broken(String)

  func tell(_ logger: Logger, _ name: String) {
    switch self {
    case .connecting: break
    case .streaming: logger.info("following Postgres", metadata: ["slot": "\(name)"])
    case .stalled(let reason): logger.warning("nothing comes from Postgres, trying again: \(reason)")
    case .broken(let reason): logger.error("the collections have to be loaded anew: \(reason)")
    }
  }
}

/// Where a collection stands that was loaded from disk, and which stream it followed.
struct StreamFloor: Hashable, Sendable {
  var position: Position
  var epoch: UInt64
}
