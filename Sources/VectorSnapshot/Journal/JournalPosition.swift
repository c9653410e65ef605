// The values that callers of a journal hold: positions, kinds, what is known of a record.
//
// May use: nothing but the standard library.

/// A place in the whole journal: bytes from its very beginning, over all segments, removed ones included.
///
/// Every record begins at one and ends at one. The next record begins where one ended, or a little later where a
/// segment begins: the segment's header and its opening records lie between.
public struct JournalPosition: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
  public let rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }
  public var description: String { String(rawValue) }

  public static func < (left: JournalPosition, right: JournalPosition) -> Bool { left.rawValue < right.rawValue }
}

/// What a record is. Its meaning is its owner's; it stands in files, so it is never given another.
public struct JournalRecordKind: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: UInt8

  /// - Precondition: not 0, so that a stretch of zeros is no record.
  public init(rawValue: UInt8) {
    precondition(rawValue != 0, "0 is no kind of a record")
    self.rawValue = rawValue
  }

  public init(_ rawValue: UInt8) { self.init(rawValue: rawValue) }
  public var description: String { String(rawValue) }
}

/// What is known of a record besides its body.
public struct JournalRecord: Hashable, Sendable {
  public let kind: JournalRecordKind
  /// Where it stands, its header included.
  public let range: Range<JournalPosition>
  /// Whether it is one of those that ``Journal/rollIfDue(opening:)`` put at the start of a segment. They repeat what a
  /// reader of everything before knows already.
  public let opensSegment: Bool
}

/// How a journal is written.
public struct JournalOptions: Hashable, Sendable {
  /// A segment that has as many bytes is full: the next cut that its owner allows begins another.
  public var segmentBytes: Int
  /// How much is gathered before it is written to the file. A longer record is written as it comes.
  public var bufferBytes: Int

  /// - Precondition: both are positive, and the buffer has at least 4 KiB.
  public init(segmentBytes: Int = 64 << 20, bufferBytes: Int = 1 << 20) {
    precondition(segmentBytes > 0, "a segment holds something")
    precondition(bufferBytes >= 4 << 10, "a journal's buffer has at least 4 KiB")
    self.segmentBytes = segmentBytes
    self.bufferBytes = bufferBytes
  }
}

/// What the opening of a journal found, and what it did about it.
public struct JournalRecovery: Hashable, Sendable {
  /// The records that are there, opening ones included.
  public var recordCount = 0
  /// The bytes of a torn tail that were cut off; 0 when there was none.
  public var cutBytes = 0
  /// The file they were cut off, or the one that was removed because nothing of it was whole.
  public var cutPath: String?
  /// Segments that were begun and had not become part of the journal when their writer died. They are removed.
  public var removedLeftovers: [String] = []
}

/// A journal in numbers.
public struct JournalStatistics: Hashable, Sendable {
  public var segments: Int
  /// Of all segments, with what is in the buffer.
  public var bytes: Int
  public var oldestPosition: JournalPosition
  public var endPosition: JournalPosition
  public var durablePosition: JournalPosition
  /// How long the disk took the last time; 0 before the first.
  public var lastSynchronizationMicroseconds: Int
}
