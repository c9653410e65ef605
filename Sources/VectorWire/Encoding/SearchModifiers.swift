// What a search may ask for beside its k and its effort: filters, a distance limit, an offset, groups, diversity, an explanation, payload,
// and how new the answer must be.
//
//     u32 modifierBytes, then in ascending order of their tags, each at most once:
//     u8 tag, u8 zero, u16 zero, u32 length, `length` bytes
//
// May use: FilterCoding, Freshness, NIOCore's ByteBuffer.

import NIOCore
import VectorIndex

/// The modifiers of one request; they hold for each of its queries.
public struct SearchModifiers: Hashable, Sendable {
  /// Which rows each query may find.
  public enum Filters: Hashable, Sendable {
    /// All.
    case none
    /// Those of which the filter is TRUE, in every query.
    case all(WireFilter)
    /// A filter for each query, in their order; nil: all rows.
    case each([WireFilter?])
  }

  /// Groups of rows that have one value of an attribute.
  public struct Grouping: Hashable, Sendable {
    public var attribute: String
    /// The most results of a group.
    public var perGroup: Int

    /// - Precondition: `attribute` has at most 65,535 bytes.
    public init(attribute: String, perGroup: Int) {
      self.attribute = attribute
      self.perGroup = perGroup
    }
  }

  /// Results that are unlike each other: maximal marginal relevance.
  public struct Diversity: Hashable, Sendable {
    /// From 0, diversity alone, to 1, relevance alone.
    public var lambda: Float
    /// The nearest that are chosen from; 0 = the default.
    public var candidates: Int

    public init(lambda: Float, candidates: Int = 0) {
      self.lambda = lambda
      self.candidates = candidates
    }
  }

  /// Columns of payload, the text that rows bring back.
  public enum Payload: Hashable, Sendable {
    /// All that the collection has.
    case all
    /// These, in the order in which they come back.
    case columns([String])
  }

  public var filters = Filters.none
  /// Rows farther than this are left out; in the metric's values as answers have them.
  public var distanceMax: Float?
  /// The nearest that are skipped.
  public var offset = 0
  public var grouping: Grouping?
  public var diversity: Diversity?
  /// Whether each answer is to say how it was found.
  public var explains = false
  /// What each result is to bring back beside its id; nil: nothing.
  public var payload: Payload?
  /// How new the answer must be, and how long that may be waited for.
  public var freshness = Freshness.any

  public init() {}

  public var isEmpty: Bool { self == SearchModifiers() }

  /// The filter of a query.
  public func filter(of query: Int) -> WireFilter? {
    switch filters {
    case .none: nil
    case .all(let filter): filter
    case .each(let filters): filters[query]
    }
  }

  private enum Tag: UInt8 {
    case filter = 1
    case filterOfEach = 2
    case distanceMax = 3
    case offset = 4
    case grouping = 5
    case diversity = 6
    case explain = 7
    case payload = 8
    case position = 9
    case strong = 10
  }
}

// MARK: Writing

extension SearchModifiers {
  /// Appends the block, its length included. One that ``isEmpty`` is not written.
  func encode(into buffer: inout ByteBuffer) {
    let start = buffer.writerIndex
    buffer.writeField(0 as UInt32)
    switch filters {
    case .none: break
    case .all(let filter): Self.write(.filter, into: &buffer) { $0.writeImmutableBuffer(filter.bytes) }
    case .each(let filters):
      Self.write(.filterOfEach, into: &buffer) { buffer in
        for filter in filters { buffer.writeCount(filter?.bytes.readableBytes ?? 0) }
        for case let filter? in filters { buffer.writeImmutableBuffer(filter.bytes) }
      }
    }
    if let distanceMax { Self.write(.distanceMax, into: &buffer) { $0.writeField(distanceMax.bitPattern) } }
    if offset != 0 { Self.write(.offset, into: &buffer) { $0.writeCount(offset) } }
    if let grouping {
      Self.write(.grouping, into: &buffer) { buffer in
        buffer.writeCount(grouping.perGroup)
        buffer.writeField(grouping.attribute)
      }
    }
    if let diversity {
      Self.write(.diversity, into: &buffer) { buffer in
        buffer.writeField(diversity.lambda.bitPattern)
        buffer.writeCount(diversity.candidates)
      }
    }
    if explains { Self.write(.explain, into: &buffer) { _ in } }
    if let payload {
      Self.write(.payload, into: &buffer) { buffer in
        if case .columns(let names) = payload { buffer.writeNames(names) } else { buffer.writeNames([]) }
      }
    }
    switch freshness {
    case .any: break
    case .position(let position, let wait):
      Self.write(.position, into: &buffer) { $0.writeField(position, waitMilliseconds: wait) }
    case .strong(let wait): Self.write(.strong, into: &buffer) { $0.writeCount(wait) }
    }
    buffer.setInteger(UInt32(buffer.writerIndex - start - 4), at: start, endianness: .little)
  }

