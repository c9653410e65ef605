// Searches with a filter against all rows in order of distance: none short, none that does not match, none twice, at the recall.

import Synchronization
import TestSupport
import Testing

@testable import VectorIndex

@Suite struct FilteredSearchTests {
  /// What a search found, and of how many it should have.
  private struct Tally {
    var right = 0
    var wanted = 0
    var plans: [FilterReceipt.Plan: Int] = [:]
    var scanned = 0
    var rescored = 0
    var recall: Double { wanted == 0 ? 1 : Double(right) / Double(wanted) }
  }

  /// Searches once, and judges the answer by the rows in order of distance.
  /// - matching: by id.
  private func search(
    _ index: HNSWIndex, _ vector: [Float], _ options: SearchOptions, _ program: FilterProgram, exact: [SearchHit],
    matching: [Bool], _ scratch: inout SearchScratch, _ tally: inout Tally
  ) throws {
    let truth = Array(exact.lazy.filter { matching[number($0.id)] }.prefix(options.k))
    let matchingCount = truth.count < options.k ? truth.count : matching.count { $0 }
    try vector.withUnsafeBufferPointer {
      try index.search($0, options, matching: program, scratch: &scratch) { hits in
        let found = hits.copied()
        #expect(found.count == truth.count, "\(program.filter), \(hits.filter.debugDescription)")
        #expect(found.allSatisfy { matching[number($0.id)] }, "\(program.filter)")
        #expect(Set(found.map(\.id)).count == found.count, "\(program.filter)")
        #expect(zip(found, found.dropFirst()).allSatisfy { $0.distance <= $1.distance }, "\(program.filter)")
        #expect(hits.filter?.matchingRows == matchingCount, "\(program.filter)")
        if hits.isExact {
          #expect(found.map(\.distance) == truth.map(\.distance), "\(program.filter)")
        }
        if let receipt = hits.filter {
          tally.plans[receipt.plan, default: 0] += 1
          tally.rescored += receipt.rowsRescored
          tally.scanned += receipt.matchingRows
          expectSense(receipt, hits)
        }
        tally.wanted += truth.count
        if let last = truth.last { tally.right += found.count { $0.distance <= last.distance + 1e-5 } }
      }
    }
  }

