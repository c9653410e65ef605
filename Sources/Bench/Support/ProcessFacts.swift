// What Linux tells of running processes: names, parents, memory.
//
// May use: SystemFile.

import Foundation

enum ProcessFacts {
  /// Some lines of /proc/PID/status.
  struct Memory: Sendable, Equatable {
    /// Its own, in memory now.
    var anonymousBytes: Int
    /// Shared with others (not files), as far as it has touched it.
    var sharedBytes: Int
    /// The most it ever had in memory, of all kinds.
    var peakBytes: Int
  }

  /// nil: there is no such process, or nobody may look.
  static func memory(of process: Int32) -> Memory? {
    guard let status = SystemFile.text("/proc/\(process)/status") else { return nil }
    return memory(status: status)
  }

  static func memory(status: String) -> Memory? {
    var values: [Substring: Int] = [:]
    for line in status.split(separator: "\n") {
      let words = line.split { $0 == ":" || $0 == " " || $0 == "\t" }
      if words.count == 3, words[2] == "kB", let kilobytes = Int(words[1]) { values[words[0]] = kilobytes << 10 }
    }
    guard let anonymous = values["RssAnon"], let peak = values["VmHWM"] else { return nil }
    return Memory(anonymousBytes: anonymous, sharedBytes: values["RssShmem"] ?? 0, peakBytes: peak)
  }

  /// A process's line in /proc/PID/stat.
  struct Status: Sendable, Equatable {
    var name: String
    var parent: Int32
  }

  static func status(of process: Int32) -> Status? {
    SystemFile.text("/proc/\(process)/stat").flatMap { status(stat: $0) }
  }

  static func status(stat: String) -> Status? {
    // The name is in parentheses and may have some itself.
    guard let open = stat.firstIndex(of: "("), let close = stat.lastIndex(of: ")"), open < close else { return nil }
    let fields = stat[stat.index(after: close)...].split(separator: " ")
    // Of proc(5)'s fields, from the third on; the fourth is the parent.
    guard fields.count > 1, let parent = Int32(fields[1]) else { return nil }
    return Status(name: String(stat[stat.index(after: open)..<close]), parent: parent)
  }

  /// Processes whose parent this one is.
  static func children(of process: Int32) -> [Int32] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return names.compactMap { Int32($0) }.filter { status(of: $0)?.parent == process }
  }
}
