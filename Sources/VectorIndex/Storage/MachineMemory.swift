// How much memory this process may have: the machine's, or its control group's where that is less.
//
// May use: sysconf; files of /proc and /sys.

import Glibc

enum MachineMemory {
  /// The machine's.
  static let physicalBytes = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))

  /// The machine's, or what the control group of this process may have of it, where that is less.
  static let bytes = min(physicalBytes, groupLimit { text(ofFile: $0) } ?? .max)

  /// The lowest limit of the process's control group and of those around it, of version 2 or 1; nil when there is none.
  ///
  /// - text: what a file holds; nil when there is no such file.
  static func groupLimit(_ text: (String) -> String?) -> Int? {
    var lowest: Int?
    for line in (text("/proc/self/cgroup") ?? "").split(separator: "\n") {
      // "0::/path" is version 2's; "4:memory:/path" or "4:cpu,memory:/path" version 1's.
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let mounts: [String]
      let file: String
      if fields[0] == "0", fields[1].isEmpty {
        (mounts, file) = (["/sys/fs/cgroup", "/sys/fs/cgroup/unified"], "memory.max")
      } else if fields[1].split(separator: ",").contains("memory") {
        (mounts, file) = (["/sys/fs/cgroup/memory"], "memory.limit_in_bytes")
      } else {
        continue
      }
      // A limit may stand at any level. In a container the path may be the host's, which is not there, or "/", which is the
      // container's own; version 1 says "no limit" by a number beyond any memory.
      var path = fields[2].split(separator: "/")
      while true {
        for mount in mounts {
          let name = ([mount] + path.map(String.init) + [file]).joined(separator: "/")
          guard let found = text(name), let limit = Int(found.prefix { $0.isNumber }), limit > 0 else { continue }
          lowest = min(lowest ?? .max, limit)
        }
        if path.popLast() == nil { break }
      }
    }
    return lowest
  }

  /// The beginning of a small file.
  private static func text(ofFile path: String) -> String? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 16 << 10)
    let count = read(file, &bytes, bytes.count)
    return count < 0 ? nil : String(decoding: bytes.prefix(count), as: UTF8.self)
  }
}
