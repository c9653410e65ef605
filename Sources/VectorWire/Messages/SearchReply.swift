// SearchReply: the answer to Search, SearchByID and SearchLike, as a client reads it.
// A server writes it with SearchReplyEncoder, result by result.
//
//      0  position           24 bytes
//     24  u32 queryCount
//     28  u32 resultCount
//     32  u8  recordIDKind, u8 parts (bit 0: groups, bit 1: explanations, bit 2: payload), 6 zeros
//     40  receipts           queryCount × 24 bytes: QueryReceipt
//         ids                resultCount × (i64 | 16 bytes | recordID)
//         padding to 8
//         distances          resultCount × f32
//         groups             resultCount × u32, if there are some
//         explanations       queryCount × string, if there are some
//         payload            u16 columns, their names, then resultCount × columns × (u32 length, UTF-8), if there is some
//
// May use: NIOCore's ByteBuffer.

import NIOCore
import VectorIndex

/// One row that was found.
public struct SearchResult: Hashable, Sendable {
  public var id: RecordID
  /// In the collection's metric; pgvector's value.
  public var distance: Float
  /// The number of its group, counted from 0 in each query; nil where there are no groups.
  public var group: UInt32?
  /// A text, or nil for NULL, for each of the reply's ``SearchReply/payloadColumns``.
  public var payload: [String?]

  public init(id: RecordID, distance: Float, group: UInt32? = nil, payload: [String?] = []) {
    self.id = id
    self.distance = distance
    self.group = group
    self.payload = payload
  }
}

/// The answer to one query.
public struct QueryAnswer: Hashable, Sendable {
  /// Nearest first, but for groups, which stand one after the other, and for a diverse answer, which is in the order of the choice.
  public var results: [SearchResult]
  public var receipt: QueryReceipt
  /// How it was found, in words; nil where nobody asked.
  public var explanation: String?

  public init(results: [SearchResult], receipt: QueryReceipt, explanation: String? = nil) {
    self.results = results
    self.receipt = receipt
    self.explanation = explanation
  }

  /// How many distances were computed for it.
  public var distancesComputed: UInt32 { receipt.distancesComputed }
  public var isExact: Bool { receipt.isExact }
}

/// The answers to all queries of one request, in its order.
public struct SearchReply: WireMessage, Hashable {
  public static let kind = MessageKind.searchReply

  /// What a reply has beside ids and distances.
  public struct Parts: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let groups = Parts(rawValue: 1)
    public static let explanations = Parts(rawValue: 2)
    public static let payload = Parts(rawValue: 4)
    static let known: Parts = [.groups, .explanations, .payload]
  }

  public let position: Position
  public let recordIDKind: RecordIDKind
  public let parts: Parts
  /// The columns of ``SearchResult/payload``; empty where nobody asked for it.
  public let payloadColumns: [String]
  public let answers: [QueryAnswer]
  /// Whether the collection no longer follows Postgres; said in the frame's header.
  public var isStale = false

  /// - Precondition: every id is of `recordIDKind`; results have groups and payload and answers have explanations as `parts` says.
  public init(
    position: Position, recordIDKind: RecordIDKind, parts: Parts = [], payloadColumns: [String] = [],
    answers: [QueryAnswer]
  ) {
    self.position = position
    self.recordIDKind = recordIDKind
    self.parts = parts
    self.payloadColumns = payloadColumns
    self.answers = answers
  }

  public var replyFlags: ReplyFlags { isStale ? .stale : [] }

  public init(frame: Frame) throws(WireError) {
    try self.init(decoding: frame.body)
    isStale = frame.header.replyFlags.contains(.stale)
  }

  public func encode(into buffer: inout ByteBuffer) {
    var encoder = SearchReplyEncoder()
    encoder.begin(
      requestID: 0, position: position, recordIDKind: recordIDKind, queryCount: answers.count, parts: parts,
      payloadColumns: payloadColumns)
    for answer in answers {
      for result in answer.results {
        encoder.append(result.id, distance: result.distance, group: result.group, payload: result.payload)
      }
      encoder.endQuery(answer.receipt, explanation: answer.explanation)
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
    parts = Parts(rawValue: try reader.integer("parts"))
    guard Parts.known.isSuperset(of: parts) else {
      throw WireError(.unsupportedOption, "a reply's parts \(parts.rawValue) are not known here")
    }
    try reader.zero(UInt16.self)
    try reader.zero(UInt32.self)

    guard queryCount <= reader.remainingBytes / QueryReceipt.encodedBytes else {
      throw BodyReader.malformed("the body is too short for \(queryCount) queries")
    }
    var answers: [QueryAnswer] = []
    answers.reserveCapacity(queryCount)
    var counts: [Int] = []
    counts.reserveCapacity(queryCount)
    for _ in 0..<queryCount {
      let (results, receipt) = try reader.receipt()
      counts.append(results)
      answers.append(QueryAnswer(results: [], receipt: receipt))
    }
    guard counts.reduce(0, +) == resultCount else {
      throw BodyReader.malformed("the receipts do not add up to \(resultCount) results")
    }

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
    if parts.contains(.groups) {
      for query in 0..<queryCount {
        for i in 0..<counts[query] { answers[query].results[i].group = try reader.integer("group") }
      }
    }
    if parts.contains(.explanations) {
      for query in 0..<queryCount {
        answers[query].explanation = try reader.string(
          "explanation", bytesMax: WireProtocol.explanationBytesMax)
      }
    }
    if parts.contains(.payload) {
      payloadColumns = try reader.names("payload", bytesMax: AttributeSchema.nameBytesMax)
      // Two numbers under 2^32, of which one is at most 64: no overflow.
      guard resultCount * payloadColumns.count <= reader.remainingBytes / 4 else {
        throw BodyReader.malformed("the body is too short for the payload of \(resultCount) results")
      }
      for query in 0..<queryCount {
        for i in 0..<counts[query] {
          answers[query].results[i].payload.reserveCapacity(payloadColumns.count)
          for _ in payloadColumns { answers[query].results[i].payload.append(try reader.payloadText()) }
        }
      }
    } else {
      payloadColumns = []
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
