// System calls that fail while a journal lives.

import Foundation
import Synchronization
import Testing

@testable import VectorSnapshot

@Suite struct JournalFaultTests {
  let fixture: JournalFixture
  init() throws { fixture = try JournalFixture() }

  private static let opening: [(kind: JournalRecordKind, body: [UInt8])] = [(JournalRecordKind(82), [1, 2, 3])]

  /// Records of all sorts, a roll, a cut, a removal. What fails is tried again, as an owner does it.
  ///
  /// - Returns: the errors.
  private func work(_ journal: Journal, _ model: inout JournalModel) throws -> [SnapshotError] {
    var errors: [SnapshotError] = []
    /// Once more after a failure, unless the journal wants to be opened again.
    func attempt<Result>(_ body: () throws(SnapshotError) -> Result) throws(SnapshotError) -> Result {
      do throws(SnapshotError) {
        return try body()
      } catch {
        errors.append(error)
        if error.code == .unsynchronized { throw error }
        return try body()
      }
    }
    do throws(SnapshotError) {
      for step in 0..<8 as Range<UInt8> {
        for count in [40, 3_000, 2_000, 9_000] {
          let body = [UInt8](repeating: step, count: count)
          _ = try attempt { () throws(SnapshotError) in try journal.append(JournalRecordKind(1), body) }
          model.append(1, body)
        }
        let start = journal.endPosition
        for count in [100, 5_000] {
          _ = try attempt { () throws(SnapshotError) in
            try journal.append(JournalRecordKind(2), [UInt8](repeating: 99, count: count))
          }
        }
        if step % 2 == 0 {
          _ = try attempt { () throws(SnapshotError) in try journal.synchronize() }
        }
        try attempt { () throws(SnapshotError) in try journal.truncate(to: start) }
        let rolled = try attempt { () throws(SnapshotError) in try journal.rollIfDue { Self.opening } }
        if rolled { model.roll(Self.opening) }
        _ = try attempt { () throws(SnapshotError) in try journal.synchronize() }
      }
      let place = model.segmentStarts[2]
      _ = try attempt { () throws(SnapshotError) in try journal.removeSegments(before: JournalPosition(place)) }
      model.removeSegments(before: place)
    } catch {
      #expect(error.code == .unsynchronized)
    }
    return errors
  }

  private func reset() throws { try? FileManager.default.removeItem(atPath: fixture.path) }

