// Search and SearchByID: the requests. Their common answer is in SearchReply.swift.
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
  public var vectors: QueryVectors

  /// - Precondition: `collection` has at most 65,535 bytes.
  public init(
    collection: String, vectors: QueryVectors, k: Int, effort: Int = 0, recallTarget: RecallTarget? = nil,
    isExact: Bool = false
  ) {
    self.collection = collection
    self.vectors = vectors
    self.k = k
    self.effort = effort
    self.recallTarget = recallTarget
    self.isExact = isExact
  }

  public func encode(into buffer: inout ByteBuffer) {
    buffer.writeCount(k)
    buffer.writeCount(effort)
    buffer.writeMultipleIntegers(
      vectors.elementType.rawValue, isExact ? 1 as UInt8 : 0, recallTarget?.units ?? 0, endianness: .little)
    buffer.writeCount(vectors.dimension)
    buffer.writeCount(vectors.count)
    buffer.writeField(collection)
    buffer.writeImmutableBuffer(vectors.bytes)
  }

  /// The vectors share the body's memory.
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
    guard options <= 1 else {
      throw WireError(.unsupportedOption, "of a search's options only bit 0 is known, and \(options) has others")
    }
    isExact = options == 1
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
  public var ids: [RecordID]

  /// - Precondition: `collection` has at most 65,535 bytes, and every id `isEncodable`.
  public init(
    collection: String, ids: [RecordID], k: Int, effort: Int = 0, recallTarget: RecallTarget? = nil,
    isExact: Bool = false, includesSelf: Bool = false
  ) {
    self.collection = collection
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
    let options: UInt8 = (isExact ? 1 : 0) | (includesSelf ? 2 : 0)
    buffer.writeMultipleIntegers(options, 0 as UInt8, recallTarget?.units ?? 0, endianness: .little)
    buffer.writeCount(ids.count)
    buffer.writeField(collection)
    for id in ids { buffer.writeRecordID(id) }
  }

  public init(decoding body: ByteBuffer) throws(WireError) {
    var reader = BodyReader(body)
    k = try reader.count("k")
    effort = try reader.count("ef")
    let options: UInt8 = try reader.integer("options")
    guard options <= 3 else {
      throw WireError(
        .unsupportedOption, "of a search's options only bits 0 and 1 are known, and \(options) has others")
    }
    isExact = options & 1 != 0
    includesSelf = options & 2 != 0
    try reader.zero(UInt8.self)
    recallTarget = try reader.recallTarget(beside: effort)
    let count = try reader.count("idCount")
    collection = try reader.string("collection")
    ids = try reader.recordIDs(count)
  }
}
