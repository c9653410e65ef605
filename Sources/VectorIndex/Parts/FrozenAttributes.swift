// Saving attributes: by slot, with the words that rows have and no others, so that nothing of a removed row is in what is saved.
//
// May use: AttributeStore, the store.

/// The attributes of the rows of one moment. Its parts can be read by any thread, any range.
struct FrozenAttributes: Sendable {
  private let attributes: AttributeStore
  private let bound: BoundRows
  private let columns: [Column]
  private var slots: Int { bound.rows.slots }

  /// The slots' attribute rows as they were. Nobody writes into them while the version is pinned.
  private struct BoundRows: Sendable {
    let rows: FrozenRows
    let bindings: SlotWords<UInt32>

    /// That of NULLs where the slot has none of the rows, even while a reader may still be on its own.
    @inline(__always)
    subscript(slot: Int) -> UInt32 { rows.contains(slot) ? bindings[slot] : AttributeStore.rowOfNulls }
  }

  /// What of a column does not lie by slot.
  private struct Column: Sendable {
    /// By the dictionary's code: the code that is saved.
    var codes: [UInt32] = []
    var wordLengths: [UInt16] = []
    var words: [UInt8] = []
    var elements: [UInt64] = []
  }

  /// - Complexity: O(slots × columns of text and arrays).
  init(_ attributes: AttributeStore, _ rows: FrozenRows, _ bindings: SlotWords<UInt32>) {
    self.attributes = attributes
    let bound = BoundRows(rows: rows, bindings: bindings)
    self.bound = bound
    columns = attributes.columns.map { Self.column($0, bound) }
  }

  private static func column(_ cells: AttributeCells, _ bound: BoundRows) -> Column {
    var column = Column()
    func rows(_ body: (UInt32) -> Void) {
      for slot in 0..<bound.rows.slots {
        let row = bound[slot]
        if !cells.isNull(row) { body(row) }
      }
    }
    func run(_ row: UInt32) -> (shape: ArrayCell, run: ArrayRun) {
      let shape = ArrayCell(bits: cells.cell(UInt64.self, row)[0])
      return (shape, ArrayRun(shape, words: cells.heapWords))
    }
    if let dictionary = cells.dictionary {
      var codes = [UInt32](repeating: KeywordDictionary.noCode, count: dictionary.count)
      rows { row in
        guard cells.column.type.isArray else {
          codes[Int(cells.cell(UInt32.self, row)[0])] = 0
          return
        }
        let array = run(row).run
        for i in 0..<array.count where array.code(i) != KeywordDictionary.noCode { codes[Int(array.code(i))] = 0 }
      }
      for code in codes.indices where codes[code] == 0 {
        codes[code] = UInt32(column.wordLengths.count)
        let word = dictionary.word(UInt32(code))
        column.wordLengths.append(UInt16(word.count))
        column.words.append(contentsOf: word)
      }
      column.codes = codes
    }
    guard cells.column.type.isArray else { return column }
    let element = cells.column.type.element
    rows { row in
      let (shape, array) = run(row)
      let words = UnsafeBufferPointer(start: array.words, count: shape.words(of: element))
      guard element == .keyword else {
        column.elements.append(contentsOf: words)
        return
      }
      for i in words.indices {
        let low = Self.saved(array.code(2 * i), column.codes)
        let high = 2 * i + 1 < array.count ? Self.saved(array.code(2 * i + 1), column.codes) : 0
        column.elements.append(UInt64(high) << 32 | UInt64(low))
      }
    }
    return column
  }

  private static func saved(_ code: UInt32, _ codes: [UInt32]) -> UInt32 {
    code == KeywordDictionary.noCode ? code : codes[Int(code)]
  }

  func byteCount(of part: AttributePart, _ column: Int) -> Int {
    switch part {
    case .cells: slots * attributes.columns[column].column.type.savedCellBytes
    case .nulls: slots
    case .wordLengths: columns[column].wordLengths.count * 2
    case .words: columns[column].words.count
    case .elements: columns[column].elements.count * 8
    }
  }

  /// Copies the bytes `range` of a part.
  /// - Precondition: the range lies within the part, and the destination is as long as it.
  func read(_ part: AttributePart, _ column: Int, _ range: Range<Int>, into destination: UnsafeMutableRawBufferPointer)
  {
    func copy<T>(_ values: [T]) {
      values.withUnsafeBytes { destination.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[range])) }
    }
    switch part {
    case .cells: readCells(column, range, into: destination)
    case .nulls:
      guard let nulls = attributes.columns[column].nulls else { preconditionFailure("the column has bytes for NULL") }
      for (i, slot) in range.enumerated() { destination[i] = nulls[Int(bound[slot])] }
    case .wordLengths: copy(columns[column].wordLengths)
    case .words: copy(columns[column].words)
    case .elements: copy(columns[column].elements)
    }
  }

  private func readCells(_ column: Int, _ range: Range<Int>, into destination: UnsafeMutableRawBufferPointer) {
    let cellBytes = attributes.columns[column].column.type.savedCellBytes
    let first = range.lowerBound / cellBytes
    let whole = first..<((range.upperBound + cellBytes - 1) / cellBytes)
    if whole.lowerBound * cellBytes == range.lowerBound, whole.upperBound * cellBytes == range.upperBound {
      return copyCells(column, whole, into: destination)
    }
    // A range that cuts a cell.
    withUnsafeTemporaryAllocation(byteCount: whole.count * cellBytes, alignment: 16) { cells in
      copyCells(column, whole, into: cells)
      let offset = range.lowerBound - first * cellBytes
      destination.copyMemory(from: UnsafeRawBufferPointer(rebasing: cells[offset..<(offset + range.count)]))
    }
  }

  private func copyCells(_ number: Int, _ slots: Range<Int>, into target: UnsafeMutableRawBufferPointer) {
    let cells = attributes.columns[number]
    func copy<T: BitwiseCopyable>(_ type: T.Type) {
      for (i, slot) in slots.enumerated() {
        target.storeBytes(of: cells.cell(type, bound[slot])[0], toByteOffset: i * MemoryLayout<T>.stride, as: type)
      }
    }
    switch cells.column.type {
    case .bool: copy(UInt8.self)
    case .int64, .float64, .timestamp: copy(Int64.self)
    case .uuid: copy(UInt128.self)
    case .keyword:
      let codes = columns[number].codes
      for (i, slot) in slots.enumerated() {
        let code = Self.saved(cells.cell(UInt32.self, bound[slot])[0], codes)
        target.storeBytes(of: code, toByteOffset: i * 4, as: UInt32.self)
      }
    case .int64Array, .uuidArray, .keywordArray:
      for (i, slot) in slots.enumerated() {
        let array = ArrayCell(bits: cells.cell(UInt64.self, bound[slot])[0])
        let saved = array.bits == ArrayCell.null ? UInt32.max : UInt32(array.count) | (array.hasNulls ? 1 << 16 : 0)
        target.storeBytes(of: saved, toByteOffset: i * 4, as: UInt32.self)
      }
    }
  }
}