  /// Each call fails once, for lack of space and for a bad disk, at each of its occurrences: nothing is lost, and the
  /// journal goes on, or says that it must be opened again.
  @Test(arguments: [EIO, ENOSPC, EDQUOT])
  func anyFailingCall(number: Int32) throws {
    for call in FaultyFileSystem.Call.allCases {
      try reset()
      let counting = FaultyFileSystem(.init(call: call, index: .max), base: .withoutDisk)
      var reference = JournalModel(segmentBytes: 10_000)
      #expect(try work(try fixture.open(segmentBytes: 10_000, fileSystem: counting.fileSystem), &reference) == [])
      #expect(reference.segmentStarts.count > 3 && reference.oldest > 0)
      if ![.open, .synchronize].contains(call) { #expect(counting.count > 0, "\(call)") }

      for index in 0..<counting.count {
        try reset()
        let comment: Comment = "\(call) \(index), error \(number)"
        let fault = FaultyFileSystem.Fault(call: call, index: index, number: number)
        let faulty = FaultyFileSystem(fault, base: .withoutDisk)
        var model = JournalModel(segmentBytes: 10_000)
        let journal: Journal
        do throws(SnapshotError) {
          journal = try fixture.open(segmentBytes: 10_000, fileSystem: faulty.fileSystem)
        } catch {
          // While it was begun: the next attempt begins it.
          #expect(error.message.contains(fixture.folder.path) && error.errorNumber == number, comment)
          try expect(try fixture.open(), holds: JournalModel(segmentBytes: 10_000), comment)
          continue
        }
        let errors = try work(journal, &model)
        // To close and to give room back are allowed to fail.
        #expect(errors.count == 1 || [.close, .truncate].contains(call), comment)
        for error in errors {
          let isSynchronization = [.synchronizeData, .synchronizeDirectory].contains(call)
          let isSpace = number == ENOSPC || number == EDQUOT
          #expect(error.code == (isSynchronization ? .unsynchronized : isSpace ? .noSpace : .io), comment)
          #expect(error.errorNumber == number && error.message.contains(fixture.path), comment)
          if error.code == .noSpace { #expect(error.space != nil && error.message.contains("free"), comment) }
        }
        if errors.first?.code == .unsynchronized {
          expectRefusal(of: journal, errors[0], comment)
          // What it has said to be durable is there.
          let durable = journal.durablePosition.rawValue
          let found = try records(of: try fixture.open())
          let last = model.records.last { $0.end <= durable }
          #expect(last.map { found.contains($0) } ?? true, comment)
        } else {
          #expect(model.records == reference.records, comment)
          try expect(journal, holds: model, comment)
          try expect(try fixture.open(), holds: model, comment)
        }
      }
    }
  }

  /// After a failed `fsync` nothing is taken or confirmed, until it is opened again.
  private func expectRefusal(of journal: Journal, _ error: SnapshotError, _ comment: Comment) {
    let attempts: [() throws -> Void] = [
      { try journal.append(JournalRecordKind(1), [1]) },
      { try journal.synchronize() },
      { try journal.truncate(to: journal.endPosition) },
      { try journal.removeSegments(before: journal.endPosition) },
      { try journal.read(from: journal.oldestPosition) { _, _ in true } },
    ]
    for attempt in attempts { #expect(snapshotError(attempt) == error, comment) }
    #expect(error.message.contains("opened again") && error.message.contains("start again"), comment)
  }

  @Test func aFailedSynchronizationIsNotRepeated() throws {
    let faulty = FaultyFileSystem(.init(call: .synchronizeData, index: 1, number: EIO))
    let journal = try fixture.open(segmentBytes: 1, fileSystem: faulty.fileSystem)
    try journal.append(JournalRecordKind(1), [1])
    let durable = journal.durablePosition
    let error = try #require(snapshotError { try journal.synchronize() })
    #expect(error.code == .unsynchronized && error.path == fixture.segment(1))
    expectRefusal(of: journal, error, "")
    #expect(snapshotError { try journal.rollIfDue { [] } } == error)
    #expect(journal.durablePosition == durable)
    #expect(journal.statistics.durablePosition == durable)
    // The system kept it this time.
    #expect(try records(of: fixture.open()).map(\.body) == [[1]])
  }

  /// While the disk is full: errors, a bounded buffer, and what is in the files already becomes durable.
  @Test func whatIsWrittenBecomesDurableOnAFullDisk() throws {
    let isFull = Atomic<Bool>(false)
    var system = FileSystem.withoutDisk
    let write = system.write
    system.write = { file, bytes, offset throws(SystemError) in
      if isFull.load(ordering: .relaxed) { throw SystemError("pwrite", ENOSPC) }
      return try write(file, bytes, offset)
    }
    var model = JournalModel(segmentBytes: 5_000)
    let journal = try fixture.open(segmentBytes: 5_000, fileSystem: system)
    let body = [UInt8](repeating: 5, count: 1_000)
    for _ in 0..<6 {
      try journal.append(JournalRecordKind(1), body)
      model.append(1, body)
    }
    let written = model.records[3].end  // As many as fit into the buffer.
    isFull.store(true, ordering: .relaxed)
    let error = snapshotError { try journal.synchronize() }
    #expect(error?.code == .noSpace && error?.space?.neededBytes == Int(model.end - written))
    #expect(journal.durablePosition.rawValue == written)
    #expect(snapshotError { try journal.rollIfDue { [] } }?.code == .noSpace)
    // The buffer takes what it has room for, and then nothing.
    var taken = 0
    while snapshotError({ try journal.append(JournalRecordKind(1), body) }) == nil {
      model.append(1, body)
      taken += 1
    }
    #expect(taken == 2 && journal.endPosition.rawValue == model.end)
    // What broke off is dropped all the same.
    try journal.truncate(to: JournalPosition(model.records[6].start))
    model.truncate(to: model.records[6].start)
    #expect(journal.endPosition.rawValue == model.end)

    isFull.store(false, ordering: .relaxed)
    #expect(try journal.rollIfDue { Self.opening })
    model.roll(Self.opening)
    #expect(try journal.synchronize().rawValue == model.end)
    try expect(journal, holds: model)
    try expect(try fixture.open(), holds: model)
  }

  /// A real full disk: a small tmpfs, which takes root to mount.
  @Test(.enabled(if: geteuid() == 0, "mounting a small tmpfs takes root"))
  func aFullDisk() throws {
    let disk = fixture.folder.file("disk")
    try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: false)
    try #require(mount("tmpfs", disk, "tmpfs", 0, "size=512k") == 0, "\(String(cString: strerror(errno)))")
    defer { umount2(disk, Int32(MNT_DETACH)) }

    let lock = try DataDirectoryLock(path: disk)
    let options = JournalOptions(segmentBytes: 100_000, bufferBytes: 4 << 10)
    var model = JournalModel(segmentBytes: 100_000)
    do {
      let journal = try Journal(lock: lock, options: options)
      var generator = SeededGenerator(seed: 9)
      var error: SnapshotError?
      while error == nil, model.end < 1 << 20 {
        let body = generator.bytes(3_000)
        error = snapshotError {
          try journal.append(JournalRecordKind(1), body)
          model.append(1, body)
          if try journal.rollIfDue(opening: { Self.opening }) { model.roll(Self.opening) }
          try journal.synchronize()
        }
      }
      #expect(error?.code == .noSpace && error?.errorNumber == ENOSPC)
      #expect(error.map { ($0.space?.freeBytes ?? .max) < 16 << 10 && $0.message.contains(disk) } == true)
      #expect(model.end > 400_000)
      // Room again: what the buffer kept gets through.
      #expect(try journal.removeSegments(before: JournalPosition(model.segmentStarts[2])) == 2)
      model.removeSegments(before: model.segmentStarts[2])
      try journal.append(JournalRecordKind(2), [1, 2, 3])
      model.append(2, [1, 2, 3])
      try journal.synchronize()
      try expect(journal, holds: model)
    }
    let journal = try Journal(lock: lock, options: options)
    #expect(journal.recovery.cutBytes == 0)
    try expect(journal, holds: model)
  }
}
