// Reads the records of one segment one after the other, each checked before it is given away.
//
// May use: Format and Files of this module. Raw memory: records are read into it and lent from it.

/// Owns a window onto the file: 1 MiB, or as long as the longest record so far needed.
struct JournalSegmentReader: ~Copyable {
  enum Step {
    /// The body lies in the reader, until the next step.
    case record(JournalRecordHeader, range: Range<UInt64>, body: UnsafeRawBufferPointer)
    case end
    /// At `offset` no record stands, and why.
    case bad(String)
  }

  /// Where in the file the next record begins.
  private(set) var offset: Int
  /// That of the record before; nil when it is not known, at the start in the middle of a segment.
  private(set) var previousChecksum: UInt32?

  private let file: FileDescriptor
  private let position: UInt64
  private let limit: Int
  private let seed: UInt32
  private let windowBytes: Int
  private var window: UnsafeMutableRawBufferPointer
  /// What of the file is in the window.
  private var held: Range<Int>

  /// - Parameters:
  ///   - position: of the file's first byte.
  ///   - offset, limit: the bytes of the file to read.
  ///   - seed: where the journal's checksums begin.
  ///   - windowBytes: how much to read at a time; at least the 16 bytes of a record's header.
  init(
    _ file: FileDescriptor, position: UInt64, offset: Int, limit: Int, previousChecksum: UInt32?, seed: UInt32,
    windowBytes: Int = 1 << 20
  ) {
    self.file = file
    self.position = position
    self.offset = offset
    self.limit = limit
    self.previousChecksum = previousChecksum
    self.seed = seed
    self.windowBytes = windowBytes
    window = .allocate(byteCount: windowBytes, alignment: 64)
    held = offset..<offset
  }

  deinit { window.deallocate() }

  /// The next record.
  ///
  /// Lengths are compared with what the file has before anything is allocated for them.
  mutating func next() throws(SystemError) -> Step {
    guard offset < limit else { return .end }
    let headerBytes = JournalFormat.recordHeaderBytes
    guard limit - offset >= headerBytes, let bytes = try fetch(headerBytes) else {
      return .bad("the file ends within the header of a record")
    }
    let header = JournalRecordHeader(decoding: bytes)
    guard header.isKnown else { return .bad("no record begins there") }
    guard previousChecksum == nil || previousChecksum == header.previousChecksum else {
      return .bad("what stands there does not follow the record before it")
    }
    let bodyBytes = Int(header.bodyBytes)
    guard bodyBytes <= JournalFormat.bodyBytesMax else {
      return .bad("a record of \(bodyBytes) bytes is longer than the format allows")
    }
    guard bodyBytes <= limit - offset - headerBytes, let record = try fetch(headerBytes + bodyBytes) else {
      return .bad("the file ends within a record of \(bodyBytes) bytes")
    }
    let body = UnsafeRawBufferPointer(rebasing: record[headerBytes...])
    let start = position + UInt64(offset)
    guard header.expectedChecksum(body: body, position: start, seed: seed) == header.checksum else {
      return .bad("a record does not match its checksum")
    }
    offset += record.count
    previousChecksum = header.checksum
    return .record(header, range: start..<(start + UInt64(record.count)), body: body)
  }

  /// The next `count` bytes, in the window; nil when the file has become shorter than it was said to be.
  /// - Precondition: they lie before the limit.
  private mutating func fetch(_ count: Int) throws(SystemError) -> UnsafeRawBufferPointer? {
    precondition(count <= limit - offset)
    if offset + count > held.upperBound {
      // Records follow one another without gaps, so what is held reaches at least to the offset; and it is less than
      // `count`.
      let rest = UnsafeRawBufferPointer(rebasing: window[(offset - held.lowerBound)..<held.count])
      if count > window.count {
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64)
        larger.copyMemory(from: rest)
        window.deallocate()
        window = larger
      } else {
        window.copyMemory(from: rest)
      }
      held = offset..<(offset + rest.count)
      let end = min(max(count, windowBytes), limit - offset)
      let read = try file.read(
        at: held.upperBound, into: UnsafeMutableRawBufferPointer(rebasing: window[held.count..<end]))
      held = offset..<(held.upperBound + read)
      guard held.count >= count else { return nil }
    }
    let start = offset - held.lowerBound
    return UnsafeRawBufferPointer(rebasing: window[start..<(start + count)])
  }
}
