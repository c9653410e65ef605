// Loading attributes: whoever wrote the parts is not trusted, so every cell, word and element is checked before it is followed.
//
// May use: AttributeStore, IndexRestorer.

import Synchronization

extension HNSWIndex {
  /// Checks the lengths that follow from the number of slots.
  func expectAttributes(slots: Int, _ byteCount: (IndexPart) -> Int) throws(IndexError) {
    for (number, column) in configuration.attributes.columns.enumerated() {
      try expect(.attribute(.cells, column: number), byteCount, slots * column.type.savedCellBytes)
      if column.type.hasNullBytes { try expect(.attribute(.nulls, column: number), byteCount, slots) }
    }
  }

  /// Reads, checks and binds the attributes of all slots, and makes the lists that find rows by value.
  /// - layers: by slot; 0 = the slot is free.
  func restoreAttributes(
    _ layers: [UInt8], threads: Int, _ byteCount: (IndexPart) -> Int,
    _ load: (IndexPart, UnsafeMutableRawBufferPointer) throws -> Void
  ) throws {
    guard let attributes else { return }
    let isLive = layers.map { $0 > 0 }
    try attributes.restoreRows(isLive.count)
    var loaded: [LoadedAttribute] = []
    for number in attributes.columns.indices {
      loaded.append(try loadAttribute(number, attributes.columns[number], slots: isLive.count, byteCount, load))
    }
    let failure = Shared<(column: Int, error: IndexError)?>(nil)
    WorkerThreads.distribute(loaded.count, threads: threads) { [loaded] number in
      do throws(IndexError) {
        if let fault = try loaded[number].restore(into: attributes, isLive) {
          throw self.contradiction(fault)
        }
        try attributes.restorePostings(of: loaded[number].cells, isLive)
      } catch {
        failure.withLock { first in
          if number < first?.column ?? .max { first = (number, error) }
        }
      }
    }
    if let failure = failure.withLock({ $0 }) {
      let name = configuration.attributes.columns[failure.column].name
      throw IndexError(failure.error.code, "the attribute \"\(name)\": \(failure.error.message)")
    }
    attributes.bindRestored(isLive)
  }

  private func loadAttribute(
    _ number: Int, _ cells: AttributeCells, slots: Int, _ byteCount: (IndexPart) -> Int,
    _ load: (IndexPart, UnsafeMutableRawBufferPointer) throws -> Void
  ) throws -> LoadedAttribute {
    func part(_ part: AttributePart) -> IndexPart { .attribute(part, column: number) }
    func array<T: BitwiseCopyable>(_ kind: AttributePart, count: Int, of zero: T) throws -> [T] {
      try expect(part(kind), byteCount, count * MemoryLayout<T>.stride)
      var values = [T](repeating: zero, count: count)
      try values.withUnsafeMutableBytes { try load(part(kind), $0) }
      return values
    }
    var loaded = LoadedAttribute(cells: cells)
    let type = cells.column.type
    // Row n + 1 is slot n's.
    if type.isArray {
      loaded.arrays = try array(.cells, count: slots, of: 0)
    } else {
      let start = cells.base + type.cellBytes
      try load(part(.cells), UnsafeMutableRawBufferPointer(start: start, count: slots * type.cellBytes))
    }
    if let nulls = cells.nulls { try load(part(.nulls), UnsafeMutableRawBufferPointer(start: nulls + 1, count: slots)) }
    if type.element == .keyword {
      let bytes = byteCount(part(.wordLengths))
      guard bytes >= 0, bytes % 2 == 0, bytes / 2 <= KeywordDictionary.codesMax else {
        throw contradiction("the part \"\(part(.wordLengths).name)\" has \(bytes) bytes")
      }
      loaded.wordLengths = try array(.wordLengths, count: bytes / 2, of: 0)
      loaded.words = try array(.words, count: loaded.wordLengths.reduce(0) { $0 + Int($1) }, of: 0)
    }
    if type.isArray {
      let count = loaded.arrays.reduce(0) { $0 + (LoadedAttribute.shape($1)?.words(of: type.element) ?? 0) }
      loaded.elements = try array(.elements, count: count, of: 0)
    }
    return loaded
  }
}

