// The journal in its ordinary life: appending, reading, segments that begin and go, cuts, and the example of docs/JOURNAL.md.

import Foundation
import Testing

@testable import VectorSnapshot

@Suite struct JournalTests {
  let fixture: JournalFixture
  init() throws { fixture = try JournalFixture() }

  @Test func beginsEmptyAndGoesOn() throws {
    var model = JournalModel(segmentBytes: 64 << 20)
    do {
      let journal = try fixture.open(fileSystem: .posix)
      #expect(journal.recovery == JournalRecovery())
      #expect(journal.path == fixture.path)
      #expect(journal.endPosition == journal.durablePosition)
      try expect(journal, holds: model)
      #expect(try FileManager.default.contentsOfDirectory(atPath: fixture.path) == ["journal-0000000000000001.vzj"])

      for body in [[], [7], Array(0...255)] as [[UInt8]] {
        let range = try journal.append(JournalRecordKind(9), body)
        let expected = model.append(9, body)
        #expect(range.lowerBound.rawValue == expected.start && range.upperBound.rawValue == expected.end)
      }
      // Readable at once, durable later.
      #expect(journal.durablePosition.rawValue == 64)
      try expect(journal, holds: model)
      #expect(try journal.synchronize().rawValue == model.end)
      #expect(journal.durablePosition.rawValue == model.end)
    }
    let journal = try fixture.open(fileSystem: .posix)
    #expect(journal.recovery == JournalRecovery(recordCount: 3))
    #expect(journal.durablePosition.rawValue == model.end)
    try expect(journal, holds: model)
    try journal.append(JournalRecordKind(255), [1, 2, 3])
    model.append(255, [1, 2, 3])
    try expect(journal, holds: model)
  }

  /// The file in docs/JOURNAL.md, byte by byte.
  @Test func theDocumentShowsWhatIsWritten() throws {
    let document = try String(
      contentsOf: URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../docs/JOURNAL.md"),
      encoding: .utf8)
    let parts = document.components(separatedBy: "```hex\n")
    try #require(parts.count == 2)
    let block = try #require(parts[1].components(separatedBy: "```").first)
    let bytes = block.split(separator: "\n").flatMap { line in
      line.prefix { $0 != "#" }.split(separator: " ").compactMap { UInt8($0, radix: 16) }
    }
    do {
      let journal = try fixture.open(segmentBytes: 1, identity: 0x0123_4567_89AB_CDEF)
      try journal.append(JournalRecordKind(66), [1, 2, 3])
      try journal.rollIfDue { [(JournalRecordKind(82), [9])] }
      try journal.append(JournalRecordKind(67), [])
      try journal.synchronize()
    }
    #expect(try readFile(fixture.segment(1)) + readFile(fixture.segment(2)) == bytes)
    #expect(try fixture.open().identity == 0x0123_4567_89AB_CDEF)
  }

  @Test func everyJournalHasAnIdentityOfItsOwn() throws {
    let first = try fixture.open().identity
    #expect(try fixture.open().identity == first)
    try FileManager.default.removeItem(atPath: fixture.path)
    #expect(try fixture.open().identity != first)
  }

  @Test func longRecordsPassTheBuffer() throws {
    var model = JournalModel(segmentBytes: 64 << 20)
    var generator = SeededGenerator(seed: 3)
    let journal = try fixture.open()
    for count in [10, 5_000, 4_079, 4_080, 4_081, 3_000_000, 0, 12] {
      let body = generator.bytes(count)
      model.append(1, body)
      try body.withUnsafeBytes { bytes in _ = try journal.append(JournalRecordKind(1), bytes.bytes) }
    }
    try expect(journal, holds: model)
    try journal.synchronize()
    try expect(try fixture.open(), holds: model)
  }

  /// Nothing of it is touched, let alone copied: it is memory that nobody may read.
  @Test func aRecordThatIsTooLongIsRefused() throws {
    let count = Journal.bodyBytesMax + 1
    let memory = mmap(nil, count, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | Int32(MAP_NORESERVE), -1, 0)
    try #require(memory != MAP_FAILED)
    defer { munmap(memory, count) }
    let journal = try fixture.open()
    try journal.append(JournalRecordKind(1), [1])
    let error = snapshotError {
      _ = try journal.append(JournalRecordKind(1), UnsafeRawBufferPointer(start: memory, count: count).bytes)
    }
    #expect(error?.code == .exceedsFormat && error?.message.contains(String(Journal.bodyBytesMax)) == true)
    #expect(try records(of: journal).map(\.body) == [[1]])
  }

