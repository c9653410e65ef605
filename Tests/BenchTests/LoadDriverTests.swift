// The load driver against servers that do as they are told, over real sockets.
//
// Times are bounded from below only, by how long a server sleeps: nothing here must be fast.

import Foundation
import NIOCore
import Synchronization
import Testing
import VectorIndex
import VectorWire

@testable import Bench

@Suite(.serialized) struct LoadDriverTests {
  private func step(
    _ arrivals: LoadStep.Arrivals, seconds: Double = 0.2, connections: Int = 2, threads: Int = 1, inFlightMax: Int = 256
  ) -> LoadStep {
    LoadStep(
      question: .search, arrivals: arrivals, connections: connections, inFlightMax: inFlightMax, warmUpSeconds: 0,
      seconds: seconds, threads: threads, seed: 1)
  }

  private func run(_ step: LoadStep, on server: ScriptedServer) throws -> LoadTally {
    let vectors = try #require(QueryVectors([[1, 2]]))
    let search = SearchRequest(SearchTerms(collection: "docs", k: 2), vectors: vectors)
    let runner = LoadRunner(
      address: ServerAddress(host: "127.0.0.1", port: server.port),
      searches: [Array(search.frame(requestID: 1).readableBytesView)], server: nil)
    return try #require(try runner.run(step, progress: { _ in }, isInterrupted: { false })).tally
  }

  private static func reply(rows: Int) -> SearchReply {
    let results = (0..<rows).map { SearchResult(id: .int64(Int64($0)), distance: Float($0)) }
    return SearchReply(
      position: .unknown, recordIDKind: .int64,
      answers: [QueryAnswer(results: results, receipt: QueryReceipt(distancesComputed: 1, isExact: false))])
  }

  @Test func aServerThatStallsIsChargedForAllThatWaitMeanwhile() throws {
    // The first request is answered after 0.8 s, the others right behind it.
    let isFirst = Mutex(true)
    let server = try ScriptedServer { frame in
      let sleeps = isFirst.withLock { first in
        defer { first = false }
        return first
      }
      if sleeps { Thread.sleep(forTimeInterval: 0.8) }
      return Self.reply(rows: 2).answering(frame)
    }
    let tally = try run(step(.open(rate: 400, spacing: .even), seconds: 0.5, connections: 1), on: server)
    #expect(tally.due == 200)
    #expect(tally.latency.count == 200)
    // The last was due at 0.4975 s. A driver that waits for answers would have sent, and counted, one.
    #expect(tally.latency.microseconds(atPercentile: 0) >= 300_000)
    #expect(tally.latency.microseconds(atPercentile: 50) >= 500_000)
    #expect(tally.answered == 0)
  }

  @Test(arguments: [1, 3]) func inAClosedLoopEachClientHasOneRequest(threads: Int) throws {
    let now = Mutex(0)
    let most = Mutex(0)
    let server = try ScriptedServer { frame in
      let count = now.withLock { count in
        count += 1
        return count
      }
      most.withLock { $0 = max($0, count) }
      Thread.sleep(forTimeInterval: 0.001)
      now.withLock { $0 -= 1 }
      return Self.reply(rows: 1).answering(frame)
    }
    let tally = try run(step(.closed, connections: 5, threads: threads, inFlightMax: 1), on: server)
    #expect(tally.due > 5)
    #expect(tally.latency.count == tally.due)
    #expect(tally.refused.isEmpty && tally.unanswered == 0 && tally.empty == 0)
    #expect(most.withLock { $0 } <= 5)
    #expect(tally.latency.microseconds(atPercentile: 0) >= 1_000)
    #expect(tally.processorSeconds > 0)
  }

  @Test func refusedRequestsAreCountedByCodeAndInNoLatency() throws {
    let number = Atomic(0)
    let server = try ScriptedServer { frame in
      switch number.add(1, ordering: .relaxed).oldValue % 4 {
      case 0: ErrorReply(WireError(.overloaded, "the queue is full")).answering(frame)
      case 1: ErrorReply(WireError(.invalidFilter, "no filter")).answering(frame)
      case 2: Self.reply(rows: 0).answering(frame)
      default: Self.reply(rows: 3).answering(frame)
      }
    }
    let tally = try run(step(.open(rate: 400, spacing: .even)), on: server)
    #expect(tally.due == 80)
    #expect(tally.refused[.overloaded]?.count == 20)
    #expect(tally.refused[.invalidFilter]?.count == 20)
    #expect(tally.refused[.invalidFilter]?.message == "no filter")
    #expect(tally.latency.count == 40)
    #expect(tally.empty == 20)
  }

