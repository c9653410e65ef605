// Which indexes of pgvector are measured, at which efforts, and with which statements: those of pgvector's README.

import ArgumentParser
import PostgresSource
import Testing
import VectorIndex

@testable import Bench

struct PgvectorIndexTests {
  @Test func aListNamesIndexesAndTheirParameters() throws {
    #expect(
      try PgvectorIndex.list("hnsw, hnsw:24:100,halfvec:8,binary:16:200,ivfflat,ivfflat:50,exact,hnsw") == [
        .hnsw(connectivity: 16, constructionEffort: 64), .hnsw(connectivity: 24, constructionEffort: 100),
        .halfvec(connectivity: 8, constructionEffort: 64), .binary(connectivity: 16, constructionEffort: 200),
        .ivfflat(lists: nil), .ivfflat(lists: 50), .exact,
      ])
    // Twice M is the least that pgvector takes.
    #expect(try PgvectorIndex.list("hnsw:48") == [.hnsw(connectivity: 48, constructionEffort: 96)])
    #expect(try PgvectorIndex.list(PgvectorIndex.standardList).count == 7)
  }

  @Test(arguments: [
    "hnws", "hnsw:1", "hnsw:101", "hnsw:16:31", "hnsw:16:1001", "hnsw:16:200:3", "hnsw:", "hnsw:x", "ivfflat:0",
    "ivfflat:40000", "ivfflat:1:2", "exact:1", "exact,hnsw:16:64x",
  ])
  func whatIsNoIndexIsNamed(text: String) throws {
    let error = #expect(throws: ValidationError.self) { try PgvectorIndex.list(text) }
    let wrong = try #require(text.split(separator: ",").last)
    #expect(error?.message.contains("\"\(wrong)\"") == true)
  }

  @Test func listsGoByTheRows() {
    func lists(_ rows: Int) -> PgvectorIndex { PgvectorIndex.ivfflat(lists: nil).resolved(rows: rows) }
    #expect(lists(999) == .ivfflat(lists: 1))
    #expect(lists(100_000) == .ivfflat(lists: 100))
    #expect(lists(1_000_000) == .ivfflat(lists: 1_000))
    #expect(lists(4_000_000) == .ivfflat(lists: 2_000))
    #expect(PgvectorIndex.ivfflat(lists: 7).resolved(rows: 100_000) == .ivfflat(lists: 7))
    #expect(PgvectorIndex.exact.resolved(rows: 5) == .exact)
  }

  @Test func effortsAreThoseThatMakeSense() {
    let hnsw = PgvectorIndex.hnsw(connectivity: 16, constructionEffort: 64)
    #expect(hnsw.efforts([40, 5, 10, 2_000, 20], probes: [], k: 10) == [10, 20, 40, 1_000])
    #expect(PgvectorIndex.ivfflat(lists: 20).efforts([], probes: [64, 1, 8, 32], k: 10) == [1, 8, 20])
    #expect(PgvectorIndex.exact.efforts([40], probes: [1], k: 10) == [0])
    let binary = PgvectorIndex.binary(connectivity: 16, constructionEffort: 64)
    #expect(binary.settings(effort: 80).map(\.value) == ["80"])
    #expect(PgvectorIndex.ivfflat(lists: 20).settings(effort: 8).map(\.name) == ["ivfflat.probes"])
    #expect(PgvectorIndex.exact.settings(effort: 0).isEmpty)
  }

  @Test func eachHasNamesOfItsOwn() throws {
    let others = "hnsw:8:16,halfvec:16:64,halfvec:32:200,binary:8:16,ivfflat:100,ivfflat:1000"
    let all = try PgvectorIndex.list(PgvectorIndex.standardList + "," + others)
    #expect(all.count == 13)
    #expect(Set(all.map(\.id)).count == all.count)
    #expect(Set(all.map(\.slug)).count == all.count)
    #expect(all[0].id == "pgvector hnsw m=16 efc=64")
    #expect(all.filter(\.isPlainHNSW).count == 4)
    // A name in Postgres has at most 63 bytes.
    #expect(all.allSatisfy { BenchSchema.indexName(of: $0).utf8.count < 63 })
    #expect(BenchSchema.table(of: .exact) == BenchSchema.rowsTable)
  }

  @Test func otherPartsAreMeasuredOnHNSWOverVectorsOrElseOverHalves() throws {
    func graphs(_ list: String) throws -> [PgvectorIndex] { PgvectorIndex.graphs(of: try PgvectorIndex.list(list)) }
    let all = try PgvectorIndex.list("halfvec,hnsw:32:200,binary,hnsw,ivfflat,exact")
    #expect(PgvectorIndex.graphs(of: all) == [all[1], all[3]])
    #expect(try graphs("binary,halfvec:8:64,exact") == [.halfvec(connectivity: 8, constructionEffort: 64)])
    #expect(try graphs("binary,ivfflat,exact").isEmpty)
  }
}

