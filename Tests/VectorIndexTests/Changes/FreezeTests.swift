// Copies made while the index goes on: each is of one moment, whole, and nothing of what was not there then is in it.

import Synchronization
import TestSupport
import Testing

@testable import VectorIndex

@Suite struct FreezeTests {
  private func configuration(
    _ storage: VectorStorage, _ kind: RecordIDKind = .int64, seed: UInt64 = 1
  ) -> HNSWConfiguration {
    var configuration = HNSWConfiguration(
      dimension: 8, metric: .l2, recordIDKind: kind, storage: storage, connectivity: 8, constructionEffort: 40,
      seed: seed, attributes: RowModel.schema)
    configuration.payload = RowModel.payload
    configuration.keepsStamps = true
    return configuration
  }

  // MARK: - Beside a writer

  /// An index, what it should hold at any moment, and the one who changes both.
  private final class Writer: Sendable {
    let index: HNSWIndex
    /// Changed while no other change and no freeze can come between.
    let model: Shared<RowModel>
    /// Transactions that are through.
    let count = Atomic<Int>(0)
    let isDone = Atomic<Bool>(false)
    private let seed: UInt64

    /// Rows that stay as they are.
    static let steady = 20
    private static let tailMost = 2_000
    private let isAwaited = Atomic<Bool>(false)

    init(_ configuration: HNSWConfiguration, rows: Int, seed: UInt64) throws {
      self.seed = seed
      index = try HNSWIndex(configuration: configuration)
      var random = SeededRandom(seed: seed)
      var model = RowModel(configuration, ids: rows)
      let first = model.ids.map { id in
        RowChange(
          id,
          .write(
            vector: model.vector(&random), attributes: random.row(configuration.attributes), payload: ["0", nil],
            stamp: RowStamp(vector: random.next(), row: 0)))
      }
      try index.apply(first)
      model.apply(first)
      self.model = Shared(model)
    }

    /// The row that tells by all that it has how many transactions there were.
    var counter: RecordID { model.withLock { $0.ids[Self.steady] } }

    /// Runs transactions until it is told to end. Each writes the counter's row, with its vector or without.
    func run() throws {
      var random = SeededRandom(seed: seed &+ 99)
      var next = model.withLock { $0 }
      let isFixed = Set(next.ids[...Self.steady])
      let counter = next.ids[Self.steady]
      var n = 0
      while !isDone.load(ordering: .acquiring) {
        // No faster than whoever links, unless somebody who holds the links waits for more.
        guard index.tailCount < Self.tailMost || isAwaited.load(ordering: .acquiring) else {
          yieldThread()
          continue
        }
        n += 1
        var changes = next.changes(Int.random(in: 1...60, using: &random), growing: random.chance(50), &random)
          .filter { !isFixed.contains($0.id) }
        changes.append(
          RowChange(
            counter,
            .write(
              vector: random.chance(50) ? nil : next.vector(&random),
              attributes: [.int64(Int64(n)), .keyword("\(n)"), .array([.int64(Int64(n))]), .float64(Double(n))],
              payload: ["\(n)", nil], stamp: RowStamp(vector: UInt64(n), row: UInt64(n)))))
        next.apply(changes)
        try index.apply(changes.shuffled(using: &random)) { [model, next] in model.withLock { $0 = next } }
        count.store(n, ordering: .releasing)
      }
    }

    /// Returns when some more transactions are through.
    func wait(forMore more: Int) {
      let wanted = count.load(ordering: .acquiring) + more
      isAwaited.store(true, ordering: .releasing)
      defer { isAwaited.store(false, ordering: .releasing) }
      while count.load(ordering: .acquiring) < wanted, !isDone.load(ordering: .acquiring) { yieldThread() }
    }
  }

  private static let cases: [(UInt64, VectorStorage)] = testSeeds.flatMap { seed in
    [VectorStorage.f32, .int4x8].map { (seed, $0) }
  }

