// ListCollections and Collections.
//
// May use: NIOCore's ByteBuffer.

import NIOCore
import VectorIndex

/// Asks what the server serves.
public struct ListCollections: WireMessage, Hashable {
  public static let kind = MessageKind.listCollections

  public init() {}

  public func encode(into buffer: inout ByteBuffer) {}

  public init(decoding body: ByteBuffer) throws(WireError) {
    try BodyReader(body).end()
  }
}

/// One collection, as the server describes it.
public struct CollectionDescription: Hashable, Sendable {
  public var name: String
  public var dimension: Int
  public var metric: Metric
  /// In which precision the vectors are kept, and so how exact distances and fetched vectors are.
  public var storage: VectorStorage
  public var recordIDKind: RecordIDKind
  /// Rows that searches can find.
  public var rows: UInt64
  public var position: Position

  public init(
    name: String, dimension: Int, metric: Metric, storage: VectorStorage, recordIDKind: RecordIDKind, rows: UInt64,
    position: Position
  ) {
    self.name = name
    self.dimension = dimension
    self.metric = metric
    self.storage = storage
    self.recordIDKind = recordIDKind
    self.rows = rows
    self.position = position
  }

  /// The bytes of a description with an empty name.
  fileprivate static let encodedBytesMin = 2 + 4 + 4 + 8 + Position.encodedBytes
}

/// The answer to ``ListCollections``.
public struct Collections: WireMessage, Hashable {
  public static let kind = MessageKind.collections
  /// In ascending order of their names' bytes.
  public let collections: [CollectionDescription]

  /// - Precondition: no name is longer than 65,535 bytes.
  public init(_ collections: [CollectionDescription]) {
    self.collections = collections
  }

  public func encode(into buffer: inout ByteBuffer) {
    buffer.writeCount(collections.count)
    for collection in collections {
      buffer.writeField(collection.name)
      buffer.writeCount(collection.dimension)
      buffer.writeMultipleIntegers(
        collection.metric.rawValue, collection.storage.rawValue, collection.recordIDKind.rawValue, 0 as UInt8,
        endianness: .little)
      buffer.writeField(collection.rows)
      buffer.writeField(collection.position)
    }
  }

  public init(decoding body: ByteBuffer) throws(WireError) {
    var reader = BodyReader(body)
    let count = try reader.count("count")
    guard count <= reader.remainingBytes / CollectionDescription.encodedBytesMin else {
      throw BodyReader.malformed("the body is too short for \(count) collections")
    }
    var collections: [CollectionDescription] = []
    collections.reserveCapacity(count)
    for _ in 0..<count {
      let name = try reader.string("name")
      let dimension = try reader.count("dimension")
      let rawMetric: UInt8 = try reader.integer("metric")
      guard let metric = Metric(rawValue: rawMetric) else {
        throw WireError(.unsupportedOption, "metric \(rawMetric) is not known here")
      }
      let rawStorage: UInt8 = try reader.integer("storage")
      guard let storage = VectorStorage(rawValue: rawStorage) else {
        throw WireError(.unsupportedOption, "storage \(rawStorage) is not known here")
      }
      let recordIDKind = try reader.recordIDKind()
      try reader.zero(UInt8.self)
      collections.append(
        CollectionDescription(
          name: name, dimension: dimension, metric: metric, storage: storage, recordIDKind: recordIDKind,
          rows: try reader.integer("rows"), position: try reader.position()))
    }
    try reader.end()
    self.collections = collections
  }
}
