// Search, SearchByID and SearchLike: the requests. Their common answer is in SearchReply.swift.
//
// May use: NIOCore's ByteBuffer.

import NIOCore
import VectorIndex

/// Asks for the nearest rows to each of some vectors.
public struct SearchRequest: WireMessage, Hashable {
  public static let kind = MessageKind.search

  /// Results a query.
  public var k: Int
  /// Size of the candidate list; 0 = none given.
  public var effort: Int
  /// The recall that is asked for, in the place of an effort; where neither is given, the collection's default decides.
  public var recallTarget: RecallTarget?
  /// Whether every row is to be scanned.
  public var isExact: Bool
  public var collection: String
  public var modifiers: SearchModifiers
  public var vectors: QueryVectors

  /// - Precondition: `collection` has at most 65,535 bytes.
  public init(
    collection: String, vectors: QueryVectors, k: Int, effort: Int = 0, recallTarget: RecallTarget? = nil,
    isExact: Bool = false, modifiers: SearchModifiers = SearchModifiers()
  ) {
    self.collection = collection
    self.modifiers = modifiers
    self.vectors = vectors
    self.k = k
    self.effort = effort
    self.recallTarget = recallTarget
    self.isExact = isExact
  }

  public func encode(into buffer: inout ByteBuffer) {
    buffer.writeCount(k)
    buffer.writeCount(effort)
    let options = SearchOption.bits(isExact: isExact, includesSelf: false, modifiers)
    buffer.writeMultipleIntegers(
      vectors.elementType.rawValue, options, recallTarget?.units ?? 0, endianness: .little)
    buffer.writeCount(vectors.dimension)
    buffer.writeCount(vectors.count)
    buffer.writeField(collection)
    if !modifiers.isEmpty { modifiers.encode(into: &buffer) }
    buffer.writeImmutableBuffer(vectors.bytes)
  }

  /// The vectors and the filters share the body's memory.
  public init(decoding body: ByteBuffer) throws(WireError) {
    var reader = BodyReader(body)
    k = try reader.count("k")
    effort = try reader.count("ef")
    let rawElementType: UInt8 = try reader.integer("elementType")
    let options: UInt8 = try reader.integer("options")
    recallTarget = try reader.recallTarget(beside: effort)
    let dimension = try reader.count("dimension")
    let count = try reader.count("queryCount")
    collection = try reader.string("collection")
    guard let elementType = ElementType(rawValue: rawElementType) else {
      throw WireError(.unsupportedOption, "vectors are sent as f32 (1) or f16 (2), not as type \(rawElementType)")
    }
    try SearchOption.check(options, known: SearchOption.exact | SearchOption.modifiers)
    isExact = options & SearchOption.exact != 0
    let hasModifiers = options & SearchOption.modifiers != 0
    modifiers = hasModifiers ? try reader.modifiers(queryCount: count) : SearchModifiers()
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

  public var k: Int
  public var effort: Int
  public var recallTarget: RecallTarget?
  public var isExact: Bool
  /// Whether a row may be among its own results.
  public var includesSelf: Bool
  public var collection: String
  public var modifiers: SearchModifiers
  public var ids: [RecordID]

  /// - Precondition: `collection` has at most 65,535 bytes, and every id `isEncodable`.
  public init(
    collection: String, ids: [RecordID], k: Int, effort: Int = 0, recallTarget: RecallTarget? = nil,
    isExact: Bool = false, includesSelf: Bool = false, modifiers: SearchModifiers = SearchModifiers()
  ) {
    self.collection = collection
    self.modifiers = modifiers
    self.ids = ids
    self.k = k
    self.effort = effort
    self.recallTarget = recallTarget
    self.isExact = isExact
    self.includesSelf = includesSelf
  }

  public func encode(into buffer: inout ByteBuffer) {
    buffer.writeCount(k)
    buffer.writeCount(effort)
    let options = SearchOption.bits(isExact: isExact, includesSelf: includesSelf, modifiers)
    buffer.writeMultipleIntegers(options, 0 as UInt8, recallTarget?.units ?? 0, endianness: .little)
    buffer.writeCount(ids.count)
    buffer.writeField(collection)
    if !modifiers.isEmpty { modifiers.encode(into: &buffer) }
    for id in ids { buffer.writeRecordID(id) }
  }

  public init(decoding body: ByteBuffer) throws(WireError) {
    var reader = BodyReader(body)
    k = try reader.count("k")
    effort = try reader.count("ef")
    let options: UInt8 = try reader.integer("options")
    try SearchOption.check(options, known: SearchOption.all)
    isExact = options & SearchOption.exact != 0
    includesSelf = options & SearchOption.includesSelf != 0
    try reader.zero(UInt8.self)
    recallTarget = try reader.recallTarget(beside: effort)
    let count = try reader.count("idCount")
    collection = try reader.string("collection")
    let hasModifiers = options & SearchOption.modifiers != 0
    modifiers = hasModifiers ? try reader.modifiers(queryCount: count) : SearchModifiers()
    ids = try reader.recordIDs(count)
  }
}

/// Asks for the rows nearest to what some rows have in common, and far from what others have.
public struct SearchLikeRequest: WireMessage, Hashable {
  public static let kind = MessageKind.searchLike

