// Rows of one index for another: the same ones under other parameters.
//
// May use: PinnedRows, the bulk build.

extension HNSWConfiguration {
  /// Whether rows of an index of this kind can be rows of one of `other`: what they are is the same, and enough of their vectors is kept.
  package func canBecome(_ other: HNSWConfiguration) -> Bool {
    dimension == other.dimension && metric == other.metric && recordIDKind == other.recordIDKind
      && attributes.columns == other.attributes.columns && payload == other.payload
      && storage.canBecome(other.storage)
  }

  /// The same rows kept in another way. Eight bits are not rounded a second time, so those that were made without being rotated stay so.
  package func keeping(_ storage: VectorStorage) -> HNSWConfiguration {
    var other = self
    other.storage = storage
    if storage.canRotate { other.rotates = self.storage.canRotate ? rotates : true }
    return other
  }
}

extension HNSWIndex {
  /// Writes rows of another index that searches do not find yet, with their attributes, payload and stamps, as ``stage(_:_:attributes:payload:stamps:)``
  /// does.
  ///
  /// Where both indexes keep rows in the same representation, those are the same bytes, and so are the codes made of them. Else rows are made of what
  /// the other's stand for: what it has rounded already is rounded once more.
  /// - Precondition: the other's configuration ``HNSWConfiguration/canBecome(_:)`` this one's.
  /// - Throws: `duplicateRecord`, `outOfMemory`.
  package func stage(_ batch: PinnedRows.Batch) throws(IndexError) {
    let other = batch.source.index
    precondition(other.configuration.canBecome(configuration), "rows of one kind, of which enough is kept")
    guard store.keepsRows(as: other.store) else {
      let zeros = try batch.vectors().withUnsafeBufferPointer { vectors throws(IndexError) in
        try stage(
          batch.ids, vectors, attributes: batch.attributes, payload: batch.payload, stamps: batch.stamps)
      }
      // What is kept of a vector that is not zero is not zero, so this is damage.
      guard zeros.isEmpty else {
        throw IndexError(
          .zeroVector, "the row \(batch.ids[zeros[0]]) is kept as a zero vector; read the rows anew from Postgres")
      }
      return
    }
    try stageChecked(batch.ids, attributes: batch.attributes, payload: batch.payload, stamps: batch.stamps) {
      .copied(batch.slots[$0], of: other.store)
    }
  }
}
