// The fixed numbers of the snapshot format, and its two fixed parts: the header in front and the footer at the end.
// docs/SNAPSHOT.md draws the file byte by byte and is normative.
//
//     header   64 bytes
//     metadata
//     blocks   one after the other, without gaps
//     table    what the sections are and where their blocks lie
//     footer   40 bytes
//
// May use: nothing but the standard library.

enum SnapshotFormat {
  /// The version that is written, and those that are read. Version 1 is laid out alike and holds less (docs/SNAPSHOT.md).
  static let version: UInt32 = 2
  static let versionsRead: ClosedRange<UInt32> = 1...2
  /// As PNG's, it shows a transfer that took the file for text: a byte over 127, then both kinds of line ending.
  static let magic: [UInt8] = [0x89, 0x56, 0x5A, 0x53, 0x0D, 0x0A, 0x1A, 0x0A]  // \x89 V Z S \r \n \x1A \n
  static let endMagic: [UInt8] = [0x56, 0x5A, 0x53, 0x45, 0x4E, 0x44, 0x0D, 0x0A]  // V Z S E N D \r \n

  static let headerBytes = 64
  static let footerBytes = 40
  static let blockBytesMin = 4 << 10
  static let blockBytesMax = 16 << 20
  static let metadataBytesMax = 1 << 20
  static let sectionsMax = 1_024
  /// Room for about 2.8 million blocks. It bounds what a reader allocates before it has seen a single block.
  static let tableBytesMax = 64 << 20
  /// LZ4 cannot expand a block further than this, so a longer claim is false.
  static let expansionMax = 255

  static func isBlockBytes(_ count: Int) -> Bool {
    (blockBytesMin...blockBytesMax).contains(count) && count & (count - 1) == 0
  }
}

/// The first 64 bytes. The magic, the version and the checksum keep their places in every version.
struct SnapshotHeader: Hashable, Sendable {
  var version = SnapshotFormat.version
  var blockBytes: Int
  var metadataBytes: Int
  var metadataChecksum: UInt32

  /// The 64 bytes, and the checksum in their last four.
  func encode() -> (bytes: [UInt8], checksum: UInt32) {
    var bytes = SnapshotFormat.magic
    bytes.append(littleEndian: version)
    bytes.append(littleEndian: UInt32(blockBytes))
    bytes.append(littleEndian: UInt32(metadataBytes))
    bytes.append(littleEndian: metadataChecksum)
    bytes.append(contentsOf: repeatElement(0, count: SnapshotFormat.headerBytes - 4 - bytes.count))
    let checksum = CRC32C.checksum(bytes)
    bytes.append(littleEndian: checksum)
    return (bytes, checksum)
  }

  /// - Parameter bytes: the first 64 bytes of the file, or all when it has fewer.
  static func decode(
    _ bytes: [UInt8], context: SnapshotErrorContext
  ) throws(SnapshotError) -> (header: SnapshotHeader, checksum: UInt32) {
    let magic = SnapshotFormat.magic
    guard bytes.starts(with: magic.prefix(bytes.count)) else {
      throw context.notASnapshot("it does not begin with a snapshot's first eight bytes")
    }
    var reader = ByteReader(bytes, at: magic.count)
    guard bytes.count == SnapshotFormat.headerBytes, let version = reader.read(UInt32.self),
      let blockBytes = reader.read(UInt32.self), let metadataBytes = reader.read(UInt32.self),
      let metadataChecksum = reader.read(UInt32.self),
      let reserved = reader.read(bytes: SnapshotFormat.headerBytes - 4 - reader.offset),
      let checksum = reader.read(UInt32.self)
    else { throw context.truncated("it has \(bytes.count) bytes, fewer than a header") }

    guard CRC32C.checksum(bytes.dropLast(4)) == checksum else {
      throw context.corrupted("the header does not match its checksum", offset: 0)
    }
    guard SnapshotFormat.versionsRead.contains(version) else {
      throw context.unsupportedVersion(found: version, supported: SnapshotFormat.versionsRead)
    }
    guard SnapshotFormat.isBlockBytes(Int(blockBytes)) else {
      throw context.corrupted("a block length of \(blockBytes) bytes is not allowed", offset: 12)
    }
    guard Int(metadataBytes) <= SnapshotFormat.metadataBytesMax else {
      throw context.corrupted("metadata of \(metadataBytes) bytes is not allowed", offset: 16)
    }
    guard reserved.allSatisfy({ $0 == 0 }) else {
      throw context.corrupted("reserved bytes of the header are not zero", offset: 24)
    }
    return (
      SnapshotHeader(
        version: version, blockBytes: Int(blockBytes), metadataBytes: Int(metadataBytes),
        metadataChecksum: metadataChecksum),
      checksum
    )
  }
}

