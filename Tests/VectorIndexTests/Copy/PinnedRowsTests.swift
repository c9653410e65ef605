// Rows of an index for another: the same bytes where both keep them alike, what is kept where not, and all of one moment whatever changes meanwhile.

import Glibc
import Synchronization
import TestSupport
import Testing

@testable import VectorIndex

@Suite struct PinnedRowsTests {
  private static let dimension = 40

  private func configuration(
    _ storage: VectorStorage, _ metric: Metric = .l2, _ kind: RecordIDKind = .int64, dimension: Int = dimension
  ) -> HNSWConfiguration {
    var configuration = HNSWConfiguration(
      dimension: dimension, metric: metric, recordIDKind: kind, storage: storage, connectivity: 8,
      constructionEffort: 60, attributes: RowModel.schema)
    configuration.payload = RowModel.payload
    configuration.keepsStamps = true
    return configuration
  }

  /// An index of other parameters of the rows of a moment, a few at a time.
  private func copy(_ rows: PinnedRows, as configuration: HNSWConfiguration) throws -> HNSWIndex {
    let copy = try HNSWIndex(configuration: configuration)
    for first in stride(from: 0, to: rows.count, by: 97) {
      try copy.stage(rows.batch(first..<min(first + 97, rows.count)))
    }
    try copy.linkStaged(threads: 1, calibrates: false)
    return copy
  }

  private static let pairs: [(VectorStorage, VectorStorage)] = VectorStorage.allCases.flatMap { from in
    VectorStorage.allCases.map { (from, $0) }
  }

  /// By their bits: what has been rounded away does not come back.
  @Test func whatCanBeMadeOfWhat() {
    let expected: [VectorStorage: Set<VectorStorage>] = [
      .f32: [.f32, .f16, .int8, .int4x8, .int4x16], .f16: [.f16, .int8, .int4x8, .int4x16],
      .int4x16: [.f16, .int8, .int4x8, .int4x16], .int8: [.int8, .int4x8], .int4x8: [.int8, .int4x8],
    ]
    for (from, to) in Self.pairs {
      #expect(from.canBecome(to) == expected[from]?.contains(to), "\(from.name) to \(to.name)")
    }
    var (one, other) = (configuration(.f16), configuration(.int8))
    #expect(one.canBecome(other) && !other.canBecome(one))
    one.metric = .cosine
    #expect(!one.canBecome(other))
    one.metric = .l2
    other.payload = ["title"]
    #expect(!one.canBecome(other))
  }

  /// Vectors of every size that there is, and rows that were replaced, so that slots are in no order.
  private func churned(_ configuration: HNSWConfiguration) throws -> (index: HNSWIndex, vectors: [RecordID: [Float]]) {
    var random = SeededRandom(seed: 11)
    let index = try HNSWIndex(configuration: configuration)
    let scales: [Float] = [1, 0.001, 300, 1e-30, 1e30, 40_000, 1.0 / 256, 32_767.99]
    var vectors: [RecordID: [Float]] = [:]
    for n in 0..<300 {
      let id = RecordID.int64(Int64(n % 220))
      let vector = random.vector(dimension: configuration.dimension).map { $0 * scales[n % scales.count] }
      try index.apply([
        RowChange(
          id,
          .write(
            vector: vector, attributes: random.row(RowModel.schema), payload: ["row \(n)", nil],
            stamp: RowStamp(vector: UInt64(n), row: random.next())))
      ])
      vectors[id] = vector
    }
    for n in 0..<Int64(20) {
      index.remove(.int64(n))
      vectors[.int64(n)] = nil
    }
    return (index, vectors)
  }

  private func bytes(_ plane: RowPlane, _ slot: UInt32) -> ([UInt8], RowSide) {
    (Array(UnsafeRawBufferPointer(start: plane.row(slot), count: plane.rowBytes)), plane[side: slot])
  }

  private func expectSameRows(_ a: HNSWIndex, _ b: HNSWIndex, _ comment: Comment) throws {
    #expect(a.count == b.count, comment)
    for slot in 0..<UInt32(a.store.slotsUsed.load(ordering: .relaxed)) where a.store.isLive(slot) {
      let id = a.store.ids[slot]
      let other = try #require(b.store.table.slot(of: id), comment)
      #expect(bytes(a.store.fine, slot) == bytes(b.store.fine, other), "\(comment): \(id)")
      if let codes = a.store.codes, let others = b.store.codes {
        #expect(bytes(codes, slot) == bytes(others, other), "\(comment): codes of \(id)")
      }
      #expect(a.attributes(of: id) == b.attributes(of: id), "\(comment): attributes of \(id)")
      #expect(a.payload(of: id) == b.payload(of: id), "\(comment): payload of \(id)")
      #expect(a.stamp(of: id) == b.stamp(of: id), "\(comment): stamp of \(id)")
    }
  }

