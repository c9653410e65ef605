// What the server answers to those who ask well, over real sockets.

import NIOCore
import Testing
import VectorClient
import VectorIndex
import VectorWire

@testable import VectorServer

@Suite(.timeLimit(.minutes(1))) struct AnswerTests {
  private func connect(_ port: Int) async throws -> VectorClient {
    try await VectorClient.connect(host: "127.0.0.1", port: port)
  }

  @Test(arguments: RecordIDKind.allCases, [Metric.cosine, .l2, .innerProduct])
  func searchesGiveTheIndexsAnswers(kind: RecordIDKind, metric: Metric) async throws {
    let collection = try makeCollection(metric: metric, recordIDKind: kind)
    let queries = randomVectors(5, dimension: 8, seed: 5)
    let expected = try queries.map { try collection.index.search($0, SearchOptions(k: 7)) }
    try await withServer([collection]) { _, port in
      let client = try await connect(port)
      for exact in [false, true] {
        let reply = try await client.search("rows", vectors: queries, k: 7, exact: exact)
        #expect(reply.position == collection.position && reply.recordIDKind == kind)
        #expect(reply.answers.map { $0.results.map(\.id) } == expected.map { $0.map(\.id) })
        #expect(reply.answers.map { $0.results.map(\.distance) } == expected.map { $0.map(\.distance) })
        #expect(reply.answers.allSatisfy { $0.isExact && $0.distancesComputed >= 200 })
      }
      // By id, a row is asked for with its own vector, and left out.
      let ids = [0, 3, 199].map { recordID($0, kind) }
      let near = try await client.search("rows", ids: ids, k: 3)
      let withSelf = try await client.search("rows", ids: ids, k: 4, includesSelf: true)
      for (i, id) in ids.enumerated() {
        #expect(near.answers[i].results.count == 3 && !near.answers[i].results.contains { $0.id == id })
        #expect(
          withSelf.answers[i].results.filter { $0.id != id }.prefix(3).map(\.id) == near.answers[i].results.map(\.id))
      }
      await client.close()
    }
  }

  @Test func halfPrecisionFindsTheSameNeighbours() async throws {
    let collection = try makeCollection(rows: 50)
    try await withServer([collection]) { _, port in
      let client = try await connect(port)
      // What a half holds exactly comes to the same answer.
      let query: [Float] = [0.5, -0.25, 1, 0.125, -2, 0.75, 0, 1.5]
      let whole = try await client.search("rows", vectors: [query], k: 5)
      let half = try await client.search("rows", vectors: [query], k: 5, as: .float16)
      #expect(whole == half)
      await client.close()
    }
  }

  @Test func moreThanThereAreGivesAllAndNoneGivesNone() async throws {
    let few = try makeCollection("few", rows: 3)
    let none = try makeCollection("none", rows: 0, recordIDKind: .text)
    try await withServer([few, none]) { _, port in
      let client = try await connect(port)
      let query = randomVectors(1, dimension: 8, seed: 1)
      #expect(try await client.search("few", vectors: query, k: 10_000).answers[0].results.count == 3)
      #expect(try await client.search("few", ids: [.int64(1)], k: 10_000).answers[0].results.count == 2)
      let empty = try await client.search("none", vectors: query + query, k: 10)
      #expect(empty.answers.map(\.results) == [[], []] && empty.recordIDKind == .text)
      #expect(try await client.fetch("none", ids: [.text("a")]).vectors == [nil])
      await client.close()
    }
  }

  @Test func fetchGivesVectorsOrOnlyWhetherTheyAreThere() async throws {
    let collection = try makeCollection(metric: .l2)
    let vectors = randomVectors(200, dimension: 8, seed: 42)
    try await withServer([collection]) { _, port in
      let client = try await connect(port)
      let ids: [RecordID] = [.int64(3), .int64(-1), .int64(0), .int64(3)]
      let fetched = try await client.fetch("rows", ids: ids)
      #expect(fetched.vectors == [vectors[3], nil, vectors[0], vectors[3]] && fetched.dimension == 8)
      #expect(fetched.position == collection.position)
      let there = try await client.fetch("rows", ids: ids, wantsVectors: false)
      #expect(there.vectors.map { $0 != nil } == [true, false, true, true] && there.dimension == 0)
      await client.close()
    }
  }

  /// Under another storage than f32, fetched vectors are what is kept of them, and so are answers.
  @Test(arguments: VectorStorage.allCases) func everyStorageIsServed(storage: VectorStorage) async throws {
    let collection = try makeCollection(rows: 1_500, dimension: 24, metric: .l2, storage: storage)
    let vectors = randomVectors(1_500, dimension: 24, seed: 42)
    let queries = randomVectors(5, dimension: 24, seed: 5)
    try await withServer([collection]) { _, port in
      let client = try await connect(port)
      #expect(try await client.collections().map(\.storage) == [storage])
      #expect(try await client.statistics("rows").contains(Statistic("storage", .text(storage.name))))
      let fetched = try await client.fetch("rows", ids: [.int64(3), .int64(1_499)])
      #expect(fetched.vectors == [collection.index.vector(of: .int64(3)), collection.index.vector(of: .int64(1_499))])
      #expect((fetched.vectors == [vectors[3], vectors[1_499]]) == (storage == .f32))
      for exact in [false, true] {
        let options = SearchOptions(k: 7, exact: exact)
        let expected = try queries.map { try collection.index.search($0, options) }
        let reply = try await client.search("rows", vectors: queries, k: 7, exact: exact)
        #expect(reply.answers.map { $0.results.map(\.id) } == expected.map { $0.map(\.id) })
        #expect(reply.answers.map { $0.results.map(\.distance) } == expected.map { $0.map(\.distance) })
        #expect(reply.answers.allSatisfy { $0.isExact == exact })
      }
      await client.close()
    }
  }

  @Test func listStatisticsAndPing() async throws {
    let collections = [
      try makeCollection("z", rows: 3), try makeCollection("é", rows: 0, dimension: 4_096, metric: .innerProduct),
      try makeCollection("a", rows: 1, recordIDKind: .uuid),
    ]
    try await withServer(collections, .test({ $0.serverName = "vizinho/test" })) { _, port in
      let client = try await connect(port)
      #expect(client.welcome.server == "vizinho/test" && client.welcome.limits == WireLimits())
      let listed = try await client.collections()
      #expect(listed.map(\.name) == ["a", "z", "é"])
      #expect(listed.map(\.rows) == [1, 3, 0] && listed.map(\.dimension) == [8, 8, 4_096])
      #expect(listed.map(\.metric) == [.cosine, .cosine, .innerProduct])
      #expect(listed.map(\.recordIDKind) == [.uuid, .int64, .int64])
      #expect(listed.allSatisfy { $0.position.appliedLSN == 99 })
      _ = try await client.search("z", vectors: randomVectors(4, dimension: 8, seed: 1), k: 1)
      let statistics = try await client.statistics("z")
      #expect(statistics.contains(Statistic("rows", .integer(3))))
      #expect(statistics.contains(Statistic("queries", .integer(4))))
      try await client.ping()
      await client.close()

      let raw = try await RawClient.greeted(port: port)
      try await raw.send(Ping(payload: ByteBuffer(string: "hello")), 77)
      let pong = try #require(await raw.next())
      #expect(pong.header.kind == .pong && pong.header.requestID == 77 && pong.body == ByteBuffer(string: "hello"))
      await raw.close()
    }
  }

  @Test func collectionsComeAndGoWhileTheServerRuns() async throws {
    try await withServer([]) { catalog, port in
      let client = try await connect(port)
      #expect(try await client.collections().isEmpty)
      try catalog.publish(makeCollection(rows: 2))
      #expect(
        try await client.search("rows", vectors: randomVectors(1, dimension: 8, seed: 1), k: 9).answers[0].results.count
          == 2)
      // A rebuilt one takes its place, of another shape even.
      let former = try catalog.publish(makeCollection(rows: 5, dimension: 3, recordIDKind: .text))
      #expect(former?.index.count == 2)
      #expect(
        try await client.search("rows", vectors: randomVectors(1, dimension: 3, seed: 1), k: 9).answers[0].results.count
          == 5)
      catalog.remove("rows")
      let error = await #expect(throws: VectorClientError.self) { try await client.fetch("rows", ids: [.text("")]) }
      #expect(error?.serverError?.code == .unknownCollection)
      await client.close()
    }
  }

  /// An index that was replaced must go, though threads keep working memory for the indexes they searched.
  @Test func aReplacedIndexIsFreed() async throws {
    weak var former: HNSWIndex?
    try await withServer([]) { catalog, port in
      let client = try await connect(port)
      do {
        let collection = try makeCollection(rows: 5)
        former = collection.index
        catalog.publish(collection)
      }
      for _ in 0..<20 { _ = try await client.search("rows", vectors: randomVectors(1, dimension: 8, seed: 1), k: 1) }
      #expect(former != nil)
      catalog.remove("rows")
      #expect(former == nil)
      await client.close()
    }
  }

  /// Many tasks over one connection, answers in any order, each to the one who asked.
  @Test func pipelining() async throws {
    let collection = try makeCollection()
    let queries = randomVectors(300, dimension: 8, seed: 9)
    let expected = try queries.map { try collection.index.search($0, SearchOptions(k: 3)).map(\.id) }
    try await withServer([collection], .test({ $0.limits.requestsInFlightMax = 300 })) { _, port in
      let client = try await connect(port)
      try await withThrowingTaskGroup(of: Bool.self) { group in
        for (query, ids) in zip(queries, expected) {
          group.addTask {
            try await client.search("rows", vectors: [query], k: 3).answers[0].results.map(\.id) == ids
          }
        }
        for try await isRight in group { #expect(isRight) }
      }
      await client.close()
    }
  }

  @Test func framesThatComeByteByByte() async throws {
    // However slow the drip.
    try await withServer([try makeCollection(rows: 3)], .test { $0.handshakeTimeout = .seconds(60) }) { _, port in
      let raw = try await RawClient(port: port)
      var bytes = Hello(client: "drip").frame(requestID: 0)
      bytes.writeImmutableBuffer(Ping().frame(requestID: 1))
      bytes.writeImmutableBuffer(FetchRequest(collection: "rows", ids: [.int64(2)]).frame(requestID: 2))
      while let byte = bytes.readSlice(length: 1) { try await raw.send(byte) }
      #expect(await raw.next()?.header.kind == .welcome)
      #expect(await raw.next()?.header.kind == .pong)
      let fetched = try #require(await raw.next())
      #expect(try Fetched(decoding: fetched.body).vectors.count == 1)
      await raw.close()
    }
  }

  /// A burst whose answers fill the outbound buffer many times over while the burst itself is read at once. The client
  /// sends nothing more, so nothing but the emptied buffer can set the server going again.
  @Test func manyLargeAnswersToAShortBurst() async throws {
    let names = (0..<40).map { String(repeating: "\($0 % 10)", count: 250) + "\($0)" }
    let small = try makeCollection(rows: 1)
    let collections = try names.map { try Collection(name: $0, index: small.index) }
    try await withServer(collections) { _, port in
      let raw = try await RawClient.greeted(port: port)
      var burst = ByteBuffer()
      for id in UInt32(1)...2_000 { ListCollections().encodeFrame(into: &burst, requestID: id) }
      try await raw.send(burst)
      for id in UInt32(1)...2_000 {
        let reply = try #require(await raw.next())
        #expect(reply.header.kind == .collections && reply.header.requestID == id && reply.body.readableBytes > 10_000)
      }
      await raw.close()
    }
  }
}
