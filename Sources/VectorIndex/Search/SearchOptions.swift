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
  /// For those who measure: what a filtered search does, in the place of what would be chosen.
  package var filterPlan: FilterReceipt.Plan?
  /// Whether to scan every row instead of walking the graph; under a filter, every row that matches.
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
  /// nil where rows have no payload.
  let payload: PayloadStore?
  /// Results, ascending by distance.
  public let count: Int
  /// How many distances it took.
  public let distancesComputed: Int
  /// How many nodes the walk expanded: what it would take as ef, roughly. 0 where there was none.
  public let effort: Int
  /// Whether every row, or under a filter every row that matches, was scored as answers are.
  public let isExact: Bool
  /// How a filtered search went; nil where there was no filter.
  public let filter: FilterReceipt?

  /// pgvector's value of the metric.
  public func distance(at index: Int) -> Float {
    precondition(index >= 0 && index < count, "a result's index must be below the count")
    return store.metric.finished(distances[index])
  }

  public func id(at index: Int) -> RecordID {
    precondition(index >= 0 && index < count, "a result's index must be below the count")
    return store.ids[slots[index]]
  }

  /// The payload of a result, as the version that was searched has it: a text or nil for each column of the configuration's
  /// ``HNSWConfiguration/payload``. Nothing of it is read before this is called.
  ///
  /// - Complexity: allocates, and decompresses a block of about 16 KiB.
  public func payload(at index: Int) -> [String?] {
    precondition(index >= 0 && index < count, "a result's index must be below the count")
    return payload?.values(of: slots[index]) ?? []
  }
}

/// How a filtered search found its answer.
public struct FilterReceipt: Hashable, Sendable {
  public enum Plan: Hashable, Sendable {
    /// No row matches.
    case nothingMatches
    /// All matching rows were scored as answers are: nothing can be missing.
    case exactScan
    /// All matching rows were scored by their codes, and again as answers are wherever the codes left it open whether they are near
    /// enough.
    case codeScan
    /// The graph was walked, and rows that do not match were left out of the answer.
    case walk
    /// A walk would have cost more than a scan, or could not tell the nearest, so a scan came after it.
    case walkThenScan
  }

  /// Rows that the filter is TRUE of, exactly; the row that a search near it leaves out may be among them. Where they are fewer
  /// than `k`, all of them are the answer.
  public let matchingRows: Int
  public let plan: Plan
  /// What a scan of the matching rows was expected to cost, in distances of a walk.
  public let expectedScanCost: Int
  /// What a walk was expected to cost, in the same; nil where none would do: the search is exact, or as many rows are wanted as match.
  public let expectedWalkCost: Int?
  /// Distances that it took in all: those of a walk that was given up, and those of ``rowsRescored``, included.
  public let distancesComputed: Int
  /// Rows that were scored twice, by their codes and then as answers are, with those from which the codes' error was learnt.
  public let rowsRescored: Int
  /// Whether there was a walk that was given up because it had cost more than it was worth.
  public let isWalkAbandoned: Bool
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
