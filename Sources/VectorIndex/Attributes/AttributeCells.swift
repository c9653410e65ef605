// The cells of one column, by attribute row, in the narrowest form that a loop can compare.
//
//     bool                 u8    0, 1, 2 = NULL
//     int64, timestamp     i64   and a byte beside it: 1 = NULL
//     float64              i64   in Postgres's order (AttributeValue.swift); Int64.max = NULL, which is no number's
//     uuid                 u128  in the order of its bytes, and a byte beside it
//     keyword              u32   a code of the dictionary; FFFFFFFF = NULL
//     arrays               u64   see ArrayHeap.swift
//
// May use: SlotMemory, ReservedMemory, KeywordDictionary, ArrayHeap, PostingTable.

/// One column's values. The writer writes rows that no reader can reach yet.
final class AttributeCells: @unchecked Sendable {
  // Proof of Sendable: the pointers are constant; a cell is written before its row can be reached, and stays until no reader
  // can need it; the rest is the writer's.

  static let nullFloat = Int64.max
  static let nullBool: UInt8 = 2

  let column: AttributeColumn
  let base: UnsafeMutableRawPointer
  let nulls: UnsafeMutablePointer<UInt8>?
  let dictionary: KeywordDictionary?
  let postings: PostingTable?
  var heap: ArrayHeap
  let heapWords: UnsafeMutablePointer<UInt64>
  private let cellMemory: ReservedMemory
  private let nullMemory: ReservedMemory?

  init(_ column: AttributeColumn, rows: SlotMemory) throws(IndexError) {
    self.column = column
    cellMemory = try rows.makeArray(slotBytes: column.type.cellBytes)
    base = cellMemory.base
    if column.type.hasNullBytes {
      let memory = try rows.makeArray(slotBytes: 1)
      nullMemory = memory
      nulls = memory.base.bindMemory(to: UInt8.self, capacity: rows.slotsMax)
    } else {
      nullMemory = nil
      nulls = nil
    }
    dictionary =
      column.type.element == .keyword ? try KeywordDictionary(wordsMax: rows.slotsMax, budget: rows.budget) : nil
    postings = column.isIndexed ? try PostingTable(budget: rows.budget) : nil
    heap = try ArrayHeap(rowsMax: column.type.isArray ? rows.slotsMax : 1, budget: rows.budget)
    heapWords = heap.words
  }

  var bytes: Int {
    cellMemory.committedBytes + (nullMemory?.committedBytes ?? 0) + (dictionary?.bytes ?? 0) + (postings?.bytes ?? 0)
      + heap.bytes
  }

  @inline(__always)
  func cell<T>(_ type: T.Type, _ row: UInt32) -> UnsafeMutablePointer<T> {
    // In bounds: the row is committed in every array.
    base.assumingMemoryBound(to: type) + Int(row)
  }

  func isNull(_ row: UInt32) -> Bool {
    switch column.type {
    case .bool: cell(UInt8.self, row)[0] == Self.nullBool
    case .float64: cell(Int64.self, row)[0] == Self.nullFloat
    case .keyword: cell(UInt32.self, row)[0] == KeywordDictionary.noCode
    case .int64, .timestamp, .uuid: nulls.map { $0[Int(row)] != 0 } ?? false
    case .int64Array, .uuidArray, .keywordArray: cell(UInt64.self, row)[0] == ArrayCell.null
    }
  }
}

extension AttributeType {
  var cellBytes: Int {
    switch self {
    case .bool: 1
    case .keyword: 4
    case .uuid: 16
    default: 8
    }
  }

  var hasNullBytes: Bool { self == .int64 || self == .timestamp || self == .uuid }
}

// MARK: - Writing

