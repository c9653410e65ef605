// `bench pgvector`: the comparison with pgvector, on the user's own table or a file.
//
// May use: everything of the comparison; ArgumentParser.

import ArgumentParser
import Foundation
import PostgresSource
import VectorIndex
import VectorWire

struct PgvectorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pgvector",
    abstract: "Compares the engine with pgvector, both as servers, on your own table or a file.",
    discussion: """
      Copies the vectors into a schema of its own in the database (\(standardSchema), dropped at the end), builds pgvector's indexes there and the engine's \
      beside, and measures both with the same clients: recall against speed and latency, filters, how soon a new row is found, searches while rows \
      change. The table itself is read once and never written; no index is made on it. docs/BENCH.md says how it measures.

      EXAMPLES:
        bench pgvector --postgres postgresql://me@localhost/app --table documents --query-table questions --html report.html
        bench pgvector --postgres postgresql://me@localhost/scratch --base sift.fvecs --queries sift_query.fvecs --metric l2
        bench pgvector --postgres … --table documents --engine 10.0.0.5:7733 --collection documents --parts search
      """)

  static let standardSchema = "vizinho_bench"

  @OptionGroup(title: "What is compared") var source: SourceOptions
  @OptionGroup(title: "Who is compared") var sides: SideOptions
  @OptionGroup(title: "How it is measured") var measure: MeasureOptions
  @OptionGroup(title: "The report") var report: ReportOptions

  func run() async throws {
    var options = try comparison()
    let facts = try PostgresFacts(Connection(options.connection, stop: StopFlag()))
    let data = try source.read(options, holdsOut: options.engine == nil)
    // What `auto` is, the dimension decides.
    for storage in try VectorStorage.listed(sides.storage, dimension: data.base.dimension)
    where !options.storages.contains(storage) { options.storages.append(storage) }
    let chosen = options
    let description = DataDescription(
      source: data.source, rows: data.base.count, dimension: data.base.dimension, metric: options.metric.name,
      queries: data.queries.count, querySource: data.querySource, k: options.k, checksum: data.checksum)
    try await ReportSink.run(BenchReport(command: "pgvector", data: description), report) { sink in
      try ComparisonRun(chosen, data, facts, sink).run()
    }
  }

  /// All options, checked against each other before anything is connected to.
  private func comparison() throws -> ComparisonOptions {
    guard let metric = Metric(name: source.metric) else {
      throw ValidationError("--metric is \"\(source.metric)\"; it must be cosine, inner_product or l2")
    }
    guard let text = source.postgres ?? ProcessInfo.processInfo.environment["VIZINHO_POSTGRES"] else {
      throw ValidationError(
        "--postgres is missing: the database to compare in, as in postgresql://me@localhost/scratch")
    }
    // A name that there is not is better told before the rows are read.
    guard try !VectorStorage.listed(sides.storage, dimension: 1).isEmpty else {
      throw ValidationError("--storage is empty")
    }
    return ComparisonOptions(
      postgres: text, connection: try ConnectionOptions(text), engine: sides.running, program: sides.program,
      metric: metric, k: measure.k, indexes: try PgvectorIndex.list(sides.pgvector), storages: [],
      efSearch: try NumberList.counts(measure.efSearch, "--ef-search", in: 1...1_000),
      probes: try NumberList.counts(measure.probes, "--probes", in: 1...32_768),
      ef: try NumberList.counts(measure.ef, "--ef", in: HNSWConfiguration.searchEffortRange),
      recallTargets: try NumberList.numbers(measure.recallTargets, "--recall-targets", in: RecallTarget.range),
      parts: try measure.chosenParts(),
      pace: Pace(
        rounds: measure.rounds, seconds: measure.seconds,
        clients: try NumberList.counts(measure.clients, "--clients", in: 1...256), threads: WorkerThreads.coreCount),
      selectivities: try NumberList.numbers(measure.selectivities, "--selectivities", in: 0.00001...1),
      filteredEfSearch: try NumberList.counts(measure.filteredEfSearch, "--filtered-ef-search", in: 1...1_000),
      changes: measure.changes,
      writesPerSecond: try NumberList.numbers(measure.writesPerSecond, "--writes-per-second", in: 0.1...1e6),
      mixedSeconds: measure.mixedSeconds,
      maintenanceBytes: try sides.maintenanceBytes(), maintenanceWorkers: sides.maintenanceWorkers,
      schema: try sides.checkedSchema(), keeps: sides.keep, seed: measure.seed)
  }
}

