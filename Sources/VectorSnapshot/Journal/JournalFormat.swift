// The fixed numbers of the journal's format, and its two fixed parts: a segment's header and a record's.
// docs/JOURNAL.md draws them byte by byte and is normative.
//
// May use: Format of this module.

enum JournalFormat {
  static let version: UInt32 = 1
  /// As the snapshot's, with a letter of its own.
  static let magic: [UInt8] = [0x89, 0x56, 0x5A, 0x4A, 0x0D, 0x0A, 0x1A, 0x0A]  // \x89 V Z J \r \n \x1A \n

  static let segmentHeaderBytes = 64
  static let recordHeaderBytes = 16
  /// Postgres bounds a message by 1 GiB; the rest is for what an owner puts around it.
  static let bodyBytesMax = 1 << 30 + 1 << 16

  /// No journal comes there, so a number or a position beyond is a lie; sums with those below do not overflow.
  static let numberMax: UInt64 = 1 << 62

  /// A flag of records: one of those that stand at the start of their segment.
  static let openingFlag: UInt8 = 1

  /// Where the checksums of a journal's records begin, so that no record of another journal passes for one of this.
  static func seed(identity: UInt64) -> UInt32 {
    withUnsafeBytes(of: identity.littleEndian) { CRC32C.checksum($0) }
  }
}

/// The first 64 bytes of a segment. Magic, version and checksum keep their places in every version.
struct JournalSegmentHeader: Hashable, Sendable {
  var number: UInt64
  /// Where the segment's first byte stands in the whole journal.
  var position: UInt64
  /// The same in all segments of one journal.
  var identity: UInt64
  /// How many opening records follow. The segment has its name only since all of them were durable.
  var openingCount: UInt32

  /// The 64 bytes, and the checksum in their last four.
  func encode() -> (bytes: [UInt8], checksum: UInt32) {
    var bytes = JournalFormat.magic
    bytes.append(littleEndian: JournalFormat.version)
    bytes.append(littleEndian: openingCount)
    bytes.append(littleEndian: number)
    bytes.append(littleEndian: position)
    bytes.append(littleEndian: identity)
    bytes.append(contentsOf: repeatElement(0, count: JournalFormat.segmentHeaderBytes - 4 - bytes.count))
    let checksum = CRC32C.checksum(bytes)
    bytes.append(littleEndian: checksum)
    return (bytes, checksum)
  }

  /// - Parameter bytes: the first 64 bytes of the file, or all when it has fewer.
  static func decode(
    _ bytes: [UInt8], context: SnapshotErrorContext
  ) throws(SnapshotError) -> (header: JournalSegmentHeader, checksum: UInt32) {
    var reader = ByteReader(bytes)
    guard let magic = reader.read(bytes: JournalFormat.magic.count), let version = reader.read(UInt32.self),
      let openingCount = reader.read(UInt32.self), let number = reader.read(UInt64.self),
      let position = reader.read(UInt64.self), let identity = reader.read(UInt64.self),
      let reserved = reader.read(bytes: JournalFormat.segmentHeaderBytes - 4 - reader.offset),
      let checksum = reader.read(UInt32.self)
    else { throw context.truncated("it has \(bytes.count) bytes, fewer than a header") }

    guard magic.elementsEqual(JournalFormat.magic) else {
      throw context.corrupted("it does not begin with a journal's first eight bytes", offset: 0)
    }
    guard CRC32C.checksum(bytes.dropLast(4)) == checksum else {
      throw context.corrupted("the header does not match its checksum", offset: 0)
    }
    guard version == JournalFormat.version else {
      throw SnapshotError(
        .unsupportedVersion, path: context.path,
        message: "\(context.path) has journal format version \(version), and this program reads version "
          + "\(JournalFormat.version). Use the release that wrote it. Otherwise: \(context.advice)")
    }
    guard number <= JournalFormat.numberMax, position <= JournalFormat.numberMax else {
      throw context.corrupted("segment \(number) at position \(position) is beyond what can be", offset: 16)
    }
    guard reserved.allSatisfy({ $0 == 0 }) else {
      throw context.corrupted("reserved bytes of the header are not zero", offset: 40)
    }
    return (
      JournalSegmentHeader(number: number, position: position, identity: identity, openingCount: openingCount), checksum
    )
  }
}

/// The 16 bytes in front of a record's body.
struct JournalRecordHeader: Hashable, Sendable {
  var checksum: UInt32
  /// That of the record before, or of the segment's header: what an earlier, longer tail of the file left behind has
  /// another.
  var previousChecksum: UInt32
  var bodyBytes: UInt32
  /// The kind in the lowest byte, the flags in the next; the others are zero.
  private var kindAndFlags: UInt32

  var kind: UInt8 { UInt8(truncatingIfNeeded: kindAndFlags) }
  var flags: UInt8 { UInt8(truncatingIfNeeded: kindAndFlags >> 8) }
  var isOpening: Bool { flags & JournalFormat.openingFlag != 0 }
  /// Whether a writer of this version could have written these.
  var isKnown: Bool { kind != 0 && kindAndFlags >> 8 & ~UInt32(JournalFormat.openingFlag) == 0 }

  /// The header of a record that is to be written.
  /// - Precondition: the body is not longer than the format allows.
  init(
    kind: UInt8, isOpening: Bool, body: UnsafeRawBufferPointer, position: UInt64, previousChecksum: UInt32, seed: UInt32
  ) {
    precondition(body.count <= JournalFormat.bodyBytesMax)
    checksum = 0
    self.previousChecksum = previousChecksum
    bodyBytes = UInt32(body.count)
    kindAndFlags = UInt32(kind) | UInt32(isOpening ? JournalFormat.openingFlag : 0) << 8
    checksum = expectedChecksum(body: body, position: position, seed: seed)
  }

  /// - Precondition: there are at least 16 bytes.
  init(decoding bytes: UnsafeRawBufferPointer) {
    precondition(bytes.count >= JournalFormat.recordHeaderBytes)
    checksum = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
    previousChecksum = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    bodyBytes = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
    kindAndFlags = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
  }

  /// Lends the 16 bytes.
  func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    let words = (
      checksum.littleEndian, previousChecksum.littleEndian, bodyBytes.littleEndian, kindAndFlags.littleEndian
    )
    return withUnsafeBytes(of: words) { body($0) }
  }

  /// CRC-32C of the journal's identity (in the seed), the record's position, this header's last 12 bytes and the body.
  func expectedChecksum(body: UnsafeRawBufferPointer, position: UInt64, seed: UInt32) -> UInt32 {
    let words = (
      position.littleEndian, previousChecksum.littleEndian, bodyBytes.littleEndian, kindAndFlags.littleEndian
    )
    // 8 + 3 × 4 bytes: no padding.
    return CRC32C.continued(withUnsafeBytes(of: words) { CRC32C.continued(seed, $0) }, body)
  }
}
