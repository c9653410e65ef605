// Reads Golden/protocol-vectors.json: frames beside their meaning, written by hand from docs/PROTOCOL.md.

import Foundation
import NIOCore
import VectorIndex

@testable import VectorWire

struct GoldenFile: Decodable {
  var frames: [GoldenFrame]
  var malformed: [MalformedFrame]

  static func load() throws -> GoldenFile {
    let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("Golden/protocol-vectors.json")
    return try JSONDecoder().decode(GoldenFile.self, from: Data(contentsOf: url))
  }
}

struct MalformedFrame: Decodable {
  var name: String
  var message: String
  var code: UInt32?
  var hex: String
}

struct GoldenFrame: Decodable {
  var name: String
  var message: String
  var kind: UInt8
  var requestID: UInt32
  var deadlineMilliseconds: UInt32
  var hex: String
  /// What the fields say, as a message of ours.
  var expected: any WireMessage

  enum Key: String, CodingKey { case name, message, kind, requestID, deadlineMilliseconds, hex, fields }

  init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Key.self)
    name = try container.decode(String.self, forKey: .name)
    message = try container.decode(String.self, forKey: .message)
    kind = try container.decode(UInt8.self, forKey: .kind)
    requestID = try container.decode(UInt32.self, forKey: .requestID)
    deadlineMilliseconds = try container.decode(UInt32.self, forKey: .deadlineMilliseconds)
    hex = try container.decode(String.self, forKey: .hex)
    expected = try container.decode(Fields.self, forKey: .fields).message(message)
  }
}

struct GoldenPosition: Decodable {
  var systemID: UInt64, appliedLSN: UInt64, timeline: UInt32
  var value: Position { Position(systemID: systemID, appliedLSN: appliedLSN, timeline: timeline) }
}

