// Results by group: as many groups as are asked for wherever there are as many, also where nearly all near rows are of one.
//
//     1. Search for twice the rows that are wanted, then for four times as many, and so on, until there are enough groups.
//     2. Groups that have too few rows by then are filled from a scan of the rows that have their values.
//     3. Where searching on would cost more than that, all rows that match are scored instead, and grouped.
//
// So what is answered is what grouping all rows in order of distance would give, as far as the search finds the nearest of each group;
// and exactly that where step 3 was taken.
//
// The cost, in distances, for m rows that match: searches end when the next one would take m, and each takes a quarter of the next, so all
// of them take about 4/3 m at most, and what comes after them m. A filter is evaluated anew for each, at most six times.
//
// A group is the value that its row had when it was looked at, once each time: an update beside the retrieval is seen or not, and no row
// stands in two groups.
//
// May use: Retrieval, GroupCollector, MatchSet, AttributeStore.

extension Retrieval {
  /// Finds the groups and writes the answer.
  /// - Returns: how many groups there are beyond those skipped.
  mutating func group(by grouping: Grouping, _ scratch: inout SearchScratch, _ room: RetrievalScratch) -> Int {
    guard let attributes = index.attributes, let place = attributes.schema.index(of: grouping.attribute) else {
      preconditionFailure("the options were validated against the schema")
    }
    let cells = attributes.columns[place]
    if !searchForGroups(grouping, attributes, cells, &scratch, room),
      !fillGroups(grouping, attributes, cells, &scratch, room)
    {
      groupAll(grouping, attributes, cells, &scratch, room)
    }
    return writeGroups(room)
  }

  // MARK: By searching

  /// Searches until there are groups enough, or it does not pay to go on.
  /// - Returns: whether the collector has all that is to be found.
  private mutating func searchForGroups(
    _ grouping: Grouping, _ attributes: AttributeStore, _ cells: AttributeCells, _ scratch: inout SearchScratch,
    _ room: RetrievalScratch
  ) -> Bool {
    room.collector.reset(groupsMax: options.wanted, perGroup: grouping.perGroup)
    if options.search.exact { return false }
    var count = 2 * options.wanted * grouping.perGroup
    var rows = index.count
    // About what a walk takes for so many results, against a scan.
    while count <= HNSWConfiguration.resultsMax, count * index.configuration.connectivity < rows {
      let isLast = search(count, &scratch)
      if let receipt = receipt.filter { rows = receipt.matchingRows }
      room.collector.reset(groupsMax: options.wanted, perGroup: grouping.perGroup)
      for i in 0..<scratch.hitCount {
        let slot = scratch.hitSlots[i]
        if isExcluded(slot) { continue }
        if isBeyond(scratch.hitDistances[i]) {
          isCut = true
          return true
        }
        room.collector.offer(
          Candidate.pack(scratch.hitDistances[i], slot), key: cells.groupKey(attributes.row(of: slot)))
        if room.collector.isComplete { return true }
      }
      if isLast { return true }
      if room.collector.hasAllGroups { return false }
      count *= 4
    }
    return false
  }

  /// Fills the groups that have too few rows with the nearest of those that have their values.
  /// - Returns: false where there are no groups enough to fill, or no filter for their rows can be made.
  private mutating func fillGroups(
    _ grouping: Grouping, _ attributes: AttributeStore, _ cells: AttributeCells, _ scratch: inout SearchScratch,
    _ room: RetrievalScratch
  ) -> Bool {
    guard room.collector.hasAllGroups else { return false }
    let ofGroups = Filter.isIn(grouping.attribute, room.collector.openKeys.map { cells.value(ofGroup: $0) })
    // A filter that is nearly as large as filters may be has no room for this one beside it.
    guard let filter = try? index.compile(program.map { .and([$0.filter, ofGroups]) } ?? ofGroups) else { return false }
    let matches = scratch.matches(filter, in: index, version: version)
    scan(matches, &scratch, room)
    let taken = Set(room.collector.rows.map { Candidate.slot($0.candidate) })
    let others = room.candidates.filter { candidate in
      !taken.contains(Candidate.slot(candidate)) && !isExcluded(Candidate.slot(candidate))
    }
    room.collector.fill(
      with: others.map { (candidate: $0, key: cells.groupKey(attributes.row(of: Candidate.slot($0)))) })
    return true
  }

