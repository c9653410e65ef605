// What can go wrong in the server's own life, as one value with a growable code.
// What goes wrong with a request is a WireError and goes to the client.
//
// May use: nothing but the standard library.

/// An error of the server: what was wrong, and what to do next.
public struct ServerError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kind of error. A struct, so that adding a code breaks no caller's `switch`.
  public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public var description: String { rawValue }

    /// A configuration value is out of its range.
    public static let invalidConfiguration = Code(rawValue: "invalidConfiguration")
    /// The address cannot be listened on.
    public static let cannotListen = Code(rawValue: "cannotListen")
    /// The listening socket ended while the server was meant to run.
    public static let listenerEnded = Code(rawValue: "listenerEnded")
    /// What a rebuild would read does not fit the memory that this process may have.
    public static let notEnoughMemory = Code(rawValue: "notEnoughMemory")
    /// The journal holds what this program cannot have written.
    public static let journalUnusable = Code(rawValue: "journalUnusable")
    /// The journal has no room for what comes while a collection is loaded.
    public static let journalFull = Code(rawValue: "journalFull")
    /// A server that is there does not answer.
    public static let noReply = Code(rawValue: "noReply")
    /// What was read is not what Postgres says that it has.
    public static let notEqual = Code(rawValue: "notEqual")
    /// A collection is followed, or is not, and what was asked needs the other.
    public static let notFollowed = Code(rawValue: "notFollowed")
  }

  public var code: Code
  public var message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { message }
}