/// The fields of all messages; each has some of them.
private struct Fields: Decodable {
  struct GoldenCollection: Decodable {
    var name: String, dimension: Int, metric: UInt8, storage: UInt8, recordIDKind: String, rows: UInt64,
      position: GoldenPosition
  }
  struct Entry: Decodable {
    var statistic: Statistic
    enum Key: String, CodingKey { case name, type, value }
    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: Key.self)
      let name = try container.decode(String.self, forKey: .name)
      switch try container.decode(Int.self, forKey: .type) {
      case 1: statistic = Statistic(name, .integer(try container.decode(UInt64.self, forKey: .value)))
      case 2: statistic = Statistic(name, .real(try container.decode(Double.self, forKey: .value)))
      default: statistic = Statistic(name, .text(try container.decode(String.self, forKey: .value)))
      }
    }
  }
  struct GoldenID: Decodable {
    var id: RecordID
    enum Key: String, CodingKey { case kind, value }
    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: Key.self)
      switch try container.decode(String.self, forKey: .kind) {
      case "int64": id = .int64(try container.decode(Int64.self, forKey: .value))
      case "text": id = .text(try container.decode(String.self, forKey: .value))
      case "uuid":
        guard let uuid = RecordID(try container.decode(String.self, forKey: .value), kind: .uuid) else {
          throw GoldenError.unknown("uuid")
        }
        id = uuid
      default: id = .composite(try container.decode([GoldenID].self, forKey: .value).map(\.id))
      }
    }
  }
  struct Query: Decodable {
    var ids: [GoldenID], distances: [Float], distancesComputed: UInt32, exact: Bool
    var plan, shortfall, explanation: String?
    var matchingRows: UInt64?
    var groups: [UInt32]?
    /// Result by result.
    var payload: [[String?]]?
  }
  struct GoldenAttribute: Decodable {
    var name: String, type: String, ordersBytewise: Bool, isIndexed: Bool, isTenant: Bool
  }
  enum Vectors: Decodable {
    case whole([[Float]])
    case partial([[Float]?])
    init(from decoder: any Decoder) throws {
      let vectors = try decoder.singleValueContainer().decode([[Float]?].self)
      let found = vectors.compactMap { $0 }
      self = found.count == vectors.count ? .whole(found) : .partial(vectors)
    }
    var optional: [[Float]?] {
      switch self {
      case .whole(let vectors): vectors
      case .partial(let vectors): vectors
      }
    }
  }

  var versionMin, versionMax, version: UInt16?
  var client, server, payloadHex, collection, text, recordIDKind: String?
  var frameBytesMax, queriesMax, kMax, efMax, requestsInFlightMax, k, ef, dimension: Int?
  /// In 1/10,000; not there where none is given.
  var recallTarget: UInt16?
  var elementType: UInt8?
  var exact, includesSelf, closes, stale: Bool?
  var requestID, code: UInt32?
  var collections: [GoldenCollection]?
  var entries: [Entry]?
  var vectors: Vectors?
  var ids, like, unlike: [GoldenID]?
  var modifiers: GoldenModifiers?
  var attributes: [GoldenAttribute]?
  var payload, payloadColumns: [String]?
  var parts: UInt8?
  var queries: [Query]?
  var position: GoldenPosition?

  func message(_ name: String) throws -> any WireMessage {
    switch name {
    case "Hello": return Hello(versions: try need(versionMin)...(try need(versionMax)), client: try need(client))
    case "Welcome":
      let limits = WireLimits(
        frameBytesMax: try need(frameBytesMax), queriesMax: try need(queriesMax), kMax: try need(kMax),
        efMax: try need(efMax), requestsInFlightMax: try need(requestsInFlightMax))
      return Welcome(version: try need(version), limits: limits, server: try need(server))
    case "Ping": return Ping(payload: try bytes(ofHex: need(payloadHex)))
    case "Pong": return Pong(answering: Ping(payload: try bytes(ofHex: need(payloadHex))))
    case "ListCollections": return ListCollections()
    case "Collections":
      return Collections(
        try need(collections).map {
          CollectionDescription(
            name: $0.name, dimension: $0.dimension, metric: try need(Metric(rawValue: $0.metric)),
            storage: try need(VectorStorage(rawValue: $0.storage)), recordIDKind: try idKind($0.recordIDKind),
            rows: $0.rows, position: $0.position.value)
        })
    case "Statistics": return StatisticsRequest(collection: try need(collection))
    case "StatisticsReply": return StatisticsReply(try need(entries).map(\.statistic))
    case "Search":
      let elementType = try need(ElementType(rawValue: need(elementType)))
      let queries = try need(vectors).optional.map { try need($0) }
      return SearchRequest(
        try terms(), vectors: try need(QueryVectors(queries, as: elementType)))
    case "SearchReply":
      var reply = SearchReply(
        position: try need(position).value, recordIDKind: try idKind(need(recordIDKind)),
        parts: .init(rawValue: try need(parts)), payloadColumns: payloadColumns ?? [],
        answers: try need(queries).map { try answer($0) })
      reply.isStale = stale ?? false
      return reply
    case "SearchByID":
      return SearchByIDRequest(
        try terms(), ids: try need(ids).map(\.id), includesSelf: try need(includesSelf))
    case "SearchLike":
      return SearchLikeRequest(
        try terms(), like: try need(like).map(\.id), unlike: try need(unlike).map(\.id),
        includesSelf: try need(includesSelf))
    case "Describe": return DescribeRequest(collection: try need(collection))
    case "Described":
      return Described(
        attributes: try AttributeSchema(
          try need(attributes).map { attribute in
            AttributeColumn(
              attribute.name, try need(AttributeType.allCases.first { $0.name == attribute.type }),
              ordersBytewise: attribute.ordersBytewise, isIndexed: attribute.isIndexed,
              isTenant: attribute.isTenant)
          }), payload: try need(payload))
    case "Fetch":
      return FetchRequest(
        collection: try need(collection), ids: try need(ids).map(\.id), wantsVectors: try need(elementType) == 1,
        freshness: try changes().freshness)
    case "Fetched":
      return Fetched(
        position: try need(position).value, dimension: try need(dimension), vectors: try need(vectors).optional,
        isStale: stale ?? false)
    case "Cancel": return Cancel(requestID: try need(requestID))
    case "Error":
      return ErrorReply(WireError(.init(rawValue: try need(code)), try need(text)), closes: try need(closes))
    default: throw GoldenError.unknown(name)
    }
  }

  private func terms() throws -> SearchTerms {
    SearchTerms(
      collection: try need(collection), k: try need(k), effort: try need(ef), recallTarget: try target(),
      isExact: try need(exact), modifiers: try changes())
  }

  private func changes() throws -> SearchModifiers { try modifiers?.value() ?? SearchModifiers() }

  private func answer(_ query: Query) throws -> QueryAnswer {
    var receipt = QueryReceipt(distancesComputed: query.distancesComputed, isExact: query.exact)
    if let plan = query.plan {
      receipt.filtering = .init(
        matchingRows: try need(query.matchingRows), plan: try need(.allCases.first { "\($0)" == plan }))
    }
    if let shortfall = query.shortfall { receipt.shortfall = try need(.allCases.first { "\($0)" == shortfall }) }
    let results = query.ids.indices.map { i in
      SearchResult(
        id: query.ids[i].id, distance: query.distances[i], group: query.groups?[i],
        payload: query.payload?[i] ?? [])
    }
    return QueryAnswer(results: results, receipt: receipt, explanation: query.explanation)
  }

  private func target() throws -> RecallTarget? {
    guard let recallTarget else { return nil }
    return try need(RecallTarget(Double(recallTarget) / 10_000))
  }

  private func need<T>(_ value: T?) throws -> T {
    guard let value else { throw GoldenError.missingField }
    return value
  }

  private func idKind(_ name: String) throws -> RecordIDKind {
    switch name {
    case "int64": .int64
    case "uuid": .uuid
    case "text": .text
    case "composite": .composite
    default: throw GoldenError.unknown(name)
    }
  }
}

