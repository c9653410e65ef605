// pgvector's side of a comparison: its indexes, and clients that search in them.
//
// May use: BenchSchema, PgvectorSQL, PgvectorClient, Contestant.

import PostgresSource
import VectorIndex

/// The indexes of one run, each in its table. Used by one thread; what it hands out is for any.
final class PgvectorSide {
  let schema: BenchSchema
  private let data: Dataset
  private let options: ComparisonOptions
  private let questions: PgvectorQuestions
  /// Built, in the order of the report.
  private(set) var indexes: [PgvectorIndex] = []
  /// The largest of them, with what is read beside it.
  private(set) var largestBytes = 0

  init(_ schema: BenchSchema, _ data: Dataset, _ options: ComparisonOptions) {
    self.schema = schema
    self.data = data
    self.options = options
    questions = PgvectorQuestions(data.queries)
  }

  private func sql(_ index: PgvectorIndex) -> PgvectorSQL { schema.sql(index, metric: options.metric) }

  // MARK: Builds

  /// Copies the rows and builds an index of them.
  func build(_ index: PgvectorIndex, maintenanceBytes: Int, workers: Int) throws -> EngineBuild {
    if index != .exact { try schema.copy(for: index) }
    let built = try schema.build(index, sql(index), maintenanceBytes: maintenanceBytes, workers: workers)
    indexes.append(index)
    // What is ranked again, or scanned, is read from the table.
    let readsTable = index == .exact || index.effortName == "candidates"
    let bytes = built.indexBytes + (readsTable ? built.tableBytes : 0)
    largestBytes = max(largestBytes, bytes)
    let about =
      switch index {
      case .exact: "no index: every row is compared; the bytes are the table's"
      case .binary:
        "\(built.statement); the index alone has \(built.indexBytes.asMemory), the table, whose vectors rank again, the rest"
      default: built.statement
      }
    let peak = built.peakMemoryBytes.map { _ in "; peak memory: \(ServerMemory.meaning)" } ?? ""
    return EngineBuild(
      id: index.id, family: .pgvector, buildSeconds: built.seconds, indexBytes: bytes,
      bytesPerVector: Double(bytes) / Double(data.base.count), peakMemoryBytes: built.peakMemoryBytes,
      detail: about + peak)
  }

  // MARK: Searches

  /// Rows that a search asks for: one more where one may be the question itself.
  private var asked: Int { options.k + (data.own == nil ? 0 : 1) }

  private func search(
    _ index: PgvectorIndex, effort: Int, condition: String? = nil, settings: [(name: String, value: String)] = []
  ) -> PgvectorSearch {
    PgvectorSearch(
      sql: sql(index).search(k: asked, effort: max(effort, asked), condition: condition),
      settings: index.settings(effort: effort) + settings)
  }

  private func maker(_ search: PgvectorSearch) -> ClientMaker {
    let (access, questions) = (schema.access, questions)
    return { try PgvectorClient(access, search, questions) }
  }

  /// The plan of a search that has run, so that it is the one that searches go by.
  private func plan(_ search: PgvectorSearch) throws -> String {
    let client = try PgvectorClient(schema.access, search, questions)
    _ = try client.search(0)
    return try client.plan(for: "[" + data.queries[0].map { String($0) }.joined(separator: ",") + "]")
  }

  /// All efforts of an index, each with a look at its plan.
  func contestant(_ index: PgvectorIndex) throws -> Contestant {
    let efforts = try index.efforts(options.efSearch, probes: options.probes, k: asked).map { effort in
      let search = search(index, effort: effort)
      let plan = try plan(search)
      return Contestant.Effort(
        name: index.effortName, value: Double(effort), make: maker(search),
        note: instead(of: index, plan).map { "Postgres chose \($0), not the index on vectors" },
        isWholeProcessorTime: !plan.contains("Gather"))
    }
    return Contestant(
      id: index.id, efforts: efforts, judgedQueries: index == .exact ? Self.exactQueries : data.queries.count)
  }

  /// Of a scan of all rows, so many answers are judged: it takes long, and they are right.
  private static let exactQueries = 100

  /// What a plan scans in the place of the index; nil: the index.
  private func instead(of index: PgvectorIndex, _ plan: String) -> String? {
    guard index != .exact, !PlanCheck.uses(index: BenchSchema.indexName(of: index), in: plan) else { return nil }
    return PlanCheck.scan(in: plan) ?? "another plan"
  }

  /// An HNSW index with a filter: as pgvector does it by itself, and as it goes on scanning where it is told to.
  func filtered(_ index: PgvectorIndex, hasIterativeScans: Bool) -> [FilteredContestant] {
    let modes = hasIterativeScans ? ["off", "relaxed_order", "strict_order"] : [nil]
    // An index scan gives no more rows than ef_search: below k every answer would be short.
    return index.efforts(options.filteredEfSearch, probes: options.probes, k: asked).flatMap { effort in
      modes.map { mode in
        FilteredContestant(
          id: index.id, detail: "ef_search=\(effort)" + (mode.map { $0 == "off" ? "" : ", \($0)" } ?? "")
        ) { [self] share in
          let search = search(
            index, effort: effort, condition: Selectivity.condition(share),
            settings: mode.map { [("hnsw.iterative_scan", $0)] } ?? [])
          return (maker(search), instead(of: index, try plan(search)))
        }
      }
    }
  }

  // MARK: Writes

  func writer(_ index: PgvectorIndex) throws -> RowWriter {
    try RowWriter(
      schema.access, table: sql(index).table, type: data.columnType, dimension: data.base.dimension)
  }

  func fresh(_ index: PgvectorIndex, effort: Int) throws -> FreshContestant {
    let client = try PgvectorClient(schema.access, search(index, effort: effort), questions)
    return FreshContestant(id: index.id, writer: try writer(index)) { try client.find($0) }
  }

  func mixed(_ index: PgvectorIndex, effort: Int, recall: Double?) -> MixedContestant {
    let (access, table) = (schema.access, sql(index).table)
    let (type, dimension) = (data.columnType, data.base.dimension)
    return MixedContestant(
      id: index.id, detail: "\(index.effortName)=\(effort)", recall: recall,
      make: maker(search(index, effort: effort)),
      makeWriter: { try RowWriter(access, table: table, type: type, dimension: dimension) })
  }
}
