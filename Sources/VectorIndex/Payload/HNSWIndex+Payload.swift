// Rows with payload: how it comes in, and how it is read.
//
// May use: PayloadStore, VectorStore.

extension HNSWIndex {
  /// The payload of a row: a text or nil for each column of the configuration's ``HNSWConfiguration/payload``. nil when there is no such row.
  ///
  /// - Complexity: decompresses a block of about 16 KiB.
  public func payload(of id: RecordID) -> [String?]? {
    withCurrentSlot(of: id) { slot in payload?.values(of: slot) ?? [] }
  }

  /// Writes rows with attributes and payload that searches do not find yet; as ``stage(_:_:attributes:)``.
  ///
  /// Rows that come together lie in blocks together. The payload of a row that is replaced by one without stays with it, as attributes do.
  /// - attributes: `[ids.count]`, or nil for NULLs.
  /// - payload: `[ids.count]`, for each row a text or nil for each column of the configuration's.
  /// - Throws: as ``stage(_:_:attributes:)``, and `payloadMismatch`, before anything is staged.
  public func stage(
    _ ids: [RecordID], _ vectors: UnsafeBufferPointer<Float>, attributes values: [[AttributeValue]]?,
    payload rows: [[String?]]
  ) throws(IndexError) -> [Int] {
    guard rows.count == ids.count else {
      throw IndexError(.payloadMismatch, "\(ids.count) rows, and payload of \(rows.count)")
    }
    for (id, row) in zip(ids, rows) {
      guard row.count == configuration.payload.count else {
        throw IndexError(
          .payloadMismatch,
          "row \(id) has payload of \(row.count) columns; this index has \(configuration.payload.count)")
      }
      let bytes = row.reduce(0) { $0 + 4 + ($1?.utf8.count ?? 0) }
      guard bytes <= Self.payloadBytesMax else {
        throw IndexError(
          .payloadMismatch, "row \(id) has \(bytes) bytes of payload; at most \(Self.payloadBytesMax) are kept")
      }
    }
    if let values { try check(ids, values) }
    // Compressed before the lock is taken, so that loading threads do this part side by side.
    let made = payload.map { PayloadStore.make(rows, codec: $0.codec) }
    return try stage(ids, vectors, attributes: values, made: made)
  }

  /// The most bytes of a row's payload, four for each column included.
  public static let payloadBytesMax = PayloadBlock.rowBytesMax
}

extension HNSWConfiguration {
  /// The most columns of payload.
  public static let payloadColumnsMax = 64

  /// The columns as a snapshot lists them; nil when there are none.
  package var payloadSchema: AttributeSchema? {
    payload.isEmpty ? nil : try? AttributeSchema(payload.map { AttributeColumn($0, .keyword, isIndexed: false) })
  }

  func validatePayload() throws(IndexError) {
    guard payload.count <= Self.payloadColumnsMax else {
      throw IndexError(
        .invalidConfiguration, "\(payload.count) columns of payload; there are at most \(Self.payloadColumnsMax)")
    }
    for (i, name) in payload.enumerated() {
      guard (1...AttributeSchema.nameBytesMax).contains(name.utf8.count), !name.utf8.contains(0) else {
        throw IndexError(
          .invalidConfiguration,
          "the payload \"\(name.prefix(64))\": a name has from 1 to \(AttributeSchema.nameBytesMax) bytes, none of them zero"
        )
      }
      guard !payload[..<i].contains(where: { $0.utf8.elementsEqual(name.utf8) }) else {
        throw IndexError(.invalidConfiguration, "the payload \"\(name)\" is there twice; leave one of them out")
      }
    }
  }
}
