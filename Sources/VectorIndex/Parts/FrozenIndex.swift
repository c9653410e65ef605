// Saving: the parts of an index while nothing changes it.
//
// May use: the store and the graph.

import Synchronization

/// An index whose writer is held: its parts can be read by any thread, in any order, any range.
package final class FrozenIndex: Sendable {
  package let header: IndexPartsHeader
  /// What searches for a recall go by; nil when the index was never calibrated.
  package let recallCurve: RecallCurve?
  private let index: HNSWIndex
  private let slots: Int
  /// The rows of the upper layers in the order in which they are saved.
  private let upperRows: [(slot: UInt32, layer: Int)]
  /// The byte forms of ids of no fixed size.
  private let idBytes: [UInt8]
  private let attributes: FrozenAttributes?
  private let payload: FrozenPayload?

  fileprivate init(_ index: HNSWIndex, insertions: UInt64) {
    self.index = index
    recallCurve = index.curveCell.current
    slots = index.store.slotsUsed.load(ordering: .relaxed)
    var upperRows: [(UInt32, Int)] = []
    var idBytes: [UInt8] = []
    let hasFixedIDs = index.store.ids.kind == .int64 || index.store.ids.kind == .uuid
    for slot in 0..<UInt32(slots) where index.store.isLive(slot) {
      for layer in stride(from: 1, through: index.graph.layer(of: slot), by: 1) { upperRows.append((slot, layer)) }
      if !hasFixedIDs { index.store.ids[slot].encode(into: &idBytes) }
    }
    self.upperRows = upperRows
    self.idBytes = idBytes
    attributes = index.attributes.map { [slots] in FrozenAttributes($0, index.store, slots: slots) }
    payload = index.payload.map { [slots] in FrozenPayload($0, index.store, slots: slots) }
    let entry = index.graph.entryPoint()
    header = IndexPartsHeader(
      slots: UInt64(slots), rows: UInt64(index.count), entrySlot: entry?.slot ?? 0,
      entryLayer: UInt32(entry?.layer ?? 0), insertions: insertions)
  }

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
      target.copyMemory(from: UnsafeRawPointer(index.store.fine.rows) + range.lowerBound, byteCount: range.count)
      wipeRemoved(range, cellBytes: index.store.fine.rowBytes, in: destination)
    case .sides:
      target.copyMemory(from: UnsafeRawPointer(index.store.fine.pairs) + range.lowerBound, byteCount: range.count)
      wipeRemoved(range, cellBytes: MemoryLayout<RowSide>.stride, in: destination)
    case .groundLinks:
      // The writer is held, so the links stand still.
      target.copyMemory(
        from: UnsafeRawPointer(index.graph.groundLinks(of: 0)) + range.lowerBound, byteCount: range.count)
    case .layers:
      for (i, slot) in range.enumerated() { destination[i] = layerByte(UInt32(slot)) }
    case .upperLinks:
      let rowBytes = index.graph.degreeMax * 4
      copyPieces(range, pieceBytes: rowBytes, to: target) { piece in
        let row = self.upperRows[piece]
        return UnsafeRawPointer(self.index.graph.links(of: row.slot, layer: row.layer))
      }
    case .ids:
      switch index.store.ids.kind {
      case .int64:
        target.copyMemory(from: index.store.ids.cellBase + range.lowerBound, byteCount: range.count)
        wipeRemoved(range, cellBytes: 8, in: destination)
      case .uuid:
        var offset = 0
        for slot in (range.lowerBound / 16)...((range.upperBound - 1) / 16) {
          guard case .uuid(let high, let low) = index.store.ids[UInt32(slot)] else { preconditionFailure("uuid ids") }
          withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { bytes in
            let piece = max(range.lowerBound - slot * 16, 0)..<min(range.upperBound - slot * 16, 16)
            UnsafeMutableRawBufferPointer(rebasing: destination[offset..<(offset + piece.count)])
              .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[piece]))
            offset += piece.count
          }
        }
        wipeRemoved(range, cellBytes: 16, in: destination)
      case .text, .composite:
        idBytes.withUnsafeBytes { target.copyMemory(from: $0.baseAddress! + range.lowerBound, byteCount: range.count) }
      }
    case .payloadEntries: payload?.readEntries(range, into: destination)
    case .payloadBlocks: payload?.readBlocks(range, into: destination)
    case .stamps:
      guard let stamps = index.stamps else { preconditionFailure("the index keeps stamps") }
      target.copyMemory(from: UnsafeRawPointer(stamps.base) + range.lowerBound, byteCount: range.count)
      wipeRemoved(range, cellBytes: StampStore.stampBytes, in: destination)
    case .attribute(let part, let column): attributes?.read(part, column, range, into: destination)
    }
  }

  /// A slot whose row was removed is saved as free, even while a reader may still be on it.
  private func layerByte(_ slot: UInt32) -> UInt8 {
    index.store.isLive(slot) ? UInt8(index.graph.layer(of: slot) + 1) : 0
  }

  /// Zeroes what was copied of rows that are not live. A removed row is wiped in memory only when no reader is on it any more,
  /// and must not turn up in a snapshot before.
  private func wipeRemoved(_ range: Range<Int>, cellBytes: Int, in destination: UnsafeMutableRawBufferPointer) {
    for slot in (range.lowerBound / cellBytes)...((range.upperBound - 1) / cellBytes)
    where !index.store.isLive(UInt32(slot)) {
      let cell = (slot * cellBytes..<(slot + 1) * cellBytes).clamped(to: range)
      let start = cell.lowerBound - range.lowerBound
      UnsafeMutableRawBufferPointer(rebasing: destination[start..<(start + cell.count)])
        .initializeMemory(as: UInt8.self, repeating: 0)
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
  /// Holds changes back while `body` reads the parts. Searches go on; changes wait.
  ///
  /// - Precondition: no rows are staged and not linked.
  package func withFrozen<R: Sendable, E: Error>(_ body: (FrozenIndex) throws(E) -> R) throws(E) -> R {
    try withChanges { () throws(E) in
      try withLinks { linking throws(E) in
        linkTail(threads: WorkerThreads.coreCount, &linking)
        consolidate(&linking)
        precondition(withRows { $0.staged.isEmpty }, "staged rows are linked before an index is saved")
        return try body(FrozenIndex(self, insertions: linking.insertions))
      }
    }
  }
}
