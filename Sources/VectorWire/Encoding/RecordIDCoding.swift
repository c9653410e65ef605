// Record ids straight from and into a ByteBuffer.
//
// The byte form is RecordID's own; `RecordID.decode` is the slow twin that the tests hold this against. It is written
// again because a generic over any collection of bytes is not specialised across modules.
//
// May use: NIOCore's ByteBuffer.

import NIOCore
import VectorIndex

extension ByteBuffer {
  /// Appends the byte form.
  /// - Precondition: `id.isEncodable`.
  package mutating func writeRecordID(_ id: RecordID) {
    writeField(id.kind.rawValue)
    switch id {
    case .int64(let value): writeField(value)
    case .uuid(let high, let low): writeMultipleIntegers(high, low, endianness: .big)
    case .text(let string): writeField(string)
    case .composite(let columns):
      writeField(UInt8(columns.count))
      for column in columns { writeRecordID(column) }
    }
  }
}

extension BodyReader {
  mutating func recordID() throws(WireError) -> RecordID {
    let before = remainingBytes
    let kind = try recordIDKind()
    guard kind == .composite else {
      let id = try recordID(of: kind)
      try checkLength(since: before)
      return id
    }
    let count = Int(try integer("record id", as: UInt8.self))
    guard (1...RecordID.compositeColumnsMax).contains(count) else {
      throw Self.malformed("a composite id has 1 to \(RecordID.compositeColumnsMax) columns, not \(count)")
    }
    var columns: [RecordID] = []
    columns.reserveCapacity(count)
    for _ in 0..<count {
      let kind = try recordIDKind()
      guard kind != .composite else { throw Self.malformed("a composite id may not hold another") }
      columns.append(try recordID(of: kind))
      try checkLength(since: before)
    }
    return .composite(columns)
  }

  /// What stands after the kind; also how int64 and uuid ids stand in a SearchReply.
  mutating func recordID(of kind: RecordIDKind) throws(WireError) -> RecordID {
    switch kind {
    case .int64: return .int64(try integer("record id"))
    case .uuid:
      let high: UInt64 = try integer("record id")
      let low: UInt64 = try integer("record id")
      return .uuid(high: high.byteSwapped, low: low.byteSwapped)
    case .text: return .text(try string("record id", bytesMax: RecordID.encodedBytesMax - 3))
    case .composite: throw Self.malformed("a composite id may not hold another")
    }
  }

  private func checkLength(since before: Int) throws(WireError) {
    guard before - remainingBytes <= RecordID.encodedBytesMax else {
      throw Self.malformed("a record id may be at most \(RecordID.encodedBytesMax) bytes long")
    }
  }

  /// `count` ids with their kinds, which must be all that is left.
  mutating func recordIDs(_ count: Int) throws(WireError) -> [RecordID] {
    // The shortest id has 3 bytes: an empty text.
    guard count <= remainingBytes / 3 else { throw Self.malformed("the body is too short for \(count) ids") }
    var ids: [RecordID] = []
    ids.reserveCapacity(count)
    for _ in 0..<count { ids.append(try recordID()) }
    try end()
    return ids
  }
}
