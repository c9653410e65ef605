// How a server follows Postgres: by which slot, and within which bounds.
//
// May use: PostgresSource's connection options.

import NIOCore
import PostgresSource

/// What following needs to know beside the collections.
public struct FollowConfiguration: Sendable {
  public var connection: ConnectionOptions
  /// The publication that lists the tables.
  public var publication = "vizinho"
  /// The logical replication slot: one for each data directory.
  public var slot = "vizinho"
  /// Whether changes come by the outbox (docs/FOLLOWING.md), and not by a slot; then ``slot`` is the name of its reader.
  public var followsOutbox = false
  /// A connection on which Postgres says nothing for so long, though it is asked, is given up; nil: none is.
  public var silenceMax: Duration? = .seconds(60)
  /// How long nobody looks at an outbox that had nothing.
  public var outboxInterval = Duration.milliseconds(100)
  /// Connections that copy when a collection is loaded.
  public var workers = 2
  /// Threads that link and compress when a collection is loaded, and that read and write snapshots.
  public var threads = WorkerThreadCount.all
  /// How long changes are gathered before they are made durable together. They are searchable before.
  public var commitInterval = Duration.milliseconds(10)
  /// A collection's snapshot is written anew when so many bytes of changes came after the last one.
  public var snapshotAfterBytes = 256 << 20
  /// Changes for which rows of more bytes must be read by their keys are applied in several steps.
  public var fetchedBytesMax = 64 << 20
  /// How long after a snapshot that could not be written another is tried.
  public var saveRetryInterval = Duration.seconds(60)
  /// The journal grows to this at most; then no more is read from Postgres, whose log waits.
  public var journalBytesMax = 8 << 30
  /// A server one of whose collections has more bytes of the log than this unapplied is not ready. By an outbox, places are ids of
  /// transactions, and so is what is between them.
  public var lagBytesReady: UInt64 = 16 << 20
  /// What that is by an outbox, where nobody says: as many as it has lines at once.
  public static let lagReadyByOutbox: UInt64 = 10_000
  /// How often the table's definition, the publication and the slot are looked at.
  public var watchInterval = Duration.seconds(10)
  /// How long each transaction that writes may keep a temporary slot from being made, and all of them twice that. A load may hold a lock
  /// on its table for twice as long, behind which an ALTER TABLE waits, and everybody else behind that.
  public var slotPatience = Duration.seconds(20)
  /// How often each collection is compared with Postgres, row by row; nil = only when asked.
  public var proofInterval: Duration?

  public init(connection: ConnectionOptions) { self.connection = connection }

  /// The same, with connections fit for the way by which changes come: an outbox's lock is a session's, and so is that a commit is waited
  /// for.
  func refusingUnfitConnections() -> FollowConfiguration {
    guard followsOutbox else { return self }
    var copy = self
    copy.connection = connection.refusingPoolers()
    return copy
  }
}

/// The number of threads that a machine suggests.
public enum WorkerThreadCount {
  public static var all: Int { System.coreCount }
}
