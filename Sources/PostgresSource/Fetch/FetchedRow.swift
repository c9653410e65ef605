// A row that was asked for by its key, and its bytes, of which it can be made again.
//
// May use: BinaryCopyDecoder, VectorIndex for ids and values.

package import VectorIndex

/// A row as the load would have read it.
package struct FetchedRow: Hashable, Sendable {
  package var id: RecordID
  package var vector: [Float]
  /// In the order of ``SourceDescription/attributes``.
  package var attributes: [AttributeValue]
  /// In the order of ``SourceDescription/payload``.
  package var payload: [String?]
  /// The row as binary COPY has it: the fields of ``SourceDescription/layout``.
  package var wire: [UInt8]
  /// Where in `wire` the vector's value is, as its type's send function wrote it.
  package var vectorPlace: Range<Int>

  /// Reads a row from its bytes.
  /// - Throws: ``SourceError`` as ``BinaryCopyDecoder`` does; `malformedData` also when the bytes are not one row with a vector.
  package init(wire: [UInt8], layout: RowLayout) throws(SourceError) {
    var decoder = BinaryCopyDecoder(layout: layout)
    var batch = RowBatch(dimension: layout.dimension)
    try Self.decode(Self.header, with: &decoder, into: &batch)
    try Self.decode(wire, with: &decoder, into: &batch)
    guard batch.count == 1, decoder.nullVectorCount == 0,
      let place = Self.vectorPlace(in: wire, after: layout.keyTypes.count)
    else {
      throw SourceError(.malformedData, "\(wire.count) bytes are not one row with a vector.")
    }
    id = batch.ids[0]
    vector = batch.vectors
    attributes = batch.attributes.first ?? []
    payload = batch.payload.first ?? []
    self.wire = wire
    vectorPlace = place
  }

  /// What a COPY begins with: the signature, no flags, no extension.
  private static let header: [UInt8] =
    Array("PGCOPY\n".utf8) + [0xFF, 0x0D, 0x0A, 0x00] + [UInt8](repeating: 0, count: 8)

  private static func decode(
    _ bytes: [UInt8], with decoder: inout BinaryCopyDecoder, into batch: inout RowBatch
  ) throws(SourceError) {
    let span = bytes.span.bytes
    try span.withUnsafeBytes { (buffer) throws(SourceError) in try decoder.decode(buffer, into: &batch) }
  }

  /// The place of the field behind the keys; nil when there is none, or when the fields do not end where the bytes do.
  private static func vectorPlace(in wire: [UInt8], after keyCount: Int) -> Range<Int>? {
    guard wire.count >= 2 else { return nil }
    var place: Range<Int>?
    var offset = 2
    for field in 0..<(Int(wire[0]) << 8 | Int(wire[1])) {
      guard wire.count - offset >= 4 else { return nil }
      let length = wire[offset..<(offset + 4)].reduce(Int32(0)) { $0 << 8 | Int32($1) }
      offset += 4
      guard length >= -1, wire.count - offset >= Int(length) else { return nil }
      if field == keyCount, length >= 0 { place = offset..<(offset + Int(length)) }
      offset += max(Int(length), 0)
    }
    return offset == wire.count ? place : nil
  }
}

/// What ``RowFetcher/fetch(_:)`` found.
package struct FetchedRows: Sendable {
  /// In no order.
  package var rows: [FetchedRow]
  /// The keys without a row that belongs into the index, in the order in which they were asked for.
  package var missing: [RecordID]
  /// What the statement saw.
  package var snapshot: VisibilitySnapshot
}
