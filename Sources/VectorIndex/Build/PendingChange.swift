// How rows change: what can fail is done first, where nobody sees it, and then one store of a version makes all of it visible.
//
// May use: VectorStore, AttributeStore, PayloadStore, StampStore, Graph, Tail.

import Synchronization

/// What the next version will make of the rows. The new ones are written, and nobody sees them.
struct PendingChange {
  /// Rows that will be born.
  var written: [(id: RecordID, slot: UInt32)] = []
  /// Rows that will die, because they are replaced or removed.
  var leaving: [UInt32] = []
  /// The ids of those of them that are removed.
  var removed: [RecordID] = []
  /// Whether all rows that are there now will die.
  var removesAll = false
  /// What rows that stay get instead of what they have.
  var attributeRows: [(slot: UInt32, row: UInt32)] = []
  var payloadEntries: [(slot: UInt32, entry: UInt64)] = []
  var stamps: [(slot: UInt32, row: UInt64)] = []

  /// Whether rows come or go, so that there is something to link or to mend.
  var changesGraph: Bool { removesAll || !written.isEmpty || !leaving.isEmpty }
  var isEmpty: Bool { !changesGraph && attributeRows.isEmpty && payloadEntries.isEmpty && stamps.isEmpty }
}

extension HNSWIndex {
  /// Writes what changes say, or leaves everything as it is.
  ///
  /// - replaces: whether rows may be there that are written.
  /// - Throws: `duplicateRecord`, `unknownRecord`, `outOfMemory`.
  func prepare(
    _ batch: CheckedChanges, replaces: Bool, removesAll: Bool, _ rows: inout RowChanges
  ) throws(IndexError) -> PendingChange {
    let previous = try previousSlots(batch.changes, replaces: replaces, removesAll: removesAll)
    var newRows = 0
    var newIDs = 0
    for (change, slot) in zip(batch.changes, previous) {
      guard case .write(_?, _, _, _) = change.action else { continue }
      newRows += 1
      if slot == nil { newIDs += 1 }
    }
    if newRows > 0 {
      try store.reserve(newRows, newIDs: newIDs)
      tail.rewindIfEmpty()
      try tail.reserve(newRows)
    }
    var pending = PendingChange()
    pending.removesAll = removesAll
    let blocks = try batch.payload.flatMap { made throws(IndexError) in try payload?.write(made.blocks) } ?? []
    do throws(IndexError) {
      for i in batch.changes.indices { try prepare(batch, i, previous[i], blocks, &pending) }
    } catch {
      if let first = blocks.first { payload?.takeBack(from: first) }
      takeBack(pending, &rows)
      throw error
    }
    return pending
  }

  /// By change: where its row is, if there is one that the change will meet.
  private func previousSlots(
    _ changes: [RowChange], replaces: Bool, removesAll: Bool
  ) throws(IndexError) -> [UInt32?] {
    var slots: [UInt32?] = []
    slots.reserveCapacity(changes.count)
    for change in changes {
      var slot = store.table.slot(of: change.id)
      if let found = slot, removesAll || store.isStaged(found) {
        if case .write = change.action, store.isStaged(found) {
          throw IndexError(
            .duplicateRecord, "the id \(change.id) is staged; link the staged rows before one of them is replaced")
        }
        slot = nil
      }
      if slot != nil, !replaces { throw duplicate(change.id) }
      if slot == nil, case .write(nil, _, _, _) = change.action {
        throw IndexError(
          .unknownRecord, "there is no row \(change.id) whose vector could stay; give the row with its vector")
      }
      slots.append(slot)
    }
    return slots
  }

