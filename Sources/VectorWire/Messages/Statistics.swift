// Statistics and StatisticsReply.
//
// May use: NIOCore's ByteBuffer.

import NIOCore

/// Asks for the numbers of a collection.
public struct StatisticsRequest: WireMessage, Hashable {
  public static let kind = MessageKind.statistics
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

/// One number or word about a collection.
public struct Statistic: Hashable, Sendable {
  public enum Value: Hashable, Sendable, CustomStringConvertible {
    case integer(UInt64)
    case real(Double)
    case text(String)

    public var description: String {
      switch self {
      case .integer(let value): String(value)
      case .real(let value): String(value)
      case .text(let value): value
      }
    }
  }

  /// Stable once given.
  public var name: String
  public var value: Value

  public init(_ name: String, _ value: Value) {
    self.name = name
    self.value = value
  }
}

/// The answer to ``StatisticsRequest``.
public struct StatisticsReply: WireMessage, Hashable {
  public static let kind = MessageKind.statisticsReply
  public let entries: [Statistic]

  /// - Precondition: no name or text is longer than 65,535 bytes.
  public init(_ entries: [Statistic]) { self.entries = entries }

  public func encode(into buffer: inout ByteBuffer) {
    buffer.writeCount(entries.count)
    for entry in entries {
      buffer.writeField(entry.name)
      switch entry.value {
      case .integer(let value):
        buffer.writeField(1 as UInt8)
        buffer.writeField(value)
      case .real(let value):
        buffer.writeField(2 as UInt8)
        buffer.writeField(value.bitPattern)
      case .text(let value):
        buffer.writeField(3 as UInt8)
        buffer.writeField(value)
      }
    }
  }

  public init(decoding body: ByteBuffer) throws(WireError) {
    var reader = BodyReader(body)
    let count = try reader.count("count")
    // The shortest entry: two empty strings and a type.
    guard count <= reader.remainingBytes / 5 else {
      throw BodyReader.malformed("the body is too short for \(count) statistics")
    }
    var entries: [Statistic] = []
    entries.reserveCapacity(count)
    for _ in 0..<count {
      let name = try reader.string("name")
      let type: UInt8 = try reader.integer("type")
      switch type {
      case 1: entries.append(Statistic(name, .integer(try reader.integer("value"))))
      case 2: entries.append(Statistic(name, .real(Double(bitPattern: try reader.integer("value")))))
      case 3: entries.append(Statistic(name, .text(try reader.string("value"))))
      default: throw WireError(.unsupportedOption, "a statistic of type \(type) is not known here")
      }
    }
    try reader.end()
    self.entries = entries
  }
}
