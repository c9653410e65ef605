// Recall on real text embeddings, gated after every way in which an index comes to be what it is.
//
// The gates lie half a point below the worst that was measured on this sample (10,000 passages, 300 questions, M 16,
// efConstruction 200, k 10): .967–.976 at ef 32 and .983–.992 at ef 64, over all storages and metrics, builds with one thread
// and four, inserts, removals, churn and reload. That is the graph's recall, against all rows as they are kept; what
// rounding them costs is measured by itself.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct RecallTests {
  private let sample = Sample.debian
  private let gates: [(effort: Int, recall: Double)] = [(32, 0.962), (64, 0.978)]

  private func expectGates(_ index: HNSWIndex, _ what: String) throws {
    index.consolidate()
    index.checkInvariants()
    for gate in gates {
      let recall = try index.recall(queries: sample.queries, k: 10, effort: gate.effort)
      print("recall@10 \(index.configuration.storage.name), \(what), ef \(gate.effort): \(recall)")
      #expect(recall >= gate.recall, "\(index.configuration.storage.name), \(what), ef \(gate.effort)")
    }
  }

  private func built(
    _ range: Range<Int>, _ storage: VectorStorage, threads: Int, metric: Metric = .cosine
  ) throws -> HNSWIndex {
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(dimension: sample.dimension, metric: metric, storage: storage))
    let ids = range.map { RecordID.int64(Int64($0)) }
    _ = try sample.base[(range.lowerBound * 384)..<(range.upperBound * 384)].withUnsafeBufferPointer {
      try index.stage(ids, $0)
    }
    try index.linkStaged(threads: threads)
    return index
  }

  @Test(arguments: VectorStorage.allCases, Metric.allCases)
  func holdsAfterABuild(storage: VectorStorage, metric: Metric) throws {
    let index = try built(0..<sample.baseCount, storage, threads: 1, metric: metric)
    try expectGates(index, "\(metric.name), one thread")
  }

  @Test(arguments: VectorStorage.allCases) func holdsAfterAParallelBuildAndReload(storage: VectorStorage) throws {
    let index = try built(0..<sample.baseCount, storage, threads: 4)
    try expectGates(index, "four threads")
    try expectGates(try reloaded(index), "reloaded")
  }

  @Test(arguments: VectorStorage.allCases) func holdsAfterInsertsRemovalsAndChurn(storage: VectorStorage) throws {
    let index = try built(0..<5_000, storage, threads: 2)
    for n in 5_000..<sample.baseCount { try index.insert(.int64(Int64(n)), sample.baseVector(n)) }
    try expectGates(index, "half inserted one by one")

    var random = SeededRandom(seed: 9)
    let order = Array(0..<sample.baseCount).shuffled(using: &random)
    for n in order.prefix(4_000) { #expect(index.remove(.int64(Int64(n)))) }
    try expectGates(index, "40 % removed")
    for n in order.prefix(4_000) { try index.insert(.int64(Int64(n)), sample.baseVector(n)) }
    try expectGates(index, "and inserted again")

    // Every row is replaced once: each new vector is another row's old one, so the set of vectors stays what it was.
    for (n, m) in zip(order, order.dropFirst() + [order[0]]) {
      try index.upsert(.int64(Int64(n)), sample.baseVector(m))
    }
    #expect(index.count == sample.baseCount)
    try expectGates(index, "every row replaced")
  }

  /// A copy that is made while rows are replaced by others, as they come: of the rows of one moment, linked as well as those.
  @Test(arguments: [VectorStorage.f32, .int4x16]) func holdsInACopyMadeBesideChanges(storage: VectorStorage) throws {
    let index = try built(0..<sample.baseCount, storage, threads: 2)
    let maintenance = Maintenance(of: index)
    let isDone = Shared(false)
    let changes = Shared(0)
    let copies = Shared([HNSWIndex]())
    WorkerThreads.run(count: 2) { thread in
      do {
        if thread == 0 {
          var random = SeededRandom(seed: 11)
          var vectors = Array(0..<sample.baseCount)
          while !isDone.withLock({ $0 }) {
            // No faster than whoever links.
            guard index.tailCount < 1_000 else {
              yieldThread()
              continue
            }
            // Two rows change their vectors, so that the set of vectors is the sample at every moment.
            let pair = (0..<2).map { _ in Int.random(in: 0..<sample.baseCount, using: &random) }
            guard pair[0] != pair[1] else { continue }
            vectors.swapAt(pair[0], pair[1])
            try index.apply(
              pair.map { RowChange(.int64(Int64($0)), .write(vector: sample.baseVector(vectors[$0]))) })
            changes.withLock { $0 += 1 }
          }
          return
        }
        defer { isDone.withLock { $0 = true } }
        for round in 0..<3 {
          let wanted = changes.withLock { $0 } + 1_500
          while changes.withLock({ $0 }) < wanted { yieldThread() }
          let (header, parts) = index.withFrozen { frozen in
            (frozen.header, bytes(of: frozen, index.configuration) { _, _ in yieldThread() })
          }
          print("a copy beside changes, \(storage.name), round \(round), after \(changes.withLock { $0 })")
          let copy = try restored(index.configuration, header, parts)
          copies.withLock { $0.append(copy) }
        }
      } catch {
        isDone.withLock { $0 = true }
        Issue.record(error)
      }
    }
    maintenance.catchUp()
    maintenance.stop()
    let made = copies.withLock { $0 }
    #expect(made.count == 3)
    for (round, copy) in made.enumerated() {
      #expect(copy.count == sample.baseCount)
      copy.checkInvariants()
      try expectGates(copy, "copied beside changes, round \(round)")
    }
    try expectGates(index, "after copies beside changes")
  }

  /// Texts come many times over, with one vector for all. Those who ask for what lies beside them find it nevertheless, though the copies are
  /// nearer to each other than to anybody else: near three rows of which there are 300 each. Measured .833 to .879 at ef 64 and .833 to .975
  /// where .95 was asked, with copies that took all places; .999 as it is.
  @Test(arguments: [VectorStorage.f32, .int4x16], [false, true]) func copiesHideNobody(
    storage: VectorStorage, inAStream: Bool
  ) throws {
    let index = try built(0..<sample.baseCount, storage, threads: 2)
    let copied = [17, 4_242, 8_888]
    for (c, row) in copied.enumerated() {
      let ids = (0..<300).map { RecordID.int64(Int64(sample.baseCount + 300 * c + $0)) }
      _ = try ids.flatMap { _ in sample.baseVector(row) }.withUnsafeBufferPointer { try index.stage(ids, $0) }
      if inAStream {
        try index.publishStaged()
        index.linkTail(atMost: .max, threads: 1)
      }
    }
    if !inAStream { try index.linkStaged(threads: 2) }
    index.consolidate()
    index.checkInvariants()
    // Rows that lie around the copied ones: the copies are among what is nearest to them, and not the nearest.
    let around = try copied.flatMap { row in
      try index.search(sample.baseVector(row), SearchOptions(k: 700, exact: true)).compactMap { hit -> Int? in
        guard case .int64(let n) = hit.id, n < sample.baseCount, !copied.contains(Int(n)) else { return nil }
        return Int(n)
      }.prefix(150)
    }
    for (asked, options) in [
      ("ef 64", SearchOptions(k: 10, effort: 64)), ("target .95", SearchOptions(k: 10, recallTarget: 0.95)),
    ] {
      var right = 0
      for row in around {
        let truth = try index.search(sample.baseVector(row), SearchOptions(k: 10, exact: true))
        let found = try index.search(sample.baseVector(row), options)
        let last = try #require(truth.last).distance + 1e-6
        right += found.count { $0.distance <= last }
      }
      let recall = Double(right) / Double(10 * around.count)
      print("recall@10 \(storage.name) beside copies, in a stream: \(inAStream), \(asked): \(recall)")
      #expect(recall >= 0.99)
    }
  }

  /// The nearest among rows as they are kept, against the nearest among the vectors that were given. The sample's components
  /// are halves, so half precision costs nothing; from 8 bits .9963 was measured.
  @Test(arguments: VectorStorage.allCases) func roundingCostsLittle(storage: VectorStorage) throws {
    let k = 10
    let truth = try ExactIndex(over: try unlinked(.f32)).search(sample.queries, k: k, threads: 2)
    let found = try ExactIndex(over: try unlinked(storage)).search(sample.queries, k: k, threads: 2)
    var right = 0
    for (i, (expected, hits)) in zip(truth, found).enumerated() {
      let query = sample.queryVector(i)
      let last = try #require(expected.last).distance
      right += hits.count { hit in
        guard case .int64(let n) = hit.id else { return false }
        // Rows that tie with the last are as good as it.
        return cosineDistance(query, sample.baseVector(Int(n))) <= last + 1e-6
      }
    }
    let recall = Double(right) / Double(sample.queryCount * k)
    print("recall@\(k) of all rows as \(storage.name): \(recall)")
    #expect(recall >= (storage.fineFormat == .int8 ? 0.991 : 1))
  }

  /// All rows, in no graph.
  private func unlinked(_ storage: VectorStorage) throws -> HNSWIndex {
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(dimension: sample.dimension, metric: .cosine, storage: storage))
    let ids = (0..<sample.baseCount).map { RecordID.int64(Int64($0)) }
    _ = try sample.base.withUnsafeBufferPointer { try index.stage(ids, $0) }
    try index.publishStaged()
    return index
  }

  private func cosineDistance(_ a: [Float], _ b: [Float]) -> Float {
    let product = zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    let lengths = [a, b].map { $0.reduce(0) { $0 + Double($1) * Double($1) } }
    return Float(1 - product / (lengths[0] * lengths[1]).squareRoot())
  }

  @Test(arguments: VectorStorage.allCases) func oneThreadAndOneSeedGiveOneGraph(storage: VectorStorage) throws {
    let parts = try (0..<2).map { _ in try bytes(of: try built(0..<2_000, storage, threads: 1)) }
    #expect(parts[0] == parts[1])
  }
}

