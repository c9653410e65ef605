// The recall target and what was measured for it, in a snapshot: both come back, files without them load, damaged ones do not.

import TestSupport
import Testing
import VectorIndex

@testable import VectorSnapshot

@Suite struct RecallSnapshotTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// An index that is large enough to be walked, and calibrated.
  private func makeCalibrated(target: Float) throws -> HNSWIndex {
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(dimension: 8, metric: .l2, storage: .f32, recallTarget: target))
    var random = SeededRandom(seed: 6)
    let vectors = (0..<3_000).flatMap { _ in random.vector(dimension: 8) }
    _ = try vectors.withUnsafeBufferPointer { try index.stage((0..<3_000).map { .int64($0) }, $0) }
    try index.linkStaged(threads: 1)
    return index
  }

  private func save(_ index: HNSWIndex) throws -> SnapshotFile {
    let publisher = try SnapshotPublisher(
      SnapshotDirectory(path: folder.file("things")), lock: DataDirectoryLock(path: folder.file("")))
    let origin = SnapshotOrigin(
      collection: "things", source: "", systemID: 0, timeline: 0, appliedLSN: 0, createdAt: 0, writer: "a test")
    _ = try IndexSnapshot.publish(index, origin: origin, to: publisher, options: .init(threads: 2))
    return try #require(try SnapshotDirectory(path: folder.file("things")).openNewest())
  }

  /// Loads the same sections under other facts, every checksum right.
  private func reloaded(
    _ file: SnapshotFile, _ change: (inout SnapshotMetadata) -> Void
  ) throws -> Result<HNSWIndex, SnapshotError> {
    var metadata = file.metadata
    change(&metadata)
    let sections = try file.sections.map { section in
      SnapshotSection(
        id: section.id, elementSize: section.elementSize, bytes: try file.load(section.id, threads: 1))
    }
    let path = folder.file("changed.vzs")
    try SnapshotWriter.write(to: path, metadata: metadata, sections: sections, options: .init(threads: 1))
    let changed = try SnapshotFile(path: path)
    return Result { () throws(SnapshotError) in try IndexSnapshot.load(changed, threads: 1).index }
  }

  private func curve(of index: HNSWIndex) -> RecallCurve? { index.withFrozen { $0.recallCurve } }

  /// What a search finds and what it takes, for 100 queries, of which every second asks for a recall of its own.
  private func walks(_ index: HNSWIndex) throws -> [[RecordID: Int]] {
    var random = SeededRandom(seed: 7)
    var scratch = SearchScratch(for: index)
    return try (0..<100).map { i in
      let options = SearchOptions(k: 10, recallTarget: i % 2 == 0 ? nil : 0.99)
      return try random.vector(dimension: 8).withUnsafeBufferPointer { query in
        try index.search(query, options, scratch: &scratch) { hits in
          Dictionary(uniqueKeysWithValues: (0..<hits.count).map { (hits.id(at: $0), hits.distancesComputed) })
        }
      }
    }
  }

  @Test(arguments: [0.8, 0.95, 0.98765, 0.999] as [Float]) func theRecallTargetComesBack(target: Float) throws {
    let index = try makeCalibrated(target: target)
    let file = try save(index)
    #expect(file.metadata[.searchEffort] == 0 && file.metadata[.recallCurve]?.count == RecallCurve.encodedBytes)
    // For people to read: .95 and not .949999988079071.
    #expect(file.metadata[.recallTarget]?.description == target.description)
    let copy = try IndexSnapshot.load(file, threads: 2).index
    #expect(copy.configuration == index.configuration && copy.configuration.recallTarget == target)
    let calibration = try #require(copy.statistics().calibration)
    #expect(calibration == index.statistics().calibration && calibration.isCurrent && calibration.basis == .rows)
    #expect(curve(of: copy) == curve(of: index))
    // The same curve, the same walks.
    #expect(try walks(copy) == walks(index))
  }

  @Test func filesWithoutARecallTargetLoad() throws {
    let file = try save(try makeCalibrated(target: 0.9))
    for (target, curve) in [(false, true), (true, false), (false, false)] {
      let index = try reloaded(file) {
        if !target { $0[.recallTarget] = nil }
        if !curve { $0[.recallCurve] = nil }
      }.get()
      #expect(index.configuration.recallTarget == (target ? 0.9 : 0.95))
      #expect((index.statistics().calibration != nil) == curve)
      #expect(try walks(index).allSatisfy { $0.count == 10 })
    }
  }

  /// Whole files with a curve that no calibration writes: refused by the entry's name, or a curve that is as sound as another.
  @Test(arguments: testSeeds) func damagedCurvesAreRefused(seed: UInt64) throws {
    let file = try save(try makeCalibrated(target: 0.9))
    let sound = try #require(file.metadata[.recallCurve])
    var random = SeededRandom(seed: seed)
    var refused = 0
    for round in 0..<100 {
      var bytes = sound
      switch round % 4 {
      case 0: bytes.removeLast(Int.random(in: 1...bytes.count, using: &random))
      case 1: bytes += (0..<Int.random(in: 1...9, using: &random)).map { UInt8($0) }
      case 2: bytes[Int.random(in: 0..<4, using: &random)] ^= UInt8.random(in: 4...255, using: &random)
      default:
        for _ in 0..<4 {
          bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
      }
      switch try reloaded(file, { $0[.recallCurve] = bytes }) {
      case .success(let index):
        #expect(round % 4 == 3 && curve(of: index)?.encoded() == bytes, "round \(round)")
      case .failure(let error):
        refused += 1
        #expect(error.code == .unusable && error.message.contains("\"recall_curve\""), "round \(round): \(error)")
      }
    }
    #expect(refused >= 75)
  }

  @Test func recallTargetsOutOfRangeAreRefused() throws {
    let file = try save(try makeCalibrated(target: 0.9))
    func code(_ change: (inout SnapshotMetadata) -> Void) throws -> SnapshotError.Code? {
      guard case .failure(let error) = try reloaded(file, change) else { return nil }
      return error.code
    }
    for target in [.nan, 0, 0.79, 0.9995, 1, .infinity] as [Double] {
      #expect(try code { $0[.recallTarget] = target } == .unusable, "\(target)")
    }
    #expect(try code { $0[.recallTarget] = 0.8 } == nil)
    // Of another type: not taken for absent.
    #expect(try code { $0[SnapshotMetadataKey<String>("recall_target")] = "0.95" } == .unexpectedMetadata)
    #expect(try code { $0[SnapshotMetadataKey<String>("recall_curve")] = "flat" } == .unexpectedMetadata)
  }
}
