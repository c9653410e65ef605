// A collection with a tenant column: every search names one tenant, and nothing of another's rows is told.

import TestSupport
import Testing
import VectorClient
import VectorIndex
import VectorWire

@testable import VectorServer

@Suite(.timeLimit(.minutes(1))) struct TenantRequestTests {
  private static let queries = randomVectors(3, dimension: 8, seed: 5)

  /// 400 rows, called 0, 1, 2, …, of the tenants 0 to 4 by the id's remainder by 5; those from 390 on have none.
  private func makeCollection() throws -> Collection {
    let schema = try AttributeSchema([AttributeColumn("n", .int64), AttributeColumn("Tenant", .int64, isTenant: true)])
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(dimension: 8, metric: .l2, storage: .f32, attributes: schema))
    for (row, vector) in randomVectors(400, dimension: 8, seed: 42).enumerated() {
      let id = Int64(row)
      try index.insert(.int64(id), vector, attributes: [.int64(id), row < 390 ? .int64(id % 5) : .null])
    }
    return try Collection(name: "rows", index: index)
  }

  private func withClient(_ body: (VectorClient) async throws -> Void) async throws {
    try await withServer([try makeCollection()]) { _, port in
      let client = try await VectorClient.connect(host: "127.0.0.1", port: port)
      try await body(client)
      try await client.ping()
      await client.close()
    }
  }

  private func only(_ filters: SearchModifiers.Filters) -> SearchModifiers {
    var modifiers = SearchModifiers()
    modifiers.filters = filters
    return modifiers
  }

  private func rows(_ answer: QueryAnswer) -> [Int64] {
    answer.results.map { if case .int64(let row) = $0.id { row } else { -1 } }
  }

  private func refusal(_ search: () async throws -> Void) async -> WireError? {
    do {
      try await search()
      Issue.record("was not refused")
      return nil
    } catch { return (error as? VectorClientError)?.serverError }
  }

  /// Each of the three searches, with the same modifiers; the rows named are the tenant's 2.
  private func refusals(_ client: VectorClient, _ modifiers: SearchModifiers) async -> [WireError?] {
    [
      await refusal { _ = try await client.search("rows", vectors: Self.queries, k: 3, modifiers: modifiers) },
      await refusal {
        _ = try await client.search("rows", vectors: Self.queries, k: 3, exact: true, modifiers: modifiers)
      },
      await refusal {
        _ = try await client.search("rows", ids: [.int64(2), .int64(7), .int64(12)], k: 3, modifiers: modifiers)
      },
    ]
  }

  private static let tenant = Filter.comparison("Tenant", .equal, .int64(2))
  private static let few = Filter.comparison("n", .less, .int64(200))

  @Test func searchesWithOneTenantFindItsRows() async throws {
    try await withClient { client in
      for filter in [
        Self.tenant, .and([Self.few, Self.tenant]), .and([Self.few, .and([Self.tenant, .and([Self.few])])]),
        .and([Self.tenant, .or([Self.few, .not(Self.few)])]),
      ] {
        for wire in [try WireFilter(filter), try WireFilter(text: filter.description)] {
          for filters in [SearchModifiers.Filters.all(wire), .each([wire, wire, wire])] {
            let modifiers = only(filters)
            for reply in [
              try await client.search("rows", vectors: Self.queries, k: 20, modifiers: modifiers),
              try await client.search("rows", ids: [.int64(2), .int64(7), .int64(12)], k: 20, modifiers: modifiers),
            ] {
              for answer in reply.answers {
                #expect(answer.results.count == 20 && rows(answer).allSatisfy { $0 % 5 == 2 && $0 < 390 })
              }
            }
          }
          let like = try await client.search(
            "rows", like: [.int64(2), .int64(7)], unlike: [.int64(12)], k: 20, modifiers: only(.all(wire)))
          #expect(like.answers[0].results.count == 20 && rows(like.answers[0]).allSatisfy { $0 % 5 == 2 })
        }
      }
      // A tenant that nobody is has no rows, and that is no error.
      let nobody = try await client.search(
        "rows", vectors: Self.queries, k: 5, modifiers: only(.all(try WireFilter(text: "\"Tenant\" = 99"))))
      #expect(nobody.answers.allSatisfy { $0.results.isEmpty && $0.receipt.filtering?.plan == .nothingMatches })
      // Each query may be of another.
      let each = try await client.search(
        "rows", vectors: Self.queries, k: 5,
        modifiers: only(.each(try (0..<3).map { try WireFilter(text: "\"Tenant\" = \($0)") })))
      for (tenant, answer) in each.answers.enumerated() {
        #expect(answer.results.count == 5 && rows(answer).allSatisfy { $0 % 5 == Int64(tenant) })
      }
    }
  }

  @Test func everyOtherFilterIsRefused() async throws {
    let (tenant, few) = (Self.tenant, Self.few)
    try await withClient { client in
      for filter in [
        few, .always(true), .always(false), .or([tenant, few]), .or([tenant, .always(false)]),
        .not(tenant), .not(.not(tenant)), .and([few, .or([tenant, few])]), .isIn("Tenant", [.int64(2)]),
        .isIn("Tenant", [.int64(2), .int64(3)]), .and([few, .isIn("Tenant", [.int64(2), .int64(3)])]),
        .between("Tenant", .int64(2), .int64(2)), .isNull("Tenant"), .not(.isNull("Tenant")),
        .comparison("Tenant", .equal, .null), .and([tenant, .comparison("Tenant", .equal, .null)]),
        .and([tenant, .comparison("Tenant", .equal, .int64(3))]), .comparison("Tenant", .notEqual, .int64(2)),
        .comparison("Tenant", .less, .int64(3)),
      ] as [Filter] {
        for wire in [try WireFilter(filter), try WireFilter(text: filter.description)] {
          let own = try WireFilter(tenant)
          for (filters, place) in [
            (.all(wire), ""), (.each([wire, wire, wire]), "query 0: "), (.each([own, own, wire]), "query 2: "),
          ] as [(SearchModifiers.Filters, String)] {
            var errors = await refusals(client, only(filters))
            if case .all = filters {
              errors.append(
                await refusal {
                  _ = try await client.search("rows", like: [.int64(2)], k: 3, modifiers: only(filters))
                })
            }
            for error in errors {
              #expect(error?.code == .tenantRequired, "\(filter): \(String(describing: error))")
              #expect(error?.message.contains("\"Tenant\" = 7") == true && error?.message.hasPrefix(place) == true)
            }
          }
        }
      }
    }
  }

  @Test func noFilterIsRefusedToo() async throws {
    try await withClient { client in
      let own = try WireFilter(Self.tenant)
      for (filters, place) in [
        (.none, ""), (.each([nil, nil, nil]), "query 0"), (.each([own, nil, own]), "query 1"),
        (.each([own, own, nil]), "query 2"),
      ] as [(SearchModifiers.Filters, String)] {
        for error in await refusals(client, only(filters)) {
          #expect(error?.code == .tenantRequired && error?.message.hasPrefix(place) == true)
        }
      }
      let like = await refusal { _ = try await client.search("rows", like: [.int64(2)], k: 3) }
      #expect(like?.code == .tenantRequired)
      var other = SearchModifiers()
      other.grouping = .init(attribute: "Tenant", perGroup: 1)
      other.explains = true
      for error in await refusals(client, other) { #expect(error?.code == .tenantRequired) }
      for wantsVectors in [true, false] {
        let fetch = await refusal { _ = try await client.fetch("rows", ids: [.int64(2)], wantsVectors: wantsVectors) }
        #expect(fetch?.code == .tenantRequired && fetch?.message.contains("fetch") == true)
      }
      // What is wrong with a filter is still said.
      let unknown = await refusals(client, only(.all(try WireFilter(text: "tenant = 2"))))
      #expect(unknown.allSatisfy { $0?.code == .unknownAttribute })
    }
  }

  /// A row of another tenant, a row of none and a row that is not there are told apart by nothing.
  @Test func rowsOfOthersAreNotThere() async throws {
    try await withClient { client in
      let own = only(.all(try WireFilter(Self.tenant)))
      func words(_ id: Int64, _ search: ([RecordID]) async throws -> Void) async -> String? {
        let error = await refusal { try await search([.int64(id)]) }
        #expect(error?.code == .unknownRecord, "\(id): \(String(describing: error))")
        return error?.message.replacing("\(id)", with: "ID")
      }
      for search in [
        { _ = try await client.search("rows", ids: $0, k: 3, modifiers: own) },
        { _ = try await client.search("rows", ids: [.int64(2)] + $0, k: 3, includesSelf: true, modifiers: own) },
        { _ = try await client.search("rows", like: $0, k: 3, modifiers: own) },
        { _ = try await client.search("rows", like: [.int64(2)] + $0, k: 3, modifiers: own) },
        { _ = try await client.search("rows", like: [.int64(2)], unlike: $0, k: 3, modifiers: own) },
      ] as [([RecordID]) async throws -> Void] {
        let missing = await words(1_002, search)
        #expect(missing != nil)
        for id in [Int64(3), 392, 391] { #expect(await words(id, search) == missing) }
      }
    }
  }

  @Test func itIsTold() async throws {
    try await withClient { client in
      let described = try await client.describe("rows")
      #expect(described.attributes.tenant == 1)
      let statistics = try await client.statistics("rows")
      #expect(statistics.first { $0.name == "tenant_column" }?.value == .text("Tenant"))
    }
    #expect(try makeFiltered().statistics().allSatisfy { $0.name != "tenant_column" })
  }
}
