// How one query of a search was answered: 24 bytes of a SearchReply.
//
//      0  u32 results
//      4  u32 distances
//      8  u32 flags          bit 0: exact; bit 1: there was a filter
//     12  u8  plan           0 where there was no filter
//     13  u8  shortfall      0 where nothing is short
//     14  u16 zero
//     16  u64 matchingRows   0 where there was no filter
//
// May use: NIOCore's ByteBuffer.

import NIOCore

/// How a query was answered.
public struct QueryReceipt: Hashable, Sendable {
  /// How a filtered search found its answer; docs/FILTERS.md says when it does which. The raw values are stable.
  public enum Plan: UInt8, Hashable, Sendable, CaseIterable {
    case nothingMatches = 1
    case exactScan = 2
    case codeScan = 3
    case walk = 4
    case walkThenScan = 5
  }

  /// Why fewer results came than were asked for. The raw values are stable.
  public enum Shortfall: UInt8, Hashable, Sendable, CaseIterable {
    /// No more rows match: all that do are there, but for those that were skipped.
    case fewMatch = 1
    /// The others are farther than the distance limit.
    case threshold = 2
    /// There are no more groups.
    case groups = 3
  }

  /// What a filter did.
  public struct Filtering: Hashable, Sendable {
    /// Rows that the filter is TRUE of, exactly.
    public var matchingRows: UInt64
    public var plan: Plan

    public init(matchingRows: UInt64, plan: Plan) {
      self.matchingRows = matchingRows
      self.plan = plan
    }
  }

  /// How many distances were computed.
  public var distancesComputed: UInt32
  /// Whether nothing can be missing.
  public var isExact: Bool
  /// nil where there was no filter.
  public var filtering: Filtering?
  /// nil where as many results came as were asked for.
  public var shortfall: Shortfall?

  public init(
    distancesComputed: UInt32, isExact: Bool, filtering: Filtering? = nil, shortfall: Shortfall? = nil
  ) {
    self.distancesComputed = distancesComputed
    self.isExact = isExact
    self.filtering = filtering
    self.shortfall = shortfall
  }

  static let encodedBytes = 24
  private static let exact: UInt32 = 1
  private static let filtered: UInt32 = 2

  /// Writes it over bytes that are there.
  func set(results: Int, at offset: Int, in buffer: inout ByteBuffer) {
    buffer.setInteger(UInt32(results), at: offset, endianness: .little)
    buffer.setInteger(distancesComputed, at: offset + 4, endianness: .little)
    let flags = (isExact ? Self.exact : 0) | (filtering == nil ? 0 : Self.filtered)
    buffer.setInteger(flags, at: offset + 8, endianness: .little)
    buffer.setInteger(filtering?.plan.rawValue ?? 0, at: offset + 12)
    buffer.setInteger(shortfall?.rawValue ?? 0, at: offset + 13)
    buffer.setInteger(0 as UInt16, at: offset + 14)
    buffer.setInteger(filtering?.matchingRows ?? 0, at: offset + 16, endianness: .little)
  }
}

extension BodyReader {
  mutating func receipt() throws(WireError) -> (results: Int, receipt: QueryReceipt) {
    let results = try count("results")
    let distances: UInt32 = try integer("distances")
    let flags: UInt32 = try integer("flags")
    guard flags <= 3 else { throw WireError(.unsupportedOption, "a receipt's flags \(flags) are not known here") }
    let rawPlan: UInt8 = try integer("plan")
    let rawShortfall: UInt8 = try integer("shortfall")
    try zero(UInt16.self)
    let matchingRows: UInt64 = try integer("matchingRows")
    var receipt = QueryReceipt(distancesComputed: distances, isExact: flags & 1 != 0)
    if flags & 2 != 0 {
      guard let plan = QueryReceipt.Plan(rawValue: rawPlan) else {
        throw WireError(.unsupportedOption, "a receipt's plan \(rawPlan) is not known here")
      }
      receipt.filtering = .init(matchingRows: matchingRows, plan: plan)
    } else if rawPlan != 0 || matchingRows != 0 {
      throw Self.malformed("a receipt tells of a filter and says that there was none")
    }
    if rawShortfall != 0 {
      receipt.shortfall = QueryReceipt.Shortfall(rawValue: rawShortfall)
      guard receipt.shortfall != nil else {
        throw WireError(.unsupportedOption, "a receipt's shortfall \(rawShortfall) is not known here")
      }
    }
    return (results, receipt)
  }
}
