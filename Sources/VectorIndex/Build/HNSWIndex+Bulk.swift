// Many rows at once: written by any number of threads, then linked on all cores and searchable together.
//
// May use: BulkLinker, Consolidation, VectorStore.

import Synchronization

extension HNSWIndex {
  /// Writes rows that searches do not find yet; ``linkStaged(threads:calibrates:progress:)`` makes them searchable, all at once.
  ///
  /// Safe to call from several threads; they wait for each other only while the vectors are copied.
  ///
  /// - vectors: `[ids.count][dimension]`, row-major.
  /// - attributes: `[ids.count]`, for each row a value for each column of the configuration's schema; nil for NULLs.
  /// - payload: `[ids.count]`, for each row a text or nil for each column of the configuration's; nil for nothing. Rows that come
  ///   together lie in blocks together.
  /// - stamps: `[ids.count]`, kept where the configuration says so; nil for unknown ones.
  /// - Returns: the positions of rows that were left out because they are zero and the metric is cosine (pgvector's rule).
  /// - Throws: `dimensionMismatch`, `notFinite`, `recordIDMismatch`, `attributeMismatch` and `payloadMismatch`, before anything is staged;
  ///   `duplicateRecord` and `outOfMemory`, when rows before the offending one are staged.
  public func stage(
    _ ids: [RecordID], _ vectors: UnsafeBufferPointer<Float>, attributes: [[AttributeValue]]? = nil,
    payload rows: [[String?]]? = nil, stamps: [RowStamp]? = nil
  ) throws(IndexError) -> [Int] {
    let dimension = configuration.dimension
    guard vectors.count == ids.count * dimension else {
      throw IndexError(
        .dimensionMismatch,
        "\(ids.count) rows of \(dimension) dimensions are \(ids.count * dimension) floats, not \(vectors.count)")
    }
    precondition(stamps.map { $0.count == ids.count } ?? true, "there is a stamp for each row")
    // Checked and compressed before the lock is taken, so that loading threads do this part side by side.
    if let attributes { try check(ids, attributes) }
    if let rows { try check(ids, payload: rows) }
    var inverseLengths: [Float?] = []
    inverseLengths.reserveCapacity(ids.count)
    for i in ids.indices {
      try check(ids[i])
      do {
        inverseLengths.append(
          try checked(UnsafeBufferPointer(rebasing: vectors[(i * dimension)..<((i + 1) * dimension)])))
      } catch  where error.code == .zeroVector {
        inverseLengths.append(nil)
      } catch {
        throw IndexError(error.code, "row \(ids[i]): \(error.message)")
      }
    }
    try stageChecked(ids, attributes: attributes, payload: rows, stamps: stamps) { i in
      inverseLengths[i].map {
        .given(UnsafeBufferPointer(rebasing: vectors[(i * dimension)..<((i + 1) * dimension)]), inverseLength: $0)
      }
    }
    return inverseLengths.indices.filter { inverseLengths[$0] == nil }
  }

  /// Writes rows of which everything is checked but whether their ids are new.
  ///
  /// - vector: by the number of the row; nil = it is left out.
  /// - Throws: `duplicateRecord` and `outOfMemory`, when rows before the offending one are staged.
  func stageChecked(
    _ ids: [RecordID], attributes: [[AttributeValue]]?, payload rows: [[String?]]?, stamps: [RowStamp]?,
    vector: (Int) -> RowVector?
  ) throws(IndexError) {
    let made = rows.flatMap { rows in payload.map { PayloadStore.make(rows, codec: $0.codec) } }
    try changeRows { rows throws(IndexError) in
      reclaim(&rows, wanted: ids.count)
      try store.reserve(ids.count, newIDs: ids.count)
      let blocks = try made.flatMap { made throws(IndexError) in try payload?.write(made.blocks) }
      for (i, id) in ids.enumerated() {
        guard let vector = vector(i) else { continue }
        guard store.table.slot(of: id) == nil else { throw duplicate(id) }
        let slot = try stageRow(id, vector, attributes?[i], stamp: stamps?[i] ?? .unknown, previous: nil)
        if let blocks, let place = made?.places[i] {
          payload?.bind(slot, to: PayloadStore.entry(offset: blocks[place.block], row: place.row))
        }
        store.table.set(id, to: slot)
        rows.staged.append(slot)
      }
    }
  }

  /// Links all staged rows into the graph and makes them searchable.
  ///
  /// - threads: 1 gives the same graph for the same rows in the same order and the same seed.
  /// - progress: told now and then how many are linked; returns false to stop. A stopped index is half linked and good for
  ///   nothing but being thrown away.
  /// - calibrates: whether to measure in the end how far searches must look for a recall, where what the index goes by is
  ///   missing or out of date (``calibrate(queries:threads:progress:)``, with rows). Takes a tenth of the time of the build.
  ///   Stopped there, the index is whole and not calibrated.
  /// - Throws: `cancelled`.
  public func linkStaged(
    threads: Int, calibrates: Bool = true, progress: @escaping @Sendable (_ linked: Int) -> Bool = { _ in true }
  ) throws(IndexError) {
    precondition(threads > 0, "at least one thread links")
    let linked = try linkAllStaged(threads: threads, progress: progress)
    guard calibrates, linked > 0, !withRows({ _ in calibration()?.isCurrent ?? false }) else { return }
    _ = try calibrate(threads: threads) { _ in progress(linked) }
  }

  /// - Returns: how many there were.
  private func linkAllStaged(
    threads: Int, progress: @escaping @Sendable (_ linked: Int) -> Bool
  ) throws(IndexError) -> Int {
    try withLinks { linking throws(IndexError) in
      let staged = withRows { rows in
        defer { rows.staged = [] }
        return rows.staged
      }
      guard !staged.isEmpty else { return 0 }
      if mostNodesLeave { consolidate(&linking) }
      hiddenNodes.add(staged.count, ordering: .releasing)
      defer { hiddenNodes.subtract(staged.count, ordering: .releasing) }
      try BulkLinker(
        index: self, slots: staged, firstInsertion: linking.insertions, version: nil, progress: progress
      ).run(linking.scratches(min(threads, staged.count), store))
      linking.insertions &+= UInt64(staged.count)
      withRows { _ in
        let version = store.pins.current + 1
        for slot in staged { store.bear(slot, at: version) }
        store.liveCount.add(staged.count, ordering: .relaxed)
        store.pins.publish(version)
      }
      tieInUnreachable(linking.scratch(store), &linking)
      return staged.count
    }
  }

  /// Makes all staged rows searchable at once, before they are linked: they join the tail.
  ///
  /// A ``Maintenance`` links them, or the next change does.
  /// - Throws: `outOfMemory`; the rows stay staged.
  public func publishStaged() throws(IndexError) {
    try changeRows { rows throws(IndexError) in
      tail.rewindIfEmpty()
      try tail.reserve(rows.staged.count)
      let version = store.pins.current + 1
      for slot in rows.staged { store.bear(slot, at: version) }
      store.liveCount.add(rows.staged.count, ordering: .relaxed)
      tail.append(rows.staged)
      rows.staged = []
      store.pins.publish(version)
    }
    _ = maintainer.wake()
  }
}
