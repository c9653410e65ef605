// Reading a journal while it is written.
//
// May use: Files and Format of this module.

extension Journal {
  /// Gives the records from a position on to `body`, oldest first, until that returns false.
  ///
  /// Takes 1 MiB of memory, or as much as the longest record. Appending goes on meanwhile, also from within `body`.
  /// What is still in the buffer is written to the file first, when it is asked for.
  /// - Parameters:
  ///   - start: ``oldestPosition``, or where a record begins or ended.
  ///   - end: where to stop; records that begin before it are given. Nil: the end at the time of the call.
  ///   - body: is lent the record's bytes for the time of its call.
  /// - Returns: where the last record that was given ended; `start` when there was none.
  /// - Throws: ``SnapshotError/Code/notFound`` when that part was removed; ``SnapshotError/Code/corrupted`` when no
  ///   record begins at `start` or the file is not what was checked at opening; ``SnapshotError/Code/noSpace``;
  ///   ``SnapshotError/Code/io``; ``SnapshotError/Code/unsynchronized``.
  @discardableResult
  public func read(
    from start: JournalPosition, to end: JournalPosition? = nil, _ body: (JournalRecord, RawSpan) -> Bool
  ) throws(SnapshotError) -> JournalPosition {
    let parts = try parts(from: start.rawValue, to: end?.rawValue)
    var position = start
    for part in parts {
      guard try read(part, &position, body) else { break }
    }
    return position
  }

  /// - Returns: whether to go on.
  private func read(
    _ part: JournalPart, _ position: inout JournalPosition, _ body: (JournalRecord, RawSpan) -> Bool
  ) throws(SnapshotError) -> Bool {
    let context = folder.context(of: part.number)
    let file = try open(part, context)
    let (header, headerChecksum) = try folder.header(of: file, part.number)
    let isWhole = part.offset <= JournalFormat.segmentHeaderBytes
    var reader = JournalSegmentReader(
      file, position: header.position, offset: max(part.offset, JournalFormat.segmentHeaderBytes), limit: part.limit,
      previousChecksum: isWhole ? headerChecksum : nil, seed: JournalFormat.seed(identity: identity))
    // What lies behind the end is not even looked at: it may be dropped just now.
    while header.position + UInt64(reader.offset) < part.end {
      let step: JournalSegmentReader.Step
      do throws(SystemError) { step = try reader.next() } catch { throw context.system(error) }
      switch step {
      case .end: return true
      case .bad(let found): throw context.corrupted(found, offset: reader.offset)
      case .record(let header, let range, let bytes):
        let record = JournalRecord(
          kind: JournalRecordKind(header.kind),
          range: JournalPosition(range.lowerBound)..<JournalPosition(range.upperBound), opensSegment: header.isOpening)
        position = record.range.upperBound
        guard body(record, bytes.bytes) else { return false }
      }
    }
    return true
  }

  /// What is to be read of each segment.
  private func parts(from start: UInt64, to end: UInt64?) throws(SnapshotError) -> [JournalPart] {
    try state.withLock { state throws(SnapshotError) in
      try state.checkUsable()
      guard start >= state.oldest else { throw removed(folder.path, start) }
      let end = min(end ?? state.end, state.end)
      guard start < end else { return [] }
      if end > state.written { try state.flush() }
      return state.segments.compactMap { segment in
        let limit = segment.end ?? state.written
        guard start < limit, segment.first < end else { return nil }
        return JournalPart(
          number: segment.number, offset: Int(max(start, segment.first) - segment.first),
          limit: Int(limit - segment.first), end: end)
      }
    }
  }

  /// Under the lock, since a segment gets its name while others read.
  private func open(_ part: JournalPart, _ context: SnapshotErrorContext) throws(SnapshotError) -> FileDescriptor {
    try state.withLock { state throws(SnapshotError) in
      guard let segment = state.segments.first(where: { $0.number == part.number }) else {
        throw removed(context.path, nil)
      }
      do throws(SystemError) {
        return try FileDescriptor(reading: state.path(of: segment))
      } catch {
        throw context.system(error)
      }
    }
  }

  private func removed(_ path: String, _ position: UInt64?) -> SnapshotError {
    SnapshotError(
      .notFound, path: path,
      message: "\(path) no longer has \(position.map { "position \($0)" } ?? "what is being read"): that segment was "
        + "removed, because snapshots were said to hold what it had. Start again, which reads from the snapshots on.")
  }
}

/// What is to be read of one segment.
private struct JournalPart: Sendable {
  var number: UInt64
  /// Where in the file to begin, and where its records end.
  var offset: Int
  var limit: Int
  /// The position at which to stop, if it lies in this segment.
  var end: UInt64
}
