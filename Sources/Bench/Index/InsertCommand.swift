// `bench insert`: how fast an index takes rows one at a time, linking included.
//
// May use: KeptIndex, Sweep, Rounds, IndexInput, VectorIndex.

import ArgumentParser
import Foundation
import VectorIndex

struct InsertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "insert",
    abstract:
      "Inserts the last rows of a file one at a time into an index of those before, and measures the index after it.",
    discussion: """
      One thread links each row as it inserts it. Where there are more, one inserts and the maintenance links on all of them; the time ends \
      when the last row is linked. Each repetition begins with the same index.
      """)

  @Option(help: "The vectors to index: \(VectorFile.formats).") var base: String
  @Option(help: "The queries, in the same formats; not rows of the base.") var queries: String
  @Option(help: "cosine, inner_product (ip) or l2.") var metric = "cosine"
  @Option(help: "Results a query.") var k = 10
  @Option(help: "Storages to measure, separated by commas: f32, f16, int8, int4x8, int4x16; or auto.") var storage =
    "auto"
  @Option(help: "Effort (ef) to measure recall at, after the last row.") var ef = 64
  @Option(name: .customLong("m"), help: "Edges a node (M).") var connectivity = 16
  @Option(help: "Effort of the build (efConstruction).") var efConstruction = 200
  @Option(help: "Counts of threads that link, separated by commas.") var threads = "1"
  @Option(help: "How many percent of the rows are inserted; those before are built together.") var percent = 20
  @Option(help: "Rows that may wait to be linked before the next insertion waits: bounds what a search scans.")
  var tail = 1_024
  @Option(help: "How often it is measured; the medians count.") var repetitions = 3
  @Option(help: "Write the points to this file as JSON.") var json: String?
  @Flag(
    help:
      "Build once, print \"ready\", then measure once for every line read from standard input: \"run THREADS\", or nothing."
  )
  var roundsFromStdin = false

  struct Point: Codable {
    var storage: String
    var threads: Int
    /// Rows that were there, and rows that were inserted.
    var rowsBefore: Int
    var rows: Int
    var rowsPerSecond: Double
    var processorMicroseconds: Double
    var effort: Int
    /// Of all rows, after the last insertion.
    var recall: Double

    enum CodingKeys: String, CodingKey {
      case storage, threads, rows, effort, recall
      case rowsBefore = "rows_before"
      case rowsPerSecond = "rows_per_second"
      case processorMicroseconds = "processor_us_per_row"
    }
  }

  /// What was measured, and where.
  private struct Report: Codable {
    var machine: Machine
    var points: [Point]
  }

  func run() throws {
    guard let metric = Metric(name: metric) else {
      throw ValidationError("--metric is \"\(metric)\"; it must be cosine, inner_product or l2")
    }
    guard tail > 0, repetitions > 0, (1...99).contains(percent) else {
      throw ValidationError("--tail and --repetitions must be positive, and --percent from 1 to 99")
    }
    guard (1...HNSWConfiguration.resultsMax).contains(k), HNSWConfiguration.searchEffortRange.contains(ef) else {
      throw ValidationError(
        "--k must be from 1 to \(HNSWConfiguration.resultsMax), and --ef from 1 to \(HNSWConfiguration.searchEffortRange.upperBound)"
      )
    }
    let counts = try NumberList.counts(threads, "--threads", in: IndexCommand.threadRange)
    let machine = Machine.current()
    let trial = try trial(metric: metric)
    if roundsFromStdin {
      try Rounds.answer(threads: counts[0]) { threads in
        try trial.starts.map { try trial.measure($0, threads: threads) }
      }
      return
    }
    var points: [Point] = []
    for _ in 0..<repetitions {
      for count in counts {
        for start in trial.starts {
          let point = try trial.measure(start, threads: count)
          points.append(point)
          print(
            "\(point.storage), \(count) \(count == 1 ? "thread" : "threads"): "
              + String(
                format: "%d rows after %d, %.0f rows/s, %.1f us cpu a row, recall@%d %.4f at ef %d", point.rows,
                point.rowsBefore, point.rowsPerSecond, point.processorMicroseconds, k, point.recall, point.effort))
        }
      }
    }
    for start in trial.starts {
      for count in counts {
        let some = points.filter { $0.storage == start.storage.name && $0.threads == count }
        print(
          "\(start.storage.name), \(count) \(count == 1 ? "thread" : "threads"), medians of \(repetitions): "
            + String(format: "%.0f rows/s, recall %.4f", median(some.map(\.rowsPerSecond)), median(some.map(\.recall))))
      }
    }
    if let json { try Report(machine: machine, points: points).writeJSON(to: json) }
  }

  /// Reads the files and builds what each measurement begins with.
  private func trial(metric: Metric) throws -> InsertTrial {
    var base: VectorFile
    let queries: VectorFile
    (base, queries) = try IndexInput.read(base: self.base, queries: self.queries)
    let storages = try VectorStorage.listed(storage, dimension: base.dimension)
    let before = base.count - base.count * percent / 100
    guard before < base.count else { throw ValidationError("\(percent) percent of \(base.count) rows are none") }
    let cores = ProcessInfo.processInfo.activeProcessorCount
    let truth = try Truth(base: base, queries: queries, metric: metric, k: k, threads: cores)
    let starts = try storages.map { storage in
      let index = try HNSWIndex(
        configuration: HNSWConfiguration(
          dimension: base.dimension, metric: metric, storage: storage, connectivity: connectivity,
          constructionEffort: efConstruction))
      _ = try base.values.withUnsafeBufferPointer { values in
        try index.stage(
          (0..<before).map { .int64(Int64($0)) }, UnsafeBufferPointer(rebasing: values[..<(before * base.dimension)]))
      }
      try index.linkStaged(threads: cores, calibrates: false)
      return InsertTrial.Start(storage: storage, index: KeptIndex(index))
    }
    // Of the others the index has its own: a large set need not be there twice.
    base.values = Array(base.values[(before * base.dimension)...])
    base.count -= before
    return InsertTrial(
      starts: starts, rows: base, before: before, queries: queries, truth: truth, k: k, effort: ef, tail: tail,
      cores: cores)
  }
}