/// The parts of one attribute, on their way into its column.
private struct LoadedAttribute: Sendable {
  let cells: AttributeCells
  var arrays: [UInt32] = []
  var wordLengths: [UInt16] = []
  var words: [UInt8] = []
  var elements: [UInt64] = []

  /// What an array's cell says of its elements; nil = NULL.
  static func shape(_ saved: UInt32) -> ArrayCell? {
    saved == .max ? nil : ArrayCell(first: 0, count: Int(saved & 0xFFFF), hasNulls: saved & 1 << 16 != 0)
  }

  /// Checks what was loaded, and puts the arrays in their places.
  /// - Returns: what is wrong with it; nil when nothing is.
  func restore(into attributes: AttributeStore, _ isLive: [Bool]) throws(IndexError) -> String? {
    if let dictionary = cells.dictionary {
      guard try attributes.restoreWords(of: dictionary, lengths: wordLengths, words) else {
        return "a word stands twice, or is no UTF-8"
      }
    }
    var next = 0
    for (slot, isLive) in isLive.enumerated() {
      let row = UInt32(slot) + 1
      let isSound = cells.column.type.isArray ? try placeArray(arrays[slot], row, &next) : isSound(row)
      guard isSound else { return "the value of slot \(slot) is none that it can have" }
      guard isLive || cells.isNull(row) else { return "the slot \(slot) is free and has a value" }
    }
    return nil
  }

  private func isSound(_ row: UInt32) -> Bool {
    if let nulls = cells.nulls, nulls[Int(row)] != 0 {
      let isZero =
        cells.column.type == .uuid ? cells.cell(UInt128.self, row)[0] == 0 : cells.cell(Int64.self, row)[0] == 0
      return nulls[Int(row)] == 1 && isZero
    }
    switch cells.column.type {
    case .bool: return cells.cell(UInt8.self, row)[0] <= AttributeCells.nullBool
    case .timestamp: return TimestampText.isValid(cells.cell(Int64.self, row)[0])
    case .float64:
      // One pattern a number: no second zero, no second NaN.
      let bits = cells.cell(Int64.self, row)[0]
      return bits == AttributeCells.nullFloat || Double(orderedBits: bits).orderedBits == bits
    case .keyword:
      let code = cells.cell(UInt32.self, row)[0]
      return code == KeywordDictionary.noCode || code < wordLengths.count
    default: return true
    }
  }

  /// Copies an array's elements into a run of their own.
  /// - Returns: false when they are none that an array can have; the cell is NULL then.
  private func placeArray(_ saved: UInt32, _ row: UInt32, _ next: inout Int) throws(IndexError) -> Bool {
    cells.cell(UInt64.self, row)[0] = ArrayCell.null
    guard let shape = Self.shape(saved) else { return true }
    let element = cells.column.type.element
    let words = elements[next..<(next + shape.words(of: element))]
    next = words.endIndex
    guard saved >> 17 == 0, hasSoundElements(words, shape, element) else { return false }
    let first = try cells.heap.take(words.count)
    for (i, word) in words.enumerated() { (cells.heapWords + first)[i] = word }
    cells.cell(UInt64.self, row)[0] =
      ArrayCell(first: first, count: shape.count, hasNulls: shape.hasNulls).bits
    return true
  }

  private func hasSoundElements(_ words: ArraySlice<UInt64>, _ shape: ArrayCell, _ element: AttributeType) -> Bool {
    let start = words.startIndex
    var nullCount = 0
    if element == .keyword {
      for i in 0..<shape.count {
        let code = UInt32(truncatingIfNeeded: words[start + i / 2] >> UInt64(32 * (i % 2)))
        if code == KeywordDictionary.noCode { nullCount += 1 } else if code >= wordLengths.count { return false }
      }
      guard shape.count % 2 == 0 || words[start + shape.count / 2] >> 32 == 0 else { return false }
      return (nullCount > 0) == shape.hasNulls
    }
    guard shape.hasNulls else { return true }
    let perElement = element == .uuid ? 2 : 1
    let bits = start + perElement * shape.count
    for i in 0..<shape.count where words[bits + i / 64] >> UInt64(i % 64) & 1 == 1 {
      nullCount += 1
      for word in 0..<perElement where words[start + perElement * i + word] != 0 { return false }
    }
    // No bit beyond the last element's.
    return nullCount > 0 && nullCount == words[bits...].reduce(0) { $0 + $1.nonzeroBitCount }
  }
}
