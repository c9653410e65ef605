// A program that runs beside this one: started, watched, ended, and asked afterwards what it took.
//
// May use: posix_spawn and wait4; ProcessFacts; Interruption, whose second signal ends children.

import Foundation
import Synchronization

/// How a process ended, and what it took.
struct ProcessEnd: Sendable, Equatable {
  /// Its exit code, or the negative number of the signal that ended it.
  var code: Int32
  /// The most memory that it had had when it was last looked at; nil where it ended before that.
  var peakMemoryBytes: Int?
  var processorSeconds: Double
}

/// A child of this process. It is in a process group of its own: a Ctrl-C on the terminal is this program's to pass on.
final class ChildProcess: Sendable {
  let processID: Int32
  /// The file that its output and its errors go to.
  let log: String
  private let state = Mutex(State())
  private let began: ContinuousClock.Instant

  private struct State {
    var end: ProcessEnd?
    var peakMemoryBytes: Int?
  }

  /// - environment: all of it.
  /// - Throws: ``BenchError`` with `engineFailed`.
  init(
    program: String, arguments: [String], environment: [String: String], log: String
  ) throws(BenchError) {
    self.log = log
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    posix_spawn_file_actions_adddup2(&actions, 1, 2)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF))
    posix_spawnattr_setpgroup(&attributes, 0)
    // This program may ignore it, and a child would go on doing so.
    var defaults = sigset_t()
    sigemptyset(&defaults)
    sigaddset(&defaults, SIGPIPE)
    posix_spawnattr_setsigdefault(&attributes, &defaults)

    let argumentStrings = ([program] + arguments).map { strdup($0) }
    let environmentStrings = environment.map { strdup("\($0.key)=\($0.value)") }
    defer { for string in argumentStrings + environmentStrings { free(string) } }
    var process: pid_t = 0
    // Both arrays end with a null.
    let status = posix_spawn(
      &process, program, &actions, &attributes, argumentStrings + [nil], environmentStrings + [nil])
    guard status == 0 else {
      throw BenchError(.engineFailed, "\(program) cannot be started: \(String(cString: strerror(status))).")
    }
    Interruption.children.add(process)
    processID = process
    began = ContinuousClock.now
  }

  /// How it ended; nil while it runs.
  func poll() -> ProcessEnd? { wait(options: WNOHANG) }

  /// Waits for its end, and looks fifty times a second at its memory and at whether to give up.
  /// - isGivenUp: throws to give up, and then the process is ended first.
  func wait(_ isGivenUp: () throws -> Void) throws -> ProcessEnd {
    while true {
      if let end = poll() { return end }
      do { try isGivenUp() } catch {
        self.end()
        throw error
      }
      usleep(Self.lookMicroseconds)
    }
  }

  private static let lookMicroseconds: UInt32 = 20_000

  /// Asks it to end, and ends it where it does not within ten seconds.
  func end() {
    for (signal, tenths) in [(SIGTERM, 100), (SIGKILL, 100)] {
      guard poll() == nil else { return }
      kill(processID, signal)
      for _ in 0..<tenths {
        if poll() != nil { return }
        usleep(100_000)
      }
    }
  }

  private func wait(options: Int32) -> ProcessEnd? {
    state.withLock { state in
      if let end = state.end { return end }
      look(&state)
      var status: Int32 = 0
      var usage = rusage()
      let found = wait4(processID, &status, options, &usage)
      guard found != 0 else { return nil }
      Interruption.children.remove(processID)
      // An error can only be that there is no such child, so that nothing is left to wait for.
      let signal = status & 0x7F
      let end = ProcessEnd(
        code: found < 0 ? -1 : signal != 0 ? -signal : (status >> 8) & 0xFF, peakMemoryBytes: state.peakMemoryBytes,
        processorSeconds: Self.seconds(usage.ru_utime) + Self.seconds(usage.ru_stime))
      state.end = end
      return end
    }
  }

  /// The memory is not wait4's ru_maxrss: until its exec a child has its parent's memory, of which that figure keeps the most, so that a
  /// parent with many vectors would hide what its child took. VmHWM begins anew with the exec, and is gone with the process. It is not
  /// read in the very first moment, in which the old memory may still be seen.
  private func look(_ state: inout State) {
    guard ContinuousClock.now - began >= .microseconds(Int64(Self.lookMicroseconds)),
      let memory = ProcessFacts.memory(of: processID)
    else { return }
    state.peakMemoryBytes = max(state.peakMemoryBytes ?? 0, memory.peakBytes)
  }

  private static func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }

  /// The last lines that it wrote, for a message.
  func lastLines(_ count: Int = 3) -> String {
    let text = FileManager.default.contents(atPath: log).map { String(decoding: $0, as: UTF8.self) } ?? ""
    return text.split(separator: "\n").suffix(count).joined(separator: " ")
  }
}