extension AttributeCells {
  /// Writes a checked value into a row that is NULL and that no reader can reach.
  /// - Throws: `outOfMemory`; the cell is NULL then.
  func write(_ value: AttributeValue, to row: UInt32, _ frees: inout DeferredFrees) throws(IndexError) {
    switch value {
    case .null: return
    case .bool(let bool): cell(UInt8.self, row)[0] = bool ? 1 : 0
    case .int64(let number), .timestamp(let number):
      cell(Int64.self, row)[0] = number
      nulls?[Int(row)] = 0
    case .float64(let number): cell(Int64.self, row)[0] = number.orderedBits
    case .uuid(let high, let low):
      cell(UInt128.self, row)[0] = UInt128(high: high, low: low)
      nulls?[Int(row)] = 0
    case .keyword(let text):
      guard let dictionary else { preconditionFailure("a text column has a dictionary") }
      cell(UInt32.self, row)[0] = try dictionary.code(adding: text, &frees)
    case .array(let elements):
      cell(UInt64.self, row)[0] = try writeArray(elements, &frees)
    }
  }

  private func writeArray(_ elements: [AttributeValue], _ frees: inout DeferredFrees) throws(IndexError) -> UInt64 {
    var codes: [UInt32] = []
    if let dictionary {
      for element in elements {
        if case .keyword(let text) = element {
          codes.append(try dictionary.code(adding: text, &frees))
        } else {
          codes.append(KeywordDictionary.noCode)
        }
      }
    }
    let shape = ArrayCell(first: 0, count: elements.count, hasNulls: elements.contains(.null))
    let first = try heap.take(shape.words(of: column.type.element))
    let words = heapWords + first
    let perElement = column.type.element == .uuid ? 2 : 1
    for (i, element) in elements.enumerated() {
      switch element {
      case .int64(let number): words[i] = UInt64(bitPattern: number)
      case .uuid(let high, let low): (words[2 * i], words[2 * i + 1]) = (high, low)
      case .null where codes.isEmpty: words[perElement * elements.count + i / 64] |= 1 << UInt64(i % 64)
      default: break
      }
    }
    for (i, code) in codes.enumerated() { words[i / 2] |= UInt64(code) << UInt64(32 * (i % 2)) }
    return ArrayCell(first: first, count: elements.count, hasNulls: shape.hasNulls).bits
  }

  /// Makes a row NULL that no reader can see, and takes back what its array had.
  func wipe(_ row: UInt32) {
    switch column.type {
    case .bool: cell(UInt8.self, row)[0] = Self.nullBool
    case .float64: cell(Int64.self, row)[0] = Self.nullFloat
    case .keyword: cell(UInt32.self, row)[0] = KeywordDictionary.noCode
    case .int64, .timestamp:
      cell(Int64.self, row)[0] = 0
      nulls?[Int(row)] = 1
    case .uuid:
      cell(UInt128.self, row)[0] = 0
      nulls?[Int(row)] = 1
    case .int64Array, .uuidArray, .keywordArray:
      let array = ArrayCell(bits: cell(UInt64.self, row)[0])
      cell(UInt64.self, row)[0] = ArrayCell.null
      if array.bits != ArrayCell.null { heap.giveBack(array.first, array.words(of: column.type.element)) }
    }
  }
}

// MARK: - Reading

extension AttributeCells {
  func value(_ row: UInt32) -> AttributeValue {
    if isNull(row) { return .null }
    switch column.type {
    case .bool: return .bool(cell(UInt8.self, row)[0] == 1)
    case .int64: return .int64(cell(Int64.self, row)[0])
    case .timestamp: return .timestamp(cell(Int64.self, row)[0])
    case .float64: return .float64(Double(orderedBits: cell(Int64.self, row)[0]))
    case .uuid:
      let value = cell(UInt128.self, row)[0]
      return .uuid(high: UInt64(truncatingIfNeeded: value >> 64), low: UInt64(truncatingIfNeeded: value))
    case .keyword: return .keyword(dictionary?.text(cell(UInt32.self, row)[0]) ?? "")
    case .int64Array, .uuidArray, .keywordArray:
      let array = ArrayRun(ArrayCell(bits: cell(UInt64.self, row)[0]), words: heapWords)
      return .array(
        (0..<array.count).map { i in
          switch column.type.element {
          case .uuid:
            if array.isNull(i, wordsPerElement: 2) { return .null }
            return .uuid(high: array.words[2 * i], low: array.words[2 * i + 1])
          case .keyword:
            let code = array.code(i)
            return code == KeywordDictionary.noCode ? .null : .keyword(dictionary?.text(code) ?? "")
          default:
            if array.isNull(i, wordsPerElement: 1) { return .null }
            return .int64(Int64(bitPattern: array.words[i]))
          }
        })
    }
  }

