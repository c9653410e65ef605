// A recall that a search asks for, as it travels.
//
// May use: BodyReader.

/// A recall from 0.8 to 0.999, in steps of 1/10,000.
public struct RecallTarget: Hashable, Sendable, CustomStringConvertible {
  /// The shares that can be asked for.
  public static let range: ClosedRange<Double> = 0.8...0.999
  private static let unitsRange: ClosedRange<UInt16> = 8_000...9_990

  /// In 1/10,000.
  let units: UInt16

  init?(units: UInt16) {
    guard Self.unitsRange.contains(units) else { return nil }
    self.units = units
  }

  /// Rounded to the nearest step, so that a float's rounding does no harm; nil for what is then out of ``range``, and for NaN.
  public init?(_ share: Double) {
    guard share > 0, share < 1 else { return nil }
    self.init(units: UInt16((share * 10_000).rounded()))
  }

  public var share: Double { Double(units) / 10_000 }
  public var description: String { String(share) }
}

extension BodyReader {
  /// A recall target, which cannot stand beside an effort: each decides the other. 0 = none given.
  mutating func recallTarget(beside effort: Int) throws(WireError) -> RecallTarget? {
    let units: UInt16 = try integer("recallTarget")
    guard units > 0 else { return nil }
    guard let target = RecallTarget(units: units) else {
      throw WireError(
        .invalidRecallTarget,
        "the recall target is \(Double(units) / 10_000); it must be from \(RecallTarget.range.lowerBound) to "
          + "\(RecallTarget.range.upperBound), and an exact search finds all")
    }
    guard effort == 0 else {
      throw WireError(
        .invalidRecallTarget,
        "a recall target of \(target) and an ef of \(effort) were both given; the one decides the other, so give one")
    }
    return target
  }
}
