// One condition on one column, made ready for loops: for one row, and for 64 rows at once.
//
// TRUE and FALSE are two bits of a row; a row with neither is NULL. So AND, OR and NOT are plain bit operations
// (FilterProgram.swift).
//
// May use: AttributeCells, KeywordDictionary, KeySet, WordBinding.

/// A row's truth: TRUE, FALSE, or neither.
struct Truth: Equatable {
  var isTrue: Bool
  var isFalse: Bool

  static let unknown = Truth(isTrue: false, isFalse: false)
  @inline(__always) init(isTrue: Bool, isFalse: Bool) { (self.isTrue, self.isFalse) = (isTrue, isFalse) }
  @inline(__always) init(_ value: Bool) { (isTrue, isFalse) = (value, !value) }
}

/// The truths of 64 rows.
struct TruthMasks {
  var isTrue: UInt64
  var isFalse: UInt64
}

/// 64 slots in a row: which attribute rows they have.
struct RowBlock {
  /// Each slot's, where `firstRow` is 0.
  let rows: UnsafePointer<UInt32>
  /// Where the attribute rows count up by one, as they do when nothing was updated: the first.
  let firstRow: UInt32
  /// The slots that there are, and, if rows are followed into heaps, may be seen.
  let active: UInt64
  /// Room for 64 cells and 64 bytes.
  let cellBuffer: UnsafeMutableRawPointer
  let byteBuffer: UnsafeMutableRawPointer

  @inline(__always)
  func row(_ lane: UInt64) -> UInt32 {
    firstRow != 0 ? firstRow &+ UInt32(truncatingIfNeeded: lane) : rows[Int(lane)]
  }

  /// The cells of the block side by side.
  @inline(__always)
  func cells<T>(_ base: UnsafeRawPointer, _ type: T.Type, _ buffer: UnsafeMutableRawPointer) -> UnsafePointer<T> {
    let cells = base.assumingMemoryBound(to: type)
    if firstRow != 0 { return cells + Int(firstRow) }
    let gathered = buffer.assumingMemoryBound(to: type)
    for i in 0..<64 { gathered[i] = cells[Int(rows[i])] }
    return UnsafePointer(gathered)
  }
}

struct FilterPredicate {
  enum Kind: UInt8 {
    /// Integers, and floats as integers, in a range.
    case range
    /// The same for UUIDs.
    case wideRange
    /// Truth values: bit 0 of `low` says whether false will do, bit 1 whether true will.
    case bool
    /// Integers in a set; UUIDs in a set.
    case set
    case wideSet
    /// One word; a set of words.
    case word
    case wordSet
    case isNull
    /// Arrays with all of some elements, with one of some, with a certain one.
    case arrayAll
    case arrayAny
    case arrayEqual
  }

  let kind: Kind
  let type: AttributeType
  let cells: UnsafeRawPointer
  let nulls: UnsafePointer<UInt8>?
  let heap: UnsafePointer<UInt64>
  /// TRUE and FALSE change places: ≠.
  var isNegated = false
  /// No value will do: an empty range, a NULL among elements that must all be there.
  var isNever = false
  /// A NULL in a list: who is not in it may be, as far as one knows.
  var hasNullInList = false
  var low: Int64 = 0
  var span: UInt64 = 0
  var wideLow: UInt128 = 0
  var wideSpan: UInt128 = 0
  /// What is looked for, where it is a set; owned by the program.
  var set = KeySet<Int64>.none
  var wideSet = KeySet<UInt128>.none
  /// Which of the program's word conditions it is.
  var words = -1

  init(_ kind: Kind, _ column: AttributeCells) {
    self.kind = kind
    type = column.column.type
    cells = UnsafeRawPointer(column.base)
    nulls = column.nulls.map { UnsafePointer($0) }
    heap = UnsafePointer(column.heapWords)
  }

  /// Whether it looks at what cells point at.
  var followsHeap: Bool { kind == .arrayAll || kind == .arrayAny || kind == .arrayEqual }
}

// MARK: - One row

extension FilterPredicate {
  @inline(__always)
  private func cell<T>(_ type: T.Type, _ row: UInt32) -> T { cells.assumingMemoryBound(to: type)[Int(row)] }

  @inline(__always)
  private func isNull(_ row: UInt32) -> Bool {
    if let nulls { return nulls[Int(row)] != 0 }
    switch type {
    case .bool: return cell(UInt8.self, row) == AttributeCells.nullBool
    case .float64: return cell(Int64.self, row) == AttributeCells.nullFloat
    case .keyword: return cell(UInt32.self, row) == KeywordDictionary.noCode
    default: return cell(UInt64.self, row) == ArrayCell.null
    }
  }

