// Lies with valid checksums: changes a snapshot's bytes and computes all checksums anew, so that what is behind them
// is tested too. Written from docs/SNAPSHOT.md, apart from the code that it tests (it shares the checksum alone).

@testable import VectorSnapshot

struct SnapshotBytes {
  var bytes: [UInt8]

  static let headerBytes = 64
  static let footerBytes = 40

  var metadataBytes: Int { Int(u32(16)) }
  var footerOffset: Int { bytes.count - Self.footerBytes }
  /// Traps on lies over 2⁶³; the tests ask an original for it.
  var tableOffset: Int { Int(u64(footerOffset + 8)) }
  var tableBytes: Int { Int(u32(footerOffset + 16)) }
  var sectionCount: Int { Int(u32(tableOffset)) }
  func sectionEntry(_ index: Int) -> Int { tableOffset + 8 + 24 * index }
  func blockEntry(_ index: Int) -> Int { tableOffset + 8 + 24 * sectionCount + 24 * index }

  func u32(_ offset: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << (8 * $1) } }
  func u64(_ offset: Int) -> UInt64 { (0..<8).reduce(0) { $0 | UInt64(bytes[offset + $1]) << (8 * $1) } }

  mutating func set(_ offset: Int, u32 value: UInt32) {
    for i in 0..<4 { bytes[offset + i] = UInt8(truncatingIfNeeded: value >> (8 * i)) }
  }

  mutating func set(_ offset: Int, u64 value: UInt64) {
    for i in 0..<8 { bytes[offset + i] = UInt8(truncatingIfNeeded: value >> (8 * i)) }
  }

  /// Computes every checksum anew, over what the changed length says where that lies within the file, else over what it
  /// said in `original`.
  mutating func reseal(like original: SnapshotBytes) {
    let metadataBytes = 64 + metadataBytes <= footerOffset ? metadataBytes : original.metadataBytes
    set(20, u32: CRC32C.checksum(bytes[64..<(64 + metadataBytes)]))
    set(60, u32: CRC32C.checksum(bytes[..<60]))
    let footer = footerOffset
    set(footer + 20, u32: CRC32C.checksum(bytes[original.tableOffset..<(original.tableOffset + original.tableBytes)]))
    set(footer + 24, u32: u32(60))
    set(footer + 28, u32: CRC32C.checksum(bytes[footer..<(footer + 28)]))
  }
}
