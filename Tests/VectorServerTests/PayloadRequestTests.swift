// Payload, from the index to the client: what was asked for, of every kind of search, and nothing else.

import TestSupport
import Testing
import VectorClient
import VectorIndex
import VectorWire

@testable import VectorServer

@Suite(.timeLimit(.minutes(1))) struct PayloadRequestTests {
  private static let queries = randomVectors(4, dimension: 8, seed: 5)

  /// 300 rows, called 0, 1, 2, …: `title` is NULL for each seventh, `body` as long as the row's number says.
  private func makeCollection() throws -> Collection {
    var configuration = HNSWConfiguration(
      dimension: 8, metric: .l2, storage: .f32, attributes: try AttributeSchema([AttributeColumn("n", .int64)]))
    configuration.payload = ["title", "body", "größe"]
    let index = try HNSWIndex(configuration: configuration)
    let ids = (0..<300).map { RecordID.int64(Int64($0)) }
    _ = try randomVectors(300, dimension: 8, seed: 42).flatMap { $0 }.withUnsafeBufferPointer {
      try index.stage(
        ids, $0, attributes: (0..<300).map { [.int64(Int64($0 % 10))] }, payload: (0..<300).map(Self.payload))
    }
    try index.linkStaged(threads: 1, calibrates: false)
    return try Collection(name: "rows", index: index)
  }

  private static func payload(_ row: Int) -> [String?] {
    [row % 7 == 0 ? nil : "título \(row)", String(repeating: "x", count: row), "\(row)"]
  }

  private static func payload(_ id: RecordID) -> [String?] {
    if case .int64(let row) = id { payload(Int(row)) } else { [] }
  }

  private func withClient(
    _ limits: WireLimits = WireLimits(), _ body: (VectorClient) async throws -> Void
  ) async throws {
    try await withServer([try makeCollection(), try makeFiltered("bare")], .test { $0.limits = limits }) { _, port in
      let client = try await VectorClient.connect(host: "127.0.0.1", port: port)
      try await body(client)
      try await client.ping()
      await client.close()
    }
  }

  private func asking(_ payload: SearchModifiers.Payload?) -> SearchModifiers {
    var modifiers = SearchModifiers()
    modifiers.payload = payload
    return modifiers
  }

  private func asking(
    _ payload: SearchModifiers.Payload?, _ change: (inout SearchModifiers) throws -> Void
  ) rethrows -> SearchModifiers {
    var modifiers = asking(payload)
    try change(&modifiers)
    return modifiers
  }

  @Test func everySearchBringsWhatIsAskedFor() async throws {
    try await withClient { client in
      for (payload, columns, places) in [
        (.all, ["title", "body", "größe"], [0, 1, 2]), (.columns(["größe", "title"]), ["größe", "title"], [2, 0]),
        (.columns(["body"]), ["body"], [1]),
      ] as [(SearchModifiers.Payload, [String], [Int])] {
        let plain = asking(payload)
        let filtered = try asking(payload) {
          $0.filters = .all(try WireFilter(text: "n < 5"))
          $0.offset = 3
          $0.explains = true
        }
        let grouped = asking(payload) { $0.grouping = .init(attribute: "n", perGroup: 3) }
        let diverse = asking(payload) { $0.diversity = .init(lambda: 0.5) }
        for modifiers in [plain, filtered, grouped, diverse] {
          let replies = [
            try await client.search("rows", vectors: Self.queries, k: 10, modifiers: modifiers),
            try await client.search("rows", ids: [.int64(1), .int64(2)], k: 10, modifiers: modifiers),
            try await client.search("rows", like: [.int64(1)], unlike: [.int64(2)], k: 10, modifiers: modifiers),
          ]
          for reply in replies {
            #expect(reply.payloadColumns == columns && reply.parts.contains(.payload))
            for result in reply.answers.flatMap(\.results) {
              let row = Self.payload(result.id)
              #expect(result.payload == places.map { row[$0] }, "\(result.id)")
            }
            #expect(reply.answers.allSatisfy { !$0.results.isEmpty })
          }
        }
      }
      let without = try await client.search("rows", vectors: Self.queries, k: 10)
      #expect(without.payloadColumns.isEmpty && without.parts.isEmpty)
      #expect(without.answers.flatMap(\.results).allSatisfy { $0.payload.isEmpty })
      #expect(try await client.describe("rows").payload == ["title", "body", "größe"])
    }
  }

  @Test func columnsThatAreNotThereAreNamed() async throws {
    try await withClient { client in
      for (name, columns, code, words) in [
        ("rows", ["title", "titel"], .unknownAttribute, ["titel", "title, body, größe"]),
        ("rows", ["n"], .unknownAttribute, ["\"n\"", "title, body, größe"]),
        ("rows", ["gro\u{308}ße"], .unknownAttribute, ["größe"]),
        ("rows", ["body", "body"], .invalidOption, ["body", "twice"]),
        ("bare", ["title"], .unknownAttribute, ["title", "none"]),
      ] as [(String, [String], WireError.Code, [String])] {
        let requests: [() async throws -> SearchReply] = [
          { try await client.search(name, vectors: Self.queries, k: 1, modifiers: asking(.columns(columns))) },
          { try await client.search(name, ids: [.int64(1)], k: 1, modifiers: asking(.columns(columns))) },
          { try await client.search(name, like: [.int64(1)], k: 1, modifiers: asking(.columns(columns))) },
        ]
        for request in requests {
          let error = await #expect(throws: VectorClientError.self) { _ = try await request() }
          #expect(error?.serverError?.code == code, "\(String(describing: error))")
          for word in words { #expect(error?.serverError?.message.contains(word) == true) }
        }
      }
      for columns in [[], (0..<65).map { "c\($0)" }, [String(repeating: "x", count: 70_000)]] {
        let error = await #expect(throws: VectorClientError.self) {
          try await client.search("rows", vectors: Self.queries, k: 1, modifiers: asking(.columns(columns)))
        }
        #expect(error?.code == .invalidRequest)
      }
      // All of nothing is nothing.
      let none = try await client.search("bare", vectors: Self.queries, k: 3, modifiers: asking(.all))
      #expect(
        none.parts == .payload && none.payloadColumns.isEmpty && none.answers.allSatisfy { $0.results.count == 3 })
    }
  }

  @Test func aReplyIsNotLongerForIt() async throws {
    // 300 bodies of 150 bytes on average.
    try await withClient(WireLimits(frameBytesMax: 40_000)) { client in
      let error = await #expect(throws: VectorClientError.self) {
        try await client.search("rows", vectors: Self.queries, k: 300, modifiers: asking(.columns(["body"])))
      }
      #expect(error?.serverError?.code == .replyTooLarge)
      let fits = try await client.search(
        "rows", vectors: Self.queries, k: 300, modifiers: asking(.columns(["größe"])))
      #expect(fits.answers.allSatisfy { $0.results.count == 300 })
    }
  }
}
