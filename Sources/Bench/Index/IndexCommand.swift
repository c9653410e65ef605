// `bench index`: the index alone, in process, on a file of vectors: recall and speed over the effort or the recall that is asked for.
//
// May use: Sweep, Rounds, IndexInput, IndexReport, VectorIndex; VectorWire for the range of recalls.

import ArgumentParser
import Foundation
import VectorIndex
import VectorWire

struct IndexCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "index",
    abstract:
      "Measures the index alone, in process: recall and queries a second over a list of efforts or recall targets.",
    discussion: """
      Builds an index of the base vectors, computes the exact answers, and searches with each effort in turn. Recall counts a \
      result as right when it is no farther than the k-th exact one (ties within 1e-5 of its distance, or 1e-5 where that is below 1).

      With recall targets the index is calibrated before, on its own rows or on every second query; then the other queries are \
      what is measured.
      """)

  @Option(help: "The vectors to index: \(VectorFile.formats).") var base: String
  @Option(help: "The queries, in the same formats; not rows of the base.") var queries: String
  @Option(help: "cosine, inner_product (ip) or l2.") var metric = "cosine"
  @Option(help: "Results a query.") var k = 10
  @Option(help: "Efforts (ef) to search with, separated by commas (10,16,24,32,48,64,96,128,192,256,384,512).")
  var ef: String?
  @Option(help: "Storages to measure, separated by commas: f32, f16, int8, int4x8, int4x16; or auto.") var storage =
    "auto"
  @Option(help: "Recalls to ask for, separated by commas, from 0.8 to 0.999; the efforts are left out unless given.")
  var recallTargets = ""
  @Option(help: "What the index is calibrated on for recall targets: rows, queries, or nothing.") var calibrateOn =
    Basis.rows
  @Option(
    help: "For work on the engine: reaches of the stop rule to search with, separated by commas, such as 1.05,1.1,1.2.")
  var reach = ""
  @Flag(help: "Do not rotate vectors before they are rounded to 8 bits, to see what that gains.") var unrotated = false
  @Option(name: .customLong("m"), help: "Edges a node (M).") var connectivity = 16
  @Option(help: "Effort of the build (efConstruction).") var efConstruction = 200
  @Option(help: "Threads that search; the build uses all cores.") var threads = 1
  @Option(help: "Threads that build; all cores if absent.") var buildThreads: Int?
  @Option(help: "Write the points to this file as JSON.") var json: String?
  @Option(help: "Show the points on a page, written to this file, that a browser shows.") var html: String?
  @Flag(
    help:
      "Build once, print \"ready\", then sweep once for every line read from standard input: \"run THREADS\", or nothing."
  )
  var roundsFromStdin = false

  enum Basis: String, ExpressibleByArgument, CaseIterable {
    case rows, queries, nothing
  }

  struct Point: Codable {
    var storage: String
    /// 0 where a recall was asked for or a reach was given.
    var effort: Int
    var recallTarget: Double?
    var reach: Double?
    var threads: Int
    var recall: Double
    var qps: Double
    /// Processor time a query: what the speed would be on a machine that nobody else uses.
    var processorMicroseconds: Double
    var buildSeconds: Double
    var calibrationSeconds: Double?
    var bytesPerVector: Double
    var distancesPerQuery: Double
    /// Nodes expanded a query.
    var expansionsPerQuery: Double

    enum CodingKeys: String, CodingKey {
      case storage, effort, reach, threads, recall, qps
      case processorMicroseconds = "processor_us_per_query"
      case buildSeconds = "build_seconds"
      case bytesPerVector = "bytes_per_vector"
      case distancesPerQuery = "distances_per_query"
      case expansionsPerQuery = "expansions_per_query"
      case recallTarget = "recall_target"
      case calibrationSeconds = "calibration_seconds"
    }
  }

  func run() throws {
    guard let metric = Metric(name: metric) else {
      throw ValidationError("--metric is \"\(metric)\"; it must be cosine, inner_product or l2")
    }
    let searches = try searches()
    try ReportFiles(html: html).checkPage()
    var (base, queries) = try IndexInput.read(base: self.base, queries: self.queries)
    let storages = try VectorStorage.listed(storage, dimension: base.dimension)
    var sample: [Float]?
    if asksForRecall, calibrateOn == .queries {
      guard queries.count > 1 else {
        throw ValidationError("\(self.queries) has one query, and --calibrate-on queries needs another one to measure")
      }
      sample = queries.every(2, from: 0).values
      queries = queries.every(2, from: 1)
    }
    let buildThreads = buildThreads ?? ProcessInfo.processInfo.activeProcessorCount
    let truth = try Truth(base: base, queries: queries, metric: metric, k: k, threads: buildThreads)
    let sweeps = try storages.map { storage in
      var configuration = HNSWConfiguration(
        dimension: base.dimension, metric: metric, storage: storage, connectivity: connectivity,
        constructionEffort: efConstruction)
      configuration.rotates = !unrotated
      return try Sweep(
        base: base, queries: queries, truth: truth, configuration: configuration, k: k, buildThreads: buildThreads,
        calibration: !asksForRecall || calibrateOn == .nothing ? .none : sample.map { .queries($0) } ?? .rows)
    }
    for sweep in sweeps { for search in searches { try sweep.check(search) } }
    // The indexes have their own: a large set need not be there twice.
    base.values = []
    if roundsFromStdin {
      try Rounds.answer(threads: threads) { threads in
        sweeps.flatMap { sweep in searches.map { sweep.measure($0, threads: threads) } }
      }
      return
    }
    var points: [Point] = []
    for sweep in sweeps {
      let name = sweep.index.configuration.storage.name
      let seconds = String(format: "%.2f", sweep.buildSeconds)
      let calibration = sweep.calibrationSeconds.map { String(format: ", calibrated in %.2f s", $0) } ?? ""
      print(
        """
        \(name): \(base.count) × \(base.dimension), built in \(seconds) s\(calibration), \
        \(sweep.index.statistics().bytes / base.count) bytes a vector
        """)
      for search in searches {
        let point = sweep.measure(search, threads: threads)
        points.append(point)
        let asked =
          if let target = point.recallTarget { String(format: "recall %.3f", target) } else if let reach = point.reach {
            String(format: "reach %.3f", reach)
          } else { String(format: "ef %d", point.effort) }
        print(
          asked.padding(toLength: 13, withPad: " ", startingAt: 0)
            + String(
              format: "recall@%d %.4f  %9.0f queries/s  %7.1f us cpu  %7.0f distances and %6.0f expansions a query", k,
              point.recall, point.qps, point.processorMicroseconds, point.distancesPerQuery, point.expansionsPerQuery))
      }
    }
    try json.map { try points.writeJSON(to: $0) }
    let circumstances = IndexReport.Circumstances(
      base: self.base, rows: base.count, dimension: base.dimension, metric: metric.name, queries: queries.count, k: k,
      connectivity: connectivity, constructionEffort: efConstruction, buildThreads: buildThreads)
    try ReportFiles(html: html).writePage(IndexReport.of(points, circumstances))
  }

  private var asksForRecall: Bool { !recallTargets.isEmpty }

  private static let usualEfforts = "10,16,24,32,48,64,96,128,192,256,384,512"
  /// Reaches that tell anything: at 1 the walk stops at the first row that is farther than the last of the answer.
  private static let reachRange = 0.1...1_000
  static let threadRange = 1...1_024

  /// What is to be measured.
  /// - Throws: `ValidationError`, naming the option and what is wrong with it.
  func searches() throws(ValidationError) -> [Sweep.Search] {
    guard (1...HNSWConfiguration.resultsMax).contains(k) else {
      throw ValidationError("--k is \(k); it must be from 1 to \(HNSWConfiguration.resultsMax)")
    }
    for (option, count) in [("--threads", threads), ("--build-threads", buildThreads ?? 1)]
    where !Self.threadRange.contains(count) {
      throw ValidationError(
        "\(option) is \(count); it must be from \(Self.threadRange.lowerBound) to \(Self.threadRange.upperBound)")
    }
    var searches: [Sweep.Search] = []
    if let efforts = ef ?? (asksForRecall ? nil : Self.usualEfforts) {
      for effort in try NumberList.counts(efforts, "--ef", in: HNSWConfiguration.searchEffortRange) {
        searches.append(Sweep.Search(options: SearchOptions(k: k, effort: effort)))
      }
    }
    if asksForRecall {
      for target in try NumberList.numbers(recallTargets, "--recall-targets", in: RecallTarget.range) {
        searches.append(Sweep.Search(options: SearchOptions(k: k, recallTarget: Float(target))))
      }
    }
    if !reach.isEmpty {
      for reach in try NumberList.numbers(self.reach, "--reach", in: Self.reachRange) {
        searches.append(Sweep.Search(options: SearchOptions(k: k), reach: Float(reach)))
      }
    }
    return searches
  }
}