  /// While transactions go on, with a linker of their own and without, parts are read in odd pieces, slowly: the copy that is made of them has
  /// just the rows of the moment that was noted, with their attributes, payload and stamps, and so on for the next.
  @Test(arguments: cases) func aCopyIsOfOneMoment(seed: UInt64, storage: VectorStorage) throws {
    print("copies beside changes, \(storage.name), seed \(seed)")
    let kind = [RecordIDKind.int64, .uuid, .text][Int(seed % 3)]
    let writer = try Writer(configuration(storage, kind, seed: seed), rows: 1_200, seed: seed)
    let index = writer.index
    let hasMaintenance = seed % 2 == 1
    let maintenance = hasMaintenance ? Maintenance(of: index) : nil
    let faults = Shared([String]())
    let searches = Atomic<Int>(0)
    WorkerThreads.run(count: 3) { thread in
      do {
        switch thread {
        case 0: try writer.run()
        case 1:
          var random = SeededRandom(seed: seed &+ 5)
          let rows = writer.model.withLock { model in model.ids[..<Writer.steady].map { ($0, model.rows[$0]) } }
          while !writer.isDone.load(ordering: .acquiring) {
            let (id, row) = random.pick(Array(rows))
            // A walk may miss a row until the graph around it is mended; it yields as many as are asked for, and a scan misses none.
            let isExact = random.chance(50)
            let hits = try index.search(row?.vector ?? [], SearchOptions(k: 5, effort: 200, exact: isExact))
            if hits.count != 5 || Set(hits.map(\.id)).count != 5 {
              faults.withLock { $0.append("\(hits.count) hits") }
            } else if isExact, storage == .f32, hits.first?.id != id {
              faults.withLock { $0.append("\(id), which stays, was missed") }
            }
            searches.add(1, ordering: .relaxed)
          }
        default:
          defer { writer.isDone.store(true, ordering: .releasing) }
          var random = SeededRandom(seed: seed &+ 7)
          for round in 0..<6 {
            writer.wait(forMore: 10)
            let found = try self.faultsOfACopy(writer, waitsWhileLinksAreHeld: hasMaintenance, &random)
            faults.withLock { $0 += found.map { "round \(round): \($0)" } }
          }
        }
      } catch {
        writer.isDone.store(true, ordering: .releasing)
        faults.withLock { $0.append("\(error)") }
      }
    }
    maintenance?.catchUp()
    maintenance?.stop()
    #expect(faults.withLock { Array($0.prefix(5)) } == [])
    print("\(writer.count.load(ordering: .relaxed)) transactions, \(searches.load(ordering: .relaxed)) searches beside")
    #expect(searches.load(ordering: .relaxed) > 0)
    index.consolidate()
    index.checkInvariants()
    #expect(index.statistics().retiredRows == 0 && index.hiddenNodes.load(ordering: .relaxed) == 0)
    var random = SeededRandom(seed: seed)
    #expect(try writer.model.withLock { $0 }.faults(of: index, &random) == [])
  }

  private func faultsOfACopy(
    _ writer: Writer, waitsWhileLinksAreHeld: Bool, _ random: inout SeededRandom
  ) throws -> [String] {
    let index = writer.index
    let pieceBytes = random.pick([997, 3_001, 10_007])
    let copied = index.withFrozen(
      noting: { writer.model.withLock { $0 } },
      { frozen, model in
        let before = writer.count.load(ordering: .acquiring)
        let parts = bytes(of: frozen, index.configuration, pieceBytes: pieceBytes) { part, piece in
          // Without a maintenance, whoever changes rows waits for the links.
          if piece % 16 == 0, !isOfLinks(part) || waitsWhileLinksAreHeld { writer.wait(forMore: 1) }
        }
        return (frozen.header, parts, model, writer.count.load(ordering: .acquiring) - before)
      })
    let (header, parts, model, changes) = try #require(copied)
    let copy = try restored(index.configuration, header, parts)
    copy.checkInvariants()
    var faults = try model.faults(of: copy, &random)
    // The counter's row tells the same, whatever was noted.
    let n = model.rows[writer.counter]?.stamp.row ?? 0
    if copy.payload(of: writer.counter) != ["\(n)", nil] { faults.append("a counter that is not \(n)") }
    if changes < 10 { faults.append("\(changes) transactions while it was made") }
    return faults
  }

  // MARK: - What happens between the moment and the mending

  enum Between: CaseIterable { case some, allGo, allHadGone }

