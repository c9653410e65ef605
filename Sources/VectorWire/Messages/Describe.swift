// Describe and Described: which attributes and which payload the rows of a collection have.
//
// May use: NIOCore's ByteBuffer, VectorIndex's schema.

import NIOCore
import VectorIndex

/// Asks which attributes filters and groups can name, and which columns of payload hits can bring.
public struct DescribeRequest: WireMessage, Hashable {
  public static let kind = MessageKind.describe
  public let collection: String

  /// - Precondition: `collection` has at most 65,535 bytes.
  public init(collection: String) { self.collection = collection }

  public func encode(into buffer: inout ByteBuffer) { buffer.writeField(collection) }

  public init(decoding body: ByteBuffer) throws(WireError) {
    var reader = BodyReader(body)
    collection = try reader.string("collection")
    try reader.end()
  }
}

/// The answer to ``DescribeRequest``.
public struct Described: WireMessage, Hashable {
  public static let kind = MessageKind.described
  public let attributes: AttributeSchema
  /// The columns of text that rows bring back with a hit.
  public let payload: [String]

  private static let ordersBytewise: UInt8 = 1
  private static let isIndexed: UInt8 = 2
  private static let isTenant: UInt8 = 4

  /// - Precondition: at most 64 columns of payload, each with a name of 1 to 63 bytes.
  public init(attributes: AttributeSchema, payload: [String] = []) {
    self.attributes = attributes
    self.payload = payload
  }

  public func encode(into buffer: inout ByteBuffer) {
    buffer.writeCount(attributes.columns.count)
    for column in attributes.columns {
      buffer.writeField(column.name)
      let flags =
        (column.ordersBytewise ? Self.ordersBytewise : 0) | (column.isIndexed ? Self.isIndexed : 0)
        | (column.isTenant ? Self.isTenant : 0)
      buffer.writeMultipleIntegers(column.type.rawValue, flags, 0 as UInt16, endianness: .little)
    }
    buffer.writeNames(payload)
  }

  public init(decoding body: ByteBuffer) throws(WireError) {
    var reader = BodyReader(body)
    let count = try reader.count("count")
    guard count <= AttributeSchema.columnsMax else {
      throw BodyReader.malformed("a collection has at most \(AttributeSchema.columnsMax) attributes, not \(count)")
    }
    var columns: [AttributeColumn] = []
    columns.reserveCapacity(count)
    for _ in 0..<count {
      let name = try reader.string("name", bytesMax: AttributeSchema.nameBytesMax)
      let rawType: UInt8 = try reader.integer("type")
      guard let type = AttributeType(rawValue: rawType) else {
        throw WireError(.unsupportedOption, "an attribute of type \(rawType) is not known here")
      }
      let flags: UInt8 = try reader.integer("flags")
      guard flags <= Self.ordersBytewise | Self.isIndexed | Self.isTenant else {
        throw WireError(.unsupportedOption, "an attribute's flags \(flags) are not known here")
      }
      try reader.zero(UInt16.self)
      columns.append(
        AttributeColumn(
          name, type, ordersBytewise: flags & Self.ordersBytewise != 0, isIndexed: flags & Self.isIndexed != 0,
          isTenant: flags & Self.isTenant != 0))
    }
    payload = try reader.names("payload", bytesMax: AttributeSchema.nameBytesMax)
    try reader.end()
    do throws(IndexError) {
      attributes = try AttributeSchema(columns)
      // Names of payload are such as attributes may have.
      _ = try AttributeSchema(payload.map { AttributeColumn($0, .keyword, isIndexed: false) })
    } catch {
      throw BodyReader.malformed(error.message)
    }
  }
}
