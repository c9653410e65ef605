// Where in the life of Postgres an answer stands.
//
// May use: nothing but the standard library.

/// The point of the Postgres log up to which a collection has followed its table.
public struct Position: Hashable, Sendable {
  /// `pg_control_system().system_identifier`: which cluster.
  public var systemID: UInt64
  /// All changes committed before this log sequence number are in the collection; 0 when that is not known.
  public var appliedLSN: UInt64
  /// The timeline on which ``appliedLSN`` stands.
  public var timeline: UInt32

  public init(systemID: UInt64, appliedLSN: UInt64, timeline: UInt32) {
    self.systemID = systemID
    self.appliedLSN = appliedLSN
    self.timeline = timeline
  }

  public static let unknown = Position(systemID: 0, appliedLSN: 0, timeline: 0)

  /// Bytes on the wire.
  static let encodedBytes = 24
}
