// What may be asked of a search beyond its nearest rows: a bound on the distance, a later page, groups, variety.
//
// May use: SearchOptions, AttributeSchema.

/// How to retrieve: a search, and what becomes of the rows that it finds. docs/RETRIEVAL.md says how they go together.
public struct RetrievalOptions: Hashable, Sendable {
  /// Its `k` is the number of results; with a ``grouping``, of groups.
  public var search: SearchOptions
  /// pgvector's value of the metric, so negative inner products too: rows that are farther are left out. A row at this very distance
  /// is not.
  public var distanceMax: Float?
  /// How many of the nearest are skipped; of groups, with a ``grouping``; of those chosen first, with ``diversity``. With `k` at
  /// most 10,000.
  public var offset = 0
  public var grouping: Grouping?
  public var diversity: Diversity?

  public init(
    search: SearchOptions, distanceMax: Float? = nil, offset: Int = 0, grouping: Grouping? = nil,
    diversity: Diversity? = nil
  ) {
    self.search = search
    self.distanceMax = distanceMax
    self.offset = offset
    self.grouping = grouping
    self.diversity = diversity
  }
}

/// Results by the value of an attribute: the groups whose nearest rows are nearest, and of each its nearest rows.
public struct Grouping: Hashable, Sendable {
  /// An attribute that is no array. Rows that have no value are a group each.
  public var attribute: String
  /// The most rows of a group, 1...100.
  public var perGroup: Int

  public init(attribute: String, perGroup: Int = 1) {
    self.attribute = attribute
    self.perGroup = perGroup
  }
}

/// Results that are near, and far from each other: maximal marginal relevance (J. Carbonell & J. Goldstein, "The Use of MMR,
/// Diversity-Based Reranking for Reordering Documents and Producing Summaries", SIGIR 1998).
public struct Diversity: Hashable, Sendable {
  /// 0...1: 1 is nearness to the query alone, 0 distance from each other alone.
  public var lambda: Float
  /// The nearest rows that are chosen from, `k + offset`...10,000; 0 = four times as many as are chosen, and at least 50.
  public var candidates: Int

  public init(lambda: Float, candidates: Int = 0) {
    self.lambda = lambda
    self.candidates = candidates
  }
}

extension RetrievalOptions {
  /// The most results that are found, those skipped included.
  public static let resultsMax = HNSWConfiguration.resultsMax
  public static let perGroupRange = 1...100
  /// The most pairs of a chosen row and a candidate, which are compared one and all. At 384 dimensions that takes about as long as a
  /// scan of so many rows.
  public static let pairsMax = 4_000_000
  /// The most rows that a search for more like them may name.
  public static let examplesMax = 1_000

  /// Whether there is nothing to do but search.
  var isPlain: Bool { distanceMax == nil && offset == 0 && grouping == nil && diversity == nil }

  /// Results that must be found, those skipped included.
  var wanted: Int { search.k + offset }

  /// The candidates of a choice by ``diversity``.
  func candidates(of diversity: Diversity) -> Int {
    if diversity.candidates > 0 { return diversity.candidates }
    let affordable = max(wanted, Self.pairsMax / wanted)
    return min(max(4 * wanted, 50), affordable, Self.resultsMax)
  }

  /// Checks every option by itself and beside the others.
  /// - Throws: as ``SearchOptions``' own check, `invalidRetrieval`, `unknownAttribute`.
  func validate(against schema: AttributeSchema) throws(IndexError) {
    try search.validate()
    guard offset >= 0, offset <= Self.resultsMax, wanted <= Self.resultsMax else {
      throw IndexError(
        .invalidRetrieval,
        """
        the offset is \(offset) and k is \(search.k); together they must be from 1 to \(Self.resultsMax). Narrow the search with a \
        filter, or page on in Postgres by distance: WHERE the distance is greater than that of the last row here, ORDER BY it
        """)
    }
    if let distanceMax, distanceMax.isNaN {
      throw IndexError(.invalidRetrieval, "the greatest distance is NaN; give a number, or none for no bound")
    }
    if let grouping {
      guard diversity == nil else {
        throw IndexError(
          .invalidRetrieval,
          "both a grouping and a diversity were given; groups are one kind of variety and MMR another, so give one")
      }
      try validate(grouping, against: schema)
    }
    if let diversity { try validate(diversity) }
  }

  private func validate(_ grouping: Grouping, against schema: AttributeSchema) throws(IndexError) {
    let name = "\"\(grouping.attribute.prefix(AttributeSchema.nameBytesMax))\""
    guard let index = schema.index(of: grouping.attribute) else {
      throw IndexError(
        .unknownAttribute,
        "there is no attribute \(name) to group by; "
          + (schema.isEmpty
            ? "this index has none" : "this index has " + schema.columns.map(\.name).joined(separator: ", ")))
    }
    guard !schema.columns[index].type.isArray else {
      throw IndexError(
        .invalidRetrieval,
        """
        the attribute \(name) is \(schema.columns[index].type.name), and a row whose array has several elements would be in several \
        groups; group by an attribute with one value a row
        """)
    }
    guard Self.perGroupRange.contains(grouping.perGroup) else {
      throw IndexError(
        .invalidRetrieval,
        "\(grouping.perGroup) rows a group; it must be from \(Self.perGroupRange.lowerBound) to \(Self.perGroupRange.upperBound)"
      )
    }
    guard wanted * grouping.perGroup <= Self.resultsMax else {
      throw IndexError(
        .invalidRetrieval,
        """
        \(wanted) groups (k and offset) of \(grouping.perGroup) rows are \(wanted * grouping.perGroup) rows; at most \
        \(Self.resultsMax) are found: ask for fewer groups, or fewer rows of each
        """)
    }
  }

  private func validate(_ diversity: Diversity) throws(IndexError) {
    // False for NaN, too.
    guard (0...1).contains(diversity.lambda) else {
      throw IndexError(
        .invalidRetrieval, "λ is \(diversity.lambda); it must be from 0 (variety alone) to 1 (nearness alone)")
    }
    guard diversity.candidates == 0 || (wanted...Self.resultsMax).contains(diversity.candidates) else {
      throw IndexError(
        .invalidRetrieval,
        """
        \(diversity.candidates) candidates to choose \(wanted) results from (k and offset); give from \(wanted) to \
        \(Self.resultsMax), or 0 for four times as many
        """)
    }
    let count = candidates(of: diversity)
    guard wanted * count <= Self.pairsMax else {
      throw IndexError(
        .invalidRetrieval,
        """
        \(wanted) results (k and offset) from \(count) candidates are \(wanted * count) comparisons of rows; at most \
        \(Self.pairsMax) are made: ask for fewer of either
        """)
    }
  }
}
