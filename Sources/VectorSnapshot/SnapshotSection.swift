// A section: one array of the index on its way into a snapshot, and what is known of it in a file.
//
// The container does not know what a section holds; its owner gives it a stable number.
//
// May use: nothing but the standard library.

/// The stable number of a section. It stands in files, so it is never given another meaning.
public struct SnapshotSectionID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  public init(_ rawValue: UInt32) { self.rawValue = rawValue }
  public var description: String { String(rawValue) }
}

/// An array that is to be written into a snapshot, pulled block by block from any thread.
public struct SnapshotSection: Sendable {
  /// Copies the bytes of a range of the section into a buffer of just that length.
  public typealias Read = @Sendable (_ range: Range<Int>, _ destination: UnsafeMutableRawBufferPointer) -> Void

  public let id: SnapshotSectionID
  /// The bytes of one element when its bytes are to be shuffled before compression; 1 for none.
  public let elementSize: Int
  public let byteCount: Int
  let read: Read
  let wasRead: @Sendable () -> Void

  /// - Parameters:
  ///   - elementSize: 2, 4 or 8 groups the first bytes of all elements of a block, then the second bytes, and so on,
  ///     which lets LZ4 find something in numbers whose high bytes are alike. 1 leaves the bytes in their order.
  ///     The order in which the section is read back is always the original one.
  ///   - byteCount: may exceed 4 GiB, and need not be a multiple of `elementSize`.
  ///   - read: called from several threads at once, once for each block, in no particular order. It must fill the
  ///     destination, and the bytes must not change until all are read.
  ///   - wasRead: called once, when all of this section and of those before it has been read. Not called for a section of no bytes, nor
  ///     where the writing fails before.
  /// - Precondition: `elementSize` is 1, 2, 4 or 8; `byteCount` is not negative.
  public init(
    id: SnapshotSectionID, elementSize: Int, byteCount: Int, read: @escaping Read,
    wasRead: @escaping @Sendable () -> Void = {}
  ) {
    precondition([1, 2, 4, 8].contains(elementSize), "a section's element size is 1, 2, 4 or 8 bytes")
    precondition(byteCount >= 0, "a section's length is not negative")
    self.id = id
    self.elementSize = elementSize
    self.byteCount = byteCount
    self.read = read
    self.wasRead = wasRead
  }

  /// A section of bytes that are in memory.
  public init(id: SnapshotSectionID, elementSize: Int = 1, bytes: [UInt8]) {
    self.init(id: id, elementSize: elementSize, byteCount: bytes.count) { range, destination in
      destination.copyBytes(from: bytes[range])
    }
  }
}

/// What a snapshot says of one of its sections.
public struct SnapshotSectionInfo: Hashable, Sendable {
  public let id: SnapshotSectionID
  /// The bytes of one element when its bytes were shuffled before compression; 1 for none.
  public let elementSize: Int
  /// The length of the section's content.
  public let byteCount: Int
  /// The length of its blocks in the file.
  public let storedByteCount: Int
  public let blockCount: Int
  /// How many of its blocks are stored as they are, because they would not shrink.
  public let rawBlockCount: Int

  /// Stored bytes for each byte of content; 1 for an empty section.
  public var ratio: Double { byteCount == 0 ? 1 : Double(storedByteCount) / Double(byteCount) }
}
