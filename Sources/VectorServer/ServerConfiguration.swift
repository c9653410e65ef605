// What a server is asked to be, and the limits within which that makes sense.
//
// May use: VectorWire and VectorIndex, for their limits.

import NIOCore
import VectorIndex
import VectorWire

/// Where the server listens, how much it takes on, and how long it waits.
public struct ServerConfiguration: Sendable {
  /// The address to listen on. Loopback unless told otherwise: the protocol has no passwords.
  public var host = "127.0.0.1"
  /// 0 = a free port of the system's choice.
  public var port = WireProtocol.defaultPort
  /// What the Welcome promises each client.
  public var limits = WireLimits()
  /// Open connections.
  public var connectionsMax = 512
  /// Threads that search.
  public var searchThreads = System.coreCount
  /// Threads that read and write sockets. One can move more than the searches of many cores ask for.
  public var networkThreads = max(1, System.coreCount / 8)
  /// Requests that wait for a search thread, of all connections together.
  public var queuedRequestsMax = 4_096
  /// Bytes that the requests in flight of one connection and the replies to come may take before the server stops
  /// reading from it. One request is always taken. With ``connectionsMax``, this bounds the server's memory beside its
  /// indexes.
  public var connectionBytesMax = 64 << 20
  /// From the opening of a connection to its Hello.
  public var handshakeTimeout = Duration.seconds(10)
  /// How long half a frame, or a reply that is not read, is waited for.
  public var stallTimeout = Duration.seconds(30)
  /// The deadline of requests that give none.
  public var defaultDeadline = Duration.seconds(30)
  /// How long a closed connection may go on sending, so that it can read why it was closed.
  public var lingerTimeout = Duration.seconds(1)
  /// How long a graceful shutdown waits for requests in flight.
  public var shutdownTimeout = Duration.seconds(10)
  /// Name and version, as the Welcome tells them.
  public var serverName = "vizinho"

  public init() {}

  /// Checks every value against its range.
  /// - Throws: `invalidConfiguration`, naming the key and what is allowed.
  public func validate() throws(ServerError) {
    try Self.check("port", port, in: 0...65_535)
    try Self.check("frameBytesMax", limits.frameBytesMax, in: 1_024...(1 << 30))
    try Self.check("queriesMax", limits.queriesMax, in: 1...65_536)
    try Self.check("kMax", limits.kMax, in: 1...HNSWConfiguration.resultsMax)
    try Self.check("efMax", limits.efMax, in: 1...HNSWConfiguration.searchEffortRange.upperBound)
    try Self.check("requestsInFlightMax", limits.requestsInFlightMax, in: 1...65_536)
    try Self.check("connectionsMax", connectionsMax, in: 1...65_536)
    try Self.check("searchThreads", searchThreads, in: 1...1_024)
    try Self.check("networkThreads", networkThreads, in: 1...256)
    try Self.check("queuedRequestsMax", queuedRequestsMax, in: 1...(1 << 20))
    try Self.check("connectionBytesMax", connectionBytesMax, in: 1_024...(1 << 40))
    for (name, value) in [
      ("handshakeTimeout", handshakeTimeout), ("stallTimeout", stallTimeout), ("defaultDeadline", defaultDeadline),
      ("lingerTimeout", lingerTimeout), ("shutdownTimeout", shutdownTimeout),
    ] {
      guard value >= .milliseconds(1), value <= .seconds(86_400) else {
        throw ServerError(.invalidConfiguration, "\(name) is \(value); it must be from 1 millisecond to 1 day")
      }
    }
  }

  private static func check(_ name: String, _ value: Int, in range: ClosedRange<Int>) throws(ServerError) {
    guard !range.contains(value) else { return }
    throw ServerError(
      .invalidConfiguration, "\(name) is \(value); it must be from \(range.lowerBound) to \(range.upperBound)")
  }
}
