// What a journal's threads share, under one lock: the segments, the buffer, how far each position has come. Nothing
// here waits for the disk: writes go to the system's memory, and what `fsync` did is told to `finish` and `fail`.
//
// May use: Format and Files of this module.

struct JournalState: Sendable {
  /// Oldest first, without gaps; the last is the current one.
  private(set) var segments: [JournalSegment]
  /// All before is in the current file. What follows is in the buffer, which is empty or begins there.
  private(set) var written: UInt64
  /// All before survives whatever happens.
  private(set) var durable: UInt64
  /// Why nothing more is taken or confirmed.
  private(set) var failure: SnapshotError?

  let seed: UInt32
  private let folder: JournalFolder
  private let identity: UInt64
  private let options: JournalOptions
  private var buffer: [UInt8] = []
  /// Of the last record, or of the header of a segment without one.
  private var lastChecksum: UInt32
  /// What a synchronisation that is under way will have made durable; lowered when that is cut off meanwhile.
  private var synchronizing: UInt64

  /// Goes on with the segments that opening found. All of them is durable.
  init(
    folder: JournalFolder, options: JournalOptions, identity: UInt64, segments: [JournalSegment], end: UInt64,
    lastChecksum: UInt32
  ) {
    precondition(segments.last?.file != nil && segments.last?.end == nil, "the last segment is the current one")
    self.folder = folder
    self.options = options
    self.identity = identity
    self.segments = segments
    self.lastChecksum = lastChecksum
    seed = JournalFormat.seed(identity: identity)
    (written, durable, synchronizing) = (end, end, end)
    buffer.reserveCapacity(options.bufferBytes)
  }

  /// Begins a journal. Nothing of it is in the file before `flush`, or there for others before a synchronisation.
  init(folder: JournalFolder, options: JournalOptions, identity: UInt64) throws(SnapshotError) {
    let header = JournalSegmentHeader(number: 1, position: 0, identity: identity, openingCount: 0).encode()
    let first = try Self.begin(1, at: 0, in: folder, neededBytes: header.bytes.count)
    self.init(
      folder: folder, options: options, identity: identity, segments: [first], end: 0, lastChecksum: header.checksum)
    buffer += header.bytes
    segments[0].openingEnd = end
  }

  var end: UInt64 { written + UInt64(buffer.count) }
  var oldest: UInt64 { segments[0].first }

  /// The last segment; there is always one.
  var current: JournalSegment { segments[last] }
  private var last: Int { segments.count - 1 }

  /// The current segment's file.
  private var file: Int32 {
    guard let file = current.file else { preconditionFailure("the current segment is open") }
    return file
  }

  func checkUsable() throws(SnapshotError) {
    if let failure { throw failure }
  }

  func path(of segment: JournalSegment) -> String {
    segment.hasName ? folder.path(of: segment.number) : folder.temporaryPath(of: segment.number)
  }

  /// Creates the file of a segment that has no name yet.
  private static func begin(
    _ number: UInt64, at first: UInt64, in folder: JournalFolder, neededBytes: Int
  ) throws(SnapshotError) -> JournalSegment {
    let path = folder.temporaryPath(of: number)
    do throws(SystemError) {
      let file = try folder.fileSystem.create(path)
      return JournalSegment(number: number, first: first, openingEnd: first, file: file, hasName: false)
    } catch {
      throw folder.failure(error, path: path, neededBytes: neededBytes)
    }
  }

  /// Closes all files. What is in the buffer is gone.
  mutating func close() {
    for index in segments.indices { closeFile(of: index) }
  }

  private mutating func closeFile(of index: Int) {
    guard let file = segments[index].file else { return }
    // What matters is durable before a file is closed, or is not promised.
    try? folder.fileSystem.close(file)
    segments[index].file = nil
  }
}

// MARK: - Appending

extension JournalState {
  /// On an error, nothing of the record is in the journal.
  mutating func append(
    _ kind: UInt8, isOpening: Bool = false, _ body: UnsafeRawBufferPointer
  ) throws(SnapshotError) -> Range<UInt64> {
    try checkUsable()
    guard body.count <= JournalFormat.bodyBytesMax else {
      throw SnapshotError(
        .exceedsFormat, path: path(of: current),
        message: "A record of \(body.count) bytes is longer than the \(JournalFormat.bodyBytesMax) that a journal "
          + "takes. Postgres sends no such message: look for what made it.")
    }
    let count = JournalFormat.recordHeaderBytes + body.count
    if buffer.count + count > options.bufferBytes { try flush() }
    let start = end
    let header = JournalRecordHeader(
      kind: kind, isOpening: isOpening, body: body, position: start, previousChecksum: lastChecksum, seed: seed)
    if count > options.bufferBytes {
      try writeThrough(header, body)
    } else {
      header.withBytes { buffer.append(contentsOf: $0) }
      buffer.append(contentsOf: body)
    }
    lastChecksum = header.checksum
    return start..<end
  }

