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

  /// - Precondition: `collection` has at most 65,535 bytes, and every id `isEncodable`.
  public init(collection: String, ids: [RecordID], wantsVectors: Bool = true) {
    self.collection = collection
    self.ids = ids
    self.wantsVectors = wantsVectors
  }

  public func encode(into buffer: inout ByteBuffer) {
    let elementType = wantsVectors ? ElementType.float32.rawValue : 0
    buffer.writeMultipleIntegers(elementType, 0 as UInt8, 0 as UInt16, endianness: .little)
    buffer.writeCount(ids.count)
    buffer.writeField(collection)
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
    try reader.zero(UInt8.self)
    try reader.zero(UInt16.self)
    let count = try reader.count("idCount")
    collection = try reader.string("collection")
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

  /// - Precondition: every vector has `dimension` elements.
  public init(position: Position, dimension: Int, vectors: [[Float]?]) {
    precondition(vectors.allSatisfy { $0 == nil || $0?.count == dimension })
    self.position = position
    self.dimension = dimension
    self.vectors = vectors
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
