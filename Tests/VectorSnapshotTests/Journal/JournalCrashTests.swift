// The power goes, or the process is killed, at any moment: what was durable comes back, and what comes back is a front
// part of what was appended.

import Foundation
import TestSupport
import Testing

@testable import VectorSnapshot

/// One journal through several lives, each of which ends at some system call.
private struct Lives {
  let fixture: JournalFixture
  private let segmentBytes = 700
  private var model: JournalModel
  /// What was appended, in the ways in which a cut that is not durable, and a record that was refused as the power
  /// went, may have come out. The last is the model's.
  private var variants: [[StoredRecord]] = [[]]
  /// Records that end here or before must be there.
  private var durable: UInt64 = 0
  /// Where the oldest segment may begin.
  private var oldest: ClosedRange<UInt64> = 0...0

  init() throws {
    fixture = try JournalFixture()
    model = JournalModel(segmentBytes: segmentBytes)
    try FileManager.default.createDirectory(atPath: fixture.path, withIntermediateDirectories: false)
  }

  /// Opens the journal and works until the power goes, or so many steps.
  /// - Returns: whether the power went.
  mutating func live(
    _ power: PowerFailure, steps: Int, using generator: inout SeededGenerator, _ comment: Comment
  ) throws -> Bool {
    do {
      let journal = try open(power.fileSystem, comment)
      for _ in 0..<steps { try step(journal, using: &generator) }
    } catch let error as SnapshotError {
      #expect(power.hasFailed, "\(comment): \(error)")
      return true
    }
    return false
  }

  /// Opens, and compares what comes back.
  @discardableResult
  mutating func open(_ fileSystem: FileSystem, _ comment: Comment) throws -> Journal {
    let journal = try fixture.open(segmentBytes: segmentBytes, fileSystem: fileSystem)
    let found = try records(of: journal)
    let start = journal.oldestPosition.rawValue
    #expect(oldest.contains(start), comment)
    let possible = variants.contains { records in
      let expected = records.filter { $0.start >= start }
      return expected.starts(with: found) && found.count >= expected.filter { $0.end <= durable }.count
    }
    #expect(possible, "\(comment): \(found) of \(variants), durable \(durable)")

    model.adopt(found, oldest: start, end: journal.endPosition.rawValue)
    durable = journal.durablePosition.rawValue
    #expect(durable == model.end, comment)
    settle()
    return journal
  }

  /// All of the model is durable, and nothing else is left.
  private mutating func settle() {
    variants = [model.records]
    oldest = model.oldest...model.oldest
  }

  private mutating func step(_ journal: Journal, using generator: inout SeededGenerator) throws {
    switch Int.random(in: 0..<20, using: &generator) {
    case 0..<10:
      let count = [0, 10, 150, 150, 5_000].randomElement(using: &generator) ?? 0
      let body = generator.bytes(count)
      do {
        try journal.append(JournalRecordKind(1), body)
        model.append(1, body)
        variants[variants.count - 1] = model.records
      } catch {
        var refused = model
        refused.append(1, body)
        variants.append(refused.records)
        throw error
      }
    case 10..<14:
      try journal.synchronize()
      durable = model.end
      settle()
    case 14..<17:
      let opening = model.opening(using: &generator)
      if try journal.rollIfDue(opening: { opening }) { model.roll(opening) }
      variants[variants.count - 1] = model.records
    case 17..<19:
      let cut = model.cuts.suffix(4).randomElement(using: &generator) ?? model.end
      durable = min(durable, cut)
      model.truncate(to: cut)
      variants.append(model.records)
      try journal.truncate(to: JournalPosition(cut))
    default:
      // Only what is durable is given up.
      let place = UInt64.random(in: 0..<durable, using: &generator)
      var rest = model
      rest.removeSegments(before: place)
      oldest = model.oldest...rest.oldest
      try journal.removeSegments(before: JournalPosition(place))
      model = rest
      oldest = model.oldest...model.oldest
    }
  }
}

extension JournalModel {
  fileprivate mutating func adopt(_ found: [StoredRecord], oldest: UInt64, end: UInt64) {
    segmentStarts.removeAll { $0 < oldest }
    if segmentStarts.isEmpty { segmentStarts = [oldest] }
    adopt(found, end: end)
  }
}

@Suite struct JournalCrashTests {
  @Test(arguments: testSeeds)
  func aDiskThatLosesItsPower(seed: UInt64) throws {
    print("JournalCrashTests, seed \(seed)")
    var generator = SeededGenerator(seed: seed)
    var ends = 0
    for round in 0..<40 {
      var lives = try Lives()
      for life in 0..<6 {
        let calls = Int.random(in: 0...(life == 0 ? 30 : 60), using: &generator)
        let power = try PowerFailure(folder: lives.fixture.path, calls: calls)
        let comment: Comment = "seed \(seed), round \(round), life \(life)"
        ends += try lives.live(power, steps: 100, using: &generator, comment) ? 1 : 0
        try power.leaveWhatTheDiskHas(using: &generator)
      }
      try lives.open(.withoutDisk, "seed \(seed), round \(round)")
    }
    #expect(ends > 100)
  }

