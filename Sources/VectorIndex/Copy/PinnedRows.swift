// The rows of an index as they were at one moment, to be read while it goes on changing: what another index is made of.
//
// A pin keeps what its version sees: ids, vectors, attribute rows and blocks of payload stay where they are until it is given back. Which
// attribute row, which payload and which stamp a row has are words that change in place, without a version. They are copied when the moment
// is taken, while changes wait.
//
//     slots  attributeRows  payloadEntries  stamps    [row]
//
// May use: VectorStore, AttributeStore, PayloadStore, StampStore, ReaderPins.

/// The rows of one version of an index. What is removed or replaced keeps its memory for as long as this lives.
package final class PinnedRows: @unchecked Sendable {
  // Proof of Sendable: everything is constant after `init`, and what it leads to stays while the pin is held; the pin is nobody else's.

  let index: HNSWIndex
  private let pin: ReaderPins.Pin
  private let cells: Cells

  /// What has no version, copied.
  private struct Cells: Sendable {
    /// Ascending.
    var slots: [UInt32] = []
    /// Those that rows do not have are empty.
    var attributeRows: [UInt32] = []
    var payloadEntries: [UInt64] = []
    var stamps: [RowStamp] = []

    /// For the one whom changes wait for.
    init(_ index: HNSWIndex, at version: UInt64) {
      let store = index.store
      slots.reserveCapacity(index.count)
      // Slots that are used from here on have no row that this version sees.
      for slot in 0..<UInt32(store.slotsUsed.load(ordering: .acquiring)) where store.isVisible(slot, at: version) {
        slots.append(slot)
      }
      if let attributes = index.attributes { attributeRows = slots.map { attributes.row(of: $0) } }
      if let payload = index.payload { payloadEntries = slots.map { payload.entry(of: $0) } }
      if let stamps = index.stamps { self.stamps = slots.map { stamps.stamp(of: $0) } }
    }
  }

  /// Takes the moment. Changes wait until this returns; searches do not, nor does whoever links.
  /// - Complexity: O(slots).
  package init(_ index: HNSWIndex) {
    self.index = index
    let pin = index.store.pins.take(for: .slots)
    self.pin = pin
    cells = index.withChanges { Cells(index, at: index.store.pins.enter(pin)) }
  }

  deinit { index.store.pins.giveBack(pin) }

  /// Memory that a row takes here, beside what the index has of it.
  package static let bytesPerRow = 4 + 4 + 8 + StampStore.stampBytes

  package var count: Int { cells.slots.count }

  /// Some rows, with all that they have but their vectors, which the index that takes them copies for itself.
  package struct Batch: Sendable {
    package let ids: [RecordID]
    /// nil where rows have none; so it is with the others.
    package let attributes: [[AttributeValue]]?
    package let payload: [[String?]]?
    package let stamps: [RowStamp]?
    let source: PinnedRows
    let slots: [UInt32]
  }

  /// - range: within `0 ..< count`; always the same rows.
  /// - Complexity: O(rows), and one decompression for each block of payload that rows which follow each other share.
  package func batch(_ range: Range<Int>) -> Batch {
    let slots = Array(cells.slots[range])
    return Batch(
      ids: slots.map { index.store.ids[$0] },
      attributes: index.attributes.map { attributes in
        cells.attributeRows[range].map { attributes.values(inRow: $0) }
      },
      payload: index.payload.map { $0.values(at: cells.payloadEntries[range]) },
      stamps: index.stamps.map { _ in Array(cells.stamps[range]) }, source: self, slots: slots)
  }
}

extension PinnedRows.Batch {
  /// `[rows][dimension]`: what the rows stand for.
  func vectors() -> [Float] {
    let store = source.index.store
    var vectors: [Float] = []
    vectors.reserveCapacity(slots.count * store.dimension)
    for slot in slots { vectors += store.vector(slot) }
    return vectors
  }
}
