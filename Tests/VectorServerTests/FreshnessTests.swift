// Requests that ask not to be answered from something older than a position: they wait, and they do not wait for ever.

import NIOCore
import Testing
import VectorClient
import VectorIndex
import VectorWire

@testable import VectorServer

@Suite(.timeLimit(.minutes(1))) struct FreshnessTests {
  /// A server with one search thread, so that a thread which waited would stop everything.
  private func withRows(
    _ collections: [Collection], _ configuration: ServerConfiguration = .test(),
    _ body: (CollectionCatalog, RawClient, Int) async throws -> Void
  ) async throws {
    var configuration = configuration
    configuration.searchThreads = 1
    try await withServer(collections, configuration) { catalog, port in
      let raw = try await RawClient.greeted(port: port)
      try await body(catalog, raw, port)
      await raw.close()
    }
  }

  /// All four that can ask for it.
  private func requests(_ freshness: Freshness) throws -> [any WireMessage] {
    let terms = try search(freshness).terms
    return [
      try search(freshness), SearchByIDRequest(terms, ids: [.int64(1)]), SearchLikeRequest(terms, like: [.int64(1)]),
      FetchRequest(collection: "rows", ids: [.int64(1)], freshness: freshness),
    ]
  }

  private func replyPosition(_ frame: Frame) throws -> Position {
    frame.header.kind == .fetched
      ? try Fetched(decoding: frame.body).position : try SearchReply(decoding: frame.body).position
  }

  // MARK: Reached, and not

  @Test func whatIsReachedIsAnswered() async throws {
    // It need not follow for that.
    try await withRows([try makeCollection(position: start)]) { _, raw, _ in
      for asked in [
        start, .unknown, position(99), position(100, systemID: 0), position(100, timeline: 0),
        position(100, systemID: 0, timeline: 0),
      ] {
        for request in try requests(.position(asked, waitMilliseconds: 0)) {
          try await raw.send(request, 1)
          let frame = try #require(await raw.next())
          #expect(try replyPosition(frame) == start)
        }
      }
    }
  }

  @Test func eachKindOfRequestWaits() async throws {
    let rows = try makeFollowing()
    try await withRows([rows]) { _, raw, _ in
      for (n, request) in try requests(.at(101)).enumerated() {
        try await raw.send(request, UInt32(n + 1))
        try await rows.untilWaiting(n + 1)
      }
      rows.position = position(100)
      #expect(rows.waiterCount == 4)
      rows.position = position(101)
      var answered: Set<UInt32> = []
      for _ in 0..<4 {
        let frame = try #require(await raw.next())
        #expect(try replyPosition(frame) == position(101))
        answered.insert(frame.header.requestID)
      }
      #expect(answered == [1, 2, 3, 4] && rows.waiterCount == 0)
    }
  }

  @Test func aWaitEnds() async throws {
    let rows = try makeFollowing()
    try await withRows([rows]) { _, raw, _ in
      for wait in [0, 1, 20] {
        try await raw.send(try search(.at(0x200, waiting: wait)), 1)
        let (error, closes, requestID) = try await raw.nextError()
        #expect(error.code == .positionNotReached && !closes && requestID == 1)
        #expect(error.message.contains("0/64") && error.message.contains("0/200"), "\(error.message)")
        #expect(error.message.contains("in step"), "\(error.message)")
      }
      #expect(rows.waiterCount == 0)
    }
  }

  @Test func aRequestsDeadlineEndsItsWaitToo() async throws {
    let rows = try makeFollowing()
    try await withRows([rows]) { _, raw, _ in
      try await raw.send(try search(.at(101)), 1, deadlineMilliseconds: 20)
      let (error, _, requestID) = try await raw.nextError()
      #expect(error.code == .deadlineExceeded && requestID == 1 && rows.waiterCount == 0)
    }
  }

  /// Nothing will come where nothing follows: that is said at once, however long would be waited.
  @Test func whereNothingFollowsNothingIsWaitedFor() async throws {
    let rows = try makeCollection(position: start)
    try await withRows([rows]) { _, raw, _ in
      try await raw.send(try search(.at(101)), 1)
      #expect(try await raw.nextError().error.code == .positionNotReached)
      rows.followState = FollowState(.stale, reason: "the slot was dropped")
      try await raw.send(try search(.at(101)), 2)
      let error = try await raw.nextError().error
      #expect(error.code == .positionNotReached && error.message.contains("the slot was dropped"), "\(error.message)")
    }
  }

  @Test(arguments: [FollowState(.stale, reason: "the slot was dropped"), nil])
  func whoWaitsIsToldWhenFollowingEnds(state: FollowState?) async throws {
    let rows = try makeFollowing()
    try await withRows([rows]) { _, raw, _ in
      for id: UInt32 in 1...3 { try await raw.send(try search(.at(100 + UInt64(id))), id) }
      try await rows.untilWaiting(3)
      for phase in FollowState.Phase.allCases where phase != .stale {
        rows.followState = FollowState(phase)
        #expect(rows.waiterCount == 3)
      }
      rows.followState = state
      for _ in 1...3 { #expect(try await raw.nextError().error.code == .positionNotReached) }
    }
  }

  // MARK: Of another Postgres

  @Test func positionsOfOthersAreForeign() async throws {
    try await withRows([try makeFollowing()]) { _, raw, _ in
      for asked in [position(1, systemID: 8), position(1, timeline: 1), position(101, timeline: 3)] {
        for request in try requests(.position(asked, waitMilliseconds: 50_000)) {
          try await raw.send(request, 1)
          let (error, closes, _) = try await raw.nextError()
          #expect(error.code == .positionForeign && !closes && !error.message.isEmpty)
        }
      }
    }
  }

  /// As a place in the log, the id of a transaction would be reached long ago.
  @Test(arguments: [false, true]) func aTransactionIsNotTakenForAPlaceInTheLog(isOutbox: Bool) async throws {
    let rows = try makeFollowing()
    let flagged = 2 | Position.transactionsFlag
    rows.position = position(100, timeline: isOutbox ? flagged : 2)
    try await withRows([rows]) { _, raw, _ in
      for timeline: UInt32 in [2, flagged] {
        let asked = position(90, timeline: timeline)
        try await raw.send(try search(.position(asked, waitMilliseconds: 50_000)), 1)
        if asked.countsTransactions == isOutbox {
          #expect(try await raw.nextReply().0.position == rows.position)
        } else {
          let (error, closes, _) = try await raw.nextError()
          #expect(error.code == .positionForeign && !closes)
          #expect(error.message.contains("the id of a transaction") && error.message.contains("a place in the log"))
        }
      }
    }
  }

  /// A promotion while somebody waits: who named the old timeline is told, who named none goes on waiting.
  @Test func aNewTimelineIsJudgedAnew() async throws {
    let rows = try makeFollowing()
    try await withRows([rows]) { _, raw, _ in
      try await raw.send(try search(.at(200)), 1)
      try await raw.send(try search(.position(position(300, timeline: 0), waitMilliseconds: 50_000)), 2)
      try await rows.untilWaiting(2)
      rows.position = position(150, timeline: 3)
      let (error, _, requestID) = try await raw.nextError()
      #expect(error.code == .positionForeign && requestID == 1)
      try await rows.untilWaiting(1)
      rows.position = position(300, timeline: 3)
      let (reply, id) = try await raw.nextReply()
      #expect(reply.position == position(300, timeline: 3) && id == 2)
    }
  }

  // MARK: Threads, queues and connections

  @Test func aHundredWaitAndOneThreadGoesOn() async throws {
    let rows = try makeFollowing()
    try await withRows([rows]) { _, raw, _ in
      for id: UInt32 in 1...100 { try await raw.send(try search(.at(100 + UInt64(id))), id) }
      try await rows.untilWaiting(100)
      try await raw.send(try search(.any), 1_000)
      #expect(try await raw.nextReply().requestID == 1_000)
      // Each is answered as soon as it is reached, and the others go on waiting.
      for id: UInt32 in 1...50 {
        rows.position = position(100 + UInt64(id))
        let (reply, requestID) = try await raw.nextReply()
        #expect(requestID == id && reply.position.appliedLSN == 100 + UInt64(id))
        #expect(rows.waiterCount == 100 - Int(id))
      }
      rows.position = position(1_000)
      var answered: Set<UInt32> = []
      for _ in 51...100 { answered.insert(try await raw.nextReply().requestID) }
      #expect(answered == Set(51...100))
    }
  }

  @Test func waitingRequestsAreInFlight() async throws {
    let rows = try makeFollowing()
    try await withRows([rows], .test { $0.limits.requestsInFlightMax = 2 }) { _, raw, _ in
      for id: UInt32 in 1...2 { try await raw.send(try search(.at(101)), id) }
      try await rows.untilWaiting(2)
      try await raw.send(try search(.any), 3)
      let (overloaded, _, third) = try await raw.nextError()
      #expect(overloaded.code == .overloaded && third == 3)
      try await raw.send(try search(.any), 2)
      #expect(try await raw.nextError().error.code == .duplicateRequestID)
    }
  }

  @Test func cancellingGivesThePlaceBackAtOnce() async throws {
    let rows = try makeFollowing()
    try await withRows([rows], .test { $0.limits.requestsInFlightMax = 1 }) { _, raw, _ in
      for _ in 0..<20 {
        try await raw.send(try search(.at(101)), 1)
        try await rows.untilWaiting(1)
        try await raw.send(Cancel(requestID: 1), 0)
        let (error, _, requestID) = try await raw.nextError()
        #expect(error.code == .cancelled && requestID == 1)
        try await rows.untilWaiting(0)
      }
      // Nobody is left who would answer twice.
      rows.position = position(101)
      try await raw.send(try search(.any), 2)
      #expect(try await raw.nextReply().requestID == 2)
    }
  }

  @Test func aLostConnectionWaitsForNothing() async throws {
    let rows = try makeFollowing()
    let source = FakeSource()
    rows.positionSource = source
    try await withRows([rows]) { _, raw, port in
      let lost = try await RawClient.greeted(port: port)
      for id: UInt32 in 1...10 { try await lost.send(try search(.at(101)), id) }
      for id: UInt32 in 11...20 { try await lost.send(try search(.strong(waitMilliseconds: 50_000)), id) }
      try await raw.send(try search(.at(101)), 1)
      try await rows.untilWaiting(21)
      await lost.close()
      try await rows.untilWaiting(1)
      rows.position = position(101)
      #expect(try await raw.nextReply().requestID == 1)
    }
  }

  /// What has waited takes its turn as if it had come now, and is refused as that would be.
  @Test func aFullQueueRefusesWhoHasWaited() async throws {
    let gate = try await Gate()
    let rows = try makeFollowing()
    try await withRows([rows, gate.collection], .test { $0.queuedRequestsMax = 1 }) { _, raw, _ in
      var open: Set<UInt32> = [1, 2, 3, 4]
      do {
        for id: UInt32 in 1...3 {
          try await raw.send(try search(.at(101)), id)
          try await rows.untilWaiting(Int(id))
        }
        try await raw.send(gate.request, 4)
        try await raw.send(Ping(), 9)
        #expect(await raw.next()?.header.kind == .pong)  // so the gate's request is in the queue or with the thread
        rows.position = position(101)
        for _ in 0..<2 {
          let (error, _, requestID) = try await raw.nextError()
          let isFirst = open.remove(requestID) != nil
          #expect(error.code == .overloaded && isFirst && requestID != 4)
        }
      } catch {
        // The server does not end before its threads do.
        gate.open()
        throw error
      }
      gate.open()
      for _ in 0..<2 { open.remove(try #require(await raw.next()).header.requestID) }
      #expect(open.isEmpty && rows.waiterCount == 0)
    }
  }

  /// A client by itself is answered on the event loop, which must not wait either.
  @Test func anEventLoopGoesOn() async throws {
    let rows = try makeFollowing()
    try await withRows([rows], .test { $0.networkThreads = 1 }) { _, raw, port in
      for _ in 0..<5 {
        try await Task.sleep(for: LoneConnection.time.asDuration)
        try await raw.send(try search(.any), 1)
        #expect(try await raw.nextReply().requestID == 1)
      }
      try await raw.send(try search(.at(101)), 2)
      try await rows.untilWaiting(1)
      try await raw.send(Ping(), 3)
      #expect(await raw.next()?.header.kind == .pong)
      rows.position = position(101)
      let (reply, requestID) = try await raw.nextReply()
      #expect(reply.position == position(101) && requestID == 2)
    }
  }

  // MARK: Other collections, and the end

  @Test func whoWaitsMovesToTheCollectionThatComes() async throws {
    let old = try makeFollowing()
    try await withRows([old]) { catalog, raw, _ in
      for id: UInt32 in 1...3 { try await raw.send(try search(.at(100 * UInt64(id + 1))), id) }
      try await old.untilWaiting(3)
      let new = try makeFollowing(at: position(200))
      catalog.publish(new)
      let (first, firstID) = try await raw.nextReply()
      #expect(first.position == position(200) && firstID == 1)
      try await new.untilWaiting(2)
      #expect(old.waiterCount == 0)
      // The old one has no say any more.
      old.position = position(1_000)
      catalog.publish(new)
      #expect(new.waiterCount == 2)
      new.position = position(300)
      let (second, secondID) = try await raw.nextReply()
      #expect(second.position == position(300) && secondID == 2)
      // One that is of another Postgres, and then none at all.
      let other = try makeFollowing(at: position(9_999, systemID: 8))
      catalog.publish(other)
      let (foreign, _, thirdID) = try await raw.nextError()
      #expect(foreign.code == .positionForeign && thirdID == 3)
      try await raw.send(try search(.position(position(10_000, systemID: 8), waitMilliseconds: 50_000)), 4)
      try await other.untilWaiting(1)
      catalog.remove("rows")
      #expect(try await raw.nextError().error.code == .unknownCollection)
    }
  }

  @Test func aServerThatEndsWaitsForNothing() async throws {
    let rows = try makeFollowing()
    let source = FakeSource()
    rows.positionSource = source
    try await withServiceGroup([rows], .test { $0.searchThreads = 1 }) { group, port in
      let raw = try await RawClient.greeted(port: port)
      for id: UInt32 in 1...5 { try await raw.send(try search(.at(101)), id) }
      for id: UInt32 in 6...8 { try await raw.send(try search(.strong(waitMilliseconds: 50_000)), id) }
      try await rows.untilWaiting(8)
      await group.triggerGracefulShutdown()
      var ended: Set<UInt32> = []
      for _ in 1...8 {
        let (error, closes, requestID) = try await raw.nextError()
        #expect(error.code == .shuttingDown && !closes)
        ended.insert(requestID)
      }
      #expect(ended == Set(1...8) && rows.waiterCount == 0)
      try await raw.expectEnd(.shuttingDown, requestID: 0)
      // Who was asked may answer late.
      try source.answer(.success(start))
    }
  }

  // MARK: What is told

  @Test func staleCollectionsAnswerAndSaySo() async throws {
    let rows = try makeFollowing()
    try await withServer([rows]) { _, port in
      let client = try await VectorClient.connect(host: "127.0.0.1", port: port)
      for phase in FollowState.Phase.allCases {
        rows.followState = FollowState(phase)
        let found = try await client.search("rows", vectors: [[Float](repeating: 1, count: 8)], k: 3)
        let near = try await client.search("rows", ids: [.int64(1)], k: 3)
        let like = try await client.search("rows", like: [.int64(1)], k: 3)
        let fetched = try await client.fetch("rows", ids: [.int64(1)])
        for isStale in [found.isStale, near.isStale, like.isStale, fetched.isStale] {
          #expect(isStale == (phase == .stale), "\(phase)")
        }
        #expect(found.answers[0].results.count == 3 && fetched.vectors.count == 1)
      }
      await client.close()
    }
  }

  @Test func statisticsTellOfFollowing() async throws {
    let rows = try makeCollection(position: Position(systemID: 7, appliedLSN: 0x16_B374_D848, timeline: 2))
    func told() -> [String: Statistic.Value] {
      Dictionary(rows.statistics().map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
    }
    var statistics = told()
    #expect(statistics["applied_lsn"] == .text("16/B374D848") && statistics["system_id"] == .integer(7))
    #expect(statistics["timeline"] == .integer(2) && statistics["waiting_requests"] == .integer(0))
    #expect(statistics["follow_state"] == .text("none") && statistics["lag_bytes"] == nil)

    rows.followState = FollowState(
      .stalled, reason: "the connection was lost", lagBytes: 12_345, lagTransactions: 3,
      behindSince: ContinuousClock.now - .seconds(90), lastCommitTime: 757_382_400_000_000)
    statistics = told()
    #expect(statistics["follow_state"] == .text("stalled") && statistics["lag_bytes"] == .integer(12_345))
    #expect(statistics["follow_reason"] == .text("the connection was lost"))
    #expect(statistics["lag_transactions"] == .integer(3))
    #expect(statistics["last_commit"] == .text("2024-01-01T00:00:00Z"))
    guard case .integer(let milliseconds) = statistics["lag_milliseconds"] else {
      Issue.record("no lag_milliseconds")
      return
    }
    #expect(milliseconds >= 90_000)

    // A reason of any length fits the wire.
    rows.followState = FollowState(.inStep, reason: String(repeating: "é", count: 100_000))
    statistics = told()
    #expect(statistics["lag_milliseconds"] == .integer(0) && statistics["last_commit"] == nil)
    #expect(StatisticsReply(rows.statistics()).frame(requestID: 1).readableBytes < 4_096)
  }

  @Test func theSwiftClientAsksForIt() async throws {
    let rows = try makeFollowing()
    try await withServer([rows]) { _, port in
      let client = try await VectorClient.connect(host: "127.0.0.1", port: port)
      async let waiting = client.fetch("rows", ids: [.int64(1)], freshness: .at(101))
      try await rows.untilWaiting(1)
      rows.position = position(101)
      #expect(try await waiting.position == position(101))
      var modifiers = SearchModifiers()
      modifiers.freshness = .at(102, waiting: 1)
      let late = await #expect(throws: VectorClientError.self) {
        try await client.search("rows", ids: [.int64(1)], k: 3, modifiers: modifiers)
      }
      #expect(late?.code == .refused && late?.serverError?.code == .positionNotReached)
      modifiers.freshness = .strong(waitMilliseconds: 60_001)
      let refused = await #expect(throws: VectorClientError.self) {
        try await client.search("rows", ids: [.int64(1)], k: 3, modifiers: modifiers)
      }
      #expect(refused?.code == .invalidRequest)
      await client.close()
    }
  }
}

extension TimeAmount {
  fileprivate var asDuration: Duration { .nanoseconds(nanoseconds) }
}
