// What brings changes from Postgres into the journal: a replication slot (ChangeStream), or where that is forbidden an outbox (OutboxStream).
//
// May use: nothing.

import Logging

/// How it goes.
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

/// The one writer of the journal.
protocol ChangeSource: AnyObject, Sendable {
  /// The thread's whole life.
  func run()
  /// Ends ``run()`` within a moment.
  func end()
}
