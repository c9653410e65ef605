// Filters that a given share of the rows match, wherever the rows lie.
//
// May use: SplitMix.

/// The column `share`: a number for each row, so that `share < s` is true of a share s of the rows, exactly.
enum Selectivity {
  /// The numbers (i + ½) / rows in an order that the seed decides.
  static func shares(rows: Int, seed: UInt64) -> [Double] {
    var random = SplitMix(state: seed)
    return (0..<rows).map { (Double($0) + 0.5) / Double(rows) }.shuffled(using: &random)
  }

  /// The filter, in words that SQL and the engine share.
  static func condition(_ share: Double) -> String { "\(PgvectorSQL.share) < \(share)" }

  static func matches(_ value: Double, _ share: Double) -> Bool { value < share }
}
