// What can go wrong between Postgres and the index, as one value with a growable code.
//
// May use: nothing but the standard library.

/// An error of the source: what was wrong, with what, and the SQL or the flag that mends it.
///
/// A message never holds a password or a whole connection string.
public struct SourceError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kind of error. A struct, so that adding a code breaks no caller's `switch`.
  public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public var description: String { rawValue }
  }

  public var code: Code
  /// Sentences for a person: what was expected, what was found, what to do next.
  public var message: String
  /// The five characters of the server's SQLSTATE, when the error is the server's.
  public var sqlState: String?

  public init(_ code: Code, _ message: String, sqlState: String? = nil) {
    self.code = code
    self.message = message
    self.sqlState = sqlState
  }

  public var description: String {
    guard let sqlState else { return message }
    return message + " (SQLSTATE " + sqlState + ")"
  }
}

// What the caller asked for.
extension SourceError.Code {
  /// The connection string cannot be parsed. Its text is in no message: it may hold a password.
  public static let invalidConnectionString = Self(rawValue: "invalidConnectionString")
  /// An argument is out of its range.
  public static let invalidArgument = Self(rawValue: "invalidArgument")
  /// The server does not understand the query of a query source.
  public static let invalidQuery = Self(rawValue: "invalidQuery")
  /// The server does not understand the condition of a table source.
  public static let invalidFilter = Self(rawValue: "invalidFilter")
  /// The caller asked for the work to stop.
  public static let cancelled = Self(rawValue: "cancelled")
}

// What the preflight refuses.
extension SourceError.Code {
  /// PostgreSQL before 15.
  public static let serverTooOld = Self(rawValue: "serverTooOld")
  /// pgvector is not installed in this database.
  public static let extensionMissing = Self(rawValue: "extensionMissing")
  /// pgvector before 0.7.
  public static let extensionTooOld = Self(rawValue: "extensionTooOld")
  /// There is no such table.
  public static let tableMissing = Self(rawValue: "tableMissing")
  /// A view, a foreign table or another relation that cannot be read block by block.
  public static let notATable = Self(rawValue: "notATable")
  /// There is no such column.
  public static let columnMissing = Self(rawValue: "columnMissing")
  /// No column, or more than one, could be the vector column.
  public static let vectorColumnUnclear = Self(rawValue: "vectorColumnUnclear")
  /// The vector column is neither `vector` nor `halfvec`.
  public static let vectorColumnType = Self(rawValue: "vectorColumnType")
  /// The table has no primary key and no key columns were named.
  public static let keyMissing = Self(rawValue: "keyMissing")
  /// A key column has a type that no record id has.
  public static let keyColumnType = Self(rawValue: "keyColumnType")
  /// An attribute is read from a column of a type that no attribute has.
  public static let attributeType = Self(rawValue: "attributeType")
  /// A text attribute's collation takes different texts for equal.
  public static let attributeCollation = Self(rawValue: "attributeCollation")
  /// An attribute is read from a generated column of a table.
  public static let attributeGenerated = Self(rawValue: "attributeGenerated")
  /// The column says no dimension, and no row does.
  public static let dimensionUnknown = Self(rawValue: "dimensionUnknown")
  /// A stated dimension contradicts the column or a row.
  public static let dimensionMismatch = Self(rawValue: "dimensionMismatch")
  /// The role may not read something it has to.
  public static let permissionDenied = Self(rawValue: "permissionDenied")
  /// Row-level security would hide rows.
  public static let rowSecurity = Self(rawValue: "rowSecurity")
}

// What happens on the way.
extension SourceError.Code {
  /// No connection could be made.
  public static let connectionFailed = Self(rawValue: "connectionFailed")
  /// A connection broke, or an administrator ended it.
  public static let connectionLost = Self(rawValue: "connectionLost")
  /// The server has no connection left.
  public static let tooManyConnections = Self(rawValue: "tooManyConnections")
  /// Another session holds, or waits for, an exclusive lock on the table.
  public static let lockTimeout = Self(rawValue: "lockTimeout")
  /// The server gave the snapshot up.
  public static let snapshotLost = Self(rawValue: "snapshotLost")
  /// The table's definition changed between two looks at it.
  public static let sourceChanged = Self(rawValue: "sourceChanged")
  /// Any other error of the server.
  public static let serverError = Self(rawValue: "serverError")
  /// The bytes are no binary COPY of the expected columns.
  public static let malformedData = Self(rawValue: "malformedData")
  /// A key column is NULL.
  public static let nullKey = Self(rawValue: "nullKey")
  /// A key is longer than ``RecordID/encodedBytesMax``.
  public static let keyTooLong = Self(rawValue: "keyTooLong")
  /// A text or an array is longer than an attribute may be.
  public static let attributeTooLong = Self(rawValue: "attributeTooLong")
  /// A row's payload is longer than it may be.
  public static let payloadTooLong = Self(rawValue: "payloadTooLong")
  /// A vector holds NaN or an infinity, which pgvector itself refuses to store.
  public static let notFinite = Self(rawValue: "notFinite")
  /// The system refused a thread or a pipe.
  public static let systemResources = Self(rawValue: "systemResources")
}

// What following a table's changes meets.
extension SourceError.Code {
  /// The server cannot replicate as it is set up: `wal_level`, no free slot or sender, a role without REPLICATION.
  public static let replicationUnavailable = Self(rawValue: "replicationUnavailable")
  /// There is no publication of that name, at the position that is read.
  public static let publicationMissing = Self(rawValue: "publicationMissing")
  /// The publication leaves out the table, or something of it that is needed.
  public static let publicationUnfit = Self(rawValue: "publicationUnfit")
  /// There is no outbox, or a table has not the triggers that write to it.
  public static let outboxMissing = Self(rawValue: "outboxMissing")
  /// The replica identity does not name the rows by the key.
  public static let replicaIdentity = Self(rawValue: "replicaIdentity")
  /// What is asked for can be read once, but not followed.
  public static let followUnsupported = Self(rawValue: "followUnsupported")
  /// There is a replication slot of that name already.
  public static let slotExists = Self(rawValue: "slotExists")
  /// There is no replication slot of that name.
  public static let slotMissing = Self(rawValue: "slotMissing")
  /// Another connection reads from the slot.
  public static let slotInUse = Self(rawValue: "slotInUse")
  /// The server has thrown away what the slot had still to deliver.
  public static let slotLost = Self(rawValue: "slotLost")
  /// Transactions that write were open for longer than a slot, which is made when they have ended, could be waited for.
  public static let transactionsOpen = Self(rawValue: "transactionsOpen")
  /// The slot is of another kind, plugin or database.
  public static let slotUnfit = Self(rawValue: "slotUnfit")
  /// What is kept here is no part of the server's history, or of what the slot will deliver: changes would be lost without a word.
  public static let historyDiverged = Self(rawValue: "historyDiverged")
}
