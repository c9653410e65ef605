// Rows with attributes: how they come in, how they are changed without their vectors, how they are read.
//
// May use: AttributeStore, VectorStore.

extension HNSWIndex {
  /// Adds a row with its attributes.
  ///
  /// - attributes: a value for each column of the configuration's schema, in its order.
  /// - Throws: as ``insert(_:_:)``, and `attributeMismatch`.
  public func insert(
    _ id: RecordID, _ vector: [Float], attributes values: [AttributeValue]
  ) throws(IndexError) {
    try change([RowChange(id, .write(vector: vector, attributes: values))], replaces: false)
  }

  /// Adds a row with its attributes, or replaces both of the row of that id: a search sees the old ones or the new.
  ///
  /// ``upsert(_:_:)``, without attributes, leaves those that the row has.
  /// - Throws: as ``upsert(_:_:)``, and `attributeMismatch`.
  public func upsert(
    _ id: RecordID, _ vector: [Float], attributes values: [AttributeValue]
  ) throws(IndexError) {
    try change([RowChange(id, .write(vector: vector, attributes: values))])
  }

  /// Checks the attributes of some rows.
  func check(_ ids: [RecordID], _ values: [[AttributeValue]]) throws(IndexError) {
    guard values.count == ids.count else {
      throw IndexError(.attributeMismatch, "\(ids.count) rows, and attributes of \(values.count)")
    }
    for (id, values) in zip(ids, values) {
      do throws(IndexError) {
        try configuration.attributes.check(values)
      } catch {
        throw IndexError(error.code, "row \(id): \(error.message)")
      }
    }
  }

  /// Gives a row other attributes; its vector and its links stay as they are. A reader sees all of the old ones or all of the new;
  /// one that is at work already may see either.
  ///
  /// - Returns: false when there is no such row.
  /// - Throws: `attributeMismatch`, `recordIDMismatch`, `outOfMemory`; the row has what it had then. `duplicateRecord` where it is staged
  ///   and not linked.
  /// - Complexity: O(columns), and what follows when lists are made anew.
  @discardableResult
  public func updateAttributes(of id: RecordID, _ values: [AttributeValue]) throws(IndexError) -> Bool {
    do throws(IndexError) {
      try change([RowChange(id, .write(vector: nil, attributes: values))])
      return true
    } catch {
      guard error.code == .unknownRecord else { throw error }
      return false
    }
  }

  /// The attributes of a row, in the schema's order. nil when there is no such row.
  public func attributes(of id: RecordID) -> [AttributeValue]? {
    withCurrentSlot(of: id) { slot in attributes?.values(of: slot) ?? [] }
  }

  /// Writes a row into a slot, staged, its attributes and its stamp with it and the payload of the row that it replaces; or changes
  /// nothing.
  /// - values: nil for those of the row that it replaces, or NULLs.
  func stageRow(
    _ id: RecordID, _ vector: RowVector, _ values: [AttributeValue]?, stamp: RowStamp, previous: UInt32?
  ) throws(IndexError) -> UInt32 {
    let slot = try stageAttributedRow(id, vector, values, previous: previous)
    if let payload, let previous { payload.bind(slot, to: payload.entry(of: previous)) }
    stamps?.set(slot, to: stamp)
    return slot
  }

  private func stageAttributedRow(
    _ id: RecordID, _ vector: RowVector, _ values: [AttributeValue]?, previous: UInt32?
  ) throws(IndexError) -> UInt32 {
    guard let attributes else { return try store.stage(id, vector, previous: previous) }
    let row = try attributes.write(values ?? previous.map { attributes.values(of: $0) } ?? [])
    let slot: UInt32
    do throws(IndexError) {
      slot = try store.stage(id, vector, previous: previous)
    } catch {
      attributes.discard(row)
      throw error
    }
    do throws(IndexError) {
      try attributes.bind(slot, to: row, isLast: Int(slot) + 1 == store.slotsUsed.load(ordering: .relaxed))
    } catch {
      // Nothing leads to the slot yet.
      store.free([slot])
      throw error
    }
    return slot
  }
}

/// What a row's vector is written from.
enum RowVector {
  /// `[dimension]`, checked; with 1 / its length under cosine, else 1.
  case given(UnsafeBufferPointer<Float>, inverseLength: Float)
  /// A row of another store that keeps rows as this one does and has it for as long as it is copied. It replaces none.
  case copied(UInt32, of: VectorStore)
}

extension VectorStore {
  fileprivate func stage(_ id: RecordID, _ vector: RowVector, previous: UInt32?) throws(IndexError) -> UInt32 {
    switch vector {
    case .given(let vector, let inverseLength):
      try stage(id, vector, inverseLength: inverseLength, previous: previous)
    case .copied(let slot, let other): try stage(id, copying: slot, of: other)
    }
  }
}
