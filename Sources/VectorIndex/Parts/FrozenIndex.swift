// Saving: the parts of an index as it was at one moment, while it goes on.
//
//     hold the links       whoever links new rows, or mends the graph, waits
//     freeze               changes wait for a moment; a version is pinned (Freeze.swift)
//     settle               the graph becomes one of just that version's rows (Build/Consolidation.swift)
//     read the links       then they are given back
//     read everything else then the pin is
//
// May use: the store, the graph, Freeze.

import Synchronization

/// An index as it was at one moment: its parts can be read by any thread, in any order, any range; those of the links only until
/// ``linksAreRead()``.
package final class FrozenIndex: Sendable {
  package let header: IndexPartsHeader
  /// What searches for a recall go by; nil when the index was never calibrated.
  package let recallCurve: RecallCurve?
  private let index: HNSWIndex
  private let links: LockHold
  private let rows: FrozenRows
  private let rowStamps: SlotWords<UInt64>?
  private var slots: Int { rows.slots }
  /// The rows of the upper layers in the order in which they are saved.
  private let upperRows: [(slot: UInt32, layer: Int)]
  /// The byte forms of ids of no fixed size.
  private let idBytes: [UInt8]
  private let attributes: FrozenAttributes?
  private let payload: FrozenPayload?

  /// - Precondition: the graph is settled for the freeze.
  init(_ index: HNSWIndex, _ freeze: consuming Freeze, _ links: LockHold, insertions: UInt64) {
    self.index = index
    self.links = links
    recallCurve = index.curveCell.current
    let rows = freeze.rows
    var upperRows: [(UInt32, Int)] = []
    var idBytes: [UInt8] = []
    let hasFixedIDs = index.store.ids.kind == .int64 || index.store.ids.kind == .uuid
    for slot in 0..<UInt32(rows.slots) where rows.contains(Int(slot)) {
      for layer in stride(from: 1, through: index.graph.layer(of: slot), by: 1) { upperRows.append((slot, layer)) }
      if !hasFixedIDs { index.store.ids[slot].encode(into: &idBytes) }
    }
    self.rows = rows
    self.upperRows = upperRows
    self.idBytes = idBytes
    if let store = index.attributes, let bindings = freeze.bindings {
      attributes = FrozenAttributes(store, rows, bindings)
    } else {
      attributes = nil
    }
    if let store = index.payload, let entries = freeze.payloadEntries.take() {
      payload = FrozenPayload(store, rows, entries.words)
    } else {
      payload = nil
    }
    rowStamps = freeze.rowStamps
    let entry = index.graph.entryPoint()
    header = IndexPartsHeader(
      slots: UInt64(rows.slots), rows: UInt64(freeze.count), entrySlot: entry?.slot ?? 0,
      entryLayer: UInt32(entry?.layer ?? 0), insertions: insertions)
  }

  /// Lets the links change again: they were read, and nobody reads them here any more. Whoever links new rows waits for this, or for the end.
  package func linksAreRead() { links.giveBack() }

  package func byteCount(of part: IndexPart) -> Int {
    switch part {
    case .vectors: slots * index.store.fine.rowBytes
    case .sides: slots * MemoryLayout<RowSide>.stride
    case .groundLinks: slots * index.graph.groundStride * 4
    case .layers: slots
    case .upperLinks: upperRows.count * index.graph.degreeMax * 4
    case .ids:
      switch index.store.ids.kind {
      case .int64: slots * 8
      case .uuid: slots * 16
      case .text, .composite: idBytes.count
      }
    case .payloadEntries: payload?.entryBytes ?? 0
    case .payloadBlocks: payload?.blockBytes ?? 0
    case .stamps: index.stamps == nil ? 0 : slots * StampStore.stampBytes
    case .attribute(let part, let column): attributes?.byteCount(of: part, column) ?? 0
    }
  }

  /// Copies the bytes `range` of a part to `destination`.
  /// - Precondition: the range lies within the part, and the destination is as long as it.
  package func read(_ part: IndexPart, _ range: Range<Int>, into destination: UnsafeMutableRawBufferPointer) {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount(of: part) && destination.count == range.count)
    guard let target = destination.baseAddress, !range.isEmpty else { return }
    switch part {
    case .vectors:
      copyCells(range, cellBytes: index.store.fine.rowBytes, from: index.store.fine.rows, into: destination)
    case .sides:
      copyCells(range, cellBytes: MemoryLayout<RowSide>.stride, from: index.store.fine.pairs, into: destination)
    case .groundLinks:
      checkLinksAreHeld()
      target.copyMemory(
        from: UnsafeRawPointer(index.graph.groundLinks(of: 0)) + range.lowerBound, byteCount: range.count)
    case .layers:
      checkLinksAreHeld()
      for (i, slot) in range.enumerated() {
        destination[i] = rows.contains(slot) ? UInt8(index.graph.layer(of: UInt32(slot)) + 1) : 0
      }
    case .upperLinks:
      checkLinksAreHeld()
      let rowBytes = index.graph.degreeMax * 4
      copyPieces(range, pieceBytes: rowBytes, to: target) { piece in
        let row = self.upperRows[piece]
        return UnsafeRawPointer(self.index.graph.links(of: row.slot, layer: row.layer))
      }
    case .ids:
      switch index.store.ids.kind {
      case .int64: copyCells(range, cellBytes: 8, from: index.store.ids.cellBase, into: destination)
      case .uuid:
        copyPairs(range, into: destination) { slot in
          guard case .uuid(let high, let low) = index.store.ids[slot] else { preconditionFailure("uuid ids") }
          return (high.bigEndian, low.bigEndian)
        }
      case .text, .composite:
        idBytes.withUnsafeBytes { target.copyMemory(from: $0.baseAddress! + range.lowerBound, byteCount: range.count) }
      }
    case .payloadEntries: payload?.readEntries(range, into: destination)
    case .payloadBlocks: payload?.readBlocks(range, into: destination)
    case .stamps:
      guard let stamps = index.stamps, let rowStamps else { preconditionFailure("the index keeps stamps") }
      copyPairs(range, into: destination) { slot in (stamps.stamp(of: slot).vector, rowStamps[Int(slot)]) }
    case .attribute(let part, let column): attributes?.read(part, column, range, into: destination)
    }
  }

  private func checkLinksAreHeld() { precondition(links.isHeld, "the links are read before they are given back") }

  /// Copies the cells, `[slot]`, of the rows, and zeros for all others. Those are not even looked at: a removed row is wiped only when no
  /// reader is on it any more, and must not turn up in a snapshot before; and into a free slot somebody may be writing at this moment.
  private func copyCells(
    _ range: Range<Int>, cellBytes: Int, from base: UnsafeRawPointer, into destination: UnsafeMutableRawBufferPointer
  ) {
    var position = range.lowerBound
    while position < range.upperBound {
      // A run of slots that are all the rows', or all others.
      let first = position / cellBytes
      let areRows = rows.contains(first)
      var next = first + 1
      while next * cellBytes < range.upperBound, rows.contains(next) == areRows { next += 1 }
      let end = min(next * cellBytes, range.upperBound)
      let piece = UnsafeMutableRawBufferPointer(
        rebasing: destination[(position - range.lowerBound)..<(end - range.lowerBound)])
      if areRows {
        piece.copyMemory(from: UnsafeRawBufferPointer(start: base + position, count: piece.count))
      } else {
        piece.initializeMemory(as: UInt8.self, repeating: 0)
      }
      position = end
    }
  }

  /// Copies a cell of two words for each slot: the rows' own, and zeros for all others.
  private func copyPairs(
    _ range: Range<Int>, into destination: UnsafeMutableRawBufferPointer, _ pair: (UInt32) -> (UInt64, UInt64)
  ) {
    var offset = 0
    for slot in (range.lowerBound / 16)...((range.upperBound - 1) / 16) {
      withUnsafeBytes(of: rows.contains(slot) ? pair(UInt32(slot)) : (0, 0)) { bytes in
        let piece = max(range.lowerBound - slot * 16, 0)..<min(range.upperBound - slot * 16, 16)
        UnsafeMutableRawBufferPointer(rebasing: destination[offset..<(offset + piece.count)])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[piece]))
        offset += piece.count
      }
    }
  }

  /// Copies a range of bytes that lie in pieces of one size, each somewhere else.
  private func copyPieces(
    _ range: Range<Int>, pieceBytes: Int, to target: UnsafeMutableRawPointer, _ source: (Int) -> UnsafeRawPointer
  ) {
    var position = range.lowerBound
    while position < range.upperBound {
      let piece = position / pieceBytes
      let offset = position % pieceBytes
      let count = min(pieceBytes - offset, range.upperBound - position)
      (target + (position - range.lowerBound)).copyMemory(from: source(piece) + offset, byteCount: count)
      position += count
    }
  }
}

