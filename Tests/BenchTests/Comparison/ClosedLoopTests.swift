// The loop that measures both sides, with clients that do not need a server.

import ArgumentParser
import Foundation
import Synchronization
import Testing
import VectorIndex

@testable import Bench

/// What some clients were asked.
private final class Record: Sendable {
  let asked = Shared<[Int]>([])
  let made = Atomic<Int>(0)
}

private struct Failure: Error, CustomStringConvertible {
  var description: String
}

/// Answers a question with its own number, and fails where it is told to.
private final class MadeUpClient: SearchClient {
  private let record: Record
  private let failsAt: Int?
  private let microseconds: UInt32
  let engineProcessID: Int32?

  init(_ record: Record, failsAt: Int? = nil, microseconds: UInt32 = 100, process: Int32? = nil) {
    self.record = record
    self.failsAt = failsAt
    self.microseconds = microseconds
    engineProcessID = process
    record.made.add(1, ordering: .relaxed)
  }

  func search(_ query: Int) throws -> [Int64] {
    record.asked.withLock { $0.append(query) }
    if query == failsAt { throw Failure(description: "question \(query) failed") }
    // Long enough that a loop does not fill memory with what it was asked.
    usleep(microseconds)
    return [Int64(query), Int64(query) + 100]
  }
}

struct ClosedLoopTests {
  @Test(arguments: [1, 3])
  func allClientsAskAllQuestionsInTurn(clients: Int) throws {
    let record = Record()
    let loop = ClosedLoop(clients: clients, seconds: 0.3, queryCount: 5)
    let outcome = try loop.run({ MadeUpClient(record) }, isGivenUp: { false })
    #expect(record.made.load(ordering: .relaxed) == clients)
    #expect(outcome.answered > 5 * clients && outcome.errors == 0)
    #expect(outcome.latencies.count == outcome.answered)
    #expect(outcome.qps > 0 && outcome.seconds >= 0.3)
    #expect(Set(record.asked.withLock { $0 }) == Set(0..<5))
    // Before the clock starts each client asks all questions once, and they are not counted.
    #expect(record.asked.withLock { $0.count } == outcome.answered + 5 * clients)
    #expect(outcome.engineSeconds == nil)
  }

  @Test func warmingEndsWithTheTimeOfAPoint() throws {
    let record = Record()
    let outcome = try ClosedLoop(clients: 1, seconds: 0.05, queryCount: 1_000).run(
      { MadeUpClient(record, microseconds: 20_000) }, isGivenUp: { false })
    // Three questions of 20 ms go beyond 50 ms; a thousand would take 20 s.
    let warm = record.asked.withLock { $0.count } - outcome.answered
    #expect((1...3).contains(warm))
    // The timed ones begin with the same question as those before.
    #expect(record.asked.withLock { $0[warm] } == 0)
    #expect(ClosedLoop.warmSeconds(before: 0.05) == 0.05 && ClosedLoop.warmSeconds(before: 600) == 1)
  }

  @Test func whoGivesUpDoesNotWaitForTheEnd() throws {
    let record = Record()
    let end = ContinuousClock.now + .milliseconds(300)
    let outcome = try ClosedLoop(clients: 2, seconds: 600, queryCount: 4).run(
      { MadeUpClient(record) }, isGivenUp: { ContinuousClock.now > end })
    #expect(outcome.answered > 0 && outcome.seconds < 60)
  }

  @Test func anErrorIsCountedAndTheClientGoesOn() throws {
    let record = Record()
    let outcome = try ClosedLoop(clients: 2, seconds: 0.2, queryCount: 4).run(
      { MadeUpClient(record, failsAt: 2, process: getpid()) }, isGivenUp: { false })
    #expect(outcome.errors > 0 && outcome.answered > 0)
    #expect(outcome.firstError == "question 2 failed")
    // With a new connection each time, also for the one error of each client before the clock started, which is not counted.
    #expect(record.made.load(ordering: .relaxed) == 2 + 2 + outcome.errors)
    #expect(outcome.engineSeconds == nil)
  }

  @Test func processorTimeIsThatOfTheProcessesThatAnswer() throws {
    let record = Record()
    let outcome = try ClosedLoop(clients: 2, seconds: 0.1, queryCount: 4).run(
      { MadeUpClient(record, process: getpid()) }, isGivenUp: { false })
    // This process answers itself, so that the clients' threads are part of it.
    let seconds = try #require(outcome.engineSeconds)
    #expect(seconds > 0 && outcome.driverSeconds > 0)
  }

