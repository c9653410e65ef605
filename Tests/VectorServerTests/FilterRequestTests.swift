// Filters and what else a search may ask for, from the client's request to the index and back.

import NIOCore
import TestSupport
import Testing
import VectorClient
import VectorIndex
import VectorWire

@testable import VectorServer

/// 600 rows of 8 dimensions, called 0, 1, 2, …: `n` is the id, `tenant` its remainder by 10, `lang` pt for even ids and en for others (NULL
/// for each hundredth), `doc` the id divided by 3, `tags` some of a, b, c.
func makeFiltered(_ name: String = "rows", rows: Int = 600, dimension: Int = 8, metric: Metric = .l2) throws
  -> Collection
{
  let schema = try AttributeSchema([
    AttributeColumn("n", .int64), AttributeColumn("tenant", .int64),
    AttributeColumn("lang", .keyword, ordersBytewise: true),
    AttributeColumn("title", .keyword, isIndexed: false), AttributeColumn("price", .float64),
    AttributeColumn("created", .timestamp), AttributeColumn("doc", .int64), AttributeColumn("tags", .keywordArray),
  ])
  let index = try HNSWIndex(
    configuration: HNSWConfiguration(dimension: dimension, metric: metric, storage: .f32, attributes: schema))
  let vectors = randomVectors(rows, dimension: dimension, seed: 42).flatMap { $0 }
  let attributes = (0..<rows).map { row -> [AttributeValue] in
    let n = Int64(row)
    return [
      .int64(n), .int64(n % 10), row % 100 == 0 ? .null : .keyword(row % 2 == 0 ? "pt" : "en"),
      .keyword("title \(row)"),
      .float64(Double(row) / 2), .timestamp(n * 1_000_000), .int64(n / 3),
      .array(row % 4 == 0 ? [.keyword("a")] : [.keyword("b"), .null]),
    ]
  }
  _ = try vectors.withUnsafeBufferPointer {
    try index.stage((0..<rows).map { .int64(Int64($0)) }, $0, attributes: attributes)
  }
  try index.linkStaged(threads: 1, calibrates: false)
  return try Collection(name: name, index: index, position: Position(systemID: 7, appliedLSN: 99, timeline: 2))
}

