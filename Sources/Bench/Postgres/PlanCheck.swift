// Whether a plan does what is measured: an index that is there and not used would make a figure of something else.
//
// May use: nothing but the standard library.

/// What EXPLAIN says of a search.
enum PlanCheck {
  /// The plan's scan, in its own words, such as `Index Scan using rows_hnsw_16_64_index on rows_hnsw_16_64`; nil: there is none.
  static func scan(in plan: String) -> String? {
    for line in plan.split(separator: "\n") {
      let text = line.drop { " ->".contains($0) }
      // A "Subquery Scan" is none of a table.
      guard text.contains("Scan "), !text.hasPrefix("Subquery Scan") else { continue }
      // Costs say nothing to a reader.
      return String(text.firstRange(of: "  (cost=").map { text[..<$0.lowerBound] } ?? text)
    }
    return nil
  }

  /// Whether the plan goes through the index of that name.
  static func uses(index name: String, in plan: String) -> Bool {
    plan.contains(" using \(name) on ") || plan.contains(" using \"\(name)\" on ")
  }
}
