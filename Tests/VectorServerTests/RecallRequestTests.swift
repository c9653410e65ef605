// A recall that is asked for, from the client's argument to the walk that it leads to.

import NIOCore
import TestSupport
import Testing
import VectorClient
import VectorIndex
import VectorWire

@testable import VectorServer

@Suite(.timeLimit(.minutes(1))) struct RecallRequestTests {
  private static let dimension = 8
  private static let queries = randomVectors(150, dimension: dimension, seed: 5)

  /// Large enough to be walked, and calibrated on rows or on queries, or not at all.
  private func makeCalibrated(
    _ basis: IndexCalibration.Basis?, target: Float = 0.9, effort: Int = 0
  ) throws -> Collection {
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: Self.dimension, metric: .l2, storage: .f32, recallTarget: target, searchEffort: effort))
    let vectors = randomVectors(3_000, dimension: Self.dimension, seed: 42).flatMap { $0 }
    _ = try vectors.withUnsafeBufferPointer { try index.stage((0..<3_000).map { .int64($0) }, $0) }
    try index.linkStaged(threads: 1, calibrates: false)
    switch basis {
    case .rows: try index.calibrate(threads: 2)
    case .queries: try index.calibrate(queries: Self.queries.flatMap { $0 }, threads: 2)
    case nil: break
    }
    return try Collection(name: "rows", index: index)
  }

  private func withClient(_ collection: Collection, _ body: (VectorClient) async throws -> Void) async throws {
    try await withServer([collection]) { _, port in
      let client = try await VectorClient.connect(host: "127.0.0.1", port: port)
      try await body(client)
      await client.close()
    }
  }

  /// How many distances the index itself takes for each query.
  private func distances(_ index: HNSWIndex, _ options: SearchOptions) throws -> [UInt32] {
    var scratch = SearchScratch(for: index)
    return try Self.queries.map { query in
      try query.withUnsafeBufferPointer { query in
        try index.search(query, options, scratch: &scratch) { UInt32($0.distancesComputed) }
      }
    }
  }

  @Test(arguments: [IndexCalibration.Basis.rows, .queries, nil])
  func aRecallReachesTheWalk(basis: IndexCalibration.Basis?) async throws {
    let collection = try makeCalibrated(basis)
    try await withClient(collection) { client in
      var sums: [Int] = []
      for recall in [nil, 0.8, 0.95, 0.999] as [Double?] {
        let reply = try await client.search("rows", vectors: Self.queries, k: 10, recall: recall)
        let options = SearchOptions(k: 10, recallTarget: recall.map { Float($0) })
        #expect(reply.answers.map(\.distancesComputed) == (try distances(collection.index, options)))
        sums.append(reply.answers.reduce(0) { $0 + Int($1.distancesComputed) })
      }
      // The collection's own .9 lies between. In eight dimensions the least walk finds that already.
      #expect(sums[1] <= sums[0] && sums[0] <= sums[2] && sums[2] < sums[3], "\(sums)")
      let ids = (0..<100).map { RecordID.int64(30 * $0) }
      let few = try await client.search("rows", ids: ids, k: 10, recall: 0.8)
      let many = try await client.search("rows", ids: ids, k: 10, recall: 0.999)
      #expect(few.answers.allSatisfy { $0.results.count == 10 } && many.answers.count == 100)
      #expect(
        few.answers.reduce(0) { $0 + Int($1.distancesComputed) }
          < many.answers.reduce(0) { $0 + Int($1.distancesComputed) })
    }
  }

  @Test func aPinnedEffortGivesWayToARecall() async throws {
    let collection = try makeCalibrated(.rows, effort: 700)
    try await withClient(collection) { client in
      let pinned = try await client.search("rows", vectors: Self.queries, k: 10)
      let asked = try await client.search("rows", vectors: Self.queries, k: 10, recall: 0.8)
      #expect(
        pinned.answers.map(\.distancesComputed) == (try distances(collection.index, SearchOptions(k: 10, effort: 700))))
      for (asked, pinned) in zip(asked.answers, pinned.answers) {
        #expect(asked.distancesComputed < pinned.distancesComputed)
      }
    }
  }

  /// What decides whether an event loop may answer by itself.
  @Test func aRecallIsJudgedByWhatItCosts() {
    var configuration = HNSWConfiguration(dimension: 8, metric: .l2, recallTarget: 0.95)
    let own = configuration.expectedEffort(results: 10)
    #expect(own == configuration.expectedEffort(results: 10, recallTarget: 0.95))
    #expect(configuration.expectedEffort(results: 10, recallTarget: 0.8) < own)
    #expect(configuration.expectedEffort(results: 10, recallTarget: 0.999) > own)
    configuration.searchEffort = 700
    #expect(configuration.expectedEffort(results: 10) == 700)
    #expect(configuration.expectedEffort(results: 10, recallTarget: 0.95) == own)
    #expect(configuration.expectedEffort(results: 5_000, recallTarget: 0.8) >= 5_000)
  }

  @Test func aRecallBesideAnEffortIsRefused() async throws {
    let collection = try makeCollection()
    let vectors = try #require(QueryVectors([[Float](repeating: 1, count: 8)]))
    try await withServer([collection]) { _, port in
      let raw = try await RawClient.greeted(port: port)
      let target = RecallTarget(0.95)
      try await raw.send(
        SearchRequest(.init(collection: "rows", k: 1, effort: 100, recallTarget: target), vectors: vectors), 1)
      try await raw.send(
        SearchByIDRequest(.init(collection: "rows", k: 1, effort: 100, recallTarget: target), ids: [.int64(1)]), 2)
      for id in UInt32(1)...2 {
        let (error, closes, requestID) = try await raw.nextError()
        #expect(error.code == .invalidRecallTarget && !closes && requestID == id)
        #expect(error.message.contains("0.95") && error.message.contains("100"))
      }
      try await raw.send(Ping(), 3)
      #expect(await raw.next()?.header.kind == .pong)
      await raw.close()
    }
  }

  @Test func theClientRefusesWhatCannotBe() async throws {
    let query = [[Float](repeating: 1, count: 8)]
    try await withClient(try makeCollection()) { client in
      for (recall, effort, exact, words) in [
        (0.79, 0, false, "0.8 to 0.999"), (1, 0, false, "0.8 to 0.999"), (.nan, 0, false, "0.8 to 0.999"),
        (0.95, 100, false, "ef of 100"), (0.95, 0, true, "exact"),
      ] as [(Double, Int, Bool, String)] {
        for error in [
          await #expect(throws: VectorClientError.self) {
            try await client.search("rows", vectors: query, k: 1, recall: recall, effort: effort, exact: exact)
          },
          await #expect(throws: VectorClientError.self) {
            try await client.search("rows", ids: [.int64(1)], k: 1, recall: recall, effort: effort, exact: exact)
          },
        ] {
          #expect(error?.code == .invalidRequest && error?.message.contains(words) == true, "\(recall)")
        }
      }
      try await client.ping()
    }
  }

  @Test(arguments: [IndexCalibration.Basis.rows, .queries, nil])
  func statisticsSayWhatSearchesGoBy(basis: IndexCalibration.Basis?) async throws {
    let collection = try makeCalibrated(basis, target: 0.987)
    // Fresh rows are in the tail, or linked already.
    try collection.index.insert(.int64(-1), [Float](repeating: 0, count: 8))
    try await withClient(collection) { client in
      let statistics = try await client.statistics("rows")
      let values = Dictionary(uniqueKeysWithValues: statistics.map { ($0.name, $0.value) })
      #expect(values["recall_target"] == .real(0.987) && values["search_effort"] == .integer(0))
      #expect(values["calibration"] == .text(basis.map { $0 == .rows ? "rows" : "queries" } ?? "none"))
      #expect(values["calibration_queries"] == .integer(basis == nil ? 0 : 150))
      #expect(values["calibration_rows"] == .integer(basis == nil ? 0 : 3_000))
      #expect(values["calibration_current"] == .integer(basis == nil ? 0 : 1))
      #expect(values["tail_rows"] == .integer(UInt64(collection.index.statistics().tailRows)))
    }
  }

  @Test func theIndexesRefusalsHaveCodes() {
    for (code, expected) in [
      (IndexError.Code.invalidRecallTarget, WireError.Code.invalidRecallTarget), (.tooFewQueries, .invalidCount),
    ] {
      let error = WireError(IndexError(code, "because"), of: "query 3")
      #expect(error.code == expected && error.message == "query 3: because")
    }
  }
}
