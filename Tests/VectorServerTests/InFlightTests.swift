// Requests that are waited for: their ids, their number, their deadlines, and ways not to wait for them.

import NIOCore
import Testing
import VectorClient
import VectorIndex
import VectorWire

@testable import VectorServer

@Suite(.timeLimit(.minutes(1))) struct InFlightTests {
  private let fetch = FetchRequest(collection: "rows", ids: [.int64(0)])

  /// A server with one search thread, and a gate that can hold it.
  private func withGate(
    _ configuration: ServerConfiguration = .test(), adding others: [Collection] = [],
    _ body: (Gate, RawClient, Int) async throws -> Void
  ) async throws {
    var configuration = configuration
    configuration.searchThreads = 1
    configuration.limits.queriesMax = LongWork.queries
    let gate = try await Gate()
    try await withServer([gate.collection, try makeCollection()] + others, configuration) { _, port in
      do {
        let raw = try await RawClient.greeted(port: port)
        try await body(gate, raw, port)
        await raw.close()
      } catch {
        // The server does not end before its threads do.
        gate.open()
        throw error
      }
    }
  }

  @Test func anIDThatIsStillInFlight() async throws {
    try await withGate { gate, raw, _ in
      try await raw.send(gate.request, 5)
      for request: any WireMessage in [Ping(), gate.request, fetch] {
        try await raw.send(request, 5)
        let (error, closes, requestID) = try await raw.nextError()
        #expect(error.code == .duplicateRequestID && !closes && requestID == 5)
      }
      gate.open()
      let reply = try #require(await raw.next())
      #expect(reply.header.kind == .statisticsReply && reply.header.requestID == 5)
      try await raw.send(Ping(), 5)
      #expect(await raw.next()?.header.kind == .pong)
    }
  }

  @Test func tooManyOnOneConnection() async throws {
    try await withGate(.test { $0.limits.requestsInFlightMax = 2 }) { gate, raw, port in
      for id: UInt32 in 1...3 { try await raw.send(gate.request, id) }
      let (error, closes, requestID) = try await raw.nextError()
      #expect(error.code == .overloaded && !closes && requestID == 3)
      // Others have places of their own.
      let other = try await RawClient.greeted(port: port)
      try await other.send(fetch, 1)
      gate.open()
      #expect(await raw.next()?.header.requestID == 1)
      #expect(await raw.next()?.header.requestID == 2)
      #expect(await other.next()?.header.kind == .fetched)
      await other.close()
    }
  }

  @Test func tooManyForTheServer() async throws {
    try await withGate(.test { $0.queuedRequestsMax = 1 }) { gate, raw, _ in
      for id: UInt32 in 1...5 { try await raw.send(gate.request, id) }
      // One with the thread, one in the queue, or only that if the thread was slow to take it.
      var refused: Set<UInt32> = []
      while refused.count < 3 {
        let (error, closes, requestID) = try await raw.nextError()
        #expect(error.code == .overloaded && !closes)
        refused.insert(requestID)
      }
      gate.open()
      for _ in 0..<2 {
        let frame = try #require(await raw.next())
        #expect(!refused.contains(frame.header.requestID))
      }
    }
  }

  @Test func cancelIsAnsweredAtOnce() async throws {
    try await withGate { gate, raw, _ in
      try await raw.send(gate.request, 1)
      try await raw.send(fetch, 2)
      try await raw.send(Cancel(requestID: 99), 0)
      // The waiting one and the one that is worked on; twice makes no difference.
      for id: UInt32 in [2, 1] {
        try await raw.send(Cancel(requestID: id), 0)
        try await raw.send(Cancel(requestID: id), 0)
        let (error, closes, requestID) = try await raw.nextError()
        #expect(error.code == .cancelled && !closes && requestID == id)
      }
      // The id is free, and what the thread brings back for its first owner is not taken for the second's.
      try await raw.send(fetch, 1)
      gate.open()
      let reply = try #require(await raw.next())
      #expect(reply.header.kind == .fetched && reply.header.requestID == 1)
    }
  }

  @Test func aDeadlineThatPassesInTheQueue() async throws {
    try await withGate { gate, raw, _ in
      try await raw.send(gate.request, 1)
      try await raw.send(fetch, 2, deadlineMilliseconds: 1)
      try await Task.sleep(for: .milliseconds(20))
      gate.open()
      #expect(await raw.next()?.header.kind == .statisticsReply)
      let (error, closes, requestID) = try await raw.nextError()
      #expect(error.code == .deadlineExceeded && !closes && requestID == 2)
    }
  }

  @Test func theServersDefaultDeadline() async throws {
    try await withGate(.test { $0.defaultDeadline = .milliseconds(1) }) { gate, raw, _ in
      try await raw.send(gate.request, 1)
      try await raw.send(fetch, 2, deadlineMilliseconds: 60_000)
      try await Task.sleep(for: .milliseconds(20))
      gate.open()
      #expect(try await raw.nextError().error.code == .deadlineExceeded)
      #expect(await raw.next()?.header.kind == .fetched)
    }
  }

  /// A batch ends between two queries when its time is over.
  @Test func aDeadlineThatPassesInABatch() async throws {
    let long = try LongWork.collection()
    try await withServer([long], .test { $0.limits.queriesMax = LongWork.queries }) { _, port in
      let raw = try await RawClient.greeted(port: port)
      try await raw.send(LongWork.request, 1, deadlineMilliseconds: 1)
      let (error, closes, requestID) = try await raw.nextError()
      #expect(error.code == .deadlineExceeded && !closes && requestID == 1)
      #expect(queriesAnswered(long) == .integer(0), "the batch was searched to its end")
      await raw.close()
    }
  }

  @Test func aDisconnectDropsWhatWaits() async throws {
    let long = try LongWork.collection()
    try await withGate(.test { $0.connectionsMax = 1 }, adding: [long]) { gate, raw, port in
      try await raw.send(gate.request, 100)
      for id: UInt32 in 1...20 { try await raw.send(LongWork.request, id) }
      await raw.close()
      // There is one place: who gets it knows that the server has seen the other go.
      let next = try await admitted(port)
      try await next.send(fetch, 1)
      gate.open()
      #expect(await next.next()?.header.kind == .fetched)
      #expect(queriesAnswered(long) == .integer(0), "requests of a client that is gone were searched for")
      await next.close()
    }
  }

  private func queriesAnswered(_ collection: Collection) -> Statistic.Value? {
    collection.statistics().first { $0.name == "queries" }?.value
  }

  // MARK: The Swift client

  @Test func aTimeoutAndACancelledTask() async throws {
    try await withGate { gate, _, port in
      let client = try await VectorClient.connect(host: "127.0.0.1", port: port)
      let late = await #expect(throws: VectorClientError.self) {
        try await client.statistics("gate", timeout: .milliseconds(20))
      }
      #expect(late?.code == .timedOut)
      let task = Task { () -> VectorClientError.Code? in
        do throws(VectorClientError) { _ = try await client.statistics("gate") } catch { return error.code }
        return nil
      }
      try await client.ping()
      task.cancel()
      #expect(await task.value == .cancelled)
      gate.open()
      let fetched = try await client.fetch("rows", ids: [.int64(0)])
      #expect(fetched.vectors.count == 1)
      await client.close()
      let closed = await #expect(throws: VectorClientError.self) { try await client.ping() }
      #expect(closed?.code == .connectionClosed)
    }
  }

  // MARK: Shutdown

  @Test func shutdownWhileBusyAnswersWhatIsInFlight() async throws {
    let gate = try await Gate()
    try await withServiceGroup([gate.collection, try makeCollection()], .test { $0.searchThreads = 1 }) { group, port in
      let idle = try await RawClient.greeted(port: port)
      let busy = try await RawClient.greeted(port: port)
      try await busy.send(gate.request, 1)
      for id: UInt32 in 2...3 { try await busy.send(fetch, id) }
      try await busy.send(Ping(), 9)
      #expect(await busy.next()?.header.kind == .pong)  // so the three before it are in flight
      await group.triggerGracefulShutdown()
      try await idle.expectEnd(.shuttingDown, requestID: 0)
      await #expect(throws: (any Error).self) { _ = try await RawClient(port: port) }
      gate.open()
      for id: UInt32 in 1...3 {
        let reply = try #require(await busy.next())
        #expect(reply.header.kind != .error && reply.header.requestID == id)
      }
      try await busy.expectEnd(.shuttingDown, requestID: 0)
    }
  }

  @Test func shutdownDoesNotWaitForever() async throws {
    let gate = try await Gate()
    try await withServiceGroup([gate.collection], .test { $0.shutdownTimeout = .milliseconds(200) }) { group, port in
      let busy = try await RawClient.greeted(port: port)
      try await busy.send(gate.request, 1)
      try await busy.send(Ping(), 9)
      #expect(await busy.next()?.header.kind == .pong)
      await group.triggerGracefulShutdown()
      #expect(await busy.next() == nil)
      gate.open()
    }
  }

  @Test func cancellationEndsEverythingAtOnce() async throws {
    let raw = try await withServer(
      [try LongWork.collection()], .test { $0.limits.queriesMax = LongWork.queries }
    ) { _, port in
      let raw = try await RawClient.greeted(port: port)
      for id: UInt32 in 1...10 { try await raw.send(LongWork.request, id) }
      return raw
    }
    // What was ready may come; then the end.
    while await raw.next() != nil {}
    #expect(!raw.isActive)
  }
}
