// The course of a comparison: make a schema, load, build, measure part by part, and take everything away again.
//
// May use: both sides, the parts, ReportSink.

import Foundation
import PostgresSource
import VectorIndex

/// One run. Used by one thread.
final class ComparisonRun {
  private let options: ComparisonOptions
  private let data: Dataset
  private let facts: PostgresFacts
  private let sink: ReportSink
  /// Raised when the run is to end, so that a statement that takes long is given up.
  private let stop = StopFlag()
  private let shares: [Double]
  private let plan: ComparisonPlan
  private var following: Following?

  /// Names in Postgres that are not the schema's own.
  private struct Following {
    var publication: String
    var slot: String
  }

  /// What pgvector's builds were given.
  private struct Maintenance {
    var bytes: Int
    var workers: Int
    /// Builds that had no helpers, since with them they failed.
    var withoutHelpers = 0
  }

  init(_ options: ComparisonOptions, _ data: Dataset, _ facts: PostgresFacts, _ sink: ReportSink) {
    var options = options
    // While nothing is timed, as many ask as there are processors, but no more than Postgres takes.
    options.pace.threads = max(1, min(options.pace.threads, facts.connectionsMax - PostgresFacts.ownConnections))
    self.options = options
    self.data = data
    self.facts = facts
    self.sink = sink
    shares = Selectivity.shares(rows: data.base.count, seed: options.seed)
    plan = ComparisonPlan(
      options.indexes, rows: data.base.count, dimension: data.base.dimension, column: data.columnType)
  }

  private var names: Following {
    // Slots are the whole server's, so the database is part of the name.
    let name = "\(options.schema)_\(facts.databaseOID)"
    return Following(publication: name, slot: name)
  }

  private func access(_ stop: StopFlag) -> PostgresAccess {
    PostgresAccess(options: options.connection, extensionSchema: facts.extensionSchema, stop: stop)
  }

  /// Measures everything that was asked for.
  func run() throws {
    let isDone = StopFlag()
    let watcher = BackgroundThread { [stop] in
      while !isDone.isRaised {
        if Interruption.signal != nil { stop.raise() }
        usleep(100_000)
      }
    }
    defer {
      isDone.raise()
      watcher.join()
    }
    do {
      try measure()
    } catch let error as SourceError where error.code == .cancelled {
      try sink.checkpoint()
      throw error
    }
  }

  private func measure() throws {
    // The other parts have one client.
    let hasClients = options.parts.contains(.search) || options.parts.contains(.mixed)
    let clients = hasClients ? options.pace.clients.max() ?? 1 : 1
    try PostgresFacts.checkConnections(facts.connectionsMax, clients: clients)
    let program = try program()
    let engine = EngineSide(data, options, program: program)
    // Whatever happens from here on, nothing of it stays behind.
    defer {
      engine.end()
      if let program { try? FileManager.default.removeItem(atPath: program.folder) }
    }
    try sink.add { report in
      report.notes += data.notes + plan.notes
      report.method += Method.sentences(options, plan, data)
      report.settings += Method.settings(options, facts)
    }
    expect()
    // An engine that is not there is better told before anything is loaded.
    let adopted = try options.engine.map { try engine.adopt($0.address, $0.collection) }
    if let adopted { try sink.add { $0.notes += adopted.notes } }
    let schema = try BenchSchema(
      access(stop), name: options.schema, columnType: data.columnType, dimension: data.base.dimension)
    do {
      // What a run that was killed has left.
      try schema.dropReplication(
        publication: names.publication, slot: names.slot, over: try schema.access.connect())
      try measure(PgvectorSide(schema, data, options), engine, adopted?.build)
    } catch {
      engine.end()
      remove(schema)
      throw error
    }
    engine.end()
    remove(schema)
  }

  private func program() throws -> EngineProgram? {
    guard options.engine == nil else { return nil }
    let path = try EngineProgram.find(options.program)
    return EngineProgram(
      path: path, folder: try Self.makeFolder(), postgres: options.postgres,
      table: SQLText.qualified(options.schema, BenchSchema.rowsTable), metric: options.metric.name,
      attributes: PgvectorSQL.share)
  }

