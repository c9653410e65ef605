// Measuring how far searches must look for each recall.
//
// Queries whose exact answers are known are searched for with growing reaches. What they miss falls; where it is what a recall
// allows, there is that recall's reach. A query that misses nothing is not searched for again, so that the far reaches, which cost
// most, are paid for the hard queries only.
//
// May use: ExactIndex, the search, WorkerThreads.

extension HNSWIndex {
  /// Queries that a calibration searches for at most, and at least.
  static let calibrationQueriesMax = 1_000
  static let calibrationQueriesMin = 100

  /// Measures how far searches must look in this index, as it is now, to find what ``SearchOptions/recallTarget`` asks for.
  /// Searches and changes go on meanwhile.
  ///
  /// Rows stand in for queries where there are none. They are easier to answer than what people ask, as a rule, so the curve
  /// then leaves a margin; questions of the kind that will be asked give the smallest efforts that suffice.
  ///
  /// - queries: `[count][dimension]`, at least 100 of them, of which 1,000 are drawn if there are more; nil = rows.
  /// - progress: told now and then which share is done, about; returns false to stop, and nothing changes.
  /// - Returns: what was measured; nil where the index is so small that all its rows are scanned anyway.
  /// - Throws: `dimensionMismatch`, `notFinite`, `zeroVector`, `tooFewQueries`, `cancelled`.
  /// - Complexity: exact answers to up to 1,000 queries, and about ten searches for each; for 1, 10 and 100 results each at most
  ///   80 distances a row, or 200 million, and one more search for each query.
  @discardableResult
  public func calibrate(
    queries: [Float]? = nil, threads: Int,
    progress: @Sendable (_ share: Double) -> Bool = { _ in true }
  ) throws(IndexError) -> IndexCalibration? {
    precondition(threads > 0, "at least one thread searches")
    guard count > Self.scanRowsMax else { return nil }
    let sample =
      if let queries { try CalibrationSample(queries, of: self) } else { CalibrationSample(rowsOf: self) }
    guard sample.count >= Self.calibrationQueriesMin else {
      throw IndexError(
        .tooFewQueries,
        "\(sample.count) queries are too few to calibrate with; give at least \(Self.calibrationQueriesMin), or none")
    }
    let curve = try Calibration(index: self, sample: sample, threads: threads).curve(progress)
    setRecallCurve(curve)
    return withRows { _ in calibration() }
  }
}

/// What a calibration searches for.
struct CalibrationSample: Sendable {
  let basis: IndexCalibration.Basis
  /// `[count][dimension]`.
  private(set) var vectors: [Float] = []
  /// The slots of the rows, where they are rows.
  private(set) var slots: [UInt32] = []
  private(set) var ids: [RecordID] = []
  let count: Int

  /// Some of the queries, of their order independent of how many there are.
  init(_ queries: [Float], of index: HNSWIndex) throws(IndexError) {
    let dimension = index.configuration.dimension
    guard queries.count % dimension == 0 else {
      throw IndexError(
        .dimensionMismatch, "\(queries.count) floats are no whole number of queries of \(dimension) dimensions")
    }
    basis = .queries
    let given = queries.count / dimension
    let drawn = Self.drawn(min(given, HNSWIndex.calibrationQueriesMax), of: given, seed: index.configuration.seed)
    for i in drawn { vectors.append(contentsOf: queries[(i * dimension)..<((i + 1) * dimension)]) }
    count = drawn.count
  }

  /// Rows that are on the ground layer only: a walk can go around them.
  init(rowsOf index: HNSWIndex) {
    basis = .rows
    let store = index.store
    let used = store.slotsUsed.load(ordering: .acquiring)
    let wanted = min(HNSWIndex.calibrationQueriesMax, max(HNSWIndex.calibrationQueriesMin, index.count / 20))
    // No row changes, so that no slot is freed meanwhile.
    let rows = index.withRows { _ in
      var rows: [(slot: UInt32, id: RecordID, vector: [Float])] = []
      for slot in Self.drawn(used, of: used, seed: index.configuration.seed).lazy.map({ UInt32($0) })
      where store.isLive(slot) && index.graph.layer(of: slot) == 0 {
        rows.append((slot, store.ids[slot], store.vector(slot)))
        if rows.count == wanted { break }
      }
      return rows
    }
    slots = rows.map(\.slot)
    ids = rows.map(\.id)
    vectors = rows.flatMap(\.vector)
    count = rows.count
  }