  private static func write(_ tag: Tag, into buffer: inout ByteBuffer, _ content: (inout ByteBuffer) -> Void) {
    buffer.writeMultipleIntegers(tag.rawValue, 0 as UInt8, 0 as UInt16, 0 as UInt32, endianness: .little)
    let start = buffer.writerIndex
    content(&buffer)
    buffer.setInteger(UInt32(buffer.writerIndex - start), at: start - 4, endianness: .little)
  }
}

// MARK: Reading

extension BodyReader {
  /// A block of modifiers, of a request with `queryCount` queries.
  mutating func modifiers(queryCount: Int) throws(WireError) -> SearchModifiers {
    let length = try count("modifierBytes")
    var reader = BodyReader(try bytes(length, of: "modifiers"))
    // There is one form for each meaning.
    guard length > 0 else { throw Self.malformed("a block of modifiers is empty: leave option bit 2 out") }
    var modifiers = SearchModifiers()
    var last: UInt8 = 0
    while reader.remainingBytes > 0 {
      let tag: UInt8 = try reader.integer("tag")
      try reader.zero(UInt8.self)
      try reader.zero(UInt16.self)
      guard tag > last else { throw Self.malformed("modifiers come in ascending order of their tags, each once") }
      last = tag
      let length = try reader.count("length")
      try modifiers.read(tag, BodyReader(try reader.bytes(length, of: "modifier")), queryCount: queryCount)
    }
    return modifiers
  }
}

extension SearchModifiers {
  fileprivate mutating func read(_ tag: UInt8, _ content: BodyReader, queryCount: Int) throws(WireError) {
    var content = content
    switch Tag(rawValue: tag) {
    case .filter: filters = .all(try Self.filter(content.rest()))
    case .filterOfEach:
      guard filters == .none else {
        throw WireError(.invalidOption, "a filter for all queries and one for each were both given: give one of them")
      }
      filters = .each(try Self.filters(&content, count: queryCount))
    case .distanceMax: distanceMax = Float(bitPattern: try content.integer("distanceMax"))
    case .offset:
      offset = try content.count("offset")
      guard offset > 0 else { throw BodyReader.malformed("an offset of 0 is left out") }
    case .grouping:
      let perGroup = try content.count("perGroup")
      grouping = Grouping(attribute: try content.string("attribute"), perGroup: perGroup)
    case .diversity:
      let lambda = Float(bitPattern: try content.integer("lambda"))
      diversity = Diversity(lambda: lambda, candidates: try content.count("candidates"))
    case .explain: explains = true
    case .payload:
      let names = try content.names("payload")
      payload = names.isEmpty ? .all : .columns(names)
    case .position: freshness = try content.freshnessPosition()
    case .strong:
      guard freshness == .any else {
        throw WireError(
          .invalidOption, "a position and strong were both given: a strong search finds its position itself")
      }
      freshness = try content.freshnessStrong()
    case nil: throw WireError(.unsupportedOption, "a search's modifier of tag \(tag) is not known here")
    }
    try content.end()
  }

  private static func filter(_ bytes: ByteBuffer) throws(WireError) -> WireFilter {
    guard bytes.readableBytes > 0 else { throw BodyReader.malformed("a filter has at least its form") }
    try WireFilter.check(bytes: bytes.readableBytes)
    return WireFilter(bytes: bytes)
  }

  private static func filters(_ content: inout BodyReader, count: Int) throws(WireError) -> [WireFilter?] {
    guard count <= content.remainingBytes / 4 else {
      throw BodyReader.malformed("the modifier is too short for the filters of \(count) queries")
    }
    var lengths: [Int] = []
    lengths.reserveCapacity(count)
    for _ in 0..<count { lengths.append(try content.count("length of a filter")) }
    var filters: [WireFilter?] = []
    filters.reserveCapacity(count)
    for length in lengths {
      filters.append(length == 0 ? nil : try filter(try content.bytes(length, of: "filters")))
    }
    return filters
  }
}
