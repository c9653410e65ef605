// A rebuild of the rows that are served: the same rows under other parameters, of one moment and proved; and what is refused.

import Foundation
import Synchronization
import TestSupport
import Testing
import VectorWire

@testable import PostgresSource
@testable import VectorIndex
@testable import VectorServer

@Suite struct OwnRowsTests {
  private static let dimension = 12

  private func description() throws -> SourceDescription {
    func attribute(_ name: String, _ scalar: AttributeField.Scalar) throws -> SourceDescription.Attribute {
      SourceDescription.Attribute(
        column: AttributeColumn(name, try #require(scalar.attributeType(isArray: false))), sourceColumn: name, path: [],
        field: AttributeField(name: name, scalar: scalar, isArray: false), expression: name)
    }
    return SourceDescription(
      table: "\"public\".\"t\"", keyColumns: [SourceDescription.KeyColumn(name: "id", type: .bigint)],
      vectorColumn: "v", vectorType: .vector, dimension: Self.dimension,
      attributes: [try attribute("n", .bigint), try attribute("word", .text)], payload: ["body"], leaves: [],
      estimatedRows: 0, isEstimateCounted: false, serverVersion: 180_000, pgvectorVersion: "0.8.0", database: "d",
      systemIdentifier: 7, timeline: 1, isStandby: false)
  }

  private func index(_ storage: VectorStorage = .f16) throws -> HNSWIndex {
    var configuration = HNSWConfiguration(
      dimension: Self.dimension, metric: .cosine, storage: storage, connectivity: 8, constructionEffort: 40,
      attributes: try description().attributeSchema().withTenant("n"))
    configuration.payload = ["body"]
    configuration.keepsStamps = true
    return try HNSWIndex(configuration: configuration)
  }

  private func plan(_ storage: VectorStorage? = .f16) throws -> RebuildPlan {
    var plan = RebuildPlan(
      collection: "docs", connection: try ConnectionOptions("host=nowhere.invalid"),
      source: .table(TableSource("t")), metric: .cosine)
    plan.storage = storage
    plan.connectivity = 12
    plan.constructionEffort = 50
    plan.recallTarget = 0.9
    plan.seed = 5
    plan.threads = 1
    return plan
  }

  private func withDirectory(_ body: (DataDirectory) throws -> Void) throws {
    let path = NSTemporaryDirectory() + "own-rows-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try body(try DataDirectory(path: path, create: true))
  }

  /// A write of a row as a follower makes it: with the hash of what it has.
  private func write(_ id: Int64, _ hasher: inout RowHasher, _ random: inout SeededRandom) -> RowChange {
    let vector = random.vector(dimension: Self.dimension)
    let vectorHash = vector.withUnsafeBytes { RowHasher.vectorHash($0) }
    let attributes: [AttributeValue] = [
      random.chance(10) ? .null : .int64(Int64.random(in: 0..<9, using: &random)),
      random.chance(10) ? .null : random.value(.keyword),
    ]
    let payload: [String?] = [random.chance(20) ? nil : "row \(id), \(random.next() % 1_000)"]
    let stamp = RowStamp(
      vector: vectorHash,
      row: hasher.row(.int64(id), vectorHash: vectorHash, attributes: attributes, payload: payload))
    return RowChange(
      .int64(id), .write(vector: vector, attributes: attributes, payload: payload, stamp: stamp))
  }

  private func buckets(_ stamps: [RecordID: RowStamp], _ hasher: inout RowHasher) -> [BucketSum] {
    var buckets = Array(repeating: BucketSum(), count: RowHasher.bucketCount)
    for (id, stamp) in stamps { buckets[hasher.bucket(of: id)].add(stamp.row) }
    return buckets
  }

  private func stamps(of index: HNSWIndex) -> [RecordID: RowStamp] {
    var stamps: [RecordID: RowStamp] = [:]
    index.forEachStamp { stamps[$0] = $1 }
    return stamps
  }

  private func position(_ transaction: Int) -> Position {
    Position(systemID: 7, appliedLSN: UInt64(1_000 + transaction), timeline: 1)
  }

  /// Takes moments of an index that nobody changes.
  private func ownRows(_ index: HNSWIndex, _ plan: RebuildPlan) throws -> OwnRows {
    let description = try description()
    var hasher = RowHasher(description)
    let sums = buckets(stamps(of: index), &hasher)
    let place = position(0)
    return OwnRows(plan, of: index, description, source: "a table") { _ in
      OwnRows.Moment(rows: PinnedRows(index), position: place, buckets: sums)
    }
  }

  private func filled(_ storage: VectorStorage = .f16, rows: Int64 = 1_500) throws -> HNSWIndex {
    let index = try index(storage)
    var hasher = RowHasher(try description())
    var random = SeededRandom(seed: 1)
    try index.apply((0..<rows).map { write($0, &hasher, &random) })
    return index
  }

  /// The rows, where they stand and their sums are those of one transaction's end, while others come.
  @Test(arguments: testSeeds) func aRebuildIsOfOneMomentBesideAWriter(seed: UInt64) throws {
    print("own rows beside a writer, seed \(seed)")
    struct Served: Sendable {
      var hasher: RowHasher
      var random: SeededRandom
      var transactions = 0
      var moments: [(stamps: [RecordID: RowStamp], position: Position)] = []
    }
    let description = try description()
    let index = try filled(.f32)
    let served = Shared(Served(hasher: RowHasher(description), random: SeededRandom(seed: seed)))
    let isDone = Atomic<Bool>(false)
    let faults = Shared([String]())
    let commit = { @Sendable in
      served.withLock { served in
        var changes: [RowChange] = []
        for id in Set((0..<20).map { _ in Int64.random(in: 0..<2_000, using: &served.random) }) {
          changes.append(
            served.random.chance(30)
              ? RowChange(.int64(id), .remove) : write(id, &served.hasher, &served.random))
        }
        do { try index.apply(changes) } catch { faults.withLock { $0.append("\(error)") } }
        served.transactions += 1
      }
    }
    for storage in [VectorStorage.f32, .int4x8] {
      isDone.store(false, ordering: .relaxed)
      let begun = served.withLock { $0.transactions }
      VectorIndex.WorkerThreads.run(count: 2) { thread in
        guard thread == 1 else {
          while !isDone.load(ordering: .acquiring) { commit() }
          return
        }
        do {
          try withDirectory { directory in
            let rows = OwnRows(try plan(storage), of: index, description, source: "a table") { _ in
              served.withLock { served in
                let stamps = stamps(of: index)
                let position = position(served.transactions)
                served.moments.append((stamps, position))
                return OwnRows.Moment(
                  rows: PinnedRows(index), position: position, buckets: buckets(stamps, &served.hasher))
              }
            }
            let rebuild = try Rebuild(try plan(storage), of: rows, into: directory, writer: "test")
            let estimate = try rebuild.look()
            let built = try rebuild.build()
            // The copying itself may be quicker than a transaction.
            while served.withLock({ $0.transactions }) < begun + 50, faults.withLock({ $0.isEmpty }) {
              Thread.sleep(forTimeInterval: 0.001)
            }
            let moment = served.withLock { $0.moments[$0.moments.count - 1] }
            let copy = built.collection.index
            var found: [String] = []
            if estimate.certainty != .known { found.append("the estimate") }
            if rows.rowsRead != moment.stamps.count || copy.count != rows.rowsRead { found.append("the count") }
            if built.collection.position != moment.position { found.append("the position") }
            if stamps(of: copy) != moment.stamps { found.append("stamps") }
            var hasher = RowHasher(description)
            if built.staged.buckets != buckets(moment.stamps, &hasher) { found.append("sums") }
            for (id, stamp) in moment.stamps {
              let hash = hasher.row(
                id, vectorHash: stamp.vector, attributes: copy.attributes(of: id) ?? [],
                payload: copy.payload(of: id) ?? [])
              if hash != stamp.row { found.append("the row \(id)") }
              // Kept bit for bit, so what Postgres sent can be told by its hash.
              guard storage == .f32, let vector = copy.vector(of: id) else { continue }
              if vector.withUnsafeBytes({ RowHasher.vectorHash($0) }) != stamp.vector { found.append("\(id)'s vector") }
            }
            let made = copy.configuration
            if made.storage != storage || made.connectivity != 12 || made.constructionEffort != 50
              || made.recallTarget != 0.9 || made.seed != 5 || made.attributes.tenant != 0
            {
              found.append("the configuration")
            }
            if !found.isEmpty { faults.withLock { $0 += found.prefix(5) } }
          }
        } catch {
          faults.withLock { $0.append("\(error)") }
        }
        isDone.store(true, ordering: .releasing)
      }
      #expect(served.withLock { $0.transactions } >= begun + 50)
    }
    #expect(faults.withLock { $0 } == [], "seed \(seed)")
  }

  @Test func whatIsNotKeptIsRefusedWithAWayOut() throws {
    for (from, to) in [(VectorStorage.int8, VectorStorage.f16), (.int4x8, .f32), (.f16, .f32), (.int4x16, .f32)] {
      let rows = try ownRows(try filled(from, rows: 10), try plan(to))
      let error = #expect(throws: ServerError.self) { try rows.look() }
      #expect(error?.code == .invalidConfiguration)
      for words in [from.name, to.name, "--from postgres", "--storage"] {
        #expect(error?.message.contains(words) == true, "\(from.name) to \(to.name): \(words)")
      }
    }
    // What the dimension suggests counts as asked for: below 96 it is half precision.
    let rows = try ownRows(try filled(.int8, rows: 10), try plan(nil))
    #expect(throws: ServerError.self) { try rows.look() }
    #expect(try ownRows(try filled(.f32, rows: 10), try plan(nil)).look().configuration.storage == .f16)
  }

  @Test func aRowThatIsNotWhatItsStampSaysIsNotCarriedOn() throws {
    let index = try filled()
    try index.apply([
      RowChange(
        .int64(77),
        .write(vector: nil, attributes: [.int64(1), .keyword("other")], stamp: RowStamp(vector: 0, row: 12_345)))
    ])
    try withDirectory { directory in
      let rebuild = try Rebuild(
        try plan(), of: ownRows(index, try plan()), into: directory, writer: "test")
      let error = #expect(throws: ServerError.self) { try rebuild.build() }
      #expect(error?.code == .notEqual)
      #expect(error?.message.contains("77") == true && error?.message.contains("--from postgres") == true)
      #expect(try directory.collectionNames() == [])
    }
  }

  @Test func sumsThatAreOthersEndIt() throws {
    let index = try filled()
    let description = try description()
    var hasher = RowHasher(description)
    var stamps = stamps(of: index)
    // As if one row had been missed.
    stamps[.int64(3)] = nil
    let sums = buckets(stamps, &hasher)
    let place = position(1)
    try withDirectory { directory in
      let rows = OwnRows(try plan(), of: index, description, source: "a table") { _ in
        OwnRows.Moment(rows: PinnedRows(index), position: place, buckets: sums)
      }
      let error = #expect(throws: ServerError.self) {
        try Rebuild(try plan(), of: rows, into: directory, writer: "test").build()
      }
      #expect(error?.code == .notEqual)
      #expect(error?.message.contains("1 of 4096 sums") == true)
    }
  }

