// The checksum of every part of a snapshot and of a journal. Sole user of CChecksum.
//
// May use: CChecksum.

internal import CChecksum

/// CRC-32C (Castagnoli), as in RFC 3720.
enum CRC32C {
  static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    continued(0, bytes)
  }

  /// The checksum of what `checksum` is of, followed by `bytes`.
  static func continued(_ checksum: UInt32, _ bytes: UnsafeRawBufferPointer) -> UInt32 {
    vz_crc32c(checksum, bytes.baseAddress, bytes.count)
  }

  static func checksum(_ bytes: some Collection<UInt8>) -> UInt32 {
    bytes.withContiguousStorageIfAvailable { checksum(UnsafeRawBufferPointer($0)) } ?? checksum(Array(bytes))
  }
}
