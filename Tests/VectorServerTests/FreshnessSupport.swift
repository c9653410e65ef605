// What tests of waiting need: requests that ask to be answered from something new, a Postgres that is asked and answers when it is
// told to, and a look at who waits.

import NIOCore
import Synchronization
import Testing
import VectorClient
import VectorIndex
import VectorWire

@testable import VectorServer

/// A Postgres that says where it is when a test says so.
final class FakeSource: PositionSource {
  typealias Completion = @Sendable (Result<Position, WireError>) -> Void
  private struct State {
    /// What it would say at the time of each, and to whom.
    var questions: [(position: Position, completion: Completion)] = []
    var asked = 0
  }
  private let state = Mutex(State())
  private let now: @Sendable () -> Position

  init(now: @escaping @Sendable () -> Position = { .unknown }) { self.now = now }

  func currentPosition(_ completion: @escaping Completion) {
    let position = now()
    state.withLock {
      $0.questions.append((position, completion))
      $0.asked += 1
    }
  }

  /// Questions so far.
  var asked: Int { state.withLock { $0.asked } }

  /// Answers the oldest question that is open.
  func answer(_ result: Result<Position, WireError>) throws {
    try nextQuestion().completion(result)
  }

  /// The same, with where it was when it was asked.
  func answerTruly() throws {
    let question = try nextQuestion()
    question.completion(.success(question.position))
  }

  private func nextQuestion() throws -> (position: Position, completion: Completion) {
    let question = state.withLock { $0.questions.isEmpty ? nil : $0.questions.removeFirst() }
    return try #require(question, "nobody has asked")
  }

  var hasOpenQuestions: Bool { state.withLock { !$0.questions.isEmpty } }
}

/// Where the collections of these tests stand at first.
let start = Position(systemID: 7, appliedLSN: 100, timeline: 2)

func position(_ lsn: UInt64, systemID: UInt64 = 7, timeline: UInt32 = 2) -> Position {
  Position(systemID: systemID, appliedLSN: lsn, timeline: timeline)
}

/// A collection that follows.
func makeFollowing(_ name: String = "rows", at position: Position = start) throws -> Collection {
  let collection = try makeCollection(name, rows: 20, position: position)
  collection.followState = FollowState(.inStep)
  return collection
}

extension Freshness {
  static func at(_ lsn: UInt64, waiting milliseconds: Int = 50_000) -> Freshness {
    .position(VectorServerTests.position(lsn), waitMilliseconds: milliseconds)
  }
}

/// A search that asks for no more than to be new.
func search(_ freshness: Freshness, in collection: String = "rows") throws -> SearchRequest {
  var modifiers = SearchModifiers()
  modifiers.freshness = freshness
  return SearchRequest(
    .init(collection: collection, k: 3, modifiers: modifiers),
    vectors: try #require(QueryVectors([[Float](repeating: 1, count: 8)])))
}

extension Collection {
  var waiterCount: Int { followed.withLock { $0.waiters.count } }

  /// Returns when so many wait here.
  func untilWaiting(_ count: Int) async throws {
    while waiterCount != count { try await Task.sleep(for: .milliseconds(1)) }
  }
}

extension FakeSource {
  /// Returns when so many questions have been put.
  func untilAsked(_ count: Int) async throws {
    while asked < count { try await Task.sleep(for: .milliseconds(1)) }
  }
}

extension RawClient {
  /// The next frame, which must be a SearchReply.
  func nextReply() async throws -> (reply: SearchReply, requestID: UInt32) {
    let frame = try #require(await next(), "the connection was closed without a word")
    if frame.header.kind == .error { throw try ErrorReply(decoding: frame.body).error }
    return (try SearchReply(frame: frame), frame.header.requestID)
  }
}