struct PgvectorSQLTests {
  private func sql(_ index: PgvectorIndex, _ metric: Metric = .cosine, _ column: VectorType = .vector) -> PgvectorSQL {
    PgvectorSQL(index: index, table: "\"s\".\"t\"", metric: metric, column: column, dimension: 384)
  }

  @Test func indexesAreMadeAsTheReadmeMakesThem() {
    #expect(
      sql(.hnsw(connectivity: 16, constructionEffort: 64)).create(named: "i")
        == "CREATE INDEX \"i\" ON \"s\".\"t\" USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 64)"
    )
    #expect(
      sql(.halfvec(connectivity: 8, constructionEffort: 32), .innerProduct).create(named: "i")
        == "CREATE INDEX \"i\" ON \"s\".\"t\" USING hnsw ((embedding::halfvec(384)) halfvec_ip_ops) WITH (m = 8, ef_construction = 32)"
    )
    #expect(
      sql(.binary(connectivity: 16, constructionEffort: 200), .l2).create(named: "i")
        == "CREATE INDEX \"i\" ON \"s\".\"t\" USING hnsw ((binary_quantize(embedding)::bit(384)) bit_hamming_ops) "
        + "WITH (m = 16, ef_construction = 200)")
    #expect(
      sql(.ivfflat(lists: 9), .l2, .halfvec).create(named: "i")
        == "CREATE INDEX \"i\" ON \"s\".\"t\" USING ivfflat (embedding halfvec_l2_ops) WITH (lists = 9)")
    #expect(sql(.exact).create(named: "i") == nil)
  }

  @Test func searchesAreAskedAsTheReadmeAsksThem() {
    #expect(
      sql(.hnsw(connectivity: 16, constructionEffort: 64)).search(k: 10, effort: 40)
        == "SELECT id FROM \"s\".\"t\" ORDER BY embedding <=> $1::vector LIMIT 10")
    #expect(
      sql(.exact, .l2).search(k: 5, effort: 0, condition: "share < 0.1")
        == "SELECT id FROM \"s\".\"t\" WHERE share < 0.1 ORDER BY embedding <-> $1::vector LIMIT 5")
    #expect(
      sql(.halfvec(connectivity: 16, constructionEffort: 64), .innerProduct).search(k: 10, effort: 40)
        == "SELECT id FROM \"s\".\"t\" ORDER BY embedding::halfvec(384) <#> $1::vector::halfvec(384) LIMIT 10")
    #expect(
      sql(.binary(connectivity: 16, constructionEffort: 64)).search(k: 10, effort: 80)
        == "SELECT id FROM (SELECT id, embedding FROM \"s\".\"t\" ORDER BY binary_quantize(embedding)::bit(384) <~> "
        + "binary_quantize($1::vector)::bit(384) LIMIT 80) AS candidates ORDER BY embedding <=> $1::vector LIMIT 10")
    // A column of halves is compared with halves.
    #expect(
      sql(.hnsw(connectivity: 16, constructionEffort: 64), .cosine, .halfvec).search(k: 10, effort: 40)
        == "SELECT id FROM \"s\".\"t\" ORDER BY embedding <=> $1::vector::halfvec(384) LIMIT 10")
  }

  @Test func aPlanIsRead() {
    let index = """
      Limit  (cost=79.63..80.04 rows=10 width=16)
        ->  Index Scan using rows_hnsw_16_64_vectors on rows_hnsw_16_64  (cost=79.63..481.63 rows=10000 width=16)
              Order By: (embedding <=> $1)
      """
    #expect(PlanCheck.uses(index: "rows_hnsw_16_64_vectors", in: index))
    #expect(!PlanCheck.uses(index: "rows_hnsw_16_64_vector", in: index))
    #expect(PlanCheck.scan(in: index) == "Index Scan using rows_hnsw_16_64_vectors on rows_hnsw_16_64")
    let scan = """
      Limit  (cost=1.0..2.0 rows=10 width=16)
        ->  Gather Merge  (cost=1.0..2.0 rows=10 width=16)
              Workers Planned: 1
              ->  Sort  (cost=1.0..2.0 rows=10 width=16)
                    Sort Key: ((embedding <=> $1))
                    ->  Subquery Scan on candidates  (cost=1.0..2.0 rows=10 width=16)
                          ->  Parallel Seq Scan on rows  (cost=0.00..2.0 rows=10 width=16)
      """
    #expect(!PlanCheck.uses(index: "rows_hnsw_16_64_vectors", in: scan))
    #expect(PlanCheck.scan(in: scan) == "Parallel Seq Scan on rows")
    #expect(PlanCheck.scan(in: "Result  (cost=0.00..0.01 rows=1 width=4)") == nil)
  }
}