  /// The first `count` of a permutation of the numbers below `total`.
  private static func drawn(_ count: Int, of total: Int, seed: UInt64) -> ArraySlice<Int> {
    var order = Array(0..<total)
    for i in 0..<min(count, max(0, total - 1)) {
      order.swapAt(i, i + Int(mixed(seed &+ mixed(UInt64(i))) % UInt64(total - i)))
    }
    return order.prefix(count)
  }
}

/// One calibration.
struct Calibration: Sendable {
  let index: HNSWIndex
  let sample: CalibrationSample
  let threads: Int

  private static let resultCounts = [1, 10, 100]
  /// Queries for 1, 10 and 100 results: the more results, the more each query tells, and the more it costs.
  private static let queryShares: [Double] = [1, 1, 0.4]
  /// How much farther than the last right answer one may be to count as a tie: rounding, of a cosine or relative.
  private static let tie: Float = 1e-5
  /// The first reach beyond 1, the steps from there on, and how many there are: up to 1,500.
  private static let firstStep: Float = 1.0 / 512
  private static let stepFactor: Float = 1.414_213_5
  private static let stepsMax = 40
  /// Fewer misses than these say little of how many there are.
  private static let missesMin = 5
  /// What a walk may cost before a scan of all rows is cheaper, as a share of them.
  private static let costMax = 0.5
  /// Distances that measuring one number of results may take: so many for each row, a thirtieth of what linking it took, and at
  /// least as many as small indexes need. Without a bound, a few queries that nothing finds cost a million rows twice their build.
  private static let distancesMaxPerRow = 80
  private static let distancesMaxFloor = 200_000_000

  /// How near a twin is, as a share of the typical distance to the nearest.
  private static let twinDistance: Float = 0.75

  /// How much may be missed while measuring, as a multiple of what a recall allows, for 1, 10 and 100 results.
  ///
  /// Rows are not questions, and how much harder questions are differs from set to set: where rows missed what a recall of .80 to .95
  /// allows, questions missed .17 to 1.1 times as much of 1 result, .42 to 1.5 of 10, .3 to 1.75 of 100. The margins are what keeps the
  /// promise on the hardest of three sets, for .999 of 100 results on all but chance. And a sample is not the whole: one half of the
  /// questions missed up to 1.4 times what the other did. (docs/decisions/0010-recall-target.md)
  private var margins: [Double] { sample.basis == .rows ? [0.85, 0.65, 0.4] : [0.7, 0.7, 0.7] }

  func curve(_ progress: @Sendable (Double) -> Bool) throws(IndexError) -> RecallCurve {
    try report(0, progress)
    let truth = try Truth(self)
    try report(0.4, progress)
    var curve = RecallCurve(
      basis: sample.basis, queryCount: UInt32(sample.count), rows: UInt64(max(1, index.count)),
      shift: shift(truth), one: .one, ten: .one, hundred: .one)
    var tables: [SIMD8<Float>] = []
    let chosen = chosen(truth)
    for (i, k) in Self.resultCounts.enumerated() {
      let queries = Array(chosen.prefix(max(1, Int(Self.queryShares[i] * Double(chosen.count)))))
      let points = try measure(k, queries, truth, shift: curve.shift, margin: margins[i], progress)
      tables.append(Self.table(points, margin: margins[i]))
      try report(0.4 + 0.2 * Double(i + 1), progress)
    }
    (curve.one, curve.ten, curve.hundred) = (tables[0], tables[1], tables[2])
    return curve
  }

  private func report(_ share: Double, _ progress: (Double) -> Bool) throws(IndexError) {
    guard progress(share) else { throw IndexError(.cancelled, "the calibration was stopped") }
  }
}

// MARK: - What is right

extension Calibration {
  fileprivate struct Truth: Sendable {
    /// For each query the distances of the nearest rows, ascending, without the row that stands for it.
    let distances: [[Float]]
    private let metric: Metric

    init(_ calibration: Calibration) throws(IndexError) {
      let most = Calibration.resultCounts.max() ?? 1
      let isRows = calibration.sample.basis == .rows
      let exact = try ExactIndex(over: calibration.index)
        .search(calibration.sample.vectors, k: most + (isRows ? 1 : 0), threads: calibration.threads)
      distances = exact.enumerated().map { i, hits in
        (isRows ? hits.filter { $0.id != calibration.sample.ids[i] } : hits).map(\.distance)
      }
      metric = calibration.index.store.metric
    }

    /// How many rows are right for `k` results, and how far one of them may be.
    func right(_ query: Int, k: Int) -> (count: Int, radius: Float) {
      let count = min(k, distances[query].count)
      guard count > 0 else { return (0, 0) }
      let radius = distances[query][count - 1]
      return (count, radius + Calibration.tie * (metric == .cosine ? 1 : abs(radius)))
    }
  }

