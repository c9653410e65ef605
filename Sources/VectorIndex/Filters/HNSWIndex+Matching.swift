// Which rows a filter is TRUE of: by the postings of a rare value, or by a pass over the columns.
//
// May use: FilterProgram, FilterScratch, AttributeStore, VectorStore.

extension HNSWIndex {
  /// Checks a filter and makes it ready to run on this index.
  ///
  /// - Throws: `unknownAttribute`, `filterTypeMismatch`, `orderRefused`, `invalidFilter`.
  public func compile(_ filter: Filter) throws(IndexError) -> FilterProgram {
    guard let attributes else {
      return try FilterProgram(filter, store: emptyAttributes())
    }
    return try FilterProgram(filter, store: attributes)
  }

  private func emptyAttributes() throws(IndexError) -> AttributeStore {
    let slots = SlotMemory(slotsMax: 1, budget: store.memory.budget)
    return try AttributeStore(schema: .empty, slots: slots, pins: store.pins)
  }

  /// A candidate costs about as much as a pass over so many slots: rows here and there, each with its cache misses, against rows in
  /// a row. 16 to 135 ns against 0.35 to 4 were measured on a million rows (docs/decisions/0013-attributes.md).
  private static let candidateCost = 64

  /// The rows that can be seen at `version` and of which the filter is TRUE.
  ///
  /// A row whose attributes are being updated is seen with all of the old ones or all of the new.
  ///
  /// - version: pinned by the caller, for as long as the result is used.
  /// - scratch: this thread's. Once warmed, a program that runs again allocates nothing.
  /// - Complexity: O(candidates) where the filter asks for values that few rows have; else O(slots), and for each condition on
  ///   text other than = and IN, O(words) once a program.
  package func matching(
    _ program: FilterProgram, version: UInt64, into scratch: inout FilterScratch
  ) -> MatchSet {
    matching(program, version: version, candidateCost: Self.candidateCost, into: &scratch)
  }

  /// - candidateCost: how many slots of a pass a candidate costs; 0 = postings wherever there are some.
  func matching(
    _ program: FilterProgram, version: UInt64, candidateCost: Int, into scratch: inout FilterScratch
  ) -> MatchSet {
    let used = store.slotsUsed.load(ordering: .acquiring)
    scratch.bind(program)
    guard let attributes else { return constantMatches(program, used: used, version: version, &scratch) }
    precondition(program.store === attributes, "a program belongs to the index that it was compiled for")
    let candidates = program.candidates.count(scratch.words)
    if candidates <= (candidateCost == 0 ? Int.max - 1 : used / candidateCost) {
      return matchCandidates(program, attributes, version: version, &scratch)
    }
    return matchAll(program, attributes, used: used, version: version, &scratch)
  }

  /// Whether the filter is TRUE of the row of a slot.
  /// - scratch: to which the program was bound at this search's version, by ``matching(_:version:into:)`` or `bind`.
  @inline(__always)
  func matches(_ program: FilterProgram, slot: UInt32, _ scratch: borrowing FilterScratch) -> Bool {
    program.matches(row: attributes?.row(of: slot) ?? AttributeStore.rowOfNulls, scratch.words)
  }

  private func matchCandidates(
    _ program: FilterProgram, _ attributes: AttributeStore, version: UInt64, _ scratch: inout FilterScratch
  ) -> MatchSet {
    scratch.candidates.count = 0
    program.candidates.collect(scratch.words, into: &scratch.candidates)
    scratch.candidates.sort()
    let slots = scratch.candidates.slots
    var count = 0
    var last = UInt32.max
    for i in 0..<scratch.candidates.count {
      let slot = slots[i]
      // A value that a row had, lost and got again is in a list twice.
      if slot == last { continue }
      last = slot
      guard store.isVisible(slot, at: version), program.matches(row: attributes.row(of: slot), scratch.words) else {
        continue
      }
      slots[count] = slot
      count += 1
    }
    return MatchSet(count: count, form: .slots(UnsafeBufferPointer(start: slots, count: count)))
  }

  private func matchAll(
    _ program: FilterProgram, _ attributes: AttributeStore, used: Int, version: UInt64, _ scratch: inout FilterScratch
  ) -> MatchSet {
    let words = (used + 63) / 64
    scratch.reserveMask(words: words)
    var count = 0
    for word in 0..<words {
      let first = UInt32(word * 64)
      var active = word == words - 1 && used % 64 != 0 ? (1 << UInt64(used % 64)) - 1 : UInt64.max
      // Cells of rows that nobody may see can be changing; what is read of them is taken away below, and only what they point
      // at must not be followed.
      if program.followsHeap { active = visible(active, first: first, version: version, attributes.blocks) }
      var matching: UInt64 = 0
      if active != 0 {
        let firstRow = attributes.firstRow(ofBlock: word)
        if firstRow == 0 {
          // Bindings are committed to whole pages, so to whole blocks.
          let bindings = attributes.bindings + Int(first)
          for i in 0..<64 { scratch.rows[i] = bindings[i].load(ordering: .acquiring) }
        }
        let block = RowBlock(
          rows: scratch.rows, firstRow: firstRow, active: active,
          cellBuffer: scratch.cellBuffer, byteBuffer: scratch.byteBuffer)
        matching = program.matches(block, scratch.words, stack: scratch.stack)
        if !program.followsHeap { matching = visible(matching, first: first, version: version, attributes.blocks) }
      }
      scratch.mask[word] = matching
      count += matching.nonzeroBitCount
    }
    return MatchSet(count: count, form: .mask(SlotMask(words: scratch.mask, slots: used)))
  }

  /// For an index without attributes: TRUE, FALSE and what is made of them.
  private func constantMatches(
    _ program: FilterProgram, used: Int, version: UInt64, _ scratch: inout FilterScratch
  ) -> MatchSet {
    let isTrue = program.matches(row: AttributeStore.rowOfNulls, scratch.words)
    let words = (used + 63) / 64
    scratch.reserveMask(words: words)
    var count = 0
    for word in 0..<words {
      let active = word == words - 1 && used % 64 != 0 ? (1 << UInt64(used % 64)) - 1 : UInt64.max
      scratch.mask[word] = isTrue ? visible(active, first: UInt32(word * 64), version: version, nil) : 0
      count += scratch.mask[word].nonzeroBitCount
    }
    return MatchSet(count: count, form: .mask(SlotMask(words: scratch.mask, slots: used)))
  }

  /// Those of some slots of a block that can be seen at `version`.
  @inline(__always)
  private func visible(_ mask: UInt64, first: UInt32, version: UInt64, _ blocks: BlockNotes?) -> UInt64 {
    if let blocks, blocks.isWhole(Int(first) / BlockNotes.slots, at: version) { return mask }
    var result: UInt64 = 0
    var left = mask
    while left != 0 {
      let lane = UInt32(truncatingIfNeeded: left.trailingZeroBitCount)
      left &= left &- 1
      result |= (store.isVisible(first &+ lane, at: version) ? 1 : 0) &<< UInt64(lane)
    }
    return result
  }
}
