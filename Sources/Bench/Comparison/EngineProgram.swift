// The engine as its users run it: the program `vizinho` beside this one, as processes of its own that are reached over TCP.
//
// May use: ChildProcess, EngineConnection.

import Foundation
import VectorWire

/// The program, and what all its processes have in common.
struct EngineProgram: Sendable {
  /// Where the program is.
  var path: String
  /// A folder of this run, for data directories and logs.
  var folder: String
  /// Goes to the program by its environment: others may read command lines.
  var postgres: String
  /// As SQL writes it.
  var table: String
  var metric: String
  /// Columns that filters ask for.
  var attributes: String

  static let collection = "rows"

  /// The program that stands beside this one, unless another is named.
  /// - Throws: ``BenchError`` with `engineFailed` where there is none.
  static func find(_ named: String?) throws(BenchError) -> String {
    let beside = URL(fileURLWithPath: own).deletingLastPathComponent().appendingPathComponent("vizinho").path
    let path = named ?? beside
    guard FileManager.default.isExecutableFile(atPath: path) else {
      throw BenchError(
        .engineFailed,
        "There is no program \(path): build it with swift build -c release --product vizinho, name it with --program, or measure a server that "
          + "runs with --engine.")
    }
    return path
  }

  private static var own: String {
    (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
  }

  private func start(_ name: String, _ arguments: [String]) throws(BenchError) -> ChildProcess {
    try ChildProcess(
      program: path, arguments: arguments, environment: environment, log: "\(folder)/\(name).log")
  }

  /// This program's, without settings for the engine that the user has for another purpose; which kernels run may be chosen.
  private var environment: [String: String] {
    var values = ProcessInfo.processInfo.environment.filter {
      !$0.key.hasPrefix("VIZINHO_") || $0.key == "VIZINHO_KERNELS"
    }
    values["VIZINHO_POSTGRES"] = postgres
    return values
  }

  private func source(_ storage: String) -> [String] {
    [
      "--table", table, "--metric", metric, "--storage", storage, "--attributes", attributes, "--collection",
      Self.collection,
    ]
  }

  // MARK: Builds

  /// What a build took.
  struct Built: Sendable {
    var seconds: Double
    var peakMemoryBytes: Int?
    /// What the program says of it, in its words.
    var account: String
  }

  /// Builds an index of the table and writes it to the disk: `vizinho rebuild`.
  /// - Throws: ``BenchError`` with `engineFailed`; what `isGivenUp` throws.
  func rebuild(_ storage: String, isGivenUp: () throws -> Void) throws -> Built {
    let clock = ContinuousClock()
    let start = clock.now
    let process = try self.start(
      "rebuild-\(storage)", ["rebuild", "--data-dir", directory(storage)] + source(storage))
    let end = try process.wait(isGivenUp)
    guard end.code == 0 else { throw failed("rebuild", process, end) }
    let seconds = (clock.now - start) / .seconds(1)
    return Built(
      seconds: seconds, peakMemoryBytes: end.peakMemoryBytes, account: Self.account(in: process.lastLines(12)))
  }

  /// `rows: 10,000 rows as int4x16 in 1.2 s (read 0.3 s, …)`, without what comes before and behind.
  static func account(in lines: String) -> String {
    guard let open = lines.firstRange(of: "(read "), let close = lines[open.upperBound...].firstIndex(of: ")") else {
      return ""
    }
    return String(lines[lines.index(after: open.lowerBound)..<close])
  }

  func directory(_ storage: String) -> String { "\(folder)/\(storage)" }

  // MARK: Servers

  /// Serves what was built: `vizinho serve`.
  func serve(_ storage: String, isGivenUp: () throws -> Void) throws -> EngineServer {
    let port = try FreePort.find()
    let process = try start(
      "serve-\(storage)", ["serve", "--data-dir", directory(storage), "--listen", "127.0.0.1:\(port)"])
    return try ready(EngineServer(process: process, port: port), isGivenUp)
  }

  /// Makes what following needs in Postgres: `vizinho prepare`.
  func prepare(_ storage: String, publication: String, isGivenUp: () throws -> Void) throws {
    let process = try start(
      "prepare-\(storage)", ["prepare", "--publication", publication, "--apply"] + source(storage))
    let end = try process.wait(isGivenUp)
    guard end.code == 0 else { throw failed("prepare", process, end) }
  }

  /// Loads the table anew and follows it: `vizinho serve --postgres`.
  func follow(
    _ storage: String, publication: String, slot: String, isGivenUp: () throws -> Void
  ) throws -> EngineServer {
    let port = try FreePort.find()
    let process = try start(
      "follow-\(storage)",
      [
        "serve", "--data-dir", directory(storage + "-followed"), "--listen", "127.0.0.1:\(port)", "--publication",
        publication, "--slot", slot,
      ] + source(storage))
    return try ready(EngineServer(process: process, port: port), isGivenUp)
  }

  /// Waits until a server serves its collection.
  private func ready(_ server: EngineServer, _ isGivenUp: () throws -> Void) throws -> EngineServer {
    while true {
      if let end = server.process.poll() { throw failed("serve", server.process, end) }
      // Nobody answers before it has loaded what it serves.
      if let connection = try? EngineConnection(host: EngineServer.host, port: server.port),
        let listed: Collections = try? connection.ask(ListCollections()),
        listed.collections.contains(where: { $0.name == Self.collection })
      {
        return server
      }
      do { try isGivenUp() } catch {
        server.process.end()
        throw error
      }
      usleep(50_000)
    }
  }

  private func failed(_ command: String, _ process: ChildProcess, _ end: ProcessEnd) -> BenchError {
    let how = end.code < 0 ? "was ended by signal \(-end.code)" : "ended with \(end.code)"
    return BenchError(.engineFailed, "vizinho \(command) \(how). It said: \(process.lastLines())")
  }
}

/// A server that this run has started.
struct EngineServer: Sendable {
  var process: ChildProcess
  var port: Int
  static let host = "127.0.0.1"
}

/// A port that nobody listens at.
enum FreePort {
  /// - Throws: ``BenchError`` with `engineFailed` where the system has none.
  static func find() throws(BenchError) -> Int {
    let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(socket) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let status = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        bind(socket, address, length) == 0 ? getsockname(socket, address, &length) : -1
      }
    }
    guard status == 0 else {
      throw BenchError(.engineFailed, "There is no free port: \(String(cString: strerror(errno))).")
    }
    return Int(UInt16(bigEndian: address.sin_port))
  }
}
