// Asks Postgres where it stands, for searches that must see everything that was committed before they came.
//
// May use: PostgresSource's connections; Foundation's condition.

import Foundation
import PostgresSource
import VectorWire

/// One connection and one thread. Questions that come while one is under way share the next.
final class PositionAsker: PositionSource, @unchecked Sendable {
  // Proof of Sendable: the questions are touched under the condition's lock, the connection by the thread alone.

  private let options: ConnectionOptions
  private let condition = NSCondition()
  private let stop = StopFlag()
  private var questions: [@Sendable (Result<Position, WireError>) -> Void] = []
  private var hasEnded = false
  private var connection: Connection?

  /// Whether places are ids of transactions, and not positions in the log.
  private let isByTransactions: Bool

  init(_ options: ConnectionOptions, byTransactions: Bool) {
    self.options = options
    isByTransactions = byTransactions
  }

  func start() { _ = WorkerThread("vizinho-position") { self.run() } }

  func end() {
    stop.raise()
    condition.lock()
    hasEnded = true
    condition.signal()
    condition.unlock()
  }

  func currentPosition(_ completion: @escaping @Sendable (Result<Position, WireError>) -> Void) {
    condition.lock()
    guard !hasEnded else {
      condition.unlock()
      return completion(.failure(WireError(.shuttingDown, "the server ends")))
    }
    questions.append(completion)
    condition.signal()
    condition.unlock()
  }

  private func run() {
    while let asked = next() {
      let answer = ask()
      for completion in asked { completion(answer) }
    }
  }

  private func next() -> [@Sendable (Result<Position, WireError>) -> Void]? {
    condition.lock()
    defer { condition.unlock() }
    while questions.isEmpty, !hasEnded { condition.wait() }
    defer { questions = [] }
    return questions.isEmpty ? nil : questions
  }

  private func ask() -> Result<Position, WireError> {
    do throws(SourceError) {
      return .success(try askTwice())
    } catch {
      connection = nil
      return .failure(
        WireError(.strongUnavailable, "Postgres could not be asked where it stands: \(error.message)"))
    }
  }

  /// Asks once more where Postgres has closed the connection since the last question.
  private func askTwice() throws(SourceError) -> Position {
    let isOld = connection != nil
    do throws(SourceError) { return try askOnce() } catch {
      guard isOld, error.code == .connectionLost else { throw error }
    }
    connection = nil
    return try askOnce()
  }

  private func askOnce() throws(SourceError) -> Position {
    let asked: Connection
    if let connection { asked = connection } else { asked = try Connection(options, stop: stop) }
    connection = asked
    let server = try isByTransactions ? ServerPosition.readTransactions(on: asked) : ServerPosition.read(on: asked)
    return Position(
      systemID: server.systemIdentifier, appliedLSN: server.flushed.rawValue,
      timeline: isByTransactions ? server.timeline | Position.transactionsFlag : server.timeline)
  }
}
