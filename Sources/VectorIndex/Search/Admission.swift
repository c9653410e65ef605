// Which of the nodes that a walk meets may be results. The others are ways only.
//
// A walk is compiled for each kind, and asks only about nodes that are near enough: so one without a filter knows nothing of
// filters.
//
// May use: VectorStore's lifetimes, SlotMask.

/// What decides whether a node is a result, and when a walk among those that are none is given up.
protocol Admission {
  func admits(_ slot: UInt32) -> Bool

  /// Asked once a hop.
  /// - refused: nodes so far that were near enough and not admitted.
  /// - distances: what the search has computed so far.
  func isExhausted(refused: Int, distances: Int) -> Bool
}

/// The rows that can be seen at a version; all nodes where there is none.
struct VisibleRows: Admission {
  let store: VectorStore
  let version: UInt64?

  /// How many hidden nodes a walk takes into its frontier before it is given up. Measured where a region of 16 dimensions was
  /// emptied: at 5,000 a walk takes 1 ms, at 20,000 6 ms, where a scan of all 360,000 rows takes 2.
  private static let hiddenMax = 4_096

  @inline(__always)
  func admits(_ slot: UInt32) -> Bool {
    guard let version else { return true }
    return store.isVisible(slot, at: version)
  }

  @inline(__always)
  func isExhausted(refused: Int, distances: Int) -> Bool { refused >= Self.hiddenMax }
}

/// The rows of a match set: they can be seen, or they would not be in it.
struct MatchingRows: Admission {
  let mask: SlotMask
  /// What a scan of these rows costs: a walk that costs more was the wrong plan.
  let distancesMax: Int

  @inline(__always)
  func admits(_ slot: UInt32) -> Bool { mask.contains(slot) }

  @inline(__always)
  func isExhausted(refused: Int, distances: Int) -> Bool { distances > distancesMax }
}
