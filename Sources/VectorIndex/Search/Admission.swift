// Which of the nodes that a walk meets may be results, and how far a walk goes for them. The others are ways only.
//
// A walk is compiled for each kind, and asks only about nodes that are near enough: so one without a filter knows nothing of
// filters.
//
// May use: VectorStore's lifetimes, SlotMask, FilteredReach, SearchScratch.

/// What decides whether a node is a result, and when a walk among those that are none is given up.
protocol Admission {
  func admits(_ slot: UInt32) -> Bool

  /// Whether every node may be a result, so that nobody has to ask.
  var admitsAll: Bool { get }

  /// Told of each node that was near enough and not admitted.
  func note(refused candidate: UInt64, _ scratch: inout SearchScratch)

  /// Whether the walk expands the nearest candidate that is left, which is below the rule's bound.
  func expands(_ candidate: UInt64, _ rule: StopRule, _ scratch: inout SearchScratch) -> Bool

  /// Asked once a hop.
  /// - refused: nodes so far that were near enough and not admitted.
  /// - found: results so far, up to as many as are kept.
  /// - distances: what the search has computed so far.
  func isExhausted(refused: Int, found: Int, distances: Int) -> Bool
}

/// The rows that can be seen at a version; all nodes where there is none.
struct VisibleRows: Admission {
  let store: VectorStore
  let version: UInt64?

  /// How many hidden nodes a walk takes into its frontier before it is given up. Measured where a region of 16 dimensions was
  /// emptied: at 5,000 a walk takes 1 ms, at 20,000 6 ms, where a scan of all 360,000 rows takes 2.
  private static let hiddenMax = 4_096

  @inline(__always)
  var admitsAll: Bool { version == nil }

  @inline(__always)
  func admits(_ slot: UInt32) -> Bool {
    guard let version else { return true }
    return store.isVisible(slot, at: version)
  }

  @inline(__always)
  func note(refused candidate: UInt64, _ scratch: inout SearchScratch) {}

  @inline(__always)
  func expands(_ candidate: UInt64, _ rule: StopRule, _ scratch: inout SearchScratch) -> Bool { true }

  @inline(__always)
  func isExhausted(refused: Int, found: Int, distances: Int) -> Bool { refused >= Self.hiddenMax }
}

/// The rows of a match set: they can be seen, or they would not be in it.
struct MatchingRows: Admission {
  let mask: SlotMask
  /// Rows that must be found.
  let wanted: Int
  /// What is reckoned that they take, with room: a walk that has met fewer by then has met a filter that is against the query.
  let distancesUsual: Int
  /// What a scan of these rows costs: a walk that costs more was the wrong plan.
  let distancesMax: Int
  /// How far the walk goes by what it has met; nil where it was told how far (an ef).
  let reach: FilteredReach?

  @inline(__always)
  var admitsAll: Bool { false }

  @inline(__always)
  func admits(_ slot: UInt32) -> Bool { mask.contains(slot) }

  @inline(__always)
  func note(refused candidate: UInt64, _ scratch: inout SearchScratch) { scratch.refused.append(candidate) }

  @inline(__always)
  func expands(_ candidate: UInt64, _ rule: StopRule, _ scratch: inout SearchScratch) -> Bool {
    guard let reach else { return true }
    return reach.expands(candidate, rule, &scratch)
  }

  @inline(__always)
  func isExhausted(refused: Int, found: Int, distances: Int) -> Bool {
    distances > distancesUsual && (found < wanted || distances > distancesMax)
  }
}
