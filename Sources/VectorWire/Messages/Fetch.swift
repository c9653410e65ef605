// Fetch and Fetched.
//
// May use: NIOCore's ByteBuffer.

import NIOCore
import VectorIndex

/// Asks for the vectors of some rows, or only whether the rows are there.
public struct FetchRequest: WireMessage, Hashable {
  public static let kind = MessageKind.fetch

  public var collection: String
  public var ids: [RecordID]
  /// Whether the vectors are wanted.
  public var wantsVectors: Bool
  /// How new the answer must be, and how long that may be waited for.
  public var freshness: Freshness

  /// - Precondition: `collection` has at most 65,535 bytes, and every id `isEncodable`.
  public init(collection: String, ids: [RecordID], wantsVectors: Bool = true, freshness: Freshness = .any) {
    self.collection = collection
    self.ids = ids
    self.wantsVectors = wantsVectors
    self.freshness = freshness
  }

  public func encode(into buffer: inout ByteBuffer) {
    let elementType = wantsVectors ? ElementType.float32.rawValue : 0
    var modifiers = SearchModifiers()
    modifiers.freshness = freshness
    let options = modifiers.isEmpty ? 0 : SearchOption.modifiers
    buffer.writeMultipleIntegers(elementType, options, 0 as UInt16, endianness: .little)
    buffer.writeCount(ids.count)
    buffer.writeField(collection)
    if !modifiers.isEmpty { modifiers.encode(into: &buffer) }
    for id in ids { buffer.writeRecordID(id) }
  }

  public init(decoding body: ByteBuffer) throws(WireError) {
    var reader = BodyReader(body)
    let elementType: UInt8 = try reader.integer("elementType")
    guard elementType <= ElementType.float32.rawValue else {
      throw WireError(
        .unsupportedOption, "vectors are fetched as f32 (1) or not at all (0), not as type \(elementType)")
    }
    wantsVectors = elementType == ElementType.float32.rawValue
    let options: UInt8 = try reader.integer("options")
    try SearchOption.check(options, known: SearchOption.modifiers)
    try reader.zero(UInt16.self)
    let count = try reader.count("idCount")
    collection = try reader.string("collection")
    let hasModifiers = options & SearchOption.modifiers != 0
    var modifiers = hasModifiers ? try reader.modifiers(queryCount: count) : SearchModifiers()
    freshness = modifiers.freshness
    modifiers.freshness = .any
    guard modifiers.isEmpty else {
      throw WireError(.unsupportedOption, "a fetch has no modifiers but a position or strong")
    }
    ids = try reader.recordIDs(count)
  }
}

/// The answer to ``FetchRequest``.
public struct Fetched: WireMessage, Hashable {
  public static let kind = MessageKind.fetched

  public let position: Position
  /// 0 when no vectors were asked for.
  public let dimension: Int
  /// One entry an id, in the request's order: nil where it was not found; empty when no vectors were asked for.
  public let vectors: [[Float]?]
  /// Whether the collection no longer follows Postgres; said in the frame's header.
  public var isStale = false

  /// - Precondition: every vector has `dimension` elements.
  public init(position: Position, dimension: Int, vectors: [[Float]?], isStale: Bool = false) {
    precondition(vectors.allSatisfy { $0 == nil || $0?.count == dimension })
    self.isStale = isStale
    self.position = position
    self.dimension = dimension
    self.vectors = vectors
  }

  public var replyFlags: ReplyFlags { isStale ? .stale : [] }

  public init(frame: Frame) throws(WireError) {
    try self.init(decoding: frame.body)
    isStale = frame.header.replyFlags.contains(.stale)
  }

  /// The body's length.
  public static func bodyBytes(idCount: Int, foundCount: Int, dimension: Int) -> Int {
    let flagsEnd = Position.encodedBytes + 8 + idCount
    return flagsEnd + paddingBytes(at: flagsEnd) + 4 * foundCount * dimension
  }

  public func encode(into buffer: inout ByteBuffer) {
    let start = buffer.writerIndex
    buffer.writeField(position)
    buffer.writeCount(vectors.count)
    buffer.writeCount(dimension)
    for vector in vectors { buffer.writeField(vector == nil ? 0 as UInt8 : 1) }
    buffer.writePadding(from: start)
    for case let vector? in vectors { _ = vector.withUnsafeBytes { buffer.writeBytes($0) } }
  }

  public init(decoding body: ByteBuffer) throws(WireError) {
    var reader = BodyReader(body)
    position = try reader.position()
    let count = try reader.count("idCount")
    dimension = try reader.count("dimension")
    guard count <= reader.remainingBytes else { throw BodyReader.malformed("the body is too short for \(count) ids") }
    var found: [Bool] = []
    found.reserveCapacity(count)
    for _ in 0..<count { found.append(try reader.flag("found")) }
    try reader.padding()
    // A number of vectors that are there, times a dimension under 2^32: no overflow.
    let foundCount = found.count { $0 }
    guard foundCount == 0 || dimension * 4 <= reader.remainingBytes else {
      throw BodyReader.malformed("the body is too short for a vector of \(dimension) dimensions")
    }
    let dimension = dimension
    let elements = QueryVectors(
      elementType: .float32, dimension: dimension, count: foundCount,
      bytes: try reader.bytes(foundCount * dimension * 4, of: "vectors"))
    try reader.end()
    var next = 0
    vectors = found.map { isFound in
      guard isFound else { return nil }
      defer { next += 1 }
      return elements[next]
    }
  }
}
