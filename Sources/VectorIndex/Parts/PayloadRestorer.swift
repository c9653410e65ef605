// Loading payload: every block is decompressed and looked at once, and every entry leads to a row of one.
//
// May use: PayloadStore, IndexRestorer.

import Synchronization

extension HNSWIndex {
  /// - layers: by slot; 0 = the slot is free.
  func restorePayload(
    _ layers: [UInt8], threads: Int, _ byteCount: (IndexPart) -> Int,
    _ load: (IndexPart, UnsafeMutableRawBufferPointer) throws -> Void
  ) throws {
    guard let payload else { return }
    try expect(.payloadEntries, byteCount, layers.count * PayloadStore.entryBytes)
    let count = byteCount(.payloadBlocks)
    guard count >= 0, count % PayloadBlock.alignment == 0 else {
      throw contradiction("the part \"\(IndexPart.payloadBlocks.name)\" has \(count) bytes")
    }
    let heap = try payload.restoreHeap(count)
    try load(.payloadBlocks, heap)
    let blocks = try payloadBlocks(UnsafeRawBufferPointer(heap))

    let firstBad = Shared<Int?>(nil)
    WorkerThreads.distribute(blocks.count, threads: threads) { [blocks] number in
      guard !payload.isSoundBlock(at: blocks[number].offset) else { return }
      firstBad.withLock { $0 = min($0 ?? .max, number) }
    }
    if let bad = firstBad.withLock({ $0 }) { throw contradiction("the block \(bad) of the payload is none") }

    var entries = [UInt64](repeating: 0, count: layers.count)
    try entries.withUnsafeMutableBytes { try load(.payloadEntries, $0) }
    for (slot, entry) in entries.enumerated() where entry != PayloadStore.nothing {
      let offset = PayloadStore.offset(entry)
      // Offsets ascend.
      var low = 0
      var high = blocks.count
      while low < high {
        let middle = (low + high) / 2
        if blocks[middle].offset < offset { low = middle + 1 } else { high = middle }
      }
      guard layers[slot] > 0, low < blocks.count, blocks[low].offset == offset,
        PayloadStore.row(entry) < blocks[low].rows
      else { throw contradiction("the payload of slot \(slot) is in no block") }
      payload.bind(UInt32(slot), to: entry)
    }
  }

  /// The blocks that lie one after the other, and how many rows each has.
  private func payloadBlocks(_ heap: UnsafeRawBufferPointer) throws(IndexError) -> [(offset: Int, rows: Int)] {
    var blocks: [(Int, Int)] = []
    var offset = 0
    while offset < heap.count {
      guard let header = PayloadBlock.Header(UnsafeRawBufferPointer(rebasing: heap[offset...])) else {
        throw contradiction("there is no block of payload at byte \(offset)")
      }
      blocks.append((PayloadBlock.alignment + offset, header.rowCount))
      offset += header.byteCount
    }
    return blocks
  }
}

extension PayloadStore {
  fileprivate func isSoundBlock(at offset: Int) -> Bool {
    guard let content = PayloadBlock.content(block(at: offset), codec: codec) else { return false }
    return (0..<content.rowCount).allSatisfy { content.values($0, columns: columns) != nil }
  }
}