  @Test func whatIsNeverAnsweredCountsWithTheTimeThatWasWaited() throws {
    let server = try ScriptedServer { _ in .silence }
    // More than the connections may have in flight: the others are not even sent.
    let tally = try run(step(.open(rate: 100, spacing: .poisson), inFlightMax: 3), on: server)
    #expect(tally.due > 6)
    #expect(tally.unanswered == tally.due)
    #expect(tally.latency.count == tally.due)
    #expect(tally.latency.microseconds(atPercentile: 0) >= LoadStep.drainSeconds * 1e6)
    #expect(tally.answered == 0)
  }

  @Test func longRepliesArriveInPieces() throws {
    // Longer than the driver's buffer, which then has to grow, and several in it at once.
    let server = try ScriptedServer { frame in Self.reply(rows: 20_000).answering(frame) }
    let tally = try run(step(.open(rate: 200, spacing: .poisson)), on: server)
    #expect(tally.latency.count == tally.due)
    #expect(tally.empty == 0 && tally.unanswered == 0)
  }

  @Test func pingsAskForNothing() throws {
    let server = try ScriptedServer { frame in
      guard let ping = try? Ping(decoding: frame.body), frame.header.kind == .ping else { return .hangUp }
      return Pong(answering: ping).answering(frame)
    }
    var pings = step(.open(rate: 300, spacing: .even)).asPings
    pings.seconds = 0.2
    let tally = try run(pings, on: server)
    #expect(tally.due == 60)
    #expect(tally.latency.count == 60)
    #expect(tally.lateness.count == 60)
  }

  @Test func aServerThatGoesAwayEndsTheStep() throws {
    let gone = try ScriptedServer { _ in .hangUp }
    let error = #expect(throws: BenchError.self) { try run(step(.closed, inFlightMax: 1), on: gone) }
    #expect(error?.code == .engineUnreachable)
    let closing = try ScriptedServer { _ in
      .bytes(
        Array(ErrorReply(WireError(.shuttingDown, "good night"), closes: true).frame(requestID: 0).readableBytesView))
    }
    let refusal = #expect(throws: BenchError.self) { try run(step(.closed, inFlightMax: 1), on: closing) }
    #expect(refusal?.code == .engineRefused)
    #expect(refusal?.message.contains("good night") == true)
  }

  @Test(arguments: [
    // A length beyond the limit, an id that nobody asked with, a kind that is no answer.
    [0xFF, 0xFF, 0xFF, 0xFF, 0x85, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0x82, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0x85, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
    [1, 0, 0, 0, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7],
  ])
  func bytesThatAreNoAnswerEndTheStep(bytes: [UInt8]) throws {
    let server = try ScriptedServer { _ in .bytes(bytes) }
    let error = #expect(throws: BenchError.self) { try run(step(.closed, connections: 1, inFlightMax: 1), on: server) }
    #expect(error?.code == .engineRefused)
    #expect(error?.message.contains("protocol") == true)
  }

  @Test func aServerThatCannotBeReachedIsNamed() throws {
    let runner = LoadRunner(address: ServerAddress(host: "127.0.0.1", port: 1), searches: [[]], server: nil)
    let error = #expect(throws: BenchError.self) {
      try runner.run(step(.closed, threads: 2), progress: { _ in }, isInterrupted: { false })
    }
    #expect(error?.code == .engineUnreachable)
    #expect(error?.message.contains("127.0.0.1:1") == true)
  }

  @Test func anInterruptionEndsTheStepWithoutAResult() throws {
    let server = try ScriptedServer { frame in Self.reply(rows: 1).answering(frame) }
    let vectors = try #require(QueryVectors([[1, 2]]))
    let frame = SearchRequest(SearchTerms(collection: "docs", k: 2), vectors: vectors).frame(requestID: 1)
    let runner = LoadRunner(
      address: ServerAddress(host: "127.0.0.1", port: server.port), searches: [Array(frame.readableBytesView)],
      server: nil)
    // An hour, were it not for the interruption.
    let found = try runner.run(
      step(.closed, seconds: 3_600, inFlightMax: 1), progress: { _ in }, isInterrupted: { true })
    #expect(found == nil)
  }

  @Test func aConnectionHasAsManyInFlightAsItsServerAllows() throws {
    let server = try ScriptedServer(limits: WireLimits(requestsInFlightMax: 4)) { _ in .silence }
    let connection = try DriverConnection(
      to: ServerAddress(host: "127.0.0.1", port: server.port), inFlightMax: 256)
    let ping = Array(Ping().frame(requestID: 1).readableBytesView)
    for due in 0..<4 {
      #expect(connection.hasRoom)
      connection.enqueue(ping, due: Int64(due))
    }
    #expect(!connection.hasRoom)
    #expect(connection.pendingDueTimes.sorted() == [0, 1, 2, 3])
    #expect(connection.hasUnsent)
    try connection.flush()
    #expect(!connection.hasUnsent)
  }
}