enum GoldenError: Error {
  case unknown(String)
  case missingField
  case notHex
}

func bytes(ofHex hex: String) throws -> ByteBuffer {
  let digits = Array(hex.utf8)
  guard digits.count.isMultiple(of: 2) else { throw GoldenError.notHex }
  var buffer = ByteBuffer()
  for i in stride(from: 0, to: digits.count, by: 2) {
    guard let byte = UInt8(String(decoding: digits[i...(i + 1)], as: UTF8.self), radix: 16) else {
      throw GoldenError.notHex
    }
    buffer.writeInteger(byte)
  }
  return buffer
}

/// Decodes a body by its kind, as client and server together would: its filters, too, which a server reads later.
func decodeAny(_ kind: MessageKind, _ body: ByteBuffer) throws(WireError) -> any WireMessage {
  let message = try decodeWithoutFilters(kind, body)
  let modifiers = [
    (message as? SearchRequest)?.terms.modifiers, (message as? SearchByIDRequest)?.terms.modifiers,
    (message as? SearchLikeRequest)?.terms.modifiers,
  ]
  for case let modifiers? in modifiers {
    switch modifiers.filters {
    case .none: break
    case .all(let filter): _ = try filter.form()
    case .each(let filters): for case let filter? in filters { _ = try filter.form() }
    }
  }
  return message
}

private func decodeWithoutFilters(_ kind: MessageKind, _ body: ByteBuffer) throws(WireError) -> any WireMessage {
  switch kind {
  case .hello: try Hello(decoding: body)
  case .welcome: try Welcome(decoding: body)
  case .ping: try Ping(decoding: body)
  case .pong: try Pong(decoding: body)
  case .listCollections: try ListCollections(decoding: body)
  case .collections: try Collections(decoding: body)
  case .statistics: try StatisticsRequest(decoding: body)
  case .statisticsReply: try StatisticsReply(decoding: body)
  case .search: try SearchRequest(decoding: body)
  case .searchByID: try SearchByIDRequest(decoding: body)
  case .searchLike: try SearchLikeRequest(decoding: body)
  case .describe: try DescribeRequest(decoding: body)
  case .described: try Described(decoding: body)
  case .searchReply: try SearchReply(decoding: body)
  case .fetch: try FetchRequest(decoding: body)
  case .fetched: try Fetched(decoding: body)
  case .cancel: try Cancel(decoding: body)
  case .error: try ErrorReply(decoding: body)
  default: throw WireError(.unknownKind, "\(kind)")
  }
}

/// The body alone.
func body(of message: any WireMessage) -> ByteBuffer {
  var buffer = ByteBuffer()
  message.encode(into: &buffer)
  return buffer
}
