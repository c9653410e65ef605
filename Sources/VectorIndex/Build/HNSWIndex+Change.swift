// Changing the index, a row or a transaction at a time: insert, upsert, remove, apply.
//
// May use: PendingChange, Maintainer.

import Synchronization

extension HNSWIndex {
  /// Adds a row. Searches that start after this returns see it.
  ///
  /// - vector: `[dimension]`.
  /// - Throws: `duplicateRecord`, `dimensionMismatch`, `notFinite`, `zeroVector`, `recordIDMismatch`, `outOfMemory`.
  /// - Complexity: O(dimension) where a ``Maintenance`` runs; else about one search with ef = the construction effort.
  public func insert(_ id: RecordID, _ vector: [Float]) throws(IndexError) {
    try change([RowChange(id, .write(vector: vector))], replaces: false)
  }

  /// Adds a row, or replaces the vector of the row of that id. A search sees the old vector or the new one, never both and
  /// never neither.
  ///
  /// - Throws: as ``insert(_:_:)``; `duplicateRecord` only where a row of that id is staged and not linked.
  public func upsert(_ id: RecordID, _ vector: [Float]) throws(IndexError) {
    try change([RowChange(id, .write(vector: vector))])
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
      var pending = PendingChange()
      pending.leaving = [slot]
      pending.removed = [id]
      publish(pending, &rows)
      return true
    }
  }

  /// Removes all rows, in one version.
  ///
  /// Rows that are staged and not linked stay staged. Slots are used again when the graph was mended.
  /// - Complexity: O(slots).
  public func removeAll() {
    changeRows { rows in
      var pending = PendingChange()
      pending.removesAll = true
      publish(pending, &rows)
    }
    maintain()
  }

  /// Applies the changes of one transaction: all of them become visible in one version, or nothing is changed.
  ///
  /// A search sees the rows before it or those after it, of all that is removed or has a vector: never a part. What is written without a
  /// vector, attributes and payload, has no version. A search that starts after this returns sees it; one that is at work meanwhile may
  /// see some rows as they were and others as they are, each of them whole. What reads one row by its id may know of the change an
  /// instant before.
  ///
  /// - changes: one for each row. Until the graph is mended, rows that are replaced take their memory beside those that replace them.
  /// - removingAllFirst: whether all rows go first, so that the changes meet none. Those that are staged and not linked stay staged.
  /// - note: called when the changes are visible, and before any other change or the moment of a snapshot can come: what is noted there belongs
  ///   to just these rows. It must not change the index.
  /// - Throws: `duplicateRecord`, of an id that stands twice or is staged; `unknownRecord`, of one without a vector and without a row;
  ///   `recordIDMismatch`, `dimensionMismatch`, `notFinite`, `zeroVector`, `attributeMismatch`, `payloadMismatch`, `outOfMemory`.
  /// - Complexity: O(changes × dimension) where a ``Maintenance`` runs, and O(slots) if all rows go; else about a search for each row
  ///   with a vector. Other changes wait; searches do not.
  public func apply(
    _ changes: [RowChange], removingAllFirst: Bool = false, noting note: () -> Void = {}
  ) throws(IndexError) {
    if changes.isEmpty, !removingAllFirst { return withChanges(note) }
    try change(changes, removesAll: removingAllFirst, noting: note)
  }

  /// - replaces: whether rows may be there that are written.
  func change(
    _ changes: [RowChange], replaces: Bool = true, removesAll: Bool = false, noting note: () -> Void = {}
  ) throws(IndexError) {
    // Before the lock is taken, so that other changes do not wait for it.
    let batch = try CheckedChanges(changes, of: self)
    let changesGraph = try withChanges { () throws(IndexError) in
      let changesGraph = try withRows { rows throws(IndexError) in
        reclaim(&rows, wanted: changes.count)
        let pending = try prepare(batch, replaces: replaces, removesAll: removesAll, &rows)
        publish(pending, &rows)
        return pending.changesGraph
      }
      note()
      return changesGraph
    }
    if changesGraph { maintain() }
  }

  /// Runs `body` as the one who changes rows, unless somebody wants no changes now.
  func changeRows<R: Sendable, E: Error>(_ body: (inout RowChanges) throws(E) -> R) throws(E) -> R {
    try withChanges { () throws(E) in try withRows(body) }
  }

  func duplicate(_ id: RecordID) -> IndexError {
    IndexError(.duplicateRecord, "the id \(id) exists already; use upsert to replace its vector")
  }
}