struct ComparisonPlanTests {
  @Test func whatPgvectorCannotIndexIsLeftOutAndSaid() throws {
    let all = try PgvectorIndex.list("hnsw,halfvec,binary,ivfflat,exact")
    let wide = ComparisonPlan(all, rows: 5_000, dimension: 3_072, column: .vector)
    #expect(wide.indexes.map(\.effortName) == ["ef_search", "candidates", "exact"])
    #expect(wide.notes.count == 2)
    #expect(wide.notes.allSatisfy { $0.contains("2000") && $0.contains("3072") })
    let narrow = ComparisonPlan(all, rows: 5_000, dimension: 2_000, column: .vector)
    #expect(narrow.indexes.count == 5 && narrow.notes.isEmpty)
    // Of halves, an index of halves is the plain one.
    let halves = ComparisonPlan(all, rows: 5_000, dimension: 384, column: .halfvec)
    #expect(halves.indexes.count == 4 && halves.notes.count == 1)
    #expect(halves.indexes.contains(.ivfflat(lists: 5)))
    // Two ways to say one thing are one index.
    let twice = try PgvectorIndex.list("ivfflat,ivfflat:5")
    #expect(ComparisonPlan(twice, rows: 5_000, dimension: 8, column: .vector).indexes == [.ivfflat(lists: 5)])
  }

  @Test func aColumnOfHalvesIsIndexedWithTwiceTheDimensions() throws {
    let all = try PgvectorIndex.list("hnsw,halfvec,ivfflat,exact")
    let wide = ComparisonPlan(all, rows: 5_000, dimension: 3_072, column: .halfvec)
    #expect(wide.indexes == [.hnsw(connectivity: 16, constructionEffort: 64), .ivfflat(lists: 5), .exact])
    #expect(wide.notes.count == 1)
    #expect(ComparisonPlan(all, rows: 5_000, dimension: 4_000, column: .halfvec).indexes.count == 3)
    let wider = ComparisonPlan(all, rows: 5_000, dimension: 4_001, column: .halfvec)
    #expect(wider.indexes == [.exact])
    #expect(wider.notes.count == 3 && wider.notes.allSatisfy { $0.contains("at most 4000") })
  }

