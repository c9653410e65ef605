// The decoder of pgoutput's messages: each kind by bytes made by hand, and what is no message, cut, changed or invented.

import PostgresSource
import TestSupport
import Testing

struct PgOutputDecoderTests {
  /// One message of each kind and form, as bytes and as what they are.
  static let samples: [(bytes: [UInt8], message: PgOutputMessage)] = [
    (
      // 'B', 0/16B3748, 2000-01-01 00:00:01, 731
      [0x42, 0, 0, 0, 0, 0x01, 0x6B, 0x37, 0x48, 0, 0, 0, 0, 0, 0x0F, 0x42, 0x40, 0, 0, 0x02, 0xDB],
      .begin(
        PgOutputMessage.Begin(finalLSN: LSN(rawValue: 0x16B_3748), commitMicroseconds: 1_000_000, transactionID: 731))
    ),
    (
      // 'C', no flags, 0/16B3748, 0/16B3778, a microsecond before 2000
      [0x43, 0, 0, 0, 0, 0, 0x01, 0x6B, 0x37, 0x48, 0, 0, 0, 0, 0x01, 0x6B, 0x37, 0x78]
        + [UInt8](repeating: 0xFF, count: 8),
      .commit(
        PgOutputMessage.Commit(
          commitLSN: LSN(rawValue: 0x16B_3748), endLSN: LSN(rawValue: 0x16B_3778), commitMicroseconds: -1))
    ),
    (
      // 'R', 16385, "public", "t", default, two columns: id (a key, 20, -1), v (70000, 768)
      [0x52, 0, 0, 0x40, 0x01, 0x70, 0x75, 0x62, 0x6C, 0x69, 0x63, 0, 0x74, 0, 0x64, 0, 2]
        + [1, 0x69, 0x64, 0, 0, 0, 0, 20, 0xFF, 0xFF, 0xFF, 0xFF]
        + [0, 0x76, 0, 0, 0x01, 0x11, 0x70, 0, 0, 0x03, 0],
      .relation(
        PgOutputMessage.Relation(
          id: 16_385, schema: "public", name: "t", replicaIdentity: .primaryKey,
          columns: [
            PgOutputMessage.Column(isKey: true, name: "id", typeOID: 20, typeModifier: -1),
            PgOutputMessage.Column(isKey: false, name: "v", typeOID: 70_000, typeModifier: 768),
          ]))
    ),
    (
      // 'R', of pg_catalog, full, no columns
      [0x52, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0xC3, 0xA9, 0, 0x66, 0, 0],
      .relation(
        PgOutputMessage.Relation(id: .max, schema: "", name: "é", replicaIdentity: .full, columns: []))
    ),
    (
      // 'Y', 70000, "public", "vector"
      [0x59, 0, 0x01, 0x11, 0x70, 0x70, 0x75, 0x62, 0x6C, 0x69, 0x63, 0, 0x76, 0x65, 0x63, 0x74, 0x6F, 0x72, 0],
      .type(PgOutputMessage.TypeName(oid: 70_000, schema: "public", name: "vector"))
    ),
    (
      // 'O', 1/2, "far"
      [0x4F, 0, 0, 0, 1, 0, 0, 0, 2, 0x66, 0x61, 0x72, 0],
      .origin(PgOutputMessage.Origin(commitLSN: LSN(rawValue: 1 << 32 | 2), name: "far"))
    ),
    (
      // 'I', 5, 'N', four fields: binary of 2, text of 1, NULL, unchanged
      [0x49, 0, 0, 0, 5, 0x4E, 0, 4, 0x62, 0, 0, 0, 2, 0xAA, 0xBB, 0x74, 0, 0, 0, 1, 0x78, 0x6E, 0x75],
      .insert(
        PgOutputMessage.Insert(
          relation: 5, new: PgOutputMessage.Tuple([.binary(13..<15), .text(20..<21), .null, .unchanged])))
    ),
    (
      // 'U', 5, 'N', one field, binary and empty
      [0x55, 0, 0, 0, 5, 0x4E, 0, 1, 0x62, 0, 0, 0, 0],
      .update(
        PgOutputMessage.Update(relation: 5, old: nil, new: PgOutputMessage.Tuple([.binary(13..<13)])))
    ),
    (
      // 'U', 5, 'K', one field; 'N', one field
      [0x55, 0, 0, 0, 5, 0x4B, 0, 1, 0x62, 0, 0, 0, 1, 7, 0x4E, 0, 1, 0x75],
      .update(
        PgOutputMessage.Update(
          relation: 5, old: .key(PgOutputMessage.Tuple([.binary(13..<14)])),
          new: PgOutputMessage.Tuple([.unchanged])))
    ),
    (
      // 'U', 5, 'O', no field; 'N', no field
      [0x55, 0, 0, 0, 5, 0x4F, 0, 0, 0x4E, 0, 0],
      .update(
        PgOutputMessage.Update(
          relation: 5, old: .full(PgOutputMessage.Tuple([])), new: PgOutputMessage.Tuple([])))
    ),
    (
      // 'D', 5, 'K', two fields
      [0x44, 0, 0, 0, 5, 0x4B, 0, 2, 0x62, 0, 0, 0, 1, 7, 0x6E],
      .delete(
        PgOutputMessage.Delete(relation: 5, old: .key(PgOutputMessage.Tuple([.binary(13..<14), .null]))))
    ),
    (
      // 'D', 5, 'O', one field
      [0x44, 0, 0, 0, 5, 0x4F, 0, 1, 0x74, 0, 0, 0, 2, 0x31, 0x32],
      .delete(PgOutputMessage.Delete(relation: 5, old: .full(PgOutputMessage.Tuple([.text(13..<15)]))))
    ),
    (
      // 'T', two tables, cascade and restart identity
      [0x54, 0, 0, 0, 2, 3, 0, 0, 0, 5, 0, 0, 0, 6],
      .truncate(PgOutputMessage.Truncate(relations: [5, 6], cascades: true, restartsIdentity: true))
    ),
    (
      // 'T', one table, neither
      [0x54, 0, 0, 0, 1, 0, 0, 0, 0, 5],
      .truncate(PgOutputMessage.Truncate(relations: [5], cascades: false, restartsIdentity: false))
    ),
    (
      // 'M', transactional, 0/10, "p", two bytes
      [0x4D, 1, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x70, 0, 0, 0, 0, 2, 0xFE, 0xFF],
      .message(
        PgOutputMessage.LogicalMessage(
          isTransactional: true, lsn: LSN(rawValue: 16), prefix: "p", content: 16..<18))
    ),
    (
      // 'A', 7, 8
      [0x41, 0, 0, 0, 7, 0, 0, 0, 8],
      .streamAbort(PgOutputMessage.StreamAbort(transactionID: 7, subtransactionID: 8))
    ),
    (
      // 'A', 7, 7, with position and time
      [0x41, 0, 0, 0, 7, 0, 0, 0, 7] + [UInt8](repeating: 9, count: 16),
      .streamAbort(PgOutputMessage.StreamAbort(transactionID: 7, subtransactionID: 7))
    ),
  ]

