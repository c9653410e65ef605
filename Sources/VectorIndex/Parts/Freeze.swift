// The moment that is saved: a pinned version, and copies of the few words that changes overwrite in place. Everything else that belongs to
// the rows of a version stays as it is for as long as the version is pinned.
//
//     vectors, sides, ids        written before a row is born; its slot is not used again under the pin
//     attribute and payload rows replaced ones are kept for readers; only which of them a slot has is overwritten: copied
//     stamps                     the vector's stays, the row's is overwritten: copied
//     links, layers              change, if whoever saves does not hold the links (FrozenIndex.swift)
//
// May use: the store, the tail, AttributeStore, PayloadStore, StampStore.

import Synchronization

/// The rows of one version, for as long as it is pinned.
struct FrozenRows: Sendable {
  let store: VectorStore
  let version: UInt64
  /// Those that were in use: the version's rows are in no others.
  let slots: Int

  /// The answer for a slot never changes, whatever becomes of it meanwhile.
  @inline(__always)
  func contains(_ slot: Int) -> Bool { store.isVisible(UInt32(slot), at: version) }
}

/// A word of each slot, `[slot]`, as it was at one moment.
struct SlotWords<Word: FixedWidthInteger & BitwiseCopyable & Sendable>: Sendable {
  private(set) var words: [Word]

  /// Memory for some more slots than there are, touched now: whoever waits for ``take(_:from:everyWords:)`` need not wait for that.
  init(slots: Int) { words = [Word](repeating: 0, count: slots + slots / 16 + 1_024) }

  /// Takes the words of the first `slots` slots.
  /// - step: from a slot's word to the next one's, in words.
  mutating func take(_ slots: Int, from base: UnsafeRawPointer, everyWords step: Int = 1) {
    if slots > words.count { words.append(contentsOf: repeatElement(0, count: slots - words.count)) }
    words.withUnsafeMutableBufferPointer { words in
      for slot in 0..<slots {
        words[slot] = base.load(fromByteOffset: slot * step * MemoryLayout<Word>.stride, as: Word.self)
      }
    }
    words.removeLast(words.count - slots)
  }

  @inline(__always)
  subscript(slot: Int) -> Word { words[slot] }
}

/// What is taken down of an index at the moment that is saved.
struct Freeze: Sendable {
  let rows: FrozenRows
  /// How many rows there are.
  let count: Int
  /// So many rows stand first in the tail, and have to be linked.
  let tailCount: Int
  /// Whether the graph has to be mended, and the nodes that have to leave it.
  let hasChanged: Bool
  let retired: [UInt32]
  /// Each slot's attribute row, its place in the payload, and the stamp of its row.
  var bindings: SlotWords<UInt32>?
  var payloadEntries: SlotWords<UInt64>?
  var rowStamps: SlotWords<UInt64>?
}

extension HNSWIndex {
  /// Takes down what is there at one moment. Changes wait for as long as that takes: a copy of 4 bytes a slot where there are attributes,
  /// 8 for payload and 8 for stamps.
  ///
  /// - pin: keeps the version's rows until it is given back.
  /// - note: called at that moment. nil: nothing is taken down.
  /// - Precondition: the caller holds the links, and settles the graph before it gives them back.
  func freeze<Note: Sendable>(_ pin: ReaderPins.Pin, noting note: () -> Note?) -> (Freeze, Note)? {
    let slots = store.slotsUsed.load(ordering: .relaxed)
    var bindings = attributes.map { _ in SlotWords<UInt32>(slots: slots) }
    var payloadEntries = payload.map { _ in SlotWords<UInt64>(slots: slots) }
    var rowStamps = stamps.map { _ in SlotWords<UInt64>(slots: slots) }
    return withChanges {
      guard let noted = note() else { return nil }
      // Nobody writes rows, and nobody links any: the tail and the count are the version's.
      let (hasChanged, retired) = withRows { ($0.hasChanged, $0.takeChanges()) }
      let version = store.pins.enter(pin)
      let slots = store.slotsUsed.load(ordering: .acquiring)
      if let attributes { bindings?.take(slots, from: UnsafeRawPointer(attributes.bindings)) }
      if let payload { payloadEntries?.take(slots, from: payload.entryBase) }
      if let stamps { rowStamps?.take(slots, from: UnsafeRawPointer(stamps.base) + 8, everyWords: 2) }
      let freeze = Freeze(
        rows: FrozenRows(store: store, version: version, slots: slots), count: count, tailCount: tailCount,
        hasChanged: hasChanged, retired: retired, bindings: bindings, payloadEntries: payloadEntries,
        rowStamps: rowStamps)
      return (freeze, noted)
    }
  }
}
