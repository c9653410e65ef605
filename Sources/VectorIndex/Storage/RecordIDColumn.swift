// slot → record id: the names of the rows, in the narrowest cells that hold them.
//
//     int64              8 bytes   the value
//     uuid              16 bytes   high half, low half
//     text, composite   16 bytes   offset (u64), length (u32) and room (u32) of the byte form in a heap
//
// A slot keeps its room in the heap when its row goes, so that ids that come and go do not fill it.
//
// May use: SlotMemory, ReservedMemory; of CVectorKernels what asks for a cache line.

internal import CVectorKernels

/// The ids of the rows. Cells are written by the one writer before their slot can be reached, and stay as they are while any
/// reader might look.
final class RecordIDColumn: @unchecked Sendable {
  // Proof of Sendable: the pointers are constant; cells follow the rule above; the rest belongs to the writer.

  let kind: RecordIDKind
  let cellBytes: Int
  private let cells: ReservedMemory
  private let heap: ReservedMemory
  private(set) var heapBytes = 0

  /// Room in the heap is in such units, so that an id fits where another of about its length was.
  private static let roomUnit = 8

  init(kind: RecordIDKind, memory: SlotMemory) throws(IndexError) {
    self.kind = kind
    cellBytes = kind.cellBytes
    cells = try memory.makeArray(slotBytes: cellBytes)
    // Address space for 256 bytes an id: keys are shorter, and it costs nothing.
    heap = try ReservedMemory(reserving: kind.usesHeap ? memory.slotsMax * 256 : 1, memory.budget)
  }

  var committedBytes: Int { cells.committedBytes + heap.committedBytes }

  /// The cells as they lie in memory.
  var cellBase: UnsafeRawPointer { UnsafeRawPointer(cells.base) }

  /// Asks for a slot's cell.
  @inline(__always)
  func prefetch(_ slot: UInt32) { vz_prefetch(cells.base + Int(slot) * cellBytes) }

  subscript(slot: UInt32) -> RecordID {
    let cell = cells.base + Int(slot) * cellBytes
    switch kind {
    case .int64:
      return .int64(cell.load(as: Int64.self))
    case .uuid:
      return .uuid(high: cell.load(as: UInt64.self), low: cell.load(fromByteOffset: 8, as: UInt64.self))
    case .text, .composite:
      let offset = Int(cell.load(as: UInt64.self))
      let length = Int(cell.load(fromByteOffset: 8, as: UInt32.self))
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
      if bytes.count > cell.load(fromByteOffset: 12, as: UInt32.self) {
        let room = (bytes.count + Self.roomUnit - 1) / Self.roomUnit * Self.roomUnit
        try heap.commit(heapBytes + room)
        cell.storeBytes(of: UInt64(heapBytes), as: UInt64.self)
        cell.storeBytes(of: UInt32(room), toByteOffset: 12, as: UInt32.self)
        heapBytes += room
      }
      let offset = Int(cell.load(as: UInt64.self))
      (heap.base + offset).copyMemory(from: bytes, byteCount: bytes.count)
      cell.storeBytes(of: UInt32(bytes.count), toByteOffset: 8, as: UInt32.self)
    }
  }

  /// Forgets the id of a slot that no reader can reach.
  func wipe(_ slot: UInt32) {
    let cell = cells.base + Int(slot) * cellBytes
    if kind.usesHeap {
      let offset = Int(cell.load(as: UInt64.self))
      let room = Int(cell.load(fromByteOffset: 12, as: UInt32.self))
      (heap.base + offset).initializeMemory(as: UInt8.self, repeating: 0, count: room)
      cell.storeBytes(of: 0, toByteOffset: 8, as: UInt32.self)
    } else {
      cell.initializeMemory(as: UInt8.self, repeating: 0, count: cellBytes)
    }
  }
}

extension RecordIDKind {
  /// Bytes of a cell in the column.
  var cellBytes: Int { self == .int64 ? 8 : 16 }
  var usesHeap: Bool { self == .text || self == .composite }
}
