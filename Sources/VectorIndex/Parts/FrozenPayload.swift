// Saving payload: blocks as they lie, and those of which some rows are gone made anew without them.
//
// May use: PayloadStore, the store.

/// The payload of the rows of one moment. Its parts can be read by any thread, any range. Blocks never change, nor do they move.
struct FrozenPayload: Sendable {
  private enum Source: Sendable {
    /// In the heap, from here on.
    case heap(Int)
    case made([UInt8])
  }

  private struct Piece: Sendable {
    var start: Int
    var count: Int
    var source: Source
  }

  private let payload: PayloadStore
  private let pieces: [Piece]
  private let entries: [UInt64]

  /// - Complexity: O(slots log slots), and one decompression for each block that has lost a row.
  ///
  /// - entries: the slots' as they were; they become those that are saved.
  init(_ payload: PayloadStore, _ frozen: FrozenRows, _ entries: consuming [UInt64]) {
    self.payload = payload
    var used: [(entry: UInt64, slot: Int)] = []
    for slot in entries.indices where entries[slot] != PayloadStore.nothing {
      if frozen.contains(slot) { used.append((entries[slot], slot)) }
      entries[slot] = PayloadStore.nothing
    }
    used.sort { ($0.entry, $0.slot) < ($1.entry, $1.slot) }
    var pieces: [Piece] = []
    var end = 0
    var next = 0
    while next < used.count {
      let offset = PayloadStore.offset(used[next].entry)
      let group = used[next...].prefix { PayloadStore.offset($0.entry) == offset }
      next = group.endIndex
      // Two slots may have one row: that of an upsert without payload, and the one that it replaced.
      var rows: [Int] = []
      for item in group where rows.last != PayloadStore.row(item.entry) { rows.append(PayloadStore.row(item.entry)) }
      let block = payload.block(at: offset)
      var source = Source.heap(offset)
      var count = block.count
      if PayloadBlock.Header(block)?.rowCount != rows.count,
        let content = PayloadBlock.content(block, codec: payload.codec)
      {
        var made = PayloadBlock.make(rows.map { Array(content.row($0)) }, codec: payload.codec)
        made += [UInt8](repeating: 0, count: PayloadBlock.padded(made.count) - made.count)
        count = made.count
        source = .made(made)
      } else {
        rows = Array(0..<rows.count)
      }
      var place = 0
      for item in group {
        while rows[place] != PayloadStore.row(item.entry) { place += 1 }
        entries[item.slot] = PayloadStore.entry(offset: PayloadBlock.alignment + end, row: place)
      }
      pieces.append(Piece(start: end, count: count, source: source))
      end += count
    }
    self.entries = entries
    self.pieces = pieces
  }

  var entryBytes: Int { entries.count * PayloadStore.entryBytes }
  var blockBytes: Int { pieces.last.map { $0.start + $0.count } ?? 0 }

  func readEntries(_ range: Range<Int>, into destination: UnsafeMutableRawBufferPointer) {
    entries.withUnsafeBytes { destination.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[range])) }
  }

  func readBlocks(_ range: Range<Int>, into destination: UnsafeMutableRawBufferPointer) {
    // The last piece that begins at or before the range.
    var low = 0
    var high = pieces.count
    while high - low > 1 {
      let middle = (low + high) / 2
      if pieces[middle].start <= range.lowerBound { low = middle } else { high = middle }
    }
    var position = range.lowerBound
    while position < range.upperBound {
      let piece = pieces[low]
      let within = (position - piece.start)..<min(piece.count, range.upperBound - piece.start)
      let target = UnsafeMutableRawBufferPointer(
        rebasing: destination[(position - range.lowerBound)..<(position - range.lowerBound + within.count)])
      switch piece.source {
      case .heap(let offset):
        target.copyMemory(from: UnsafeRawBufferPointer(rebasing: payload.block(at: offset)[within]))
      case .made(let bytes):
        bytes.withUnsafeBytes { target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[within])) }
      }
      position += within.count
      low += 1
    }
  }
}
