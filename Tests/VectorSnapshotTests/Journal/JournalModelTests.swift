// Random work on a journal, held against an array of records.

import TestSupport
import Testing

@testable import VectorSnapshot

@Suite struct JournalModelTests {
  @Test(arguments: testSeeds)
  func holdsWhatAnArrayHolds(seed: UInt64) throws {
    print("JournalModelTests, seed \(seed)")
    var generator = SeededGenerator(seed: seed)
    for round in 0..<12 {
      let fixture = try JournalFixture()
      let segmentBytes = [300, 2_000, 9_000].randomElement(using: &generator) ?? 300
      var model = JournalModel(segmentBytes: segmentBytes)
      var journal = try fixture.open(segmentBytes: segmentBytes)
      /// Records that end here or before must come back, whatever happens.
      var durable: UInt64 = 64
      for step in 0..<150 {
        let comment: Comment = "seed \(seed), round \(round), step \(step)"
        switch Int.random(in: 0..<100, using: &generator) {
        case 0..<62:
          let count = [0, 1, 20, 300, 4_079, 4_080, 4_081, 9_000].randomElement(using: &generator) ?? 0
          let body = generator.bytes(Int.random(in: 0...count, using: &generator))
          let kind = UInt8.random(in: 1...255, using: &generator)
          let range = try journal.append(JournalRecordKind(kind), body)
          #expect(range.lowerBound.rawValue == model.append(kind, body).start, comment)
        case 62..<70:
          #expect(try journal.synchronize().rawValue == model.end, comment)
          durable = model.end
        case 70..<78:
          let opening = model.opening(using: &generator)
          let wasFull = model.isFull
          #expect(try journal.rollIfDue { opening } == wasFull, comment)
          if wasFull { model.roll(opening) }
        case 78..<85:
          let cut = model.cuts.suffix(8).randomElement(using: &generator) ?? model.end
          try journal.truncate(to: JournalPosition(cut))
          model.truncate(to: cut)
          durable = min(durable, cut)
          #expect(journal.durablePosition.rawValue >= durable, comment)
        case 85..<90:
          try journal.synchronize()
          durable = model.end
          let place = UInt64.random(in: model.oldest...model.end, using: &generator)
          let removed = model.removeSegments(before: place)
          #expect(try journal.removeSegments(before: JournalPosition(place)) == removed, comment)
        case 90..<94:
          guard let first = model.records.randomElement(using: &generator),
            let last = model.records.randomElement(using: &generator)
          else { break }
          let expected = model.records.filter { $0.start >= first.start && $0.start < last.end }
          #expect(try records(of: journal, from: first.start, to: last.end) == expected, comment)
        case 94..<97:
          // With all of it durable.
          try journal.synchronize()
          durable = model.end
          journal = try fixture.open(segmentBytes: segmentBytes)
          #expect(journal.recovery.cutBytes == 0 && journal.recovery.removedLeftovers == [], comment)
          #expect(journal.recovery.recordCount == model.records.count, comment)
          try expect(journal, holds: model, comment)
        default:
          // Without: what was in the buffer is gone, and segments that had no name yet.
          journal = try fixture.open(segmentBytes: segmentBytes)
          let found = try records(of: journal)
          #expect(journal.recovery.cutBytes == 0, comment)
          #expect(model.records.starts(with: found), comment)
          #expect(found.count >= model.records.filter { $0.end <= durable }.count, comment)
          model.adopt(found, end: journal.endPosition.rawValue)
          durable = model.end
        }
        #expect(journal.endPosition.rawValue == model.end, comment)
      }
      try expect(journal, holds: model, "seed \(seed), round \(round)")
    }
  }
}

extension JournalModel {
  /// Takes over what came back after an end without `synchronize`: a front part of what there was.
  mutating func adopt(_ found: [StoredRecord], end: UInt64) {
    records = found
    self.end = end
    segmentStarts.removeAll { $0 >= end }
    let newest = segmentStarts[segmentStarts.count - 1]
    openingEnd = found.last { $0.start >= newest && $0.opensSegment }?.end ?? newest + 64
  }
}
