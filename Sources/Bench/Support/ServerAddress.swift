// Where a server listens, as a user writes it.
//
// May use: ArgumentParser, VectorWire for the usual port.

import ArgumentParser
import VectorWire

/// `host:port`, or `[::1]:port`.
struct ServerAddress: Sendable, Equatable, CustomStringConvertible, ExpressibleByArgument {
  var host: String
  var port: Int

  static let usual = ServerAddress(host: "127.0.0.1", port: WireProtocol.defaultPort)

  init(host: String, port: Int) {
    self.host = host
    self.port = port
  }

  init?(argument: String) {
    guard let colon = argument.lastIndex(of: ":"), let port = Int(argument[argument.index(after: colon)...]),
      (1...65_535).contains(port)
    else { return nil }
    var host = String(argument[..<colon])
    if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
    guard !host.isEmpty else { return nil }
    self.init(host: host, port: port)
  }

  var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
  var defaultValueDescription: String { description }
}
