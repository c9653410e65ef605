// A block of payload: the texts of some rows, one after the other, compressed as a whole.
//
//     header   u32 bytes as they are   u32 bytes as they are stored; the same = not compressed   u32 rows   u32 zero
//     content  u32 × rows: where each ends, after these   the rows
//     row      for each column u32 bytes, FFFFFFFF = NULL, and UTF-8
//
// All little-endian; a block begins at a multiple of 8. Whoever reads one checks every length against what is there.
//
// May use: nothing but the standard library.

/// How blocks are compressed. The index knows no compression: who makes one gives it.
package protocol PayloadCodec: Sendable {
  /// - Returns: the bytes written to `target`; 0 where there is no room for them.
  func compress(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Int
  /// - Returns: whether `target` was filled to its last byte, and nothing was left over. Whatever `source` holds, nothing else happens.
  func decompress(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Bool
}

enum PayloadBlock {
  static let headerBytes = 16
  static let alignment = 8
  /// About what a block holds before compression: what reading one row costs, against how well rows shrink together.
  static let contentBytes = 16 << 10
  static let rowsMax = 1 << 16
  /// The longest payload of a row. It has a block of its own then.
  static let rowBytesMax = 1 << 20
  static let contentBytesMax = rowBytesMax + contentBytes + 4 * rowsMax
  static let null = UInt32.max

  static func padded(_ bytes: Int) -> Int { (bytes + alignment - 1) / alignment * alignment }
}

// MARK: - Writing

extension PayloadBlock {
  /// A row's bytes.
  static func row(_ values: [String?]) -> [UInt8] {
    var bytes: [UInt8] = []
    for value in values {
      append(value.map { UInt32($0.utf8.count) } ?? null, to: &bytes)
      if let value { bytes.append(contentsOf: value.utf8) }
    }
    return bytes
  }

  /// Makes a block, header included.
  /// - Precondition: 1 to ``rowsMax`` rows.
  static func make(_ rows: [[UInt8]], codec: (any PayloadCodec)?) -> [UInt8] {
    var content: [UInt8] = []
    var end = 0
    for row in rows {
      end += row.count
      append(UInt32(end), to: &content)
    }
    for row in rows { content += row }
    // What does not save an eighth is faster to read as it is.
    let limit = content.count - content.count / 8
    var stored: [UInt8] = []
    if let codec {
      stored = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
        let target = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[0..<limit])
        count = content.withUnsafeBytes { codec.compress($0, into: target) }
      }
    }
    if stored.isEmpty { stored = content }
    var block: [UInt8] = []
    for field in [content.count, stored.count, rows.count, 0] { append(UInt32(field), to: &block) }
    return block + stored
  }

  private static func append(_ value: UInt32, to bytes: inout [UInt8]) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }
}

// MARK: - Reading

extension PayloadBlock {
  /// A block's content, decompressed and checked in its outline.
  struct Content {
    let bytes: [UInt8]
    let rowCount: Int

    /// - Returns: nil when it is none that ``make(_:codec:)`` gives for so many rows.
    init?(_ bytes: [UInt8], rowCount: Int) {
      guard (1...PayloadBlock.rowsMax).contains(rowCount), bytes.count >= 4 * rowCount else { return nil }
      self.bytes = bytes
      self.rowCount = rowCount
      var end = 0
      for row in 0..<rowCount {
        let next = Int(PayloadBlock.u32(bytes, 4 * row))
        guard next >= end else { return nil }
        end = next
      }
      guard 4 * rowCount + end == bytes.count else { return nil }
    }

    /// - Precondition: there is such a row.
    func row(_ number: Int) -> ArraySlice<UInt8> {
      let start = 4 * rowCount
      let first = number == 0 ? 0 : Int(PayloadBlock.u32(bytes, 4 * (number - 1)))
      return bytes[(start + first)..<(start + Int(PayloadBlock.u32(bytes, 4 * number)))]
    }

    /// A row's values; nil when they are not those of so many columns.
    func values(_ number: Int, columns: Int) -> [String?]? {
      let row = row(number)
      var values: [String?] = []
      var offset = row.startIndex
      for _ in 0..<columns {
        guard offset + 4 <= row.endIndex else { return nil }
        let length = PayloadBlock.u32(bytes, offset)
        offset += 4
        guard length != PayloadBlock.null else {
          values.append(nil)
          continue
        }
        guard Int(length) <= row.endIndex - offset,
          let text = String(validating: row[offset..<(offset + Int(length))], as: UTF8.self)
        else { return nil }
        values.append(text)
        offset += Int(length)
      }
      return offset == row.endIndex ? values : nil
    }
  }

  /// What a header says.
  struct Header {
    let contentBytes: Int
    let storedBytes: Int
    let rowCount: Int
    /// Header and padding included.
    var byteCount: Int { PayloadBlock.padded(PayloadBlock.headerBytes + storedBytes) }

    /// - bytes: from the block on.
    /// - Returns: nil when there is none.
    init?(_ bytes: UnsafeRawBufferPointer) {
      guard bytes.count >= PayloadBlock.headerBytes else { return nil }
      func field(_ number: Int) -> Int {
        Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * number, as: UInt32.self)))
      }
      contentBytes = field(0)
      storedBytes = field(1)
      rowCount = field(2)
      guard contentBytes <= PayloadBlock.contentBytesMax, storedBytes <= contentBytes, storedBytes > 0,
        (1...PayloadBlock.rowsMax).contains(rowCount), field(3) == 0, byteCount <= bytes.count
      else { return nil }
    }
  }

  /// - bytes: from the block on.
  /// - Returns: nil when it is damaged, or compressed and there is no codec.
  static func content(_ bytes: UnsafeRawBufferPointer, codec: (any PayloadCodec)?) -> Content? {
    guard let header = Header(bytes) else { return nil }
    let source = UnsafeRawBufferPointer(rebasing: bytes[headerBytes..<(headerBytes + header.storedBytes)])
    if header.contentBytes == header.storedBytes { return Content(Array(source), rowCount: header.rowCount) }
    guard let codec else { return nil }
    var isWhole = false
    let content = [UInt8](unsafeUninitializedCapacity: header.contentBytes) { buffer, count in
      let target = UnsafeMutableRawBufferPointer(
        rebasing: UnsafeMutableRawBufferPointer(buffer)[0..<header.contentBytes])
      isWhole = codec.decompress(source, into: target)
      count = isWhole ? header.contentBytes : 0
    }
    return isWhole ? Content(content, rowCount: header.rowCount) : nil
  }

  fileprivate static func u32(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
    UInt32(bytes[offset]) | UInt32(bytes[offset + 1]) << 8 | UInt32(bytes[offset + 2]) << 16
      | UInt32(bytes[offset + 3]) << 24
  }
}