  /// Rows die, in the graph and in the tail, and others come, after the moment and before the graph is made one of its rows: all of the moment are
  /// in the copy, linked and within reach, and the index forgets nothing of what came after.
  @Test(arguments: Between.allCases, [VectorStorage.f32, .int8, .int4x16])
  func whatComesAfterTheMomentIsNotInTheCopy(between: Between, storage: VectorStorage) throws {
    for seed in testSeeds {
      print("between the moment and the mending, \(between), \(storage.name), seed \(seed)")
      var random = SeededRandom(seed: seed)
      let configuration = configuration(storage, seed: seed)
      let index = try HNSWIndex(configuration: configuration)
      var model = RowModel(configuration, ids: 2_000)
      func apply(_ changes: [RowChange], removingAllFirst: Bool = false) throws {
        try index.apply(changes, removingAllFirst: removingAllFirst)
        model.apply(changes, removingAllFirst: removingAllFirst)
      }
      func write(_ ids: ArraySlice<RecordID>) -> [RowChange] {
        ids.map { id in
          RowChange(
            id,
            .write(
              vector: model.vector(&random), attributes: random.row(configuration.attributes),
              payload: ["\(random.next())", nil], stamp: RowStamp(vector: random.next(), row: random.next())))
        }
      }
      func remove(_ ids: some Collection<RecordID>) -> [RowChange] { Set(ids).map { RowChange($0, .remove) } }
      func entryRow() -> RecordID? { index.graph.entryPoint().map { index.store.ids[$0.slot] } }

      try apply(write(model.ids[..<1_200]))
      try apply(remove(model.ids[..<100]))
      let maintenance = Maintenance(of: index)
      maintenance.catchUp()
      // Nothing is linked from here on.
      let links = index.holdLinks()
      if between == .allHadGone { try apply([], removingAllFirst: true) }
      try apply(write(model.ids[1_300..<1_600]))
      try apply(remove(model.ids[150..<200] + model.ids[1_300..<1_320]))

      let pin = index.store.pins.take(for: .search)
      let (freeze, frozenModel) = try #require(index.freeze(pin, noting: { model }))
      #expect(freeze.tailCount == 300 && freeze.count == frozenModel.rows.count)

      switch between {
      case .some, .allHadGone:
        let entry = entryRow()
        try apply(remove(model.ids[200..<500] + model.ids[1_320..<1_380] + (entry.map { [$0] } ?? [])))
        try apply(write(model.ids[600..<700] + model.ids[1_400..<1_450] + model.ids[1_700..<1_900]))
        // Words that are overwritten in place.
        try apply(
          (model.ids[700..<800] + model.ids[1_450..<1_500]).filter { model.rows[$0] != nil }.map { id in
            RowChange(
              id,
              .write(
                vector: nil, attributes: random.row(configuration.attributes), payload: ["after", "that"],
                stamp: RowStamp(vector: 1, row: 1)))
          })
      case .allGo: try apply(write(model.ids[500..<900]), removingAllFirst: true)
      }

      let insertions = index.withLinks(heldBy: links) { linking in
        index.settle(freeze, &linking)
        return linking.insertions
      }
      let frozen = FrozenIndex(index, freeze, links, insertions: insertions)
      let parts = bytes(of: frozen, configuration)
      // The links were given back, so all that came since is linked, and mended.
      maintenance.catchUp()
      index.consolidate()
      #expect(!links.isHeld && index.tailCount == 0)
      #expect(bytesOfRows(frozen, configuration) == parts.filter { !isOfLinks($0.key) }, "the rest stays as it is")
      index.store.pins.giveBack(pin)

      let copy = try restored(configuration, frozen.header, parts)
      copy.checkInvariants()
      #expect(try frozenModel.faults(of: copy, &random) == [], "\(between), seed \(seed)")
      #expect(try recall(copy, &random) > 0.95)
      // Its mending has nothing to mend, and it goes on.
      copy.consolidate()
      #expect(copy.unreachableSlots().isEmpty)
      try copy.insert(.int64(99_999), model.vector(&random))

      maintenance.stop()
      index.consolidate()
      index.checkInvariants()
      #expect(try model.faults(of: index, &random) == [], "\(between), seed \(seed)")
      #expect(try recall(index, &random) > 0.95)
      #expect(index.statistics().retiredRows == 0 && index.hiddenNodes.load(ordering: .relaxed) == 0)
    }
  }

  private func isOfLinks(_ part: IndexPart) -> Bool { [.layers, .upperLinks, .groundLinks].contains(part) }

