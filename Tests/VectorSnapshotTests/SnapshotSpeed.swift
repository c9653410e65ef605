// What a snapshot costs those who change rows meanwhile. Prints; asserts no time.
//
//     VIZINHO_MEASURE=1 swift test -c release --skip-build --disable-xctest -Xswiftc -enable-testing --filter SnapshotSpeed
//
// VIZINHO_MEASURE_BASE and VIZINHO_MEASURE_QUERIES name other vectors than the sample's (TestSupport/Environment.swift).

import Foundation
import Synchronization
import TestSupport
import Testing
import VectorIndex

@testable import VectorSnapshot

@Suite(.enabled(if: environment("VIZINHO_MEASURE") == "1"), .serialized)
struct SnapshotSpeed {
  private let sample = TestSupport.Sample.measured()

  /// Rows with an attribute, payload and stamps; transactions of one row, every other with its vector, as fast as one thread makes them.
  @Test func changesBesideASnapshot() throws {
    var configuration = try HNSWConfiguration(
      dimension: sample.dimension, metric: .cosine, storage: .int4x16,
      attributes: AttributeSchema([AttributeColumn("n", .int64), AttributeColumn("word", .keyword)]))
    configuration.payload = ["title"]
    configuration.keepsStamps = true
    let index = try HNSWIndex(configuration: configuration, payloadCodec: LZ4PayloadCodec())
    let numbers = (0..<Int64(sample.baseCount))
    let attributes: [[AttributeValue]] = numbers.map { [.int64($0), .keyword("word \($0 % 100)")] }
    let payload: [[String?]] = numbers.map { ["title \($0)"] }
    let stamps = numbers.map { RowStamp(vector: 1, row: UInt64($0)) }
    _ = try sample.base.withUnsafeBufferPointer {
      try index.stage(numbers.map { RecordID.int64($0) }, $0, attributes: attributes, payload: payload, stamps: stamps)
    }
    try index.linkStaged(threads: 2, calibrates: false)
    let maintenance = Maintenance(of: index)
    let folder = try TemporaryFolder()
    let publisher = try SnapshotPublisher(
      SnapshotDirectory(path: folder.file("rows")), lock: DataDirectoryLock(path: folder.file("")))
    try measure(index, "nothing beside") { Thread.sleep(forTimeInterval: 1) }
    for round in 1...3 {
      try measure(index, "snapshot \(round)") {
        let start = ContinuousClock.now
        let origin = SnapshotOrigin(
          collection: "rows", source: "", systemID: 0, timeline: 0, appliedLSN: 0, createdAt: 0, writer: "")
        let publication = try IndexSnapshot.publish(index, origin: origin, to: publisher, options: .init(threads: 2))
        print("  \(publication.byteCount >> 20) MiB in \((ContinuousClock.now - start) / .seconds(1)) s")
      }
      maintenance.catchUp()
    }
    maintenance.stop()
  }

  private func measure(_ index: HNSWIndex, _ what: String, _ body: () throws -> Void) throws {
    let isDone = Atomic<Bool>(false)
    let milliseconds = Mutex<[Double]>([])
    let tailMost = Atomic<Int>(0)
    let (sample, count) = (sample, sample.baseCount)
    let writer = Thread {
      var random = SeededRandom(seed: 1)
      var all: [Double] = []
      while !isDone.load(ordering: .acquiring) {
        let n = Int.random(in: 0..<count, using: &random)
        let vector = random.chance(50) ? sample.baseVector(Int.random(in: 0..<count, using: &random)) : nil
        let start = ContinuousClock.now
        try? index.apply([
          RowChange(
            .int64(Int64(n)),
            .write(
              vector: vector, attributes: [.int64(Int64(n)), .keyword("word")], payload: ["title"],
              stamp: RowStamp(vector: 2, row: 2)))
        ])
        all.append((ContinuousClock.now - start) / .milliseconds(1))
        tailMost.max(index.tailCount, ordering: .relaxed)
      }
      milliseconds.withLock { $0 = all.sorted() }
    }
    writer.start()
    try body()
    isDone.store(true, ordering: .releasing)
    while !writer.isFinished { Thread.sleep(forTimeInterval: 0.001) }
    let all = milliseconds.withLock { $0 }
    guard let longest = all.last else { return }
    print(
      "  \(what): \(all.count) transactions, p50 \(all[all.count / 2]) ms, p99 \(all[all.count * 99 / 100]) ms, longest \(longest) ms; "
        + "the tail had up to \(tailMost.load(ordering: .relaxed)) rows")
    #expect(!all.isEmpty)
  }
}
