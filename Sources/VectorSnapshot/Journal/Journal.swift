// The journal of a data directory: an append-only log of records in segment files, written by one thread, made durable
// by another. docs/JOURNAL.md draws the files and says what is durable when.
//
// Three locks, taken in this order and never the other way round: who synchronises; who removes; the state. The disk is
// waited for under the first two alone, so that the writer never waits for it.
//
// May use: Synchronization, and Files and Format of this module.

import Synchronization

/// An append-only log of records that mean nothing to it, in `DATA-DIRECTORY/journal`.
///
/// `append`, `rollIfDue` and `truncate` belong to one thread, the writer. All else may be called from any thread beside
/// it. None of the writer's calls waits for the disk; all of them may wait for the system to take a write.
///
/// A journal that is dropped is closed. What was not synchronised before may be lost.
public final class Journal: Sendable {
  /// The longest body of a record.
  public static let bodyBytesMax = JournalFormat.bodyBytesMax

  /// The folder.
  public var path: String { folder.path }
  /// A random number that all segments carry: a journal that was begun anew has another, and begins at position 0
  /// again.
  public let identity: UInt64
  /// What opening found.
  public let recovery: JournalRecovery

  private let lock: DataDirectoryLock
  let folder: JournalFolder
  let state: Mutex<JournalState>
  private let synchronization = Mutex<Void>(())
  private let removal = Mutex<Void>(())
  private let lastSynchronizationMicroseconds = Atomic<Int>(0)

  /// Opens the journal, and begins one where there is none. All that it has then is durable.
  ///
  /// Blocks for as long as it takes to read all of it.
  /// - Parameter lock: of the data directory; held as long as this journal lives.
  /// - Throws: what is damaged beyond a torn tail as ``SnapshotError/Code/corrupted``,
  ///   ``SnapshotError/Code/truncated``, or ``SnapshotError/Code/notFound`` where a segment is missing;
  ///   ``SnapshotError/Code/unsupportedVersion``; ``SnapshotError/Code/noSpace``; ``SnapshotError/Code/io``;
  ///   ``SnapshotError/Code/unsynchronized``.
  public convenience init(
    lock: DataDirectoryLock, options: JournalOptions = JournalOptions()
  ) throws(SnapshotError) {
    try self.init(lock: lock, options: options, fileSystem: .posix)
  }

  /// - Parameter identity: of a journal that is begun; nil for a random one.
  init(
    lock: DataDirectoryLock, options: JournalOptions, fileSystem: FileSystem, identity newIdentity: UInt64? = nil
  ) throws(SnapshotError) {
    let folder = JournalFolder(path: "\(lock.path)/\(JournalFolder.name)", fileSystem: fileSystem)
    do throws(SystemError) {
      try fileSystem.createFolder(folder.path)
    } catch {
      throw folder.failure(error, path: folder.path, neededBytes: 0)
    }
    let found = try JournalOpening(folder)
    let isNew = found.segments.isEmpty
    let identity = isNew ? newIdentity ?? UInt64.random(in: 1...UInt64.max) : found.identity
    self.lock = lock
    self.folder = folder
    self.identity = identity
    recovery = found.recovery
    if isNew {
      state = Mutex(try JournalState(folder: folder, options: options, identity: identity))
      try synchronize()
    } else {
      state = Mutex(
        JournalState(
          folder: folder, options: options, identity: identity, segments: found.segments, end: found.end,
          lastChecksum: found.lastChecksum))
    }
  }

  deinit { state.withLock { $0.close() } }

  /// Where the oldest segment begins, and ``read(from:to:_:)`` can.
  public var oldestPosition: JournalPosition { state.withLock { JournalPosition($0.oldest) } }
  /// Where the next record goes; so where a transaction begins.
  public var endPosition: JournalPosition { state.withLock { JournalPosition($0.end) } }
  /// Records that end here or before survive whatever happens.
  public var durablePosition: JournalPosition { state.withLock { JournalPosition($0.durable) } }

  public var statistics: JournalStatistics {
    state.withLock { state in
      JournalStatistics(
        segments: state.segments.count, bytes: Int(state.end - state.oldest),
        oldestPosition: JournalPosition(state.oldest), endPosition: JournalPosition(state.end),
        durablePosition: JournalPosition(state.durable),
        lastSynchronizationMicroseconds: lastSynchronizationMicroseconds.load(ordering: .relaxed))
    }
  }
}

// MARK: - The writer

extension Journal {
  /// Takes a record. It is not durable before ``durablePosition`` has reached its end.
  ///
  /// The body is copied once, into the buffer, or not at all when it is longer than that: then it is written at once.
  /// On an error nothing of the record is in the journal, and all else is as it was; trying again is fine.
  /// - Throws: ``SnapshotError/Code/exceedsFormat`` when the body is longer than ``bodyBytesMax``;
  ///   ``SnapshotError/Code/noSpace``; ``SnapshotError/Code/io``; ``SnapshotError/Code/unsynchronized``.
  @discardableResult
  public func append(
    _ kind: JournalRecordKind, _ body: RawSpan
  ) throws(SnapshotError) -> Range<JournalPosition> {
    try body.withUnsafeBytes { bytes throws(SnapshotError) in
      let range = try state.withLock { state throws(SnapshotError) in try state.append(kind.rawValue, bytes) }
      return JournalPosition(range.lowerBound)..<JournalPosition(range.upperBound)
    }
  }

