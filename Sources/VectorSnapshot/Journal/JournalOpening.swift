// Opens what is in a journal's folder: every record of every segment is checked, a torn tail is cut off, all else that
// is wrong is refused. docs/JOURNAL.md says which is which, and why.
//
// May use: Files and Format of this module.

/// What the folder holds, all of it durable.
struct JournalOpening: Sendable {
  /// Oldest first, without gaps; the last is open for writing. None in a folder without a journal.
  private(set) var segments: [JournalSegment] = []
  private(set) var identity: UInt64 = 0
  /// Where the last segment ends.
  private(set) var end: UInt64 = 0
  private(set) var lastChecksum: UInt32 = 0
  private(set) var recovery = JournalRecovery()

  private let folder: JournalFolder

  /// Reads all, and mends what may be mended.
  init(_ folder: JournalFolder) throws(SnapshotError) {
    self.folder = folder
    let (numbers, leftovers) = try folder.list()
    for path in leftovers {
      try folder.remove(path)
      recovery.removedLeftovers.append(path)
    }
    if let gap = zip(numbers, numbers.dropFirst()).first(where: { $0 + 1 != $1 }) {
      let missing = folder.path(of: gap.0 + 1)
      throw SnapshotError(
        .notFound, path: missing,
        message: "\(missing) is missing, and \(folder.path(of: gap.1)) is there. \(folder.advice)")
    }
    do throws(SnapshotError) {
      for number in numbers { try add(number, isLast: number == numbers.last) }
      // The name of a segment, or the absence of one, was perhaps not durable yet when its writer died.
      if !numbers.isEmpty { try folder.synchronizeNames() }
    } catch {
      close()
      throw error
    }
  }

  /// Closes what is open for writing.
  private mutating func close() {
    guard let last = segments.indices.last, let file = segments[last].file else { return }
    try? folder.fileSystem.close(file)
    segments[last].file = nil
  }

  private mutating func add(_ number: UInt64, isLast: Bool) throws(SnapshotError) {
    let path = folder.path(of: number)
    let context = folder.context(of: number)
    let writer = isLast ? try folder.openForWriting(path) : nil
    do throws(SnapshotError) {
      // What a killed process left to the system is not durable yet. And what the disk once refused, the system may
      // still show as written: forgotten and read again, it is what the disk has.
      if let writer {
        try folder.synchronize(writer, path)
        folder.fileSystem.forget(writer)
      }
      let file: FileDescriptor
      let isBegun: Bool
      do throws(SystemError) {
        file = try FileDescriptor(reading: path)
        isBegun = try Self.isBegun(file)
      } catch {
        throw context.system(error)
      }
      // Number 1 has nothing before it, so a journal whose first segment is not begun begins anew.
      if isLast && !isBegun && (number == 1 || !segments.isEmpty) {
        return try removeUnbegun(path, writer, byteCount: file.byteCount)
      }
      try scan(file, number, writer: writer, context: context)
    } catch {
      if let writer, segments.last?.file != writer { try? folder.fileSystem.close(writer) }
      throw error
    }
  }

  /// Whether anything but zeros is in a file that is long enough for a header.
  private static func isBegun(_ file: FileDescriptor) throws(SystemError) -> Bool {
    guard file.byteCount >= JournalFormat.segmentHeaderBytes else { return false }
    let step = 1 << 20
    for offset in stride(from: 0, to: file.byteCount, by: step) {
      let bytes = try file.read(at: offset, count: min(step, file.byteCount - offset))
      if bytes.contains(where: { $0 != 0 }) { return true }
    }
    return false
  }

  /// Takes a file away of which nothing is part of the journal; the segment before it is the current one again.
  private mutating func removeUnbegun(_ path: String, _ writer: Int32?, byteCount: Int) throws(SnapshotError) {
    recovery.cutBytes = byteCount
    recovery.cutPath = path
    // The segment before gets a writer first, so that a failure leaves all as it was.
    if let last = segments.indices.last {
      segments[last].file = try folder.openForWriting(folder.path(of: segments[last].number))
      segments[last].end = nil
    }
    try folder.remove(path)
    if let writer { try? folder.fileSystem.close(writer) }
  }

