// Changing the index a row at a time: insert, upsert, remove.
//
// May use: Insertion, Consolidation, VectorStore.

import Synchronization

extension HNSWIndex {
  /// Adds a row. Searches that start after this returns see it; an exact one is sure to find it.
  ///
  /// - vector: `[dimension]`.
  /// - Throws: `duplicateRecord`, `dimensionMismatch`, `notFinite`, `zeroVector`, `recordIDMismatch`, `outOfMemory`.
  /// - Complexity: about one search with ef = the construction effort.
  public func insert(_ id: RecordID, _ vector: [Float]) throws(IndexError) {
    try change(id, vector, replaces: false)
  }

  /// Adds a row, or replaces the vector of the row of that id. A search sees the old vector or the new one, never both and
  /// never neither.
  ///
  /// - Throws: as ``insert(_:_:)``; `duplicateRecord` only where a row of that id is staged and not linked.
  public func upsert(_ id: RecordID, _ vector: [Float]) throws(IndexError) {
    try change(id, vector, replaces: true)
  }

  private func change(_ id: RecordID, _ vector: [Float], replaces: Bool) throws(IndexError) {
    try check(id)
    try withWriter { writer throws(IndexError) in
      let inverseLength = try vector.withUnsafeBufferPointer { buffer throws(IndexError) in try checked(buffer) }
      let previous = store.table.slot(of: id)
      if previous != nil, !replaces { throw duplicate(id) }
      if let previous, store.isStaged(previous) {
        throw IndexError(
          .duplicateRecord, "the id \(id) is staged; link the staged rows before one of them is replaced")
      }
      let slot = try vector.withUnsafeBufferPointer { buffer throws(IndexError) in
        try prepareSlot(&writer)
        return try store.stage(id, buffer, inverseLength: inverseLength, previous: previous)
      }
      // From here on the node can be met before its row can be seen.
      hiddenNodes.add(1, ordering: .releasing)
      do throws(IndexError) {
        try linkNext(slot, &writer)
      } catch {
        hiddenNodes.subtract(1, ordering: .releasing)
        store.free([slot])
        throw error
      }
      let version = store.pins.current + 1
      store.bear(slot, at: version)
      if let previous { retire(previous, at: version, &writer) }
      store.setCurrent(id, to: slot)
      store.pins.publish(version)
      hiddenNodes.subtract(1, ordering: .releasing)
      noteChange(&writer)
    }
  }

  /// Removes a row. Searches that start after this returns do not find it.
  /// - Returns: whether there was such a row.
  /// - Complexity: O(1); the graph is mended when enough rows were removed (see ``consolidate()``).
  @discardableResult
  public func remove(_ id: RecordID) -> Bool {
    withWriter { writer in
      guard let slot = store.table.slot(of: id), store.isLive(slot) else { return false }
      let version = store.pins.current + 1
      retire(slot, at: version, &writer)
      store.table.remove(id)
      store.pins.publish(version)
      noteChange(&writer)
      return true
    }
  }

  private func retire(_ slot: UInt32, at version: UInt64, _ writer: inout Writer) {
    hiddenNodes.add(1, ordering: .releasing)
    store.retire(slot, at: version)
    writer.retired.append(slot)
  }

  private func duplicate(_ id: RecordID) -> IndexError {
    IndexError(.duplicateRecord, "the id \(id) exists already; use upsert to replace its vector")
  }

  /// Links a staged slot with the writer's own scratch.
  private func linkNext(_ slot: UInt32, _ writer: inout Writer) throws(IndexError) {
    let scratch = writer.scratch ?? BuildScratch(store: store)
    writer.scratch = scratch
    let layer = configuration.layer(ofInsertion: writer.insertions)
    writer.insertions &+= 1
    try link(slot, layer: layer, version: store.pins.current, scratch)
  }

  /// Makes room for one more row in the graph, from slots that nobody can reach any more where there are some.
  private func prepareSlot(_ writer: inout Writer) throws(IndexError) {
    reclaim(&writer)
    try graph.commit(slots: store.slotsUsed.load(ordering: .relaxed) + 1)
  }
}

// MARK: - Many rows at once

