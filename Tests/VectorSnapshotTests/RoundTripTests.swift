// What is written comes back: all sizes of elements and blocks, any number of threads, and limits that are told before a byte is written.

import Foundation
import Synchronization
import Testing

@testable import VectorSnapshot

@Suite struct RoundTripTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  @Test func theSampleComesBack() throws {
    let sections = Sample.sections(seed: 1)
    let byteCount = try Sample.write(sections, to: folder.file("a.vzs"))
    let file = try SnapshotFile(path: folder.file("a.vzs"))
    #expect(file.byteCount == byteCount)
    #expect(try readFile(folder.file("a.vzs")).count == byteCount)
    #expect(file.formatVersion == 2)
    #expect(file.blockBytes == Sample.blockBytes)
    for threads in [1, 2, 5] { try Sample.expect(file, holds: sections, threads: threads) }
    #expect(try folder.names() == ["a.vzs"])
  }

  static let edges: [Int] = {
    let block = Sample.blockBytes
    return [0, 1, 2, 3, 7, 8, 9, 31, 32, 33, block - 1, block, block + 1, 2 * block, 5 * block + 3, 40 * block]
  }()

  /// Every filter at every edge, with content that shrinks, content that does not, and content that is all alike.
  @Test(arguments: [1, 2, 4, 8], edges)
  func edgeSizes(elementSize: Int, byteCount: Int) throws {
    var generator = SeededGenerator(seed: UInt64(byteCount))
    let sections = [
      SampleSection(id: 1, elementSize: elementSize, bytes: Sample.counters(byteCount)),
      SampleSection(id: 2, elementSize: elementSize, bytes: generator.bytes(byteCount)),
      SampleSection(id: 3, elementSize: elementSize, bytes: [UInt8](repeating: 7, count: byteCount)),
    ]
    try Sample.write(sections, to: folder.file("a.vzs"))
    let file = try SnapshotFile(path: folder.file("a.vzs"))
    try Sample.expect(file, holds: sections)
    for info in file.sections {
      #expect(info.byteCount == byteCount && info.elementSize == elementSize)
      #expect(info.blockCount == (byteCount + Sample.blockBytes - 1) / Sample.blockBytes)
    }
  }

  @Test(arguments: [4 << 10, 64 << 10, 1 << 20, 16 << 20])
  func blockLengths(blockBytes: Int) throws {
    let sections = [SampleSection(id: 1, elementSize: 4, bytes: Sample.counters(3 << 20 | 1))]
    try Sample.write(sections, to: folder.file("a.vzs"), blockBytes: blockBytes)
    let file = try SnapshotFile(path: folder.file("a.vzs"))
    #expect(file.blockBytes == blockBytes)
    try Sample.expect(file, holds: sections)
  }

  @Test func nothingAtAll() throws {
    try SnapshotWriter.write(
      to: folder.file("a.vzs"), metadata: SnapshotMetadata(), sections: [], options: .init(threads: 2))
    let file = try SnapshotFile(path: folder.file("a.vzs"))
    #expect(file.sections.isEmpty && file.metadata == SnapshotMetadata())
    try file.verify(threads: 2)
  }

  @Test func whatDoesNotShrinkIsStoredAsItIs() throws {
    var generator = SeededGenerator(seed: 3)
    let block = Sample.blockBytes
    // Random bytes with a run that would save just less, or just more, than one byte in 32.
    let little = generator.bytes(block - 100) + [UInt8](repeating: 0, count: 100)
    let enough = generator.bytes(block - 200) + [UInt8](repeating: 0, count: 200)
    let sections = [
      SampleSection(id: 1, elementSize: 4, bytes: generator.bytes(10 * block)),
      SampleSection(id: 2, elementSize: 1, bytes: little),
      SampleSection(id: 3, elementSize: 1, bytes: enough),
      SampleSection(id: 4, elementSize: 4, bytes: Sample.counters(10 * block)),
      SampleSection(id: 5, elementSize: 4, bytes: generator.bytes(block) + Sample.counters(block)),
    ]
    try Sample.write(sections, to: folder.file("a.vzs"))
    let file = try SnapshotFile(path: folder.file("a.vzs"))
    try Sample.expect(file, holds: sections)
    #expect(file.sections.map(\.rawBlockCount) == [10, 1, 0, 0, 1])
    #expect(file.sections[0].ratio == 1 && file.sections[1].ratio == 1)
    #expect(file.sections[2].ratio < 31.0 / 32 && file.sections[3].ratio < 0.6)
  }

  @Test func shufflingHelpsNumbers() throws {
    let bytes = Sample.counters(64 * Sample.blockBytes)
    try Sample.write(
      [SampleSection(id: 1, elementSize: 1, bytes: bytes), SampleSection(id: 2, elementSize: 4, bytes: bytes)],
      to: folder.file("a.vzs"))
    let file = try SnapshotFile(path: folder.file("a.vzs"))
    #expect(file.sections[1].storedByteCount < file.sections[0].storedByteCount)
  }

  @Test func anyNumberOfThreadsWritesTheSameBytes() throws {
    var generator = SeededGenerator(seed: 4)
    var sections = Sample.sections(seed: 4)
    // Blocks of unequal effort, so that threads overtake each other.
    let mixed = (0..<200).flatMap { round in
      round % 3 == 0 ? generator.bytes(Sample.blockBytes) : Sample.counters(Sample.blockBytes)
    }
    sections.append(SampleSection(id: 100, elementSize: 4, bytes: mixed))
    try Sample.write(sections, to: folder.file("1.vzs"), threads: 1)
    let serial = try readFile(folder.file("1.vzs"))
    for threads in [2, 3, 8, 32] {
      try Sample.write(sections, to: folder.file("n.vzs"), threads: threads)
      #expect(try readFile(folder.file("n.vzs")) == serial, "\(threads) threads")
    }
    let file = try SnapshotFile(path: folder.file("1.vzs"))
    for threads in [1, 2, 8, 32] { try Sample.expect(file, holds: sections, threads: threads) }
  }

  @Test func aSectionIsPulledBlockByBlockExactlyOnce() throws {
    let byteCount = 10 * Sample.blockBytes + 17
    let pulled = Mutex<[Range<Int>]>([])
    let section = SnapshotSection(id: .init(1), elementSize: 1, byteCount: byteCount) { range, destination in
      pulled.withLock { $0.append(range) }
      for i in range { destination[i - range.lowerBound] = UInt8(truncatingIfNeeded: i / 100) }
    }
    try SnapshotWriter.write(
      to: folder.file("a.vzs"), metadata: SnapshotMetadata(), sections: [section],
      options: .init(threads: 3, blockBytes: Sample.blockBytes))
    let ranges = pulled.withLock { $0.sorted { $0.lowerBound < $1.lowerBound } }
    #expect(ranges.count == 11)
    #expect(ranges.first?.lowerBound == 0 && ranges.last?.upperBound == byteCount)
    #expect(zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound })
    let loaded = try SnapshotFile(path: folder.file("a.vzs")).load(.init(1), threads: 3)
    #expect(loaded == (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 / 100) })
  }

  /// Whoever owns a section is told when it was read, and all before it: once, and not for one of no bytes.
  @Test(arguments: [1, 4]) func whoOwnsASectionIsToldWhenItWasRead(threads: Int) throws {
    let lengths = [3 * Sample.blockBytes + 5, 0, 17, 20 * Sample.blockBytes]
    let read = Mutex([Int](repeating: 0, count: lengths.count))
    let told = Mutex<[Int]>([])
    let sections = lengths.indices.map { n in
      SnapshotSection(
        id: .init(UInt32(n)), elementSize: 1, byteCount: lengths[n],
        read: { range, destination in
          destination.initializeMemory(as: UInt8.self, repeating: 1)
          usleep(range.lowerBound % 3 == 0 ? 200 : 0)
          read.withLock { $0[n] += range.count }
        },
        wasRead: {
          let soFar = read.withLock { $0 }
          #expect(soFar[...n].elementsEqual(lengths[...n]), "section \(n)")
          told.withLock { $0.append(n) }
        })
    }
    try SnapshotWriter.write(
      to: folder.file("a.vzs"), metadata: SnapshotMetadata(), sections: sections,
      options: .init(threads: threads, blockBytes: Sample.blockBytes))
    #expect(told.withLock { $0.sorted() } == [0, 2, 3])
  }

  @Test func aSectionMayExceedFourGibibytes() throws {
    let byteCount = 4 << 30 + 5
    let section = SnapshotSection(id: .init(1), elementSize: 1, byteCount: byteCount) { range, destination in
      // A block that a 32-bit position would confuse with the first one.
      destination.initializeMemory(as: UInt8.self, repeating: range.lowerBound >= 4 << 30 ? 1 : 0)
    }
    try SnapshotWriter.write(
      to: folder.file("a.vzs"), metadata: SnapshotMetadata(), sections: [section],
      options: .init(threads: 2, blockBytes: 16 << 20))
    let file = try SnapshotFile(path: folder.file("a.vzs"))
    #expect(file.sections[0].byteCount == byteCount && file.sections[0].blockCount == 257)
    try file.verify(threads: 2)
  }

  @Test func severalSectionsLoadAtOnceIntoTheCallersMemory() throws {
    let sections = Sample.sections(seed: 5)
    try Sample.write(sections, to: folder.file("a.vzs"))
    let file = try SnapshotFile(path: folder.file("a.vzs"))
    let memory = sections.map { UnsafeMutableRawBufferPointer.allocate(byteCount: $0.bytes.count, alignment: 64) }
    defer { for buffer in memory { buffer.deallocate() } }
    let parts = zip(sections, memory).map { (id: SnapshotSectionID($0.id), destination: $1) }
    try file.load(parts.reversed(), threads: 3)
    for (section, buffer) in zip(sections, memory) { #expect(buffer.elementsEqual(section.bytes)) }
  }

  @Test func whatTheReaderExpectsIsChecked() throws {
    try Sample.write(Sample.sections(seed: 6), to: folder.file("a.vzs"))
    let file = try SnapshotFile(path: folder.file("a.vzs"))
    let missing = snapshotError { _ = try file.load(.init(77), threads: 1) }
    #expect(missing?.code == .unexpectedSection)
    #expect(missing?.message.contains("77") == true)

    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1_000, alignment: 1)
    defer { buffer.deallocate() }
    let wrongLength = snapshotError { try file.load(.init(5), into: buffer, threads: 1) }
    #expect(wrongLength?.code == .unexpectedSection)
    #expect(wrongLength?.message.contains("999") == true && wrongLength?.message.contains("1000") == true)

    #expect(try file.require(SnapshotMetadataKey<UInt64>("dimension")) == 384)
    let absent = snapshotError { _ = try file.require(SnapshotMetadataKey<String>("dimension")) }
    #expect(absent?.code == .unexpectedMetadata)
    #expect(absent?.message.contains("dimension") == true)
  }

  @Test func tooMuchMetadataIsRefusedBeforeAnythingIsWritten() throws {
    var metadata = SnapshotMetadata()
    metadata[SnapshotMetadataKey<String>("source")] = String(repeating: "x", count: 1 << 20)
    let error = snapshotError {
      try SnapshotWriter.write(
        to: folder.file("a.vzs"), metadata: metadata, sections: [], options: .init(threads: 1))
    }
    #expect(error?.code == .exceedsFormat)
    #expect(try folder.names() == [])
  }

  @Test func tooManyBlocksAreRefusedBeforeAnythingIsWritten() throws {
    let section = SnapshotSection(id: .init(1), elementSize: 1, byteCount: 1 << 40) { _, _ in }
    let error = snapshotError {
      try SnapshotWriter.write(
        to: folder.file("a.vzs"), metadata: SnapshotMetadata(), sections: [section],
        options: .init(threads: 1, blockBytes: 4 << 10))
    }
    #expect(error?.code == .exceedsFormat)
    #expect(try folder.names() == [])
  }
}