  @Test func segmentsBeginWithWhatTheirOwnerSays() throws {
    var model = JournalModel(segmentBytes: 200)
    let opening: [(kind: JournalRecordKind, body: [UInt8])] = [
      (JournalRecordKind(82), [1, 2]), (JournalRecordKind(89), []),
    ]
    let journal = try fixture.open(segmentBytes: 200)
    #expect(try !journal.rollIfDue { opening })
    for i in 0..<20 as Range<UInt8> {
      let body = [UInt8](repeating: i, count: 40)
      try journal.append(JournalRecordKind(7), body)
      model.append(7, body)
      var asked = 0
      let rolled = try journal.rollIfDue {
        asked += 1
        return opening
      }
      #expect(rolled == model.isFull && asked == (rolled ? 1 : 0))
      if rolled { model.roll(opening) }
      // A segment of nothing but its opening is not left again.
      #expect(try !journal.rollIfDue { opening })
    }
    #expect(model.segmentStarts.count == 10)
    try expect(journal, holds: model)
    try journal.synchronize()
    #expect(try FileManager.default.contentsOfDirectory(atPath: fixture.path).count == 10)
    try expect(try fixture.open(), holds: model)
  }

  @Test func aSegmentHasItsNameOnlyOnceAllBeforeItIsDurable() throws {
    let journal = try fixture.open(segmentBytes: 1)
    try journal.append(JournalRecordKind(1), [1])
    try journal.rollIfDue { [] }
    try journal.append(JournalRecordKind(1), [2])
    try journal.rollIfDue { [] }
    let names = { try FileManager.default.contentsOfDirectory(atPath: fixture.path).sorted() }
    let all = (1...3).map { "journal-000000000000000\($0).vzj" }
    #expect(try names() == [all[0], "\(all[1]).tmp", "\(all[2]).tmp"])
    // Readable all the same.
    #expect(try records(of: journal).map(\.body) == [[1], [2]])
    #expect(try journal.removeSegments(before: journal.endPosition) == 0)
    try journal.synchronize()
    #expect(try names() == all)
    #expect(try journal.removeSegments(before: journal.endPosition) == 2)
    #expect(try names() == [all[2]])
  }