  @Test func everyKind() throws {
    for (bytes, message) in Self.samples { #expect(try PgOutputMessage(bytes) == message) }
  }

  /// No message is the front of another, but for an abort of the short form, which is that of the long one.
  @Test func everyPrefixIsRefused() throws {
    for (bytes, _) in Self.samples {
      for end in 0..<bytes.count where !(bytes[0] == 0x41 && end == 9) {
        let error = try #require(throws: SourceError.self) { try PgOutputMessage(Array(bytes[..<end])) }
        #expect(error.code == .malformedData)
      }
      #expect(throws: SourceError.self) { try PgOutputMessage(bytes + [0]) }
    }
  }

  @Test func whatIsNoMessage() throws {
    let cases: [(bytes: [UInt8], words: String)] = [
      ([], "a kind of 1 bytes is cut off after 0"),
      ([0x53, 0, 0, 0, 1, 1], "unknown kind 83"),
      ([0x43, 1] + [UInt8](repeating: 0, count: 24), "flags 1"),
      ([0x52, 0, 0, 0, 1, 0, 0x74, 0, 0x7A, 0, 0], "unknown replica identity 122"),
      ([0x52, 0, 0, 0, 1, 0, 0x74, 0, 0x64, 0xFF, 0xFF], "-1 columns"),
      ([0x52, 0, 0, 0, 1, 0, 0x74, 0, 0x64, 0x7F, 0xFF, 0, 0, 0], "32767 columns"),
      ([0x52, 0, 0, 0, 1, 0x80, 0, 0x74, 0, 0x64, 0, 0], "not UTF-8"),
      ([0x59, 0, 0, 0, 1, 0x61, 0x62], "a schema has no end"),
      ([0x49, 0, 0, 0, 5, 0x4B, 0, 0], "marked 75"),
      ([0x49, 0, 0, 0, 5, 0x4E, 0xFF, 0xFF], "-1 fields"),
      ([0x49, 0, 0, 0, 5, 0x4E, 0, 9, 0x6E], "9 fields are in 1 bytes"),
      ([0x49, 0, 0, 0, 5, 0x4E, 0, 1, 0x78], "unknown kind 120"),
      ([0x49, 0, 0, 0, 5, 0x4E, 0, 1, 0x62, 0xFF, 0xFF, 0xFF, 0xFF], "length -1"),
      ([0x49, 0, 0, 0, 5, 0x4E, 0, 1, 0x62, 0x7F, 0xFF, 0xFF, 0xFF, 1], "2147483647 bytes is cut off after 1"),
      ([0x55, 0, 0, 0, 5, 0x78], "marked 120"),
      ([0x55, 0, 0, 0, 5, 0x4B, 0, 0, 0x4B, 0, 0], "marked 75"),
      ([0x44, 0, 0, 0, 5, 0x4E, 0, 0], "marked 78"),
      ([0x54, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 5], "4294967295 tables"),
      ([0x54, 0, 0, 0, 1, 4, 0, 0, 0, 5], "options 4"),
      ([0x4D, 1, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x70, 0, 0xFF, 0, 0, 0], "length -16777216"),
      ([0x41, 0, 0, 0, 7, 0, 0, 0, 8, 1], "16 bytes is cut off after 1"),
    ]
    for (bytes, words) in cases {
      let error = try #require(throws: SourceError.self) { try PgOutputMessage(bytes) }
      #expect(error.code == .malformedData && error.message.contains(words), "\(bytes): \(error.message)")
    }
  }

  @Test func theEncoderWritesWhatTheDecoderReads() throws {
    let fields: [[UInt8]?] = [[1, 2, 3], nil, [], Array(repeating: 9, count: 300)]
    let bytes = PgOutputEncoder.insert(relation: 0xDEAD_BEEF, fields: fields)
    let twin =
      PgOutputBytes.letter("I") + PgOutputBytes.big(UInt32(0xDEAD_BEEF)) + PgOutputBytes.letter("N")
      + PgOutputBytes.tuple(fields.map { $0.map { .binary($0) } ?? .null })
    #expect(bytes == twin)
    guard case .insert(let insert) = try PgOutputMessage(bytes) else {
      Issue.record("not an insertion")
      return
    }
    #expect(insert.relation == 0xDEAD_BEEF)
    #expect(
      PgOutputBytes.values(insert.new, in: bytes)
        == PgOutputBytes.values(fields.map { $0.map { .binary($0) } ?? .null }))
  }
}