  @inline(__always)
  private func truth(_ isTrue: Bool) -> Truth {
    if isTrue { return Truth(isTrue: !isNegated, isFalse: isNegated) }
    return hasNullInList ? .unknown : Truth(isTrue: isNegated, isFalse: !isNegated)
  }

  func truth(_ row: UInt32, _ words: WordBinding?) -> Truth {
    if kind == .isNull { return Truth(isNull(row)) }
    if isNull(row) { return .unknown }
    switch kind {
    case .isNull: return Truth(true)
    case .range:
      return truth(!isNever && UInt64(bitPattern: cell(Int64.self, row) &- low) <= span)
    case .wideRange: return truth(!isNever && cell(UInt128.self, row) &- wideLow <= wideSpan)
    case .bool: return truth(low >> Int64(cell(UInt8.self, row)) & 1 == 1)
    case .set: return truth(set.contains(cell(Int64.self, row)))
    case .wideSet: return truth(wideSet.contains(cell(UInt128.self, row)))
    case .word, .wordSet: return truth(words?.matches(cell(UInt32.self, row)) ?? false)
    case .arrayAll, .arrayAny, .arrayEqual: return arrayTruth(ArrayCell(bits: cell(UInt64.self, row)), words)
    }
  }

  private func arrayTruth(_ cell: ArrayCell, _ words: WordBinding?) -> Truth {
    let array = ArrayRun(cell, words: heap)
    switch kind {
    case .arrayAll:
      if isNever { return Truth(false) }
      switch type.element {
      case .keyword: return Truth(words?.all(array) ?? true)
      case .uuid: return Truth(array.count >= wideSet.count && wideSet.all { key in Self.contains(array, key) })
      default: return Truth(array.count >= set.count && set.all { key in Self.contains(array, key) })
      }
    case .arrayAny: return Truth(hasAny(array, words))
    default:
      // `v = ANY (array)`: as `v = a OR v = b OR …`.
      if isNever { return array.count == 0 ? Truth(false) : .unknown }
      if hasAny(array, words) { return Truth(true) }
      return array.hasNulls ? .unknown : Truth(false)
    }
  }

  private func hasAny(_ array: ArrayRun, _ words: WordBinding?) -> Bool {
    switch type.element {
    case .keyword:
      for i in 0..<array.count where array.code(i) != KeywordDictionary.noCode {
        if words?.matches(array.code(i)) ?? false { return true }
      }
    case .uuid:
      for i in 0..<array.count where wideSet.contains(array.wide(i)) && !array.isNull(i, wordsPerElement: 2) {
        return true
      }
    default:
      for i in 0..<array.count
      where set.contains(Int64(bitPattern: array.words[i])) && !array.isNull(i, wordsPerElement: 1) { return true }
    }
    return false
  }

  private static func contains(_ array: ArrayRun, _ key: Int64) -> Bool {
    for i in 0..<array.count
    where Int64(bitPattern: array.words[i]) == key && !array.isNull(i, wordsPerElement: 1) { return true }
    return false
  }

  private static func contains(_ array: ArrayRun, _ key: UInt128) -> Bool {
    for i in 0..<array.count where array.wide(i) == key && !array.isNull(i, wordsPerElement: 2) { return true }
    return false
  }
}

// MARK: - 64 rows

extension FilterPredicate {
  func masks(_ block: RowBlock, _ words: WordBinding?) -> TruthMasks {
    switch kind {
    case .isNull:
      let nulls = nullMask(block)
      return TruthMasks(isTrue: nulls, isFalse: ~nulls)
    case .range:
      let values = block.cells(cells, Int64.self, block.cellBuffer)
      let isTrue = isNever ? 0 : Self.mask { UInt64(bitPattern: values[$0] &- low) <= span }
      return masks(isTrue, rangeNulls(block, values))
    case .wideRange:
      let values = block.cells(cells, UInt128.self, block.cellBuffer)
      return masks(isNever ? 0 : Self.mask { values[$0] &- wideLow <= wideSpan }, nullMask(block))
    case .bool:
      let values = block.cells(cells, UInt8.self, block.byteBuffer)
      let isFalse = Self.mask(values, equal: 0)
      let isTrue = Self.mask(values, equal: 1)
      return masks((low & 1 == 1 ? isFalse : 0) | (low & 2 == 2 ? isTrue : 0), ~(isFalse | isTrue))
    case .set:
      let values = block.cells(cells, Int64.self, block.cellBuffer)
      return masks(Self.mask { set.contains(values[$0]) }, rangeNulls(block, values))
    case .wideSet:
      let values = block.cells(cells, UInt128.self, block.cellBuffer)
      return masks(Self.mask { wideSet.contains(values[$0]) }, nullMask(block))
    case .word, .wordSet:
      guard let words else { return TruthMasks(isTrue: 0, isFalse: 0) }
      let codes = block.cells(cells, UInt32.self, block.cellBuffer)
      let nulls = Self.mask(codes, equal: KeywordDictionary.noCode, block.byteBuffer)
      if kind == .word, words.codes[0] != KeywordDictionary.noCode {
        return masks(Self.mask(codes, equal: words.codes[0], block.byteBuffer), nulls)
      }
      return masks(words.mask(codes), nulls)
    case .arrayAll, .arrayAny, .arrayEqual:
      var result = TruthMasks(isTrue: 0, isFalse: 0)
      var left = block.active
      while left != 0 {
        let lane = UInt64(left.trailingZeroBitCount)
        left &= left &- 1
        let truth = truth(block.row(lane), words)
        result.isTrue |= (truth.isTrue ? 1 : 0) &<< lane
        result.isFalse |= (truth.isFalse ? 1 : 0) &<< lane
      }
      return result
    }
  }