  /// Brings the buffer into the file; on an error it keeps what it has.
  mutating func flush() throws(SnapshotError) {
    guard !buffer.isEmpty else { return }
    do throws(SystemError) {
      try output.write(buffer, at: outputOffset)
    } catch {
      throw withdraw(error, neededBytes: buffer.count)
    }
    written += UInt64(buffer.count)
    buffer.removeAll(keepingCapacity: true)
  }

  /// Writes a record that is longer than the buffer, from where it is.
  /// - Precondition: the buffer is empty.
  private mutating func writeThrough(
    _ header: JournalRecordHeader, _ body: UnsafeRawBufferPointer
  ) throws(SnapshotError) {
    precondition(buffer.isEmpty)
    let count = JournalFormat.recordHeaderBytes + body.count
    do throws(SystemError) {
      try output.write(header.withBytes { Array($0) }, at: outputOffset)
      try output.write(body, at: outputOffset + JournalFormat.recordHeaderBytes)
    } catch {
      throw withdraw(error, neededBytes: count)
    }
    written += UInt64(count)
  }

  private var output: OpenFile { OpenFile(number: file, fileSystem: folder.fileSystem) }
  private var outputOffset: Int { Int(written - segments[last].first) }

  /// What came through of a failed write gives its room back. Should that fail too, it is in the way of nothing: what
  /// is written later covers it, and what remains of it does not follow the record before it.
  private func withdraw(_ error: SystemError, neededBytes: Int) -> SnapshotError {
    try? folder.fileSystem.truncate(file, outputOffset)
    return folder.failure(error, path: path(of: current), neededBytes: neededBytes)
  }
}

// MARK: - Cutting

extension JournalState {
  /// Whether the current segment is full. One of nothing but its opening never is: the next would be no shorter.
  var isFull: Bool {
    end - segments[last].first >= UInt64(options.segmentBytes) && end > segments[last].openingEnd
  }

  /// Begins a segment with its opening records. On an error, nothing has changed.
  mutating func roll(opening records: [(kind: JournalRecordKind, body: [UInt8])]) throws(SnapshotError) {
    try checkUsable()
    try flush()
    let (number, first, checksum) = (current.number + 1, written, lastChecksum)
    let header = JournalSegmentHeader(
      number: number, position: first, identity: identity, openingCount: UInt32(records.count)
    ).encode()
    let next = try Self.begin(
      number, at: first, in: folder,
      neededBytes: records.reduce(header.bytes.count) { $0 + JournalFormat.recordHeaderBytes + $1.body.count })
    segments[last].end = first
    segments.append(next)
    buffer += header.bytes
    lastChecksum = header.checksum
    do throws(SnapshotError) {
      for record in records {
        _ = try record.body.span.bytes.withUnsafeBytes { bytes throws(SnapshotError) in
          try append(record.kind.rawValue, isOpening: true, bytes)
        }
      }
    } catch {
      closeFile(of: last)
      // A leftover is in the way of nothing: the next attempt empties it, and opening removes it.
      try? folder.fileSystem.remove(folder.temporaryPath(of: number))
      segments.removeLast()
      segments[last].end = nil
      buffer.removeAll(keepingCapacity: true)
      (written, lastChecksum) = (first, checksum)
      throw error
    }
    segments[last].openingEnd = end
  }

  /// Drops all records from a position on.
  mutating func truncate(to position: UInt64) throws(SnapshotError) {
    try checkUsable()
    // The opening records stay, whoever asks for the place before them.
    let target = max(position, current.openingEnd)
    guard position >= current.first, target <= end else {
      throw misplaced(position, "it is not within the newest segment, which has \(current.first) to \(end)")
    }
    guard target < end else { return }
    let previousChecksum = try checksum(before: target)
    if target >= written {
      buffer.removeLast(Int(end - target))
    } else {
      do throws(SystemError) {
        try folder.fileSystem.truncate(file, Int(target - current.first))
      } catch {
        throw folder.failure(error, path: path(of: current), neededBytes: 0)
      }
      buffer.removeAll(keepingCapacity: true)
      written = target
      durable = min(durable, target)
      synchronizing = min(synchronizing, target)
      segments[last].wasCut = true
    }
    lastChecksum = previousChecksum
  }

