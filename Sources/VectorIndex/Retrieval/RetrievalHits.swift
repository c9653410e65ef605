// What a retrieval answers.
//
// May use: SearchHits.

/// Why fewer results came than were asked for.
public enum Shortfall: Hashable, Sendable {
  /// All rows that match are there, or were skipped by the offset.
  case fewMatch
  /// The rows that match and are not there are farther than the greatest distance that was given.
  case threshold
  /// The rows that match are of no more groups.
  case groups
}

/// The answer of one retrieval, while its version is pinned: valid only inside the closure that it is given to.
public struct RetrievalHits {
  private let hits: SearchHits
  private let groups: UnsafePointer<UInt32>?
  /// Why fewer than `k` results came, or with a grouping fewer than `k` groups; nil where as many came.
  public let shortfall: Shortfall?

  /// - groups: `[hits.count]`; nil where each result is a group of its own.
  init(_ hits: SearchHits, groups: UnsafePointer<UInt32>?, shortfall: Shortfall?) {
    self.hits = hits
    self.groups = groups
    self.shortfall = shortfall
  }

  /// What a search found that was asked for `k`.
  @inline(__always)
  init(_ hits: SearchHits, k: Int) {
    self.init(hits, groups: nil, shortfall: hits.count < k ? .fewMatch : nil)
  }

  /// Results, in order: by distance; with a grouping group by group, each by distance, the groups by their nearest; with a diversity
  /// as they were chosen.
  public var count: Int { hits.count }
  /// How many distances it took, those between results included.
  public var distancesComputed: Int { hits.distancesComputed }
  /// How many nodes its walks expanded. 0 where there was none.
  public var effort: Int { hits.effort }
  /// Whether every row, or under a filter every row that matches, was scored as answers are, so that nothing can be missing.
  public var isExact: Bool { hits.isExact }
  /// How the last of its filtered searches went; nil where there was no filter.
  public var filter: FilterReceipt? { hits.filter }

  /// pgvector's value of the metric, between query and row.
  public func distance(at index: Int) -> Float { hits.distance(at: index) }

  public func id(at index: Int) -> RecordID { hits.id(at: index) }

  /// The payload of a result, as ``SearchHits/payload(at:)``.
  public func payload(at index: Int) -> [String?] { hits.payload(at: index) }

  /// The number of the result's group, from 0 in order of nearness. Without a grouping each result is a group of its own.
  public func group(at index: Int) -> Int {
    precondition(index >= 0 && index < count, "a result's index must be below the count")
    return groups.map { Int($0[index]) } ?? index
  }

  /// The hits as values that outlive the retrieval.
  public func copied() -> [SearchHit] { hits.copied() }
}
