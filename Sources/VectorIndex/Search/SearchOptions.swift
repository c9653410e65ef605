// What a search is asked, and what it answers.
//
// May use: the store, for the ids of the results.

/// How to search.
public struct SearchOptions: Hashable, Sendable {
  /// Results wanted, 1...10,000. More than there are rows is no error: all rows come back.
  public var k: Int
  /// The share of the `k` nearest that is to be found, on average over queries, from 0.80 to 0.999; nil = the index's own. How
  /// well it is met depends on the index's calibration (``HNSWIndex/calibrate(queries:threads:progress:)``).
  public var recallTarget: Float?
  /// For those who know what they do, in the place of a recall: candidates kept [ef], up to 10,000, and never fewer than `k`;
  /// 0 = none given.
  public var effort: Int
  /// For those who measure: the stop rule's reach, in the place of both.
  package var reach: SearchReach?
  /// Whether to scan every row instead of walking the graph.
  public var exact: Bool
  /// Whether a search near a row may return that row.
  public var includesSelf: Bool

  public init(
    k: Int, recallTarget: Float? = nil, effort: Int = 0, exact: Bool = false, includesSelf: Bool = false
  ) {
    self.k = k
    self.recallTarget = recallTarget
    self.effort = effort
    self.exact = exact
    self.includesSelf = includesSelf
  }

  func validate() throws(IndexError) {
    guard (1...HNSWConfiguration.resultsMax).contains(k) else {
      throw IndexError(.invalidK, "k is \(k); it must be from 1 to \(HNSWConfiguration.resultsMax)")
    }
    guard (0...HNSWConfiguration.searchEffortRange.upperBound).contains(effort) else {
      throw IndexError(
        .invalidEffort, "ef is \(effort); it must be from 0 to \(HNSWConfiguration.searchEffortRange.upperBound)")
    }
    guard let recallTarget else { return }
    try Self.check(recallTarget: recallTarget)
    guard effort == 0 else {
      throw IndexError(
        .invalidRecallTarget,
        "a recall target of \(recallTarget) and an ef of \(effort) were both given; the one decides the other, so give one"
      )
    }
  }

  static func check(recallTarget: Float) throws(IndexError) {
    // False for NaN, too.
    guard RecallCurve.targetRange.contains(recallTarget) else {
      throw IndexError(
        .invalidRecallTarget,
        """
        the recall target is \(recallTarget); it must be from \(RecallCurve.targetRange.lowerBound) to \
        \(RecallCurve.targetRange.upperBound), and an exact search finds all
        """)
    }
  }
}

/// The answer of one search, while it is pinned: valid only inside the closure that it is given to.
public struct SearchHits {
  let store: VectorStore
  let slots: UnsafePointer<UInt32>
  let distances: UnsafePointer<Float>
  /// Results, ascending by distance.
  public let count: Int
  /// How many distances it took.
  public let distancesComputed: Int
  /// How many nodes the walk expanded: what it would take as ef, roughly. 0 where there was none.
  public let effort: Int
  /// Whether every row was scanned.
  public let isExact: Bool

  /// pgvector's value of the metric.
  public func distance(at index: Int) -> Float {
    precondition(index >= 0 && index < count, "a result's index must be below the count")
    return store.metric.finished(distances[index])
  }

  public func id(at index: Int) -> RecordID {
    precondition(index >= 0 && index < count, "a result's index must be below the count")
    return store.ids[slots[index]]
  }
}

/// One result, copied out.
public struct SearchHit: Hashable, Sendable {
  public var id: RecordID
  public var distance: Float

  public init(id: RecordID, distance: Float) {
    self.id = id
    self.distance = distance
  }
}