  /// See ``RecallCurve/shift``.
  private func shift(_ truth: Truth) -> Float {
    let longest = index.store.metric == .innerProduct ? longestRow() : 0
    let typical = truth.distances.indices.compactMap { i in
      truth.distances[i].last.map { self.nearness($0, ofQuery: i) + longest }
    }.sorted()
    let shift = longest + (typical.isEmpty ? 0 : 2 * max(0, typical[typical.count / 2]))
    return shift.isFinite ? shift : 0
  }

  /// A distance as the walk has it, under inner product for a query of length 1.
  private func nearness(_ distance: Float, ofQuery i: Int) -> Float {
    switch index.store.metric {
    case .cosine: return distance
    case .l2: return distance * distance
    case .innerProduct:
      let length = length(ofQuery: i)
      return length > 0 ? distance / length : 0
    }
  }

  /// The queries that are searched for. Where they are rows, those that have a twin are left out, a row much nearer than rows
  /// typically have their nearest: the graph ties twins to each other, so without the one the other is hard to reach, and no
  /// question is anybody's twin. (With them, what takes 1,126 distances for questions, recall@1 .99, takes 9,460 for rows:
  /// kernel-minilm-384.)
  private func chosen(_ truth: Truth) -> [Int] {
    let all = Array(truth.distances.indices)
    guard sample.basis == .rows, index.store.metric != .innerProduct else { return all }
    let nearest = all.map { i in truth.distances[i].first.map { nearness($0, ofQuery: i) } ?? 0 }
    let median = nearest.sorted()[nearest.count / 2]
    return all.filter { nearest[$0] >= Self.twinDistance * median }
  }

  private func length(ofQuery i: Int) -> Float {
    let dimension = index.store.dimension
    return sample.vectors[(i * dimension)..<((i + 1) * dimension)].reduce(0) { $0 + $1 * $1 }.squareRoot()
  }

  private func longestRow() -> Float {
    let store = index.store
    let vector = VectorStore.zeros(store.width)
    defer { vector.deallocate() }
    var longest: Float = 0
    for slot in 0..<UInt32(store.slotsUsed.load(ordering: .acquiring)) where store.isLive(slot) {
      store.fine.decode(slot, into: vector)
      longest = max(longest, store.answering.squaredLength(vector))
    }
    return longest.isFinite ? longest.squareRoot() : 0
  }
}

// MARK: - What is found

/// What was missed at a reach.
struct ReachPoint: Sendable {
  var reach: Float
  var misses: Int
  /// Of how many.
  var wanted: Int
  /// Whether a scan would be cheaper.
  var isTooDear: Bool
  /// Whether the measuring ended here because it had taken all that it may.
  var isCut: Bool
  var share: Double { Double(misses) / Double(max(1, wanted)) }
}

extension Calibration {
  private struct Found: Sendable {
    var misses: Int
    var distances: Int
  }

  /// Searches with growing reaches, until no more is missed than may be asked for.
  private func measure(
    _ k: Int, _ queries: [Int], _ truth: Truth, shift: Float, margin: Double, _ progress: (Double) -> Bool
  ) throws(IndexError) -> [ReachPoint] {
    var points: [ReachPoint] = []
    var found = [Found](repeating: Found(misses: 0, distances: 0), count: sample.count)
    let wanted = queries.reduce(0) { $0 + truth.right($1, k: k).count }
    let enough = margin * Double(1 - RecallCurve.targetRange.upperBound)
    let distancesMax = max(Self.distancesMaxFloor, Self.distancesMaxPerRow * index.count)
    var spent = 0
    var pending = queries
    var step = Self.firstStep
    for i in 0..<Self.stepsMax {
      let reach = SearchReach(reach: i == 0 ? 1 : 1 + step, shift: shift)
      if i > 0 { step *= Self.stepFactor }
      for (query, result) in zip(pending, search(pending, k, reach, truth)) {
        found[query] = result
        spent += result.distances
      }
      pending = pending.filter { found[$0].misses > 0 }
      let cost = Double(found.reduce(0) { $0 + $1.distances }) / Double(queries.count)
      let point = ReachPoint(
        reach: reach.reach, misses: found.reduce(0) { $0 + $1.misses }, wanted: wanted,
        isTooDear: cost > Self.costMax * Double(index.count), isCut: spent > distancesMax)
      points.append(point)
      // Few misses tell nothing beyond themselves, so it goes on until they are few enough: few queries are left then.
      if point.isTooDear || point.isCut || point.misses == 0 || point.share <= enough { break }
      try report(0.5, progress)
    }
    return points
  }