@Suite(.timeLimit(.minutes(1))) struct FilterRequestTests {
  private static let queries = randomVectors(6, dimension: 8, seed: 5)

  private func withClient(_ collection: Collection, _ body: (VectorClient) async throws -> Void) async throws {
    try await withServer([collection]) { _, port in
      let client = try await VectorClient.connect(host: "127.0.0.1", port: port)
      try await body(client)
      try await client.ping()
      await client.close()
    }
  }

  private func modifiers(_ change: (inout SearchModifiers) throws -> Void) rethrows -> SearchModifiers {
    var modifiers = SearchModifiers()
    try change(&modifiers)
    return modifiers
  }

  private func numbers(_ answer: QueryAnswer) -> [Int] {
    answer.results.map { if case .int64(let n) = $0.id { Int(n) } else { -1 } }
  }

  // MARK: Filters

  /// The tree and its text find what the index finds, and the receipt says how.
  @Test func aFilterReachesTheIndex() async throws {
    let collection = try makeFiltered()
    let filters: [Filter] = [
      .comparison("tenant", .equal, .int64(7)), .always(true), .always(false),
      .and([.isIn("lang", [.keyword("pt"), .null]), .comparison("price", .greaterOrEqual, .int64(100))]),
      .or([.isNull("lang"), .anyEqual("tags", .keyword("a"))]), .not(.contains("tags", [.keyword("b")])),
      .overlaps("tags", [.keyword("a"), .keyword("c")]), .hasPrefix("title", "title 1"),
      .between("created", .timestamp(5_000_000), .timestamp(60_000_000)),
      .comparison("created", .less, .keyword("2000-01-01T00:00:30Z")), .comparison("lang", .less, .keyword("f")),
    ]
    try await withClient(collection) { client in
      for filter in filters {
        let expected = try Self.queries.map {
          try collection.index.search($0, SearchOptions(k: 10), matching: try collection.index.compile(filter))
        }
        let matching = try collection.index.search(
          Self.queries[0], SearchOptions(k: 600, exact: true), matching: try collection.index.compile(filter)
        ).count
        for wire in [try WireFilter(filter), try WireFilter(text: filter.description)] {
          let reply = try await client.search(
            "rows", vectors: Self.queries, k: 10, modifiers: modifiers { $0.filters = .all(wire) })
          #expect(reply.answers.map { $0.results.map(\.id) } == expected.map { $0.map(\.id) }, "\(filter)")
          #expect(reply.answers.map { $0.results.map(\.distance) } == expected.map { $0.map(\.distance) })
          for answer in reply.answers {
            #expect(answer.receipt.filtering?.matchingRows == UInt64(matching))
            #expect((answer.receipt.filtering?.plan == .nothingMatches) == (matching == 0))
            #expect(answer.receipt.shortfall == (answer.results.count < 10 ? .fewMatch : nil))
            #expect(answer.explanation == nil && answer.results.allSatisfy { $0.group == nil })
          }
        }
      }
      let plain = try await client.search("rows", vectors: Self.queries, k: 10)
      #expect(plain.answers.allSatisfy { $0.receipt.filtering == nil && $0.receipt.shortfall == nil })
    }
  }

  @Test func eachQueryMayHaveItsOwn() async throws {
    let collection = try makeFiltered()
    let filters = try (0..<5).map { try WireFilter(.comparison("tenant", .equal, .int64(Int64($0 / 2)))) } + [nil]
    try await withClient(collection) { client in
      let each = modifiers { $0.filters = .each(filters) }
      let reply = try await client.search("rows", vectors: Self.queries, k: 20, modifiers: each)
      let byID = try await client.search("rows", ids: (0..<6).map { .int64($0) }, k: 20, modifiers: each)
      for answers in [reply.answers, byID.answers] {
        for (i, answer) in answers.enumerated() {
          #expect(answer.results.count == 20)
          if i < 5 { #expect(numbers(answer).allSatisfy { $0 % 10 == i / 2 }) }
          #expect(answer.receipt.filtering?.matchingRows == (i < 5 ? 60 : nil))
        }
      }
      #expect(byID.answers.enumerated().allSatisfy { i, answer in !numbers(answer).contains(i) })
      let error = await #expect(throws: VectorClientError.self) {
        try await client.search("rows", vectors: Self.queries + Self.queries, k: 1, modifiers: each)
      }
      #expect(error?.code == .invalidRequest && error?.message.contains("12 queries") == true)
    }
  }

  @Test func wrongFiltersAreNamed() async throws {
    let collection = try makeFiltered()
    let bare = try makeCollection("bare")
    try await withServer([collection, bare]) { _, port in
      let client = try await VectorClient.connect(host: "127.0.0.1", port: port)
      func refusal(_ name: String, _ filters: SearchModifiers.Filters) async -> WireError? {
        let error = await #expect(throws: VectorClientError.self) {
          try await client.search(name, vectors: Self.queries, k: 1, modifiers: modifiers { $0.filters = filters })
        }
        return error?.serverError
      }
      for (text, code, words) in [
        ("tennant = 7", WireError.Code.unknownAttribute, "tennant"),
        ("tenant = 'seven'", .filterTypeMismatch, "tenant"),
        ("title < 'x'", .orderRefused, "title"), ("tenant = ", .invalidFilter, "expected"),
        ("", .invalidFilter, "expected"),
        ("created > '2024-01-01'", .filterTypeMismatch, "offset"),
      ] {
        let error = await refusal("rows", .all(try WireFilter(text: text)))
        #expect(error?.code == code && error?.message.contains(words) == true, "\(text): \(String(describing: error))")
      }
      #expect(await refusal("rows", .all(try WireFilter(.isIn("tenant", []))))?.code == .invalidFilter)
      #expect(await refusal("bare", .all(try WireFilter(.isNull("tenant"))))?.code == .unknownAttribute)
      let each = [WireFilter?](repeating: nil, count: 5) + [try WireFilter(text: "lang = 1")]
      let error = await refusal("rows", .each(each))
      #expect(error?.code == .filterTypeMismatch && error?.message.hasPrefix("query 5: ") == true)
      try await client.ping()
      await client.close()
    }
  }

  /// Bytes of a filter that nobody wrote are answered, and the connection lives on.
  @Test func filtersThatDoNotRead() async throws {
    try await withServer([try makeFiltered()]) { _, port in
      let raw = try await RawClient.greeted(port: port)
      for (id, (content, code))
        in ([
          ([3], .unsupportedOption), ([1], .malformedFrame),
          ([1] + [UInt8](repeating: 12, count: 100_000), .invalidFilter),
          ([2, 0xC3, 0x28], .malformedFrame),
        ] as [([UInt8], WireError.Code)]).enumerated()
      {
        var body = ByteBuffer()
        body.writeMultipleIntegers(1 as UInt32, 0 as UInt32, 1 as UInt8, 4 as UInt8, 0 as UInt16, endianness: .little)
        body.writeMultipleIntegers(8 as UInt32, 1 as UInt32, 4 as UInt16, endianness: .little)
        body.writeString("rows")
        body.writeMultipleIntegers(UInt32(8 + content.count), 1 as UInt32, UInt32(content.count), endianness: .little)
        body.writeBytes(content)
        body.writeBytes([UInt8](repeating: 0, count: 32))
        var frame = ByteBuffer()
        FrameHeader(kind: .search, bodyLength: UInt32(body.readableBytes), requestID: UInt32(id + 1)).encode(
          into: &frame)
        frame.writeBuffer(&body)
        try await raw.send(frame)
        let (error, closes, requestID) = try await raw.nextError()
        #expect(error.code == code && !closes && requestID == UInt32(id + 1), "\(error)")
      }
      await raw.close()
    }
  }

  /// Requests of which some bytes were changed are answered one by one, with a reply or with an error.
  @Test func mutatedRequestsAreAnswered() async throws {
    let filter = "tenant in (1, 2) and (lang = 'pt' or tags @> {'a'}) and title prefix 'title 1' and not (price < 2.5)"
    let whole = try WireFilter(
      Filter(parsing: filter, schema: try makeFiltered(rows: 1).index.configuration.attributes))
    try await withServer([try makeFiltered()]) { _, port in
      let raw = try await RawClient.greeted(port: port)
      var answers = (replies: 0, errors: 0)
      for seed in UInt64(1)...400 {
        var random = SeededRandom(seed: seed)
        let modifiers = modifiers {
          $0.filters = seed.isMultiple(of: 2) ? .all(whole) : .each([whole, nil, whole])
          $0.distanceMax = 50
          $0.offset = 3
          if seed.isMultiple(of: 3) { $0.grouping = .init(attribute: "doc", perGroup: 2) }
          if seed.isMultiple(of: 5) { $0.diversity = .init(lambda: 0.5, candidates: 60) }
          $0.explains = true
        }
        let ids = (0..<3).map { _ in RecordID.int64(.random(in: 0..<600, using: &random)) }
        let request = SearchByIDRequest(.init(collection: "rows", k: 5, modifiers: modifiers), ids: ids)
        var frame = request.frame(requestID: UInt32(seed))
        // After the collection's name, where the modifiers are.
        let body = WireProtocol.headerBytes + 22
        for _ in 0..<Int.random(in: 0...3, using: &random) {
          let at = Int.random(in: body..<frame.writerIndex, using: &random)
          frame.setInteger(UInt8.random(in: .min ... .max, using: &random), at: at)
        }
        try await raw.send(frame)
        let reply = try #require(await raw.next(), "seed \(seed)")
        #expect(reply.header.requestID == UInt32(seed))
        if reply.header.kind == .error {
          let error = try ErrorReply(decoding: reply.body)
          #expect(!error.closes && error.error.code != .internal, "seed \(seed): \(error.error)")
          answers.errors += 1
        } else {
          #expect(try SearchReply(decoding: reply.body).answers.count == 3, "seed \(seed)")
          answers.replies += 1
        }
      }
      #expect(answers.replies > 50 && answers.errors > 50, "\(answers)")
      await raw.close()
    }
  }

  // MARK: Other modifiers

  @Test func aLimitAndAPage() async throws {
    let collection = try makeFiltered()
    try await withClient(collection) { client in
      let all = try await client.search("rows", vectors: Self.queries, k: 30, exact: true)
      let limit = all.answers[0].results[11].distance
      let near = try await client.search(
        "rows", vectors: Self.queries, k: 30, exact: true, modifiers: modifiers { $0.distanceMax = limit })
      for (i, answer) in near.answers.enumerated() {
        #expect(
          numbers(answer)
            == numbers(all.answers[i]).enumerated().filter { j, _ in all.answers[i].results[j].distance <= limit }.map(
              \.1))
        #expect(answer.receipt.shortfall == (answer.results.count < 30 ? .threshold : nil))
      }
      #expect(near.answers[0].receipt.shortfall == .threshold)
      let page = try await client.search(
        "rows", vectors: Self.queries, k: 10, exact: true, modifiers: modifiers { $0.offset = 20 })
      #expect(page.answers.map(numbers) == all.answers.map { Array(numbers($0)[20...]) })
      let past = try await client.search("rows", ids: [.int64(3)], k: 10, modifiers: modifiers { $0.offset = 595 })
      #expect(past.answers[0].results.count == 4 && past.answers[0].receipt.shortfall == .fewMatch)
    }
  }

  @Test func groups() async throws {
    let collection = try makeFiltered()
    try await withClient(collection) { client in
      let grouped = modifiers { $0.grouping = .init(attribute: "doc", perGroup: 2) }
      let reply = try await client.search("rows", vectors: Self.queries, k: 5, modifiers: grouped)
      #expect(reply.parts == .groups)
      for answer in reply.answers {
        let groups = answer.results.compactMap(\.group)
        #expect(groups.count == answer.results.count && groups == groups.sorted() && Set(groups) == [0, 1, 2, 3, 4])
        for group in UInt32(0)..<5 {
          let rows = zip(numbers(answer), groups).filter { $0.1 == group }.map(\.0)
          #expect((1...2).contains(rows.count) && Set(rows.map { $0 / 3 }).count == 1)
        }
      }
      let few = try await client.search(
        "rows", vectors: Self.queries, k: 20,
        modifiers: modifiers {
          $0.grouping = .init(attribute: "tenant", perGroup: 1)
        })
      #expect(few.answers.allSatisfy { $0.results.count == 10 && $0.receipt.shortfall == .groups })
    }
  }

  @Test func diversityAndExamples() async throws {
    let collection = try makeFiltered()
    try await withClient(collection) { client in
      let near = try await client.search("rows", vectors: Self.queries, k: 10, exact: true)
      let relevant = try await client.search(
        "rows", vectors: Self.queries, k: 10, exact: true, modifiers: modifiers { $0.diversity = .init(lambda: 1) })
      #expect(relevant.answers.map(numbers) == near.answers.map(numbers))
      let diverse = try await client.search(
        "rows", vectors: Self.queries, k: 10, exact: true,
        modifiers: modifiers { $0.diversity = .init(lambda: 0.1, candidates: 200) })
      #expect(diverse.answers.map(numbers) != near.answers.map(numbers))
      #expect(diverse.answers.allSatisfy { Set(numbers($0)).count == 10 })

      // Like one row is what is near it, without that row.
      let byID = try await client.search("rows", ids: [.int64(7)], k: 10, exact: true)
      let like = try await client.search("rows", like: [.int64(7)], k: 10, exact: true)
      #expect(like.answers.map(numbers) == byID.answers.map(numbers) && like.answers.count == 1)
      let both = try await client.search(
        "rows", like: [.int64(7), .int64(8)], unlike: [.int64(9)], k: 100, exact: true, includesSelf: true,
        modifiers: try modifiers { $0.filters = .all(try WireFilter(text: "n between 7 and 20")) })
      #expect(Set(numbers(both.answers[0])) == Set(7...20) && both.answers[0].receipt.filtering?.matchingRows == 14)
      for (positives, negatives, code) in [
        ([], [.int64(1)], .invalidCount), ([], [], .invalidCount), ([.int64(7)], [.int64(600)], .unknownRecord),
        ([.text("7")], [], .recordIDMismatch),
      ] as [([RecordID], [RecordID], WireError.Code)] {
        let error = await #expect(throws: VectorClientError.self) {
          try await client.search("rows", like: positives, unlike: negatives, k: 1)
        }
        #expect(error?.serverError?.code == code, "\(String(describing: error))")
      }
    }
  }

  @Test func optionsThatCannotBe() async throws {
    let collection = try makeFiltered()
    try await withClient(collection) { client in
      for (change, k, code) in [
        ({ $0.distanceMax = .nan }, 1, .invalidOption), ({ $0.offset = 10_000 }, 1, .invalidOption),
        ({ $0.offset = .max }, 1, .invalidOption),
        ({ $0.grouping = .init(attribute: "doc", perGroup: 0) }, 1, .invalidOption),
        ({ $0.grouping = .init(attribute: "doc", perGroup: 101) }, 1, .invalidOption),
        ({ $0.grouping = .init(attribute: "doc", perGroup: 100) }, 101, .invalidOption),
        ({ $0.grouping = .init(attribute: "doc", perGroup: .max) }, 10_000, .invalidOption),
        ({ $0.grouping = .init(attribute: "tags", perGroup: 1) }, 1, .invalidOption),
        ({ $0.grouping = .init(attribute: "dok", perGroup: 1) }, 1, .unknownAttribute),
        ({ $0.diversity = .init(lambda: .nan) }, 1, .invalidOption),
        ({ $0.diversity = .init(lambda: 1.01) }, 1, .invalidOption),
        ({ $0.diversity = .init(lambda: -0.01) }, 1, .invalidOption),
        ({ $0.diversity = .init(lambda: 0.5, candidates: 4) }, 5, .invalidOption),
        ({ $0.diversity = .init(lambda: 0.5, candidates: .max) }, 5, .invalidOption),
      ] as [((inout SearchModifiers) -> Void, Int, WireError.Code)] {
        let error = await #expect(throws: VectorClientError.self) {
          try await client.search("rows", vectors: Self.queries, k: k, modifiers: modifiers(change))
        }
        #expect(error?.serverError?.code == code, "\(String(describing: error))")
      }
    }
  }

  @Test func explanationsSayWhatWasDone() async throws {
    let collection = try makeFiltered()
    try await withClient(collection) { client in
      let reply = try await client.search(
        "rows", vectors: Self.queries, k: 10,
        modifiers: try modifiers {
          $0.filters = .all(try WireFilter(text: "TENANT=7 AND lang IN('en')"))
          $0.explains = true
          $0.distanceMax = 100
          $0.grouping = .init(attribute: "doc", perGroup: 2)
        })
      for answer in reply.answers {
        let text = try #require(answer.explanation)
        for words in [
          "filter: tenant = 7 and lang in ('en')", "in SQL: \"tenant\" = '7'::int8 and",
          "matching: 60 of 600 rows, 10.0 %",
          "plan: exact scan (", "distance limit: 100", "10 by \"doc\", up to 2",
          "\(answer.distancesComputed) distances",
          "results: \(answer.results.count), exact",
        ] { #expect(text.contains(words), "\(words) is not in:\n\(text)") }
      }
      let plain = try await client.search(
        "rows", ids: [.int64(1)], k: 600, modifiers: modifiers { $0.explains = true })
      #expect(plain.answers[0].explanation?.contains("filter: none, 600 rows") == true)
      #expect(plain.answers[0].explanation?.contains("results: 599, exact: no more rows match") == true)
      // Thousands of values do not make a long explanation.
      let long = try WireFilter(.isIn("n", (0..<10_000).map { .int64($0) }))
      let many = try await client.search(
        "rows", vectors: [[Float]](repeating: Self.queries[0], count: 20), k: 1,
        modifiers: modifiers {
          $0.filters = .all(long)
          $0.explains = true
        })
      #expect(many.answers.allSatisfy { $0.explanation?.contains(" …\n") == true })
    }
  }

  @Test func attributesAreDescribed() async throws {
    let collection = try makeFiltered()
    try await withServer([collection, try makeCollection("bare")]) { _, port in
      let client = try await VectorClient.connect(host: "127.0.0.1", port: port)
      #expect(try await client.describe("rows") == Described(attributes: collection.index.configuration.attributes))
      #expect(try await client.describe("bare") == Described(attributes: .empty))
      let error = await #expect(throws: VectorClientError.self) { try await client.describe("nowhere") }
      #expect(error?.serverError?.code == .unknownCollection)
      await client.close()
    }
  }

  /// Between the queries of a batch, deadlines and cancellations are looked at, filters or not.
  @Test func aFilteredBatchHasADeadline() async throws {
    let collection = try makeFiltered(rows: 2_000, dimension: 32)
    let count = 4_000
    try await withServer([collection], .test { $0.limits.queriesMax = count }) { _, port in
      let raw = try await RawClient.greeted(port: port)
      let vectors = try #require(QueryVectors([[Float]](repeating: [Float](repeating: 1, count: 32), count: count)))
      let request = SearchRequest(
        .init(
          collection: "rows", k: 1, modifiers: try modifiers { $0.filters = .all(try WireFilter(.always(true))) }),
        vectors: vectors)
      try await raw.send(request, 1, deadlineMilliseconds: 1)
      let (error, closes, requestID) = try await raw.nextError()
      #expect(error.code == .deadlineExceeded && !closes && requestID == 1)
      await raw.close()
    }
  }
}
