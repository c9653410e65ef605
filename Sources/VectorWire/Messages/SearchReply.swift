// SearchReply: the answer to Search and SearchByID, as a client reads it.
// A server writes it with SearchReplyEncoder, result by result.
//
//      0  position           24 bytes
//     24  u32 queryCount
//     28  u32 resultCount
//     32  u8  recordIDKind, 7 zeros
//     40  receipts           queryCount × (u32 results, u32 distances, u32 flags)
//         padding to 8
//         ids                resultCount × (i64 | 16 bytes | recordID)
//         padding to 8
//         distances          resultCount × f32
//
// May use: NIOCore's ByteBuffer.

import NIOCore
import VectorIndex

/// One row that was found.
public struct SearchResult: Hashable, Sendable {
  public var id: RecordID
  /// In the collection's metric; pgvector's value.
  public var distance: Float

  public init(id: RecordID, distance: Float) {
    self.id = id
    self.distance = distance
  }
}

/// The answer to one query.
public struct QueryAnswer: Hashable, Sendable {
  /// In ascending order of their distances.
  public var results: [SearchResult]
  /// How many distances were computed for it.
  public var distancesComputed: UInt32
  public var isExact: Bool

  public init(results: [SearchResult], distancesComputed: UInt32, isExact: Bool) {
    self.results = results
    self.distancesComputed = distancesComputed
    self.isExact = isExact
  }
}

/// The answers to all queries of one request, in its order.
public struct SearchReply: WireMessage, Hashable {
  public static let kind = MessageKind.searchReply

  public let position: Position
  public let recordIDKind: RecordIDKind
  public let answers: [QueryAnswer]

  /// - Precondition: every id is of `recordIDKind`.
  public init(position: Position, recordIDKind: RecordIDKind, answers: [QueryAnswer]) {
    self.position = position
    self.recordIDKind = recordIDKind
    self.answers = answers
  }

  static let receiptBytes = 12

  public func encode(into buffer: inout ByteBuffer) {
    var encoder = SearchReplyEncoder()
    encoder.begin(requestID: 0, position: position, recordIDKind: recordIDKind, queryCount: answers.count)
    for answer in answers {
      for result in answer.results { encoder.append(result.id, distance: result.distance) }
      encoder.endQuery(distancesComputed: Int(answer.distancesComputed), isExact: answer.isExact)
    }
    var frame = encoder.finish()
    frame.moveReaderIndex(forwardBy: WireProtocol.headerBytes)
    buffer.writeBuffer(&frame)
  }

  public init(decoding body: ByteBuffer) throws(WireError) {
    var reader = BodyReader(body)
    position = try reader.position()
    let queryCount = try reader.count("queryCount")
    let resultCount = try reader.count("resultCount")
    recordIDKind = try reader.recordIDKind()
    try reader.zero(UInt8.self)
    try reader.zero(UInt16.self)
    try reader.zero(UInt32.self)

    guard queryCount <= reader.remainingBytes / Self.receiptBytes else {
      throw BodyReader.malformed("the body is too short for \(queryCount) queries")
    }
    var answers: [QueryAnswer] = []
    answers.reserveCapacity(queryCount)
    var counts: [Int] = []
    counts.reserveCapacity(queryCount)
    for _ in 0..<queryCount {
      counts.append(try reader.count("results"))
      let distances: UInt32 = try reader.integer("distances")
      let flags: UInt32 = try reader.integer("flags")
      guard flags <= 1 else { throw WireError(.unsupportedOption, "a receipt's flags \(flags) are not known here") }
      answers.append(QueryAnswer(results: [], distancesComputed: distances, isExact: flags == 1))
    }
    guard counts.reduce(0, +) == resultCount else {
      throw BodyReader.malformed("the receipts do not add up to \(resultCount) results")
    }
    try reader.padding()

    // A result takes at least 3 + 4 bytes: an empty text and its distance.
    guard resultCount <= reader.remainingBytes / 7 else {
      throw BodyReader.malformed("the body is too short for \(resultCount) results")
    }
    for query in 0..<queryCount {
      var results: [SearchResult] = []
      results.reserveCapacity(counts[query])
      for _ in 0..<counts[query] { results.append(SearchResult(id: try Self.id(recordIDKind, &reader), distance: 0)) }
      answers[query].results = results
    }
    try reader.padding()
    for query in 0..<queryCount {
      for i in 0..<counts[query] {
        answers[query].results[i].distance = Float(bitPattern: try reader.integer("distance"))
      }
    }
    try reader.end()
    self.answers = answers
  }

  private static func id(_ kind: RecordIDKind, _ reader: inout BodyReader) throws(WireError) -> RecordID {
    switch kind {
    case .int64, .uuid: return try reader.recordID(of: kind)
    case .text, .composite:
      let id = try reader.recordID()
      guard id.kind == kind else { throw BodyReader.malformed("an id is of another kind than its reply says") }
      return id
    }
  }
}