  @Test(arguments: Metric.allCases) func whatIsKeptAlikeIsTheSameBytes(metric: Metric) throws {
    for (from, to) in Self.pairs where from.canBecome(to) && from.fineFormat == to.fineFormat {
      for rotates in [true, false] where rotates || from.canRotate {
        var kept = configuration(from, metric)
        kept.rotates = rotates
        let (index, _) = try churned(kept)
        let wanted = kept.keeping(to)
        #expect(wanted.rotationVersion == kept.rotationVersion, "eight bits are not rounded twice")
        let copy = try copy(PinnedRows(index), as: wanted)
        try expectSameRows(index, copy, "\(from.name) to \(to.name), \(metric), rotated: \(rotates)")
        copy.checkInvariants()
      }
    }
  }

  /// A representation that keeps less is what a build from the vectors that are kept gives; so of `f32` it is that of the vectors as they came.
  @Test(arguments: Metric.allCases) func whatKeepsLessIsMadeOfWhatIsKept(metric: Metric) throws {
    for (from, to) in Self.pairs where from.canBecome(to) && from.fineFormat != to.fineFormat {
      let (index, vectors) = try churned(configuration(from, metric))
      let wanted = index.configuration.keeping(to)
      #expect(wanted.rotationVersion == configuration(to).rotationVersion, "what has more bits is rotated as ever")
      let copy = try copy(PinnedRows(index), as: wanted)
      let built = try HNSWIndex(configuration: wanted)
      for (id, vector) in vectors {
        let kept = from == .f32 ? vector : try #require(index.vector(of: id))
        try built.apply([
          RowChange(
            id,
            .write(
              vector: kept, attributes: try #require(index.attributes(of: id)), payload: index.payload(of: id),
              stamp: try #require(index.stamp(of: id))))
        ])
      }
      try expectSameRows(built, copy, "\(from.name) to \(to.name), \(metric)")
      for (id, vector) in vectors {
        let found = try #require(copy.vector(of: id))
        let length = vector.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        let error = zip(vector, found).reduce(0.0) {
          $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1))
        }
        .squareRoot()
        // √d / 254 of the length is the most that eight bits are off, and 2⁻¹¹ half precision.
        let bound = to.fineFormat == .int8 ? Double(Self.dimension).squareRoot() / 254 + 0x1p-11 : 0x1p-11
        #expect(error <= 1.01 * bound * length, "\(from.name) to \(to.name), \(id): \(error / length)")
      }
    }
  }

  @Test func aMomentStaysWhatItWas() throws {
    var random = SeededRandom(seed: 4)
    let index = try HNSWIndex(configuration: configuration(.f32))
    var model = RowModel(index.configuration, ids: 400)
    let changes = model.changes(200, growing: true, &random)
    try index.apply(changes)
    model.apply(changes)
    let count = index.count
    let rows = PinnedRows(index)
    // All of it goes, others come, the graph is mended: and nothing that the moment sees is written over.
    index.removeAll()
    for _ in 0..<5 {
      index.consolidate()
      try index.apply(model.changes(150, removingAllFirst: true, growing: true, &random), removingAllFirst: true)
    }
    #expect(rows.count == count)
    let batch = rows.batch(0..<count)
    for (i, id) in batch.ids.enumerated() {
      let row = try #require(model.rows[id])
      #expect(batch.attributes?[i] == row.attributes && batch.payload?[i] == row.payload, "\(id)")
      #expect(batch.stamps?[i] == row.stamp, "\(id)")
    }
    #expect(Set(batch.ids) == Set(model.rows.keys))
    #expect(try model.faults(of: copy(rows, as: configuration(.f32)), &random) == [])
  }

  @Test func slotsComeBackWhenAMomentIsLetGo() throws {
    var random = SeededRandom(seed: 9)
    let index = try HNSWIndex(configuration: HNSWConfiguration(dimension: 4, metric: .l2, storage: .f32))
    for n in 0..<Int64(100) { try index.insert(.int64(n), random.vector(dimension: 4)) }
    do {
      let rows = PinnedRows(index)
      for n in 0..<Int64(60) { index.remove(.int64(n)) }
      index.consolidate()
      #expect(index.statistics().freeSlots == 0)
      // Rows without attributes, payload and stamps have none.
      let batch = rows.batch(10..<20)
      #expect(batch.ids.count == 10 && batch.attributes == nil && batch.payload == nil && batch.stamps == nil)
    }
    index.remove(.int64(60))
    index.consolidate()
    #expect(index.statistics().freeSlots == 61)
  }

