// Where in the life of Postgres an answer stands, and how that is written down.
//
// May use: nothing but the standard library.

/// The point of the Postgres log up to which a collection has followed its table.
public struct Position: Hashable, Sendable {
  /// `pg_control_system().system_identifier`: which cluster.
  public var systemID: UInt64
  /// All changes committed before this log sequence number are in the collection; 0 when that is not known.
  public var appliedLSN: UInt64
  /// The timeline on which ``appliedLSN`` stands, and ``transactionsFlag``.
  public var timeline: UInt32

  /// Set in ``timeline`` where ``appliedLSN`` is no place in the log but the id of a transaction: all below it are in the collection. The two must
  /// never be taken for each other: as a place in the log, every id is long reached.
  public static let transactionsFlag: UInt32 = 1 << 31

  public var countsTransactions: Bool { timeline & Self.transactionsFlag != 0 }

  public init(systemID: UInt64, appliedLSN: UInt64, timeline: UInt32) {
    self.systemID = systemID
    self.appliedLSN = appliedLSN
    self.timeline = timeline
  }

  public static let unknown = Position(systemID: 0, appliedLSN: 0, timeline: 0)

  /// Bytes on the wire.
  static let encodedBytes = 24
}

extension Position: LosslessStringConvertible {
  /// A token that a cookie, a header or a URL can carry: `7412233445566778899-1-16.B374D848`, system, timeline and LSN.
  public var description: String {
    "\(systemID)-\(timeline)-" + String(appliedLSN >> 32, radix: 16, uppercase: true) + "."
      + String(appliedLSN & 0xFFFF_FFFF, radix: 16, uppercase: true)
  }

  /// ``appliedLSN`` as Postgres prints it: `16/B374D848`.
  public var lsnText: String {
    String(appliedLSN >> 32, radix: 16, uppercase: true) + "/"
      + String(appliedLSN & 0xFFFF_FFFF, radix: 16, uppercase: true)
  }

  /// Reads a token, or an LSN as Postgres prints it, which then is of any system and any timeline.
  /// - Returns: nil for everything else.
  public init?(_ text: String) {
    // No more than both forms can take, before anything is made of it.
    guard text.utf8.count <= 64 else { return nil }
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    if parts.count == 1, let lsn = Self.lsn(text, separator: "/") {
      self.init(systemID: 0, appliedLSN: lsn, timeline: 0)
      return
    }
    guard parts.count == 3, let systemID = Self.number(parts[0], as: UInt64.self),
      let timeline = Self.number(parts[1], as: UInt32.self), let lsn = Self.lsn(parts[2], separator: ".")
    else { return nil }
    self.init(systemID: systemID, appliedLSN: lsn, timeline: timeline)
  }

  private static func lsn(_ text: some StringProtocol, separator: Character) -> UInt64? {
    let halves = text.split(separator: separator, omittingEmptySubsequences: false)
    guard halves.count == 2, halves.allSatisfy({ (1...8).contains($0.utf8.count) }),
      let high = number(halves[0], as: UInt32.self, radix: 16), let low = number(halves[1], as: UInt32.self, radix: 16)
    else { return nil }
    return UInt64(high) << 32 | UInt64(low)
  }

  /// Digits alone: no sign.
  private static func number<T: FixedWidthInteger>(
    _ text: some StringProtocol, as type: T.Type, radix: Int = 10
  ) -> T? {
    text.utf8.first == 0x2B ? nil : T(text, radix: radix)
  }
}