  /// As the other, of an array.
  @discardableResult
  public func append(
    _ kind: JournalRecordKind, _ body: [UInt8]
  ) throws(SnapshotError) -> Range<JournalPosition> {
    try append(kind, body.span.bytes)
  }

  /// Begins another segment if the current one is full. To be called where a cut is allowed: between transactions.
  ///
  /// On an error nothing has changed: the current segment may be appended to further.
  /// - Parameter opening: the records that every segment begins with, because what follows cannot be understood without
  ///   them. Asked only when a segment begins.
  /// - Returns: whether one began.
  /// - Throws: as ``append(_:_:)``.
  @discardableResult
  public func rollIfDue(
    opening: () -> [(kind: JournalRecordKind, body: [UInt8])]
  ) throws(SnapshotError) -> Bool {
    guard state.withLock({ $0.isFull }) else { return false }
    let records = opening()
    try state.withLock { state throws(SnapshotError) in try state.roll(opening: records) }
    return true
  }

  /// Drops all from a position on, wherever it is by now: a transaction that broke off.
  ///
  /// Durable with the next ``synchronize()``; after a crash before that, what was dropped may be there again, up to
  /// some record. ``durablePosition`` goes back where it was further. Nobody may be reading what is dropped.
  /// - Parameter position: what ``endPosition`` was at a time since the newest segment began or just before it did, or
  ///   where one of that segment's records begins. Opening records stay in any case.
  /// - Throws: ``SnapshotError/Code/unusable`` when it is none of these; ``SnapshotError/Code/io``;
  ///   ``SnapshotError/Code/unsynchronized``.
  public func truncate(to position: JournalPosition) throws(SnapshotError) {
    try state.withLock { state throws(SnapshotError) in try state.truncate(to: position.rawValue) }
  }
}

// MARK: - Any thread

extension Journal {
  /// Makes durable what was appended before the call. Callers take turns; without anything new it costs nothing.
  ///
  /// - Returns: ``durablePosition``.
  /// - Throws: ``SnapshotError/Code/noSpace`` or ``SnapshotError/Code/io`` when the buffer could not be written; it
  ///   keeps what it has, for another try, and what was in the files already is durable all the same.
  ///   ``SnapshotError/Code/unsynchronized`` when the disk did not confirm: the journal then refuses everything, with
  ///   that error, until it has been dropped and opened again.
  @discardableResult
  public func synchronize() throws(SnapshotError) -> JournalPosition {
    try synchronization.withLock { _ throws(SnapshotError) in
      var unwritten: SnapshotError?
      let last = try state.withLock { state throws(SnapshotError) in
        try state.checkUsable()
        do throws(SnapshotError) { try state.flush() } catch { unwritten = error }
        return state.current.number
      }
      var number: UInt64 = 0
      let start = ContinuousClock.now
      while let next = state.withLock({ $0.nextSynchronization(after: number, upTo: last) }) {
        try synchronize(next)
        number = next.number
      }
      if number > 0 {
        lastSynchronizationMicroseconds.store(
          Int((ContinuousClock.now - start) / .microseconds(1)), ordering: .relaxed)
      }
      if let unwritten { throw unwritten }
      return durablePosition
    }
  }

  private func synchronize(_ next: JournalSynchronization) throws(SnapshotError) {
    do throws(SystemError) {
      try folder.fileSystem.synchronizeData(next.file)
    } catch {
      throw fail(folder.synchronizationFailure(error, path: next.path))
    }
    if !next.hasName {
      do throws(SystemError) {
        // Under the lock, since a reader finds the file by its name.
        try state.withLock { state throws(SystemError) in try state.name(next.number) }
      } catch {
        throw folder.failure(error, path: folder.path(of: next.number), neededBytes: 0)
      }
      do throws(SystemError) {
        try folder.fileSystem.synchronizeDirectory(folder.path)
      } catch {
        throw fail(folder.synchronizationFailure(error, path: folder.path))
      }
    }
    state.withLock { $0.finish(next) }
  }

  private func fail(_ error: SnapshotError) -> SnapshotError {
    state.withLock { $0.fail(error) }
    return error
  }

  /// Deletes the segments that end at or before a position, oldest first, durably; never the newest.
  ///
  /// - Returns: how many.
  /// - Throws: ``SnapshotError/Code/io``; what was deleted before stays so. ``SnapshotError/Code/unsynchronized``.
  @discardableResult
  public func removeSegments(before position: JournalPosition) throws(SnapshotError) -> Int {
    try removal.withLock { _ throws(SnapshotError) in
      var count = 0
      while let segment = try state.withLock({ state throws(SnapshotError) in
        try state.removable(before: position.rawValue)
      }) {
        let path = folder.path(of: segment.number)
        do throws(SystemError) {
          try folder.fileSystem.remove(path)
        } catch {
          throw folder.failure(error, path: path, neededBytes: 0)
        }
        state.withLock { $0.removeOldest() }
        // One by one: should a later one be gone durably and this one be back, there would be a gap.
        do throws(SystemError) {
          try folder.fileSystem.synchronizeDirectory(folder.path)
        } catch {
          throw fail(folder.synchronizationFailure(error, path: folder.path))
        }
        count += 1
      }
      return count
    }
  }
}