  @Test func cancelEndsItWhileRowsAreCopied() throws {
    let index = try filled()
    let description = try description()
    var hasher = RowHasher(description)
    let sums = buckets(stamps(of: index), &hasher)
    let place = position(1)
    try withDirectory { directory in
      let own = Shared<OwnRows?>(nil)
      let asked = Shared([Bool]())
      let rows = OwnRows(try plan(), of: index, description, source: "a table") { isCancelled in
        let before = isCancelled()
        own.withLock { $0 }?.cancel()
        let after = isCancelled()
        asked.withLock { $0 = [before, after] }
        return OwnRows.Moment(rows: PinnedRows(index), position: place, buckets: sums)
      }
      own.withLock { $0 = rows }
      let error = #expect(throws: SourceError.self) {
        try Rebuild(try plan(), of: rows, into: directory, writer: "test").build()
      }
      own.withLock { $0 = nil }
      #expect(error?.code == .cancelled && rows.rowsRead == 0)
      #expect(asked.withLock { $0 } == [false, true])
      #expect(index.count == 1_500)
    }
  }
}

@Suite struct IndexChoicesTests {
  private func definition() throws -> CollectionDefinition {
    var plan = RebuildPlan(
      collection: "docs", connection: try ConnectionOptions(""), source: .table(TableSource("documents")),
      metric: .cosine)
    plan.storage = .f32
    plan.connectivity = 16
    plan.constructionEffort = 40
    plan.searchEffort = 77
    return try CollectionDefinition(plan, attributes: "tenant,lang")
  }