  @Test func anIndexOfHalvesOverHalvesIsThePlainOne() throws {
    let asked = try PgvectorIndex.list("halfvec:8:100,binary")
    let plan = ComparisonPlan(asked, rows: 5_000, dimension: 384, column: .halfvec)
    #expect(plan.indexes.first == .hnsw(connectivity: 8, constructionEffort: 100) && plan.indexes.count == 2)
    #expect(plan.notes.count == 1 && plan.notes[0].contains("pgvector hnsw m=8 efc=100"))
  }

  @Test func partsThatAreOfTheEngineAloneAreSaid() throws {
    let binary = try PgvectorIndex.list("binary,exact")
    let graphs = try PgvectorIndex.list("halfvec")
    let all = Set(ComparisonPart.allCases)
    let note = try #require(ComparisonPlan.noteOfNoGraph(built: binary, asked: binary, parts: all))
    #expect(note.contains("filters, freshness, mixed load") && note.contains("--pgvector names none"))
    // Asked for, and not there.
    let both = binary + graphs
    let left = try #require(ComparisonPlan.noteOfNoGraph(built: binary, asked: both, parts: [.search, .mixed]))
    #expect(left.contains("mixed load") && !left.contains("filters") && left.contains("left out"))
    #expect(ComparisonPlan.noteOfNoGraph(built: graphs, asked: graphs, parts: all) == nil)
    #expect(ComparisonPlan.noteOfNoGraph(built: binary, asked: binary, parts: [.search]) == nil)
  }

  @Test func buildsGetWhatTheirGraphTakesWithinReason() {
    let megabyte = 1 << 20
    func bytes(_ asked: Int?, _ graph: Int, _ server: Int, _ machine: Int?) -> Int {
      ComparisonPlan.maintenanceBytes(asked: asked, graph: graph, server: server, machine: machine)
    }
    #expect(bytes(nil, 100 * megabyte + 1, 64 * megabyte, 4_096 * megabyte) == 101 * megabyte)
    #expect(bytes(nil, 2_000 * megabyte, 64 * megabyte, 4_096 * megabyte) == 1_024 * megabyte)
    // Never less than the server has by itself; and of a machine that we do not see, nothing is known.
    #expect(bytes(nil, 10, 2_000 * megabyte, 4_096 * megabyte) == 2_000 * megabyte)
    #expect(bytes(nil, 2_000 * megabyte, 64 * megabyte, nil) == 64 * megabyte)
    #expect(bytes(3 * megabyte, 2_000 * megabyte, 64 * megabyte, nil) == 3 * megabyte)
  }

  @Test func aGraphOfVectorsIsLargerThanOneOfHalvesOrBits() {
    func bytes(_ index: PgvectorIndex) -> Int { index.graphBytes(rows: 1_000, dimension: 768) }
    let vectors = bytes(.hnsw(connectivity: 16, constructionEffort: 64))
    let halves = bytes(.halfvec(connectivity: 16, constructionEffort: 64))
    let bits = bytes(.binary(connectivity: 16, constructionEffort: 64))
    #expect(vectors > 1_000 * 768 * 4)
    #expect(vectors > halves && halves > bits && bits > 0)
    #expect(bytes(.hnsw(connectivity: 32, constructionEffort: 64)) > vectors)
    #expect(bytes(.exact) == 0)
    // Of a column of halves the plain one has halves.
    let plain = PgvectorIndex.hnsw(connectivity: 16, constructionEffort: 64)
    #expect(plain.graphBytes(rows: 1_000, dimension: 768, column: .halfvec) == halves)
  }

  @Test func otherPartsWorkAtTheLeastEffortThatFindsEnough() {
    #expect(Contestant.working(at: 0.95, recalls: [0.8, nil, 0.96, 0.99]) == 2)
    #expect(Contestant.working(at: 0.95, recalls: [0.8, 0.9, 0.85]) == 1)
    #expect(Contestant.working(at: 0.95, recalls: [nil, nil]) == nil)
  }
}
