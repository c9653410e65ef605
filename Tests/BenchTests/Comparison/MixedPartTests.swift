// Rows that change beside searches: at which rate they did, and how far an engine that follows was behind. Without a server, or with
// one that does as it is told.

import ArgumentParser
import Foundation
import Synchronization
import Testing
import VectorIndex
import VectorWire

@testable import Bench

private struct Failure: Error, CustomStringConvertible {
  var description: String
}

/// Commits at once, as many rows as it is told to.
private final class MadeUpWriter: TableWriter {
  private let failsAfter: Int
  private let position: UInt64?
  private var rows = 0

  init(failsAfter: Int = .max, position: UInt64? = 7) {
    self.failsAfter = failsAfter
    self.position = position
  }

  func update(_ row: Int64, _ vector: [Float]) throws {
    guard rows < failsAfter else { throw Failure(description: "no more") }
    rows += 1
  }

  func logPosition() throws -> UInt64 {
    guard let position else { throw Failure(description: "no position") }
    return position
  }
}

private final class MadeUpClient: SearchClient {
  let engineProcessID: Int32? = nil

  func search(_ query: Int) throws -> [Int64] {
    usleep(100)
    return []
  }
}

private let base = VectorFile(count: 4, dimension: 2, values: (0..<8).map { Float($0) })

struct SteadyWriterTests {
  private func written(
    perSecond rate: Double, _ make: @escaping @Sendable () throws -> any TableWriter
  ) throws -> SteadyWriter.Written {
    try SteadyWriter.run(perSecond: rate, base: base, seed: 1, make: make) { usleep(500_000) }.written
  }

  @Test func theRateIsOverTheWholeTime() throws {
    let written = try written(perSecond: 5) { MadeUpWriter() }
    // Due at 0, 0.2 and 0.4 s, at least; the time to the last would have been shorter than what passed.
    #expect(written.rows >= 3 && written.seconds >= 0.5)
    #expect(written.perSecond == Double(written.rows) / written.seconds)
    #expect(written.firstError == nil && written.mark?.position == 7)
  }

  @Test func anErrorEndsTheWriterAndNotTheTime() throws {
    let written = try written(perSecond: 1_000) { MadeUpWriter(failsAfter: 3) }
    #expect(written.rows == 3 && written.firstError == "no more")
    #expect(written.seconds >= 0.5 && written.perSecond <= 6)
    // What was written before the error is in the log.
    #expect(written.mark?.position == 7)
  }

  @Test func whoCannotConnectHasWrittenNothing() throws {
    let written = try written(perSecond: 1_000) { throw Failure(description: "nobody there") }
    #expect(written.rows == 0 && written.perSecond == 0 && written.seconds >= 0.5)
    #expect(written.firstError == "nobody there" && written.mark == nil)
  }
}

struct FollowerLagTests {
  private func seconds(
    within bound: Double, _ isReached: PositionProbe, _ checkpoint: () throws -> Void = {}
  ) throws -> Double? {
    let mark = SteadyWriter.Mark(position: 7, taken: ContinuousClock.now)
    return try FollowerLag.seconds(to: mark, within: bound, isReached, checkpoint)
  }

  @Test func itIsAskedForUntilItIsReached() throws {
    var asked: [UInt64] = []
    let found = try seconds(within: 60) { position, milliseconds in
      #expect((1...500).contains(milliseconds))
      asked.append(position)
      usleep(100_000)
      return asked.count == 3
    }
    #expect(asked == [7, 7, 7])
    #expect(try #require(found) >= 0.3)
  }

  @Test func whoIsTooLateHasNoFigure() throws {
    #expect(try seconds(within: 0.2) { _, _ in false } == nil)
  }

