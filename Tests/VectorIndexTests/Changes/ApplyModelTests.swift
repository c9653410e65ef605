// Random transactions against a dictionary: after each, whether it was applied or refused, the two hold the same.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct ApplyModelTests {
  private static let rounds = 30
  private static let ids = 2_600
  /// Recall at ef 60 of the graph that is left, a little under what was measured.
  private static let recallMin = 0.985

  private func configuration(_ storage: VectorStorage, _ kind: RecordIDKind, seed: UInt64) -> HNSWConfiguration {
    var configuration = HNSWConfiguration(
      dimension: 8, metric: .l2, recordIDKind: kind, storage: storage, connectivity: 8, constructionEffort: 60,
      seed: seed, attributes: RowModel.schema)
    configuration.payload = RowModel.payload
    configuration.keepsStamps = true
    return configuration
  }

  @Test(arguments: testSeeds, [(VectorStorage.f32, RecordIDKind.int64), (.int4x8, .text)])
  func anIndexIsWhatItsTransactionsMakeOfIt(seed: UInt64, kind: (VectorStorage, RecordIDKind)) throws {
    print("transactions, \(kind.0.name), \(kind.1), seed \(seed)")
    var random = SeededRandom(seed: seed)
    let configuration = configuration(kind.0, kind.1, seed: seed)
    var index = try HNSWIndex(configuration: configuration)
    var model = RowModel(configuration, ids: Self.ids)
    var refusals = 0
    var removals = 0
    for round in 0..<Self.rounds {
      let comment: Comment = "round \(round), seed \(seed)"
      // In some rounds somebody else links.
      let maintenance = round % 3 == 1 ? Maintenance(of: index) : nil
      let removesAll = round > 4 && random.chance(10)
      if removesAll { removals += 1 }
      let isSmall = removesAll || model.rows.count < 1_500
      let changes = model.changes(
        isSmall ? 600 : .random(in: 1...200, using: &random), removingAllFirst: removesAll, growing: isSmall, &random)
      if random.chance(60) {
        let (spoilt, code) = spoil(changes, model, removesAll: removesAll, &random)
        let error = #expect(throws: IndexError.self, comment) { try index.apply(spoilt, removingAllFirst: removesAll) }
        #expect(error?.code == code, "\(comment): \(error?.message ?? "")")
        refusals += 1
        if random.chance(20) { #expect(try model.faults(of: index, &random) == [], comment) }
      }
      try index.apply(changes, removingAllFirst: removesAll)
      model.apply(changes, removingAllFirst: removesAll)
      #expect(index.count == model.rows.count, comment)
      #expect(try model.faults(of: index, &random) == [], comment)
      if let maintenance {
        maintenance.catchUp()
        maintenance.stop()
      }
      if random.chance(30) {
        index.consolidate()
        index.checkInvariants()
      }
      guard random.chance(20) else { continue }
      let copy = try reloaded(index)
      #expect(try model.faults(of: copy, &random) == [], "\(comment), loaded")
      copy.checkInvariants()
      if random.chance(50) { index = copy }
    }
    #expect(refusals > 5)
    if index.count < 1_200 {
      let changes = model.changes(1_300, growing: true, &random)
      try index.apply(changes)
      model.apply(changes)
    }
    index.consolidate()
    index.checkInvariants()
    let queries = (0..<100).flatMap { _ in model.vector(&random) }
    let recall = try index.recall(queries: queries, k: 10, effort: 60)
    print("\(index.count) rows, \(refusals) refusals, \(removals) removals of all, recall@10 \(recall)")
    #expect(recall >= Self.recallMin, "seed \(seed)")
  }

  /// The changes with one more, or one spoilt, that nobody may make; and what they are refused for.
  private func spoil(
    _ changes: [RowChange], _ model: RowModel, removesAll: Bool, _ random: inout SeededRandom
  ) -> ([RowChange], IndexError.Code) {
    var spoilt = changes
    let place = Int.random(in: 0...changes.count, using: &random)
    let used = Set(changes.map(\.id))
    let stranger = model.ids.first { !used.contains($0) && (removesAll || model.rows[$0] == nil) }
    guard let stranger else { return (changes + changes.prefix(1), .duplicateRecord) }
    func write(_ vector: [Float]?, _ attributes: [AttributeValue]? = nil, _ payload: [String?]? = nil) -> RowChange {
      RowChange(stranger, .write(vector: vector, attributes: attributes, payload: payload))
    }
    let vector = model.vector(&random)
    let (change, code): (RowChange, IndexError.Code) =
      switch Int.random(in: 0..<8, using: &random) {
      case 0: (write(nil, random.row(RowModel.schema)), .unknownRecord)
      case 1: (write(vector + [1]), .dimensionMismatch)
      case 2: (write(Array(vector.dropLast()) + [.nan]), .notFinite)
      case 3: (write(vector, [.null]), .attributeMismatch)
      case 4: (write(vector, nil, ["one"]), .payloadMismatch)
      case 5: (write(vector, nil, [nil, String(repeating: "x", count: 1 << 20)]), .payloadMismatch)
      case 6: (RowChange(.uuid(high: 1, low: 1), .remove), .recordIDMismatch)
      default: (changes.first ?? write(vector + [1]), changes.isEmpty ? .dimensionMismatch : .duplicateRecord)
      }
    spoilt.insert(change, at: place)
    return (spoilt, code)
  }
}
