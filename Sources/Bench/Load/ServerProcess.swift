// Which process is at the other end of a connection, where that is on this machine: so that its processor time can be read.
//
// A TCP socket does not tell. But /proc/net/tcp lists both ends of a connection within one machine with their inodes, and a process's open
// files are links to theirs.
//
// May use: EngineConnection, SystemFile; Foundation, for files.

import Foundation

struct ServerProcess: Sendable, Equatable {
  var id: Int32
  /// As the system calls it.
  var name: String

  /// A process that the user named.
  /// - Throws: ``BenchError`` with `engineFailed` where there is none.
  init(id: Int32) throws(BenchError) {
    guard let name = Self.name(of: id), ProcessorTime.ofProcess(id) != nil else {
      throw BenchError(.engineFailed, "There is no process \(id), which --server-pid names, on this machine.")
    }
    self.init(id: id, name: name)
  }

  private init(id: Int32, name: String) {
    self.id = id
    self.name = name
  }

  /// The process that answers a connection; nil: it is on another machine, or another user's, whose open files we may not see.
  static func answering(_ connection: EngineConnection) -> ServerProcess? {
    guard let ends = connection.ends, ends.isOneMachine else { return nil }
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
      guard let text = SystemFile.text(table),
        let inode = Self.inode(inTable: text, localPort: ends.remotePort, remotePort: ends.localPort),
        let id = Self.owner(ofInode: inode)
      else { continue }
      return ServerProcess(id: id, name: name(of: id) ?? "?")
    }
    return nil
  }

  /// Looks up an established connection by its ports, as seen from the end whose inode is wanted.
  ///
  /// A line is: number, local address:port, remote address:port, state, …; the tenth field is the inode. Ports are hexadecimal.
  static func inode(inTable table: String, localPort: Int, remotePort: Int) -> UInt64? {
    func port(_ field: Substring) -> Int? { field.split(separator: ":").last.flatMap { Int($0, radix: 16) } }
    for line in table.split(separator: "\n").dropFirst() {
      let fields = line.split(separator: " ")
      guard fields.count > 9, fields[3] == "01", port(fields[1]) == localPort, port(fields[2]) == remotePort,
        let inode = UInt64(fields[9]), inode > 0
      else { continue }
      return inode
    }
    return nil
  }

  private static func owner(ofInode inode: UInt64) -> Int32? {
    let files = FileManager.default
    let link = "socket:[\(inode)]"
    for name in (try? files.contentsOfDirectory(atPath: "/proc")) ?? [] {
      guard let id = Int32(name), let open = try? files.contentsOfDirectory(atPath: "/proc/\(name)/fd") else {
        continue
      }
      for file in open where (try? files.destinationOfSymbolicLink(atPath: "/proc/\(name)/fd/\(file)")) == link {
        return id
      }
    }
    return nil
  }

  private static func name(of id: Int32) -> String? {
    SystemFile.text("/proc/\(id)/comm")?.trimmingCharacters(in: .newlines)
  }
}

extension EngineConnection {
  /// The ports of both ends, and whether they have one address, as they do within a machine; nil where the system does not tell.
  var ends: (localPort: Int, remotePort: Int, isOneMachine: Bool)? {
    guard let local = Self.end(socket, getsockname), let remote = Self.end(socket, getpeername) else { return nil }
    return (local.port, remote.port, local.rest == remote.rest)
  }

  /// An address in both internet families is the family, the port in the network's order, and the rest.
  private static func end(
    _ socket: Int32, _ ask: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
  ) -> (port: Int, rest: [UInt8])? {
    var address = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    // A sockaddr_storage has room for every kind of address, and its alignment.
    let status = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { ask(socket, $0, &length) }
    }
    let bytes = withUnsafeBytes(of: &address) { [UInt8]($0.prefix(Int(length))) }
    guard status == 0, bytes.count > 4 else { return nil }
    return (Int(bytes[2]) << 8 | Int(bytes[3]), Array(bytes[4...]))
  }
}
