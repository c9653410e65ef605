// Loading: from parts to an index. Whoever wrote the parts is not trusted: every number is checked before it is followed.
//
// May use: the store and the graph.

import Synchronization

extension HNSWIndex {
  /// Makes an index of saved parts.
  ///
  /// - byteCount: the length of a part.
  /// - load: fills the buffer with a whole part, or throws. The largest parts go straight to where they stay.
  /// - Throws: what `load` throws; `inconsistentParts`, `outOfMemory`, `invalidConfiguration`.
  /// - Complexity: reads each part once; one pass over the vectors for their lengths, on `threads` threads.
  package static func restored(
    configuration: HNSWConfiguration, header: IndexPartsHeader, threads: Int, payloadCodec: (any PayloadCodec)? = nil,
    byteCount: (IndexPart) -> Int,
    load: (IndexPart, UnsafeMutableRawBufferPointer) throws -> Void
  ) throws -> HNSWIndex {
    let index = try HNSWIndex(configuration: configuration, payloadCodec: payloadCodec)
    try index.restore(header, threads: threads, byteCount: byteCount, load: load)
    return index
  }

  private func restore(
    _ header: IndexPartsHeader, threads: Int, byteCount: (IndexPart) -> Int,
    load: (IndexPart, UnsafeMutableRawBufferPointer) throws -> Void
  ) throws {
    guard header.slots <= UInt64(store.slotsMax), header.rows <= header.slots else {
      throw contradiction(
        "\(header.rows) rows in \(header.slots) slots; at most \(store.slotsMax) slots fit this machine")
    }
    let slots = Int(header.slots)
    try expect(.vectors, byteCount, slots * store.fine.rowBytes)
    if configuration.storage != .f32 { try expect(.sides, byteCount, slots * MemoryLayout<RowSide>.stride) }
    try expect(.groundLinks, byteCount, slots * graph.groundStride * 4)
    try expect(.layers, byteCount, slots)
    try expectAttributes(slots: slots, byteCount)
    if stamps != nil { try expect(.stamps, byteCount, slots * StampStore.stampBytes) }
    guard slots > 0 else { return }
    try store.restoreSlots(slots)

    let layers = try restoreNodes(slots: slots, rows: Int(header.rows), byteCount, load)
    try load(.vectors, UnsafeMutableRawBufferPointer(start: store.fine.rows, count: slots * store.fine.rowBytes))
    if configuration.storage != .f32 {
      let sides = store.fine.pairs
      try load(.sides, UnsafeMutableRawBufferPointer(start: sides, count: slots * MemoryLayout<RowSide>.stride))
    }
    let ground = UnsafeMutableRawPointer(graph.groundLinks(of: 0))
    try load(.groundLinks, UnsafeMutableRawBufferPointer(start: ground, count: slots * graph.groundStride * 4))
    try restoreUpperLinks(layers, load)
    try checkLinks(layers)
    try restoreRows(layers, try restoreIDs(layers, byteCount, load), threads: threads)
    try restoreAttributes(layers, threads: threads, byteCount, load)
    try restorePayload(layers, threads: threads, byteCount, load)
    try restoreStamps(layers, load)
    if header.rows > 0 {
      guard header.entryLayer <= Graph.layerMax, header.entrySlot < header.slots,
        layers[Int(header.entrySlot)] == header.entryLayer + 1
      else {
        throw contradiction("the entry point \(header.entrySlot) is no node of layer \(header.entryLayer)")
      }
      graph.entry.store(Graph.pack(entry: header.entrySlot, layer: Int(header.entryLayer)), ordering: .releasing)
    }
    withLinks { $0.insertions = header.insertions }
  }

  private func restoreNodes(
    slots: Int, rows: Int, _ byteCount: (IndexPart) -> Int,
    _ load: (IndexPart, UnsafeMutableRawBufferPointer) throws -> Void
  ) throws -> [UInt8] {
    var layers = [UInt8](repeating: 0, count: slots)
    try layers.withUnsafeMutableBytes { try load(.layers, $0) }
    // Before a byte is committed for what the layers promise.
    try expect(.upperLinks, byteCount, layers.reduce(0) { $0 + max(0, Int($1) - 1) } * graph.degreeMax * 4)
    var free: [UInt32] = []
    for (slot, layer) in layers.enumerated() {
      guard layer <= Graph.layerMax + 1 else { throw contradiction("slot \(slot) is said to be on layer \(layer)") }
      if layer == 0 {
        free.append(UInt32(slot))
      } else {
        graph.addNode(UInt32(slot), layerAtMost: Int(layer) - 1)
        guard graph.layer(of: UInt32(slot)) == Int(layer) - 1 else {
          throw IndexError(.outOfMemory, "the machine refused the memory for the upper layers' links")
        }
      }
    }
    guard slots - free.count == rows else {
      throw contradiction("\(slots - free.count) slots hold a node; the header says \(rows)")
    }
    store.restoreFree(free)
    return layers
  }

  private func restoreUpperLinks(
    _ layers: [UInt8], _ load: (IndexPart, UnsafeMutableRawBufferPointer) throws -> Void
  ) throws {
    let rowCount = layers.reduce(0) { $0 + max(0, Int($1) - 1) }
    var links = [UInt32](repeating: Graph.none, count: rowCount * graph.degreeMax)
    try links.withUnsafeMutableBytes { try load(.upperLinks, $0) }
    var next = 0
    for (slot, layer) in layers.enumerated() where layer > 1 {
      for l in 1..<Int(layer) {
        let row = links[next..<(next + graph.degreeMax)]
        graph.setLinks(Array(row.prefix { $0 != Graph.none }), of: UInt32(slot), layer: l)
        next += graph.degreeMax
      }
    }
  }

