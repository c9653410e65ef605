// `bench shadow`: asks Postgres and the engine the same, and says how far their answers are apart.
//
// May use: ShadowRun, QuestionOptions, Report, PostgresSource.

import ArgumentParser
import Foundation
import PostgresSource
import VectorIndex
import VectorWire

struct ShadowCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "shadow",
    abstract:
      "Holds a server's answers against exact ones of pgvector, query by query, and fails where they are too far apart.",
    discussion: """
      Each query is asked of Postgres, which compares all rows, and then of the engine, which is waited for until it has what Postgres had. \
      Reported are how many of the nearest rows came back, whether in the same order, how exact their distances are, and how long both took. \
      Rows at equal distances may stand for each other. docs/BENCH.md says what each figure is.

      Ends with 0 if all thresholds are kept, with 1 if one is not, with 2 if the comparison could not be made, and with 64 if the command \
      line cannot be understood.

      EXAMPLE:
        bench shadow --postgres postgresql://reader@localhost/app --table app.documents --collection documents --queries questions.npy
        bench shadow --postgres service=app --table documents --collection documents --log asked.jsonl --sample 1000 \
      --min-overlap 0.98 --max-p99-ms 20 --json shadow.json
      """)

  @OptionGroup var questions: QuestionOptions
  @Option(help: ArgumentHelp("The database: a URI or key=value pairs. Default: $VIZINHO_POSTGRES.", valueName: "url"))
  var postgres: String?
  @Option(help: "The table of the collection.") var table: String
  @Option(help: "Its key, columns separated by commas. Default: the primary key.") var idColumns: String?
  @Option(help: "Its column of vectors. Default: the only one.") var vectorColumn: String?
  @Option(
    help: ArgumentHelp("Which rows the collection has, if not all: a condition in SQL.", valueName: "condition"))
  var `where`: String?
  @Option(
    help: ArgumentHelp(
      "What filters may name, as the collection was built with. Default: columns that are called as the collection's attributes.",
      valueName: "list"))
  var attributes: String?
  @Option(help: "Ask so many of the queries, drawn at random, and not all.") var sample: Int?
  @Option(help: "What they are drawn by.") var seed: UInt64 = 1
  @Option(help: "The least mean overlap with the exact answers, 0 to 1.") var minOverlap = 0.95
  @Option(help: "The most places that rows which both have may stand apart, on average.") var maxRankDistance: Double?
  @Option(help: "The largest difference between a distance of the engine and of Postgres.") var maxScoreError: Double?
  @Option(
    name: .customLong("max-p99-ms"), help: "The largest 99th percentile of the engine's latency, in milliseconds.")
  var maxP99Milliseconds: Double?
  @OptionGroup(title: "Report") var report: ReportOptions

  func validate() throws {
    guard (0...1).contains(minOverlap) else { throw ValidationError("--min-overlap must be from 0 to 1") }
    guard sample.map({ $0 > 0 }) ?? true else { throw ValidationError("--sample must be at least 1") }
    for (name, bound) in [
      ("--max-rank-distance", maxRankDistance), ("--max-score-error", maxScoreError),
      ("--max-p99-ms", maxP99Milliseconds),
    ] {
      guard bound.map({ $0 >= 0 }) ?? true else { throw ValidationError("\(name) must not be below 0") }
    }
  }

  func run() async throws {
    do {
      try await compare()
    } catch let code as ExitCode {
      throw code
    } catch {
      Self.say("Error: \(Self.message(for: error))")
      throw ExitCode(2)
    }
  }

  private static func say(_ line: String) { FileHandle.standardError.write(Data((line + "\n").utf8)) }

  private func compare() async throws {
    guard let url = postgres ?? ProcessInfo.processInfo.environment["VIZINHO_POSTGRES"] else {
      throw ValidationError("--postgres is missing, and so is VIZINHO_POSTGRES: where is the table?")
    }
    let options = try ConnectionOptions(url)
    let log = try questions.queryLog()
    let numbers = QueryLog.sample(sample ?? log.count, of: log.count, seed: seed)
    let queries = try log.queries(numbers)
    let engine = try ShadowedEngine(questions, dimension: queries[0].vector.count)
    let hasFilters = questions.filter != nil || queries.contains { $0.filter != nil }
    let exact = try ExactPostgres(
      options, try source(engine, hasFilters: hasFilters), metric: engine.collection.metric)
    try Self.check(exact.description, against: engine.collection)

    var report = BenchReport(
      command: "shadow",
      data: DataDescription(
        source: exact.sql.table, rows: Int(clamping: engine.collection.rows), dimension: engine.collection.dimension,
        metric: engine.collection.metric.name, queries: queries.count, querySource: log.kind, k: questions.k))
    report.settings = settings(engine, exact.description, of: log.count, sampled: queries.count)
    report.method = Self.method(exact.description.vectorType)
    report.notes = notes(engine, exact.description)
    let run = ShadowRun(
      exact, engine, questions,
      ShadowBounds(
        overlapMin: minOverlap, rankDistanceMax: maxRankDistance, scoreErrorMax: maxScoreError,
        p99MillisecondsMax: maxP99Milliseconds))
    try await ReportSink.run(report, self.report) { sink in
      // Blocks a thread of Swift's pool, in a program that has nothing else to run.
      try run.run(queries, numbers: numbers, sink)
      let failed = sink.report.shadow?.thresholds.filter { !$0.passed } ?? []
      for threshold in failed {
        Self.say("Failed: \(threshold.name): \(Figure.number(threshold.found)), bound \(Figure.plain(threshold.bound))")
      }
      if !failed.isEmpty { throw ExitCode(1) }
    }
  }

  private func source(_ engine: ShadowedEngine, hasFilters: Bool) throws -> TableSource {
    var source = TableSource(table, vectorColumn: vectorColumn, filter: `where`, dimension: engine.collection.dimension)
    if let idColumns {
      source.keyColumns = idColumns.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
    }
    if let attributes {
      source.attributes = try SourceAttribute.list(parsing: attributes)
    } else if hasFilters {
      source.attributes = engine.attributes.columns.map { SourceAttribute($0.name) }
    }
    return source
  }

  /// Whether the table can be the collection's at all.
  private static func check(_ table: SourceDescription, against collection: CollectionDescription) throws(BenchError) {
    guard table.recordIDKind == collection.recordIDKind else {
      throw BenchError(
        .unfitPostgres,
        "The keys of \(table.table ?? "the table") are of kind \(table.recordIDKind), and those of the collection "
          + "\"\(collection.name)\" are of kind \(collection.recordIDKind): is it another table's, or are other --id-columns needed?"
      )
    }
    let (system, here) = (collection.position.systemID, table.systemIdentifier)
    guard system == 0 || here == 0 || system == here else {
      throw BenchError(
        .unfitPostgres,
        "The collection \"\(collection.name)\" is made from the Postgres with the system identifier \(system), and --postgres names one "
          + "with \(here): the two have nothing to do with each other.")
    }
  }
}

