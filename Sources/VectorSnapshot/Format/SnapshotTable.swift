// The table of a snapshot: its sections, and for each block where it lies, how it is stored and its checksum.
//
// Blocks follow one another without gaps, in the order of the sections. Offsets and raw lengths could therefore be
// computed; they are stored and must agree, so that a wrong table is noticed before a block is read.
//
// May use: nothing but the standard library.

/// How a block is stored. The raw values stand in files.
enum BlockCodec: UInt8, Sendable {
  /// As it is: no shuffle, no compression.
  case raw = 0
  /// Shuffled by the section's element size, then an LZ4 block.
  case lz4 = 1
}

/// Where a block lies and what it must be.
struct BlockEntry: Hashable, Sendable {
  static let encodedBytes = 24

  var offset: Int
  var storedBytes: UInt32
  var rawBytes: UInt32
  /// CRC-32C of the stored bytes, so that nothing unchecked reaches the decompressor.
  var checksum: UInt32
  var codec: BlockCodec
}

/// One section of the table.
struct SectionEntry: Hashable, Sendable {
  static let encodedBytes = 24

  var id: SnapshotSectionID
  var elementSize: Int
  var byteCount: Int
  /// The indices of its blocks in the table.
  var blocks: Range<Int>
}

struct SnapshotTable: Hashable, Sendable {
  var sections: [SectionEntry]
  var blocks: [BlockEntry]

  static func encodedBytes(sections: Int, blocks: Int) -> Int {
    8 + sections * SectionEntry.encodedBytes + blocks * BlockEntry.encodedBytes
  }

  func encode() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.encodedBytes(sections: sections.count, blocks: blocks.count))
    bytes.append(littleEndian: UInt32(sections.count))
    bytes.append(littleEndian: UInt32(blocks.count))
    for section in sections {
      bytes.append(littleEndian: section.id.rawValue)
      bytes.append(UInt8(section.elementSize))
      bytes.append(contentsOf: [0, 0, 0])
      bytes.append(littleEndian: UInt64(section.byteCount))
      bytes.append(littleEndian: UInt32(section.blocks.count))
      bytes.append(contentsOf: [0, 0, 0, 0])
    }
    for block in blocks {
      bytes.append(littleEndian: UInt64(block.offset))
      bytes.append(littleEndian: block.storedBytes)
      bytes.append(littleEndian: block.rawBytes)
      bytes.append(littleEndian: block.checksum)
      bytes.append(block.codec.rawValue)
      bytes.append(contentsOf: [0, 0, 0])
    }
    return bytes
  }
}

// MARK: - Reading

extension SnapshotTable {
  /// Reads a table whose checksum has been compared, and checks it against the file.
  ///
  /// - Parameters:
  ///   - bytes: the whole table, which ends where the footer begins.
  ///   - header, footer: of the same file; the blocks fill what lies between metadata and table.
  /// Complexity: O(bytes), in time and memory.
  static func decode(
    _ bytes: [UInt8], header: SnapshotHeader, footer: SnapshotFooter, context: SnapshotErrorContext
  ) throws(SnapshotError) -> SnapshotTable {
    var reader = ByteReader(bytes)
    func damaged(_ found: String) -> SnapshotError {
      context.corrupted(found, offset: footer.tableOffset + reader.offset)
    }
    guard let sectionCount = reader.read(UInt32.self), let blockCount = reader.read(UInt32.self),
      Int(sectionCount) <= SnapshotFormat.sectionsMax,
      encodedBytes(sections: Int(sectionCount), blocks: Int(blockCount)) == bytes.count
    else { throw damaged("the table's counts do not fit its \(bytes.count) bytes") }

    var sections: [SectionEntry] = []
    var ids: Set<SnapshotSectionID> = []
    var nextBlock = 0
    for _ in 0..<sectionCount {
      guard let section = SectionEntry(from: &reader, firstBlock: nextBlock, blockBytes: header.blockBytes),
        section.blocks.upperBound <= Int(blockCount)
      else { throw damaged("the entry before this byte describes no possible section") }
      guard ids.insert(section.id).inserted else { throw damaged("section \(section.id) is there twice") }
      nextBlock = section.blocks.upperBound
      sections.append(section)
    }
    guard nextBlock == Int(blockCount) else { throw damaged("the table has blocks that belong to no section") }

    var blocks: [BlockEntry] = []
    blocks.reserveCapacity(Int(blockCount))
    var offset = SnapshotFormat.headerBytes + header.metadataBytes
    for section in sections {
      for index in section.blocks {
        let start = (index - section.blocks.lowerBound) * header.blockBytes
        guard let block = BlockEntry(from: &reader), block.offset == offset,
          Int(block.rawBytes) == min(header.blockBytes, section.byteCount - start),
          Int(block.storedBytes) <= footer.tableOffset - offset
        else { throw damaged("the entry before this byte describes no possible block of section \(section.id)") }
        offset += Int(block.storedBytes)
        blocks.append(block)
      }
    }
    guard offset == footer.tableOffset else { throw damaged("the blocks do not end where the table begins") }
    return SnapshotTable(sections: sections, blocks: blocks)
  }
}

extension SectionEntry {
  /// - Returns: nil when the bytes end, a reserved byte is set, or length and number of blocks contradict each other.
  fileprivate init?(from reader: inout ByteReader, firstBlock: Int, blockBytes: Int) {
    guard let id = reader.read(UInt32.self), let elementSize = reader.read(UInt8.self),
      [1, 2, 4, 8].contains(elementSize), let reserved = reader.read(bytes: 3),
      let byteCount = reader.read(UInt64.self), let blockCount = reader.read(UInt32.self),
      let moreReserved = reader.read(UInt32.self), reserved.allSatisfy({ $0 == 0 }), moreReserved == 0
    else { return nil }
    // At most 2³² blocks of 2²⁴ bytes, so neither the product nor the sum below can overflow.
    guard byteCount <= UInt64(blockCount) * UInt64(blockBytes),
      (Int(byteCount) + blockBytes - 1) / blockBytes == Int(blockCount)
    else { return nil }
    self.init(
      id: SnapshotSectionID(id), elementSize: Int(elementSize), byteCount: Int(byteCount),
      blocks: firstBlock..<(firstBlock + Int(blockCount)))
  }
}

extension BlockEntry {
  /// - Returns: nil when the bytes end, a reserved byte is set, or the lengths are none that the codec can give.
  fileprivate init?(from reader: inout ByteReader) {
    guard let offset = reader.read(UInt64.self), let exactOffset = Int(exactly: offset),
      let storedBytes = reader.read(UInt32.self), let rawBytes = reader.read(UInt32.self),
      let checksum = reader.read(UInt32.self), let code = reader.read(UInt8.self),
      let codec = BlockCodec(rawValue: code), let reserved = reader.read(bytes: 3), reserved.allSatisfy({ $0 == 0 })
    else { return nil }
    switch codec {
    case .raw:
      guard storedBytes == rawBytes else { return nil }
    case .lz4:
      guard storedBytes < rawBytes, Int(rawBytes) <= SnapshotFormat.expansionMax * Int(storedBytes) else { return nil }
    }
    self.init(offset: exactOffset, storedBytes: storedBytes, rawBytes: rawBytes, checksum: checksum, codec: codec)
  }
}
