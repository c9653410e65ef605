// Changing the index a row at a time: insert, upsert, remove.
//
// May use: VectorStore, Tail, Maintainer.

import Synchronization

extension HNSWIndex {
  /// Adds a row. Searches that start after this returns see it.
  ///
  /// - vector: `[dimension]`.
  /// - Throws: `duplicateRecord`, `dimensionMismatch`, `notFinite`, `zeroVector`, `recordIDMismatch`, `outOfMemory`.
  /// - Complexity: O(dimension) where a ``Maintenance`` runs; else about one search with ef = the construction effort.
  public func insert(_ id: RecordID, _ vector: [Float]) throws(IndexError) {
    try change(id, vector, nil, replaces: false)
  }

  /// Adds a row, or replaces the vector of the row of that id. A search sees the old vector or the new one, never both and
  /// never neither.
  ///
  /// - Throws: as ``insert(_:_:)``; `duplicateRecord` only where a row of that id is staged and not linked.
  public func upsert(_ id: RecordID, _ vector: [Float]) throws(IndexError) {
    try change(id, vector, nil, replaces: true)
  }

  /// - values: the row's attributes, checked; nil for those of the row that it replaces, or NULLs.
  func change(
    _ id: RecordID, _ vector: [Float], _ values: [AttributeValue]?, replaces: Bool
  ) throws(IndexError) {
    try check(id)
    let inverseLength = try vector.withUnsafeBufferPointer { buffer throws(IndexError) in try checked(buffer) }
    try changeRows { rows throws(IndexError) in
      let previous = store.table.slot(of: id)
      if previous != nil, !replaces { throw duplicate(id) }
      if let previous, store.isStaged(previous) {
        throw IndexError(
          .duplicateRecord, "the id \(id) is staged; link the staged rows before one of them is replaced")
      }
      reclaim(&rows)
      tail.rewindIfEmpty()
      try tail.reserve()
      let slot = try vector.withUnsafeBufferPointer { buffer throws(IndexError) in
        try stageRow(id, buffer, inverseLength: inverseLength, values, previous: previous)
      }
      // Nothing below fails.
      let version = store.pins.current + 1
      store.bear(slot, at: version)
      if let previous { retire(previous, at: version, &rows) }
      store.table.set(id, to: slot)
      // In the tail before the version is published: whoever sees the version finds the row.
      tail.append(slot)
      store.pins.publish(version)
      rows.count += 1
    }
    maintain()
  }

  /// Removes a row. Searches that start after this returns do not find it.
  /// - Returns: whether there was such a row.
  /// - Complexity: O(1); the graph is mended when enough rows were removed (see ``consolidate()``).
  @discardableResult
  public func remove(_ id: RecordID) -> Bool {
    let removed = removeRow(id)
    if removed { maintain() }
    return removed
  }

  /// Removes a row, and leaves the graph as it is.
  func removeRow(_ id: RecordID) -> Bool {
    changeRows { rows in
      guard let slot = store.table.slot(of: id), store.isLive(slot) else { return false }
      let version = store.pins.current + 1
      retire(slot, at: version, &rows)
      store.table.remove(id)
      store.pins.publish(version)
      rows.count += 1
      return true
    }
  }

  private func retire(_ slot: UInt32, at version: UInt64, _ rows: inout RowChanges) {
    let isNode = graph.layer(of: slot) >= 0
    if isNode { hiddenNodes.add(1, ordering: .releasing) }
    store.retire(slot, at: version)
    // One that waits in the tail is nowhere else: whoever takes it out there gives its slot back.
    if isNode { rows.retired.append(slot) }
  }

  /// Runs `body` as the one who changes rows, unless somebody wants no changes now.
  func changeRows<R: Sendable, E: Error>(_ body: (inout RowChanges) throws(E) -> R) throws(E) -> R {
    try withChanges { () throws(E) in try withRows(body) }
  }

  func duplicate(_ id: RecordID) -> IndexError {
    IndexError(.duplicateRecord, "the id \(id) exists already; use upsert to replace its vector")
  }
}