  /// The checksum that the record at a position says the record before it has. That record, found sound, shows that the
  /// position is one.
  private func checksum(before target: UInt64) throws(SnapshotError) -> UInt32 {
    let found: UInt32?
    if target >= written {
      found = buffer.span.bytes.withUnsafeBytes { bytes in
        let rest = UnsafeRawBufferPointer(rebasing: bytes[Int(target - written)...])
        return previousChecksum(of: rest, at: target)
      }
    } else {
      let path = path(of: current)
      do throws(SystemError) {
        var reader = JournalSegmentReader(
          try FileDescriptor(reading: path), position: current.first, offset: Int(target - current.first),
          limit: Int(written - current.first), previousChecksum: nil, seed: seed)
        if case .record(let header, _, _) = try reader.next() { found = header.previousChecksum } else { found = nil }
      } catch {
        throw folder.context(of: current.number).system(error)
      }
    }
    guard let found else { throw misplaced(target, "no record begins there") }
    return found
  }

  /// Nil when the bytes do not begin with a whole record.
  private func previousChecksum(of bytes: UnsafeRawBufferPointer, at position: UInt64) -> UInt32? {
    guard bytes.count >= JournalFormat.recordHeaderBytes else { return nil }
    let header = JournalRecordHeader(decoding: bytes)
    let rest = bytes[JournalFormat.recordHeaderBytes...]
    guard Int(header.bodyBytes) <= rest.count else { return nil }
    let body = UnsafeRawBufferPointer(rebasing: rest.prefix(Int(header.bodyBytes)))
    return header.expectedChecksum(body: body, position: position, seed: seed) == header.checksum
      ? header.previousChecksum : nil
  }

  private func misplaced(_ position: UInt64, _ found: String) -> SnapshotError {
    SnapshotError(
      .unusable, path: path(of: current),
      message: "The journal \(folder.path) cannot be cut at position \(position): \(found). It is as it was; start "
        + "again, which reads it from its beginning.")
  }
}

// MARK: - Becoming durable

extension JournalState {
  /// The next file to make durable: the oldest after `number`, and none after `last`.
  mutating func nextSynchronization(after number: UInt64, upTo last: UInt64) -> JournalSynchronization? {
    for index in segments.indices {
      let segment = segments[index]
      guard segment.number > number, segment.number <= last, let file = segment.file else { continue }
      let target = segment.end ?? written
      if segment.end == nil {
        // A segment gets its name with all of its opening, of which some may still be in the buffer when the disk is
        // full.
        guard written >= segment.openingEnd, durable < target || segment.wasCut || !segment.hasName else { continue }
      }
      segments[index].wasCut = false
      synchronizing = target
      return JournalSynchronization(
        number: segment.number, file: file, path: path(of: segment), target: target, hasName: segment.hasName)
    }
    return nil
  }

  /// Gives a segment whose content is durable its name.
  mutating func name(_ number: UInt64) throws(SystemError) {
    guard let index = segments.firstIndex(where: { $0.number == number }) else { return }
    try folder.fileSystem.rename(folder.temporaryPath(of: number), folder.path(of: number))
    segments[index].hasName = true
  }

  /// Notes that a file, and its name, are durable.
  mutating func finish(_ done: JournalSynchronization) {
    durable = max(durable, min(done.target, synchronizing))
    guard let index = segments.firstIndex(where: { $0.number == done.number }), let end = segments[index].end
    else { return }
    // A segment that was left meanwhile may have more than what was made durable, or less.
    if end == done.target && !segments[index].wasCut { closeFile(of: index) }
  }

  mutating func fail(_ error: SnapshotError) {
    failure = failure ?? error
  }

  /// The oldest segment, when it ends at or before a position and the next is durable.
  func removable(before position: UInt64) throws(SnapshotError) -> JournalSegment? {
    try checkUsable()
    guard segments.count > 1, let end = segments[0].end, end <= position, durable > end else { return nil }
    return segments[0]
  }

  mutating func removeOldest() {
    closeFile(of: 0)
    segments.removeFirst()
  }
}