  /// The parts that may be read when the links were given back.
  private func bytesOfRows(_ frozen: FrozenIndex, _ configuration: HNSWConfiguration) -> [IndexPart: [UInt8]] {
    var parts: [IndexPart: [UInt8]] = [:]
    for part in IndexPart.parts(of: configuration) where !isOfLinks(part) {
      var bytes = [UInt8](repeating: 7, count: frozen.byteCount(of: part))
      bytes.withUnsafeMutableBytes { frozen.read(part, 0..<$0.count, into: $0) }
      parts[part] = bytes
    }
    return parts
  }

  private func recall(_ index: HNSWIndex, _ random: inout SeededRandom) throws -> Double {
    let queries = (0..<100).flatMap { _ in random.clusteredVector(dimension: 8, clusters: 40) }
    return try index.recall(queries: queries, k: 10, effort: 100)
  }

  // MARK: - Traces

  /// Four rows with secrets: gone before the moment while a reader holds it, gone after it, come after it into a slot that was free, and given
  /// another payload after it. The copy has the second, and of the last what it had.
  @Test func nothingOfOtherMomentsIsInTheCopy() throws {
    var configuration = configuration(.f32)
    configuration.attributes = try AttributeSchema([AttributeColumn("word", .keyword)])
    let index = try HNSWIndex(configuration: configuration)
    func write(_ id: Int64, _ secret: String, _ number: Float) throws {
      try index.apply([
        RowChange(
          .int64(id),
          .write(
            vector: [number] + [Float](repeating: 1, count: 7), attributes: [.keyword(secret)],
            payload: [secret + " title", nil], stamp: RowStamp(vector: UInt64(number), row: UInt64(number))))
      ])
    }
    for n in 0..<300 as Range<Int64> { try write(n, "plain", Float(n)) }
    for n in 0..<50 as Range<Int64> { index.remove(.int64(n)) }
    try write(1_111_111, "gone-before", 111_111)
    try write(2_222_222, "gone-after", 222_222)
    try write(3_333_333, "as-it-was", 333_333)
    index.consolidate()
    // Only from here on beside a maintenance: rows that it had not linked before they went would be given back at the next change.
    let maintenance = Maintenance(of: index)
    defer { maintenance.stop() }
    #expect(index.store.freeSlotCount > 0)

    // A reader stays on what is removed, so that nothing of it is wiped.
    let reader = index.store.pins.take(for: .search)
    _ = index.store.pins.enter(reader)
    index.remove(.int64(1_111_111))
    let parts = try index.withFrozen { frozen in
      var hasChanged = false
      return Result {
        var failure: (any Error)?
        let parts = bytes(of: frozen, configuration, pieceBytes: 1_001) { part, piece in
          guard part == .vectors, piece == 2, !hasChanged else { return }
          hasChanged = true
          do {
            index.remove(.int64(2_222_222))
            let free = index.store.freeSlotCount
            try write(4_444_444, "come-after", 444_444)
            #expect(index.store.freeSlotCount == free - 1, "it took a slot that was free")
            try index.apply([
              RowChange(
                .int64(3_333_333),
                .write(
                  vector: nil, attributes: [.keyword("as-it-is")], payload: ["as-it-is title", nil],
                  stamp: RowStamp(vector: 0, row: 555_555)))
            ])
          } catch { failure = error }
        }
        #expect(hasChanged)
        if let failure { throw failure }
        return parts
      }
    }.get()
    index.store.pins.giveBack(reader)

    func holds(_ part: IndexPart, _ needle: [UInt8]) -> Bool {
      let bytes = parts[part] ?? []
      return bytes.indices.dropLast(needle.count - 1).contains { bytes[$0..<($0 + needle.count)].elementsEqual(needle) }
    }
    func bytesOf<T>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }
    for (word, number, id, isThere) in [
      ("gone-before", 111_111, 1_111_111, false), ("gone-after", 222_222, 2_222_222, true),
      ("as-it-was", 333_333, 3_333_333, true), ("come-after", 444_444, 4_444_444, false),
    ] as [(String, Float, Int64, Bool)] {
      #expect(holds(.vectors, bytesOf(number)) == isThere, "\(word)")
      #expect(holds(.ids, bytesOf(id)) == isThere, "\(word)")
      #expect(holds(.stamps, bytesOf(UInt64(number))) == isThere, "\(word)")
      #expect(holds(.attribute(.words, column: 0), Array(word.utf8)) == isThere, "\(word)")
      #expect(holds(.payloadBlocks, Array(word.utf8)) == isThere, "\(word)")
    }
    #expect(!holds(.attribute(.words, column: 0), Array("as-it-is".utf8)))
    #expect(!holds(.payloadBlocks, Array("as-it-is".utf8)) && !holds(.stamps, bytesOf(UInt64(555_555))))
    #expect(index.attributes(of: .int64(3_333_333)) == [.keyword("as-it-is")])
  }

  // MARK: - Who waits

  /// Where a maintenance runs, changes are visible while the links are still held, and linked and mended when they are not; the copy does not
  /// notice.
  @Test func nobodyWaitsBesideAMaintenance() throws {
    var random = SeededRandom(seed: testSeeds[0])
    let writer = try Writer(configuration(.f32), rows: 900, seed: testSeeds[0])
    let index = writer.index
    let maintenance = Maintenance(of: index)
    let model = writer.model.withLock { $0 }
    let result = try index.withFrozen { frozen in
      var phases: Set<String> = []
      let vector = [Float](repeating: 3, count: 8)
      return Result {
        var failure: (any Error)?
        let parts = bytes(of: frozen, index.configuration, pieceBytes: 5_003) { part, piece in
          do {
            if part == .groundLinks, phases.insert("held").inserted {
              try index.upsert(model.ids[0], vector)
              for id in model.ids[500..<900] { index.remove(id) }
              #expect(try index.search(vector, SearchOptions(k: 1)).first?.id == model.ids[0])
              #expect(index.tailCount > 0 && index.count == 500)
            } else if part == .vectors, piece > 0, phases.insert("given back").inserted {
              maintenance.catchUp()
              index.consolidate()
              #expect(index.tailCount == 0 && index.statistics().retiredRows == 0)
              #expect(try index.search(vector, SearchOptions(k: 1)).first?.id == model.ids[0])
              #expect(index.store.freeSlotCount == 0, "what the copy needs is not used again")
            }
          } catch { failure = error }
        }
        if let failure { throw failure }
        #expect(phases.count == 2)
        return (frozen.header, parts)
      }
    }.get()
    #expect(index.store.freeSlotCount >= 400, "and is when it was made")
    let copy = try restored(index.configuration, result.0, result.1)
    copy.checkInvariants()
    #expect(try model.faults(of: copy, &random) == [])
    maintenance.stop()
    index.checkInvariants()
  }

  /// Without one, whoever changes rows links them, and waits for the links and no longer.
  @Test func changesThatLinkWaitForTheLinksOnly() throws {
    let writer = try Writer(configuration(.f32), rows: 300, seed: 1)
    let index = writer.index
    let model = writer.model.withLock { $0 }
    let parts = index.withFrozen { frozen in
      bytes(of: frozen, index.configuration) { part, piece in
        guard part == .vectors, piece == 0 else { return }
        index.remove(model.ids[7])
      }
    }
    #expect(index.count == 299 && parts[.layers]?.count { $0 > 0 } == 300)
  }

  /// Where nothing is to be saved at that moment, nothing is done, and the index is as it was.
  @Test func whoeverNotesMayRefuse() throws {
    let writer = try Writer(configuration(.f32), rows: 300, seed: 1)
    let index = writer.index
    index.remove(writer.model.withLock { $0.ids[3] })
    let result: Int? = index.withFrozen(
      noting: { nil as Int? },
      { _, _ in
        Issue.record("nothing was noted")
        return 0
      })
    #expect(result == nil)
    #expect(index.statistics().retiredRows == 1)
    index.consolidate()
    index.checkInvariants()
    #expect(index.withFrozen { $0.header.rows } == 299)
  }

  @Test func stagedRowsAreNotSaved() throws {
    let index = try HNSWIndex(configuration: HNSWConfiguration(dimension: 4, metric: .l2, storage: .f32))
    for n in 0..<40 { try index.insert(.int64(Int64(n)), [Float(n), 1, 2, 3]) }
    _ = try [9, 9, 9, 9 as Float].withUnsafeBufferPointer { try index.stage([.int64(77)], $0) }
    let (header, parts) = index.withFrozen { ($0.header, bytes(of: $0, index.configuration)) }
    let copy = try restored(index.configuration, header, parts)
    copy.checkInvariants()
    #expect(copy.count == 40 && !copy.contains(.int64(77)))
    try index.linkStaged(threads: 1)
    #expect(index.contains(.int64(77)))
    index.checkInvariants()
  }

  // MARK: - Memory

  /// What rows had before they were changed is kept while a copy is made, and is given back with it: more copies take no more.
  @Test func whatACopyKeepsIsGivenBack() throws {
    var random = SeededRandom(seed: 3)
    let writer = try Writer(configuration(.f16), rows: 1_000, seed: 3)
    let index = writer.index
    let maintenance = Maintenance(of: index)
    var committed = 0
    for round in 0..<8 {
      index.withFrozen { frozen in
        frozen.linksAreRead()
        for n in 0..<4 as Range<UInt64> {
          let changes = writer.model.withLock { $0 }.ids.map { id in
            RowChange(
              id,
              .write(
                vector: n == 1 ? random.vector(dimension: 8) : nil,
                attributes: [
                  .int64(Int64.random(in: 0..<9, using: &random)), .keyword("word"), .array([.int64(1)]), .null,
                ], stamp: RowStamp(vector: n, row: random.next())))
          }
          do { try index.apply(changes) } catch { Issue.record(error) }
        }
      }
      maintenance.catchUp()
      index.consolidate()
      let statistics = index.statistics()
      #expect(statistics.rows == 1_000 && statistics.freeSlots >= 1_000, "round \(round)")
      if round == 3 { committed = statistics.bytes }
    }
    // Lists of slots by value are as long as chance has it.
    #expect(index.statistics().bytes <= committed + committed / 8)
    maintenance.stop()
    index.checkInvariants()
  }

  /// At the end of its memory, an index refuses what would need a second slot, and is what it was; when the copy is made, and the graph is mended,
  /// there is room again.
  @Test func aBudgetRefusesChangesWhileACopyIsMade() throws {
    var random = SeededRandom(seed: 4)
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: 100, metric: .cosine, storage: .f16, connectivity: 6, constructionEffort: 20, memoryBudget: 600_000))
    func isRefused(_ body: () throws -> Void) throws -> Bool {
      do {
        try body()
        return false
      } catch let error as IndexError where error.code == .outOfMemory {
        return true
      }
    }
    var count = 0
    while try !isRefused({ try index.insert(.int64(Int64(count)), random.vector(dimension: 100)) }) { count += 1 }
    let maintenance = Maintenance(of: index)
    let refusals = try index.withFrozen { frozen in
      frozen.linksAreRead()
      for n in 0..<200 { index.remove(.int64(Int64(n))) }
      index.consolidate()
      // Their slots are in the copy.
      return Result {
        try (0..<20 as Range<Int64>).count { n in
          try isRefused { try index.insert(.int64(n), random.vector(dimension: 100)) }
        }
      }
    }.get()
    #expect(refusals == 20 && index.count == count - 200)
    for n in 0..<200 { try index.insert(.int64(Int64(n)), random.vector(dimension: 100)) }
    #expect(index.count == count)
    maintenance.catchUp()
    maintenance.stop()
    index.consolidate()
    index.checkInvariants()
  }
}