  /// The same work, whose power goes at each of its system calls in turn.
  @Test(arguments: testSeeds)
  func everyCall(seed: UInt64) throws {
    print("JournalCrashTests, seed \(seed)")
    var calls = 0
    var hasFailed = true
    while hasFailed {
      var lives = try Lives()
      // The work is the same each time; the generator of what the disk keeps is another.
      var work = SeededGenerator(seed: seed)
      var disk = SeededGenerator(seed: seed &+ UInt64(calls) << 32)
      let power = try PowerFailure(folder: lives.fixture.path, calls: calls)
      hasFailed = try lives.live(power, steps: 80, using: &work, "seed \(seed), call \(calls)")
      try power.leaveWhatTheDiskHas(using: &disk)
      // Recovery may end in the middle, too.
      let again = try PowerFailure(folder: lives.fixture.path, calls: Int.random(in: 0...6, using: &disk))
      _ = try lives.live(again, steps: 3, using: &disk, "seed \(seed), call \(calls), again")
      try again.leaveWhatTheDiskHas(using: &disk)
      try lives.open(.withoutDisk, "seed \(seed), call \(calls), at last")
      calls += 1
    }
    #expect(calls > 60)
  }

  /// A process that is killed while it appends: what it said to be durable is there, and nothing else than it appended.
  ///
  /// The process is this test again, told by an environment variable that it is the victim.
  @Test func aProcessThatIsKilled() throws {
    if let folder = environment(Self.variable) { return try Self.appendForEver(in: folder) }
    var generator = SeededGenerator(seed: 5)
    let folder = try TemporaryFolder()
    var count = 0
    for round in 0..<4 {
      let confirmed = try Self.killAfter(
        Int.random(in: 1...20, using: &generator) + count, arguments: Self.arguments, in: folder.path)
      let lock = try DataDirectoryLock(path: folder.path)
      let journal = try Journal(lock: lock, options: Self.options)
      let bodies = try records(of: journal).filter { !$0.opensSegment }.map(\.body)
      #expect(bodies.count >= confirmed && confirmed > count, "round \(round)")
      for (index, body) in bodies.enumerated() { #expect(body == Self.body(index), "round \(round), record \(index)") }
      count = bodies.count
    }
  }

  private static let variable = "VIZINHO_TEST_JOURNAL_VICTIM"
  private static let options = JournalOptions(segmentBytes: 20_000, bufferBytes: 4 << 10)

  private static func body(_ index: Int) -> [UInt8] {
    var generator = SeededGenerator(seed: UInt64(index))
    return generator.bytes(index % 7 == 0 ? 6_000 : 100)
  }

  /// Says on its standard output how many records are durable, line by line.
  private static func appendForEver(in folder: String) throws {
    let journal = try Journal(lock: try DataDirectoryLock(path: folder), options: options)
    var count = try records(of: journal).filter { !$0.opensSegment }.count
    while true {
      for _ in 0..<5 {
        try journal.append(JournalRecordKind(1), body(count))
        count += 1
      }
      try journal.rollIfDue { [(JournalRecordKind(2), [1, 2, 3])] }
      try journal.synchronize()
      let line = Array("durable \(count)\n".utf8)
      // The parent is gone: nobody is left to kill this.
      guard line.withUnsafeBytes({ write(STDOUT_FILENO, $0.baseAddress, $0.count) }) == line.count else { exit(1) }
    }
  }

  /// How this program runs that one test.
  private static var arguments: [String] {
    ["--testing-library", "swift-testing", "--filter", "JournalCrashTests/aProcessThatIsKilled"]
  }

  /// Starts the victim and kills it when it has confirmed as many records, or more.
  /// - Returns: how many it had confirmed.
  private static func killAfter(_ count: Int, arguments: [String], in folder: String) throws -> Int {
    let victim = Process()
    let output = Pipe()
    victim.executableURL = URL(filePath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
    victim.arguments = arguments
    victim.environment = ProcessInfo.processInfo.environment.merging([variable: folder]) { $1 }
    victim.standardOutput = output
    try victim.run()
    defer { victim.waitUntilExit() }
    var confirmed = 0
    var line: [UInt8] = []
    while confirmed < count, let byte = try output.fileHandleForReading.read(upToCount: 1)?.first {
      if byte != UInt8(ascii: "\n") {
        line.append(byte)
        continue
      }
      // The test library says things there, too.
      let words = String(decoding: line, as: UTF8.self).split(separator: " ")
      if words.count == 2, words[0] == "durable", let number = Int(words[1]) { confirmed = number }
      line = []
    }
    kill(victim.processIdentifier, SIGKILL)
    return confirmed
  }
}
