// Requests that cannot be answered: each gets its code, and the connection lives on.

import NIOCore
import Testing
import VectorClient
import VectorIndex
import VectorWire

@testable import VectorServer

@Suite(.timeLimit(.minutes(1))) struct RefusalTests {
  private func withClient(
    _ collections: [Collection], limits: WireLimits = WireLimits(), _ body: (VectorClient) async throws -> Void
  ) async throws {
    try await withServer(collections, .test({ $0.limits = limits })) { _, port in
      let client = try await VectorClient.connect(host: "127.0.0.1", port: port)
      try await body(client)
      try await client.ping()
      await client.close()
    }
  }

  private func expect(
    _ code: WireError.Code, _ location: SourceLocation = #_sourceLocation, _ request: () async throws -> Void
  ) async {
    let error = await #expect(throws: VectorClientError.self, sourceLocation: location) { try await request() }
    #expect(error?.serverError?.code == code, "\(String(describing: error))", sourceLocation: location)
    #expect(error?.serverError?.message.isEmpty == false, sourceLocation: location)
  }

  @Test func queriesThatCannotBe() async throws {
    let good = [[Float]](repeating: [Float](repeating: 1, count: 8), count: 1)
    try await withClient([try makeCollection(), try makeCollection("l2", metric: .l2)]) { client in
      await expect(.unknownCollection) { _ = try await client.search("nowhere", vectors: good, k: 1) }
      await expect(.unknownCollection) { _ = try await client.search("", vectors: good, k: 1) }
      await expect(.unknownCollection) { _ = try await client.statistics("nowhere") }
      await expect(.dimensionMismatch) { _ = try await client.search("rows", vectors: [[1, 2]], k: 1) }
      await expect(.dimensionMismatch) {
        _ = try await client.search("rows", vectors: [[Float](repeating: 1, count: 9)], k: 1)
      }
      for bad in [Float.nan, .infinity, -.infinity] {
        for place in [0, 7] {
          var vector = good[0]
          vector[place] = bad
          await expect(.notFinite) { _ = try await client.search("rows", vectors: good + [vector], k: 1) }
          await expect(.notFinite) { _ = try await client.search("l2", vectors: [vector], k: 1, as: .float16) }
        }
      }
      let zero = [[Float](repeating: 0, count: 8)]
      await expect(.zeroVector) { _ = try await client.search("rows", vectors: good + zero, k: 1) }
      let atZero = try await client.search("l2", vectors: zero, k: 1)
      #expect(atZero.answers[0].results.count == 1)
    }
  }

  @Test func numbersOverTheirLimits() async throws {
    let good = [[Float](repeating: 1, count: 8)]
    let limits = WireLimits(queriesMax: 3, kMax: 50, efMax: 60)
    try await withClient([try makeCollection()], limits: limits) { client in
      await expect(.invalidK) { _ = try await client.search("rows", vectors: good, k: 0) }
      await expect(.invalidK) { _ = try await client.search("rows", vectors: good, k: 51) }
      await expect(.invalidK) { _ = try await client.search("rows", ids: [.int64(0)], k: 0) }
      await expect(.invalidEffort) { _ = try await client.search("rows", vectors: good, k: 1, effort: 61) }
      await expect(.invalidCount) { _ = try await client.search("rows", vectors: [], k: 1) }
      await expect(.invalidCount) { _ = try await client.search("rows", vectors: good + good + good + good, k: 1) }
      await expect(.invalidCount) { _ = try await client.search("rows", ids: [], k: 1) }
      await expect(.invalidCount) { _ = try await client.fetch("rows", ids: (0..<4).map { .int64($0) }) }
      let most = try await client.search("rows", vectors: good + good + good, k: 50, effort: 60)
      #expect(most.answers.count == 3)
    }
  }

  @Test func idsThatAreNotThereOrOfAnotherKind() async throws {
    try await withClient([try makeCollection()]) { client in
      await expect(.unknownRecord) { _ = try await client.search("rows", ids: [.int64(0), .int64(200)], k: 1) }
      await expect(.recordIDMismatch) { _ = try await client.search("rows", ids: [.int64(0), .text("0")], k: 1) }
      await expect(.recordIDMismatch) { _ = try await client.fetch("rows", ids: [.uuid(high: 0, low: 0)]) }
      await expect(.recordIDMismatch) { _ = try await client.fetch("rows", ids: [.composite([.int64(0)])]) }
    }
  }

  @Test(arguments: [RecordIDKind.int64, .text]) func answersOverTheFrameLimit(kind: RecordIDKind) async throws {
    let queries = randomVectors(10, dimension: 8, seed: 1)
    // 40 + 10 × 24 + 10 × k × 12 bytes for int64 ids.
    let limits = WireLimits(frameBytesMax: 2_680)
    try await withClient([try makeCollection(recordIDKind: kind)], limits: limits) { client in
      await expect(.replyTooLarge) { _ = try await client.search("rows", vectors: queries, k: 21) }
      let ids = (0..<100).map { recordID($0, kind) }
      await expect(.replyTooLarge) { _ = try await client.fetch("rows", ids: ids) }
      let there = try await client.fetch("rows", ids: ids, wantsVectors: false)
      #expect(there.vectors.count == 100)
      guard kind == .int64 else { return }
      let fitting = try await client.search("rows", vectors: queries, k: 20)
      #expect(fitting.answers.count == 10)
    }
  }

  @Test func requestsThatTheClientItselfRefuses() async throws {
    try await withClient([try makeCollection()], limits: WireLimits(frameBytesMax: 1_024)) { client in
      let long = [[Float](repeating: 1, count: 300)]
      for request: () async throws -> Void in [
        { _ = try await client.search("rows", vectors: long, k: 1) },
        { _ = try await client.search("rows", vectors: [[1], [1, 2]], k: 1) },
        { _ = try await client.fetch("rows", ids: [.composite([])]) },
        { _ = try await client.statistics(String(repeating: "x", count: 65_536)) },
      ] {
        let error = await #expect(throws: VectorClientError.self) { try await request() }
        #expect(error?.code == .invalidRequest)
      }
    }
  }

  @Test func kindsAndBodiesThatDoNotDecode() async throws {
    try await withServer([try makeCollection()]) { _, port in
      let raw = try await RawClient.greeted(port: port)
      for kind: UInt8 in [0x00, 0x0B, 0x85, 0xFF] {
        var frame = ByteBuffer()
        FrameHeader(kind: MessageKind(rawValue: kind), bodyLength: 3, requestID: 5).encode(into: &frame)
        frame.writeString("abc")
        try await raw.send(frame)
        let (error, closes, requestID) = try await raw.nextError()
        #expect(error.code == .unknownKind && !closes && requestID == 5)
      }
      for kind in [
        MessageKind.listCollections, .statistics, .search, .searchByID, .fetch, .cancel, .searchLike, .describe,
      ] {
        var frame = ByteBuffer()
        FrameHeader(kind: kind, bodyLength: 3, requestID: 6).encode(into: &frame)
        frame.writeBytes([0, 0, 1])
        try await raw.send(frame)
        let (error, closes, requestID) = try await raw.nextError()
        #expect(error.code == .malformedFrame && !closes && requestID == 6)
      }
      try await raw.send(Ping(), 7)
      #expect(await raw.next()?.header.kind == .pong)
      await raw.close()
    }
  }
}