  @Test func whatBrokeOffIsDropped() throws {
    var model = JournalModel(segmentBytes: 300)
    let journal = try fixture.open(segmentBytes: 300)
    try journal.append(JournalRecordKind(1), [1])
    model.append(1, [1])
    // From the buffer, from the file, and after it was durable; then what follows takes its place.
    for step in 0..<3 as Range<UInt8> {
      let start = journal.endPosition
      try journal.append(JournalRecordKind(2), [UInt8](repeating: step, count: 70))
      try journal.append(JournalRecordKind(3), [step])
      // Which brings all into the file.
      if step == 1 { #expect(try records(of: journal).count == model.records.count + 2) }
      if step == 2 { try journal.synchronize() }
      let durable = journal.durablePosition
      try journal.truncate(to: start)
      #expect(journal.endPosition == start && journal.durablePosition == min(durable, start))
      try expect(journal, holds: model, "step \(step)")
      try journal.append(JournalRecordKind(4), [step, step])
      model.append(4, [step, step])
      try journal.synchronize()
      try expect(try fixture.open(segmentBytes: 300), holds: model, "step \(step)")
    }
    // Part of it.
    let range = try journal.append(JournalRecordKind(5), [5])
    model.append(5, [5])
    try journal.append(JournalRecordKind(6), [6])
    try journal.truncate(to: range.upperBound)
    try expect(journal, holds: model)
    // Nothing of it.
    try journal.truncate(to: journal.endPosition)
    try expect(journal, holds: model)
  }

  @Test func aCutKeepsTheOpeningRecords() throws {
    let journal = try fixture.open(segmentBytes: 1)
    try journal.append(JournalRecordKind(1), [1])
    let start = journal.endPosition
    try journal.rollIfDue { [(JournalRecordKind(82), [8])] }
    try journal.append(JournalRecordKind(1), [2])
    try journal.truncate(to: start)
    #expect(try records(of: journal).map(\.body) == [[1], [8]])
    try journal.append(JournalRecordKind(1), [3])
    try journal.synchronize()
    #expect(try records(of: fixture.open()).map(\.body) == [[1], [8], [3]])
  }

  @Test func aPlaceThatIsNoneIsRefused() throws {
    let journal = try fixture.open(segmentBytes: 1)
    let old = try journal.append(JournalRecordKind(1), [1])
    try journal.rollIfDue { [] }
    let first = try journal.append(JournalRecordKind(1), [2, 2, 2])
    try journal.synchronize()
    let second = try journal.append(JournalRecordKind(1), [3, 3, 3])
    let before = try records(of: journal)
    let inFile = first.lowerBound.rawValue + 1
    for position in [old.lowerBound.rawValue, inFile, second.lowerBound.rawValue + 5, second.upperBound.rawValue + 1] {
      let error = snapshotError { try journal.truncate(to: JournalPosition(position)) }
      #expect(error?.code == .unusable && error?.message.contains("position \(position)") == true, "\(position)")
    }
    #expect(try records(of: journal) == before)
    // In the buffer, too.
    let third = try journal.append(JournalRecordKind(1), [4, 4, 4])
    let inBuffer = JournalPosition(third.lowerBound.rawValue + 1)
    #expect(snapshotError { try journal.truncate(to: inBuffer) }?.code == .unusable)
    #expect(try records(of: journal).count == before.count + 1)
  }

  @Test func readingFromToAndNoFurther() throws {
    let journal = try fixture.open(segmentBytes: 100)
    var model = JournalModel(segmentBytes: 100)
    for i in 0..<12 as Range<UInt8> {
      try journal.append(JournalRecordKind(1), [i, i, i])
      model.append(1, [i, i, i])
      if try journal.rollIfDue(opening: { [(JournalRecordKind(2), [i])] }) { model.roll([(JournalRecordKind(2), [i])]) }
    }
    let edges = model.records.flatMap { [$0.start, $0.end] } + model.segmentStarts
    for start in edges {
      for end in edges {
        let expected = model.records.filter { $0.start >= start && $0.start < end }
        #expect(try records(of: journal, from: start, to: end) == expected, "\(start) to \(end)")
      }
      var count = 0
      let last = try journal.read(from: JournalPosition(start)) { _, _ in
        count += 1
        return count < 2
      }
      let expected = model.records.filter { $0.start >= start }.prefix(2)
      #expect(count == expected.count && last.rawValue == expected.last?.end ?? start)
    }
    // In the middle of a record stands none.
    let inside = JournalPosition(model.records[3].start + 1)
    #expect(snapshotError { try journal.read(from: inside) { _, _ in true } }?.code == .corrupted)
    #expect(try records(of: journal, from: model.end + 1_000) == [])
  }

  @Test func theClosureMayUseTheJournal() throws {
    let journal = try fixture.open()
    for i in 0..<5 as Range<UInt8> { try journal.append(JournalRecordKind(1), [i]) }
    var failure: SnapshotError?
    try journal.read(from: journal.oldestPosition) { record, body in
      let bytes = body.withUnsafeBytes { Array($0) }
      let error = snapshotError {
        try journal.append(JournalRecordKind(2), bytes)
        try journal.synchronize()
      }
      failure = failure ?? error
      #expect(journal.statistics.bytes > 0 && record.kind.rawValue == 1)
      return true
    }
    #expect(failure == nil)
    #expect(try records(of: journal).map(\.kind) == [1, 1, 1, 1, 1, 2, 2, 2, 2, 2])
  }

  @Test func oldSegmentsGoAndTheNewestStays() throws {
    let journal = try fixture.open(segmentBytes: 1)
    var ends: [JournalPosition] = []
    for i in 0..<6 as Range<UInt8> {
      try journal.append(JournalRecordKind(1), [i])
      ends.append(journal.endPosition)
      try journal.rollIfDue { [] }
    }
    try journal.synchronize()
    #expect(try journal.removeSegments(before: JournalPosition(ends[1].rawValue - 1)) == 1)
    #expect(journal.oldestPosition == ends[0])
    #expect(try journal.removeSegments(before: ends[1]) == 1)
    #expect(try records(of: journal).map(\.body) == [[2], [3], [4], [5]])
    let error = snapshotError { try journal.read(from: ends[0]) { _, _ in true } }
    #expect(error?.code == .notFound && error?.message.contains("removed") == true)
    do {
      let again = try fixture.open(segmentBytes: 1)
      #expect(again.oldestPosition == ends[1] && again.statistics.segments == 5)
    }
    #expect(try journal.removeSegments(before: JournalPosition(.max)) == 4)
    #expect(journal.statistics.segments == 1 && journal.endPosition.rawValue > ends[5].rawValue)
    #expect(try records(of: journal) == [])
    // Positions and numbers go on where they were.
    let end = journal.endPosition
    let again = try fixture.open(segmentBytes: 1)
    #expect(again.endPosition == end && again.oldestPosition == ends[5])
    try again.append(JournalRecordKind(1), [6])
    #expect(try records(of: again).map(\.start) == [end.rawValue])
  }

  @Test func foreignFilesStay() throws {
    try FileManager.default.createDirectory(atPath: fixture.path, withIntermediateDirectories: true)
    let foreign = ["notes.txt", "journal-12.vzj", "journal-000000000000000G.vzj", "journal-00000000000000AB.vzj"]
    for name in foreign { try writeFile("\(fixture.path)/\(name)", [1]) }
    try writeFile(fixture.segment(2) + ".tmp", [1, 2, 3])
    let journal = try fixture.open()
    #expect(journal.recovery.removedLeftovers == [fixture.segment(2) + ".tmp"])
    let names = try FileManager.default.contentsOfDirectory(atPath: fixture.path).sorted()
    #expect(names == (foreign + ["journal-0000000000000001.vzj"]).sorted())
  }

  @Test func statisticsSayWhatTheDiskTook() throws {
    let journal = try fixture.open()
    try journal.append(JournalRecordKind(1), [1, 2, 3])
    #expect(journal.statistics.durablePosition < journal.statistics.endPosition)
    try journal.synchronize()
    let statistics = journal.statistics
    #expect(statistics.durablePosition == statistics.endPosition && statistics.lastSynchronizationMicroseconds >= 0)
    // Nothing new: nothing to do.
    let calls = FaultyFileSystem()
    let other = try JournalFixture()
    let counted = try other.open(fileSystem: calls.fileSystem)
    let before = calls.count
    for _ in 0..<3 { try counted.synchronize() }
    #expect(calls.count == before)
  }
}