// MARK: Random messages

extension PgOutputDecoderTests {
  private static func values(_ random: inout SeededRandom) -> [PgOutputBytes.Value] {
    (0..<Int.random(in: 0...6, using: &random)).map { _ in
      let bytes = (0..<Int.random(in: 0...20, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      return switch Int.random(in: 0..<4, using: &random) {
      case 0: .null
      case 1: .unchanged
      case 2: .text(bytes)
      default: .binary(bytes)
      }
    }
  }

  /// An update with rows at random: the form with the most parts.
  private static func update(_ random: inout SeededRandom) -> (
    bytes: [UInt8], old: [PgOutputBytes.Value], new: [PgOutputBytes.Value]
  ) {
    let old = values(&random)
    let new = values(&random)
    let bytes =
      PgOutputBytes.letter("U") + PgOutputBytes.big(UInt32.random(in: 0...(.max), using: &random))
      + PgOutputBytes.letter("K") + PgOutputBytes.tuple(old) + PgOutputBytes.letter("N") + PgOutputBytes.tuple(new)
    return (bytes, old, new)
  }

  @Test(arguments: testSeeds) func randomRows(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    for _ in 0..<500 {
      let (bytes, old, new) = Self.update(&random)
      guard case .update(let update) = try PgOutputMessage(bytes), case .key(let key)? = update.old else {
        Issue.record("seed \(seed): \(bytes) is not an update with a key")
        return
      }
      #expect(PgOutputBytes.values(key, in: bytes) == PgOutputBytes.values(old), "seed \(seed)")
      #expect(PgOutputBytes.values(update.new, in: bytes) == PgOutputBytes.values(new), "seed \(seed)")
    }
  }

  /// Whatever comes, it decodes or it throws; and what decodes names only bytes that are there.
  @Test(arguments: testSeeds) func hostileBytes(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var decoded = 0
    var refused = 0
    func attempt(_ bytes: [UInt8]) {
      do throws(SourceError) {
        let message = try PgOutputMessage(bytes)
        decoded += 1
        for range in Self.ranges(message) where range.lowerBound < 0 || range.upperBound > bytes.count {
          Issue.record("seed \(seed): \(bytes) gives the range \(range)")
        }
      } catch {
        refused += 1
        if error.code != .malformedData || error.message.isEmpty {
          Issue.record("seed \(seed): \(bytes) gives \(error)")
        }
      }
    }
    for _ in 0..<2_000 {
      var bytes =
        Bool.random(using: &random)
        ? Self.samples[Int.random(in: 0..<Self.samples.count, using: &random)].bytes : Self.update(&random).bytes
      switch Int.random(in: 0..<4, using: &random) {
      case 0:
        // Some bytes become others.
        for _ in 0..<Int.random(in: 1...4, using: &random) {
          bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
      case 1: bytes.removeLast(Int.random(in: 0...bytes.count, using: &random))
      case 2:
        let extra = (0..<Int.random(in: 1...8, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        bytes.insert(contentsOf: extra, at: Int.random(in: 0...bytes.count, using: &random))
      default:
        // Nothing of it is a message but, perhaps, its kind.
        let kinds = Array("BCRYOIUDTMA".utf8)
        bytes =
          [kinds[Int.random(in: 0..<kinds.count, using: &random)]]
          + (0..<Int.random(in: 0...60, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      }
      attempt(bytes)
    }
    // Both happen, or the test has tested nothing.
    #expect(decoded > 10 && refused > 100, "seed \(seed): \(decoded) decoded, \(refused) refused")
  }

  private static func ranges(_ message: PgOutputMessage) -> [Range<Int>] {
    func ranges(_ tuple: PgOutputMessage.Tuple) -> [Range<Int>] {
      tuple.fields.compactMap { field in
        switch field {
        case .null, .unchanged: nil
        case .text(let range), .binary(let range): range
        }
      }
    }
    func ranges(_ old: PgOutputMessage.OldRow) -> [Range<Int>] {
      switch old {
      case .key(let tuple), .full(let tuple): ranges(tuple)
      }
    }
    return switch message {
    case .insert(let insert): ranges(insert.new)
    case .update(let update): (update.old.map(ranges) ?? []) + ranges(update.new)
    case .delete(let delete): ranges(delete.old)
    case .message(let message): [message.content]
    case .begin, .commit, .relation, .truncate, .type, .origin, .streamAbort: []
    }
  }
}
