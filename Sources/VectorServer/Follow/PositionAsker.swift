// Asks Postgres where it stands, for searches that must see everything that was committed before they came, and for whoever measures how
// far collections are behind.
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
  private var logEndQuestion = LogEndQuestion.none
  private var hasEnded = false
  private var connection: Connection?

  /// What has become of the last question where the log ends.
  private enum LogEndQuestion {
    case none
    case asked
    case underWay
    case answered(LogEnd)
  }

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

  /// Where Postgres's log ended when that was last asked, and has it asked anew. Returns at once.
  /// - Returns: nil: no answer has come since the call before.
  func logEnd() -> LogEnd? {
    condition.lock()
    defer { condition.unlock() }
    var end: LogEnd?
    switch logEndQuestion {
    case .asked, .underWay: return nil
    case .answered(let answer): end = answer
    case .none: break
    }
    logEndQuestion = .asked
    condition.signal()
    return end
  }

  private struct Asked {
    var questions: [@Sendable (Result<Position, WireError>) -> Void]
    var wantsLogEnd: Bool
  }

  private func run() {
    while let asked = next() {
      if !asked.questions.isEmpty {
        let answer = ask()
        for completion in asked.questions { completion(answer) }
      }
      if asked.wantsLogEnd { answerLogEnd() }
    }
  }

  /// - Returns: nil: it has ended.
  private func next() -> Asked? {
    condition.lock()
    defer { condition.unlock() }
    while questions.isEmpty, !isLogEndAsked, !hasEnded { condition.wait() }
    // Whoever searches is told that the server ends.
    guard !questions.isEmpty || !hasEnded else { return nil }
    defer { questions = [] }
    let wantsLogEnd = isLogEndAsked
    if wantsLogEnd { logEndQuestion = .underWay }
    return Asked(questions: questions, wantsLogEnd: wantsLogEnd)
  }

  private var isLogEndAsked: Bool {
    if case .asked = logEndQuestion { return true }
    return false
  }

  private func answerLogEnd() {
    let answer: LogEndQuestion
    do throws(SourceError) {
      answer = .answered(try LogEnd.read(on: open()))
    } catch {
      connection = nil
      answer = .none
    }
    condition.lock()
    logEndQuestion = answer
    condition.unlock()
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

  /// For an answer that takes Postgres no time: a connection by which none comes is given up.
  private static let patienceSeconds = 5.0

  /// Asks once more where the connection has broken since the last question.
  private func askTwice() throws(SourceError) -> Position {
    let isOld = connection != nil
    do throws(SourceError) { return try askOnce() } catch {
      guard isOld, error.code == .connectionLost else { throw error }
    }
    connection = nil
    return try askOnce()
  }

  private func askOnce() throws(SourceError) -> Position {
    let asked = try open()
    let server = try isByTransactions ? ServerPosition.readTransactions(on: asked) : ServerPosition.read(on: asked)
    return Position(
      systemID: server.systemIdentifier, appliedLSN: server.flushed.rawValue,
      timeline: isByTransactions ? server.timeline | Position.transactionsFlag : server.timeline)
  }

  private func open() throws(SourceError) -> Connection {
    if let connection { return connection }
    let made = try Connection(options, stop: stop, patienceSeconds: Self.patienceSeconds)
    connection = made
    return made
  }
}
