// How much memory an index will take: known before a row is read.
//
// May use: the sizes of all arrays.

extension HNSWIndex {
  /// Bytes that an index of `rows` rows commits when they are staged at once: what ``statistics()`` then says, within a few
  /// percent. Rows that come in many steps may have up to an eighth more, as far as the budget allows it.
  ///
  /// - textBytes: the mean byte form of ids of text or several columns; see ``RecordID/encodedByteCount``.
  public static func bytesNeeded(rows: Int, configuration: HNSWConfiguration, textBytes: Int = 32) -> Int {
    guard rows > 0 else { return RecordTable.bytes(ofCapacity: RecordTable.capacity(forCount: 0)) }
    var bytes = configuration.slotArrays.reduce(0) { $0 + ReservedMemory.rounded(rows * $1) }
    bytes += RecordTable.bytes(ofCapacity: RecordTable.capacity(forCount: rows))
    if configuration.recordIDKind.usesHeap { bytes += ReservedMemory.rounded(rows * textBytes) }
    return bytes
  }

  /// Bytes that all indexes of this process have committed.
  public static var bytesInUse: Int { MemoryBudget.processCommittedBytes }

  /// Checks by ``bytesNeeded(rows:configuration:textBytes:)`` that the index will hold `rows` more: before they are read.
  /// - Throws: `outOfMemory`, with the figures and what to do.
  public func checkMemory(forMore rows: Int) throws(IndexError) {
    try store.memory.budget.check(rows: rows, ofCount: count)
  }
}

extension HNSWConfiguration {
  /// Bytes that one more vector takes, links, id, lifetime and, where it is kept, stamp included.
  public var bytesPerVector: Int {
    // The table that finds ids is from a quarter to a half full.
    slotArrays.reduce(0, +) + 12 + (recordIDKind.usesHeap ? 32 : 0)
  }

  /// Bytes a slot, array by array: those of VectorStore, Graph, AttributeStore, PayloadStore and StampStore.
  var slotArrays: [Int] {
    let fine = storage.fineFormat
    var arrays = [fine.rowBytes(width: fine.width(ofDimension: dimension)), fine.sideFloats(metric: metric) * 4]
    if let codes = storage.codeFormat {
      arrays += [codes.rowBytes(width: codes.width(ofDimension: dimension)), codes.sideFloats(metric: metric) * 4]
    }
    return arrays + [
      VectorStore.lifetimeBytes, recordIDKind.cellBytes, Graph.stride(ofDegree: groundDegreeMax) * 4, upperSlotBytes,
      Graph.nodeBytes,
    ] + attributes.slotArrays + (payload.isEmpty ? [] : [PayloadStore.entryBytes])
      + (keepsStamps ? [StampStore.stampBytes] : [])
  }

  /// Bytes that the layers above the ground take for each slot. A node reaches layer l with probability M⁻ˡ, so it has
  /// 1 / (M − 1) rows there; an eighth more, as chance will have it.
  var upperSlotBytes: Int {
    let rowBytes = Graph.stride(ofDegree: connectivity) * 4
    return (rowBytes * 9 + 8 * (connectivity - 1) - 1) / (8 * (connectivity - 1))
  }
}

extension AttributeSchema {
  /// Bytes a slot that the attributes take: cells, and about what a row takes in the lists that find it. Words, arrays and
  /// distinct values come on top: how many there will be is not known.
  var slotArrays: [Int] {
    guard !isEmpty else { return [] }
    return [4, 1]
      + columns.map { column in
        column.type.cellBytes + (column.type.hasNullBytes ? 1 : 0) + (column.isIndexed ? 8 : 0)
      }
  }
}