extension HNSWIndex {
  /// Writes rows that searches do not find yet; ``linkStaged(threads:progress:)`` makes them searchable, all at once.
  ///
  /// Safe to call from several threads; they wait for each other only while the vectors are copied.
  ///
  /// - vectors: `[ids.count][dimension]`, row-major.
  /// - Returns: the positions of rows that were left out because they are zero and the metric is cosine (pgvector's rule).
  /// - Throws: `duplicateRecord`, `dimensionMismatch`, `notFinite`, `recordIDMismatch`, `outOfMemory`. Rows before the
  ///   offending one are staged.
  public func stage(_ ids: [RecordID], _ vectors: UnsafeBufferPointer<Float>) throws(IndexError) -> [Int] {
    let dimension = configuration.dimension
    guard vectors.count == ids.count * dimension else {
      throw IndexError(
        .dimensionMismatch,
        "\(ids.count) rows of \(dimension) dimensions are \(ids.count * dimension) floats, not \(vectors.count)")
    }
    // Checked before the lock is taken, so that loading threads do this part side by side.
    var inverseLengths: [Float?] = []
    inverseLengths.reserveCapacity(ids.count)
    for i in ids.indices {
      try check(ids[i])
      do {
        inverseLengths.append(try checked(UnsafeBufferPointer(rebasing: vectors[(i * dimension)..<((i + 1) * dimension)])))
      } catch  where error.code == .zeroVector {
        inverseLengths.append(nil)
      } catch {
        throw IndexError(error.code, "row \(ids[i]): \(error.message)")
      }
    }
    try withWriter { writer throws(IndexError) in
      reclaim(&writer)
      try graph.commit(slots: store.slotsUsed.load(ordering: .relaxed) + ids.count)
      // An id table that was outgrown meanwhile is freed when no reader has pinned a version before this one.
      defer { store.pins.publish(store.pins.current + 1) }
      for (i, id) in ids.enumerated() {
        guard let inverseLength = inverseLengths[i] else { continue }
        guard store.table.slot(of: id) == nil else { throw duplicate(id) }
        let row = UnsafeBufferPointer(rebasing: vectors[(i * dimension)..<((i + 1) * dimension)])
        let slot = try store.stage(id, row, inverseLength: inverseLength, previous: nil)
        store.setCurrent(id, to: slot)
        writer.staged.append(slot)
      }
    }
    return inverseLengths.indices.filter { inverseLengths[$0] == nil }
  }

  /// Links all staged rows into the graph and makes them searchable.
  ///
  /// - threads: 1 gives the same graph for the same rows in the same order and the same seed.
  /// - progress: told now and then how many are linked; returns false to stop. A stopped index is half linked and good for
  ///   nothing but being thrown away.
  /// - Throws: `cancelled`, `outOfMemory`.
  public func linkStaged(
    threads: Int, progress: @escaping @Sendable (_ linked: Int) -> Bool = { _ in true }
  ) throws(IndexError) {
    precondition(threads > 0, "at least one thread links")
    try withWriter { writer throws(IndexError) in
      let staged = writer.staged
      guard !staged.isEmpty else { return }
      // Threads that link do not tell retired nodes from others.
      if !writer.retired.isEmpty { consolidate(&writer) }
      hiddenNodes.add(staged.count, ordering: .releasing)
      defer { hiddenNodes.subtract(staged.count, ordering: .releasing) }
      try BulkLinker(index: self, slots: staged, firstInsertion: writer.insertions, progress: progress)
        .run(threads: threads)
      writer.insertions &+= UInt64(staged.count)
      writer.staged = []
      let version = store.pins.current + 1
      for slot in staged { store.bear(slot, at: version) }
      store.pins.publish(version)
      let scratch = writer.scratch ?? BuildScratch(store: store)
      writer.scratch = scratch
      tieInUnreachable(scratch)
    }
  }
}

extension HNSWIndex {
  public func bearStaged() {
    withWriter { writer in
      let version = store.pins.current + 1
      for slot in writer.staged { store.bear(slot, at: version) }
      writer.staged = []
      store.pins.publish(version)
    }
  }
}
