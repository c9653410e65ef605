// What a replication connection answers: the server's identity, the history of its timelines, a new slot.
//
// May use: LSN.

/// Which server, and where it is.
package struct SystemIdentity: Hashable, Sendable {
  /// Names the cluster through all its life.
  package var systemIdentifier: UInt64
  package var timeline: UInt32
  /// How far its log is safely written; on a standby, replayed.
  package var position: LSN
  package var database: String

  package init(systemIdentifier: UInt64, timeline: UInt32, position: LSN, database: String) {
    self.systemIdentifier = systemIdentifier
    self.timeline = timeline
    self.position = position
    self.database = database
  }
}

/// How a timeline came to be: which timelines it goes on from, and where it left each of them.
package struct TimelineHistory: Hashable, Sendable {
  private var switchPoints: [UInt32: LSN] = [:]

  /// Of the first timeline, which comes from none.
  package static let first = TimelineHistory()
  private init() {}

  /// Reads a history file: on each line a timeline, the position up to which it is shared, and a reason, with blanks or tabs between.
  /// Empty lines and those that begin with `#` say nothing.
  /// - Throws: ``SourceError`` with `malformedData`.
  package init(parsing text: String) throws(SourceError) {
    for line in text.split(whereSeparator: \.isNewline) {
      let words = line.split(maxSplits: 2, whereSeparator: \.isWhitespace)
      guard let first = words.first, !first.hasPrefix("#") else { continue }
      guard words.count >= 2, let timeline = UInt32(first), timeline > 0, let position = LSN(words[1]) else {
        throw SourceError(
          .malformedData, "The server's history of timelines cannot be read at the line \"\(line.prefix(100))\".")
      }
      switchPoints[timeline] = position
    }
  }

  /// Up to where the timeline's log is part of this history; nil: it is none of its ancestors.
  package func switchPoint(of timeline: UInt32) -> LSN? { switchPoints[timeline] }
}

/// A replication slot that was made.
package struct CreatedSlot: Hashable, Sendable {
  package var name: String
  /// All transactions whose commit record ends before it are in the snapshot, all others will come by the slot.
  package var consistentPoint: LSN
  /// The exported snapshot, for `SET TRANSACTION SNAPSHOT`. It lives until the next command on the connection that made the slot.
  package var snapshot: String?
}