extension HNSWIndex {
  /// Gives `body` the parts of the index as it is at one moment. Searches go on, and so do changes, which wait for a moment only. New rows
  /// are not linked until ``FrozenIndex/linksAreRead()``, or else until `body` has returned: with a ``Maintenance`` nobody waits for that,
  /// without one whoever changes a row does. What is replaced or removed meanwhile keeps its memory until then, as under any reader.
  ///
  /// Rows that are staged and not linked are not among the index's. The memory that it takes is in no budget: 4 bytes a slot where there are
  /// attributes, 24 where there is payload, 8 where there are stamps; ids of texts or several columns, and words and arrays, once more.
  ///
  /// - note: called at that moment, while no change is under way: what it finds out belongs to just these rows. nil: this is no moment to
  ///   save. It must not change the index.
  /// - body: must not change the index either, unless a ``Maintenance`` runs. The parts are no more when it has returned.
  /// - Returns: what `body` returns; nil where `note` did, and nothing was done.
  /// - Complexity: links what stands in the tail, and one pass over all links where rows have changed; O(slots) beside what `body` does.
  package func withFrozen<Note: Sendable, R: Sendable, E: Error>(
    noting note: () -> Note?, _ body: (FrozenIndex, Note) throws(E) -> R
  ) throws(E) -> R? {
    let links = holdLinks()
    let pin = store.pins.take(for: .slots)
    defer {
      links.giveBack()
      store.pins.giveBack(pin)
      // What the pin has kept, bit by bit, so that no change waits for all of it.
      while withRows({ reclaim(&$0) }) {}
    }
    guard let (freeze, noted) = self.freeze(pin, noting: note) else { return nil }
    let insertions = withLinks(heldBy: links) { linking in
      settle(freeze, &linking)
      return linking.insertions
    }
    return try body(FrozenIndex(self, freeze, links, insertions: insertions), noted)
  }

  /// The same for those who have nothing to note.
  package func withFrozen<R: Sendable, E: Error>(_ body: (FrozenIndex) throws(E) -> R) throws(E) -> R {
    guard let result = try withFrozen(noting: { true }, { frozen, _ throws(E) in try body(frozen) }) else {
      preconditionFailure("something was noted")
    }
    return result
  }
}
