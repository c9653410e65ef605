// The parts that an index is saved as: what stands in each, byte by byte. The container (a file, checksums, compression) is
// somebody else's business.
//
// May use: AttributeSchema.

/// A part of a saved index. The raw values are stable: snapshots name their sections by them.
///
/// All integers and floats are little-endian. `S` is the number of slots, free ones included.
package enum IndexPart: Hashable, Sendable {
  /// 1. `S` rows in the storage's finer precision, padded with zeros. f32: a multiple of 16 floats; half precision: a multiple of
  /// 32 IEEE halves; 8-bit codes: a multiple of 64 bytes, of rotated vectors where the configuration says so. Free slots hold zeros. 4-bit codes are made of these on loading.
  case vectors
  /// 2. `S` × stride × u32: the links of the ground layer, `stride` being 2M rounded up to a multiple of 16; a row ends at
  /// FFFFFFFF or after 2M.
  case groundLinks
  /// 3. `S` × u8: the highest layer of each node plus one; 0 = the slot is free.
  case layers
  /// 4. For each slot in order, for each layer from 1 to its highest: M × u32, ended by FFFFFFFF if there are fewer.
  case upperLinks
  /// 5. int64 ids: `S` × i64. uuid ids: `S` × 16 bytes as they are written. Others: the byte forms of the ids of the slots that are
  /// not free, in order of the slots, one after the other.
  case ids
  /// 6. All storages but `f32`: `S` × 2 × f32: the two numbers beside each row (Rows/RowFormat.swift).
  case sides
  /// 7. Payload: `S` × u64: which row of which block (Payload/PayloadStore.swift); 0 = nothing.
  case payloadEntries
  /// 8. Its blocks, one after the other (Payload/PayloadBlock.swift).
  case payloadBlocks
  /// 9. Where rows have stamps: `S` × 2 × u64: the vector's and the row's (Storage/StampStore.swift); zeros for free slots.
  case stamps
  /// 256 + 16 × column + the part's number: an attribute, by slot.
  case attribute(AttributePart, column: Int)

  /// The parts of the rows, which every index of a storage has: first the links, which stand still while they are read and no longer.
  package static func parts(of storage: VectorStorage) -> [IndexPart] {
    [.layers, .upperLinks, lastOfLinks, .vectors, .ids] + (storage == .f32 ? [] : [.sides])
  }

  /// The last of the parts whose reader holds the links; not empty, if there are rows.
  package static let lastOfLinks = IndexPart.groundLinks

  /// All parts of an index.
  package static func parts(of configuration: HNSWConfiguration) -> [IndexPart] {
    parts(of: configuration.storage)
      + configuration.attributes.columns.enumerated().flatMap { number, column in
        AttributePart.parts(of: column.type).map { .attribute($0, column: number) }
      } + (configuration.payload.isEmpty ? [] : [.payloadEntries, .payloadBlocks])
      + (configuration.keepsStamps ? [.stamps] : [])
  }

  /// The size of the numbers in it, by which their bytes are shuffled before compression.
  package func elementSize(of configuration: HNSWConfiguration) -> Int {
    switch self {
    case .vectors: configuration.storage.fineFormat.rowBytes(width: 1)
    case .groundLinks, .upperLinks, .sides: 4
    case .ids, .payloadEntries, .stamps: 8
    case .layers, .payloadBlocks: 1
    case .attribute(let part, let column): part.elementSize(of: configuration.attributes.columns[column].type)
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
    case .payloadEntries: "payload rows"
    case .payloadBlocks: "payload"
    case .stamps: "stamps"
    case .attribute(let part, let column): "attribute \(column + 1): \(part.name)"
    }
  }
}

extension IndexPart: RawRepresentable {
  private static let firstAttribute: UInt32 = 256
  private static let numbersPerAttribute: UInt32 = 16

  package init?(rawValue: UInt32) {
    switch rawValue {
    case 1: self = .vectors
    case 2: self = .groundLinks
    case 3: self = .layers
    case 4: self = .upperLinks
    case 5: self = .ids
    case 6: self = .sides
    case 7: self = .payloadEntries
    case 8: self = .payloadBlocks
    case 9: self = .stamps
    case Self.firstAttribute...:
      let number = rawValue - Self.firstAttribute
      let column = Int(number / Self.numbersPerAttribute)
      guard column < AttributeSchema.columnsMax,
        let part = AttributePart(rawValue: number % Self.numbersPerAttribute)
      else { return nil }
      self = .attribute(part, column: column)
    default: return nil
    }
  }

  package var rawValue: UInt32 {
    switch self {
    case .vectors: 1
    case .groundLinks: 2
    case .layers: 3
    case .upperLinks: 4
    case .ids: 5
    case .sides: 6
    case .payloadEntries: 7
    case .payloadBlocks: 8
    case .stamps: 9
    case .attribute(let part, let column):
      Self.firstAttribute + Self.numbersPerAttribute * UInt32(column) + part.rawValue
    }
  }
}

/// A part of one attribute. Codes of words count up from 0 in the order of ``wordLengths``, and only words that some row has are
/// there. The lists that find rows by value are made anew on loading.
package enum AttributePart: UInt32, CaseIterable, Sendable {
  /// `S` values; those of free slots are NULL. bool: u8, 2 = NULL. int64, timestamp: i64. float64: i64 in Postgres's order
  /// (AttributeValue.swift), the greatest = NULL. uuid: u128. keyword: u32, the word's code, FFFFFFFF = NULL. Arrays: u32, the
  /// number of elements, + 65,536 where there are NULLs among them; FFFFFFFF = NULL.
  case cells = 0
  /// int64, timestamp, uuid: `S` × u8, 1 = NULL; the value is 0 then.
  case nulls = 1
  /// Text, and arrays of it: for each word u16, its bytes.
  case wordLengths = 2
  /// Their UTF-8, one after the other.
  case words = 3
  /// Arrays: the elements of each slot in turn, as runs of u64 (ArrayHeap.swift).
  case elements = 4

  static func parts(of type: AttributeType) -> [AttributePart] {
    var parts: [AttributePart] = [.cells]
    if type.hasNullBytes { parts.append(.nulls) }
    if type.element == .keyword { parts += [.wordLengths, .words] }
    if type.isArray { parts.append(.elements) }
    return parts
  }

  fileprivate func elementSize(of type: AttributeType) -> Int {
    switch self {
    case .cells: min(type.savedCellBytes, 8)
    case .nulls, .words: 1
    case .wordLengths: 2
    case .elements: type.element == .keyword ? 4 : 8
    }
  }

  package var name: String {
    switch self {
    case .cells: "cells"
    case .nulls: "NULLs"
    case .wordLengths: "lengths of words"
    case .words: "words"
    case .elements: "elements"
    }
  }
}

extension AttributeType {
  /// Bytes of a value in ``AttributePart/cells``.
  var savedCellBytes: Int { isArray ? 4 : cellBytes }
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
