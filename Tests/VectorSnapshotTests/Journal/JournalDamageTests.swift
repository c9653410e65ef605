// What opening makes of files that are not as they were written.

import Foundation
import TestSupport
import Testing

@testable import VectorSnapshot

@Suite struct JournalDamageTests {
  let fixture: JournalFixture
  init() throws { fixture = try JournalFixture() }

  /// Three small segments with opening records: what they hold, and their bytes.
  private func write(_ seed: UInt64 = 1) throws -> (model: JournalModel, files: [[UInt8]]) {
    var model = JournalModel(segmentBytes: 150)
    var generator = SeededGenerator(seed: seed)
    let journal = try fixture.open(segmentBytes: 150, identity: seed)
    while model.segmentStarts.count < 3 || !model.isFull {
      let body = generator.bytes(Int.random(in: 0...30, using: &generator))
      try journal.append(JournalRecordKind(5), body)
      model.append(5, body)
      guard model.segmentStarts.count < 3 else { continue }
      let opening = [(kind: JournalRecordKind(82), body: [9, 9] as [UInt8]), (kind: JournalRecordKind(82), body: [])]
      if try journal.rollIfDue(opening: { opening }) { model.roll(opening) }
    }
    try journal.synchronize()
    return (model, try (1...3).map { try readFile(fixture.segment($0)) })
  }

  /// Puts files in the place of what is there.
  private func restore(_ files: [[UInt8]]) throws {
    for name in try FileManager.default.contentsOfDirectory(atPath: fixture.path) {
      try FileManager.default.removeItem(atPath: "\(fixture.path)/\(name)")
    }
    for (index, bytes) in files.enumerated() { try writeFile(fixture.segment(UInt64(index + 1)), bytes) }
  }

  /// Opens, and expects that what is there can be appended to and read again.
  private func openAndGoOn(_ comment: Comment) throws -> (recovery: JournalRecovery, found: [StoredRecord]) {
    let recovery: JournalRecovery
    let found: [StoredRecord]
    do {
      let journal = try fixture.open(segmentBytes: 150)
      recovery = journal.recovery
      found = try records(of: journal)
      #expect(recovery.recordCount == found.count, comment)
      #expect(recovery.cutBytes == 0 || recovery.cutPath != nil, comment)
      try journal.append(JournalRecordKind(200), [1, 2, 3])
      try journal.synchronize()
    }
    let journal = try fixture.open(segmentBytes: 150)
    #expect(journal.recovery == JournalRecovery(recordCount: found.count + 1), comment)
    #expect(try records(of: journal).dropLast() == found[...], comment)
    return (recovery, found)
  }