  @Test func nothingAndTwice() throws {
    let index = try HNSWIndex(configuration: configuration(.f16))
    let nothing = PinnedRows(index)
    #expect(nothing.count == 0 && nothing.batch(0..<0).ids.isEmpty)
    #expect(try copy(nothing, as: configuration(.int8)).count == 0)
    try index.apply([RowChange(.int64(1), .write(vector: [Float](repeating: 1, count: Self.dimension)))])
    let rows = PinnedRows(index)
    for storage in [VectorStorage.f16, .int8] {
      let copy = try copy(rows, as: configuration(storage))
      let error = #expect(throws: IndexError.self) { try copy.stage(rows.batch(0..<1)) }
      #expect(error?.code == .duplicateRecord && copy.count == 1)
    }
  }

  private struct Kind: Sendable {
    var from: VectorStorage
    var to: VectorStorage
    var ids: RecordIDKind
  }

  /// Transactions of all kinds go on while rows are copied: the copy is what the rows were at the moment, all of them and whole.
  @Test(
    arguments: testSeeds,
    [(VectorStorage.f32, VectorStorage.f32, RecordIDKind.text), (.f32, .int4x16, .int64), (.int4x16, .int8, .uuid)])
  func aCopyIsOfOneMoment(seed: UInt64, kind: (VectorStorage, VectorStorage, RecordIDKind)) throws {
    let kind = Kind(from: kind.0, to: kind.1, ids: kind.2)
    print("rows copied beside transactions, \(kind.from.name) to \(kind.to.name), \(kind.ids), seed \(seed)")
    let kept = configuration(kind.from, .l2, kind.ids, dimension: 8)
    let wanted = kept.keeping(kind.to)
    let index = try HNSWIndex(configuration: kept)
    let maintenance = seed % 2 == 1 ? Maintenance(of: index) : nil
    let state = Shared((model: RowModel(wanted, ids: 1_200), random: SeededRandom(seed: seed)))
    let faults = Shared([String]())
    let isDone = Atomic<Bool>(false)
    let transactions = Atomic<Int>(0)
    /// Both as one: nobody else sees the one without the other.
    let change = { @Sendable (count: Int, removesAll: Bool) in
      state.withLock { state in
        let changes = state.model.changes(
          count, removingAllFirst: removesAll, growing: state.model.rows.count < 700, &state.random)
        do {
          try index.apply(changes, removingAllFirst: removesAll)
          state.model.apply(changes, removingAllFirst: removesAll)
          transactions.add(1, ordering: .relaxed)
        } catch {
          faults.withLock { $0.append("a change: \(error)") }
        }
      }
    }
    for _ in 0..<4 { change(300, false) }
    WorkerThreads.run(count: 2) { thread in
      guard thread == 1 else {
        var random = SeededRandom(seed: seed &+ 99)
        while !isDone.load(ordering: .acquiring) {
          let removesAll = random.chance(1)
          change(removesAll ? 600 : Int.random(in: 1...30, using: &random), removesAll)
          usleep(50)
        }
        return
      }
      var random = SeededRandom(seed: seed &+ 7)
      for round in 0..<8 {
        do {
          let (rows, model) = state.withLock { (PinnedRows(index), $0.model) }
          let before = transactions.load(ordering: .relaxed)
          var copy: HNSWIndex
          // As often as it takes for others to have changed the rows meanwhile.
          repeat {
            copy = try HNSWIndex(configuration: wanted)
            for first in stride(from: 0, to: rows.count, by: 61) {
              try copy.stage(rows.batch(first..<min(first + 61, rows.count)))
            }
          } while transactions.load(ordering: .relaxed) < before + 20 && faults.withLock { $0.isEmpty }
          try copy.linkStaged(threads: 1, calibrates: false)
          var found = try model.faults(of: copy, &random)
          for (id, row) in model.rows {
            guard let vector = copy.vector(of: id) else { continue }
            let (error, length) = zip(vector, row.vector).reduce((Float(0), Float(0))) {
              ($0.0 + ($1.0 - $1.1) * ($1.0 - $1.1), $0.1 + $1.1 * $1.1)
            }
            if error.squareRoot() > 0.02 * length.squareRoot() { found.append("the vector of \(id)") }
          }
          if !found.isEmpty { faults.withLock { $0 += found.prefix(5).map { "round \(round): \($0)" } } }
        } catch {
          faults.withLock { $0.append("round \(round): \(error)") }
        }
      }
      isDone.store(true, ordering: .releasing)
    }
    maintenance?.catchUp()
    maintenance?.stop()
    #expect(faults.withLock { $0 } == [], "seed \(seed)")
    #expect(transactions.load(ordering: .relaxed) > 150)
    // What was pinned is let go, and nothing of it is wrong with the index itself.
    index.consolidate()
    index.checkInvariants()
    var random = SeededRandom(seed: seed)
    #expect(index.count == state.withLock { $0.model.rows.count })
    if kind.from == kind.to { #expect(try state.withLock { $0.model }.faults(of: index, &random) == []) }
  }
}