  @Test func aClientThatCannotConnectEndsTheRun() {
    let record = Record()
    let error = #expect(throws: Failure.self) {
      try ClosedLoop(clients: 3, seconds: 30, queryCount: 4).run(
        {
          if record.made.add(1, ordering: .relaxed).newValue >= 2 { throw Failure(description: "no") }
          return MadeUpClient(record)
        }, isGivenUp: { false })
    }
    #expect(error?.description == "no")
  }

  @Test func eachQuestionIsAnsweredOnce() throws {
    let record = Record()
    let client: @Sendable () throws -> any SearchClient = { MadeUpClient(record) }
    let loop = ClosedLoop(clients: 3, seconds: 0, queryCount: 10)
    let answers = try loop.answers(client, isGivenUp: { false })
    #expect(answers.map(\.query) == Array(0..<10))
    #expect(answers.allSatisfy { $0.rows == [Int64($0.query), Int64($0.query) + 100] })
    #expect(record.asked.withLock { $0.count } == 10)
    let none = try loop.answers(client, isGivenUp: { true })
    #expect(none.isEmpty)
    #expect(throws: Failure.self) {
      try ClosedLoop(clients: 2, seconds: 0, queryCount: 10).answers(
        { MadeUpClient(record, failsAt: 7) }, isGivenUp: { false })
    }
  }

  @Test func roundsBecomeOnePoint() throws {
    var tally = PointTally()
    let effort = Contestant.Effort(name: "ef", value: 40, make: { throw Failure(description: "unused") }, note: "n")
    #expect(tally.point(effort, recall: 0.9) == nil)
    for (answered, seconds) in [(100, 1.0), (300, 1.0), (200, 1.0)] {
      var outcome = ClosedLoop.Outcome()
      outcome.answered = answered
      outcome.seconds = seconds
      outcome.engineSeconds = 0.5
      outcome.errors = 1
      for i in 0..<answered { outcome.latencies.record(nanoseconds: Int64(i + 1) * 1_000) }
      tally.add(outcome)
    }
    let point = try #require(tally.point(effort, recall: 0.9))
    #expect((point.effort, point.value, point.recall, point.errors, point.note) == ("ef", 40, 0.9, 3, "n"))
    #expect((point.qps.median, point.qps.least, point.qps.most, point.qps.rounds) == (200, 100, 300, 3))
    #expect(point.cpuSecondsPerQuery == 1.5 / 600)
    #expect(try abs(#require(point.latency).max - 300) < 1)
    // A plan with helpers has more processor time than is seen.
    var helped = effort
    helped.isWholeProcessorTime = false
    #expect(tally.point(helped, recall: 0.9)?.cpuSecondsPerQuery == nil)
    var unknown = ClosedLoop.Outcome()
    unknown.answered = 5
    tally.add(unknown)
    #expect(tally.point(effort, recall: 0.9)?.cpuSecondsPerQuery == nil)
  }
}

struct SearchPartTests {
  @Test func eachRoundIsInTheReportBeforeTheNextBegins() async throws {
    let base = VectorFile(count: 8, dimension: 1, values: (0..<8).map { Float($0) })
    let queries = VectorFile(count: 4, dimension: 1, values: [0, 1, 2, 3])
    let truth = try Truth(base: base, queries: queries, metric: .l2, k: 1, threads: 1)
    let record = Record()
    // What the report had when a client was made: to judge or to warm, and to be timed.
    let rounds = Shared<[Int]>([])
    try await ReportSink.run(SampleReports.empty("pgvector"), ReportOptions.parse([])) { sink in
      let effort = Contestant.Effort(
        name: "ef", value: 10,
        make: {
          let found = sink.report.series.first?.points.first?.qps.rounds ?? 0
          rounds.withLock { $0.append(found) }
          return MadeUpClient(record)
        })
      let part = SearchPart(
        [Contestant(id: "x", efforts: [effort], judgedQueries: 4)],
        Pace(rounds: 3, seconds: 0.05, clients: [1], threads: 1), Questions(count: 4, k: 1, truth: truth, own: nil))
      try part.run(sink)
      #expect(sink.report.series.first?.points.first?.qps.rounds == 3)
      // What is said of all rounds is said once.
      #expect(sink.report.method.count == 1 && sink.report.notes.isEmpty)
    }
    #expect(rounds.withLock { $0 } == [0, 0, 1, 1, 2, 2])
  }
}
