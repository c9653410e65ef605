// `bench wire`: what the protocol and the server cost on top of the search itself.
//
// May use: VectorServer, in this process; WireDriver; Sweep; Timing.

import ArgumentParser
import Foundation
import Logging
import VectorIndex
import VectorServer
import VectorWire

import class VectorServer.Collection

struct WireCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "wire",
    abstract: "Measures the same searches in process and over loopback, in turn.",
    discussion: """
      Builds one index of the base vectors and serves it to itself. Each round searches all queries in process (one thread, then all), \
      then over one connection with one request in flight, then with many. The client is one thread with plain blocking \
      sockets, so that what is measured is the server; it does take a core of this machine. Medians over the rounds.
      """)

  @Option(help: "The vectors to index: \(VectorFile.formats).") var base: String
  @Option(help: "The queries, in the same formats.") var queries: String
  @Option(help: "cosine, inner_product (ip) or l2.") var metric = "cosine"
  @Option(help: "Results a query.") var k = 10
  @Option(help: "Effort (ef) of the searches.") var ef = 64
  @Option(help: "Requests in flight on the connection, beside one.") var inFlight = 64
  @Option(help: "Rounds.") var rounds = 5

  func run() async throws {
    guard let metric = Metric(name: metric) else {
      throw ValidationError("--metric is \"\(metric)\"; it must be cosine, inner_product or l2")
    }
    guard k > 0, ef > 0, rounds > 0, (1...256).contains(inFlight) else {
      throw ValidationError("--k, --ef and --rounds must be positive, and --in-flight from 1 to 256")
    }
    let base = try VectorFile(path: base)
    let queries = try VectorFile(path: queries)
    let cores = ProcessInfo.processInfo.activeProcessorCount
    let truth = try Truth(base: base, queries: queries, metric: metric, k: k, threads: cores)
    let sweep = try Sweep(
      base: base, queries: queries, truth: truth,
      configuration: HNSWConfiguration(dimension: base.dimension, metric: metric), k: k, buildThreads: cores)

    let catalog = try CollectionCatalog([Collection(name: "bench", index: sweep.index)])
    var configuration = ServerConfiguration()
    configuration.port = 0
    var logger = Logger(label: "bench")
    logger.logLevel = .warning
    let (ports, listening) = AsyncStream.makeStream(of: Int.self)
    let server = try VectorServer(configuration: configuration, catalog: catalog, logger: logger) {
      listening.yield($0)
    }
    let running = Task { try await server.run() }
    var port: Int?
    for await first in ports {
      port = first
      break
    }
    guard let port else { throw ValidationError("the server did not listen") }
    let frames = WireDriver.Requests(queries: queries, collection: "bench", k: k, effort: ef)
    let options = SearchOptions(k: k, effort: ef)
    let thread = Task.detached { [inFlight, rounds] in
      try Self.measure(sweep, frames, options, port: port, inFlight: inFlight, rounds: rounds, cores: cores)
    }
    let text = try await thread.value
    running.cancel()
    _ = try? await running.value
    print(text)
  }

  /// Blocks; runs detached from everything else.
  private static func measure(
    _ sweep: Sweep, _ requests: WireDriver.Requests, _ options: SearchOptions, port: Int, inFlight: Int, rounds: Int,
    cores: Int
  ) throws -> String {
    let driver = try WireDriver(port: port)
    var one: [Double] = []
    var all: [Double] = []
    var wireOne: [Double] = []
    var wireMany: [Double] = []
    var pings: [Double] = []
    for round in 0...rounds {
      let points = [1, cores].map { sweep.measure(Sweep.Search(options: options), threads: $0).qps }
      let ping = try driver.ping(times: 2_000)
      let single = try driver.run(requests, inFlight: 1)
      let many = try driver.run(requests, inFlight: inFlight)
      // The first round warms caches and scratches.
      guard round > 0 else { continue }
      one.append(points[0])
      all.append(points[1])
      pings.append(ping)
      wireOne.append(single)
      wireMany.append(many)
    }
    let inProcess = 1e6 / median(one)
    let overWire = 1e6 / median(wireOne)
    return """
      \(requests.count) queries, ef \(options.effort), medians of \(rounds) rounds
      in process, one thread:        \(text(inProcess)) µs a query
      over the wire, 1 in flight:    \(text(overWire)) µs a query, \(text(overWire - inProcess)) µs more
      a ping, 1 in flight:           \(text(1e6 / median(pings))) µs
      in process, \(cores) threads:         \(text(median(all))) queries/s
      over the wire, \(inFlight) in flight:   \(text(median(wireMany))) queries/s, \(text(1e6 * (1 / median(wireMany) - 1 / median(all)))) µs more a query
      """
  }

  private static func text(_ value: Double) -> String { String(format: "%.1f", value) }
}
