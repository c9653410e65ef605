// What a collection is made of, as options say it: which table, which of its columns, which kind of index.
//
// May use: VectorServer's plan, PostgresSource, Settings.

import ArgumentParser
import Foundation
import PostgresSource
import VectorIndex
import VectorServer
import VectorWire

/// The options of a collection's source and index.
struct CollectionOptions: ParsableArguments {
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

  /// What was asked for.
  /// - Throws: `ValidationError`, ``SourceError``.
  func plan(_ settings: Settings) throws -> RebuildPlan {
    try plan(settings, connection: ConnectionOptions(settings.requiredString(postgres, .postgres)))
  }

  private func plan(_ settings: Settings, connection: ConnectionOptions) throws -> RebuildPlan {
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
    let chosen = try choices(settings)
    plan.storage = chosen.storage.flatMap { VectorStorage(name: $0) }
    plan.connectivity = chosen.connectivity ?? plan.connectivity
    plan.constructionEffort = chosen.constructionEffort ?? max(plan.connectivity, plan.constructionEffort)
    guard plan.constructionEffort >= plan.connectivity else {
      throw ValidationError(
        "\(SettingKey.constructionEffort.description) is \(plan.constructionEffort); it must be at least \(plan.connectivity), as "
          + "\(SettingKey.connectivity.description) is")
    }
    plan.recallTarget = chosen.recallTarget ?? plan.recallTarget
    plan.searchEffort = chosen.searchEffort ?? 0
    plan.calibrationQuery = chosen.calibrationQuery
    plan.seed = chosen.seed ?? plan.seed
    plan.tenant = settings.string(tenant, .tenant)
    plan.workers = try settings.int(workers, .workers, in: 1...BulkReader.workersMax) ?? plan.workers
    plan.threads = try settings.int(threads, .threads, in: 1...1_024) ?? plan.threads
    return plan
  }

  /// The parameters of the index that are given; the others are nil.
  func choices(_ settings: Settings) throws -> IndexChoices {
    var choices = IndexChoices()
    choices.storage = try storage(settings)
    choices.connectivity = try settings.int(connectivity, .connectivity, in: HNSWConfiguration.connectivityRange)
    choices.constructionEffort = try settings.int(
      constructionEffort, .constructionEffort,
      in: HNSWConfiguration.connectivityRange.lowerBound...HNSWConfiguration.constructionEffortMax)
    let target = try settings.double(recallTarget, .recallTarget, in: RecallTarget.range)
    choices.searchEffort = try settings.int(searchEffort, .searchEffort, in: HNSWConfiguration.searchEffortRange)
    guard target == nil || choices.searchEffort == nil else {
      throw ValidationError(
        "\(SettingKey.recallTarget.description) and \(SettingKey.searchEffort.description) are both given; the one decides "
          + "the other, so give one")
    }
    choices.recallTarget = target.map { Float($0) }
    choices.calibrationQuery = settings.string(calibrationQuery, .calibrationQuery)
    choices.seed = try settings.int(seed, .seed, in: 0...Int.max).map { UInt64($0) }
    return choices
  }

  /// A storage's name, or `auto`.
  private func storage(_ settings: Settings) throws -> String? {
    guard let name = settings.string(storage, .storage) else { return nil }
    guard name == IndexChoices.automaticStorage || VectorStorage(name: name) != nil else {
      let names = VectorStorage.allCases.map(\.name).joined(separator: ", ")
      throw ValidationError("\(SettingKey.storage.description) is \"\(name)\"; it must be auto, or one of \(names)")
    }
    return name
  }

  /// Whether a table or a query is named.
  func namesSource(_ settings: Settings) -> Bool {
    settings.string(table, .table) != nil || settings.string(query, .query) != nil
  }

  /// The same for a collection that is to be followed.
  func definition(_ settings: Settings) throws -> CollectionDefinition {
    // Where it is followed from is the server's to know.
    let plan = try plan(settings, connection: ConnectionOptions(""))
    return try CollectionDefinition(plan, attributes: settings.string(attributes, .attributes))
  }
}
