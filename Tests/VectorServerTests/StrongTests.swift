// Strong requests: the server asks Postgres where it is, once for all who came before the question, and waits for that.

import NIOCore
import Synchronization
import TestSupport
import Testing
import VectorClient
import VectorIndex
import VectorWire

@testable import VectorServer

@Suite(.timeLimit(.minutes(1))) struct StrongTests {
  private let strong = Freshness.strong(waitMilliseconds: 50_000)

  private func withRows(
    _ collection: Collection, _ body: (CollectionCatalog, RawClient) async throws -> Void
  ) async throws {
    try await withServer([collection], .test { $0.searchThreads = 1 }) { catalog, port in
      let raw = try await RawClient.greeted(port: port)
      try await body(catalog, raw)
      await raw.close()
    }
  }

  private func makeAsked(_ source: FakeSource, at position: Position = start) throws -> Collection {
    let collection = try makeFollowing(at: position)
    collection.positionSource = source
    return collection
  }

  @Test func itIsAskedForAndWaitedFor() async throws {
    let source = FakeSource()
    let rows = try makeAsked(source)
    try await withRows(rows) { _, raw in
      try await raw.send(try search(strong), 1)
      try await source.untilAsked(1)
      // What is applied meanwhile does not matter: where Postgres is, is not known.
      rows.position = position(150)
      #expect(rows.waiterCount == 1)
      try source.answer(.success(position(200)))
      try await rows.untilWaiting(1)
      rows.position = position(199)
      #expect(rows.waiterCount == 1)
      rows.position = position(200)
      #expect(try await raw.nextReply().reply.position == position(200))

      // Where nothing new has been committed, the answer is enough.
      try await raw.send(try search(strong), 2)
      try await source.untilAsked(2)
      try source.answer(.success(position(200)))
      #expect(try await raw.nextReply().requestID == 2)
    }
  }

  @Test func whoComesDuringAQuestionSharesTheNext() async throws {
    let source = FakeSource()
    let rows = try makeAsked(source)
    try await withRows(rows) { _, raw in
      try await raw.send(try search(strong), 1)
      try await source.untilAsked(1)
      for id: UInt32 in 2...20 { try await raw.send(try search(strong), id) }
      try await rows.untilWaiting(20)
      #expect(source.asked == 1)
      try source.answer(.success(start))
      #expect(try await raw.nextReply().requestID == 1)
      // They came after the first question was sent, so its answer is none for them.
      try await source.untilAsked(2)
      #expect(rows.waiterCount == 19)
      try source.answer(.success(start))
      var answered: Set<UInt32> = []
      for _ in 2...20 { answered.insert(try await raw.nextReply().requestID) }
      #expect(answered == Set(2...20) && source.asked == 2)
    }
  }

  @Test func whereNobodyCanBeAsked() async throws {
    let source = FakeSource()
    let rows = try makeFollowing()
    try await withRows(rows) { _, raw in
      try await raw.send(try search(strong), 1)
      let refusal = try await raw.nextError().error
      #expect(refusal.code == .strongUnavailable && refusal.message.contains("in step"), "\(refusal.message)")
      rows.followState = nil
      try await raw.send(try search(strong), 1)
      let none = try await raw.nextError().error
      #expect(none.code == .strongUnavailable && none.message.contains("does not follow"), "\(none.message)")

      rows.followState = FollowState(.inStep)
      rows.positionSource = source
      try await raw.send(try search(strong), 2)
      try await source.untilAsked(1)
      // Whatever code a source fails with, it is this for the client.
      try source.answer(.failure(WireError(.internal, "the connection was refused")))
      let failure = try await raw.nextError().error
      #expect(failure.code == .strongUnavailable && failure.message.contains("refused"), "\(failure.message)")

      try await raw.send(try search(strong), 3)
      try await source.untilAsked(2)
      rows.positionSource = nil
      #expect(try await raw.nextError().error.code == .strongUnavailable)
      #expect(rows.waiterCount == 0)
    }
  }

  @Test func aPostgresThatDoesNotAnswer() async throws {
    let source = FakeSource()
    let rows = try makeAsked(source)
    try await withRows(rows) { _, raw in
      // Until a question is under way; that of the others would be the next.
      var requestsAfter = 0
      while requestsAfter < 3 {
        try await raw.send(try search(.strong(waitMilliseconds: 10)), 1)
        #expect(try await raw.nextError().error.code == .strongUnavailable)
        if source.asked > 0 { requestsAfter += 1 }
      }
      #expect(source.asked == 1 && rows.waiterCount == 0)
      // An answer that nobody waits for any more does no harm to those who come after it.
      try source.answer(.success(position(500)))
      try await raw.send(try search(strong), 2)
      try await source.untilAsked(2)
      try source.answer(.success(position(600)))
      rows.position = position(600)
      #expect(try await raw.nextReply().requestID == 2)
    }
  }

  @Test func aPositionThatIsNotReachedInTime() async throws {
    let source = FakeSource()
    let rows = try makeAsked(source)
    try await withRows(rows) { _, raw in
      try await raw.send(try search(.strong(waitMilliseconds: 1_000)), 1)
      try await source.untilAsked(1)
      try source.answer(.success(position(200)))
      let error = try await raw.nextError().error
      #expect(error.code == .positionNotReached && error.message.contains("0/C8"), "\(error.message)")
      try await raw.send(try search(strong), 2)
      try await source.untilAsked(2)
      try source.answer(.success(position(200, systemID: 8)))
      #expect(try await raw.nextError().error.code == .positionForeign)
    }
  }

  @Test func anotherConnectionToPostgresIsAskedAnew() async throws {
    let (first, second) = (FakeSource(), FakeSource())
    let rows = try makeAsked(first)
    try await withRows(rows) { _, raw in
      for id: UInt32 in 1...2 {
        try await raw.send(try search(strong), id)
        try await rows.untilWaiting(Int(id))
      }
      rows.positionSource = second
      #expect(first.asked == 1 && second.asked == 1)
      // What the old one says now is of nobody's question.
      try first.answer(.success(start))
      #expect(rows.waiterCount == 2)
      try second.answer(.success(start))
      var answered: Set<UInt32> = []
      for _ in 1...2 { answered.insert(try await raw.nextReply().requestID) }
      #expect(answered == [1, 2] && second.asked == 1)
    }
  }

  @Test func aCollectionThatComesAsksForItself() async throws {
    let (first, second) = (FakeSource(), FakeSource())
    let old = try makeAsked(first)
    try await withRows(old) { catalog, raw in
      try await raw.send(try search(strong), 1)
      try await first.untilAsked(1)
      let new = try makeAsked(second, at: position(300))
      catalog.publish(new)
      try await second.untilAsked(1)
      try second.answer(.success(position(301)))
      try first.answer(.success(position(1)))
      try await new.untilWaiting(1)
      new.position = position(301)
      #expect(try await raw.nextReply().reply.position == position(301))
    }
  }

  @Test func cancellingWhileThereIsAQuestion() async throws {
    let source = FakeSource()
    let rows = try makeAsked(source)
    try await withRows(rows) { _, raw in
      for id: UInt32 in 1...3 { try await raw.send(try search(strong), id) }
      try await rows.untilWaiting(3)
      for id: UInt32 in [2, 1, 3] {
        try await raw.send(Cancel(requestID: id), 0)
        let (error, _, requestID) = try await raw.nextError()
        #expect(error.code == .cancelled && requestID == id)
      }
      try await rows.untilWaiting(0)
      try source.answer(.success(start))
      try await raw.send(try search(.any), 4)
      #expect(try await raw.nextReply().requestID == 4)
    }
  }

  /// Everything at once: positions rise, collections come and go, questions are answered or fail, requests are cancelled and time
  /// out. Each request has exactly one answer, and none is older than it asked to be.
  @Test(arguments: testSeeds) func whateverHappensThereIsOneAnswer(seed: UInt64) async throws {
    let commits = Commits()
    let source = FakeSource { position(commits.last) }
    let rows = try makeAsked(source)
    try await withServer([rows], .test { $0.searchThreads = 2 }) { catalog, port in
      let events = Task {
        var random = SeededRandom(seed: seed)
        var current = rows
        while !Task.isCancelled {
          switch Int.random(in: 0..<10, using: &random) {
          case 0...4:
            let step = UInt64.random(in: 0...3, using: &random)
            current.position = position(commits.add(step))
          case 5:
            let next = try makeAsked(source, at: current.position)
            catalog.publish(next)
            current = next
          case 6:
            current.followState = FollowState(
              [.inStep, .stalled, .catchingUp].randomElement(using: &random) ?? .inStep)
          case 7 where source.hasOpenQuestions:
            try source.answer(.failure(WireError(.strongUnavailable, "seed \(seed)")))
          default: if source.hasOpenQuestions { try source.answerTruly() }
          }
          if Int.random(in: 0..<20, using: &random) == 0 { try await Task.sleep(for: .milliseconds(1)) }
          await Task.yield()
        }
      }
      try await withThrowingTaskGroup(of: Void.self) { group in
        for n in UInt64(0)..<4 {
          group.addTask {
            var random = SeededRandom(seed: seed * 10 + n)
            let raw = try await RawClient.greeted(port: port)
            for round in 0..<10 {
              var asked: [UInt32: UInt64] = [:]
              for id: UInt32 in 1...20 {
                // What has been committed by now, a strong answer must not be older than.
                let now = commits.last
                let isStrong = Bool.random(using: &random)
                let lsn = isStrong ? now : now + UInt64.random(in: 0...10, using: &random)
                let wait = [1, 10, 50_000].randomElement(using: &random) ?? 1
                asked[id] = lsn
                try await raw.send(
                  try search(isStrong ? .strong(waitMilliseconds: wait) : .at(lsn, waiting: wait)), id)
                if Int.random(in: 0..<8, using: &random) == 0 { try await raw.send(Cancel(requestID: id), 0) }
              }
              while !asked.isEmpty {
                let frame = try #require(await raw.next())
                let removed = asked.removeValue(forKey: frame.header.requestID)
                let least = try #require(removed, "an answer too many")
                if frame.header.kind == .error {
                  let code = try ErrorReply(decoding: frame.body).error.code
                  #expect(
                    [.positionNotReached, .strongUnavailable, .cancelled].contains(code),
                    "seed \(seed), round \(round): \(code)")
                } else {
                  #expect(try SearchReply(frame: frame).position.appliedLSN >= least, "seed \(seed), round \(round)")
                }
              }
            }
            await raw.close()
          }
        }
        try await group.waitForAll()
      }
      events.cancel()
      _ = await events.result
    }
  }
}

/// The last commit of a Postgres, which is known before any collection has it.
private final class Commits: Sendable {
  private let lsn = Atomic<UInt64>(start.appliedLSN)
  var last: UInt64 { lsn.load(ordering: .sequentiallyConsistent) }
  func add(_ step: UInt64) -> UInt64 { lsn.wrappingAdd(step, ordering: .sequentiallyConsistent).newValue }
}
