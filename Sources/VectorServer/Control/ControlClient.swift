// The operator's end of the control socket.
//
// May use: ControlSocket.

/// Sends commands to the server of a data directory.
public struct ControlClient: Sendable {
  private let socket: ControlSocket

  /// - Returns: nil where no server serves the directory.
  /// - Throws: ``ServerError``.
  public init?(dataDirectory: String) throws {
    guard let socket = try ControlSocket.connect(to: ControlSocket.path(of: dataDirectory)) else { return nil }
    self.socket = socket
  }

  /// Runs a command. Blocks until its end.
  /// - Returns: its last reply: `done` or `failed`.
  /// - Throws: ``ServerError`` when the server ends before it.
  public func run(_ request: ControlRequest, progress: (String) -> Void) throws -> ControlReply {
    guard socket.write(try ControlLine.encode(request)) else { throw Self.gone }
    while let line = socket.readLine() {
      let reply = try ControlLine.decode(ControlReply.self, line)
      guard reply.kind == .progress else { return reply }
      progress(reply.text)
    }
    throw Self.gone
  }

  private static let gone = ServerError(.listenerEnded, "the server ended before the command did: see its log")
}
