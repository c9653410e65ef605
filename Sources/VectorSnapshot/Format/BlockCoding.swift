// One block to and from its stored form, with the buffers of one thread. Beside LZ4PayloadCodec the sole user of CLZ4.
//
// May use: CLZ4. Raw pointers: the bytes are on their way to and from C and a file.

internal import CLZ4

/// Compresses blocks on one thread. Owns three buffers of a block each.
struct BlockEncoder: ~Copyable {
  struct Stored {
    /// Lies in the encoder, until the next block.
    var bytes: UnsafeRawBufferPointer
    var codec: BlockCodec
    var checksum: UInt32
  }

  private let raw: UnsafeMutableRawBufferPointer
  private let shuffled: UnsafeMutableRawBufferPointer
  private let compressed: UnsafeMutableRawBufferPointer

  init(blockBytes: Int) {
    raw = .allocate(byteCount: blockBytes, alignment: 64)
    shuffled = .allocate(byteCount: blockBytes, alignment: 64)
    compressed = .allocate(byteCount: blockBytes, alignment: 64)
  }

  deinit {
    raw.deallocate()
    shuffled.deallocate()
    compressed.deallocate()
  }

  /// Pulls the bytes of `range` and stores them compressed when that saves at least one byte in 32, else as they are.
  /// - Precondition: the range is not empty and not longer than a block.
  func encode(_ section: SnapshotSection, _ range: Range<Int>) -> Stored {
    let content = UnsafeMutableRawBufferPointer(rebasing: raw[0..<range.count])
    section.read(range, content)

    var source = UnsafeRawBufferPointer(content)
    if section.elementSize > 1 {
      let target = UnsafeMutableRawBufferPointer(rebasing: shuffled[0..<range.count])
      ByteShuffle.shuffle(source, into: target, elementSize: section.elementSize)
      source = UnsafeRawBufferPointer(target)
    }
    // LZ4 gives up as soon as its output would exceed the capacity, so the limit also bounds the time that is spent on
    // what does not shrink.
    let capacity = range.count - (range.count + 31) / 32
    let length = LZ4_compress_default(
      source.bindMemory(to: CChar.self).baseAddress, compressed.bindMemory(to: CChar.self).baseAddress,
      Int32(range.count), Int32(capacity))
    let bytes = UnsafeRawBufferPointer(rebasing: length > 0 ? compressed[0..<Int(length)] : raw[0..<range.count])
    return Stored(bytes: bytes, codec: length > 0 ? .lz4 : .raw, checksum: CRC32C.checksum(bytes))
  }
}

/// Checks and decompresses blocks on one thread. Owns two buffers of a block each.
struct BlockDecoder: ~Copyable {
  enum Failure: Error {
    case system(SystemError)
    case endOfFile
    case checksum(expected: UInt32, found: UInt32)
    case compression
  }

  private let stored: UnsafeMutableRawBufferPointer
  private let shuffled: UnsafeMutableRawBufferPointer

  init(blockBytes: Int) {
    stored = .allocate(byteCount: blockBytes, alignment: 64)
    shuffled = .allocate(byteCount: blockBytes, alignment: 64)
  }

  deinit {
    stored.deallocate()
    shuffled.deallocate()
  }

  /// Reads a block from its file and puts its content into `target`.
  ///
  /// A block that is stored as it is goes straight into `target` and is checked there.
  /// - Precondition: the entry has been checked against the file's block length; `target` has its raw length.
  func decode(
    _ block: BlockEntry, elementSize: Int, from file: FileDescriptor, into target: UnsafeMutableRawBufferPointer
  ) throws(Failure) {
    precondition(target.count == Int(block.rawBytes) && Int(block.storedBytes) <= stored.count)
    switch block.codec {
    case .raw:
      try fetch(block, from: file, into: target)
    case .lz4:
      let source = UnsafeMutableRawBufferPointer(rebasing: stored[0..<Int(block.storedBytes)])
      try fetch(block, from: file, into: source)
      guard elementSize > 1 else { return try decompress(source, into: target) }
      let planes = UnsafeMutableRawBufferPointer(rebasing: shuffled[0..<target.count])
      try decompress(source, into: planes)
      ByteShuffle.unshuffle(UnsafeRawBufferPointer(planes), into: target, elementSize: elementSize)
    }
  }

  private func fetch(
    _ block: BlockEntry, from file: FileDescriptor, into target: UnsafeMutableRawBufferPointer
  ) throws(Failure) {
    let count: Int
    do {
      count = try file.read(at: block.offset, into: target)
    } catch {
      throw .system(error)
    }
    guard count == target.count else { throw .endOfFile }
    let found = CRC32C.checksum(UnsafeRawBufferPointer(target))
    guard found == block.checksum else { throw .checksum(expected: block.checksum, found: found) }
  }

  private func decompress(
    _ source: UnsafeMutableRawBufferPointer, into target: UnsafeMutableRawBufferPointer
  ) throws(Failure) {
    let length = LZ4_decompress_safe(
      source.bindMemory(to: CChar.self).baseAddress, target.bindMemory(to: CChar.self).baseAddress,
      Int32(source.count), Int32(target.count))
    guard Int(length) == target.count else { throw .compression }
  }
}
