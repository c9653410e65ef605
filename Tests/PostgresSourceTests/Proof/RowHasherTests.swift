// The bytes that hashes are made of, written out by hand. Against Postgres: ProofTwinTests.

import Testing
import VectorIndex

@testable import PostgresSource

struct RowHasherTests {
  private func hash(_ bytes: [UInt8]) -> UInt64 { UInt64(md5Hex(bytes).prefix(16), radix: 16) ?? 0 }

  @Test func theBytesOfARow() throws {
    let description = SourceDescription.made(
      keys: [
        SourceDescription.KeyColumn(name: "a", type: .smallint), SourceDescription.KeyColumn(name: "b", type: .uuid),
        SourceDescription.KeyColumn(name: "c", type: .text),
      ], dimension: 1,
      attributes: [
        try .plain("flag", .bool), try .plain("n", .integer), try .plain("x", .real), try .plain("at", .timestamptz),
        try .plain("u", .uuid), try .plain("w", .text), try .plain("ns", .bigint, isArray: true),
        try .plain("ws", .text, isArray: true), .place("ju", "meta", [.key("u")], .uuid),
        .place("jt", "meta", [.key("t")], .timestamp), .place("js", "meta", [.key("s")], .keyword),
        .place("jus", "meta", [.key("us")], .uuidArray), try .plain("gone", .text),
      ],
      payload: ["p", "q"])
    var hasher = RowHasher(description)
    #expect(hasher.notCompared == ["ju", "jt", "jus"])
    let id = RecordID.composite([.int64(-2), .uuid(high: 1, low: 2), .text("é ")])
    let key: [UInt8] =
      [0, 0, 0, 8, 255, 255, 255, 255, 255, 255, 255, 254] + [
        0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2,
      ]
      + [0, 0, 0, 3, 0xC3, 0xA9, 0x20]
    #expect(hasher.bucket(of: id) == Int(hash(key) & 0xFFF))
    let values: [AttributeValue] = [
      .bool(true), .int64(-1), .float64(-0.0), .timestamp(.max), .uuid(high: 3, low: 4), .keyword("ç"),
      .array([.int64(5), .null]), .array([]), .uuid(high: 9, low: 9), .timestamp(1), .keyword(""),
      .array([.uuid(high: 9, low: 9)]), .null,
    ]
    let bytes: [UInt8] =
      key + [0, 1, 2, 3, 4, 5, 6, 7] + [1, 0, 0, 0, 1, 1] + [1, 0, 0, 0, 8] + [UInt8](repeating: 255, count: 8)
      + [1, 0, 0, 0, 8] + [UInt8](repeating: 0, count: 8)
      + [1, 0, 0, 0, 8, 127] + [UInt8](repeating: 255, count: 7)
      + [1, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4] + [1, 0, 0, 0, 2, 0xC3, 0xA7]
      + [1, 0, 0, 0, 18, 0, 0, 0, 2, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5, 0] + [1, 0, 0, 0, 4, 0, 0, 0, 0]
      + [1, 0, 0, 0, 0] + [0] + [0] + [1, 0, 0, 0, 1, 0x70]
    #expect(
      hasher.row(id, vectorHash: 0x0001_0203_0405_0607, attributes: values, payload: [nil, "p"]) == hash(bytes))
    // The buffer does not remember.
    #expect(hasher.bucket(of: id) == Int(hash(key) & 0xFFF))
  }

  @Test func numbersThatAreEqualHaveOneHash() throws {
    let description = SourceDescription.made(
      keys: [SourceDescription.KeyColumn(name: "id", type: .bigint)], dimension: 1,
      attributes: [try .plain("x", .double)])
    var hasher = RowHasher(description)
    func row(_ number: Double) -> UInt64 {
      hasher.row(.int64(1), vectorHash: 0, attributes: [.float64(number)], payload: [])
    }
    #expect(row(-0.0) == row(0) && row(.nan) == row(-.nan) && row(.nan) == row(.signalingNaN))
    #expect(Set([0, .nan, 1, -1, .infinity, -.infinity, .leastNonzeroMagnitude].map(row)).count == 7)
    let key: [UInt8] = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1] + [UInt8](repeating: 0, count: 8)
    #expect(row(.nan) == hash(key + [1, 0, 0, 0, 8, 0x7F, 0xF8, 0, 0, 0, 0, 0, 0]))
  }

  @Test func sumsForgetTheOrder() {
    var sum = BucketSum()
    let rows: [UInt64] = [.max, 1, 7, 7, 1 << 63]
    for row in rows { sum.add(row) }
    #expect(sum.count == 5 && sum.sum == rows.reduce(0, &+) && sum.xor == rows.reduce(0, ^))
    var reversed = BucketSum()
    for row in rows.reversed() { reversed.add(row) }
    #expect(reversed == sum)
    for row in rows { sum.remove(row) }
    #expect(sum == BucketSum())
  }
}
