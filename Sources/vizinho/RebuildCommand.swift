// `vizinho rebuild`: an index from Postgres.
//
// May use: VectorServer, PostgresSource.

import ArgumentParser
import Foundation
import PostgresSource
import VectorIndex
import VectorServer
import VectorWire

struct RebuildCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rebuild",
    abstract: "Reads keys and vectors from Postgres, builds the index and writes it to the data directory.",
    discussion: """
      Reads a table (in parallel; a partitioned one leaf by leaf) or the result of a query, under one snapshot. Rows whose vector \
      is NULL are left out, and under the cosine metric those whose vector is zero: the rows that pgvector's own index leaves out.

      What is on disk changes at the very end, in one step. The two newest snapshots of a collection are kept.

      Needs PostgreSQL 15 and pgvector 0.7, or later, and SELECT on the table. Give the password by a passfile (~/.pgpass), by \
      PGPASSWORD, or in VIZINHO_POSTGRES, rather than where other users of the machine can read it.
      """)

  @OptionGroup var common: CommonOptions
  @Option(help: "The folder that holds the collections; made when it is missing.") var dataDir: String?
  @Option(help: ArgumentHelp("Connection URI or keywords, as libpq takes them.", valueName: "connection"))
  var postgres: String?
  @Option(help: "The table to read, as SQL names it: documents, app.documents.") var table: String?
  @Option(
    help: ArgumentHelp("A SELECT to read instead of a table; needs --id-columns and --vector-column.", valueName: "sql")
  )
  var query: String?
  @Option(
    help: ArgumentHelp(
      "The columns that name a row, separated by commas. Default: the primary key.", valueName: "columns"))
  var idColumns: String?
  @Option(help: "The column with the vectors. Default: the only one of type vector or halfvec.") var vectorColumn:
    String?
  @Option(
    name: .customLong("where"), help: ArgumentHelp("Only rows for which this SQL condition is true.", valueName: "sql"))
  var condition: String?
  @Option(
    help: ArgumentHelp(
      """
      What filters may ask for, separated by commas: NAME, the column of that name; NAME=COLUMN; or NAME=COLUMN->KEY:TYPE, a place \
      in a jsonb column, as bool, int8, float8, timestamptz, uuid, text, int8[], uuid[] or text[]. Default: nothing.
      """, valueName: "attributes"))
  var attributes: String?
  @Option(
    help: ArgumentHelp(
      "Columns whose text is kept, compressed, to be given back with hits, separated by commas. Default: none.",
      valueName: "columns"))
  var payload: String?
  @Option(
    help: ArgumentHelp(
      """
      The one of --attributes that says whose a row is (int8, uuid or text): every search must then name one of its values. \
      Default: rows are everybody's.
      """, valueName: "attribute"))
  var tenant: String?
  @Option(help: "The vectors' dimension, where the column's type does not say it.") var dimension: Int?
  @Option(help: "The collection's name. Default: the table's, without its schema.") var collection: String?
  @Option(help: "cosine, inner_product (ip) or l2.") var metric: String?
  @Option(
    help: """
      How vectors are kept: f32 (as they are), f16, int8, int4x8 or int4x16 (docs/STORAGE.md); or auto, which chooses by \
      the dimension. Default: auto.
      """) var storage: String?
  @Option(name: [.customLong("connectivity"), .customLong("m")], help: "Edges a node (M), 2 to 64. Default: 16.")
  var connectivity: Int?
  @Option(
    name: [.customLong("construction-effort"), .customLong("ef-construction")],
    help: "Candidates considered for them (efConstruction), up to 4096. Default: 200.")
  var constructionEffort: Int?
  @Option(help: "The share of the nearest that a search finds when it does not say, 0.8 to 0.999. Default: 0.95.")
  var recallTarget: Double?
  @Option(
    name: [.customLong("search-effort"), .customLong("ef")],
    help: "In the place of --recall-target: candidates that a search keeps when it does not say (ef), up to 10000.")
  var searchEffort: Int?
  @Option(
    help: ArgumentHelp(
      """
      A SELECT with vectors of questions such as will be asked, 100 to 1000 of them: what it takes to find that share is \
      measured with them. Default: rows of the collection stand in for them, which is less sure.
      """, valueName: "sql"))
  var calibrationQuery: String?
  @Option(help: "Decides the layers of the nodes. Default: 1.") var seed: Int?
  @Option(help: "Connections that read, up to 64. Default: 2.") var workers: Int?
  @Option(help: "Threads that build. Default: all cores.") var threads: Int?
  @Option(help: "Snapshots kept of the collection. Default: 2.") var keepSnapshots: Int?
  @Flag(help: "Go on to serve the data directory when the rebuild is done.") var serve = false
  @OptionGroup(title: "With --serve") var serving: ServingOptions

  func run() async throws {
    let settings = try await common.settings()
    let plan = try plan(settings)
    // A bad address should be told before the work, not after it.
    let server = serve ? try serving.configuration(settings) : nil
    let directory = try DataDirectory(
      path: settings.requiredString(dataDir, .dataDir), create: true,
      keeping: settings.int(keepSnapshots, .keepSnapshots, in: 1...1_000) ?? 2)
    let rebuild = try Rebuild(plan, into: directory, writer: Vizinho.name)
    let estimate = try await onOwnThread { try rebuild.look() }
    say("memory: \(estimate.text)")
    let report = try await Self.watch(rebuild)
    Self.tell(report)
    if let server {
      try await ServeCommand.serve(
        directory, server, alreadyLoaded: report.collection, logger: serving.logger(settings))
    }
  }

  /// Runs a rebuild and draws how far it has come.
  private static func watch(_ rebuild: Rebuild) async throws -> RebuildReport {
    let drawing = Task {
      var line = ProgressLine()
      while !Task.isCancelled {
        line.draw(rebuild.progress)
        try? await Task.sleep(for: .milliseconds(ProgressLine.intervalMilliseconds))
      }
      line.end()
    }
    let result: Result<RebuildReport, any Error>
    do {
      result = .success(try await onOwnThread { try rebuild.run() })
    } catch {
      result = .failure(error)
    }
    drawing.cancel()
    await drawing.value
    return try result.get()
  }

  private static func tell(_ report: RebuildReport) {
    let rows = report.rows.grouped
    let left = [(report.nullVectors, "NULL"), (report.zeroVectors, "zero")].filter { $0.0 > 0 }
      .map { "\($0.0.grouped) with a \($0.1) vector left out" }
    let total = report.readSeconds + report.linkSeconds + report.calibrateSeconds + report.saveSeconds
    let configuration = report.collection.index.configuration
    let attributes = configuration.attributes.columns.count
    let what =
      rows + " rows as \(configuration.storage.name)"
      + (attributes > 0 ? " with \(attributes) attribute\(attributes == 1 ? "" : "s")" : "")
    say(
      "\(report.collection.name): \(([what] + left).joined(separator: ", ")) in \(seconds(total)) "
        + "(read \(seconds(report.readSeconds)), linked \(seconds(report.linkSeconds)), "
        + "calibrated \(seconds(report.calibrateSeconds)), saved \(seconds(report.saveSeconds)))")
    let statistics = report.collection.index.statistics()
    if statistics.attributeBytes + statistics.payloadBytes > 0 {
      say(
        "beside the vectors: \(statistics.attributeBytes.grouped) bytes of attributes, \(statistics.payloadBytes.grouped) of payload"
      )
    }
    say(searching(report))
    say("in step with \(report.lsn == .unknown ? "an unknown LSN" : "LSN \(report.lsn)")")
    say("snapshot: \(report.snapshotPath), \(report.snapshotBytes.grouped) bytes")
    for warning in report.warnings { say("warning: \(warning)") }
  }

  /// What searches go by that do not say: `searches: recall 0.95, calibrated on 1,000 queries in 1.62 s`.
  private static func searching(_ report: RebuildReport) -> String {
    let configuration = report.collection.index.configuration
    let aim =
      configuration.searchEffort > 0
      ? "ef \(configuration.searchEffort)" : "recall \(configuration.recallTargetDecimal)"
    guard let calibration = report.calibration else {
      return "searches: \(aim), not calibrated: so few rows are scanned"
    }
    let sample = calibration.queryCount.grouped
    let measured =
      calibration.basis == .queries
      ? "\(sample) queries" : "\(sample) rows in the place of queries (--calibration-query gives queries)"
    return "searches: \(aim), calibrated on \(measured) in \(seconds(report.calibrateSeconds))"
  }

  private static func seconds(_ value: Double) -> String { String(format: "%.2f s", value) }

  private func plan(_ settings: Settings) throws -> RebuildPlan {
    let connection = try ConnectionOptions(settings.requiredString(postgres, .postgres))
    let table = settings.string(table, .table)
    let query = settings.string(query, .query)
    func names(_ option: String?, _ key: SettingKey) -> [String]? {
      settings.string(option, key)?.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
    }
    let keys = names(idColumns, .idColumns)
    let payload = names(payload, .payload) ?? []
    let column = settings.string(vectorColumn, .vectorColumn)
    let filter = settings.string(condition, .condition)
    let dimension = try settings.int(dimension, .dimension, in: HNSWConfiguration.dimensionRange)
    let attributes = try settings.string(attributes, .attributes).map { text throws(SourceError) in
      try SourceAttribute.list(parsing: text)
    }
    let source: RowSource
    switch (table, query) {
    case (let table?, nil):
      var read = TableSource(
        table, keyColumns: keys, vectorColumn: column, filter: filter, dimension: dimension,
        attributes: attributes ?? [])
      read.payload = payload
      source = .table(read)
    case (nil, let query?):
      guard let keys, let column else {
        throw ValidationError("--query needs --id-columns and --vector-column: which of its columns are which")
      }
      guard filter == nil else { throw ValidationError("--where is for a table; put the condition into the --query") }
      var read = QuerySource(
        query, keyColumns: keys, vectorColumn: column, dimension: dimension, attributes: attributes ?? [])
      read.payload = payload
      source = .query(read)
    default:
      throw ValidationError("give one of \(SettingKey.table.description) and \(SettingKey.query.description)")
    }
    let tableName = table.map { $0.split(separator: ".").last.map(String.init) ?? $0 }
    guard let name = settings.string(collection, .collection) ?? tableName else {
      throw ValidationError("a --query needs \(SettingKey.collection.description): the collection's name")
    }
    let metricName = try settings.requiredString(metric, .metric)
    guard let metric = Metric(name: metricName) else {
      throw ValidationError(
        "\(SettingKey.metric.description) is \"\(metricName)\"; it must be cosine, inner_product (ip) or l2")
    }
    var plan = RebuildPlan(collection: name, connection: connection, source: source, metric: metric)
    plan.storage = try self.storage(settings)
    plan.connectivity =
      try settings.int(connectivity, .connectivity, in: HNSWConfiguration.connectivityRange) ?? plan.connectivity
    plan.constructionEffort =
      try settings.int(
        constructionEffort, .constructionEffort, in: plan.connectivity...HNSWConfiguration.constructionEffortMax)
      ?? max(plan.connectivity, plan.constructionEffort)
    let target = try settings.double(recallTarget, .recallTarget, in: RecallTarget.range)
    let effort = try settings.int(searchEffort, .searchEffort, in: HNSWConfiguration.searchEffortRange)
    guard target == nil || effort == nil else {
      throw ValidationError(
        "\(SettingKey.recallTarget.description) and \(SettingKey.searchEffort.description) are both given; the one decides "
          + "the other, so give one")
    }
    plan.recallTarget = target.map { Float($0) } ?? plan.recallTarget
    plan.searchEffort = effort ?? 0
    plan.calibrationQuery = settings.string(calibrationQuery, .calibrationQuery)
    plan.tenant = settings.string(tenant, .tenant)
    plan.seed = UInt64(try settings.int(seed, .seed, in: 0...Int.max) ?? 1)
    plan.workers = try settings.int(workers, .workers, in: 1...BulkReader.workersMax) ?? plan.workers
    plan.threads = try settings.int(threads, .threads, in: 1...1_024) ?? plan.threads
    return plan
  }

  /// nil = what suits the dimension, which is not known before the source is looked at.
  private func storage(_ settings: Settings) throws -> VectorStorage? {
    guard let name = settings.string(storage, .storage), name != "auto" else { return nil }
    guard let storage = VectorStorage(name: name) else {
      let names = VectorStorage.allCases.map(\.name).joined(separator: ", ")
      throw ValidationError("\(SettingKey.storage.description) is \"\(name)\"; it must be auto, or one of \(names)")
    }
    return storage
  }
}
