// A position in the write-ahead log.
//
// May use: nothing but the standard library.

/// A log sequence number: a byte position in the write-ahead log of one Postgres cluster on one timeline.
public struct LSN: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
  public let rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// "Not known": no commit has this position.
  public static let unknown = LSN(rawValue: 0)

  /// Reads the form that Postgres prints: two hexadecimal halves, as in `16/B374D848`.
  public init?(_ text: some StringProtocol) {
    let halves = text.split(separator: "/", omittingEmptySubsequences: false)
    guard halves.count == 2, halves.allSatisfy({ (1...8).contains($0.utf8.count) && $0.utf8.first != 0x2B }),
      let high = UInt32(halves[0], radix: 16), let low = UInt32(halves[1], radix: 16)
    else { return nil }
    rawValue = UInt64(high) << 32 | UInt64(low)
  }

  public var description: String {
    String(rawValue >> 32, radix: 16, uppercase: true) + "/"
      + String(rawValue & 0xFFFF_FFFF, radix: 16, uppercase: true)
  }

  public static func < (a: LSN, b: LSN) -> Bool { a.rawValue < b.rawValue }
}