/// Where rows and questions are.
struct SourceOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The database to compare in, as libpq takes it: a URI or keywords. Default: VIZINHO_POSTGRES.",
      valueName: "connection"))
  var postgres: String?
  @Option(help: "Your table, as SQL names it: documents, app.documents.") var table: String?
  @Option(help: ArgumentHelp("Its key, columns separated by commas. Default: the primary key.", valueName: "columns"))
  var keyColumn: String?
  @Option(help: "Its column with the vectors. Default: the only one of type vector or halfvec.") var vectorColumn:
    String?
  @Option(help: "In the place of a table: a file of vectors, \(VectorFile.formats).") var base: String?
  @Option(help: "Queries, in the same formats.") var queries: String?
  @Option(help: "In their place: a table of queries.") var queryTable: String?
  @Option(help: "Its column with the vectors. Default: the only one of type vector or halfvec.") var queryColumn:
    String?
  @Option(help: "No more queries than this, evenly drawn.") var queriesMax = 1_000
  @Option(help: "cosine, inner_product (ip) or l2: the one of your SQL.") var metric = "cosine"

  func validate() throws {
    guard (table == nil) != (base == nil) else {
      throw ValidationError("give one of --table and --base: what is to be searched in?")
    }
    guard queries == nil || queryTable == nil else {
      throw ValidationError("give one of --queries and --query-table")
    }
    guard table != nil || (keyColumn == nil && vectorColumn == nil) else {
      throw ValidationError("--key-column and --vector-column are of a --table")
    }
    guard queryColumn == nil || queryTable != nil else {
      throw ValidationError("--query-column is of a --query-table")
    }
    guard queriesMax > 0 else { throw ValidationError("--queries-max is \(queriesMax); it must be at least 1") }
  }

  /// Reads rows and questions.
  /// - holdsOut: whether questions that are made of rows leave the base.
  /// - Throws: `ValidationError`, ``SourceError``, ``BenchError``: each a sentence.
  func read(_ options: ComparisonOptions, holdsOut: Bool) throws -> Dataset {
    var data = try rows(options.connection)
    try data.checkRows()
    if let queries {
      data.queries = try VectorFile(path: queries)
      data.querySource = "file"
    } else if let queryTable {
      let table = UserTable(name: queryTable, vectorColumn: queryColumn)
      data.queries = try table.readVectors(options.connection, most: Self.queryRowsMax)
      data.querySource = "table"
    } else {
      data.holdOut(queriesMax, seed: options.seed, takesOut: holdsOut)
    }
    try data.checkQueries()
    data.limitQueries(to: queriesMax, metric: options.metric)
    guard data.queries.count > 0 else { throw BenchError(.unfitData, "None of the queries can be asked.") }
    return data
  }

  /// Of a table of queries at most so many are read, before some are drawn.
  private static let queryRowsMax = 100_000

  private func rows(_ connection: ConnectionOptions) throws -> Dataset {
    let none = VectorFile(count: 0, dimension: 1, values: [])
    if let base {
      let file = try VectorFile(path: base)
      return Dataset(
        base: file, queries: none, source: URL(fileURLWithPath: base).lastPathComponent, querySource: "file")
    }
    let name = table ?? ""
    let keys = keyColumn?.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
    FileHandle.standardError.write(Data("reading \(name)\n".utf8))
    let found = try UserTable(name: name, keyColumns: keys, vectorColumn: vectorColumn).read(connection)
    var data = Dataset(
      base: found.vectors, queries: none, source: name, querySource: "table", columnType: found.columnType,
      keys: found.keys)
    if found.nullVectors > 0 { data.notes.append("\(found.nullVectors) rows without a vector were left out.") }
    return data
  }
}

