// From a change of a row, as the stream has it, to what became of the row. What is not sent is resolved here as far as the message goes:
//
//     an unchanged column                           .unchanged, for whoever knows the row; of a jsonb column: all attributes taken out of it
//     the same, and the old row is sent in full     its value stands in the old row
//     a key column that is unchanged                its value stands in the old key, which Postgres then sends
//     an update that brings an old key or row       previousID, where the key is another
//     NULL in an old key, outside the key           not sent, and no NULL
//
// May use: FollowedTable, TupleReader.

internal import VectorIndex

/// A followed table's columns, found in a relation. Good for the rows that follow it in the stream, until the next relation of that id.
package struct TableBinding: Hashable, Sendable {
  let table: FollowedTable
  /// The fields that every row of the relation has.
  let fieldCount: Int
  /// Whether a field is sent in an old key.
  let isKey: [Bool]
  // Where the columns stand, in the description's order.
  let keys: [Int]
  let vector: Int
  let attributes: [Int]
  let payload: [Int]

  /// - message: the bytes that the ranges of the fields count in.
  /// - Throws: ``SourceError``: `dimensionMismatch`, `notFinite`, `attributeTooLong`, `payloadTooLong`, `keyTooLong` or `nullKey` for a row that no
  ///   load would have read; `malformedData` for one that no Postgres sends, text in place of binary values among them.
  package func event(
    _ insert: PgOutputMessage.Insert, in message: UnsafeRawBufferPointer
  ) throws(SourceError) -> RowEvent {
    .write(try write(TupleReader(self, message, new: insert.new, old: nil)))
  }

  /// As ``event(_:in:)-(PgOutputMessage.Insert,_)``.
  package func event(
    _ update: PgOutputMessage.Update, in message: UnsafeRawBufferPointer
  ) throws(SourceError) -> RowEvent {
    let reader = TupleReader(self, message, new: update.new, old: update.old)
    var row = try write(reader)
    if let old = update.old {
      let previous = try TupleReader(self, message, new: nil, old: old).id()
      if previous != row.id { row.previousID = previous }
    }
    return .write(row)
  }

  /// As ``event(_:in:)-(PgOutputMessage.Insert,_)``.
  package func event(
    _ delete: PgOutputMessage.Delete, in message: UnsafeRawBufferPointer
  ) throws(SourceError) -> RowEvent {
    .remove(try TupleReader(self, message, new: nil, old: delete.old).id())
  }

  private func write(_ reader: TupleReader) throws(SourceError) -> RowWrite {
    let id = try reader.id()
    return RowWrite(
      id: id, vector: try reader.vector(of: id), attributes: try reader.attributes(of: id),
      payload: try reader.payload(of: id))
  }
}
