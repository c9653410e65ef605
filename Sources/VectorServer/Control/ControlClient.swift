// The operator's end of the control socket.
//
// May use: ControlSocket.

/// Sends commands to the server of a data directory.
public struct ControlClient: Sendable {
  private let socket: ControlSocket
  private let patienceSeconds: Double

  /// - patienceSeconds: how long a reply may take that is due at once.
  /// - Returns: nil where no server serves the directory.
  /// - Throws: ``ServerError``.
  public init?(dataDirectory: String, patienceSeconds: Double = 30) throws {
    guard let socket = try ControlSocket.connect(to: ControlSocket.path(of: dataDirectory)) else { return nil }
    self.socket = socket
    self.patienceSeconds = patienceSeconds
  }

  /// Runs a command. Blocks until its end.
  /// - Returns: its last reply: `done` or `failed`.
  /// - Throws: ``ServerError`` when the server ends before it, or does not answer what can be answered at once.
  public func run(_ request: ControlRequest, progress: (String) -> Void) throws -> ControlReply {
    guard socket.write(try ControlLine.encode(request)) else { throw Self.gone }
    // Everything else may have to wait for its turn.
    if request.command == .status, !socket.isReadable(within: patienceSeconds) {
      throw ControlSocket.noReply(patienceSeconds)
    }
    while let line = socket.readLine() {
      let reply = try ControlLine.decode(ControlReply.self, line)
      guard reply.kind == .progress else { return reply }
      progress(reply.text)
    }
    throw Self.gone
  }

  private static let gone = ServerError(.listenerEnded, "the server ended before the command did: see its log")
}
