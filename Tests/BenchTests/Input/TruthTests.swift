// The right answers, held against a plain sort; rows that are left out, and rows that are their own question.

import Testing
import VectorIndex

@testable import Bench

struct TruthTests {
  private static func vectors(_ count: Int, _ dimension: Int, _ seed: UInt64) -> VectorFile {
    var random = SplitMix(state: seed)
    return VectorFile(
      count: count, dimension: dimension,
      values: (0..<(count * dimension)).map { _ in Float.random(in: -1...1, using: &random) })
  }

  /// Rows by their distance, in double precision.
  private static func sorted(_ base: VectorFile, _ query: ArraySlice<Float>, _ rows: [Int], _ metric: Metric) -> [Int] {
    func dot(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Double {
      zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    func distance(_ row: Int) -> Double {
      switch metric {
      case .cosine: -dot(base[row], query) / dot(base[row], base[row]).squareRoot()
      case .innerProduct: -dot(base[row], query)
      case .l2: zip(base[row], query).reduce(0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
      }
    }
    return rows.map { ($0, distance($0)) }.sorted { $0.1 < $1.1 }.map(\.0)
  }

  @Test(arguments: Metric.allCases)
  func itIsThatOfAFullSort(metric: Metric) throws {
    let base = Self.vectors(300, 24, 1)
    let queries = Self.vectors(10, 24, 2)
    let some = Array(stride(from: 1, to: 300, by: 3))
    for rows in [nil, some] {
      let truth = try Truth(base: base, rows: rows, queries: queries, metric: metric, k: 10, threads: 2)
      for query in 0..<queries.count {
        let order = Self.sorted(base, queries[query], rows ?? Array(0..<300), metric).map { Int64($0) }
        #expect(truth.owed[query] == 10)
        #expect(truth.rightCount(Array(order.prefix(10)), forQuery: query) == 10)
        #expect(truth.rightCount(Array(order[5..<15]), forQuery: query) == 5)
        #expect(truth.rightCount([order[0], order[0], order[20]], forQuery: query) == 1)
      }
    }
  }

  @Test func fewRowsOweFewAnswers() throws {
    let base = Self.vectors(50, 8, 3)
    let truth = try Truth(
      base: base, rows: [4, 9], queries: Self.vectors(3, 8, 4), metric: .l2, k: 10, threads: 1)
    #expect(truth.owed == [2, 2, 2])
    #expect(truth.recall(of: [(0, [9, 4]), (2, [4])]) == 0.75)
    #expect(truth.recall(of: []) == 1)
  }

  @Test func aRowIsNoAnswerToItself() throws {
    let base = Self.vectors(200, 16, 5)
    let own = [7, 100]
    let queries = base.rows(own)
    let truth = try Truth(base: base, queries: queries, own: own, metric: .l2, k: 5, threads: 1)
    for query in 0..<2 {
      let order = Self.sorted(base, queries[query], Array(0..<200), .l2)
      #expect(order[0] == own[query])
      #expect(truth.rightCount(order[1...5].map { Int64($0) }, forQuery: query) == 5)
      #expect(truth.rightCount([Int64(own[query])], forQuery: query) == 0)
    }
    let questions = Questions(count: 2, k: 5, truth: truth, own: own)
    #expect(questions.judged([(0, [7, 1, 2, 3, 4, 5]), (1, [1, 2, 3, 4, 5, 6])])[0].rows == [1, 2, 3, 4, 5])
    #expect(questions.judged([(1, [1, 2, 3, 4, 5, 6])])[0].rows == [1, 2, 3, 4, 5])
  }

  @Test func rowsAtOneDistanceAreAllRight() throws {
    let base = VectorFile(count: 5, dimension: 2, values: [1, 0, 0, 1, -1, 0, 0, -1, 3, 3])
    let truth = try Truth(
      base: base, queries: VectorFile(count: 1, dimension: 2, values: [0, 0]), metric: .l2, k: 2, threads: 1)
    #expect(truth.rightCount([2, 3], forQuery: 0) == 2)
    #expect(truth.rightCount([0, 1], forQuery: 0) == 2)
    // But no more than there are to find.
    #expect(truth.rightCount([0, 1, 2, 3], forQuery: 0) == 2)
    #expect(truth.rightCount([0, 4], forQuery: 0) == 1)
  }

  /// 150 copies of a row that is near to the first question, and one row near to the second.
  @Test(arguments: Metric.allCases) func moreTiesThanAreLookedForAreRightToo(metric: Metric) throws {
    var values: [Float] = []
    for _ in 0..<150 { values += [3, 4] }
    values += [-4, 3]
    let base = VectorFile(count: 151, dimension: 2, values: values)
    let queries = VectorFile(count: 2, dimension: 2, values: [3, 3.5, -4, 3.5])
    let truth = try Truth(base: base, queries: queries, metric: metric, k: 2, threads: 1)
    for row in Int64(0)..<150 {
      #expect(truth.isRight(.int64(row), forQuery: 0))
      #expect(truth.rightCount([row, 149 - row], forQuery: 0) == 2)
    }
    for row in [-1, 150, 151, Int64.max] { #expect(!truth.isRight(.int64(row), forQuery: 0)) }
    // The second of the answer is again one of many.
    #expect(truth.rightCount([150, 149], forQuery: 1) == 2)
  }

  @Test func tiesBeyondThoseLookedForAreAmongTheRowsThatMayBeFound() throws {
    let base = VectorFile(count: 200, dimension: 1, values: [Float](repeating: 1, count: 200))
    let queries = VectorFile(count: 1, dimension: 1, values: [2])
    let even = Array(stride(from: 0, to: 200, by: 2))
    let filtered = try Truth(base: base, rows: even, queries: queries, metric: .l2, k: 3, threads: 1)
    #expect(even.allSatisfy { filtered.isRight(.int64(Int64($0)), forQuery: 0) })
    #expect(!even.contains { filtered.isRight(.int64(Int64($0 + 1)), forQuery: 0) })
    let own = try Truth(base: base, queries: queries, own: [190], metric: .l2, k: 3, threads: 1)
    #expect((0..<200).allSatisfy { own.isRight(.int64(Int64($0)), forQuery: 0) == ($0 != 190) })
  }

  @Test func tiesGoWithTheDistanceWhereThatIsLarge() throws {
    func truth(_ metric: Metric, _ query: [Float], _ rows: [Float]) throws -> Truth {
      try Truth(
        base: VectorFile(count: rows.count / 2, dimension: 2, values: rows),
        queries: VectorFile(count: 1, dimension: 2, values: query), metric: metric, k: 1, threads: 1)
    }
    let far = try truth(.l2, [0, 0], [1_000, 0, 1_000.005, 0, 1_000.05, 0])
    #expect([0, 1, 2].map { far.isRight(.int64($0), forQuery: 0) } == [true, true, false])
    let inner = try truth(.innerProduct, [1, 0], [500, 0, 499.997, 0, 499.9, 0])
    #expect([0, 1, 2].map { inner.isRight(.int64($0), forQuery: 0) } == [true, true, false])
    // Below 1 it is what it was.
    let near = try truth(.l2, [0, 0], [0.001, 0, 0.001_005, 0, 0.001_05, 0])
    #expect([0, 1, 2].map { near.isRight(.int64($0), forQuery: 0) } == [true, true, false])
  }
}

struct DatasetTests {
  private static func rows(_ count: Int, dimension: Int = 2) -> VectorFile {
    VectorFile(count: count, dimension: dimension, values: (0..<(count * dimension)).map { Float($0 + 1) })
  }

  private static func data(_ base: Int, _ queries: Int, dimension: Int = 2, queryDimension: Int = 2) -> Dataset {
    Dataset(
      base: rows(base, dimension: dimension), queries: rows(queries, dimension: queryDimension), source: "app.docs",
      querySource: "file")
  }

  @Test func whatCannotBeMeasuredIsSaidInASentence() {
    func check(_ data: Dataset) throws(BenchError) {
      try data.checkRows()
      try data.checkQueries()
    }
    #expect(throws: Never.self) { try check(Self.data(1_000, 5)) }
    let refusals: [(Dataset, String)] = [
      (Self.data(999, 5), "999 rows"), (Self.data(1_000, 0), "no queries"),
      (Self.data(1_000, 5, queryDimension: 3), "3 dimensions"), (Self.data(1_000, 5, dimension: 4_097), "4097"),
    ]
    for (data, words) in refusals {
      let error = #expect(throws: BenchError.self) { try check(data) }
      #expect(error?.code == .unfitData && error?.message.contains(words) == true, "\(words)")
    }
  }

  @Test func rowsThatBecomeQuestionsLeaveTheBase() {
    var data = Self.data(1_000, 0)
    data.keys = (0..<1_000).map { .int64(Int64($0) + 5_000) }
    let before = data
    data.holdOut(50, seed: 1, takesOut: true)
    #expect((data.queries.count, data.base.count, data.keys?.count) == (50, 950, 950))
    #expect(data.querySource == "held out of the base" && data.own == nil && data.notes.count == 1)
    // Together they are what was there, each row with its key.
    let firsts = Set((0..<50).map { Array(data.queries[$0])[0] } + (0..<950).map { Array(data.base[$0])[0] })
    #expect(firsts == Set((0..<1_000).map { Array(before.base[$0])[0] }))
    for row in [0, 400, 949] {
      #expect(data.keys?[row] == .int64(Int64((Array(data.base[row])[0] - 1) / 2) + 5_000))
    }
  }

  @Test func rowsThatStayAreMarkedAsTheirOwnQuestions() {
    var data = Self.data(1_000, 0)
    data.holdOut(5_000, seed: 1, takesOut: false)
    // A tenth at most.
    #expect((data.queries.count, data.base.count, data.own?.count) == (100, 1_000, 100))
    for (query, row) in (data.own ?? []).enumerated() { #expect(data.queries[query] == data.base[row]) }
    data.limitQueries(to: 10, metric: .l2)
    #expect(data.own?.count == 10)
    for (query, row) in (data.own ?? []).enumerated() { #expect(Array(data.queries[query]) == Array(data.base[row])) }
  }

  @Test func queriesThatCannotBeAskedAreLeftOut() {
    var data = Self.data(1_000, 0)
    data.queries = VectorFile(count: 4, dimension: 2, values: [1, 2, 0, 0, .nan, 1, 3, 4])
    var byLength = data
    data.limitQueries(to: 10, metric: .cosine)
    #expect(data.queries.values == [1, 2, 3, 4])
    #expect(data.notes.count == 1 && data.notes[0].contains("2 queries"))
    byLength.limitQueries(to: 10, metric: .l2)
    #expect(byLength.queries.values == [1, 2, 0, 0, 3, 4])
  }

  @Test func fewOfManyAreDrawnEvenly() {
    var data = Self.data(1_000, 100)
    data.limitQueries(to: 4, metric: .l2)
    #expect((0..<4).map { Array(data.queries[$0])[0] } == [1, 51, 101, 151])
    #expect(data.notes.isEmpty)
  }

  @Test func theChecksumIsOfRowsAndQuestions() {
    let one = Self.data(1_000, 5)
    var other = one
    #expect(one.checksum.hasPrefix("crc32c:") && one.checksum == other.checksum)
    other.queries.values[3] += 1
    #expect(one.checksum != other.checksum)
  }
}