/// Which indexes of pgvector, which storages of the engine, and where both live.
struct SideOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      Indexes of pgvector, separated by commas: hnsw, halfvec and binary (binary_quantize with rerank), each with :M:EF_CONSTRUCTION; \
      ivfflat with :LISTS; exact.
      """, valueName: "list")) var pgvector = PgvectorIndex.standardList
  @Option(help: "Storages of the engine, separated by commas: auto, f32, f16, int8, int4x8, int4x16.") var storage =
    "auto,int4x8"
  @Option(
    help: ArgumentHelp(
      "A running engine, in the place of one that is started here. Its collection has the same rows.",
      valueName: "host:port")) var engine: ServerAddress?
  @Option(help: "The collection of the running engine.") var collection: String?
  @Option(help: "The engine's program. Default: the vizinho beside this program.") var program: String?
  @Option(
    help: ArgumentHelp(
      "maintenance_work_mem of pgvector's builds, such as 2GB. Default: what the largest graph takes, within a quarter of this machine's memory.",
      valueName: "memory")) var maintenanceWorkMem: String?
  @Option(help: "max_parallel_maintenance_workers of pgvector's builds. Default: one less than processors.")
  var maintenanceWorkers: Int?
  @Option(help: "The schema that is made for the comparison.") var schema = PgvectorCommand.standardSchema
  @Flag(help: "Leave the schema there at the end.") var keep = false

  func validate() throws {
    guard (engine == nil) == (collection == nil) else {
      throw ValidationError("--engine and --collection belong together: which collection of which server?")
    }
    guard maintenanceWorkers.map({ (0...1_024).contains($0) }) ?? true else {
      throw ValidationError("--maintenance-workers must be 0 to 1024")
    }
  }

  var running: (address: ServerAddress, collection: String)? {
    guard let engine, let collection else { return nil }
    return (engine, collection)
  }

  func maintenanceBytes() throws -> Int? {
    guard let maintenanceWorkMem else { return nil }
    // Postgres's own bounds.
    guard let bytes = Int(memory: maintenanceWorkMem), (1 << 20...2_147_483_647 << 10).contains(bytes) else {
      throw ValidationError("--maintenance-work-mem is \"\(maintenanceWorkMem)\"; write 512MB or 2GB, from 1MB on")
    }
    return bytes
  }

  /// A name that is also good for a slot.
  func checkedSchema() throws -> String {
    let isPlain = schema.utf8.allSatisfy {
      (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
        || $0 == UInt8(ascii: "_")
    }
    guard isPlain, (1...40).contains(schema.utf8.count), !schema.hasPrefix("pg_") else {
      throw ValidationError("--schema is \"\(schema)\"; it must be 1 to 40 of a-z, 0-9 and _, and not begin with pg_")
    }
    return schema
  }
}

/// Parts, efforts, clients, times.
struct MeasureOptions: ParsableArguments {
  @Option(help: "Parts, separated by commas: search, filtered, freshness, mixed.") var parts =
    "search,filtered,freshness,mixed"
  @Option(name: .customLong("k"), help: "Results a query.") var k = 10
  @Option(help: "Numbers of clients, separated by commas.") var clients = "1,2,8"
  @Option(help: "Rounds in which the engines take turns.") var rounds = 3
  @Option(help: "Seconds of each point in each round.") var seconds = 1.0
  @Option(help: "hnsw.ef_search of pgvector; candidates of binary_quantize. Raised to k where smaller.") var efSearch =
    "10,20,40,80,160,320,640"
  @Option(help: "ivfflat.probes of pgvector.") var probes = "1,2,4,8,16,32,64"
  @Option(help: "Efforts (ef) of the engine.") var ef = "10,20,40,80,160,320,640"
  @Option(help: "Recalls that the engine is asked for.") var recallTargets = "0.9,0.95,0.99"
  @Option(help: "Filtered: shares of the rows that match.") var selectivities = "0.001,0.01,0.1,0.5,0.9"
  @Option(help: "Filtered: hnsw.ef_search of pgvector. Raised to k where smaller.") var filteredEfSearch = "40,200"
  @Option(help: "Freshness: rows that are inserted.") var changes = 200
  @Option(help: "Mixed: rows that change a second.") var writesPerSecond = "100"
  @Option(help: "Mixed: seconds of each round.") var mixedSeconds = 5.0
  @Option(help: "Decides what is drawn at random.") var seed: UInt64 = 1

  func validate() throws {
    guard (1...1_000).contains(k) else { throw ValidationError("--k is \(k); it must be 1 to 1000") }
    guard (1...100).contains(rounds) else { throw ValidationError("--rounds is \(rounds); it must be 1 to 100") }
    guard (0.01...3_600).contains(seconds), (0.01...3_600).contains(mixedSeconds) else {
      throw ValidationError("--seconds and --mixed-seconds must be from 0.01 to 3600")
    }
    guard (1...1_000_000).contains(changes) else { throw ValidationError("--changes must be 1 to 1000000") }
  }

  func chosenParts() throws -> Set<ComparisonPart> {
    let chosen = try parts.split(separator: ",").map { name in
      guard let part = ComparisonPart(rawValue: String(name)) else {
        let known = ComparisonPart.allCases.map(\.rawValue).joined(separator: ", ")
        throw ValidationError("--parts: \"\(name)\" is none of \(known)")
      }
      return part
    }
    guard !chosen.isEmpty else { throw ValidationError("--parts is empty") }
    return Set(chosen)
  }
}
