// The constants and limits of the protocol. The document is docs/PROTOCOL.md.
//
// May use: nothing but the standard library.

/// What is fixed for every speaker of the protocol.
public enum WireProtocol {
  /// The versions that this code speaks.
  public static let versions: ClosedRange<UInt16> = 1...1
  /// "VZNH", as a little-endian integer.
  public static let magic: UInt32 = 0x484E_5A56
  /// The port that servers take and clients try when none is given.
  public static let defaultPort = 7_733
  /// Bytes of a frame's header.
  public static let headerBytes = 16
  /// The longest body before the Welcome, the Welcome's own included.
  public static let handshakeBytesMax = 1_024
  /// The longest body of a Ping.
  public static let pingBytesMax = 256
  /// The longest name that a client or a server gives itself.
  public static let peerNameBytesMax = 256
  /// The longest filter: 10,000 texts of about 100 bytes.
  public static let filterBytesMax = 1 << 20
  /// The longest explanation of an answer.
  public static let explanationBytesMax = 4_096
  /// The longest text of an Error.
  public static let errorTextBytesMax = 512
}

/// What a server allows; it says so in its ``Welcome``.
public struct WireLimits: Hashable, Sendable {
  /// The longest body of a frame, in bytes, in both directions.
  public var frameBytesMax: Int
  /// The most queries or ids in one request.
  public var queriesMax: Int
  /// The most results a query.
  public var kMax: Int
  /// The longest candidate list of a search.
  public var efMax: Int
  /// The most requests that one connection may have unanswered.
  public var requestsInFlightMax: Int

  public init(
    frameBytesMax: Int = 16 << 20, queriesMax: Int = 1_024, kMax: Int = 10_000, efMax: Int = 10_000,
    requestsInFlightMax: Int = 256
  ) {
    self.frameBytesMax = frameBytesMax
    self.queriesMax = queriesMax
    self.kMax = kMax
    self.efMax = efMax
    self.requestsInFlightMax = requestsInFlightMax
  }
}
