// The index at its edges: empty, tiny, odd vectors, odd arguments; and against a dictionary under random changes.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct HNSWIndexTests {
  private func makeIndex(
    _ dimension: Int = 4, _ metric: Metric = .l2, _ storage: VectorStorage = .f32
  ) throws -> HNSWIndex {
    try HNSWIndex(configuration: HNSWConfiguration(dimension: dimension, metric: metric, storage: storage))
  }

  private func code(_ body: () throws -> Void) -> IndexError.Code? {
    do {
      try body()
      return nil
    } catch {
      return (error as? IndexError)?.code
    }
  }

  @Test(arguments: VectorStorage.allCases) func emptyIndexAnswersWithNothing(storage: VectorStorage) throws {
    let index = try makeIndex(4, .l2, storage)
    #expect(try index.search([1, 2, 3, 4], SearchOptions(k: 10)).isEmpty)
    #expect(try index.search([1, 2, 3, 4], SearchOptions(k: 10, exact: true)).isEmpty)
    #expect(index.vector(of: .int64(1)) == nil && !index.contains(.int64(1)))
    #expect(!index.remove(.int64(1)))
    index.consolidate()
    index.checkInvariants()
  }

  @Test(arguments: VectorStorage.allCases) func returnsAllRowsWhenKIsLarger(storage: VectorStorage) throws {
    let index = try makeIndex(4, .l2, storage)
    for n in 0..<5 { try index.insert(.int64(Int64(n)), [Float(n), 0, 0, 0]) }
    let hits = try index.search([0.1, 0, 0, 0], SearchOptions(k: 10_000))
    #expect(hits.map(\.id) == (0..<5).map { .int64($0) })
    #expect(try index.search([0, 0, 0, 0], SearchOptions(k: 1)).map(\.distance) == [0])
  }

  @Test(arguments: VectorStorage.allCases) func refusesWhatItCannotHold(storage: VectorStorage) throws {
    let index = try makeIndex(4, .l2, storage)
    try index.insert(.int64(1), [1, 2, 3, 4])
    #expect(code { try index.insert(.int64(1), [1, 2, 3, 4]) } == .duplicateRecord)
    #expect(code { try index.insert(.int64(2), [1, 2, 3]) } == .dimensionMismatch)
    #expect(code { try index.insert(.int64(2), [1, .nan, 3, 4]) } == .notFinite)
    #expect(code { try index.insert(.int64(2), [1, -.infinity, 3, 4]) } == .notFinite)
    #expect(code { try index.insert(.text("2"), [1, 2, 3, 4]) } == .recordIDMismatch)
    #expect(code { _ = try index.search([1, 2, 3], SearchOptions(k: 1)) } == .dimensionMismatch)
    #expect(code { _ = try index.search([1, 2, 3, .infinity], SearchOptions(k: 1)) } == .notFinite)
    for k in [0, -1, 10_001] { #expect(code { _ = try index.search([1, 2, 3, 4], SearchOptions(k: k)) } == .invalidK) }
    for ef in [-1, 10_001] {
      #expect(code { _ = try index.search([1, 2, 3, 4], SearchOptions(k: 1, effort: ef)) } == .invalidEffort)
    }
    #expect(index.count == 1)
    index.checkInvariants()
  }

  @Test func refusesConfigurationsOutOfRange() {
    for dimension in [0, -1, 4_097] { #expect(code { _ = try makeIndex(dimension) } == .invalidConfiguration) }
    let base = HNSWConfiguration(dimension: 4, metric: .l2)
    for change: (inout HNSWConfiguration) -> Void in [
      { $0.connectivity = 1 }, { $0.connectivity = 65 }, { $0.constructionEffort = 15 },
      { $0.constructionEffort = 4_097 },
      { $0.searchEffort = -1 }, { $0.searchEffort = 10_001 },
    ] {
      var configuration = base
      change(&configuration)
      #expect(code { _ = try HNSWIndex(configuration: configuration) } == .invalidConfiguration)
    }
  }

  @Test(arguments: VectorStorage.allCases) func treatsZeroVectorsAsPgvectorDoes(storage: VectorStorage) throws {
    // pgvector indexes a zero vector under L2 and inner product, and leaves it out under cosine.
    for metric in [Metric.l2, .innerProduct] {
      let index = try makeIndex(2, metric, storage)
      try index.insert(.int64(1), [0, 0])
      #expect(try index.search([0, 0], SearchOptions(k: 1)).map(\.distance) == [0])
    }
    let cosine = try makeIndex(2, .cosine, storage)
    #expect(code { try cosine.insert(.int64(1), [0, 0]) } == .zeroVector)
    #expect(code { _ = try cosine.search([0, 0], SearchOptions(k: 1)) } == .zeroVector)
    let left = try [1, 0, 0, 0, 0, 2].withUnsafeBufferPointer {
      try cosine.stage([.int64(1), .int64(2), .int64(3)], $0)
    }
    try cosine.linkStaged(threads: 1)
    #expect(left == [1] && cosine.count == 2)
  }

  /// Exactly from the vectors as they are; from rounded ones, with the rounding.
  @Test(arguments: zip(VectorStorage.allCases, [1e-6, 2e-3, 2e-2, 2e-2, 2e-3] as [Float]))
  func returnsPgvectorsDistances(storage: VectorStorage, tolerance: Float) throws {
    let a: [Float] = [1, 2, 3]
    let b: [Float] = [-2, 0.5, 4]
    for (metric, expected) in [(Metric.l2, Float(3.5)), (.innerProduct, -11), (.cosine, 0.3466947)] {
      let index = try makeIndex(3, metric, storage)
      try index.insert(.int64(1), a)
      let hit = try #require(try index.search(b, SearchOptions(k: 1)).first)
      #expect(abs(hit.distance - expected) < tolerance * max(1, abs(expected)))
    }
  }

  @Test(arguments: VectorStorage.allCases) func survivesComponentsThatOverflow(storage: VectorStorage) throws {
    let (huge, tiny) = (Float.greatestFiniteMagnitude, Float.leastNonzeroMagnitude)
    for metric in Metric.allCases {
      let index = try makeIndex(2, metric, storage)
      try index.insert(.int64(1), [huge, huge])
      try index.insert(.int64(2), [-3e38, 3e38])
      try index.insert(.int64(3), [tiny, tiny])
      for index in [index, try reloaded(index)] {
        for query in [[huge, -huge], [tiny, tiny], [1, 1]] {
          #expect(Set(try index.search(query, SearchOptions(k: 3)).map(\.id)).count == 3)
        }
      }
    }
  }

  /// Rows among which a walk meets nothing but infinities and NaN: all of them come back all the same.
  @Test(arguments: VectorStorage.allCases) func findsAllAmongRowsThatOverflow(storage: VectorStorage) throws {
    var random = SeededRandom(seed: 6)
    for metric in Metric.allCases {
      let index = try makeIndex(24, metric, storage)
      for n in 0..<1_200 { try index.insert(.int64(Int64(n)), random.vector(dimension: 24).map { $0 * 3e38 }) }
      index.consolidate()
      index.checkInvariants()
      let query = random.vector(dimension: 24).map { $0 * 3e38 }
      for k in [1, 10, 1_100] {
        let hits = try index.search(query, SearchOptions(k: k, effort: 50))
        #expect(Set(hits.map(\.id)).count == k)
      }
    }
  }

  @Test(arguments: VectorStorage.allCases) func leavesTheRowItselfOut(storage: VectorStorage) throws {
    var random = SeededRandom(seed: 2)
    for metric in Metric.allCases {
      let index = try makeIndex(32, metric, storage)
      let vectors = (0..<1_500).map { _ in random.clusteredVector(dimension: 32, clusters: 40) }
      for (n, vector) in vectors.enumerated() { try index.insert(.int64(Int64(n)), vector) }
      var scratch = SearchScratch(for: index)
      for n in 0..<20 {
        let id = RecordID.int64(Int64(n))
        for exact in [false, true] {
          let options = SearchOptions(k: 5, effort: 200, exact: exact)
          let without = try #require(try index.search(near: id, options, scratch: &scratch) { $0.copied() })
          #expect(without.count == 5 && !without.contains { $0.id == id })
          let all = SearchOptions(k: 5, effort: 200, exact: exact, includesSelf: true)
          let with = try #require(try index.search(near: id, all, scratch: &scratch) { $0.copied() })
          #expect(with.count == 5 && (metric == .innerProduct || with.first?.id == id))
          // A row and itself are as good as equal, whatever the representation.
          if metric != .innerProduct { #expect(try #require(with.first).distance < (metric == .l2 ? 5e-3 : 1e-5)) }
          // The row as it is kept is the same question.
          let query = try #require(index.vector(of: id))
          #expect(try index.search(query, SearchOptions(k: 5, effort: 200, exact: exact)).map(\.id) == with.map(\.id))
        }
      }
    }
  }

  @Test func findsNeighboursOfARow() throws {
    let index = try makeIndex(2)
    for n in 0..<2_000 { try index.insert(.int64(Int64(n)), [Float(n), 0]) }
    var scratch = SearchScratch(for: index)
    for exact in [false, true] {
      let options = SearchOptions(k: 3, exact: exact)
      let without = try index.search(near: .int64(500), options, scratch: &scratch) { $0.copied() }
      #expect(without?.first?.distance == 1 && without?.count == 3)
      #expect(without?.contains { $0.id == .int64(500) } == false)
      let with = try index.search(
        near: .int64(500), SearchOptions(k: 3, exact: exact, includesSelf: true), scratch: &scratch
      ) { $0.copied() }
      #expect(with?.first == SearchHit(id: .int64(500), distance: 0) && with?.count == 3)
      #expect(try index.search(near: .int64(-5), options, scratch: &scratch) { $0.count } == nil)
    }
  }

  @Test(arguments: [1, 2], VectorStorage.allCases)
  func equalVectorsAreAllFound(threads: Int, storage: VectorStorage) throws {
    let index = try makeIndex(8, .cosine, storage)
    let ids = (0..<3_000).map { RecordID.int64($0) }
    let vectors = [Float](repeating: 0.5, count: 3_000 * 8)
    _ = try vectors.withUnsafeBufferPointer { try index.stage(ids, $0) }
    try index.linkStaged(threads: threads)
    index.checkInvariants()
    let hits = try index.search([Float](repeating: 1, count: 8), SearchOptions(k: 2_500, effort: 10))
    #expect(Set(hits.map(\.id)).count == 2_500)
  }

  @Test(arguments: RecordIDKind.allCases) func followsADictionaryOfEachKind(kind: RecordIDKind) throws {
    try followsADictionary(kind, .f32)
  }

  @Test(arguments: VectorStorage.allCases) func followsADictionaryInEachStorage(storage: VectorStorage) throws {
    try followsADictionary(.int64, storage)
  }

  private func followsADictionary(_ kind: RecordIDKind, _ storage: VectorStorage) throws {
    // Half a unit in the last place of 11 bits, of numbers below 1; of 8 bits, half a step in each of the rotated components.
    func error(_ vector: [Float]) -> Float {
      guard storage.fineFormat == .int8 else { return storage == .f32 ? 0 : 0x1p-12 }
      let squares = vector.reduce(0) { $0 + $1 * $1 }
      return 1.001 * (Float(vector.count) * squares).squareRoot() / 254
    }
    for seed in testSeeds {
      print("changes of \(kind), \(storage.name), seed \(seed)")
      var random = SeededRandom(seed: seed)
      let index = try HNSWIndex(
        configuration: HNSWConfiguration(
          dimension: 5, metric: .l2, recordIDKind: kind, storage: storage, connectivity: 4, constructionEffort: 16,
          seed: seed))
      var model: [RecordID: [Float]] = [:]
      for step in 0..<4_000 {
        let id = recordID(kind, Int.random(in: 0..<1_500, using: &random))
        let vector = random.vector(dimension: 5)
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<4:
          try index.upsert(id, vector)
          model[id] = vector
        case 4..<7:
          if model[id] == nil {
            try index.insert(id, vector)
          } else {
            #expect(code { try index.insert(id, vector) } == .duplicateRecord)
          }
          model[id] = model[id] ?? vector
        default:
          let removed = index.remove(id)
          #expect(removed == (model.removeValue(forKey: id) != nil))
        }
        #expect(index.count == model.count)
        if step % 500 == 499 {
          index.consolidate()
          index.checkInvariants()
          for (id, vector) in model {
            let kept = try #require(index.vector(of: id))
            let isKept = zip(kept, vector).allSatisfy { abs($0 - $1) <= error(vector) }
            #expect(isKept, "the vector of \(id)")
          }
          let all = try index.search(vector, SearchOptions(k: 2_000))
          #expect(Set(all.map(\.id)) == Set(model.keys) && all.count == model.count)
        }
      }
    }
  }

  @Test(arguments: VectorStorage.allCases) func stagedRowsAreNotThereUntilTheyAreLinked(
    storage: VectorStorage
  ) throws {
    let index = try makeIndex(2, .l2, storage)
    for n in 0..<300 { try index.insert(.int64(Int64(n)), [Float(n), 2]) }
    let staged = RecordID.int64(1_000)
    _ = try [1, 1].withUnsafeBufferPointer { try index.stage([staged], $0) }
    #expect(!index.contains(staged) && index.vector(of: staged) == nil && index.count == 300)
    var scratch = SearchScratch(for: index)
    #expect(try index.search(near: staged, SearchOptions(k: 1), scratch: &scratch) { $0.count } == nil)
    #expect(code { try index.insert(staged, [5, 5]) } == .duplicateRecord)
    // Replacing it would retire, and a later mending free, a slot that is still to be linked.
    #expect(code { try index.upsert(staged, [5, 5]) } == .duplicateRecord)
    #expect(!index.remove(staged) && index.count == 300)
    index.consolidate()
    try index.insert(.int64(1_001), [6, 6])
    try index.linkStaged(threads: 1)
    let kept = try #require(index.vector(of: staged))
    #expect(kept.allSatisfy { abs($0 - 1) <= 0.01 } && index.count == 302)
    index.checkInvariants()
  }

  /// Copies of one vector prune each other's edges; a region that was emptied has nothing but retired nodes in it. Both times a row
  /// that is inserted must be found at once, not after the next mending.
  @Test func rowsAreFoundAsSoonAsTheyAreInserted() throws {
    var random = SeededRandom(seed: 5)
    let index = try makeIndex(8)
    for n in 0..<4_000 {
      let copy = [Float](repeating: 0.25, count: 8)
      try index.insert(.int64(Int64(n)), n % 10 == 0 ? copy : random.vector(dimension: 8))
      if n % 100 == 0 { #expect(index.unreachableSlots().isEmpty, "after \(n)") }
    }
    for size in [200, 1_500] {
      let region = (0..<size).map { _ in random.vector(dimension: 8).map { 3 + $0 / 10 } }
      for (n, vector) in region.enumerated() { try index.insert(.int64(Int64(10_000 + n)), vector) }
      for n in 0..<size { index.remove(.int64(Int64(10_000 + n))) }
      for (n, vector) in region.prefix(100).enumerated() {
        try index.insert(.int64(Int64(20_000 + n)), vector)
        let hits = try index.search(vector, SearchOptions(k: 5))
        #expect(hits.first == SearchHit(id: .int64(Int64(20_000 + n)), distance: 0), "row \(n) of \(size)")
      }
      #expect(index.unreachableSlots().isEmpty)
      for n in 0..<100 { index.remove(.int64(Int64(20_000 + n))) }
    }
    index.consolidate()
    index.checkInvariants()
  }
}
