// Search, SearchByID and SearchLike: the requests. Their common answer is in SearchReply.swift.
//
//     u32 k, u32 ef
//     Search: u8 elementType, u8 options              SearchByID, SearchLike: u8 options, u8 zero
//     u16 recallTarget
//     Search: u32 dimension, u32 queryCount           SearchByID: u32 idCount           SearchLike: u32 likeCount, u32 unlikeCount
//     string collection, modifiers
//     Search: the vectors                             SearchByID, SearchLike: the ids
//
// May use: SearchTerms, NIOCore's ByteBuffer.

import NIOCore
import VectorIndex

/// Asks for the nearest rows to each of some vectors.
public struct SearchRequest: WireMessage, Hashable {
  public static let kind = MessageKind.search

  public var terms: SearchTerms
  public var vectors: QueryVectors

  public init(_ terms: SearchTerms, vectors: QueryVectors) {
    self.terms = terms
    self.vectors = vectors
  }

  public func encode(into buffer: inout ByteBuffer) {
    let options = terms.options(includesSelf: false)
    terms.encode(
      vectors.elementType.rawValue, options, counts: vectors.dimension, vectors.count, into: &buffer)
    buffer.writeImmutableBuffer(vectors.bytes)
  }

  /// The vectors and the filters share the body's memory.
  public init(decoding body: ByteBuffer) throws(WireError) {
    var reader = BodyReader(body)
    var head = try SearchHead(&reader, countNames: ["dimension", "queryCount"])
    let (rawElementType, options) = (head.first, head.second)
    let (dimension, count) = (head.counts[0], head.counts[1])
    guard let elementType = ElementType(rawValue: rawElementType) else {
      throw WireError(.unsupportedOption, "vectors are sent as f32 (1) or f16 (2), not as type \(rawElementType)")
    }
    try head.read(
      options, known: SearchOption.exact | SearchOption.modifiers, queryCount: count, from: &reader)
    terms = head.terms
    let bytes = reader.rest()
    let (elements, overflows) = count.multipliedReportingOverflow(by: dimension)
    guard !overflows, elements <= bytes.readableBytes, elements * elementType.byteCount == bytes.readableBytes else {
      throw BodyReader.malformed(
        "\(count) vectors of \(dimension) dimensions do not take the \(bytes.readableBytes) bytes that were sent")
    }
    // Without this, no bytes at all could promise four billion queries.
    guard dimension > 0 || count == 0 else { throw BodyReader.malformed("a vector has at least one dimension") }
    vectors = QueryVectors(elementType: elementType, dimension: dimension, count: count, bytes: bytes)
  }
}

/// Asks for the nearest rows to each of some rows that are in the collection.
public struct SearchByIDRequest: WireMessage, Hashable {
  public static let kind = MessageKind.searchByID

  public var terms: SearchTerms
  /// Whether a row may be among its own results.
  public var includesSelf: Bool
  public var ids: [RecordID]

  /// - Precondition: every id `isEncodable`.
  public init(_ terms: SearchTerms, ids: [RecordID], includesSelf: Bool = false) {
    self.terms = terms
    self.ids = ids
    self.includesSelf = includesSelf
  }

  public func encode(into buffer: inout ByteBuffer) {
    terms.encode(terms.options(includesSelf: includesSelf), 0, counts: ids.count, into: &buffer)
    for id in ids { buffer.writeRecordID(id) }
  }

  public init(decoding body: ByteBuffer) throws(WireError) {
    var reader = BodyReader(body)
    var head = try SearchHead(&reader, countNames: ["idCount"])
    includesSelf = try head.readNaming(queryCount: head.counts[0], from: &reader)
    terms = head.terms
    ids = try reader.recordIDs(head.counts[0])
  }
}

/// Asks for the rows nearest to what some rows have in common, and far from what others have.
public struct SearchLikeRequest: WireMessage, Hashable {
  public static let kind = MessageKind.searchLike

  public var terms: SearchTerms
  /// Whether the rows that are named may be among the results.
  public var includesSelf: Bool
  public var positives: [RecordID]
  public var negatives: [RecordID]

  /// - Precondition: every id `isEncodable`.
  public init(
    _ terms: SearchTerms, like positives: [RecordID], unlike negatives: [RecordID] = [], includesSelf: Bool = false
  ) {
    self.terms = terms
    self.positives = positives
    self.negatives = negatives
    self.includesSelf = includesSelf
  }

  public func encode(into buffer: inout ByteBuffer) {
    terms.encode(
      terms.options(includesSelf: includesSelf), 0, counts: positives.count, negatives.count, into: &buffer)
    for id in positives { buffer.writeRecordID(id) }
    for id in negatives { buffer.writeRecordID(id) }
  }

  public init(decoding body: ByteBuffer) throws(WireError) {
    var reader = BodyReader(body)
    var head = try SearchHead(&reader, countNames: ["likeCount", "unlikeCount"])
    includesSelf = try head.readNaming(queryCount: 1, from: &reader)
    terms = head.terms
    // Two numbers under 2^32: no overflow.
    let ids = try reader.recordIDs(head.counts[0] + head.counts[1])
    positives = Array(ids[..<head.counts[0]])
    negatives = Array(ids[head.counts[0]...])
  }
}

/// What the three requests have before their vectors or ids.
private struct SearchHead {
  var terms: SearchTerms
  /// The two bytes that each of them uses in its own way.
  let first, second: UInt8
  let counts: [Int]

  /// Reads everything but the modifiers.
  init(_ reader: inout BodyReader, countNames: [StaticString]) throws(WireError) {
    let k = try reader.count("k")
    let effort = try reader.count("ef")
    first = try reader.integer("options")
    second = try reader.integer("options")
    let recallTarget = try reader.recallTarget(beside: effort)
    var counts: [Int] = []
    for name in countNames { counts.append(try reader.count(name)) }
    self.counts = counts
    terms = SearchTerms(
      collection: try reader.string("collection"), k: k, effort: effort, recallTarget: recallTarget)
  }

  /// Holds the option bits against those that there are, and reads what they announce.
  mutating func read(
    _ options: UInt8, known: UInt8, queryCount: Int, from reader: inout BodyReader
  ) throws(WireError) {
    try SearchOption.check(options, known: known)
    terms.isExact = options & SearchOption.exact != 0
    if options & SearchOption.modifiers != 0 { terms.modifiers = try reader.modifiers(queryCount: queryCount) }
  }

  /// The same for a request that names rows.
  /// - Returns: whether those may be among the results.
  mutating func readNaming(queryCount: Int, from reader: inout BodyReader) throws(WireError) -> Bool {
    guard second == 0 else { throw BodyReader.malformed("a field that must be zero is not") }
    try read(first, known: SearchOption.all, queryCount: queryCount, from: &reader)
    return first & SearchOption.includesSelf != 0
  }
}
