// Changed rows: what is sent, what is left out, and what is refused.

import TestSupport
import Testing
import VectorIndex

@testable import PostgresSource

struct TupleReaderTests {
  private typealias Fixture = FollowedFixture

  private let whole = RowWrite(
    id: .int64(7), vector: .value(.of([1, -2])),
    attributes: [
      .value(.int64(5)), .value(.array([.keyword("a"), .null])), .value(.keyword("pt")), .value(.int64(3)),
    ],
    payload: [.value("ç"), .value(#"{"lang": "pt", "level": 3}"#)])

  @Test func aWholeRow() throws {
    let binding = try Fixture.binding()
    #expect(try binding.write(ChangeMessage.insert(Fixture.row())) == whole)
    #expect(whole.isWhole)
    let row = try binding.write(
      ChangeMessage.update(Fixture.row(v: .null, n: .null, tags: .null, meta: .null, title: .null)))
    #expect(
      row
        == RowWrite(
          id: .int64(7), vector: .value(.null),
          attributes: [.value(.null), .value(.null), .value(.null), .value(.null)],
          payload: [.value(nil), .value(nil)]))
    #expect(row.isWhole)
  }

  @Test func unchangedColumnsStayUnknown() throws {
    let binding = try Fixture.binding()
    var expected = whole
    expected.vector = .unchanged
    // Another column changed; and an update that enters a row filter, which is sent as an insertion.
    for message in [
      ChangeMessage.update(Fixture.row(v: .unchanged)), ChangeMessage.insert(Fixture.row(v: .unchanged)),
    ] {
      let row = try binding.write(message)
      #expect(row == expected && !row.isWhole)
    }
    // All that is taken out of a document is left out with it.
    expected = whole
    expected.attributes[1] = .unchanged
    expected.attributes[2] = .unchanged
    expected.attributes[3] = .unchanged
    expected.payload = [.unchanged, .unchanged]
    let row = try binding.write(
      ChangeMessage.update(Fixture.row(tags: .unchanged, meta: .unchanged, title: .unchanged)))
    #expect(row == expected && !row.isWhole)
  }

  @Test func anotherKey() throws {
    let binding = try Fixture.binding()
    var expected = whole
    expected.vector = .unchanged
    expected.previousID = .int64(3)
    #expect(
      try binding.write(ChangeMessage.update(Fixture.row(v: .unchanged), key: Fixture.key(3))) == expected,
      "NULL in an old key is not NULL")
    // A key that is sent, and is the same.
    #expect(try binding.write(ChangeMessage.update(Fixture.row(), key: Fixture.key(7))) == whole)
    #expect(try binding.event(ChangeMessage.delete(key: Fixture.key(3))) == .remove(.int64(3)))
  }

  @Test func oldRowsInFull() throws {
    let binding = try Fixture.binding(identity: .full)
    let old = Fixture.row(id: .int8(3), v: .vector([4, 5]), meta: .jsonb(#"{"lang": "en"}"#), title: .null)
    var expected = whole
    expected.previousID = .int64(3)
    expected.vector = .value(.of([4, 5]))
    expected.attributes[2] = .value(.keyword("en"))
    expected.attributes[3] = .value(.null)
    expected.payload = [.value(nil), .value(#"{"lang": "en"}"#)]
    let new = Fixture.row(v: .unchanged, meta: .unchanged, title: .unchanged)
    #expect(try binding.write(ChangeMessage.update(new, full: old)) == expected)
    #expect(try binding.event(ChangeMessage.delete(full: old)) == .remove(.int64(3)))
    // What the new row says counts, and what neither says is unknown.
    #expect(try binding.write(ChangeMessage.update(Fixture.row(), full: Fixture.row(v: .unchanged))) == whole)
    let row = try binding.write(
      ChangeMessage.update(Fixture.row(v: .unchanged), full: Fixture.row(v: .unchanged)))
    #expect(row.vector == .unchanged)
  }

  @Test func keysThatAreStoredOutOfLine() throws {
    let description = SourceDescription.made(
      keys: [SourceDescription.KeyColumn(name: "a", type: .text), SourceDescription.KeyColumn(name: "b", type: .uuid)],
      vectorType: .halfvec, dimension: 1, payload: ["title"])
    let columns = [
      Fixture.column("v", Fixture.vectorOID, 1), Fixture.column("a", 25, isKey: true),
      Fixture.column("b", 2_950, isKey: true), Fixture.column("title", 1_043, 24),
    ]
    let binding = try FollowedTable(description, columns: columns).bind(Fixture.relation(columns, identity: .index))
    let uuid = ChangeMessage.Field.binary([UInt8](repeating: 0, count: 15) + [9])
    let long = String(repeating: "k", count: 2_500)
    let id = RecordID.composite([.text(long), .uuid(high: 0, low: 9)])
    // The key was not changed, but it is sent because it is not in the row.
    let row = try binding.write(
      ChangeMessage.update(
        [.vector([0.5], .halfvec), .unchanged, uuid, .unchanged], key: [.null, .string(long), uuid, .null]))
    #expect(row == RowWrite(id: id, vector: .value(.of([0.5], .halfvec)), payload: [.unchanged]))
    let error = #expect(throws: SourceError.self) {
      try binding.event(ChangeMessage.update([.unchanged, .unchanged, uuid, .null]))
    }
    #expect(error?.code == .malformedData && error?.message.contains("\"a\"") == true)
  }

  private func error(_ row: [ChangeMessage.Field]) throws -> SourceError {
    let binding = try Fixture.binding()
    return try #require(throws: SourceError.self) { try binding.event(ChangeMessage.insert(row)) }
  }

  @Test func whatNoLoadWouldReadNamesItsRow() throws {
    let long = String(repeating: "x", count: 65_536)
    let cases: [(SourceError.Code, [ChangeMessage.Field], String)] = [
      (.dimensionMismatch, Fixture.row(v: .vector([1])), "1 dimensions, not 2"),
      (.notFinite, Fixture.row(v: .vector([1, .nan])), "NaN"),
      (.notFinite, Fixture.row(v: .vector([-.infinity, 1])), "NaN"),
      (.attributeTooLong, Fixture.row(tags: .texts([long])), "\"tags\""),
      (
        .attributeTooLong, Fixture.row(tags: .texts([String?](repeating: nil, count: 65_536))), "65536 elements"
      ),
      (.attributeTooLong, Fixture.row(meta: .jsonb("{\"lang\": \"\(long)\"}")), "\"lang\""),
      (.payloadTooLong, Fixture.row(title: .string(String(repeating: "x", count: 1 << 20))), "\"title\""),
    ]
    for (code, row, words) in cases {
      let error = try error(row)
      #expect(error.code == code && error.message.contains("key 7") && error.message.contains(words), "\(error)")
    }
    #expect(try error(Fixture.row(id: .null)).code == .nullKey)
  }

  @Test func whatNoPostgresSendsIsMalformed() throws {
    let cases: [([ChangeMessage.Field], String)] = [
      (Fixture.row(v: .text("[1,2]")), "as text"), (Fixture.row(id: .text("7")), "as text"),
      (Fixture.row(title: .text("a")), "as text"), (Fixture.row(id: .binary([1])), "1 bytes"),
      (Fixture.row(id: .unchanged), "left out"), (Fixture.row(v: .binary([0, 2, 0])), "3 bytes"),
      (Fixture.row(v: .binary([0, 2, 0, 0, 1])), "5 bytes"), (Fixture.row(v: .vector([1, 2], .halfvec)), "8 bytes"),
      (Fixture.row(n: .binary([1, 2])), "\"n\""), (Fixture.row(tags: .binary([0])), "\"tags\""),
      (Fixture.row(meta: .binary([2, 0x7B, 0x7D])), "version"), (Fixture.row(meta: .binary([])), "version"),
      (Fixture.row(meta: .jsonb("{\"lang\" \"pt\"}")), "colon"), (Fixture.row(title: .binary([0xFF])), "\"title\""),
      (Array(Fixture.row().dropLast()), "6 fields, where its relation has 7"),
    ]
    for (row, words) in cases {
      let error = try error(row)
      #expect(error.code == .malformedData && error.message.contains(words), "\(words): \(error)")
    }
    // Places that no decoder gives for these bytes.
    let binding = try Fixture.binding()
    let tuple = PgOutputMessage.Tuple([.binary(0..<9)] + [PgOutputMessage.Field](repeating: .null, count: 6))
    let short = [UInt8](repeating: 0, count: 8)
    let error = #expect(throws: SourceError.self) {
      try short.withUnsafeBytes { try binding.event(PgOutputMessage.Insert(relation: 1, new: tuple), in: $0) }
    }
    #expect(error?.message.contains("ends after its message") == true)
  }

  @Test(arguments: testSeeds) func mutatedRowsEndInAnErrorOrInARow(seed: UInt64) throws {
    print("mutated rows, seed \(seed)")
    var random = SeededRandom(seed: seed)
    let bindings = [try Fixture.binding(), try Fixture.binding(identity: .full)]
    let messages = [
      ChangeMessage.insert(Fixture.row()), ChangeMessage.update(Fixture.row(v: .unchanged), key: Fixture.key(3)),
      ChangeMessage.update(Fixture.row(meta: .unchanged), full: Fixture.row()),
      ChangeMessage.delete(key: Fixture.key(3)),
      ChangeMessage.delete(full: Fixture.row()),
    ]
    var refused = 0
    var rows = 0
    for _ in 0..<20_000 {
      var message = random.pick(messages)
      for _ in 0..<Int.random(in: 1...4, using: &random) where message.count > 1 {
        // Not the kind, which is the decoder's business.
        let place = Int.random(in: 1..<message.count, using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: message[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1: message[place] = random.pick([0, 0x7F, 0x80, 0xFF, 0x22, 0x5C, 0x7B])
        case 2: message.insert(random.pick([0, 1, 0x22, 0x62, 0x75]), at: place)
        default: message.removeSubrange(place..<min(place + 3, message.count))
        }
      }
      do {
        switch try random.pick(bindings).event(message) {
        case .write(let row):
          #expect(row.attributes.count == 4 && row.payload.count == 2 && row.previousID != row.id)
          if case .value(.components(let components, _)) = row.vector {
            #expect(components.count == 2 && components.allSatisfy(\.isFinite))
          }
          rows += 1
        case .remove(let id): #expect(id.kind == .int64)
        case nil: break
        }
      } catch is SourceError { refused += 1 }
    }
    #expect(refused > 5_000 && rows > 500, "\(refused) refused, \(rows) rows")
  }
}