  /// A folder of a name that nobody can have taken beforehand, and that nobody else may look into.
  /// - Throws: ``BenchError`` with `engineFailed`.
  static func makeFolder() throws(BenchError) -> String {
    let pattern = FileManager.default.temporaryDirectory.appendingPathComponent("vizinho-bench-XXXXXX").path
    var bytes = Array(pattern.utf8CString)
    let made: String? = bytes.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress, let path = mkdtemp(base) else { return nil }
      return String(cString: path)
    }
    guard let made else {
      throw BenchError(
        .engineFailed, "There is no folder for the engine's data (\(pattern)): \(String(cString: strerror(errno))).")
    }
    return made
  }

  private func remove(_ schema: BenchSchema) {
    // The stop flag of the others may be up.
    let access = access(StopFlag())
    do {
      let connection = try access.connect()
      try schema.cancel(over: connection)
      if let following {
        // A slot that nobody reads keeps the server's log for ever: it goes even where the rows are to stay.
        try schema.dropReplication(
          publication: following.publication, slot: following.slot, over: connection)
      }
      if options.keeps {
        sink.say("The tables are kept in the schema \(SQLText.identifier(options.schema)).")
      } else {
        try BenchSchema.drop(options.schema, over: connection)
      }
    } catch {
      let slot = following.map { " SELECT pg_drop_replication_slot('\($0.slot)');" } ?? ""
      sink.say(
        "What the run made in Postgres could not all be taken away (\(error)). Run there: "
          + "DROP SCHEMA IF EXISTS \(SQLText.identifier(options.schema)) CASCADE;\(slot)")
    }
  }

  // MARK: Course

  /// - adopted: an engine that runs already.
  private func measure(_ pgvector: PgvectorSide, _ engine: EngineSide, _ adopted: EngineBuild?) throws {
    try load(pgvector.schema)
    let (storages, maintenance) = try build(pgvector, engine, adopted)
    let settings = pgvector.schema.settings
    try sink.add { report in
      report.settings += settings.report(
        SettingsContext(
          maintenanceBytes: maintenance.bytes, maintenanceWorkers: maintenance.workers,
          buildsWithoutHelpers: maintenance.withoutHelpers, largestIndexBytes: pgvector.largestBytes,
          largestGraphBytes: ComparisonPlan.graphBytes(
            pgvector.indexes, rows: data.base.count, dimension: data.base.dimension, column: data.columnType),
          processors: WorkerThreads.coreCount))
      if report.engines.contains(where: { $0.family == .pgvector && $0.peakMemoryBytes != nil }) {
        report.method.append(Method.memory(sharedBuffers: settings.bytes("shared_buffers")))
      }
    }
    // With a server that runs already, filters are measured on neither side, which has a note of its own.
    let parts = options.engine == nil ? options.parts : options.parts.subtracting([.filtered])
    if let note = ComparisonPlan.noteOfNoGraph(built: pgvector.indexes, asked: options.indexes, parts: parts) {
      try sink.add { $0.notes.append(note) }
    }
    sink.begin("exact answers", units: exactUnits)
    let truth = try Truth(
      base: data.base, queries: data.queries, own: data.own, metric: options.metric, k: options.k,
      threads: options.pace.threads)
    let questions = Questions(count: data.queries.count, k: options.k, truth: truth, own: data.own)
    try sink.checkpoint()
    let theirs = try pgvector.indexes.map { try pgvector.contestant($0) }
    let ours = try engine.contestants()
    let search = SearchPart(theirs + ours, options.pace, questions)
    if options.parts.contains(.search) { try search.run(sink) }
    if options.parts.contains(.filtered) { try filtered(pgvector, engine) }
    guard options.parts.contains(.freshness) || options.parts.contains(.mixed) else { return }
    try changing(pgvector, search)
    try changing(pgvector.schema, engine, storages, search, firstContestant: theirs.count)
  }

  private func load(_ schema: BenchSchema) throws {
    sink.begin("loading \(data.base.count) rows into Postgres", units: loadUnits)
    try schema.load(data.base, shares: shares) { row in
      try sink.checkpoint()
      sink.advance(to: Double(row) / Double(data.base.count))
    }
  }

  private func build(
    _ pgvector: PgvectorSide, _ engine: EngineSide, _ adopted: EngineBuild?
  ) throws -> (storages: [VectorStorage], maintenance: Maintenance) {
    let schema = pgvector.schema
    let graph = plan.graphBytes(rows: data.base.count, dimension: data.base.dimension, column: data.columnType)
    var maintenance = Maintenance(
      bytes: ComparisonPlan.maintenanceBytes(
        asked: options.maintenanceBytes, graph: graph,
        server: schema.settings.bytes("maintenance_work_mem") ?? 64 << 20,
        machine: schema.memory == nil ? nil : Int(clamping: ProcessInfo.processInfo.physicalMemory)),
      workers: options.maintenanceWorkers ?? WorkerThreads.coreCount - 1)
    var lastFailure: String?
    for index in plan.indexes {
      try sink.checkpoint()
      sink.begin("building \(index.id)", units: buildUnits(index))
      let (built, failures) = try buildIndex(index, pgvector, maintenance)
      let note = failures.isEmpty ? nil : FailedBuild.note(of: index.id, failures, isBuilt: built != nil)
      if note != nil {
        if built == nil { lastFailure = note } else { maintenance.withoutHelpers += 1 }
      }
      try sink.add { report in
        if let built { report.engines.append(built) }
        if let note { report.notes.append(note) }
      }
    }
    if let lastFailure, !pgvector.indexes.contains(where: { $0 != .exact }) {
      throw BenchError(.unfitPostgres, "None of pgvector's indexes could be built. The last: \(lastFailure)")
    }
    let storages = options.engine == nil ? options.storages : []
    for storage in storages {
      sink.begin("building \(EngineSide.id(storage))", units: engineUnits)
      let built = try engine.build(storage) { try sink.checkpoint() }
      try sink.add { $0.engines.append(built) }
    }
    if let adopted { try sink.add { $0.engines.append(adopted) } }
    // What was written is on its way to the disk; it need not be on its way while searches are timed.
    if let refusal = try schema.checkpoint() {
      try sink.add { $0.notes.append(Self.note(ofCheckpoint: refusal, role: facts.role)) }
    }
    return (storages, maintenance)
  }

  /// Builds an index of pgvector; where that fails, once more without helpers, which need shared memory that a server may lack.
  /// - Returns: no build where that fails too; then nothing of the index is left.
  private func buildIndex(
    _ index: PgvectorIndex, _ pgvector: PgvectorSide, _ maintenance: Maintenance
  ) throws -> (built: EngineBuild?, failures: [FailedBuild]) {
    var failures: [FailedBuild] = []
    let tries = maintenance.workers > 0 ? [maintenance.workers, 0] : [maintenance.workers]
    for workers in tries {
      do {
        return (try pgvector.build(index, maintenanceBytes: maintenance.bytes, workers: workers), failures)
      } catch let error as SourceError where index != .exact && !error.endsRun {
        failures.append(FailedBuild(workers: workers, error: error))
        try pgvector.schema.discard(index)
        try sink.checkpoint()
      }
    }
    return (nil, failures)
  }

  /// What is said where Postgres does not write to the disk when it is asked to.
  static func note(ofCheckpoint refusal: SourceError, role: String) -> String {
    let reason =
      refusal.code == .permissionDenied
      ? "the role may not ask for it. Run: GRANT pg_checkpoint TO \(SQLText.identifier(role));" : refusal.message
    return
      "Before searches were timed, what had been loaded and built was not brought to the disk by CHECKPOINT, so Postgres may have "
      + "written it meanwhile: \(reason)"
  }

  private func filtered(_ pgvector: PgvectorSide, _ engine: EngineSide) throws {
    guard options.engine == nil, data.own == nil else {
      return try sink.add {
        $0.notes.append(
          "Filters were not measured: a server that runs already does not have the column that they ask for.")
      }
    }
    let theirs = PgvectorIndex.graphs(of: pgvector.indexes).flatMap {
      pgvector.filtered($0, hasIterativeScans: facts.hasIterativeScans)
    }
    let part = FilteredPart(
      contestants: theirs + engine.filtered(), selectivities: options.selectivities, shares: shares,
      pace: options.pace, k: options.k)
    try part.run(sink, queryCount: data.queries.count) { matching in
      try Truth(
        base: data.base, rows: matching, queries: data.queries, metric: options.metric, k: options.k,
        threads: options.pace.threads)
    }
  }

  // MARK: Rows that change

  private var freshnessPart: FreshnessPart {
    FreshnessPart(changes: options.changes, base: data.base, seed: options.seed)
  }

  private func mixedPart(_ rate: Double) -> MixedPart {
    MixedPart(
      base: data.base, queryCount: data.queries.count, clients: options.pace.clients.max() ?? 1, writesPerSecond: rate,
      seconds: options.mixedSeconds, rounds: options.pace.rounds, seed: options.seed)
  }

  /// Of an engine: the effort at which it is measured while rows change, and what it found at it before.
  private func working(_ search: SearchPart, _ contestant: Int) throws -> (effort: Int, recall: Double?)? {
    if search.recalls[contestant].allSatisfy({ $0 == nil }) { try search.judge(contestant, sink) }
    let recalls = search.recalls[contestant]
    return Contestant.working(at: ComparisonOptions.workingRecall, recalls: recalls).map { ($0, recalls[$0]) }
  }

  private func changing(_ pgvector: PgvectorSide, _ search: SearchPart) throws {
    let graphs = PgvectorIndex.graphs(of: pgvector.indexes)
    for (number, index) in pgvector.indexes.enumerated() where graphs.contains(index) {
      guard let (chosen, recall) = try working(search, number) else { continue }
      let effort = Int(search.contestants[number].efforts[chosen].value)
      if options.parts.contains(.freshness) {
        sink.begin("new rows: \(index.id)", units: freshnessUnits)
        try freshnessPart.run(
          try pgvector.fresh(index, effort: effort), firstKey: Int64(data.base.count), sink)
      }
      for rate in options.parts.contains(.mixed) ? options.writesPerSecond : [] {
        let part = mixedPart(rate)
        sink.begin("\(Int(rate)) rows a second change: \(index.id)", units: part.units)
        try part.run(pgvector.mixed(index, effort: effort, recall: recall), sink)
      }
    }
  }

  private func changing(
    _ schema: BenchSchema, _ engine: EngineSide, _ storages: [VectorStorage], _ search: SearchPart,
    firstContestant: Int
  ) throws {
    guard options.engine == nil else {
      return try sink.add {
        $0.notes.append(
          "Freshness and mixed load of the engine were not measured: a server that runs already follows the user's own table, which no run writes to."
        )
      }
    }
    guard facts.followsByLog else {
      return try sink.add {
        $0.notes.append(
          "Freshness and mixed load of the engine were not measured: following needs wal_level = logical and a role with REPLICATION."
        )
      }
    }
    let table = schema.table(BenchSchema.rowsTable)
    let (access, type, dimension) = (schema.access, data.columnType, data.base.dimension)
    let makeWriter: @Sendable () throws -> RowWriter = {
      try RowWriter(access, table: table, type: type, dimension: dimension)
    }
    var firstKey = Int64(data.base.count)
    for (number, storage) in storages.enumerated() {
      guard let (chosen, recall) = try working(search, firstContestant + number) else { continue }
      sink.begin("following with \(EngineSide.id(storage))", units: engineUnits)
      following = names
      let follower = try engine.follow(storage, publication: names.publication, slot: names.slot) {
        try sink.checkpoint()
      }
      // The slot goes with its server, also where what comes between fails: then by `remove`.
      defer { follower.process.end() }
      if options.parts.contains(.freshness) {
        sink.begin("new rows: \(follower.id)", units: freshnessUnits)
        try freshnessPart.run(try engine.fresh(follower, writer: try makeWriter()), firstKey: firstKey, sink)
        firstKey += freshnessPart.keys
      }
      for rate in options.parts.contains(.mixed) ? options.writesPerSecond : [] {
        let part = mixedPart(rate)
        sink.begin("\(Int(rate)) rows a second change: \(follower.id)", units: part.units)
        let contestant = try engine.mixed(
          follower, effort: options.engineEfforts[chosen], recall: recall, makeWriter: makeWriter)
        try part.run(contestant, sink)
      }
      follower.process.end()
      try schema.dropReplication(
        publication: names.publication, slot: names.slot, over: try schema.access.connect())
      following = nil
    }
  }

  // MARK: How long it takes, about

  // In seconds of a machine with two cores; a bar that is a little wrong is better than none.
  private var size: Double { Double(data.base.count) * Double(data.base.dimension) }
  private var loadUnits: Double { size / 1e7 }
  private var engineUnits: Double { 1 + size * 4e-7 }
  private var exactUnits: Double { size * Double(data.queries.count) / 2e10 }
  private var freshnessUnits: Double { Double(options.changes) / 200 }

  private func buildUnits(_ index: PgvectorIndex) -> Double {
    switch index {
    case .hnsw(_, let effort): loadUnits + size * Double(effort) * 2.5e-8
    case .halfvec(_, let effort): loadUnits + size * Double(effort) * 2e-8
    case .binary(_, let effort): loadUnits + size * Double(effort) * 5e-9
    case .ivfflat: loadUnits + size * 3e-7
    case .exact: 0.1
    }
  }

  private func expect() {
    let points = plan.indexes.reduce(0) {
      $0 + $1.efforts(options.efSearch, probes: options.probes, k: options.k).count
    }
    let engines = options.engine == nil ? options.storages.count : 1
    let rounds = Double(options.pace.rounds)
    var units = loadUnits + exactUnits + plan.indexes.reduce(0) { $0 + buildUnits($1) } + Double(engines) * engineUnits
    if options.parts.contains(.search) {
      let all = points + engines * options.engineEfforts.count
      units += Double(all * options.pace.clients.count) * options.pace.seconds * rounds
    }
    let graphs = PgvectorIndex.graphs(of: plan.indexes).count
    if options.parts.contains(.filtered), options.engine == nil {
      let ways = graphs * 3 * options.filteredEfSearch.count + engines * options.recallTargets.count
      units += Double(ways * options.selectivities.count) * options.pace.seconds * rounds
    }
    let changing = Double(graphs + (facts.followsByLog && options.engine == nil ? engines : 0))
    if options.parts.contains(.freshness) { units += changing * freshnessUnits }
    if options.parts.contains(.mixed) {
      units += changing * Double(options.writesPerSecond.count) * options.mixedSeconds * rounds
    }
    sink.expect(units: units)
  }
}