  @Test func itCanBeGivenUp() {
    var looks = 0
    #expect(throws: Failure.self) {
      try seconds(
        within: 600, { _, _ in false },
        {
          looks += 1
          if looks == 3 { throw Failure(description: "enough") }
        })
    }
    #expect(looks == 3)
  }

  @Test func whatIsSaidGoesByTheGreatest() {
    #expect(FollowerLag().sentence == nil && FollowerLag().note == nil)
    let near = FollowerLag(rounds: [0.002, 0.9, 0.004])
    #expect(near.note == nil)
    #expect(near.sentence?.hasSuffix("was answered after 4.00 ms (median; at most 900 ms)") == true)
    let far = FollowerLag(rounds: [0.002, 1.5, 0.004])
    #expect(far.note?.contains("did not keep up") == true && far.note?.contains("up to 1.50 s") == true)
  }

  @Test func onlyThatItIsNotReachedIsNoError() throws {
    let replies = Mutex<[any WireMessage]>([
      ErrorReply(WireError(.positionNotReached, "after 5 ms")),
      SearchReply(
        position: .unknown, recordIDKind: .int64,
        answers: [QueryAnswer(results: [], receipt: QueryReceipt(distancesComputed: 1, isExact: false))]),
      ErrorReply(WireError(.unknownCollection, "there is none")),
    ])
    let server = try ScriptedServer { frame in
      let next = replies.withLock { rest -> (any WireMessage)? in rest.isEmpty ? nil : rest.removeFirst() }
      return next?.answering(frame) ?? .hangUp
    }
    let access = EngineAccess(host: "127.0.0.1", port: server.port, collection: "rows", numbers: .keys)
    let client = try FreshEngineClient(access, k: 3, recallTarget: 0.95)
    #expect(try !client.hasReached(7, like: [1, 2], waitMilliseconds: 5))
    #expect(try client.hasReached(7, like: [1, 2], waitMilliseconds: 5))
    #expect(throws: BenchError.self) { try client.hasReached(7, like: [1, 2], waitMilliseconds: 5) }
  }
}

struct MixedPartTests {
  private let part = MixedPart(
    base: base, queryCount: 3, clients: 1, writesPerSecond: 100, seconds: 0.1, rounds: 2, seed: 1)

  private func report(_ one: MixedContestant) async throws -> BenchReport {
    let found = Shared<BenchReport?>(nil)
    try await ReportSink.run(SampleReports.empty("pgvector"), ReportOptions.parse([])) { sink in
      try part.run(one, sink)
      let report = sink.report
      found.withLock { $0 = report }
    }
    return try #require(found.withLock { $0 })
  }

  private func contestant(
    _ makeWriter: @escaping @Sendable () throws -> any TableWriter, _ makeProbe: (@Sendable () throws -> PositionProbe)?
  ) -> MixedContestant {
    MixedContestant(
      id: "x", detail: "ef=40", recall: 0.96, make: { MadeUpClient() }, makeWriter: makeWriter, makeProbe: makeProbe)
  }

  @Test func howFarAFollowerIsBehindIsInThePoint() async throws {
    let report = try await report(contestant({ MadeUpWriter() }, { { _, _ in true } }))
    let point = try #require(report.mixed.first)
    #expect(report.mixed.count == 1 && point.qps.rounds == 2 && point.recall == 0.96)
    #expect(
      point.detail?.hasPrefix("ef=40; the recall is of before rows changed; when a round's writer had ended") == true)
    #expect(report.notes.isEmpty)
  }

  @Test func whoDoesNotFollowIsBehindNothing() async throws {
    let report = try await report(contestant({ MadeUpWriter() }, nil))
    #expect(report.mixed.first?.detail == "ef=40; the recall is of before rows changed")
  }

  @Test func whereNobodyKnowsWhetherItKeptUpThereIsNoPoint() async throws {
    // The first is asked before the rounds.
    let made = Shared(0)
    let report = try await report(
      contestant(
        {
          let number = made.withLock { made in
            made += 1
            return made
          }
          return MadeUpWriter(failsAfter: 2, position: number == 1 ? 7 : nil)
        }, { { _, _ in true } }))
    #expect(report.mixed.isEmpty)
    #expect(report.notes.count == 2 && report.notes[0].hasSuffix("no more") && report.notes[1].contains("left out"))
  }
}
