// How new a collection must be for a request to be answered from it: two modifiers, of which a request has at most one.
//
//     tag 9, position    u64 system id, u64 LSN, u32 timeline, u32 zero, u32 wait milliseconds
//     tag 10, strong     u32 wait milliseconds
//
// May use: BodyReader, NIOCore's ByteBuffer.

import NIOCore

/// How new the answer must be, and how long that may be waited for.
public enum Freshness: Hashable, Sendable {
  /// As it is.
  case any
  /// Not older than a position, such as that of one's own write. A system id or a timeline of 0 is not compared.
  case position(Position, waitMilliseconds: Int)
  /// Not older than Postgres is when the request comes; the server asks it.
  case strong(waitMilliseconds: Int)

  /// The longest that a request may wait: 60 seconds.
  public static let waitMillisecondsMax = 60_000

  /// How long may be waited; nil where nothing is waited for.
  public var waitMilliseconds: Int? {
    switch self {
    case .any: nil
    case .position(_, let wait), .strong(let wait): wait
    }
  }

  /// What is wrong with the wait; nil if nothing is.
  public var fault: String? {
    guard let wait = waitMilliseconds else { return nil }
    // Asking Postgres takes time: without any, a strong request could not succeed.
    var least = 0
    if case .strong = self { least = 1 }
    guard !(least...Self.waitMillisecondsMax).contains(wait) else { return nil }
    return "a wait of \(wait) milliseconds; it may be from \(least) to \(Self.waitMillisecondsMax)"
  }
}

extension ByteBuffer {
  /// The content of a position's modifier.
  mutating func writeField(_ position: Position, waitMilliseconds: Int) {
    writeField(position)
    writeCount(waitMilliseconds)
  }
}

extension BodyReader {
  /// The content of a position's modifier.
  mutating func freshnessPosition() throws(WireError) -> Freshness {
    let position = try position()
    return try checked(.position(position, waitMilliseconds: try count("waitMilliseconds")))
  }

  /// The content of a strong search's modifier.
  mutating func freshnessStrong() throws(WireError) -> Freshness {
    try checked(.strong(waitMilliseconds: try count("waitMilliseconds")))
  }

  private func checked(_ freshness: Freshness) throws(WireError) -> Freshness {
    if let fault = freshness.fault { throw WireError(.invalidOption, fault) }
    return freshness
  }
}
