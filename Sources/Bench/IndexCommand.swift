// `bench index`: the index alone, in process, on a file of vectors: recall and speed over the effort.
//
// May use: VectorIndex.

import ArgumentParser
import Foundation
import VectorIndex

struct IndexCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "index",
    abstract: "Measures the index alone, in process: recall and queries a second over a list of efforts.",
    discussion: """
      Builds an index of the base vectors, computes the exact answers, and searches with each effort in turn. Recall counts a \
      result as right when it is no farther than the k-th exact one (ties within 1e-5).
      """)

  @Option(help: "The vectors to index: .npy, .fvecs or .fbin.") var base: String
  @Option(help: "The queries, in the same formats; not rows of the base.") var queries: String
  @Option(help: "cosine, inner_product (ip) or l2.") var metric = "cosine"
  @Option(help: "Results a query.") var k = 10
  @Option(help: "Efforts (ef) to search with, separated by commas.") var ef = "10,16,24,32,48,64,96,128,192,256,384,512"
  @Option(help: "Storages to measure, separated by commas: f32, f16, int8, int4x8, int4x16; or auto.") var storage = "auto"
  @Option(help: "Reaches") var reach = ""
  @Option(name: .customLong("m"), help: "Edges a node (M).") var connectivity = 16
  @Option(help: "Effort of the build (efConstruction).") var efConstruction = 200
  @Option(help: "Threads that search; the build uses all cores.") var threads = 1
  @Option(help: "Threads that build; all cores if absent.") var buildThreads: Int?
  @Option(help: "Write the points to this file as JSON.") var json: String?
  @Flag(help: "Build once, print \"ready\", then sweep once for every line read from standard input.")
  var roundsFromStdin = false

  struct Point: Codable {
    var storage: String
    var effort: Int
    var reach: Double?
    var threads: Int
    var recall: Double
    var qps: Double
    /// Processor time a query: what the speed would be on a machine that nobody else uses.
    var processorMicroseconds: Double
    var buildSeconds: Double
    var bytesPerVector: Double
    var distancesPerQuery: Double

    enum CodingKeys: String, CodingKey {
      case storage, effort, reach, threads, recall, qps
      case processorMicroseconds = "processor_us_per_query"
      case buildSeconds = "build_seconds"
      case bytesPerVector = "bytes_per_vector"
      case distancesPerQuery = "distances_per_query"
    }
  }

  func run() throws {
    guard let metric = Metric(name: metric) else {
      throw ValidationError("--metric is \"\(metric)\"; it must be cosine, inner_product or l2")
    }
    let efforts = ef.split(separator: ",").compactMap { Int($0) }
    guard !efforts.isEmpty, efforts.allSatisfy({ $0 > 0 }) else {
      throw ValidationError("--ef must be a list of positive numbers, such as 16,64,256")
    }
    guard k > 0, threads > 0 else { throw ValidationError("--k and --threads must be positive") }
    let base = try VectorFile(path: base)
    let queries = try VectorFile(path: queries)
    guard queries.dimension == base.dimension else {
      throw ValidationError("the queries have \(queries.dimension) dimensions and the base has \(base.dimension)")
    }
    let storages = try storage.split(separator: ",").map { name in
      if name == "auto" { return VectorStorage.automatic(dimension: base.dimension) }
      guard let storage = VectorStorage(name: String(name)) else {
        throw ValidationError("--storage: \"\(name)\" is none of f32, f16, int8, int4x8, int4x16, auto")
      }
      return storage
    }
    let buildThreads = buildThreads ?? ProcessInfo.processInfo.activeProcessorCount
    let truth = try Truth(base: base, queries: queries, metric: metric, k: k, threads: buildThreads)
    let sweeps = try storages.map { storage in
      try Sweep(
        base: base, queries: queries, truth: truth,
        configuration: HNSWConfiguration(
          dimension: base.dimension, metric: metric, storage: storage, connectivity: connectivity,
          constructionEffort: efConstruction),
        k: k, buildThreads: buildThreads)
    }
    let options = efforts.map { SearchOptions(k: k, effort: $0) } + reach.split(separator: ",").compactMap { Float($0) }.map { r in var o = SearchOptions(k: k); o.reach = SearchReach(reach: r); return o }
    if roundsFromStdin {
      say("ready")
      while readLine() != nil {
        let points = sweeps.flatMap { sweep in options.map { sweep.measure($0, threads: threads) } }
        say(String(decoding: try JSONEncoder().encode(points), as: UTF8.self))
      }
      return
    }
    var points: [Point] = []
    for sweep in sweeps {
      print("\(sweep.index.configuration.storage.name): \(base.count) × \(base.dimension), built in \(String(format: "%.2f", sweep.buildSeconds)) s, \(sweep.index.statistics().bytes / base.count) bytes a vector")
      for option in options {
        let point = sweep.measure(option, threads: threads)
        points.append(point)
        print(
          String(
            format: "ef %5d reach %.3f recall@%d %.4f  %9.0f queries/s  %7.1f us cpu  %7.0f distances a query", point.effort, point.reach ?? 1, k, point.recall,
            point.qps, point.processorMicroseconds,
            point.distancesPerQuery))
      }
    }
    if let json {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      try encoder.encode(points).write(to: URL(fileURLWithPath: json))
    }
  }

  /// Prints a line that whoever reads our output through a pipe sees at once.
  private func say(_ line: String) {
    FileHandle.standardOutput.write(Data((line + "\n").utf8))
  }
}
