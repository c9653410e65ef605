// From binary forms to text, and what is no such form. Against Postgres: StreamTwinTests.

import Testing

@testable import PostgresSource

struct PayloadTextTests {
  private func text(_ type: PayloadText, _ bytes: [UInt8]) -> String? { bytes.withUnsafeBytes { type.text($0) } }

  @Test func everyType() {
    let uuid: [UInt8] = Array(0..<16).map { $0 * 17 }
    let cases: [(PayloadText, [UInt8], String?)] = [
      (.smallint, [0x80, 0], "-32768"), (.integer, [0, 0, 1, 0], "256"),
      (.bigint, [0x80, 0, 0, 0, 0, 0, 0, 0], "-9223372036854775808"), (.boolean, [1], "true"), (.boolean, [0], "false"),
      (.uuid, uuid, "00112233-4455-6677-8899-aabbccddeeff"), (.text, Array("ç \n ".utf8), "ç \n "), (.text, [], ""),
      (.character, Array("a b  ".utf8), "a b"), (.character, Array("   ".utf8), ""),
      (.character, Array("a\t".utf8), "a\t"),
      (.json, Array("{ }".utf8), "{ }"), (.jsonb, [1] + Array("{}".utf8), "{}"),
      (.smallint, [1], nil), (.integer, [0, 0, 0], nil), (.bigint, [], nil), (.boolean, [2], nil), (.boolean, [], nil),
      (.uuid, Array(uuid.dropLast()), nil), (.text, [0xFF], nil), (.character, [0xC3, 0x20], nil), (.jsonb, [], nil),
      (.jsonb, [2, 0x7B, 0x7D], nil), (.jsonb, [1, 0xFF], nil),
    ]
    for (type, bytes, expected) in cases { #expect(text(type, bytes) == expected, "\(type) \(bytes)") }
  }

  @Test func whatASettingHasASayInIsNoPayload() {
    // real, double precision, date, timestamp, timestamptz, interval, bytea, numeric, text[]
    for oid: UInt32 in [700, 701, 1_082, 1_114, 1_184, 1_186, 17, 1_700, 1_009, 0] {
      #expect(PayloadText(typeOID: oid) == nil)
    }
    #expect(Set([21, 23, 20, 16, 2_950, 25, 1_043, 1_042, 114, 3_802].map { PayloadText(typeOID: $0) }).count == 9)
  }
}