  /// Every edge leads to a node that reaches up to the edge's layer. What stands behind a row's end is taken away: the next edge
  /// that is added to the row would make links of it.
  private func checkLinks(_ layers: [UInt8]) throws(IndexError) {
    for (slot, layer) in layers.enumerated() where layer > 0 {
      for l in 0..<Int(layer) {
        let links = graph.links(of: UInt32(slot), layer: l)
        var hasEnded = false
        for i in 0..<graph.degreeMax(onLayer: l) {
          let neighbour = links[i].load(ordering: .relaxed)
          hasEnded = hasEnded || neighbour == Graph.none
          if hasEnded {
            links[i].store(Graph.none, ordering: .relaxed)
            continue
          }
          guard neighbour < layers.count, layers[Int(neighbour)] > l else {
            throw contradiction("slot \(slot) has an edge on layer \(l) to \(neighbour), which is no node there")
          }
        }
      }
    }
  }

  private func restoreIDs(
    _ layers: [UInt8], _ byteCount: (IndexPart) -> Int,
    _ load: (IndexPart, UnsafeMutableRawBufferPointer) throws -> Void
  ) throws -> [RecordID] {
    let kind = store.ids.kind
    let cellBytes = kind == .int64 ? 8 : kind == .uuid ? 16 : 0
    let liveCount = layers.count { $0 > 0 }
    let bytesExpected = cellBytes > 0 ? layers.count * cellBytes : byteCount(.ids)
    try expect(.ids, byteCount, bytesExpected)
    guard bytesExpected >= 0, bytesExpected <= max(layers.count * 16, liveCount * RecordID.encodedBytesMax) else {
      throw contradiction("the ids take \(bytesExpected) bytes for \(liveCount) rows")
    }
    var bytes = [UInt8](repeating: 0, count: bytesExpected)
    try bytes.withUnsafeMutableBytes { try load(.ids, $0) }
    var ids: [RecordID] = []
    ids.reserveCapacity(liveCount)
    var offset = 0
    for (slot, layer) in layers.enumerated() where layer > 0 {
      switch kind {
      case .int64:
        ids.append(bytes.withUnsafeBytes { .int64($0.loadUnaligned(fromByteOffset: slot * 8, as: Int64.self)) })
      case .uuid:
        ids.append(
          bytes.withUnsafeBytes {
            .uuid(
              high: UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: slot * 16, as: UInt64.self)),
              low: UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: slot * 16 + 8, as: UInt64.self)))
          })
      case .text, .composite:
        guard let (id, count) = RecordID.decode(from: bytes[offset...]), id.kind == kind else {
          throw contradiction("the id of slot \(slot) does not decode")
        }
        ids.append(id)
        offset += count
      }
    }
    guard cellBytes > 0 || offset == bytes.count else { throw contradiction("there are more ids than rows") }
    return ids
  }

  private func restoreRows(_ layers: [UInt8], _ ids: [RecordID], threads: Int) throws(IndexError) {
    let blockSlots = 4_096
    let blocks = (layers.count + blockSlots - 1) / blockSlots
    let firstBad = Shared<UInt32?>(nil)
    WorkerThreads.distribute(blocks, threads: threads) { block in
      let vector = VectorStore.zeros(self.store.width)
      defer { vector.deallocate() }
      for slot in (block * blockSlots)..<min((block + 1) * blockSlots, layers.count) where layers[slot] > 0 {
        guard !self.store.restoreRow(UInt32(slot), vector) else { continue }
        firstBad.withLock { $0 = min($0 ?? .max, UInt32(slot)) }
        return
      }
    }
    if let bad = firstBad.withLock({ $0 }) {
      throw contradiction("the vector of slot \(bad) is not finite, zero under cosine, or not what its sides say")
    }
    var next = 0
    for (slot, layer) in layers.enumerated() where layer > 0 {
      guard try store.restore(UInt32(slot), id: ids[next]) else {
        throw contradiction("the id \(ids[next]) stands twice")
      }
      next += 1
    }
  }

  /// Any number is a stamp. Those of free slots mean nothing, and are forgotten.
  private func restoreStamps(
    _ layers: [UInt8], _ load: (IndexPart, UnsafeMutableRawBufferPointer) throws -> Void
  ) throws {
    guard let stamps else { return }
    try load(
      .stamps, UnsafeMutableRawBufferPointer(start: stamps.base, count: layers.count * StampStore.stampBytes))
    stamps.release(layers.indices.filter { layers[$0] == 0 }.map { UInt32($0) })
  }

  func expect(_ part: IndexPart, _ byteCount: (IndexPart) -> Int, _ expected: Int) throws(IndexError) {
    let found = byteCount(part)
    guard found == expected else {
      throw contradiction("the part \"\(part.name)\" has \(found) bytes instead of \(expected)")
    }
  }

  func contradiction(_ what: String) -> IndexError {
    IndexError(.inconsistentParts, "the saved parts of the index contradict each other: \(what)")
  }
}
