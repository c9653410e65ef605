// One built index, and the measuring of searches in it.
//
// May use: VectorIndex; Foundation, for the clock.

import Foundation
import VectorIndex

/// An index of a file, its exact answers, and how it does at an effort or a recall target.
final class Sweep: Sendable {
  let index: HNSWIndex
  private let queries: VectorFile
  private let k: Int
  private let truth: Truth
  let buildSeconds: Double
  let calibrationSeconds: Double?

  /// What the index is calibrated on.
  enum Calibration {
    case none, rows
    case queries([Float])
  }

  /// How to search; a reach stands in the place of what the options ask for.
  struct Search: Sendable, Equatable {
    var options: SearchOptions
    var reach: Float?
  }

  init(
    base: VectorFile, queries: VectorFile, truth: Truth, configuration: HNSWConfiguration, k: Int, buildThreads: Int,
    calibration: Calibration = .none
  ) throws {
    let index = try HNSWIndex(configuration: configuration)
    self.index = index
    self.queries = queries
    self.k = k
    let start = ContinuousClock.now
    let ids = (0..<base.count).map { RecordID.int64(Int64($0)) }
    _ = try base.values.withUnsafeBufferPointer { try index.stage(ids, $0) }
    try index.linkStaged(threads: buildThreads, calibrates: false)
    let linked = ContinuousClock.now
    buildSeconds = (linked - start) / .seconds(1)
    switch calibration {
    case .none: calibrationSeconds = nil
    case .rows:
      try index.calibrate(threads: buildThreads)
      calibrationSeconds = (ContinuousClock.now - linked) / .seconds(1)
    case .queries(let sample):
      try index.calibrate(queries: sample, threads: buildThreads)
      calibrationSeconds = (ContinuousClock.now - linked) / .seconds(1)
    }
    self.truth = truth
  }

  /// Of an index that was made elsewhere.
  init(of index: HNSWIndex, queries: VectorFile, truth: Truth, k: Int) {
    self.index = index
    self.queries = queries
    self.k = k
    self.truth = truth
    buildSeconds = 0
    calibrationSeconds = nil
  }

  /// Passes over the queries go on for at least this long: one pass of a few hundred queries is over too soon to be timed.
  private static let secondsMin = 0.3

  /// Searches for the first query, so that what the index refuses is said before anything is measured: it is the same for all queries,
  /// which were checked when the exact answers were computed.
  /// - Throws: `IndexError`.
  func check(_ search: Search) throws(IndexError) {
    var options = search.options
    options.reach = search.reach.map { index.reach($0) }
    _ = try index.search(Array(queries[0]), options)
  }

  /// - Precondition: ``check(_:)`` throws nothing. A search that fails nevertheless has found nothing, and is not counted as one.
  /// - vectorOfRow: which of the base's vectors each row has, where that is not the one of its own number.
  func measure(_ search: Search, threads: Int, vectorOfRow: [Int]? = nil) -> IndexCommand.Point {
    var options = search.options
    options.reach = search.reach.map { index.reach($0) }
    // Apart from the clock, since whether an answer is right is not the search's business.
    let found = searchAll(options, threads: threads, judge: { vectorOfRow?[Int($0)] ?? Int($0) })
    let clock = ContinuousClock()
    let start = clock.now
    let cpuStart = Self.processorSeconds()
    var answered = 0
    repeat {
      answered += searchAll(options, threads: threads, judge: nil).answered
    } while clock.now - start < .seconds(Self.secondsMin)
    let seconds = (clock.now - start) / .seconds(1)
    let cpuSeconds = Self.processorSeconds() - cpuStart
    let count = queries.count
    let statistics = index.statistics()
    return IndexCommand.Point(
      storage: index.configuration.storage.name, effort: options.effort,
      recallTarget: options.recallTarget.map(Self.rounded), reach: search.reach.map(Self.rounded), threads: threads,
      recall: Double(found.right) / Double(count * min(k, index.count)),
      qps: Double(answered) / seconds, processorMicroseconds: cpuSeconds * 1e6 / Double(max(1, answered)),
      buildSeconds: buildSeconds, calibrationSeconds: calibrationSeconds,
      bytesPerVector: Double(statistics.bytes) / Double(max(1, index.count)),
      distancesPerQuery: Double(found.distances) / Double(count),
      expansionsPerQuery: Double(found.expansions) / Double(count))
  }

  /// 0.95 as it was typed, and not as the nearest float.
  private static func rounded(_ number: Float) -> Double { (Double(number) * 1e6).rounded() / 1e6 }

  /// What this process has had of the processors.
  static func processorSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  private struct Found: Sendable {
    var answered = 0
    var right = 0
    /// Of all ids, so that none of them is left unread.
    var idSum: Int64 = 0
    var distances = 0
    var expansions = 0
  }

  /// - judge: gives the number of the vector that a row has, where answers are judged.
  private func searchAll(
    _ options: SearchOptions, threads: Int, judge: (@Sendable (Int64) -> Int)?
  ) -> Found {
    let totals = Shared(Found())
    WorkerThreads.run(count: threads) { thread in
      // Each thread takes every threads-th query: no counter to share, and the same work for each.
      let found = self.searchEvery(threads, from: thread, options, judge)
      totals.withLock {
        $0.answered += found.answered
        $0.right += found.right
        $0.distances += found.distances
        $0.expansions += found.expansions
        $0.idSum &+= found.idSum
      }
    }
    return totals.withLock { $0 }
  }

  private func searchEvery(
    _ step: Int, from first: Int, _ options: SearchOptions, _ judge: ((Int64) -> Int)?
  ) -> Found {
    var scratch = SearchScratch(for: index)
    var found = Found()
    queries.values.withUnsafeBufferPointer { values in
      for i in stride(from: first, to: queries.count, by: step) {
        let query = UnsafeBufferPointer(rebasing: values[(i * queries.dimension)..<((i + 1) * queries.dimension)])
        try? index.search(query, options, scratch: &scratch) { hits in
          for h in 0..<hits.count {
            guard case .int64(let id) = hits.id(at: h) else { continue }
            found.idSum &+= id
            if let judge, truth.isRight(.int64(Int64(judge(id))), forQuery: i) { found.right += 1 }
          }
          found.answered += 1
          found.distances += hits.distancesComputed
          found.expansions += hits.effort
        }
      }
    }
    return found
  }
}
