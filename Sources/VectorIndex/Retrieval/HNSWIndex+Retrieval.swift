// Retrieving: a search, and what becomes of what it finds. A retrieval with no options is a search and nothing else.
//
// May use: Retrieval, the search it begins with.

extension HNSWIndex {
  /// Finds rows near `query`: within a distance, from some place on, by group, or as various as they are near.
  ///
  /// All of it sees the rows of one version. Without a bound, an offset, a grouping and a diversity this is
  /// ``search(_:_:matching:scratch:_:)``, which allocates nothing; what those take is kept in the scratch for the next retrieval.
  ///
  /// - query, program, scratch, body: as there.
  /// - Throws: as there, and `invalidRetrieval`, `unknownAttribute`.
  /// - Complexity: with a bound or an offset, that of a search for `k + offset` rows. With a diversity, of a search for the candidates,
  ///   and `(k + offset) × candidates` distances. With a grouping, usually that of a search for twice the results, and at most about 2⅓
  ///   times that of scoring all rows that match, or where filtered walks are given up, twice that (docs/RETRIEVAL.md).
  public func retrieve<R>(
    _ query: UnsafeBufferPointer<Float>, _ options: RetrievalOptions, matching program: FilterProgram? = nil,
    scratch: inout SearchScratch, _ body: (RetrievalHits) -> R
  ) throws(IndexError) -> R {
    if options.isPlain {
      return try search(query, options.search, matching: program, scratch: &scratch) {
        body(RetrievalHits($0, k: options.search.k))
      }
    }
    try options.validate(against: configuration.attributes)
    let inverseLength = try checked(query)
    precondition(scratch.pins === store.pins, "a scratch belongs to the index that it was made for")
    let version = store.pins.enter(scratch.pin)
    defer { store.pins.leave(scratch.pin) }
    scratch.take(query, inverseLength: inverseLength, store)
    var retrieval = Retrieval(self, options, matching: program, excluding: .none, version: version)
    return retrieval.run(&scratch, body)
  }

  /// Finds rows near the row called `id`, that row itself left out unless asked for.
  ///
  /// - Returns: what `body` returns; nil when there is no such row.
  /// - Throws: as ``search(near:_:matching:scratch:_:)``, and `invalidRetrieval`, `unknownAttribute`.
  public func retrieve<R>(
    near id: RecordID, _ options: RetrievalOptions, matching program: FilterProgram? = nil,
    scratch: inout SearchScratch, _ body: (RetrievalHits) -> R
  ) throws(IndexError) -> R? {
    if options.isPlain {
      return try search(near: id, options.search, matching: program, scratch: &scratch) {
        body(RetrievalHits($0, k: options.search.k))
      }
    }
    try options.validate(against: configuration.attributes)
    try check(id)
    precondition(scratch.pins === store.pins, "a scratch belongs to the index that it was made for")
    let version = store.pins.enter(scratch.pin)
    defer { store.pins.leave(scratch.pin) }
    guard let slot = store.table.slot(of: id), !store.isStaged(slot), maySearchFrom(slot, program) else { return nil }
    store.fine.decode(slot, into: scratch.vector)
    scratch.prepareQueries(inverseLength: store.metric == .cosine ? store.inverseLength(slot) : 1, store)
    var excluded = ExcludedRows.none
    if !options.search.includesSelf {
      excluded.insert(slot, id, isVisible: store.isVisible(slot, at: version))
    }
    var retrieval = Retrieval(self, options, matching: program, excluding: excluded, version: version)
    return retrieval.run(&scratch, body)
  }

  /// Finds rows that are like some and unlike others: those near the mean of the one kind, moved away from the mean of the other
  /// (Examples.swift). The rows named are left out unless asked for.
  ///
  /// - positives: 1 to 1,000 with the negatives; one that is named twice counts twice.
  /// - Throws: as ``retrieve(_:_:matching:scratch:_:)``, and `unknownRecord`, naming the first that is not there, `recordIDMismatch`,
  ///   `zeroVector` where the examples cancel each other out.
  /// - Complexity: as there, and O(examples × dimension).
  public func retrieve<R>(
    like positives: [RecordID], unlike negatives: [RecordID] = [], _ options: RetrievalOptions,
    matching program: FilterProgram? = nil, scratch: inout SearchScratch, _ body: (RetrievalHits) -> R
  ) throws(IndexError) -> R {
    try options.validate(against: configuration.attributes)
    try checkExamples(positives, negatives)
    precondition(scratch.pins === store.pins, "a scratch belongs to the index that it was made for")
    let version = store.pins.enter(scratch.pin)
    defer { store.pins.leave(scratch.pin) }
    let examples = Examples(
      positives: try slots(of: positives, program), negatives: try slots(of: negatives, program), store: store)
    try examples.prepareQuery(&scratch)
    var excluded = ExcludedRows.none
    if !options.search.includesSelf {
      for (slot, id) in zip(examples.positives + examples.negatives, positives + negatives) {
        excluded.insert(slot, id, isVisible: store.isVisible(slot, at: version))
      }
    }
    var retrieval = Retrieval(self, options, matching: program, excluding: excluded, version: version)
    return retrieval.run(&scratch, body)
  }
}

extension Retrieval {
  /// Retrieves and answers.
  mutating func run<R>(_ scratch: inout SearchScratch, _ body: (RetrievalHits) -> R) -> R {
    let room = scratch.retrievalScratch(store)
    if let grouping = options.grouping {
      let groups = group(by: grouping, &scratch, room)
      return answer(groups, room, body)
    }
    if let diversity = options.diversity {
      takeNearest(options.candidates(of: diversity), &scratch, room)
      choose(options.wanted, diversity, room)
    } else {
      takeNearest(options.wanted, &scratch, room)
    }
    room.skip(options.offset)
    return answer(room.slots.count, room, body)
  }
}
