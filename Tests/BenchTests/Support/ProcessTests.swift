// Processes that a run starts, and what the system tells of processes.

import Foundation
import Testing

@testable import Bench

struct ChildProcessTests {
  private func shell(_ script: String, _ environment: [String: String] = [:]) throws -> ChildProcess {
    let log = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).log").path
    return try ChildProcess(
      program: "/bin/sh", arguments: ["-c", script], environment: environment, log: log)
  }

  @Test func itsEndIsTold() throws {
    let process = try shell("echo one; echo \"$WORD\" >&2; sleep 0.5; exit 3", ["WORD": "two"])
    defer { try? FileManager.default.removeItem(atPath: process.log) }
    let end = try process.wait {}
    #expect(end.code == 3 && end.processorSeconds >= 0)
    #expect(try #require(end.peakMemoryBytes) > 0)
    #expect(process.poll() == end)
    #expect(process.lastLines() == "one two")
    #expect(process.lastLines(1) == "two")
  }

  @Test func itsMemoryIsNotItsParents() throws {
    let size = 256 << 20
    let ballast = [UInt8](repeating: 1, count: size)
    let process = try shell("sleep 0.5; exit 0")
    defer { try? FileManager.default.removeItem(atPath: process.log) }
    let end = try process.wait {}
    #expect(try #require(ProcessFacts.memory(of: getpid())).peakBytes >= size)
    #expect(try #require(end.peakMemoryBytes) < size / 2)
    withExtendedLifetime(ballast) {}
  }

  @Test func itIsEndedWhenAsked() throws {
    let process = try shell("sleep 600")
    defer { try? FileManager.default.removeItem(atPath: process.log) }
    #expect(process.poll() == nil)
    process.end()
    #expect(process.poll()?.code == -SIGTERM)
  }

  @Test func waitingCanBeGivenUpAndEndsIt() throws {
    struct GivenUp: Error {}
    let process = try shell("sleep 600")
    defer { try? FileManager.default.removeItem(atPath: process.log) }
    #expect(throws: GivenUp.self) { try process.wait { throw GivenUp() } }
    #expect(process.poll()?.code == -SIGTERM)
  }

  @Test func aPipeThatNobodyReadsEndsItAlsoWhereThisProgramIgnoresThat() throws {
    // As a run does, and so the other tests lose nothing by it.
    signal(SIGPIPE, SIG_IGN)
    let process = try shell("kill -PIPE $$; exit 3")
    defer { try? FileManager.default.removeItem(atPath: process.log) }
    let end = try process.wait {}
    #expect(end.code == -SIGPIPE)
  }

  @Test func aTableOfChildrenEndsThoseThatRun() throws {
    let table = ChildTable()
    let processes = try (0..<3).map { _ in try shell("sleep 600") }
    defer { for process in processes { try? FileManager.default.removeItem(atPath: process.log) } }
    for process in processes { table.add(process.processID) }
    table.remove(processes[1].processID)
    table.remove(processes[1].processID)
    table.killAll()
    for process in [processes[0], processes[2]] {
      let end = try process.wait {}
      #expect(end.code == -SIGKILL)
    }
    #expect(processes[1].poll() == nil)
    processes[1].end()
  }

  @Test func aProgramThatIsNotThereIsNamed() {
    let error = #expect(throws: BenchError.self) {
      try ChildProcess(program: "/nowhere/vizinho", arguments: [], environment: [:], log: "/dev/null")
    }
    #expect(error?.code == .engineFailed && error?.message.contains("/nowhere/vizinho") == true)
    let missing = #expect(throws: BenchError.self) { try EngineProgram.find("/nowhere/vizinho") }
    #expect(missing?.message.contains("swift build") == true)
  }

  @Test func whatARebuildTookIsTakenFromItsWords() {
    #expect(
      EngineProgram.account(
        in:
          "rows: 10 rows as f16 in 0.10 s (read 0.05 s, linked 0.01 s, calibrated 0.02 s, saved 0.02 s) snapshot: /x (y)"
      )
        == "read 0.05 s, linked 0.01 s, calibrated 0.02 s, saved 0.02 s")
    #expect(EngineProgram.account(in: "nothing of it (reads)") == "")
  }
}

struct ProcessFactsTests {
  @Test func memoryIsReadFromStatus() {
    let status = """
      Name:\tpostgres
      VmHWM:\t   20480 kB
      RssAnon:\t    1024 kB
      RssShmem:\t    8192 kB
      Threads:\t1
      """
    #expect(
      ProcessFacts.memory(status: status)
        == .init(anonymousBytes: 1 << 20, sharedBytes: 8 << 20, peakBytes: 20 << 20))
    #expect(ProcessFacts.memory(status: "Name:\tkthreadd\n") == nil)
  }

  @Test func namesMayHaveParentheses() {
    #expect(ProcessFacts.status(stat: "12 (a (b) c) S 7 12 12 0") == .init(name: "a (b) c", parent: 7))
    #expect(ProcessFacts.status(stat: "12 no") == nil)
    #expect(ProcessFacts.status(stat: "12 (x) S") == nil)
  }

  @Test func thisProcessIsSeen() throws {
    #expect(try #require(ProcessFacts.memory(of: getpid())).peakBytes > 1 << 20)
    #expect(ProcessFacts.status(of: getpid())?.parent == getppid())
    #expect(ProcessFacts.children(of: getppid()).contains(getpid()))
    #expect(ProcessFacts.memory(of: -1) == nil)
  }
}

struct NumberListTests {
  @Test func listsAreReadOnceEach() throws {
    #expect(try NumberList.counts("1, 2,8,2", "--clients", in: 1...256) == [1, 2, 8])
    #expect(try NumberList.numbers("0.9,.5", "--x", in: 0...1) == [0.9, 0.5])
  }

  @Test(arguments: ["", "0", "1,x", "257", "1.5"])
  func whatIsNoNumberIsNamed(text: String) {
    let error = #expect(throws: (any Error).self) { try NumberList.counts(text, "--clients", in: 1...256) }
    #expect("\(String(describing: error))".contains("--clients"))
  }
}
