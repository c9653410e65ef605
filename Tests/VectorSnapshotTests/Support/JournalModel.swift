// A journal as an array of records: what the real one must hold, with positions computed from docs/JOURNAL.md.

import Testing

@testable import VectorSnapshot

struct StoredRecord: Hashable, Sendable, CustomStringConvertible {
  var kind: UInt8
  var body: [UInt8]
  var opensSegment = false
  var start: UInt64
  var end: UInt64 { start + 16 + UInt64(body.count) }

  var description: String { "\(kind)@\(start)+\(body.count)\(opensSegment ? " opening" : "")" }
}

struct JournalModel: Sendable {
  var records: [StoredRecord] = []
  /// Where each segment begins.
  var segmentStarts: [UInt64] = [0]
  var openingEnd: UInt64 = 64
  var end: UInt64 = 64
  let segmentBytes: Int

  init(segmentBytes: Int) { self.segmentBytes = segmentBytes }

  var oldest: UInt64 { segmentStarts[0] }
  private var newest: UInt64 { segmentStarts[segmentStarts.count - 1] }
  var isFull: Bool { end - newest >= UInt64(segmentBytes) && end > openingEnd }

  /// Where the owner may cut: after the opening records and after each record that follows them.
  var cuts: [UInt64] { [openingEnd] + records.filter { $0.start >= openingEnd }.map(\.end) }

  @discardableResult
  mutating func append(_ kind: UInt8, _ body: [UInt8], opensSegment: Bool = false) -> StoredRecord {
    let record = StoredRecord(kind: kind, body: body, opensSegment: opensSegment, start: end)
    records.append(record)
    end = record.end
    return record
  }

  mutating func roll(_ opening: [(kind: JournalRecordKind, body: [UInt8])]) {
    segmentStarts.append(end)
    end += 64
    for record in opening { append(record.kind.rawValue, record.body, opensSegment: true) }
    openingEnd = end
  }

  mutating func truncate(to position: UInt64) {
    let target = max(position, openingEnd)
    records.removeAll { $0.start >= target }
    end = target
  }

  /// - Returns: how many segments go.
  @discardableResult
  mutating func removeSegments(before position: UInt64) -> Int {
    // A segment ends where the next begins, and the last has none after it.
    let removed = segmentStarts.dropFirst().prefix { $0 <= position }.count
    segmentStarts.removeFirst(removed)
    let oldest = oldest
    records.removeAll { $0.start < oldest }
    return removed
  }
}

extension JournalModel {
  /// The records with which the segment that begins now opens.
  func opening(using generator: inout SeededGenerator) -> [(kind: JournalRecordKind, body: [UInt8])] {
    (0..<Int.random(in: 0...3, using: &generator)).map { _ in
      (JournalRecordKind(82), generator.bytes(Int.random(in: 0...90, using: &generator)))
    }
  }
}

/// All records from a position on.
func records(of journal: Journal, from start: UInt64? = nil, to end: UInt64? = nil) throws -> [StoredRecord] {
  var found: [StoredRecord] = []
  let start = start.map { JournalPosition($0) } ?? journal.oldestPosition
  let last = try journal.read(from: start, to: end.map { JournalPosition($0) }) { record, body in
    let bytes = body.withUnsafeBytes { Array($0) }
    found.append(
      StoredRecord(
        kind: record.kind.rawValue, body: bytes, opensSegment: record.opensSegment,
        start: record.range.lowerBound.rawValue))
    #expect(found[found.count - 1].end == record.range.upperBound.rawValue)
    return true
  }
  #expect(last.rawValue == found.last?.end ?? start.rawValue)
  return found
}

func expect(_ journal: Journal, holds model: JournalModel, _ comment: Comment? = nil) throws {
  #expect(try records(of: journal) == model.records, comment)
  #expect(journal.endPosition.rawValue == model.end, comment)
  #expect(journal.oldestPosition.rawValue == model.oldest, comment)
  let statistics = journal.statistics
  #expect(statistics.segments == model.segmentStarts.count, comment)
  #expect(statistics.bytes == Int(model.end - model.oldest), comment)
}

extension FileSystem {
  /// Does not wait for the disk, for tests that open thousands of journals and lose no power.
  static let withoutDisk: FileSystem = {
    var system = posix
    system.synchronize = { _ throws(SystemError) in }
    system.synchronizeData = { _ throws(SystemError) in }
    system.synchronizeDirectory = { _ throws(SystemError) in }
    system.forget = { _ in }
    return system
  }()
}

/// A journal in a folder of its own, which can be opened again and again.
struct JournalFixture {
  let folder: TemporaryFolder
  let lock: DataDirectoryLock
  var path: String { "\(lock.path)/journal" }

  init() throws {
    folder = try TemporaryFolder()
    lock = try DataDirectoryLock(path: folder.file("data"))
  }

  func open(
    segmentBytes: Int = 64 << 20, bufferBytes: Int = 4 << 10, fileSystem: FileSystem = .withoutDisk,
    identity: UInt64? = nil
  ) throws(SnapshotError) -> Journal {
    try Journal(
      lock: lock, options: JournalOptions(segmentBytes: segmentBytes, bufferBytes: bufferBytes),
      fileSystem: fileSystem, identity: identity)
  }

  func segment(_ number: UInt64) -> String { "\(path)/journal-\(SnapshotDirectory.hex(number)).vzj" }
}
