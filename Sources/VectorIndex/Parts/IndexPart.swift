// The parts that an index is saved as: what stands in each, byte by byte. The container (a file, checksums, compression) is
// somebody else's business.
//
// May use: nothing but the standard library.

/// A part of a saved index. The raw values are stable: snapshots name their sections by them.
///
/// All integers and floats are little-endian. `S` is the number of slots, free ones included.
package enum IndexPart: UInt32, CaseIterable, Sendable {
  /// `S` rows in the storage's finer precision, padded with zeros. f32: a multiple of 16 floats; half precision: a multiple of
  /// 32 IEEE halves; 8-bit codes: a multiple of 64 bytes, of rotated vectors where the configuration says so. Free slots hold zeros. 4-bit codes are made of these on loading.
  case vectors = 1
  /// `S` × stride × u32: the links of the ground layer, `stride` being 2M rounded up to a multiple of 16; a row ends at
  /// FFFFFFFF or after 2M.
  case groundLinks = 2
  /// `S` × u8: the highest layer of each node plus one; 0 = the slot is free.
  case layers = 3
  /// For each slot in order, for each layer from 1 to its highest: M × u32, ended by FFFFFFFF if there are fewer.
  case upperLinks = 4
  /// int64 ids: `S` × i64. uuid ids: `S` × 16 bytes as they are written. Others: the byte forms of the ids of the slots that are
  /// not free, in order of the slots, one after the other.
  case ids = 5
  /// All storages but `f32`: `S` × 2 × f32: the two numbers beside each row (Rows/RowFormat.swift).
  case sides = 6

  /// The parts that an index of a storage has.
  package static func parts(of storage: VectorStorage) -> [IndexPart] {
    allCases.filter { $0 != .sides || storage != .f32 }
  }

  /// The size of the numbers in it, by which their bytes are shuffled before compression.
  package func elementSize(of storage: VectorStorage) -> Int {
    switch self {
    case .vectors: storage.fineFormat.rowBytes(width: 1)
    case .groundLinks, .upperLinks, .sides: 4
    case .ids: 8
    case .layers: 1
    }
  }

  package var name: String {
    switch self {
    case .vectors: "vectors"
    case .groundLinks: "ground links"
    case .layers: "layers"
    case .upperLinks: "upper links"
    case .ids: "ids"
    case .sides: "sides"
    }
  }
}

/// The few numbers that belong to the parts.
package struct IndexPartsHeader: Hashable, Sendable {
  package var slots: UInt64
  package var rows: UInt64
  /// The node where searches start, and its layer; both 0 when there are no rows.
  package var entrySlot: UInt32
  package var entryLayer: UInt32
  /// Nodes ever inserted: decides the layers of those to come.
  package var insertions: UInt64

  package init(slots: UInt64, rows: UInt64, entrySlot: UInt32, entryLayer: UInt32, insertions: UInt64) {
    self.slots = slots
    self.rows = rows
    self.entrySlot = entrySlot
    self.entryLayer = entryLayer
    self.insertions = insertions
  }
}