/// All parts of an index.
func bytes(of index: HNSWIndex) throws -> [IndexPart: [UInt8]] {
  index.withFrozen { bytes(of: $0, index.configuration) }
}

/// All parts of a frozen index, in the order in which a file has them, and the links given back as soon as they are read.
///
/// - pieceBytes: of an odd size, as a file's blocks would cut them.
/// - before: called before each piece.
func bytes(
  of frozen: FrozenIndex, _ configuration: HNSWConfiguration, pieceBytes: Int = 10_007,
  before: (IndexPart, _ piece: Int) -> Void = { _, _ in }
) -> [IndexPart: [UInt8]] {
  var parts: [IndexPart: [UInt8]] = [:]
  for part in IndexPart.parts(of: configuration) {
    var bytes = [UInt8](repeating: 0, count: frozen.byteCount(of: part))
    bytes.withUnsafeMutableBytes { buffer in
      for (piece, start) in stride(from: 0, to: buffer.count, by: pieceBytes).enumerated() {
        before(part, piece)
        let range = start..<min(start + pieceBytes, buffer.count)
        frozen.read(part, range, into: UnsafeMutableRawBufferPointer(rebasing: buffer[range]))
      }
    }
    parts[part] = bytes
    if part == IndexPart.lastOfLinks { frozen.linksAreRead() }
  }
  return parts
}

/// An index made of the parts of another.
func reloaded(_ index: HNSWIndex) throws -> HNSWIndex {
  let parts = try bytes(of: index)
  return try restored(index.configuration, index.withFrozen { $0.header }, parts)
}

func restored(
  _ configuration: HNSWConfiguration, _ header: IndexPartsHeader, _ parts: [IndexPart: [UInt8]]
) throws -> HNSWIndex {
  try HNSWIndex.restored(
    configuration: configuration, header: header, threads: 2, byteCount: { parts[$0]?.count ?? 0 },
    load: { part, buffer in buffer.copyBytes(from: parts[part] ?? []) })
}
