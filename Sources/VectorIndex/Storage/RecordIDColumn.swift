// slot → record id: the names of the rows, in the narrowest cells that hold them.
//
//     int64              8 bytes   the value
//     uuid              16 bytes   high half, low half
//     text, composite   16 bytes   offset (u64) and length (u64) of the byte form in an append-only heap
//
// May use: ReservedMemory.

/// The ids of the rows. Cells are written by the one writer before their slot can be reached, and stay as they are while any
/// reader might look.
final class RecordIDColumn: @unchecked Sendable {
  // Proof of Sendable: the pointers are constant; cells follow the rule above; the rest belongs to the writer.

  let kind: RecordIDKind
  let cellBytes: Int
  private let cells: ReservedMemory
  private let heap: ReservedMemory
  private(set) var heapBytes = 0

  init(kind: RecordIDKind, slotsMax: Int) throws(IndexError) {
    self.kind = kind
    cellBytes = kind == .int64 ? 8 : 16
    cells = try ReservedMemory(reserving: slotsMax * cellBytes)
    // Only kinds 3 and 4 use the heap. Address space for 256 bytes an id: keys are shorter, and it costs nothing.
    heap = try ReservedMemory(reserving: kind == .text || kind == .composite ? slotsMax * 256 : 1)
  }

  var committedBytes: Int { cells.committedBytes + heap.committedBytes }

  /// The cells as they lie in memory.
  var cellBase: UnsafeRawPointer { UnsafeRawPointer(cells.base) }

  func commit(slots: Int) throws(IndexError) { try cells.commit(slots * cellBytes) }

  subscript(slot: UInt32) -> RecordID {
    let cell = cells.base + Int(slot) * cellBytes
    switch kind {
    case .int64:
      return .int64(cell.load(as: Int64.self))
    case .uuid:
      return .uuid(high: cell.load(as: UInt64.self), low: cell.load(fromByteOffset: 8, as: UInt64.self))
    case .text, .composite:
      let offset = Int(cell.load(as: UInt64.self))
      let length = Int(cell.load(fromByteOffset: 8, as: UInt64.self))
      // In bounds: offset and length were written by `set`, after the bytes.
      let bytes = UnsafeRawBufferPointer(start: heap.base + offset, count: length)
      guard let (id, _) = RecordID.decode(from: bytes) else {
        preconditionFailure("the id heap holds only what RecordID.encode wrote")
      }
      return id
    }
  }

  /// Writes the id of a slot that no reader can reach yet.
  func set(_ slot: UInt32, to id: RecordID) throws(IndexError) {
    let cell = cells.base + Int(slot) * cellBytes
    switch id {
    case .int64(let value):
      cell.storeBytes(of: value, as: Int64.self)
    case .uuid(let high, let low):
      cell.storeBytes(of: high, as: UInt64.self)
      cell.storeBytes(of: low, toByteOffset: 8, as: UInt64.self)
    case .text, .composite:
      var bytes: [UInt8] = []
      id.encode(into: &bytes)
      try heap.commit(heapBytes + bytes.count)
      (heap.base + heapBytes).copyMemory(from: bytes, byteCount: bytes.count)
      cell.storeBytes(of: UInt64(heapBytes), as: UInt64.self)
      cell.storeBytes(of: UInt64(bytes.count), toByteOffset: 8, as: UInt64.self)
      heapBytes += bytes.count
    }
  }

  /// Forgets the id of a slot that no reader can reach. Its bytes in the heap, if it has any, stay until the index is loaded
  /// anew; a snapshot does not hold them.
  func wipe(_ slot: UInt32) {
    (cells.base + Int(slot) * cellBytes).initializeMemory(as: UInt8.self, repeating: 0, count: cellBytes)
  }

  /// Gives a slot the id that another has: a newer version of the same row needs no new bytes in the heap.
  func copy(from old: UInt32, to new: UInt32) {
    (cells.base + Int(new) * cellBytes).copyMemory(from: cells.base + Int(old) * cellBytes, byteCount: cellBytes)
  }
}
