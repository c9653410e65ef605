// Searches that ask for a recall: what is refused, what the curve is as bytes, and whether what was asked for is found.

import Synchronization
import TestSupport
import Testing

@testable import VectorIndex

@Suite struct RecallTargetTests {
  // MARK: What is refused

  private func code(_ body: () throws -> Void) -> IndexError.Code? {
    do {
      try body()
      return nil
    } catch { return (error as? IndexError)?.code }
  }

  @Test(arguments: [0, 0.7999, 0.99901, 1, -0.9, .nan, .infinity] as [Float]) func refusesWhatIsNoTarget(target: Float)
    throws
  {
    let index = try HNSWIndex(configuration: HNSWConfiguration(dimension: 2, metric: .l2))
    #expect(code { _ = try index.search([1, 2], SearchOptions(k: 1, recallTarget: target)) } == .invalidRecallTarget)
    var configuration = HNSWConfiguration(dimension: 2, metric: .l2)
    configuration.recallTarget = target
    #expect(code { _ = try HNSWIndex(configuration: configuration) } == .invalidConfiguration)
  }

  @Test func refusesATargetBesideAnEffort() throws {
    let index = try HNSWIndex(configuration: HNSWConfiguration(dimension: 2, metric: .l2))
    #expect(
      code { _ = try index.search([1, 2], SearchOptions(k: 1, recallTarget: 0.9, effort: 10)) } == .invalidRecallTarget)
    for target: Float in [0.80, 0.999] {
      #expect(try index.search([1, 2], SearchOptions(k: 1, recallTarget: target)).isEmpty)
    }
  }

  @Test func refusesWhatItCannotCalibrateWith() throws {
    let index = try clustered(rows: 1_500, dimension: 8, metric: .l2, seed: 1)
    let queries = [Float](repeating: 1, count: 8 * 99)
    #expect(code { try index.calibrate(queries: queries, threads: 1) } == .tooFewQueries)
    #expect(code { try index.calibrate(queries: [1, 2, 3], threads: 1) } == .dimensionMismatch)
    #expect(
      code { try index.calibrate(queries: queries + [Float](repeating: .nan, count: 8), threads: 1) } == .notFinite)
    #expect(code { try index.calibrate(threads: 1) { $0 == 0 } } == .cancelled)
    #expect(index.statistics().calibration == nil)
    let tiny = try clustered(rows: 1_000, dimension: 8, metric: .l2, seed: 1)
    #expect(try tiny.calibrate(threads: 1) == nil)
  }

  // MARK: The curve

  @Test(arguments: testSeeds) func aCurveIsItsBytes(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    for _ in 0..<200 {
      let curve = randomCurve(&random)
      let bytes = curve.encoded()
      #expect(bytes.count == RecallCurve.encodedBytes)
      #expect(try RecallCurve(decoding: bytes) == curve)
      for _ in 0..<50 {
        var damaged = bytes
        for _ in 0..<Int.random(in: 1...4, using: &random) {
          damaged[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
        expectSound(damaged, seed)
      }
      expectSound(Array(bytes.prefix(Int.random(in: 0..<bytes.count, using: &random))), seed)
      expectSound(bytes + [0], seed)
      expectSound((0..<RecallCurve.encodedBytes).map { _ in UInt8.random(in: 0...255, using: &random) }, seed)
    }
  }

  /// Bytes are refused with the right code, or are those of a curve that answers sensibly.
  private func expectSound(_ bytes: [UInt8], _ seed: UInt64) {
    do {
      let curve = try RecallCurve(decoding: bytes)
      #expect(curve.encoded() == bytes, "seed \(seed)")
      #expect(curve.reach(target: 0.93, results: 30) >= 1, "seed \(seed)")
    } catch {
      #expect(error.code == .inconsistentParts, "seed \(seed)")
    }
  }

  @Test(arguments: testSeeds) func moreRecallNeverTakesLessReach(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<50 {
      let curve = randomCurve(&random)
      for k in [1, 2, 7, 10, 11, 50, 100, 101, 10_000] {
        var last: Float = 1
        for step in 0...199 {
          let reach = curve.reach(target: min(0.999, 0.8 + Float(step) * 0.001), results: k)
          #expect(reach >= last * (1 - 1e-6), "seed \(seed), k \(k), step \(step)")
          last = reach
        }
      }
      for (i, target) in RecallCurve.targets.enumerated() {
        for (k, table) in [(1, curve.one), (10, curve.ten), (100, curve.hundred), (1_000, curve.hundred)] {
          let reach = curve.reach(target: target, results: k)
          #expect(reach == table[i] || abs(reach - table[i]) <= 1e-3 * table[i] || table[min(7, i + 1)] == .infinity)
        }
      }
    }
  }

  private func randomCurve(_ random: inout SeededRandom) -> RecallCurve {
    func table() -> SIMD8<Float> {
      var table = SIMD8<Float>()
      var reach: Float = 1
      for i in 0..<8 {
        reach += Float.random(in: 0...0.5, using: &random)
        table[i] = reach
      }
      if Bool.random(using: &random) { table[7] = .infinity }
      return table
    }
    return RecallCurve(
      basis: Bool.random(using: &random) ? .rows : .queries, queryCount: UInt32.random(in: 1...1_000, using: &random),
      rows: UInt64.random(in: 1...UInt64(UInt32.max), using: &random), shift: Float.random(in: 0...100, using: &random),
      one: table(), ten: table(), hundred: table())
  }

  // MARK: What is found

  /// What chance may add to the share of misses: three standard deviations of `queries` answers that are each all right or
  /// all wrong, which real ones are far from.
  private func allowed(_ target: Float, queries: Int) -> Double {
    let misses = Double(1 - target)
    return misses + 3 * (misses / Double(queries)).squareRoot()
  }

  private func recall(_ index: HNSWIndex, _ queries: [Float], k: Int, target: Float?) throws -> Double {
    let dimension = index.configuration.dimension
    let exact = try ExactIndex(over: index).search(queries, k: k, threads: 2)
    var scratch = SearchScratch(for: index)
    var right = 0
    for (i, truth) in exact.enumerated() {
      let radius = truth[k - 1].distance
      try queries[(i * dimension)..<((i + 1) * dimension)].withUnsafeBufferPointer {
        try index.search($0, SearchOptions(k: k, recallTarget: target), scratch: &scratch) { hits in
          right += (0..<hits.count).count { hits.distance(at: $0) <= radius + 1e-5 * max(1, abs(radius)) }
        }
      }
    }
    return Double(right) / Double(k * exact.count)
  }

  private func expectTargets(_ index: HNSWIndex, _ queries: [Float], _ what: String) throws {
    let count = queries.count / index.configuration.dimension
    for k in [1, 10, 30, 100] {
      for target: Float in [0.80, 0.90, 0.95, 0.99, 0.999] {
        let recall = try recall(index, queries, k: k, target: target)
        print("\(what): recall@\(k) \(recall), asked for \(target)")
        #expect(1 - recall <= allowed(target, queries: count), "\(what), k \(k), target \(target)")
      }
    }
  }

  private func sampleIndex(_ storage: VectorStorage, _ metric: Metric) throws -> HNSWIndex {
    let sample = Sample.debian
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(dimension: sample.dimension, metric: metric, storage: storage))
    _ = try sample.base.withUnsafeBufferPointer {
      try index.stage((0..<sample.baseCount).map { .int64(Int64($0)) }, $0)
    }
    try index.linkStaged(threads: 2)
    return index
  }

  @Test(arguments: [(VectorStorage.int4x16, Metric.cosine), (.int4x8, .l2), (.int8, .innerProduct), (.f32, .cosine)])
  func realQuestionsFindWhatIsAskedFor(storage: VectorStorage, metric: Metric) throws {
    let sample = Sample.debian
    let index = try sampleIndex(storage, metric)
    let basis = try #require(index.statistics().calibration)
    #expect(basis.basis == .rows && basis.rows == sample.baseCount && basis.isCurrent && basis.queryCount == 500)
    try expectTargets(index, sample.queries, "\(storage.name), \(metric.name), on rows")

    let half = sample.queryCount / 2 * sample.dimension
    try index.calibrate(queries: Array(sample.queries[..<half]), threads: 2)
    #expect(index.statistics().calibration?.basis == .queries)
    try expectTargets(index, Array(sample.queries[half...]), "\(storage.name), \(metric.name), on questions")
  }

  @Test func anIndexThatWasNeverCalibratedFindsItToo() throws {
    let sample = Sample.debian
    let index = try HNSWIndex(configuration: HNSWConfiguration(dimension: sample.dimension, metric: .cosine))
    _ = try sample.base.withUnsafeBufferPointer {
      try index.stage((0..<sample.baseCount).map { .int64(Int64($0)) }, $0)
    }
    try index.linkStaged(threads: 2, calibrates: false)
    #expect(index.statistics().calibration == nil)
    try expectTargets(index, sample.queries, "not calibrated")
  }

  /// Rows whose lengths differ up to a hundredfold, and queries that point towards most of them or away.
  @Test(arguments: [VectorStorage.f32, .int4x16], [Float(1), -1]) func innerProductsOfAllSignsAndLengths(
    storage: VectorStorage, sign: Float
  ) throws {
    let dimension = 32
    var random = SeededRandom(seed: 5)
    func row(_ random: inout SeededRandom) -> [Float] {
      // Off the origin, so that most products have one sign.
      let vector = random.clusteredVector(dimension: dimension, clusters: 300).map { $0 + 0.5 }
      var length: Float = 0.1
      for _ in 0..<8 { length *= Bool.random(using: &random) ? 1.78 : 1 }
      return vector.map { $0 * length }
    }
    let rows = (0..<6_000).flatMap { _ in row(&random) }
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(dimension: dimension, metric: .innerProduct, storage: storage))
    _ = try rows.withUnsafeBufferPointer { try index.stage((0..<6_000).map { .int64(Int64($0)) }, $0) }
    try index.linkStaged(threads: 2, calibrates: false)
    let queries = (0..<600).flatMap { _ in row(&random).map { sign * $0 } }
    try index.calibrate(queries: Array(queries[..<(300 * dimension)]), threads: 2)
    let curve = try #require(index.withFrozen { $0.recallCurve })
    print("\(storage.name), sign \(sign): \(curve)")
    try expectTargets(index, Array(queries[(300 * dimension)...]), "\(storage.name), products of sign \(sign)")
  }

  // MARK: When it holds

  @Test func anIndexThatHasGrownGoesByTheBuiltInEfforts() throws {
    let index = try clustered(rows: 1_500, dimension: 8, metric: .l2, seed: 2)
    try index.calibrate(threads: 2)
    #expect(index.statistics().calibration?.isCurrent == true)
    try stage(index, rows: 1_500..<3_002, dimension: 8, seed: 3)
    try index.linkStaged(threads: 2, calibrates: false)
    #expect(index.statistics().calibration?.isCurrent == false)
    try stage(index, rows: 3_002..<3_100, dimension: 8, seed: 4)
    try index.linkStaged(threads: 2)
    #expect(
      index.statistics().calibration == IndexCalibration(basis: .rows, queryCount: 155, rows: 3_100, isCurrent: true))
  }

  @Test func moreRecallTakesMoreEffort() throws {
    let sample = Sample.debian
    let index = try sampleIndex(.int4x16, .cosine)
    var scratch = SearchScratch(for: index)
    func cost(_ options: SearchOptions) throws -> (distances: Int, effort: Int) {
      var cost = (distances: 0, effort: 0)
      for i in 0..<sample.queryCount {
        try sample.queryVector(i).withUnsafeBufferPointer {
          try index.search($0, options, scratch: &scratch) { hits in
            cost.distances += hits.distancesComputed
            cost.effort += hits.effort
          }
        }
      }
      return cost
    }
    let costs = try [0.80, 0.95, 0.999].map { try cost(SearchOptions(k: 10, recallTarget: $0)) }
    #expect(costs[0].distances < costs[1].distances && costs[1].distances < costs[2].distances)
    #expect(costs[0].effort < costs[1].effort && costs[1].effort < costs[2].effort)
    // .95 is what an index aims at that was not told otherwise.
    #expect(try cost(SearchOptions(k: 10)) == costs[1])
    // Algorithm 2 expands about ef nodes.
    let expanded = try cost(SearchOptions(k: 10, effort: 100)).effort / sample.queryCount
    #expect((100...130).contains(expanded))
    #expect(try cost(SearchOptions(k: 10, exact: true)).effort == 0)
  }

  @Test func aCurveIsReplacedUnderSearches() throws {
    let index = try clustered(rows: 2_000, dimension: 8, metric: .l2, seed: 6)
    var random = SeededRandom(seed: 7)
    let curves = (0..<2).map { _ in
      var curve = randomCurve(&random)
      curve.rows = 2_000
      return curve
    }
    let queries = (0..<16).map { _ in random.vector(dimension: 8) }
    let isDone = Atomic<Bool>(false)
    WorkerThreads.run(count: 3) { [curves, queries] thread in
      if thread == 0 {
        for i in 0..<2_000 { index.setRecallCurve(curves[i % 2]) }
        isDone.store(true, ordering: .releasing)
        return
      }
      var scratch = SearchScratch(for: index)
      var i = 0
      repeat {
        let found = queries[i % 16].withUnsafeBufferPointer {
          try? index.search($0, SearchOptions(k: 5), scratch: &scratch) { $0.count }
        }
        #expect(found == 5)
        i += 1
      } while !isDone.load(ordering: .acquiring)
    }
    #expect(index.withFrozen { $0.recallCurve } == curves[1])
  }

  // MARK: Too few misses to draw a line

  private func points(_ misses: [Int], wanted: Int) -> [ReachPoint] {
    misses.enumerated().map {
      ReachPoint(reach: 1 + Float($0) / 8, misses: $1, wanted: wanted, isTooDear: false, isCut: false)
    }
  }

  /// Four of a hundred were missed: that is no reason to take it for one of a thousand.
  @Test func whatWasSeenToBeEnoughIsTaken() {
    #expect(Calibration.reach(allowing: 0.001, points([4, 1, 0], wanted: 100)) == 1.25)
    #expect(Calibration.reach(allowing: 0.02, points([4, 1, 0], wanted: 100)) == 1.125)
    #expect(Calibration.reach(allowing: 0.001, points([14, 4, 0], wanted: 1_000)) == 1.25)
    #expect(Calibration.reach(allowing: 0.05, points([4], wanted: 100)) == 1)
    #expect(Calibration.reach(allowing: 0.02, points([100, 40, 10, 1], wanted: 1_000)) < 1.25)
  }

  @Test func whereNothingWasSeenToBeEnoughAScanAnswers() {
    #expect(Calibration.reach(allowing: 0.001, points([4, 3], wanted: 100)) == .infinity)
    #expect(Calibration.reach(allowing: 0.001, points([14, 4], wanted: 1_000)) == .infinity)
  }

  /// What a line says goes no farther back than where more was seen to be missed; and where that was the end, only a scan is sure.
  @Test func noLineLeadsBackToWhereMoreWasMissed() {
    #expect(Calibration.reach(allowing: 0.001, points([1_000, 20, 4, 4, 4, 3, 0], wanted: 1_000)) == 1.75)
    let last = ReachPoint(reach: 2, misses: 3, wanted: 1_000, isTooDear: true, isCut: false)
    #expect(Calibration.reach(allowing: 0.001, points([1_000, 20, 4], wanted: 1_000) + [last]) == .infinity)
  }

  // MARK: Indexes

  private func clustered(rows: Int, dimension: Int, metric: Metric, seed: UInt64) throws -> HNSWIndex {
    let index = try HNSWIndex(configuration: HNSWConfiguration(dimension: dimension, metric: metric))
    try stage(index, rows: 0..<rows, dimension: dimension, seed: seed)
    try index.linkStaged(threads: 2, calibrates: false)
    return index
  }

  private func stage(_ index: HNSWIndex, rows: Range<Int>, dimension: Int, seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let values = rows.flatMap { _ in random.clusteredVector(dimension: dimension, clusters: 20) }
    _ = try values.withUnsafeBufferPointer { try index.stage(rows.map { .int64(Int64($0)) }, $0) }
  }
}