  public var k: Int
  public var effort: Int
  public var recallTarget: RecallTarget?
  public var isExact: Bool
  /// Whether the rows that are named may be among the results.
  public var includesSelf: Bool
  public var collection: String
  public var modifiers: SearchModifiers
  public var positives: [RecordID]
  public var negatives: [RecordID]

  /// - Precondition: `collection` has at most 65,535 bytes, and every id `isEncodable`.
  public init(
    collection: String, like positives: [RecordID], unlike negatives: [RecordID] = [], k: Int, effort: Int = 0,
    recallTarget: RecallTarget? = nil, isExact: Bool = false, includesSelf: Bool = false,
    modifiers: SearchModifiers = SearchModifiers()
  ) {
    self.collection = collection
    self.modifiers = modifiers
    self.positives = positives
    self.negatives = negatives
    self.k = k
    self.effort = effort
    self.recallTarget = recallTarget
    self.isExact = isExact
    self.includesSelf = includesSelf
  }

  public func encode(into buffer: inout ByteBuffer) {
    buffer.writeCount(k)
    buffer.writeCount(effort)
    let options = SearchOption.bits(isExact: isExact, includesSelf: includesSelf, modifiers)
    buffer.writeMultipleIntegers(options, 0 as UInt8, recallTarget?.units ?? 0, endianness: .little)
    buffer.writeCount(positives.count)
    buffer.writeCount(negatives.count)
    buffer.writeField(collection)
    if !modifiers.isEmpty { modifiers.encode(into: &buffer) }
    for id in positives { buffer.writeRecordID(id) }
    for id in negatives { buffer.writeRecordID(id) }
  }

  public init(decoding body: ByteBuffer) throws(WireError) {
    var reader = BodyReader(body)
    k = try reader.count("k")
    effort = try reader.count("ef")
    let options: UInt8 = try reader.integer("options")
    try SearchOption.check(options, known: SearchOption.all)
    isExact = options & SearchOption.exact != 0
    includesSelf = options & SearchOption.includesSelf != 0
    try reader.zero(UInt8.self)
    recallTarget = try reader.recallTarget(beside: effort)
    let positiveCount = try reader.count("positiveCount")
    let negativeCount = try reader.count("negativeCount")
    collection = try reader.string("collection")
    let hasModifiers = options & SearchOption.modifiers != 0
    modifiers = hasModifiers ? try reader.modifiers(queryCount: 1) : SearchModifiers()
    // Two numbers under 2^32: no overflow.
    let ids = try reader.recordIDs(positiveCount + negativeCount)
    positives = Array(ids[..<positiveCount])
    negatives = Array(ids[positiveCount...])
  }
}

/// The bits of a search's options.
private enum SearchOption {
  static let exact: UInt8 = 1
  static let includesSelf: UInt8 = 2
  static let modifiers: UInt8 = 4
  static let all = exact | includesSelf | modifiers

  static func bits(isExact: Bool, includesSelf: Bool, _ modifiers: SearchModifiers) -> UInt8 {
    (isExact ? exact : 0) | (includesSelf ? self.includesSelf : 0) | (modifiers.isEmpty ? 0 : self.modifiers)
  }

  static func check(_ options: UInt8, known: UInt8) throws(WireError) {
    guard options & ~known == 0 else {
      throw WireError(
        .unsupportedOption, "a search of this kind has the option bits \(known) and no others, and \(options) was sent")
    }
  }
}
