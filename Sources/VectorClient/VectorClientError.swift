// What can go wrong for a client, as one value with a growable code.
//
// May use: VectorWire.

import VectorWire

/// An error of the client: what was wrong, and what to do next.
public struct VectorClientError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kind of error. A struct, so that adding a code breaks no caller's `switch`.
  public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public var description: String { rawValue }

    /// No connection could be made.
    public static let connectionFailed = Code(rawValue: "connectionFailed")
    /// The connection ended before the answer came; whether the server saw the request is not known.
    public static let connectionClosed = Code(rawValue: "connectionClosed")
    /// The answer did not come in time.
    public static let timedOut = Code(rawValue: "timedOut")
    /// The task that asked was cancelled.
    public static let cancelled = Code(rawValue: "cancelled")
    /// The request cannot be sent: it is over a limit that the server gave, or has no byte form.
    public static let invalidRequest = Code(rawValue: "invalidRequest")
    /// The server refused; ``VectorClientError/serverError`` says why.
    public static let refused = Code(rawValue: "refused")
    /// The other side does not speak the protocol.
    public static let protocolViolation = Code(rawValue: "protocolViolation")
  }

  public var code: Code
  public var message: String
  /// What the server said, when it was the server.
  public var serverError: WireError?

  public init(_ code: Code, _ message: String, serverError: WireError? = nil) {
    self.code = code
    self.message = message
    self.serverError = serverError
  }

  init(_ error: WireError) {
    let code: Code = error.code == .deadlineExceeded ? .timedOut : .refused
    self.init(code, "\(error.code): \(error.message)", serverError: error)
  }

  public var description: String { message }
}
