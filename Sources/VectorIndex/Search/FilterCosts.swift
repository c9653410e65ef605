// What a filtered search is expected to cost, by each way of answering it.
//
// May use: StopRule, DefaultEffort.

/// Estimates, in the time that a distance takes in a walk of the same index.
struct FilterCosts {
  /// Whether a walk goes by codes that lie beside finer rows.
  let hasCodes: Bool
  /// Rows that must be found.
  let wanted: Int
  /// Rows that match.
  let matching: Int
  /// All rows.
  let live: Int

  // Measured on 86,694 embeddings of 384 dimensions, k = 10 (FilteredSearchSpeed; docs/decisions/0015-filtered-search.md).

  /// A row in a scan, against a row in a walk on the same plane, which pays for links, visited set and frontier and waits for memory: 40 to
  /// 109 ns in half precision, 35 to 87 in 8 bits.
  private static let scannedRow: Float = 0.4
  /// A row of codes in a scan, against one in a walk: 13 to 16 ns, to 37.
  private static let scannedCodes: Float = 0.4
  /// A fine row in a scan, against a row of codes in a walk: 35 ns in half precision, 30 in 8 bits, to 37.
  private static let scannedFineRow: Float = 0.9
  /// A fine row that is scored again here and there: about 70 ns, to 37.
  private static let rescoredRow: Float = 2

  var exactScan: Float { Float(matching) * (hasCodes ? Self.scannedFineRow : Self.scannedRow) }

  /// Where rows lie anywhere, the i-th of them is near enough to be scored again, or nearly so, with a chance of about 2 · wanted / i. For 10
  /// wanted of 433, 1,733, 8,669 and 43,347 that makes 159, 187, 219 and 251 with the sample; 145, 179, 216 and 260 were.
  var codeScan: Float {
    let rescored = Float(2 * wanted) * Float(1 + naturalLogarithm(Double(matching) / Double(max(1, wanted))))
    return Float(matching) * Self.scannedCodes
      + min(Float(matching), Float(CodeErrors.sampleCount) + rescored) * Self.rescoredRow
  }

  /// As how many nearest of all rows the wanted are, about, where those that match lie as all do.
  var among: Int { Int(min(Float(live), Float(wanted) * inverseShare)) }

  /// Rows for one that matches.
  private var inverseShare: Float { Float(live) / Float(max(1, matching)) }

  /// Where the rows that match lie as all rows do.
  ///
  /// - target: the recall, where the rule goes by one.
  /// - degree: [M].
  func walk(_ rule: StopRule, target: Float?, degree: Int) -> Float {
    let nodes: Float
    if let target {
      // Two thirds of the built-in efforts, which are one and a half times what was measured.
      nodes = Float(max(among, DefaultEffort.effort(target: target, results: among) * 2 / 3))
    } else {
      // A rule that keeps its effort of matching rows meets so many more of all.
      nodes = Float(rule.limit) * inverseShare
    }
    return nodes * Float(degree)
  }
}