  @inline(__always)
  private func masks(_ isTrue: UInt64, _ nulls: UInt64) -> TruthMasks {
    let isTrue = isTrue & ~nulls
    let rest = ~(isTrue | nulls)
    if isNegated { return TruthMasks(isTrue: hasNullInList ? 0 : rest, isFalse: isTrue) }
    return TruthMasks(isTrue: isTrue, isFalse: hasNullInList ? 0 : rest)
  }

  /// The NULLs of an integer column, whose values are at hand.
  @inline(__always)
  private func rangeNulls(_ block: RowBlock, _ values: UnsafePointer<Int64>) -> UInt64 {
    type == .float64 ? Self.mask { values[$0] == AttributeCells.nullFloat } : nullMask(block)
  }

  private func nullMask(_ block: RowBlock) -> UInt64 {
    if let nulls {
      return ~Self.mask(block.cells(UnsafeRawPointer(nulls), UInt8.self, block.byteBuffer), equal: 0)
    }
    switch type {
    case .bool:
      return Self.mask(block.cells(cells, UInt8.self, block.byteBuffer), equal: AttributeCells.nullBool)
    case .keyword:
      let codes = block.cells(cells, UInt32.self, block.cellBuffer)
      return Self.mask(codes, equal: KeywordDictionary.noCode, block.byteBuffer)
    default:
      // Both sentinels are 64 bits wide.
      let null = type == .float64 ? UInt64(bitPattern: AttributeCells.nullFloat) : ArrayCell.null
      let bits = block.cells(cells, UInt64.self, block.cellBuffer)
      return Self.mask { bits[$0] == null }
    }
  }

  /// A bit for each of 64 lanes. Four chains of sixteen, which a core runs side by side: 0.43 ns a lane, where one chain of 64 took
  /// 0.65 (of 64-bit numbers in range).
  @inline(__always)
  private static func mask(_ test: (Int) -> Bool) -> UInt64 {
    var (a, b, c, d): (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    for i in 0..<16 {
      a = a &<< 1 | (test(15 &- i) ? 1 : 0)
      b = b &<< 1 | (test(31 &- i) ? 1 : 0)
      c = c &<< 1 | (test(47 &- i) ? 1 : 0)
      d = d &<< 1 | (test(63 &- i) ? 1 : 0)
    }
    return a | b &<< 16 | c &<< 32 | d &<< 48
  }

  /// Which of 64 codes are `value`. The comparisons become vectors when they are stored as bytes: 0.20 ns a lane, not 0.39. A
  /// function of its own, because where it was inlined they did not.
  @inline(never)
  private static func mask(
    _ codes: UnsafePointer<UInt32>, equal value: UInt32, _ buffer: UnsafeMutableRawPointer
  ) -> UInt64 {
    let bytes = buffer.assumingMemoryBound(to: UInt8.self)
    for i in 0..<64 { bytes[i] = codes[i] == value ? 1 : 0 }
    return mask(UnsafePointer(bytes), equal: 1)
  }

  /// Which of 64 bytes are `value`.
  @inline(__always)
  private static func mask(_ bytes: UnsafePointer<UInt8>, equal value: UInt8) -> UInt64 {
    let words = UnsafeRawPointer(bytes)
    let pattern = UInt64(value) &* 0x0101_0101_0101_0101
    var mask: UInt64 = 0
    for i in 0..<8 {
      // Zero bytes of the difference; values are under 128, so nothing is carried over.
      let difference = words.loadUnaligned(fromByteOffset: 8 &* i, as: UInt64.self) ^ pattern
      let zeros = (0x8080_8080_8080_8080 &- difference) & 0x8080_8080_8080_8080 & ~difference
      // The eight high bits side by side.
      let packed = ((zeros &>> 7) &* 0x0102_0408_1020_4080) &>> 56
      mask |= packed &<< UInt64(truncatingIfNeeded: 8 &* i)
    }
    return mask
  }
}
