// Writes a SearchReply while the searches run: every id goes straight from the index into the frame.
//
// May use: NIOCore's ByteBuffer.

import NIOCore
import VectorIndex

/// Builds the frame of a ``SearchReply`` query by query. Kept by a search thread and used again and again.
///
///     encoder.begin(…)
///     for each query { encoder.append(…) for each result; encoder.endQuery(…) }
///     let frame = encoder.finish()
///
/// Allocates the frame once a request (its length is foreseen for int64 and uuid ids) and nothing a result, but for payload.
public struct SearchReplyEncoder {
  private var frame = ByteBuffer()
  /// Distances stand behind all ids, and groups behind those, so they wait here.
  private var distances: [Float] = []
  private var groups: [UInt32] = []
  private var explanations: [String] = []
  private var explanationBytes = 0
  /// Names of its columns and texts of results; what is asked for seldom is not kept between requests.
  private var payload = ByteBuffer()
  private var payloadColumnCount = 0
  private var parts = SearchReply.Parts()
  private var recordIDKind = RecordIDKind.int64
  private var queryCount = 0
  private var queriesEnded = 0
  private var resultsBeforeQuery = 0
  private var bodyBytesMax = Int.max
  /// Whether the reply has become longer than the limit. What is appended from then on is dropped.
  public private(set) var isTooLarge = false

  public init() {}

  private static let bodyStart = WireProtocol.headerBytes
  private static let receiptsStart = bodyStart + 40

  /// The fewest bytes that the body of a reply has.
  public static func bodyBytesMin(
    queryCount: Int, resultCount: Int, recordIDKind: RecordIDKind, parts: SearchReply.Parts = [],
    payloadColumns: [String] = []
  ) -> Int {
    let idBytes =
      switch recordIDKind {
      case .int64: 8
      case .uuid: 16
      case .text: 3
      case .composite: 5
      }
    let queryBytes = QueryReceipt.encodedBytes + (parts.contains(.explanations) ? 2 : 0)
    let resultBytes = idBytes + 4 + (parts.contains(.groups) ? 4 : 0) + 4 * payloadColumns.count
    let names = parts.contains(.payload) ? payloadColumns.reduce(2) { $0 + 2 + $1.utf8.count } : 0
    return 40 + names + queryCount * queryBytes + resultCount * resultBytes
  }

  /// Starts a reply.
  /// - Parameters:
  ///   - flags: what the header says beside the body.
  ///   - queryCount: how often ``endQuery(_:explanation:)`` will be called.
  ///   - parts: what results and queries will have beside ids, distances and receipts.
  ///   - payloadColumns: at most 64; those of the texts that every result brings, if `parts` has them.
  ///   - resultsExpected: of all queries together; what the frame's memory is sized for.
  ///   - bodyBytesMax: the limit in force.
  public mutating func begin(
    requestID: UInt32, flags: ReplyFlags = [], position: Position, recordIDKind: RecordIDKind, queryCount: Int,
    parts: SearchReply.Parts = [], payloadColumns: [String] = [], resultsExpected: Int = 0,
    bodyBytesMax: Int = Int(UInt32.max),
    allocator: ByteBufferAllocator = ByteBufferAllocator()
  ) {
    self.recordIDKind = recordIDKind
    self.queryCount = queryCount
    self.parts = parts
    self.bodyBytesMax = bodyBytesMax
    queriesEnded = 0
    resultsBeforeQuery = 0
    isTooLarge = false
    distances.removeAll(keepingCapacity: true)
    groups.removeAll(keepingCapacity: true)
    explanations = []
    explanationBytes = 0
    payload = ByteBuffer()
    payloadColumnCount = payloadColumns.count
    if parts.contains(.payload) { payload.writeNames(payloadColumns) }

    let expected = Self.bodyBytesMin(
      queryCount: queryCount, resultCount: resultsExpected, recordIDKind: recordIDKind, parts: parts,
      payloadColumns: payloadColumns)
    frame = allocator.buffer(capacity: Self.bodyStart + min(expected, bodyBytesMax) + 16)
    var header = FrameHeader(kind: SearchReply.kind, bodyLength: 0, requestID: requestID)
    header.replyFlags = flags
    header.encode(into: &frame)
    frame.writeField(position)
    frame.writeMultipleIntegers(
      UInt32(queryCount), 0 as UInt32, recordIDKind.rawValue, parts.rawValue, 0 as UInt16, 0 as UInt32,
      endianness: .little)
    frame.writeRepeatingByte(0, count: queryCount * QueryReceipt.encodedBytes)
  }