// MARK: What the report says

extension ShadowCommand {
  private func settings(
    _ engine: ShadowedEngine, _ table: SourceDescription, of total: Int, sampled: Int
  ) -> [Setting] {
    func setting(_ group: String, _ name: String, _ value: String, note: String? = nil) -> Setting {
      Setting(group: group, name: name, value: value, unit: nil, note: note)
    }
    var settings = [
      setting("Postgres", "version", "\(table.serverVersion / 10_000).\(table.serverVersion % 10_000)"),
      setting("Postgres", "pgvector", table.pgvectorVersion),
      setting("Postgres", "column", "\(table.vectorColumn) \(table.vectorType.rawValue)(\(table.dimension))"),
      setting("Vizinho", "server", engine.serverName),
      setting("Vizinho", "collection", engine.collection.name),
      setting("Vizinho", "storage", engine.collection.storage.name),
      setting("Vizinho", "follows", engine.follows ? "yes" : "no"),
      setting("this run", "queries", questions.source),
      setting(
        "this run", "asked", "\(sampled) of \(total)", note: sampled < total ? "drawn with seed \(seed)" : nil),
      setting("this run", "effort", questions.effortText),
    ]
    if let filter = questions.filter { settings.append(setting("this run", "filter", filter)) }
    if let condition = `where` { settings.append(setting("this run", "rows", condition)) }
    return settings
  }

  private static func method(_ type: VectorType) -> [String] {
    [
      "Postgres compares all rows that the filter leaves: enable_indexscan is off, and EXPLAIN was asked whether that holds.",
      "Each query is asked of Postgres, then of the engine, over one connection each, one at a time. Before it is asked, a collection that "
        + "follows Postgres is waited for until it has what had committed when Postgres had answered: with the query before (with the last "
        + "before the first), and with the query itself only where there is no other or the server refuses that one. A query whose answers "
        + "differ is asked once more of both, and counts as it was then.",
      "Overlap is the share of the k nearest rows that came back. A row in their place that is as near, by Postgres's own distance, counts "
        + "as right: distances are equal where they differ by no more than 1e-5 of the distance, or 1e-5 where that is below 1.",
      "Rank distance is by how many places the rows that both answers have stand apart, among those rows, on average; rows at equal "
        + "distances may stand in any order.",
      "Score error is the difference between the engine's distance of a row and Postgres's of the same row.",
      "Latencies are of searches that wait for nothing, one in flight. Postgres's is that of comparing all rows and says nothing of pgvector's "
        + "indexes.",
    ]
      + (type == .halfvec
        ? ["The column is of halves, so Postgres rounds the question to halves, too: that is part of the score error."]
        : [])
  }

  private func notes(_ engine: ShadowedEngine, _ table: SourceDescription) -> [String] {
    var notes: [String] = []
    if !engine.follows {
      notes.append(
        "The collection does not follow Postgres: rows that changed since it was built (position \(engine.collection.position.lsnText)) differ, "
          + "and no query was asked a second time.")
    }
    if table.isStandby {
      notes.append("The Postgres that was asked is a standby, which may be behind what the engine has.")
    }
    return notes
  }
}
