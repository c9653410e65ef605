// What is refused of a row, in words that name it: the same when rows are read and when their changes come.
//
// May use: SourceError; VectorIndex for RecordID and the limits.

internal import VectorIndex

extension SourceError {
  static func wrongDimension(_ id: RecordID, found: Int, expected: Int) -> SourceError {
    SourceError(
      .dimensionMismatch,
      "The row with key \(id) has a vector of \(found) dimensions, not \(expected). "
        + "One index holds vectors of one dimension: leave such rows out with a condition on vector_dims(…).")
  }

  static func vectorNotFinite(_ id: RecordID) -> SourceError {
    SourceError(.notFinite, "The row with key \(id) has a vector with NaN or an infinity.")
  }

  /// - what: what it is that is too long, and what would not be.
  static func attributeTooLong(_ id: RecordID, _ name: String, _ what: String) -> SourceError {
    SourceError(
      .attributeTooLong,
      "The row with key \(id) has as its attribute \"\(name)\" \(what). Leave such rows out with a "
        + "condition, read a query that shortens it, or leave it out of --attributes.")
  }

  /// - name: of the column with which it became too long.
  static func payloadTooLong(_ id: RecordID, _ name: String) -> SourceError {
    SourceError(
      .payloadTooLong,
      "The row with key \(id) has more than \(HNSWIndex.payloadBytesMax) bytes of payload. Leave such rows out with a "
        + "condition, read a query that shortens \"\(name)\", or leave it out of --payload.")
  }

  static var keyTooLong: SourceError {
    SourceError(
      .keyTooLong,
      "A row's key is longer than \(RecordID.encodedBytesMax) bytes. Choose shorter key columns, or leave such rows out."
    )
  }

  /// - column: of the key, from 0.
  static func nullKey(column: Int) -> SourceError {
    SourceError(
      .nullKey,
      "Key column \(column + 1) is NULL in a row: a key needs columns that are NOT NULL. "
        + "Choose other key columns, or leave such rows out with a condition.")
  }
}