  // MARK: By scoring all

  /// Scores all rows that match, and groups them.
  private mutating func groupAll(
    _ grouping: Grouping, _ attributes: AttributeStore, _ cells: AttributeCells, _ scratch: inout SearchScratch,
    _ room: RetrievalScratch
  ) {
    isCut = false
    if let program {
      let matches = scratch.matches(program, in: index, version: version)
      scan(matches, &scratch, room)
      noteScan(matching: matches.count)
    } else {
      scan(nil, &scratch, room)
      noteScan(matching: nil)
    }
    room.collector.reset(groupsMax: options.wanted, perGroup: grouping.perGroup)
    for candidate in room.candidates {
      let slot = Candidate.slot(candidate)
      if isExcluded(slot) { continue }
      room.collector.offer(candidate, key: cells.groupKey(attributes.row(of: slot)))
      if room.collector.isComplete { return }
    }
  }

  /// Scores rows as answers are, and leaves those that are near enough in `candidates`, ascending.
  ///
  /// - matches: nil = all rows that can be seen.
  /// - Complexity: a distance a row, O(n log n) steps for the n that are near enough, and 8 bytes for each of them.
  private mutating func scan(_ matches: MatchSet?, _ scratch: inout SearchScratch, _ room: RetrievalScratch) {
    room.candidates.removeAll(keepingCapacity: true)
    var count = 0
    switch matches?.form {
    case .slots(let slots): for slot in slots { take(slot, &count, scratch, room) }
    case .mask(let mask):
      for word in 0..<((mask.slots + 63) / 64) {
        var left = mask.words[word]
        while left != 0 {
          take(UInt32(word * 64 + left.trailingZeroBitCount), &count, scratch, room)
          left &= left - 1
        }
      }
    case nil:
      for slot in 0..<UInt32(store.slotsUsed.load(ordering: .acquiring)) where store.isVisible(slot, at: version) {
        take(slot, &count, scratch, room)
      }
    }
    score(count, scratch, room)
    room.candidates.sort()
  }

  /// Puts a row into the batch, which is scored when it is full.
  @inline(__always)
  private mutating func take(
    _ slot: UInt32, _ count: inout Int, _ scratch: borrowing SearchScratch, _ room: RetrievalScratch
  ) {
    store.answering.prefetch(slot)
    // In bounds: a full batch is emptied at once.
    scratch.batchSlots[count] = slot
    count += 1
    guard count == SearchScratch.batchMax else { return }
    score(count, scratch, room)
    count = 0
  }

  private mutating func score(_ count: Int, _ scratch: borrowing SearchScratch, _ room: RetrievalScratch) {
    store.answering.score(
      scratch.answerQuery, slots: scratch.batchSlots, count: count, into: scratch.batchDistances)
    noteDistances(count)
    for i in 0..<count {
      let slot = scratch.batchSlots[i]
      if !isBeyond(scratch.batchDistances[i]) {
        room.candidates.append(Candidate.pack(scratch.batchDistances[i], slot))
      } else if !isCut, !isExcluded(slot) {
        isCut = true
      }
    }
  }

  // MARK: Answering

  private func writeGroups(_ room: RetrievalScratch) -> Int {
    room.reset()
    var count = 0
    for row in room.collector.grouped() where row.group >= options.offset {
      room.append(Candidate.slot(row.candidate), Candidate.distance(row.candidate))
      room.groups.append(UInt32(row.group - options.offset))
      count = row.group - options.offset + 1
    }
    return count
  }
}
