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

  /// Checks the payload of some rows.
  func check(_ ids: [RecordID], payload rows: [[String?]]) throws(IndexError) {
    guard rows.count == ids.count else {
      throw IndexError(.payloadMismatch, "\(ids.count) rows, and payload of \(rows.count)")
    }
    for (id, row) in zip(ids, rows) {
      do throws(IndexError) {
        try configuration.check(payload: row)
      } catch {
        throw IndexError(error.code, "row \(id): \(error.message)")
      }
    }
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

  /// Checks a row's payload.
  func check(payload row: [String?]) throws(IndexError) {
    guard row.count == payload.count else {
      throw IndexError(
        .payloadMismatch, "the row has payload of \(row.count) columns; this index has \(payload.count)")
    }
    let bytes = row.reduce(0) { $0 + 4 + ($1?.utf8.count ?? 0) }
    guard bytes <= HNSWIndex.payloadBytesMax else {
      throw IndexError(
        .payloadMismatch, "the row has \(bytes) bytes of payload; at most \(HNSWIndex.payloadBytesMax) are kept")
    }
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