  /// The keys that the second list does not have. Both ascend.
  static func keys(_ keys: [UInt64], without others: [UInt64]) -> [UInt64] {
    if others.isEmpty { return keys }
    var other = 0
    return keys.filter { key in
      while other < others.count, others[other] < key { other += 1 }
      return other == others.count || others[other] != key
    }
  }

  /// The keys under which a row's slot stands in the postings, ascending, each once.
  func keys(_ row: UInt32) -> [UInt64] {
    guard postings != nil, !isNull(row) else { return [] }
    switch column.type {
    case .bool: return [UInt64(cell(UInt8.self, row)[0])]
    case .int64: return [UInt64(bitPattern: cell(Int64.self, row)[0])]
    case .uuid: return [PostingKey.of(cell(UInt128.self, row)[0])]
    case .keyword: return [UInt64(cell(UInt32.self, row)[0])]
    case .float64, .timestamp: return []
    case .int64Array, .uuidArray, .keywordArray:
      let array = ArrayRun(ArrayCell(bits: cell(UInt64.self, row)[0]), words: heapWords)
      var keys: [UInt64] = []
      for i in 0..<array.count {
        switch column.type.element {
        case .uuid where !array.isNull(i, wordsPerElement: 2): keys.append(PostingKey.of(array.wide(i)))
        case .keyword where array.code(i) != KeywordDictionary.noCode: keys.append(UInt64(array.code(i)))
        case .int64 where !array.isNull(i, wordsPerElement: 1): keys.append(array.words[i])
        default: continue
        }
      }
      guard keys.count > 1 else { return keys }
      keys.sort()
      var unique: [UInt64] = []
      for key in keys where unique.last != key { unique.append(key) }
      return unique
    }
  }

  /// Whether a row's slot stands under `key`.
  func hasKey(_ key: UInt64, _ row: UInt32) -> Bool {
    guard !isNull(row) else { return false }
    switch column.type {
    case .int64Array, .uuidArray, .keywordArray:
      let array = ArrayRun(ArrayCell(bits: cell(UInt64.self, row)[0]), words: heapWords)
      switch column.type.element {
      case .uuid:
        return (0..<array.count).contains {
          PostingKey.of(array.wide($0)) == key && !array.isNull($0, wordsPerElement: 2)
        }
      case .keyword: return (0..<array.count).contains { UInt64(array.code($0)) == key }
      default: return (0..<array.count).contains { array.words[$0] == key && !array.isNull($0, wordsPerElement: 1) }
      }
    case .bool: return UInt64(cell(UInt8.self, row)[0]) == key
    case .int64: return UInt64(bitPattern: cell(Int64.self, row)[0]) == key
    case .uuid: return PostingKey.of(cell(UInt128.self, row)[0]) == key
    default: return UInt64(cell(UInt32.self, row)[0]) == key
    }
  }
}

/// What stands for a value in a posting table. Two UUIDs may share one: postings name candidates, which are looked at.
enum PostingKey {
  @inline(__always)
  static func of(_ uuid: UInt128) -> UInt64 {
    mixed(UInt64(truncatingIfNeeded: uuid >> 64)) ^ UInt64(truncatingIfNeeded: uuid)
  }
}

/// The elements of an array.
struct ArrayRun {
  let words: UnsafePointer<UInt64>
  let count: Int
  let hasNulls: Bool

  /// - Precondition: the cell is not NULL.
  @inline(__always)
  init(_ cell: ArrayCell, words: UnsafePointer<UInt64>) {
    self.words = words + cell.first
    count = cell.count
    hasNulls = cell.hasNulls
  }

  /// Of an element that is no keyword.
  @inline(__always)
  func isNull(_ i: Int, wordsPerElement: Int) -> Bool {
    hasNulls && words[wordsPerElement * count + i / 64] >> UInt64(i % 64) & 1 == 1
  }

  @inline(__always)
  func code(_ i: Int) -> UInt32 { UInt32(truncatingIfNeeded: words[i / 2] >> UInt64(32 * (i % 2))) }

  @inline(__always)
  func wide(_ i: Int) -> UInt128 { UInt128(high: words[2 * i], low: words[2 * i + 1]) }
}
