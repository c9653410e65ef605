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

      Where a server that follows Postgres serves the data directory, it does the work: a new index beside the old one, caught up, proved equal \
      to the table and then put in its place, while searches go on. With --collection alone, as the collection is defined, but for the parameters \
      of the index that are given (--storage, --connectivity, --recall-target and so on); with --table and its options, as they say; a collection \
      that is not there is added. Interrupting it leaves what is served as it was.

      With --from engine, the server takes the rows that it serves instead of reading them: for other parameters, and a storage that keeps no more of \
      the vectors than the present one. Postgres is then only asked whether the new index is equal to the table.

      What is on disk changes at the very end, in one step. The two newest snapshots of a collection are kept.

      Needs PostgreSQL 15 and pgvector 0.7, or later, and SELECT on the table. Give the password by a passfile (~/.pgpass), by \
      PGPASSWORD, or in VIZINHO_POSTGRES, rather than where other users of the machine can read it.
      """)

  @OptionGroup var common: CommonOptions
  @Option(help: "The folder that holds the collections; made when it is missing.") var dataDir: String?
  @OptionGroup(title: "The collection") var options: CollectionOptions
  @Option(
    help: ArgumentHelp(
      "Where a running server takes the rows from: postgres, or engine, the collection that it serves. Default: postgres.",
      valueName: "origin"))
  var from: String?
  @Option(help: "Snapshots kept of the collection. Default: 2.") var keepSnapshots: Int?
  @Flag(help: "Go on to serve the data directory when the rebuild is done.") var serve = false
  @OptionGroup(title: "With --serve") var serving: ServingOptions

  func run() async throws {
    let settings = try await common.settings()
    let origin = try origin
    if try await rebuildLive(settings, from: origin) { return }
    guard origin == .postgres else {
      let path = try settings.requiredString(dataDir, .dataDir)
      throw ValidationError(
        "no server that follows Postgres serves \(path), and --from engine is for the rows that one "
          + "serves: start it, or leave --from out to read them from Postgres")
    }
    let plan = try options.plan(settings)
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

  private var origin: RebuildOrigin {
    get throws {
      guard let from else { return .postgres }
      guard let origin = RebuildOrigin(rawValue: from) else {
        let names = RebuildOrigin.allCases.map(\.rawValue).joined(separator: " or ")
        throw ValidationError("--from is \"\(from)\"; it must be \(names)")
      }
      return origin
    }
  }

  /// Where a server that follows Postgres has the data directory, it does the work beside serving.
  /// - Returns: whether there is one.
  private func rebuildLive(_ settings: Settings, from origin: RebuildOrigin) async throws -> Bool {
    let path = try settings.requiredString(dataDir, .dataDir)
    guard let client = try await onOwnThread({ try ControlClient(dataDirectory: path) }) else { return false }
    let definition = options.namesSource(settings) ? try options.definition(settings) : nil
    let choices = try options.choices(settings)
    guard let name = definition?.name ?? settings.string(options.collection, .collection) else {
      throw ValidationError(
        "a server serves \(path): say what it is to rebuild, with \(SettingKey.collection.description) as it is defined now, or with "
          + "\(SettingKey.table.description) and its options anew")
    }
    let reply = try await onOwnThread {
      try client.run(
        ControlRequest(.rebuild, collection: name, definition: definition, choices: choices, origin: origin)
      ) { say($0) }
    }
    guard reply.kind == .done else {
      say("error: \(reply.text)")
      throw ExitCode.failure
    }
    print(reply.text)
    return true
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
}