  /// Checks a segment, and cuts the tail of the last, which is the one with a writer.
  private mutating func scan(
    _ file: FileDescriptor, _ number: UInt64, writer: Int32?, context: SnapshotErrorContext
  ) throws(SnapshotError) {
    let (header, headerChecksum) = try folder.header(of: file, number)
    if !segments.isEmpty {
      guard header.identity == identity else {
        throw context.corrupted("it is a segment of another journal than the one before it", offset: 32)
      }
      guard header.position == end else {
        throw context.corrupted(
          "it begins at position \(header.position), and the segment before it ends at \(end)", offset: 24)
      }
    }
    var reader = JournalSegmentReader(
      file, position: header.position, offset: JournalFormat.segmentHeaderBytes, limit: file.byteCount,
      previousChecksum: headerChecksum, seed: JournalFormat.seed(identity: header.identity))
    var openingEnd = reader.offset
    var openings = 0
    var records = 0
    var damage: String?
    do throws(SystemError) {
      scan: while true {
        switch try reader.next() {
        case .record(let record, _, _):
          records += 1
          if record.isOpening, openings < Int(header.openingCount), records == openings + 1 {
            openings += 1
            openingEnd = reader.offset
          }
        case .end: break scan
        case .bad(let found):
          damage = found
          break scan
        }
      }
    } catch {
      throw context.system(error)
    }
    if openings < Int(header.openingCount) {
      damage = damage ?? "it has \(openings) of its \(header.openingCount) opening records"
    }
    if let damage {
      guard let writer else { throw context.corrupted(damage, offset: reader.offset) }
      if openings < Int(header.openingCount) {
        guard !segments.isEmpty else { throw context.corrupted(damage, offset: reader.offset) }
        return try removeUnbegun(context.path, writer, byteCount: file.byteCount)
      }
      try folder.cut(writer, context.path, to: reader.offset)
      recovery.cutBytes = file.byteCount - reader.offset
      recovery.cutPath = context.path
    }
    identity = header.identity
    end = header.position + UInt64(reader.offset)
    lastChecksum = reader.previousChecksum ?? headerChecksum
    recovery.recordCount += records
    segments.append(
      JournalSegment(
        number: number, first: header.position, end: writer == nil ? end : nil,
        openingEnd: header.position + UInt64(openingEnd), file: writer, hasName: true))
  }
}

extension JournalFolder {
  /// Reads and checks a segment's header.
  func header(
    of file: FileDescriptor, _ number: UInt64
  ) throws(SnapshotError) -> (header: JournalSegmentHeader, checksum: UInt32) {
    let context = context(of: number)
    let bytes: [UInt8]
    do throws(SystemError) {
      bytes = try file.read(at: 0, count: JournalFormat.segmentHeaderBytes)
    } catch {
      throw context.system(error)
    }
    let (header, checksum) = try JournalSegmentHeader.decode(bytes, context: context)
    guard header.number == number else {
      throw context.corrupted("it is segment \(header.number) under the name of \(number)", offset: 16)
    }
    return (header, checksum)
  }

  fileprivate func openForWriting(_ path: String) throws(SnapshotError) -> Int32 {
    do throws(SystemError) {
      return try fileSystem.open(path)
    } catch {
      throw failure(error, path: path, neededBytes: 0)
    }
  }

  fileprivate func remove(_ path: String) throws(SnapshotError) {
    do throws(SystemError) {
      try fileSystem.remove(path)
    } catch {
      throw failure(error, path: path, neededBytes: 0)
    }
  }

  fileprivate func synchronizeNames() throws(SnapshotError) {
    do throws(SystemError) {
      try fileSystem.synchronizeDirectory(path)
    } catch {
      throw synchronizationFailure(error, path: path)
    }
  }

  fileprivate func cut(_ file: Int32, _ path: String, to byteCount: Int) throws(SnapshotError) {
    do throws(SystemError) {
      try fileSystem.truncate(file, byteCount)
    } catch {
      throw failure(error, path: path, neededBytes: 0)
    }
    try synchronize(file, path)
  }

  fileprivate func synchronize(_ file: Int32, _ path: String) throws(SnapshotError) {
    do throws(SystemError) {
      try fileSystem.synchronizeData(file)
    } catch {
      throw synchronizationFailure(error, path: path)
    }
  }
}
