// The checksum, in each of its variants: known values, the definition computed bit by bit, and parts one after the other.

import CChecksum
import Testing

@Suite struct CRC32CTests {
  static let variants = [VZ_CRC32C_TABLE, VZ_CRC32C_SSE42, VZ_CRC32C_ARMV8].filter(vz_crc32c_is_supported)

  /// RFC 3720, B.4, and the check value of the CRC catalogue.
  static let vectors: [(bytes: [UInt8], checksum: UInt32)] = [
    ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
    ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
    (Array(0..<32), 0x46DD_794E),
    (Array((0..<32).reversed()), 0x113F_DB5C),
    (Array("123456789".utf8), 0xE306_9283),
    ([], 0),
  ]

  @Test(arguments: vectors)
  func knownVectors(bytes: [UInt8], checksum: UInt32) {
    #expect(vz_crc32c(0, bytes, bytes.count) == checksum)
    for variant in Self.variants {
      #expect(vz_crc32c_by(variant, 0, bytes, bytes.count) == checksum, "variant \(variant.rawValue)")
    }
  }

  @Test func theTableRunsEverywhere() {
    #expect(vz_crc32c_is_supported(VZ_CRC32C_TABLE))
  }

  /// Every supported variant against the bit-by-bit definition, at lengths around the lanes and at every alignment.
  @Test func variantsAgreeWithTheDefinition() {
    var generator = SeededGenerator(seed: 1)
    let bytes = generator.bytes(3 * 4_096 + 3 * 256 + 64)
    var lengths = Array(0...40)
    for edge in [256, 3 * 256, 4_096, 3 * 4_096, 3 * 4_096 + 3 * 256] {
      lengths += [edge - 1, edge, edge + 1, edge + 9]
    }
    for (round, length) in lengths.enumerated() {
      let offset = round % 8
      let start = UInt32(truncatingIfNeeded: generator.next())
      let slice = Array(bytes[offset..<(offset + length)])
      let expected = Self.byDefinition(start, slice)
      for variant in Self.variants {
        let found = bytes.withUnsafeBytes {
          vz_crc32c_by(variant, start, $0.baseAddress.map { $0 + offset }, length)
        }
        #expect(found == expected, "variant \(variant.rawValue), \(length) bytes at offset \(offset)")
      }
    }
  }

  @Test func continuesFromAnEarlierPart() {
    var generator = SeededGenerator(seed: 2)
    let bytes = generator.bytes(10_000)
    let whole = vz_crc32c(0, bytes, bytes.count)
    for cut in [0, 1, 8, 4_096, 9_999, 10_000] {
      let front = Array(bytes[..<cut])
      let back = Array(bytes[cut...])
      #expect(vz_crc32c(vz_crc32c(0, front, front.count), back, back.count) == whole)
    }
  }

  /// The remainder of the division by the polynomial, one bit at a time.
  private static func byDefinition(_ start: UInt32, _ bytes: [UInt8]) -> UInt32 {
    var crc = ~start
    for byte in bytes {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82F6_3B78 : crc >> 1 }
    }
    return ~crc
  }
}