  /// Adds a result to the query at hand.
  /// - payload: a text or nil for each column given to `begin`.
  /// - Precondition: `id` is of the kind given to `begin`, and there is a group if its parts have them.
  public mutating func append(_ id: RecordID, distance: Float, group: UInt32? = nil, payload values: [String?] = []) {
    guard !isTooLarge else { return }
    switch (id, recordIDKind) {
    case (.int64(let value), .int64): frame.writeInteger(value, endianness: .little)
    case (.uuid(let high, let low), .uuid): frame.writeMultipleIntegers(high, low, endianness: .big)
    case (.text, .text), (.composite, .composite): frame.writeRecordID(id)
    default: preconditionFailure("an id of kind \(id.kind) in a reply of kind \(recordIDKind)")
    }
    distances.append(distance)
    if parts.contains(.groups) {
      guard let group else { preconditionFailure("a result without a group in a grouped reply") }
      groups.append(group)
    }
    precondition(values.count == payloadColumnCount, "a result's payload has a value for each column")
    for value in values { payload.writePayload(value) }
    if bodyBytes > bodyBytesMax { isTooLarge = true }
  }

  /// Ends the query at hand and writes its receipt.
  /// - Parameter explanation: cut to ``WireProtocol/explanationBytesMax``.
  /// - Precondition: there is an explanation if the parts given to `begin` have them.
  public mutating func endQuery(_ receipt: QueryReceipt, explanation: String? = nil) {
    precondition(queriesEnded < queryCount, "more queries than were announced")
    let at = Self.receiptsStart + queriesEnded * QueryReceipt.encodedBytes
    receipt.set(results: distances.count - resultsBeforeQuery, at: at, in: &frame)
    queriesEnded += 1
    resultsBeforeQuery = distances.count
    guard parts.contains(.explanations) else { return }
    guard let explanation else { preconditionFailure("a query without an explanation in a reply that has them") }
    explanations.append(explanation.prefix(utf8BytesMax: WireProtocol.explanationBytesMax))
    explanationBytes += 2 + explanations[explanations.count - 1].utf8.count
    if bodyBytes > bodyBytesMax { isTooLarge = true }
  }

  /// The body's length as it stands, with all that is still to be written.
  private var bodyBytes: Int {
    let ids = frame.writerIndex - Self.bodyStart
    return ids + paddingBytes(at: ids) + 4 * (distances.count + groups.count) + explanationBytes + payload.readableBytes
  }

  /// The whole frame.
  /// - Precondition: not ``isTooLarge``, and every query has been ended.
  public mutating func finish() -> ByteBuffer {
    precondition(!isTooLarge && queriesEnded == queryCount, "the reply is not whole")
    frame.writePadding(from: Self.bodyStart)
    _ = distances.withUnsafeBytes { frame.writeBytes($0) }
    _ = groups.withUnsafeBytes { frame.writeBytes($0) }
    for explanation in explanations { frame.writeField(explanation) }
    if parts.contains(.payload) {
      frame.writeImmutableBuffer(payload)
      payload = ByteBuffer()
    }
    frame.setInteger(UInt32(frame.writerIndex - Self.bodyStart), at: 0, endianness: .little)
    frame.setInteger(UInt32(distances.count), at: Self.bodyStart + 28, endianness: .little)
    let finished = frame
    frame = ByteBuffer()
    return finished
  }
}
