// MD5: the test suite of RFC 1321, and Postgres's md5().

import CChecksum
import Testing

@testable import PostgresSource

func md5Hex(_ bytes: [UInt8]) -> String {
  var digest = [UInt8](repeating: 0, count: 16)
  bytes.withUnsafeBytes { vz_md5($0.baseAddress, $0.count, &digest) }
  return digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

struct MD5Tests {
  @Test func testSuiteOfTheRFC() {
    let cases: [(String, String)] = [
      ("", "d41d8cd98f00b204e9800998ecf8427e"), ("a", "0cc175b9c0f1b6a831c399e269772661"),
      ("abc", "900150983cd24fb0d6963f7d28e17f72"), ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
      ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
      ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "d174ab98d277d9f5a5611c2c9f419d9f"),
      (String(repeating: "1234567890", count: 8), "57edf4a22be3c955ac49da2e2107b67a"),
    ]
    for (text, digest) in cases {
      let bytes = Array(text.utf8)
      #expect(md5Hex(bytes) == digest)
      #expect(bytes.withUnsafeBytes { MD5.first64($0) } == UInt64(digest.prefix(16), radix: 16))
    }
  }

  /// Lengths around each place where the padding takes another form, and some longer ones.
  @Test func againstPostgres() throws {
    var generator = SeededGenerator(seed: 0x5EED_003D)
    let connection = try Connection(LiveDatabase.serverOptions(), stop: StopFlag())
    let lengths = Array(0...200) + [255, 256, 1_000, 3_080, 65_536]
    let inputs = lengths.map { length in (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) } }
    let hex = inputs.map { bytes in bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
    let rows = try connection.query(
      "SELECT md5(decode(h, 'hex')) FROM unnest($1::text[]) WITH ORDINALITY AS x (h, i) ORDER BY i",
      [SQLText.textArray(hex)])
    #expect(rows.count == inputs.count)
    for (bytes, row) in zip(inputs, rows) { #expect(md5Hex(bytes) == row[0], "\(bytes.count) bytes") }
  }
}