@Suite struct TurnLockTests {
  @Test func oneHasItAtATime() {
    let lock = TurnLock()
    nonisolated(unsafe) var count = 0
    WorkerThreads.run(count: 4) { _ in
      for _ in 0..<5_000 {
        lock.take()
        count += 1
        lock.giveBack()
      }
    }
    #expect(count == 20_000)
  }

  /// Beside one who takes it again and again, whoever waits gets it; and whoever holds it may leave it to another to give it back, once.
  @Test func itGoesRoundAndFromHandToHand() {
    let lock = TurnLock()
    let isDone = Atomic<Bool>(false)
    let taken = Atomic<Int>(0)
    WorkerThreads.run(count: 2) { thread in
      if thread == 0 {
        while !isDone.load(ordering: .acquiring) {
          lock.take()
          taken.add(1, ordering: .relaxed)
          lock.giveBack()
        }
        return
      }
      for _ in 0..<500 {
        let hold = LockHold(lock)
        let seen = taken.load(ordering: .relaxed)
        WorkerThreads.run(count: 4) { _ in if taken.load(ordering: .relaxed) == seen { yieldThread() } }
        #expect(hold.isHeld && taken.load(ordering: .relaxed) == seen)
        WorkerThreads.run(count: 4) { _ in hold.giveBack() }
        #expect(!hold.isHeld)
        while taken.load(ordering: .relaxed) == seen { yieldThread() }
      }
      isDone.store(true, ordering: .releasing)
    }
    // Nobody holds it any more.
    lock.take()
    lock.giveBack()
  }
}