  /// A receipt does not contradict itself.
  private func expectSense(_ receipt: FilterReceipt, _ hits: borrowing SearchHits) {
    #expect(receipt.distancesComputed == hits.distancesComputed && receipt.rowsRescored <= receipt.distancesComputed)
    #expect(
      receipt.plan == .walkThenScan || hits.isExact == (receipt.plan == .exactScan || receipt.plan == .nothingMatches))
    switch receipt.plan {
    case .nothingMatches: #expect(receipt.matchingRows == 0 && receipt.distancesComputed == 0)
    case .exactScan: #expect(receipt.distancesComputed == receipt.matchingRows && receipt.expectedScanCost > 0)
    case .codeScan: #expect(receipt.distancesComputed > receipt.matchingRows)
    case .walk: #expect(hits.effort > 0 && receipt.distancesComputed > 0)
    case .walkThenScan: #expect(receipt.distancesComputed > receipt.matchingRows)
    }
    #expect(!receipt.isWalkAbandoned || receipt.plan == .walkThenScan)
  }

  /// A filter for each direction, and by row whether it is met.
  private struct Filters {
    let programs: [FilterProgram]
    let isMember: [[Bool]]
  }

  private func filters(_ filtered: FilteredSample, _ lie: FilteredSample.Lie, matching: Int) throws -> Filters {
    let filters = (0..<FilteredSample.directions).map { filtered.filter(lie, matching: matching, direction: $0) }
    return Filters(
      programs: try filters.map { try filtered.index.compile($0) }, isMember: filters.map { membership(filtered, $0) })
  }

  private func tally(
    _ filtered: FilteredSample, _ exact: [[SearchHit]], _ filters: Filters, _ options: SearchOptions
  ) throws -> Tally {
    var tally = Tally()
    var scratch = SearchScratch(for: filtered.index)
    for (i, question) in filtered.questions.enumerated() {
      try search(
        filtered.index, question.vector, options, filters.programs[question.direction], exact: exact[i],
        matching: filters.isMember[question.direction], &scratch, &tally)
    }
    return tally
  }

  /// Whether each row meets a filter.
  private func membership(_ filtered: FilteredSample, _ filter: Filter) -> [Bool] {
    let twin = FilterInterpreter(schema: FilteredSample.schema)
    return filtered.attributes.map { twin.evaluate(filter, $0) == true }
  }

  /// What chance may add to the share of misses: as in RecallTargetTests.
  private func allowed(_ target: Double, questions: Int) -> Double {
    1 - target + 3 * ((1 - target) / Double(questions)).squareRoot()
  }

  @Test(arguments: [
    (VectorStorage.int4x16, Metric.cosine), (.int4x8, .innerProduct), (.int4x16, .l2), (.int8, .innerProduct),
    (.f32, .l2),
  ])
  func everyShareAndLieKeepsThePromise(storage: VectorStorage, metric: Metric) throws {
    let filtered = try FilteredSample(.debian, storage: storage, metric: metric, questions: 100)
    let exact = try filtered.exact()
    for lie in FilteredSample.Lie.allCases {
      for matching in [0, 1, 10, 100, 1_000, 5_000, 9_000, 10_000] {
        let filters = try filters(filtered, lie, matching: matching)
        for plan: FilterReceipt.Plan? in [nil, .walk, .walkThenScan, .codeScan, .exactScan] {
          for k in matching >= 1_000 && (plan == nil || plan == .codeScan) ? [1, 10, 100] : [10] {
            var options = SearchOptions(k: k)
            options.filterPlan = plan
            let tally = try tally(filtered, exact, filters, options)
            let asked = plan.map { "\($0)" } ?? "chosen"
            let context = "\(storage.name), \(metric), \(lie), \(matching) match, k \(k), \(asked)"
            print("\(context): \(tally.recall), \(tally.plans), \(tally.rescored) of \(tally.scanned) rescored")
            if plan == .codeScan || plan == .exactScan {
              #expect(tally.recall >= (plan == .exactScan ? 1 : 0.995), "\(context)")
            } else {
              #expect(1 - tally.recall <= allowed(0.95, questions: filtered.questions.count), "\(context)")
            }
          }
        }
        let all = try tally(filtered, exact, filters, SearchOptions(k: 10, exact: true))
        #expect(all.right == all.wanted && all.plans.keys.allSatisfy { $0 == .exactScan || $0 == .nothingMatches })
      }
    }
  }

  /// Other ways to say how far a walk goes.
  @Test func effortsAndTargetsHoldUnderAFilter() throws {
    let filtered = try FilteredSample(.debian, storage: .int4x16, metric: .cosine, questions: 100)
    let exact = try filtered.exact()
    for lie in FilteredSample.Lie.allCases {
      for matching in [300, 3_000, 8_000] {
        let filters = try filters(filtered, lie, matching: matching)
        for target: Float in [0.80, 0.99, 0.999] {
          for plan: FilterReceipt.Plan? in [nil, .walk] {
            var options = SearchOptions(k: 10, recallTarget: target)
            options.filterPlan = plan
            let tally = try tally(filtered, exact, filters, options)
            let context = "\(lie), \(matching) match, target \(target), \(plan.map { "\($0)" } ?? "chosen")"
            print("\(context): \(tally.recall), \(tally.plans)")
            #expect(1 - tally.recall <= allowed(Double(target), questions: 100), "\(context)")
          }
        }
      }
      var options = SearchOptions(k: 10, effort: 100)
      options.filterPlan = .walk
      let tally = try tally(filtered, exact, filters(filtered, lie, matching: 3_000), options)
      print("\(lie), ef 100: \(tally)")
      #expect(tally.recall > 0.95, "\(lie): \(tally)")
      // Far away there are more at one distance than a walk keeps, and the scan must tell.
      #expect(lie == .far || tally.plans == [.walk: 100], "\(lie): \(tally)")
    }
  }

  @Test func anIndexThatWasNeverCalibratedKeepsIt() throws {
    let filtered = try FilteredSample(
      .debian, storage: .int4x16, metric: .cosine, questions: 100, calibrates: false)
    let exact = try filtered.exact()
    for lie in FilteredSample.Lie.allCases {
      for matching in [500, 5_000, 9_000] {
        let filters = try filters(filtered, lie, matching: matching)
        for plan: FilterReceipt.Plan? in [nil, .walk] {
          var options = SearchOptions(k: 10)
          options.filterPlan = plan
          let tally = try tally(filtered, exact, filters, options)
          #expect(1 - tally.recall <= allowed(0.95, questions: 100), "\(lie), \(matching): \(tally)")
        }
      }
    }
  }

  /// Under inner product and L2 the error of a row's codes is in proportion to its length. Short rows come first, so that a scan learns of
  /// small errors before it meets the large ones.
  @Test(arguments: testSeeds) func codesOfRowsOfAllLengths(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let dimension = 128
    let rows = 4_000
    let vectors = (0..<rows).flatMap { n -> [Float] in
      // From a length of about 1 to about 50.
      let length = 1 + 49 * Float(n) / Float(rows)
      return random.clusteredVector(dimension: dimension, clusters: 20).map { $0 * length }
    }
    let schema = try AttributeSchema([AttributeColumn("n", .int64)])
    for storage in [VectorStorage.int4x16, .int4x8] {
      for metric in [Metric.innerProduct, .l2] {
        let index = try HNSWIndex(
          configuration: HNSWConfiguration(
            dimension: dimension, metric: metric, storage: storage, connectivity: 4, constructionEffort: 10,
            attributes: schema))
        _ = try vectors.withUnsafeBufferPointer {
          try index.stage(
            (0..<rows).map { .int64(Int64($0)) }, $0, attributes: (0..<rows).map { [.int64(Int64($0))] })
        }
        try index.publishStaged()
        var scratch = SearchScratch(for: index)
        var tally = Tally()
        let program = try index.compile(.comparison("n", .less, .int64(Int64(rows - 500))))
        let matching = (0..<rows).map { $0 < rows - 500 }
        for _ in 0..<40 {
          let query = random.clusteredVector(dimension: dimension, clusters: 20)
          let exact = try ExactIndex(over: index).search(query, k: rows)[0]
          for k in [1, 10, 100] {
            var options = SearchOptions(k: k)
            options.filterPlan = .codeScan
            try search(index, query, options, program, exact: exact, matching: matching, &scratch, &tally)
          }
        }
        print("lengths, seed \(seed), \(storage.name), \(metric): \(tally)")
        #expect(tally.recall >= 0.995, "seed \(seed), \(storage.name), \(metric)")
      }
    }
  }

  /// Postings give a list in the place of a mask.
  @Test func listsAreSearchedLikeMasks() throws {
    let filtered = try FilteredSample(.debian, storage: .int4x16, metric: .cosine, questions: 30)
    let exact = try filtered.exact()
    var scratch = SearchScratch(for: filtered.index)
    for plan: FilterReceipt.Plan? in [nil, .walk, .walkThenScan, .codeScan, .exactScan] {
      var tally = Tally()
      for (i, question) in filtered.questions.enumerated() {
        let filter = Filter.comparison("bucket", .equal, .int64(Int64(i)))
        let program = try filtered.index.compile(filter)
        var options = SearchOptions(k: 10)
        options.filterPlan = plan
        try search(
          filtered.index, question.vector, options, program, exact: exact[i],
          matching: membership(filtered, filter), &scratch, &tally)
      }
      let isScan = plan == .codeScan || plan == .exactScan
      #expect(tally.recall >= (isScan ? 0.995 : 0.98), "\(plan.map { "\($0)" } ?? "chosen"): \(tally)")
    }
  }

  @Test func moreThanMatchAndNearARow() throws {
    let filtered = try FilteredSample(.debian, storage: .int4x16, metric: .cosine, questions: 1, calibrates: false)
    let index = filtered.index
    var scratch = SearchScratch(for: index)
    for matching in [0, 1, 2, 50, 9_000] {
      let filter = filtered.filter(.anywhere, matching: matching, direction: 0)
      let isMember = membership(filtered, filter)
      let members = Set(isMember.indices.filter { isMember[$0] })
      let program = try index.compile(filter)
      let all = try index.search(filtered.questions[0].vector, SearchOptions(k: 10_000), matching: program)
      #expect(all.count == matching && Set(all.map { number($0.id) }) == members)
      for id in [members.min() ?? 0, (0..<10_000).first { !members.contains($0) } ?? 0] {
        for includesSelf in [false, true] {
          for k in [1, 10, 10_000] {
            let options = SearchOptions(k: k, includesSelf: includesSelf)
            let hits = try index.search(near: .int64(Int64(id)), options, matching: program, scratch: &scratch) {
              hits in
              #expect(hits.filter?.matchingRows == matching)
              return hits.copied().map { number($0.id) }
            }
            let allowed = includesSelf ? members : members.subtracting([id])
            #expect(hits?.count == min(k, allowed.count), "\(matching), row \(id), k \(k)")
            #expect(Set(hits ?? []).count == hits?.count && Set(hits ?? []).isSubset(of: allowed))
            if includesSelf, members.contains(id) { #expect(hits?.first == id) }
          }
        }
      }
      #expect(
        try index.search(near: .int64(-5), SearchOptions(k: 1), matching: program, scratch: &scratch) { $0.count }
          == nil)
    }
  }

  /// Without attributes a filter can still be TRUE or FALSE, and without a filter there is no receipt.
  @Test func anIndexWithoutAttributes() throws {
    let index = try HNSWIndex(configuration: HNSWConfiguration(dimension: 8, metric: .l2, storage: .f32))
    var random = SeededRandom(seed: 2)
    for n in 0..<50 { try index.insert(.int64(Int64(n)), random.vector(dimension: 8)) }
    let query = random.vector(dimension: 8)
    let all = try index.search(query, SearchOptions(k: 60))
    #expect(try index.search(query, SearchOptions(k: 60), matching: index.compile(.always(true))) == all)
    #expect(try index.search(query, SearchOptions(k: 60), matching: index.compile(.always(false))).isEmpty)
    var scratch = SearchScratch(for: index)
    try query.withUnsafeBufferPointer {
      try index.search($0, SearchOptions(k: 1), scratch: &scratch) { hits in #expect(hits.filter == nil) }
    }
  }

  // MARK: While rows change

  /// Rows come, change and go, some linked and some not; each search against a twin.
  @Test(arguments: testSeeds) func randomFiltersOnRowsThatChange(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    for storage in [VectorStorage.f32, .int4x16, .int4x8] {
      let schema = random.schema()
      let twin = FilterInterpreter(schema: schema)
      let dimension = 24
      let index = try HNSWIndex(
        configuration: HNSWConfiguration(
          dimension: dimension, metric: .l2, storage: storage, connectivity: 8, constructionEffort: 40,
          attributes: schema))
      var rows: [Int: [AttributeValue]] = [:]
      var scratch = SearchScratch(for: index)
      var tallies = [Tally(), Tally(), Tally(), Tally()]
      for round in 0..<5 {
        let ids = (0..<500).map { 500 * round + $0 }
        let values = ids.map { _ in random.row(schema) }
        let vectors = ids.flatMap { _ in random.clusteredVector(dimension: dimension, clusters: 40) }
        _ = try vectors.withUnsafeBufferPointer {
          try index.stage(ids.map { .int64(Int64($0)) }, $0, attributes: values)
        }
        if round % 2 == 0 { try index.linkStaged(threads: 2) } else { try index.publishStaged() }
        for (id, values) in zip(ids, values) { rows[id] = values }
        for _ in 0..<300 {
          let id = Int.random(in: 0..<(500 * (round + 1)), using: &random)
          let values = random.row(schema)
          let vector = random.clusteredVector(dimension: dimension, clusters: 40)
          switch Int.random(in: 0..<4, using: &random) {
          case 0:
            try index.upsert(.int64(Int64(id)), vector, attributes: values)
            rows[id] = values
          case 1:
            try index.upsert(.int64(Int64(id)), vector)
            rows[id] = rows[id] ?? schema.columns.map { _ in .null }
          case 2:
            if try index.updateAttributes(of: .int64(Int64(id)), values) { rows[id] = values }
          default:
            index.remove(.int64(Int64(id)))
            rows[id] = nil
          }
        }
        for _ in 0..<30 {
          let query = random.clusteredVector(dimension: dimension, clusters: 40)
          let exact = try ExactIndex(over: index).search(query, k: rows.count)[0]
          #expect(exact.count == rows.count)
          let filter = random.filter(schema)
          let program = try index.compile(filter)
          let matching = (0..<2_500).map { id in rows[id].map { twin.evaluate(filter, $0) == true } ?? false }
          let k = random.pick([1, 10, 50])
          for i in tallies.indices {
            var options = SearchOptions(k: k, exact: i == 0)
            options.filterPlan = [nil, nil, .walk, .codeScan][i]
            try search(
              index, query, options, program, exact: exact, matching: matching, &scratch, &tallies[i])
          }
        }
      }
      print("seed \(seed), \(storage.name): \(tallies)")
      #expect(tallies[0].wanted > 500 && tallies[0].recall == 1, "seed \(seed), \(storage.name)")
      #expect(tallies[1].recall >= 0.95 && tallies[2].recall >= 0.95, "seed \(seed), \(storage.name)")
      #expect(tallies[3].recall >= 0.995, "seed \(seed), \(storage.name)")
    }
  }

  /// One thread changes attributes, vectors and rows while another searches with filters of all kinds. Half of the rows stay as they are, and
  /// are found if and only if they match; each of the others has one of two rows of attributes, and is never found where neither does.
  @Test(arguments: testSeeds) func searchesBesideAWriter(seed: UInt64) throws {
    let dimension = 24
    let rows = 1_200
    var random = SeededRandom(seed: seed)
    let schema = random.schema()
    let twin = FilterInterpreter(schema: schema)
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: dimension, metric: .l2, storage: .int4x16, connectivity: 8, constructionEffort: 40,
        attributes: schema))
    let values = (0..<rows).map { _ in [random.row(schema), random.row(schema)] }
    for n in 0..<rows {
      try index.insert(
        .int64(Int64(n)), random.clusteredVector(dimension: dimension, clusters: 30), attributes: values[n][0])
    }
    let filters = (0..<12).map { _ in random.filter(schema) }
    let programs = try filters.map { try index.compile($0) }
    // By filter and row: whether it must be found, if there is room, and whether it may.
    let must = filters.map { filter in
      (0..<rows).map { $0 % 2 == 0 && twin.evaluate(filter, values[$0][0]) == true }
    }
    let may = filters.map { filter in
      (0..<rows).map { n in values[n].prefix(1 + n % 2).contains { twin.evaluate(filter, $0) == true } }
    }
    let isDone = Atomic(false)
    let searches = Atomic(0)
    WorkerThreads.run(count: 2) { thread in
      var random = SeededRandom(seed: seed &+ UInt64(thread))
      if thread == 0 {
        for i in 0..<4_000 {
          let n = 2 * Int.random(in: 0..<(rows / 2), using: &random) + 1
          switch i % 3 {
          case 0: _ = try? index.updateAttributes(of: .int64(Int64(n)), random.pick(values[n]))
          case 1:
            try? index.upsert(
              .int64(Int64(n)), random.clusteredVector(dimension: dimension, clusters: 30),
              attributes: random.pick(values[n]))
          default: index.remove(.int64(Int64(n)))
          }
        }
        isDone.store(true, ordering: .releasing)
      } else {
        var scratch = SearchScratch(for: index)
        while !isDone.load(ordering: .acquiring) || searches.load(ordering: .relaxed) < 60 {
          let i = searches.load(ordering: .relaxed) % filters.count
          let query = random.clusteredVector(dimension: dimension, clusters: 30)
          for plan: FilterReceipt.Plan? in [nil, .walk, .codeScan] {
            var options = SearchOptions(k: plan == nil ? rows : 20)
            options.filterPlan = plan
            let found = query.withUnsafeBufferPointer {
              try? index.search($0, options, matching: programs[i], scratch: &scratch) { hits in
                #expect(hits.count == min(options.k, hits.filter?.matchingRows ?? 0))
                return hits.copied().map { number($0.id) }
              }
            }
            let isRight = found?.allSatisfy { may[i][$0] } == true && Set(found ?? []).count == found?.count
            #expect(isRight, "\(filters[i]), seed \(seed)")
            if plan == nil {
              let missed = (0..<rows).filter { must[i][$0] && found?.contains($0) != true }
              #expect(missed.isEmpty, "\(filters[i]), seed \(seed)")
            }
          }
          searches.add(1, ordering: .relaxed)
        }
      }
    }
    #expect(searches.load(ordering: .relaxed) >= 60)
  }
}
