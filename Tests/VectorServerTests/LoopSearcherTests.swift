// Which searches an event loop may answer by itself: none that can take long, whatever its filter meets.

import Logging
import Testing
import VectorIndex
import VectorWire

@testable import VectorServer

@Suite struct LoopSearcherTests {
  private let searcher: LoopSearcher

  init() throws {
    let catalog = CollectionCatalog([
      try makeFiltered("few"), try makeCollection("wide", rows: 200, dimension: 4_096),
    ])
    let runner = RequestRunner(catalog: catalog, frameBytesMax: 1 << 20, logger: Logger(label: "test"))
    searcher = LoopSearcher(runner: runner, catalog: catalog)
  }

  private func isSmall(
    _ collection: String = "few", k: Int = 10, effort: Int = 0, isExact: Bool = false, queries: Int = 1,
    _ change: (inout SearchModifiers) throws -> Void = { _ in }
  ) throws -> Bool {
    var modifiers = SearchModifiers()
    try change(&modifiers)
    let vectors = try #require(QueryVectors([[Float]](repeating: [1], count: queries)))
    return searcher.isSmall(
      .search(
        SearchRequest(
          .init(collection: collection, k: k, effort: effort, isExact: isExact, modifiers: modifiers),
          vectors: vectors)))
  }

  @Test func oneSearchOfFewResults() throws {
    #expect(try isSmall())
    #expect(try isSmall { $0.distanceMax = 1 })
    #expect(try isSmall { $0.explains = true })
    #expect(try !isSmall { $0.payload = .all })
    #expect(try !isSmall(isExact: true))
    #expect(try !isSmall(queries: 2))
    #expect(try !isSmall(k: 1_001))
    #expect(try !isSmall("nowhere"))
    #expect(try !isSmall("wide", effort: 25))
    #expect(!searcher.isSmall(.searchByID(SearchByIDRequest(.init(collection: "few", k: 1), ids: [.int64(1)]))))
    #expect(!searcher.isSmall(.searchLike(SearchLikeRequest(.init(collection: "few", k: 1), like: [.int64(1)]))))
  }

  @Test func whatIsSkippedIsLookedForToo() throws {
    #expect(try isSmall(k: 10) { $0.offset = 900 })
    #expect(try !isSmall(k: 10) { $0.offset = 991 })
    #expect(try isSmall("wide", k: 10, effort: 10))
    #expect(try !isSmall("wide", k: 10, effort: 10) { $0.offset = 20 })
  }

  /// A filter may leave every row to be scored: that must be small by itself.
  @Test func aFilterOnlyWhereAllRowsAreFew() throws {
    let filter = try WireFilter(text: "tenant = 7")
    #expect(try isSmall { $0.filters = .all(filter) })
    #expect(try isSmall { $0.filters = .each([filter]) })
    #expect(try isSmall { $0.filters = .each([nil]) })
    #expect(try isSmall("wide", k: 10, effort: 10) { $0.filters = .each([nil]) })
    #expect(try !isSmall("wide", k: 10, effort: 10) { $0.filters = .all(filter) })
    #expect(try !isSmall("wide", k: 10, effort: 10) { $0.filters = .each([filter]) })
    #expect(try !isSmall { $0.filters = .all(try WireFilter(.isIn("n", (0..<120).map { .int64($0) }))) })
  }

  @Test func groupsAndVarietyLookAtManyMore() throws {
    #expect(try !isSmall { $0.grouping = .init(attribute: "doc", perGroup: 1) })
    #expect(try !isSmall { $0.diversity = .init(lambda: 0.5) })
  }
}