  /// - number: of the change.
  /// - previous: where its row is.
  /// - blocks: where the blocks of payload begin.
  private func prepare(
    _ batch: CheckedChanges, _ number: Int, _ previous: UInt32?, _ blocks: [Int], _ pending: inout PendingChange
  ) throws(IndexError) {
    let change = batch.changes[number]
    guard case .write(let vector, let values, let texts, let stamp) = change.action else {
      guard let previous else { return }
      pending.leaving.append(previous)
      pending.removed.append(change.id)
      return
    }
    // Of a row that has texts, if only NULLs.
    var entry: UInt64?
    if payload != nil, texts != nil {
      let place = batch.payload?.places[number]
      entry = place.map { PayloadStore.entry(offset: blocks[$0.block], row: $0.row) } ?? PayloadStore.nothing
    }
    if let vector {
      let slot = try vector.withUnsafeBufferPointer { buffer throws(IndexError) in
        try stageRow(
          change.id, .given(buffer, inverseLength: batch.inverseLengths[number]), values, stamp: stamp,
          previous: previous)
      }
      if let entry { payload?.bind(slot, to: entry) }
      pending.written.append((change.id, slot))
      if let previous { pending.leaving.append(previous) }
    } else if let slot = previous {
      // Rows are often written again as they are, and rows that follow each other are read faster than those that were moved.
      if let attributes, let values, attributes.values(of: slot) != values {
        let row = try attributes.write(values)
        try attributes.announce(slot, row)
        pending.attributeRows.append((slot, row))
      }
      if let entry { pending.payloadEntries.append((slot, entry)) }
      if stamps != nil { pending.stamps.append((slot, stamp.row)) }
    }
  }

  /// Gives up what was written.
  private func takeBack(_ pending: PendingChange, _ rows: inout RowChanges) {
    attributes?.withdraw(pending.attributeRows)
    let slots = pending.written.map(\.slot)
    guard !slots.isEmpty else { return }
    store.giveUp(slots)
    // Lists that find rows by value have led readers to them, who look at their attributes before they see that no row is there.
    let version = store.pins.current + 1
    store.pins.publish(version)
    rows.unlinked.append((slots, version))
    reclaim(&rows)
  }

  /// Makes a change visible, in one version. Cannot fail.
  func publish(_ pending: PendingChange, _ rows: inout RowChanges) {
    guard !pending.isEmpty else { return }
    let version = store.pins.current + 1
    let slots = pending.written.map(\.slot)
    let found = pending.removesAll ? currentSlots() : nil
    let leaving = found?.live ?? pending.leaving
    retire(leaving, at: version, &rows)
    for slot in slots { store.bear(slot, at: version) }
    // Too many for a moment: a search that believes in rows that it does not see looks for them, and one that believes in fewer than
    // it sees would stop too early.
    store.liveCount.add(slots.count, ordering: .relaxed)
    if let found {
      store.replaceIDs(by: found.staged, at: version)
    } else {
      for id in pending.removed { store.table.remove(id) }
      for (id, slot) in pending.written { store.table.set(id, to: slot) }
    }
    // In the tail before the version is published: whoever sees the version finds the rows.
    tail.append(slots)
    // These have no version: a reader that is at work sees what was there or what is now, of each row.
    attributes?.rebind(pending.attributeRows, at: version)
    for (slot, entry) in pending.payloadEntries { payload?.bind(slot, to: entry) }
    for (slot, row) in pending.stamps { stamps?.setRow(slot, to: row) }
    store.pins.publish(version)
    store.liveCount.subtract(leaving.count, ordering: .relaxed)
    rows.removed += pending.removesAll ? leaving.count : pending.removed.count
  }

  /// The slots of the rows that are there, and those of rows that are staged, by a bulk build or by the change at hand.
  private func currentSlots() -> (live: [UInt32], staged: [UInt32]) {
    var live: [UInt32] = []
    var staged: [UInt32] = []
    live.reserveCapacity(count)
    for slot in 0..<UInt32(store.slotsUsed.load(ordering: .relaxed)) where store.isCurrent(slot) {
      if store.isStaged(slot) { staged.append(slot) } else { live.append(slot) }
    }
    return (live, staged)
  }

  private func retire(_ slots: [UInt32], at version: UInt64, _ rows: inout RowChanges) {
    // One that waits in the tail is nowhere else: whoever takes it out there gives its slot back.
    let nodes = slots.filter { graph.layer(of: $0) >= 0 }
    if !nodes.isEmpty { hiddenNodes.add(nodes.count, ordering: .releasing) }
    for slot in slots { store.retire(slot, at: version) }
    rows.retired.append(contentsOf: nodes)
  }
}