  private func expectRefusal(_ codes: Set<SnapshotError.Code>, names file: String, _ comment: Comment) {
    let error = snapshotError { _ = try fixture.open() }
    #expect(error.map { codes.contains($0.code) } == true, comment)
    #expect(error?.path == file && error?.message.contains(file) == true, comment)
    #expect(error?.message.contains("remove \(fixture.path), drop the replication slot") == true, comment)
    if error?.code == .corrupted { #expect(error?.location != nil, comment) }
  }

  // MARK: - Cut short

  /// A journal of one segment: exactly the whole records before the cut come back.
  @Test func everyCutOfOneSegment() throws {
    var model = JournalModel(segmentBytes: 1 << 20)
    do {
      let journal = try fixture.open(identity: 7)
      for body in [[1], [], [2, 3, 4, 5, 6, 7, 8, 9], [10, 11]] as [[UInt8]] {
        try journal.append(JournalRecordKind(3), body)
        model.append(3, body)
      }
      try journal.synchronize()
    }
    let bytes = try readFile(fixture.segment(1))
    #expect(bytes.count == Int(model.end))
    for length in 0...bytes.count {
      try restore([Array(bytes[..<length])])
      let expected = model.records.filter { $0.end <= UInt64(length) }
      let (recovery, found) = try openAndGoOn("\(length) bytes")
      #expect(found == expected, "\(length) bytes")
      // A file without its header is removed as a whole, even when it is empty.
      let kept = length < 64 ? 0 : Int(expected.last?.end ?? 64)
      #expect(recovery.cutBytes == length - kept, "\(length) bytes")
    }
  }

  /// The newest of three: the same, and where its opening is not whole, nothing of it was part of the journal.
  @Test func everyCutOfTheNewestSegment() throws {
    let (model, files) = try write()
    let first = model.segmentStarts[2]
    for length in 0...files[2].count {
      try restore([files[0], files[1], Array(files[2][..<length])])
      let end = first + UInt64(length)
      let isBegun = end >= model.openingEnd
      let expected = model.records.filter { $0.end <= (isBegun ? end : first) }
      let (recovery, found) = try openAndGoOn("\(length) bytes")
      #expect(found == expected, "\(length) bytes")
      let kept = isBegun ? Int((expected.last?.end ?? first) - first) : 0
      #expect(recovery.cutBytes == length - kept, "\(length) bytes")
      #expect(recovery.cutPath == (isBegun && length == kept ? nil : fixture.segment(3)), "\(length) bytes")
    }
  }

  /// An older segment is whole or refused.
  @Test func everyCutOfAnOlderSegment() throws {
    let (_, files) = try write()
    for length in 0..<files[1].count {
      try restore([files[0], Array(files[1][..<length]), files[2]])
      // A cut between two records is seen by where the next segment begins.
      let error = snapshotError { _ = try fixture.open() }
      #expect([.corrupted, .truncated].contains(error?.code), "\(length) bytes")
      #expect([fixture.segment(2), fixture.segment(3)].contains(error?.path), "\(length) bytes")
    }
  }

  /// What a system that lost its power can leave: a name, a length, and zeros.
  @Test(arguments: [1, 15, 16, 63, 64, 1_000, 2_000_000])
  func zerosAtTheEnd(count: Int) throws {
    let (model, files) = try write()
    let zeros = [UInt8](repeating: 0, count: count)
    try restore([files[0], files[1], files[2] + zeros])
    let (recovery, found) = try openAndGoOn("\(count)")
    #expect(found == model.records && recovery.cutBytes == count)

    try restore(files + [zeros])
    let (other, foundAgain) = try openAndGoOn("\(count)")
    #expect(foundAgain == model.records && other.cutBytes == count && other.cutPath == fixture.segment(4))
  }

  // MARK: - Changed

  /// Every bit of an old segment and of the newest: cut there or refused, never another record.
  @Test func everyFlippedBit() throws {
    let (model, files) = try write()
    var refused = 0
    var cut = 0
    for (index, file) in files.enumerated() {
      for offset in file.indices {
        for bit in 0..<8 {
          var damaged = files
          damaged[index][offset] ^= 1 << bit
          try restore(damaged)
          let comment: Comment = "segment \(index + 1), byte \(offset), bit \(bit)"
          do {
            let journal = try fixture.open()
            let found = try records(of: journal)
            let place = model.segmentStarts[index] + UInt64(offset)
            // All before the damage, and nothing from it on.
            let damagedRecord = model.records.firstIndex { $0.end > place } ?? model.records.count
            let start = place < model.openingEnd ? model.records.firstIndex { $0.start >= model.segmentStarts[2] } : nil
            #expect(index == 2 && found == Array(model.records[..<(start ?? damagedRecord)]), comment)
            #expect(journal.recovery.cutBytes > 0, comment)
            cut += 1
          } catch {
            // The header of the newest segment cannot be cut off, since nobody knows what follows it.
            let error = error as? SnapshotError
            #expect(index < 2 || offset < 64, comment)
            #expect(error?.path == fixture.segment(UInt64(index + 1)), comment)
            #expect(error?.code == .corrupted, comment)
            refused += 1
          }
        }
      }
    }
    #expect(cut == (files[2].count - 64) * 8)
    #expect(refused == (files[0].count + files[1].count + 64) * 8)
  }

  @Test(arguments: testSeeds)
  func randomBytes(seed: UInt64) throws {
    print("JournalDamageTests, seed \(seed)")
    let (model, files) = try write(seed)
    var generator = SeededGenerator(seed: seed)
    for round in 0..<400 {
      var damaged = files
      let index = Int.random(in: 0..<3, using: &generator)
      let start = Int.random(in: 0..<files[index].count, using: &generator)
      switch round % 4 {
      case 0:
        // From there on nothing but noise, of any length.
        damaged[index] = files[index][..<start] + generator.bytes(Int.random(in: 0...300, using: &generator))
      case 1:
        // A stretch of it from somewhere else in the journal.
        let other = files[Int.random(in: 0..<3, using: &generator)]
        let from = Int.random(in: 0..<other.count, using: &generator)
        for (i, byte) in other[from...].enumerated() where start + i < damaged[index].count {
          damaged[index][start + i] = byte
        }
      case 2:
        let end = min(files[index].count, start + Int.random(in: 1...64, using: &generator))
        damaged[index].removeSubrange(start..<end)
      default:
        damaged[index].insert(contentsOf: generator.bytes(Int.random(in: 1...64, using: &generator)), at: start)
      }
      try restore(damaged)
      let comment: Comment = "seed \(seed), round \(round)"
      do {
        let found = try records(of: try fixture.open())
        #expect(model.records.starts(with: found), comment)
        let older = model.records.filter { $0.end <= model.segmentStarts[2] }
        #expect(found.count >= older.count, comment)
      } catch {
        #expect((error as? SnapshotError)?.message.contains(fixture.path) == true, comment)
      }
    }
  }

  /// The bytes of a record, at the place of another, in another segment, or in another journal.
  @Test func recordsOfOtherPlacesDoNotPass() throws {
    var journals: [[UInt8]] = []
    for identity in [1, 2] as [UInt64] {
      try? FileManager.default.removeItem(atPath: fixture.path)
      let journal = try fixture.open(identity: identity)
      for i in 0..<3 as Range<UInt8> { try journal.append(JournalRecordKind(1), [i, i, i, i]) }
      try journal.synchronize()
      journals.append(try readFile(fixture.segment(1)))
    }
    // Same places, same bodies, another journal.
    try restore([Array(journals[0][..<84] + journals[1][84...])])
    #expect(try records(of: fixture.open()).map(\.body) == [[0, 0, 0, 0]])
    // Same journal, another place.
    try restore([Array(journals[0][..<84] + journals[0][104...])])
    #expect(try records(of: fixture.open()).map(\.body) == [[0, 0, 0, 0]])
    // Same place, same journal, after another record than the one it followed: what an earlier tail left behind.
    try restore([])
    do {
      let journal = try fixture.open(identity: 1)
      for i in [0, 7, 2] as [UInt8] { try journal.append(JournalRecordKind(1), [i, i, i, i]) }
      try journal.synchronize()
    }
    let other = try readFile(fixture.segment(1))
    try restore([Array(other[..<104] + journals[0][104...])])
    #expect(try records(of: fixture.open()).map(\.body) == [[0, 0, 0, 0], [7, 7, 7, 7]])
  }

  // MARK: - Refused

  @Test func aMissingSegmentIsNamed() throws {
    let (_, files) = try write()
    try restore(files)
    try FileManager.default.removeItem(atPath: fixture.segment(2))
    expectRefusal([.notFound], names: fixture.segment(2), "gap")
    // The oldest may be gone: that is what removal leaves.
    try restore(files)
    try FileManager.default.removeItem(atPath: fixture.segment(1))
    #expect(try fixture.open().statistics.segments == 2)
  }

  @Test func segmentsOfAnotherJournalAreRefused() throws {
    let (_, files) = try write(1)
    try? FileManager.default.removeItem(atPath: fixture.path)
    let (_, others) = try write(2)
    try restore([files[0], others[1], others[2]])
    let error = snapshotError { _ = try fixture.open() }
    #expect(error?.code == .corrupted && error?.path == fixture.segment(2))
    #expect(error?.message.contains("another journal") == true)
    // Under another number.
    try restore([files[0], files[2]])
    #expect(snapshotError { _ = try fixture.open() }?.message.contains("segment 3 under the name of 2") == true)
  }

  /// Lies with a valid checksum.
  @Test func headersThatLie() throws {
    let (_, files) = try write()
    func refusal(_ change: (inout [UInt8]) -> Void) throws -> SnapshotError? {
      var header = files[2]
      change(&header)
      let checksum = CRC32C.checksum(header[..<60])
      for i in 0..<4 { header[60 + i] = UInt8(truncatingIfNeeded: checksum >> (8 * UInt32(i))) }
      try restore([files[0], files[1], header])
      return snapshotError { _ = try fixture.open() }
    }
    let version = try refusal { $0[8] = 2 }
    #expect(version?.code == .unsupportedVersion)
    #expect(version?.message.contains("journal format version 2, and this program reads version 1") == true)
    #expect(try refusal { $0[24] ^= 1 }?.location?.offset == 24)
    #expect(try refusal { $0[31] = 255 }?.code == .corrupted)
    #expect(try refusal { $0[23] = 255 }?.code == .corrupted)
    #expect(try refusal { $0[45] = 1 }?.location?.offset == 40)
    // It has two opening records and says three: never begun, so the one before is the newest again.
    #expect(try refusal { $0[12] = 3 } == nil)
    #expect(try fixture.open().statistics.segments == 2)
  }

  /// The only segment that is left cannot be taken for never begun when its number says that there was one before.
  @Test func theLastThatIsLeftIsNeverRemoved() throws {
    let (_, files) = try write()
    for bytes in [[], Array(files[2][..<63]), Array(files[2][..<70]), [UInt8](repeating: 0, count: 200)] {
      try restore([])
      try writeFile(fixture.segment(3), bytes)
      expectRefusal([.truncated, .corrupted], names: fixture.segment(3), "\(bytes.count) bytes")
      #expect(try readFile(fixture.segment(3)) == bytes)
    }
  }

  @Test func aSegmentThatIsNoFileIsAnError() throws {
    try FileManager.default.createDirectory(atPath: fixture.segment(1), withIntermediateDirectories: true)
    #expect(snapshotError { _ = try fixture.open() }?.code == .io)
    try FileManager.default.removeItem(atPath: fixture.segment(1))
    try writeFile(fixture.folder.file("victim"), [1, 2, 3])
    try FileManager.default.createSymbolicLink(
      atPath: fixture.segment(1), withDestinationPath: fixture.folder.file("victim"))
    #expect(snapshotError { _ = try fixture.open() }?.code == .io)
    #expect(try readFile(fixture.folder.file("victim")) == [1, 2, 3])
  }
}
