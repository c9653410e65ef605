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

  init(_ options: ComparisonOptions, _ data: Dataset, _ facts: PostgresFacts, _ sink: ReportSink) {
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
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("vizinho-bench-\(getpid())").path
    let engine = EngineSide(data, options, program: try program(folder))
    // Whatever happens from here on, nothing of it stays behind.
    defer {
      engine.end()
      try? FileManager.default.removeItem(atPath: folder)
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
      try BenchSchema.dropReplication(
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

  private func program(_ folder: String) throws -> EngineProgram? {
    guard options.engine == nil else { return nil }
    let path = try EngineProgram.find(options.program)
    do {
      try FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch {
      throw BenchError(.engineFailed, "There is no folder for the engine's data: \(error.localizedDescription).")
    }
    return EngineProgram(
      path: path, folder: folder, postgres: options.postgres,
      table: SQLText.qualified(options.schema, BenchSchema.rowsTable), metric: options.metric.name,
      attributes: PgvectorSQL.share)
  }

  private func remove(_ schema: BenchSchema) {
    // The stop flag of the others may be up.
    let access = access(StopFlag())
    do {
      let connection = try access.connect()
      try schema.cancel(over: connection)
      if let following {
        // A slot that nobody reads keeps the server's log for ever: it goes even where the rows are to stay.
        try BenchSchema.dropReplication(
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
    try sink.add { report in
      report.settings += pgvector.schema.settings.report(
        SettingsContext(
          maintenanceBytes: maintenance.bytes, maintenanceWorkers: maintenance.workers,
          largestIndexBytes: pgvector.largestBytes,
          largestGraphBytes: plan.graphBytes(rows: data.base.count, dimension: data.base.dimension),
          processors: WorkerThreads.coreCount))
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
  ) throws -> (storages: [VectorStorage], maintenance: (bytes: Int, workers: Int)) {
    let schema = pgvector.schema
    let bytes = ComparisonPlan.maintenanceBytes(
      asked: options.maintenanceBytes, graph: plan.graphBytes(rows: data.base.count, dimension: data.base.dimension),
      server: schema.settings.bytes("maintenance_work_mem") ?? 64 << 20,
      machine: schema.memory == nil ? nil : Int(clamping: ProcessInfo.processInfo.physicalMemory))
    let workers = options.maintenanceWorkers ?? WorkerThreads.coreCount - 1
    for index in plan.indexes {
      try sink.checkpoint()
      sink.begin("building \(index.id)", units: buildUnits(index))
      let built = try pgvector.build(index, maintenanceBytes: bytes, workers: workers)
      try sink.add { $0.engines.append(built) }
    }
    let storages = options.engine == nil ? options.storages : []
    for storage in storages {
      sink.begin("building \(EngineSide.id(storage))", units: engineUnits)
      let built = try engine.build(storage) { try sink.checkpoint() }
      try sink.add { $0.engines.append(built) }
    }
    if let adopted { try sink.add { $0.engines.append(adopted) } }
    // What was written is on its way to the disk; it need not be on its way while searches are timed.
    schema.checkpoint()
    return (storages, (bytes, workers))
  }

  private func filtered(_ pgvector: PgvectorSide, _ engine: EngineSide) throws {
    guard options.engine == nil, data.own == nil else {
      return try sink.add {
        $0.notes.append(
          "Filters were not measured: a server that runs already does not have the column that they ask for.")
      }
    }
    let theirs = pgvector.indexes.filter(\.isPlainHNSW).flatMap {
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
    for (number, index) in pgvector.indexes.enumerated() where index.isPlainHNSW {
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
      try BenchSchema.dropReplication(
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
    let plain = plan.indexes.filter(\.isPlainHNSW).count
    if options.parts.contains(.filtered), options.engine == nil {
      let ways = plain * 3 * options.filteredEfSearch.count + engines * options.recallTargets.count
      units += Double(ways * options.selectivities.count) * options.pace.seconds * rounds
    }
    let changing = Double(plain + (facts.followsByLog && options.engine == nil ? engines : 0))
    if options.parts.contains(.freshness) { units += changing * freshnessUnits }
    if options.parts.contains(.mixed) {
      units += changing * Double(options.writesPerSecond.count) * options.mixedSeconds * rounds
    }
    sink.expect(units: units)
  }
}
