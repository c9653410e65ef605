// What a reader of a figure must know of the machine that it was measured on.
//
// May use: SystemFile; Foundation, for files and the date.

import Foundation

/// The machine, and when.
struct Machine: Codable {
  var cpu: String
  var processors: Int
  /// As the system tells them; 0 where it does not.
  var secondLevelCacheBytes: Int
  var lastLevelCacheBytes: Int
  /// What the system says of transparent huge pages, which rows lie on where they are "always" or "madvise".
  var hugePages: String
  var measuredAt: String

  enum CodingKeys: String, CodingKey {
    case cpu, processors
    case secondLevelCacheBytes = "second_level_cache_bytes"
    case lastLevelCacheBytes = "last_level_cache_bytes"
    case hugePages = "huge_pages"
    case measuredAt = "measured_at"
  }

  /// This machine, now.
  static func current() -> Machine {
    let caches = Self.caches()
    let name = Self.lines("/proc/cpuinfo").first { $0.hasPrefix("model name") }
    let setting = Self.lines("/sys/kernel/mm/transparent_hugepage/enabled").first ?? ""
    // The chosen word stands in brackets.
    let chosen = setting.split(separator: "[").last?.split(separator: "]").first
    return Machine(
      cpu: name?.split(separator: ":").last?.trimmingCharacters(in: .whitespaces) ?? "an unnamed processor",
      processors: ProcessInfo.processInfo.activeProcessorCount,
      secondLevelCacheBytes: caches[2] ?? 0, lastLevelCacheBytes: caches.max { $0.key < $1.key }?.value ?? 0,
      hugePages: chosen.map(String.init) ?? "unknown", measuredAt: Date().formatted(.iso8601))
  }

  /// Bytes of each level's cache for data, of the first processor. Not `sysconf`, which under a hypervisor may tell of all caches
  /// of the host together.
  private static func caches() -> [Int: Int] {
    var found: [Int: Int] = [:]
    for i in 0..<8 {
      let folder = "/sys/devices/system/cpu/cpu0/cache/index\(i)"
      guard let level = lines("\(folder)/level").first.flatMap({ Int($0) }),
        let kind = lines("\(folder)/type").first, kind != "Instruction",
        let size = lines("\(folder)/size").first, size.hasSuffix("K"), let kibibytes = Int(size.dropLast())
      else { continue }
      found[level] = kibibytes << 10
    }
    return found
  }

  private static func lines(_ path: String) -> [Substring] {
    SystemFile.text(path)?.split(separator: "\n") ?? []
  }
}

extension Encodable {
  /// Writes this to a file as JSON, fields in the order of their names.
  func writeJSON(to path: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    try encoder.encode(self).write(to: URL(fileURLWithPath: path))
  }
}