/// Rows to insert, and the indexes to insert them into.
private struct InsertTrial {
  struct Start {
    let storage: VectorStorage
    let index: KeptIndex
  }

  let starts: [Start]
  /// Those to insert.
  let rows: VectorFile
  let before: Int
  let queries: VectorFile
  let truth: Truth
  let k: Int
  let effort: Int
  let tail: Int
  let cores: Int

  func measure(_ start: Start, threads: Int) throws -> InsertCommand.Point {
    let index = try start.index.restored(threads: cores)
    let processorBegun = Sweep.processorSeconds()
    let begun = ContinuousClock.now
    if threads == 1 {
      for i in 0..<rows.count { try insert(i, into: index) }
    } else {
      let maintenance = Maintenance(of: index, threads: threads)
      for i in 0..<rows.count {
        while index.tailCount >= tail { usleep(50) }
        try insert(i, into: index)
      }
      // The maintenance links on all threads; who waits for it in `catchUp` links on one.
      while index.tailCount > 0 { usleep(50) }
      maintenance.catchUp()
      maintenance.stop()
    }
    let seconds = (ContinuousClock.now - begun) / .seconds(1)
    let processorSeconds = Sweep.processorSeconds() - processorBegun
    precondition(index.count == before + rows.count && index.tailCount == 0, "every row is there, and linked")
    let sweep = Sweep(of: index, queries: queries, truth: truth, k: k)
    let search = Sweep.Search(options: SearchOptions(k: k, effort: effort))
    try sweep.check(search)
    let point = sweep.measure(search, threads: 1)
    return InsertCommand.Point(
      storage: start.storage.name, threads: threads, rowsBefore: before, rows: rows.count,
      rowsPerSecond: Double(rows.count) / seconds, processorMicroseconds: processorSeconds * 1e6 / Double(rows.count),
      effort: effort, recall: point.recall)
  }

  private func insert(_ i: Int, into index: HNSWIndex) throws {
    try index.insert(
      .int64(Int64(before + i)), Array(rows.values[(i * rows.dimension)..<((i + 1) * rows.dimension)]))
  }
}