/// The last 40 bytes: they find the table, and show that the file is whole and all of one piece.
struct SnapshotFooter: Hashable, Sendable {
  var tableOffset: Int
  var tableBytes: Int
  var tableChecksum: UInt32
  var headerChecksum: UInt32

  var fileBytes: Int { tableOffset + tableBytes + SnapshotFormat.footerBytes }

  func encode() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(littleEndian: UInt64(fileBytes))
    bytes.append(littleEndian: UInt64(tableOffset))
    bytes.append(littleEndian: UInt32(tableBytes))
    bytes.append(littleEndian: tableChecksum)
    bytes.append(littleEndian: headerChecksum)
    bytes.append(littleEndian: CRC32C.checksum(bytes))
    bytes.append(contentsOf: SnapshotFormat.endMagic)
    return bytes
  }

  /// - Parameters:
  ///   - bytes: the last 40 bytes of the file.
  ///   - fileBytes: the length of the file.
  ///   - header, headerChecksum: as decoded from the front of the same file.
  static func decode(
    _ bytes: [UInt8], fileBytes: Int, header: SnapshotHeader, headerChecksum: UInt32, context: SnapshotErrorContext
  ) throws(SnapshotError) -> SnapshotFooter {
    let footerOffset = fileBytes - SnapshotFormat.footerBytes
    var reader = ByteReader(bytes)
    guard let claimedFileBytes = reader.read(UInt64.self), let tableOffset = reader.read(UInt64.self),
      let tableBytes = reader.read(UInt32.self), let tableChecksum = reader.read(UInt32.self),
      let claimedHeaderChecksum = reader.read(UInt32.self), let checksum = reader.read(UInt32.self),
      let endMagic = reader.read(bytes: SnapshotFormat.endMagic.count), endMagic.elementsEqual(SnapshotFormat.endMagic)
    else { throw context.truncated("its \(fileBytes) bytes do not end as a snapshot does") }

    guard CRC32C.checksum(bytes.prefix(28)) == checksum else {
      throw context.corrupted("the footer does not match its checksum", offset: footerOffset)
    }
    guard claimedFileBytes == UInt64(fileBytes) else {
      throw context.truncated("it has \(fileBytes) bytes and was written with \(claimedFileBytes)")
    }
    guard claimedHeaderChecksum == headerChecksum else {
      throw context.corrupted("its header and its footer are of two different snapshots", offset: footerOffset + 24)
    }
    guard Int(tableBytes) <= SnapshotFormat.tableBytesMax,
      tableOffset >= UInt64(SnapshotFormat.headerBytes + header.metadataBytes), tableOffset <= UInt64(footerOffset),
      Int(tableOffset) + Int(tableBytes) == footerOffset
    else {
      throw context.corrupted(
        "a table of \(tableBytes) bytes at byte \(tableOffset) does not fit the file", offset: footerOffset + 8)
    }
    return SnapshotFooter(
      tableOffset: Int(tableOffset), tableBytes: Int(tableBytes), tableChecksum: tableChecksum,
      headerChecksum: headerChecksum)
  }
}