  @Test func whatIsNotChosenStays() throws {
    let definition = try definition()
    #expect(definition.choosing(IndexChoices()) == definition)
    var choices = IndexChoices()
    choices.storage = "int8"
    choices.connectivity = 48
    choices.recallTarget = 0.9
    choices.calibrationQuery = "SELECT v FROM q"
    choices.seed = 9
    let chosen = definition.choosing(choices)
    #expect(chosen.storage == "int8" && chosen.connectivity == 48 && chosen.constructionEffort == 48)
    #expect(chosen.recallTarget == 0.9 && chosen.searchEffort == 0 && chosen.seed == 9)
    #expect(chosen.calibrationQuery == "SELECT v FROM q" && chosen.settingsOfOtherRows(than: definition) == [])
    choices = IndexChoices()
    choices.storage = IndexChoices.automaticStorage
    choices.constructionEffort = 300
    choices.searchEffort = 50
    let other = chosen.choosing(choices)
    #expect(other.storage == nil && other.connectivity == 48 && other.constructionEffort == 300)
    #expect(other.searchEffort == 50 && other.recallTarget == 0.9)
  }

  @Test func otherRowsAreNamedByTheirOptions() throws {
    let definition = try definition()
    var other = definition
    other.table = "others"
    other.attributes = nil
    other.payload = ["title"]
    other.tenant = "tenant"
    other.metric = "l2"
    #expect(
      other.settingsOfOtherRows(than: definition) == ["--table", "--attributes", "--payload", "--tenant", "--metric"])
    other = definition
    other.idColumns = ["id"]
    other.vectorColumn = "v"
    other.dimension = 3
    other.outbox = true
    #expect(
      other.settingsOfOtherRows(than: definition) == ["--id-columns", "--vector-column", "--dimension", "--outbox"])
  }

  @Test func aRequestComesThroughTheSocketAsItIs() throws {
    var choices = IndexChoices()
    choices.storage = "f16"
    choices.recallTarget = 0.99
    for request in [
      ControlRequest(.rebuild, collection: "docs"),
      ControlRequest(.rebuild, collection: "docs", definition: try definition(), choices: choices, origin: .engine),
    ] {
      let line = try ControlLine.encode(request)
      #expect(try ControlLine.decode(ControlRequest.self, line.dropLast()) == request)
    }
  }
}
