// `bench churn`: what a stream of changes does to an index, and what it costs the searches meanwhile.
//
// May use: Sweep, IndexInput, SplitMix, VectorIndex.

import ArgumentParser
import Foundation
import VectorIndex

struct ChurnCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "churn",
    abstract: "Replaces every row again and again, beside searches, and compares the index with a fresh build.",
    discussion: """
      Each round replaces every row once, in random order, by the vector of another row; so the set of vectors stays what it is, and \
      the exact answers, by vector, too. One thread changes rows, one links them in the background, one searches.
      """)

  @Option(help: "The vectors to index: \(VectorFile.formats).") var base: String
  @Option(help: "The queries, in the same formats; not rows of the base.") var queries: String
  @Option(help: "cosine, inner_product (ip) or l2.") var metric = "cosine"
  @Option(help: "Results a query.") var k = 10
  @Option(help: "Storage: f32, f16, int8, int4x8, int4x16; or auto.") var storage = "auto"
  @Option(help: "Efforts (ef) to measure recall at, separated by commas.") var ef = "32,64,128"
  @Option(help: "How often every row is replaced.") var rounds = 10
  @Option(help: "Rows that may wait to be linked before the next change waits: bounds what a search scans.") var tail =
    256
  @Option(help: "Decides the order of the changes.") var seed: UInt64 = 1
  @Option(help: "Write what was measured to this file as JSON.") var json: String?

  /// What was measured, of what, and where.
  private struct Report: Codable {
    var machine: Machine
    var storage: String
    var rows: Int
    var dimension: Int
    var queries: Int
    var metric: String
    var k: Int
    var rounds: Int
    var tail: Int
    var seed: UInt64
    var changesPerSecond: Double
    /// Searches beside the changes, at the first of the efforts; null where the changes were over before one pass was.
    var queriesPerSecondMeanwhile: Double?
    /// Of the build, and after the last change.
    var fresh: [IndexCommand.Point]
    var churned: [IndexCommand.Point]

    enum CodingKeys: String, CodingKey {
      case machine, storage, rows, dimension, queries, metric, k, rounds, tail, seed, fresh, churned
      case changesPerSecond = "changes_per_second"
      case queriesPerSecondMeanwhile = "qps_meanwhile"
    }
  }

  func run() throws {
    guard let metric = Metric(name: metric) else {
      throw ValidationError("--metric is \"\(metric)\"; it must be cosine, inner_product or l2")
    }
    let efforts = try NumberList.counts(ef, "--ef", in: HNSWConfiguration.searchEffortRange)
    guard (1...HNSWConfiguration.resultsMax).contains(k) else {
      throw ValidationError("--k is \(k); it must be from 1 to \(HNSWConfiguration.resultsMax)")
    }
    guard rounds > 0, tail > 0 else { throw ValidationError("--rounds and --tail must be positive") }
    let (base, queries) = try IndexInput.read(base: self.base, queries: self.queries)
    let storages = try VectorStorage.listed(storage, dimension: base.dimension)
    guard storages.count == 1 else { throw ValidationError("--storage: give one") }
    let kept = storages[0]
    let machine = Machine.current()
    let threads = ProcessInfo.processInfo.activeProcessorCount
    let truth = try Truth(base: base, queries: queries, metric: metric, k: k, threads: threads)
    let sweep = try Sweep(
      base: base, queries: queries, truth: truth,
      configuration: HNSWConfiguration(dimension: base.dimension, metric: metric, storage: kept), k: k,
      buildThreads: threads, calibration: .none)
    print("\(kept.name): \(base.count) × \(base.dimension), seed \(seed)")
    let searches = efforts.map { Sweep.Search(options: SearchOptions(k: k, effort: $0)) }
    for search in searches { try sweep.check(search) }
    let fresh = searches.map { sweep.measure($0, threads: 1) }
    report("fresh build", efforts, fresh)

    // Which vector each row has now.
    var order = Array(0..<base.count)
    var random = SplitMix(state: seed)
    let maintenance = Maintenance(of: sweep.index)
    let isDone = Shared(false)
    let meanwhile = Shared((count: 0, seconds: 0.0))
    let searcher = Thread {
      while !isDone.withLock({ $0 }) {
        let point = sweep.measure(searches[0], threads: 1)
        meanwhile.withLock {
          $0.count += 1
          $0.seconds += 1 / point.qps
        }
      }
    }
    searcher.start()
    let start = ContinuousClock.now
    for round in 1...rounds {
      order.shuffle(using: &random)
      for (id, source) in order.enumerated() {
        while sweep.index.tailCount >= tail { usleep(50) }
        try sweep.index.upsert(
          .int64(Int64(id)), Array(base.values[(source * base.dimension)..<((source + 1) * base.dimension)]))
      }
      let seconds = (ContinuousClock.now - start) / .seconds(1)
      FileHandle.standardError.write(
        Data(
          String(format: "round %d of %d: %.0f changes/s so far\n", round, rounds, Double(round * base.count) / seconds)
            .utf8))
    }
    maintenance.catchUp()
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    isDone.withLock { $0 = true }
    while !searcher.isFinished { usleep(1_000) }
    maintenance.stop()
    sweep.index.consolidate()
    let (passes, secondsEach) = meanwhile.withLock { ($0.count, $0.seconds) }
    print(
      String(
        format:
          "%d changes in %.1f s: %.0f changes/s, linked, while one thread searched at ef %d: %.0f queries/s, %.2f of the speed before",
        rounds * base.count, seconds, Double(rounds * base.count) / seconds, efforts[0], Double(passes) / secondsEach,
        Double(passes) / secondsEach / fresh[0].qps))
    // Row `id` has the vector of row `order[id]` now.
    let after = searches.map { sweep.measure($0, threads: 1, vectorOfRow: order) }
    report("after every row was replaced \(rounds) times", efforts, after)
    if let json {
      try Report(
        machine: machine, storage: kept.name, rows: base.count, dimension: base.dimension, queries: queries.count,
        metric: metric.name, k: k, rounds: rounds, tail: tail, seed: seed,
        changesPerSecond: Double(rounds * base.count) / seconds,
        queriesPerSecondMeanwhile: passes > 0 ? Double(passes) / secondsEach : nil, fresh: fresh, churned: after
      ).writeJSON(to: json)
    }
  }

  private func report(_ what: String, _ efforts: [Int], _ points: [IndexCommand.Point]) {
    print(what)
    for (effort, point) in zip(efforts, points) {
      print(
        String(
          format: "  ef %4d  recall@%d %.4f  %8.0f queries/s  %6.0f distances a query", effort, k, point.recall,
          point.qps,
          point.distancesPerQuery))
    }
  }
}