  private func search(_ queries: [Int], _ k: Int, _ reach: SearchReach, _ truth: Truth) -> [Found] {
    let found = Shared([Found](repeating: Found(misses: 0, distances: 0), count: queries.count))
    var options = SearchOptions(k: k)
    options.reach = reach
    WorkerThreads.run(count: min(threads, queries.count)) { [options] thread in
      var scratch = SearchScratch(for: index)
      for i in stride(from: thread, to: queries.count, by: min(threads, queries.count)) {
        let result = search(queries[i], options, truth, &scratch)
        found.withLock { $0[i] = result }
      }
    }
    return found.withLock { $0 }
  }

  private func search(
    _ query: Int, _ options: SearchOptions, _ truth: Truth, _ scratch: inout SearchScratch
  ) -> Found {
    let dimension = index.store.dimension
    let right = truth.right(query, k: options.k)
    let absent = sample.basis == .rows ? sample.slots[query] : nil
    let found = sample.vectors.withUnsafeBufferPointer { vectors in
      // The query was checked when the exact answers were computed.
      try? index.search(
        UnsafeBufferPointer(rebasing: vectors[(query * dimension)..<((query + 1) * dimension)]), options,
        absent: absent, scratch: &scratch
      ) { hits in
        Found(
          misses: right.count - min(right.count, (0..<hits.count).count { hits.distance(at: $0) <= right.radius }),
          distances: hits.distancesComputed)
      }
    }
    return found ?? Found(misses: right.count, distances: 0)
  }
}

// MARK: - What follows

extension Calibration {
  /// The reach for each of the curve's recalls.
  fileprivate static func table(_ points: [ReachPoint], margin: Double) -> SIMD8<Float> {
    var table = SIMD8<Float>()
    for (i, target) in RecallCurve.targets.enumerated() {
      let reach = reach(allowing: margin * Double(1 - target), points)
      table[i] = max(reach, i == 0 ? 1 : table[i - 1])
    }
    return table
  }

  /// The reach at which a share is missed: between two points by the logarithm of the share; beyond the last that has enough
  /// misses to tell, on the line through it and an earlier one, but beyond where more was seen to be missed.
  static func reach(allowing share: Double, _ points: [ReachPoint]) -> Float {
    let reach = expectedReach(allowing: share, points)
    guard let missed = points.lastIndex(where: { $0.share > share }) else { return reach }
    if missed == points.count - 1, points[missed].isTooDear || points.count == stepsMax { return .infinity }
    if reach > points[missed].reach { return reach }
    // What was seen counts more than a line.
    return missed + 1 < points.count ? points[missed + 1].reach : .infinity
  }

  private static func expectedReach(allowing share: Double, _ points: [ReachPoint]) -> Float {
    let told = points.filter { $0.misses >= missesMin }
    // Where there is no line, what was seen to be enough; and where nothing was, only a scan is sure.
    let seen = points.first { $0.share <= share }?.reach ?? .infinity
    guard let last = told.last else { return points.isEmpty ? 1 : seen }
    if let i = told.firstIndex(where: { $0.share <= share }) {
      return i == 0 ? told[0].reach : line(through: told[i - 1], told[i], at: share)
    }
    if last.isTooDear || told.count == stepsMax { return .infinity }
    // A third of the misses ago: nearer points would make a line of chance.
    guard let before = told.last(where: { $0.share >= 3 * last.share }) else { return seen }
    return max(line(through: before, last, at: share), last.reach)
  }

  private static func line(through a: ReachPoint, _ b: ReachPoint, at share: Double) -> Float {
    let fall = naturalLogarithm(a.share) - naturalLogarithm(b.share)
    guard fall > 0 else { return b.reach }
    let place = (naturalLogarithm(a.share) - naturalLogarithm(share)) / fall
    return a.reach + (b.reach - a.reach) * Float(place)
  }
}
