// The parts that messages are made of: ids, vectors, halves, names, replies written result by result.

import NIOCore
import TestSupport
import Testing
import VectorIndex

@testable import VectorWire

@Suite struct EncodingTests {
  static let ids: [RecordID] = [
    .int64(0), .int64(.min), .int64(.max), .uuid(high: 1, low: .max), .text(""), .text("naïve ✓"),
    .text(String(repeating: "x", count: 4_093)), .composite([.int64(7), .text("a"), .uuid(high: 0, low: 1)]),
    .composite(Array(repeating: .text("k"), count: 32)),
  ]

  /// RecordID's own coder is the slow twin.
  @Test(arguments: ids) func recordIDsHaveOneByteForm(id: RecordID) throws {
    var slow: [UInt8] = []
    id.encode(into: &slow)
    var fast = ByteBuffer()
    fast.writeRecordID(id)
    #expect(Array(fast.readableBytesView) == slow)
    var reader = BodyReader(fast)
    #expect(try reader.recordID() == id)
    #expect(reader.remainingBytes == 0)
  }

  @Test func bothReadersOfIDsAgreeOnAnyBytes() {
    for seed in UInt64(1)...5_000 {
      var random = SeededRandom(seed: seed)
      let small = Bool.random(using: &random)
      let bytes = (0..<Int.random(in: 0...60, using: &random)).map { _ in
        UInt8.random(in: 0...(small ? 5 : 255), using: &random)
      }
      var reader = BodyReader(ByteBuffer(bytes: bytes))
      let fast = try? reader.recordID()
      let slow = RecordID.decode(from: bytes)
      #expect(fast == slow?.id, "seed \(seed)")
      if let slow { #expect(bytes.count - reader.remainingBytes == slow.byteCount, "seed \(seed)") }
    }
  }

  @Test func aCompositeIsBoundedAsAWhole() {
    let half = RecordID.text(String(repeating: "x", count: 2_045))
    // 2 + 2 × (3 + 2,045) = 4,098 bytes.
    #expect(!RecordID.composite([half, half]).isEncodable)
    var bytes = ByteBuffer(bytes: [4, 2])
    bytes.writeRecordID(half)
    bytes.writeRecordID(half)
    var reader = BodyReader(bytes)
    #expect(throws: WireError.self) { try reader.recordID() }
  }

  #if arch(arm64) || os(Linux)
    /// Against the machine's own conversion, all of them.
    @Test func allHalves() {
      for bits in UInt16.min...UInt16.max {
        let expected = Float(Float16(bitPattern: bits))
        let converted = Half.float(ofBits: bits)
        if expected.isNaN {
          #expect(converted.isNaN)
        } else if converted.bitPattern != expected.bitPattern {
          Issue.record("half \(bits): \(converted), not \(expected)")
        }
        if !expected.isNaN, Half.bits(of: expected) != bits { Issue.record("half \(bits) does not come back") }
      }
    }

    @Test func floatsRoundToHalvesAsTheMachineDoes() {
      var random = SeededRandom(seed: 11)
      for round in 0..<200_000 {
        // All floats, and then those near the range of halves.
        let bits = UInt32.random(in: .min ... .max, using: &random)
        let value = Float(bitPattern: round.isMultiple(of: 2) ? bits : 0x3000_0000 &+ bits % 0x1800_0000)
        if value.isNaN { continue }
        if Half.bits(of: value) != Float16(value).bitPattern { Issue.record("seed 11, round \(round): \(value)") }
      }
      #expect(Half.float(ofBits: Half.bits(of: .nan)).isNaN)
    }
  #endif

  @Test func vectorsAreReadFromAnyAlignment() throws {
    for offset in 0..<5 {
      let request = SearchRequest(
        .init(collection: String(repeating: "c", count: offset), k: 1),
        vectors: try #require(QueryVectors([[1, -2], [3, .nan]])))
      let read = try SearchRequest(decoding: body(of: request))
      #expect(read.vectors[0] == [1, -2] && read.vectors[1][0] == 3 && read.vectors[1][1].isNaN)
    }
  }

  @Test func vectorsOfDifferentLengthsAreNoBatch() {
    #expect(QueryVectors([[1, 2], [1]]) == nil)
    #expect(QueryVectors([])?.count == 0)
  }

  @Test func queriesWithoutDimensionsAreMalformed() throws {
    var bytes = body(of: SearchRequest(.init(collection: "c", k: 1), vectors: try #require(QueryVectors([]))))
    bytes.setInteger(UInt32.max, at: 16, endianness: .little)
    let error = #expect(throws: WireError.self) { try SearchRequest(decoding: bytes) }
    #expect(error?.code == .malformedFrame)
  }

  @Test func recallTargetsAreSharesInSteps() {
    for share in [0.8, 0.85, 0.9, 0.95, 0.9876, 0.99, 0.999] { #expect(RecallTarget(share)?.share == share) }
    #expect(RecallTarget(0.80004)?.share == 0.8 && RecallTarget(0.80006)?.share == 0.8001)
    #expect(RecallTarget(Double(Float(0.999)))?.share == 0.999 && RecallTarget(0.8.nextDown)?.share == 0.8)
    for share in [.nan, -.infinity, .infinity, -1, 0, 0.79994, 0.99906, 1, 1.5, 9_500] as [Double] {
      #expect(RecallTarget(share) == nil, "\(share)")
    }
    // What the index takes as a float lies within its own range.
    #expect(RecallTarget(0.8).map { Float($0.share) } == 0.8 && RecallTarget(0.999).map { Float($0.share) } == 0.999)
  }

  @Test func namesAreCutBetweenCharacters() {
    #expect("abc".prefix(utf8BytesMax: 3) == "abc")
    #expect("abé".prefix(utf8BytesMax: 3) == "ab")
    #expect("é".prefix(utf8BytesMax: 1) == "")
    #expect("a👩‍👩‍👧".prefix(utf8BytesMax: 12) == "a")
    for length in 0...600 {
      let text = String(repeating: "é✓x", count: 120).prefix(utf8BytesMax: length)
      #expect(text.utf8.count <= length && text.utf8.count > length - 3)
    }
    let error = ErrorReply(WireError(.internal, String(repeating: "é", count: 2_000)))
    #expect(error.error.message.utf8.count == WireProtocol.errorTextBytesMax)
  }

  @Test func everythingBeforeTheWelcomeFitsItsLimit() {
    let long = String(repeating: "x", count: 5_000)
    let messages: [any WireMessage] = [
      Hello(client: long), Welcome(version: 1, limits: WireLimits(), server: long),
      ErrorReply(WireError(.internal, long), closes: true),
    ]
    for message in messages { #expect(body(of: message).readableBytes <= WireProtocol.handshakeBytesMax) }
  }

  @Test func versionsMeetAtTheHighest() {
    #expect(Hello(versions: 1...1, client: "").commonVersion(with: 1...1) == 1)
    #expect(Hello(versions: 1...9, client: "").commonVersion(with: 1...3) == 3)
    #expect(Hello(versions: 2...9, client: "").commonVersion(with: 1...1) == nil)
    #expect(Hello(versions: 0...0, client: "").commonVersion(with: 1...1) == nil)
  }

  @Test func codesHaveNamesAndKeepTheirNumbers() {
    let numbers = WireError.Code.named.map(\.code.rawValue)
    #expect(
      numbers == [
        1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 30, 31, 32,
        33, 34, 35, 36, 37, 38, 39,
      ])
    #expect(WireError.Code.replyTooLarge.description == "replyTooLarge")
    #expect(WireError.Code(rawValue: 99).description == "code 99")
  }

  /// One encoder for reply after reply, of every kind of id, each held against the message.
  @Test func anEncoderIsUsedAgainAndAgain() throws {
    var encoder = SearchReplyEncoder()
    for seed in UInt64(1)...200 {
      var random = SeededRandom(seed: seed)
      let kind = try #require(RecordIDKind.allCases.randomElement(using: &random))
      let pool = Self.ids.filter { $0.kind == kind }
      let position = Position(systemID: seed, appliedLSN: seed << 32, timeline: 3)
      let parts = SearchReply.Parts(rawValue: .random(in: 0...7, using: &random))
      let columns = parts.contains(.payload) ? (0..<Int.random(in: 0...3, using: &random)).map { "column \($0)" } : []
      let answers = (0..<Int.random(in: 1...5, using: &random)).map { _ in
        var receipt = QueryReceipt(
          distancesComputed: .random(in: 0...9, using: &random), isExact: .random(using: &random))
        if let plan = QueryReceipt.Plan(rawValue: .random(in: 0...5, using: &random)) {
          receipt.filtering = .init(matchingRows: .random(in: 0 ... .max, using: &random), plan: plan)
        }
        receipt.shortfall = QueryReceipt.Shortfall(rawValue: .random(in: 0...3, using: &random))
        return QueryAnswer(
          results: (0..<Int.random(in: 0...6, using: &random)).map { i in
            SearchResult(
              id: pool[i % pool.count], distance: Float(i), group: parts.contains(.groups) ? UInt32(i / 2) : nil,
              payload: columns.map { _ in random.chance(30) ? nil : String(repeating: "é", count: i) })
          }, receipt: receipt, explanation: parts.contains(.explanations) ? "seed \(seed)" : nil)
      }
      encoder.begin(
        requestID: 8, position: position, recordIDKind: kind, queryCount: answers.count, parts: parts,
        payloadColumns: columns)
      for answer in answers {
        for result in answer.results {
          encoder.append(result.id, distance: result.distance, group: result.group, payload: result.payload)
        }
        encoder.endQuery(answer.receipt, explanation: answer.explanation)
      }
      var reader = FrameReader()
      reader.append(encoder.finish())
      guard case .frame(let frame) = reader.next(bodyBytesMax: 1 << 20) else {
        Issue.record("seed \(seed): no frame")
        continue
      }
      #expect(frame.header.kind == .searchReply && frame.header.requestID == 8 && !reader.isAmidFrame)
      let reply = try SearchReply(decoding: frame.body)
      #expect(
        reply
          == SearchReply(
            position: position, recordIDKind: kind, parts: parts, payloadColumns: columns, answers: answers),
        "seed \(seed)")
    }
  }

  @Test func aReplyStopsAtItsLimit() {
    // 40 + 24; then 12 bytes a result, the ids padded to 8.
    for (limit, fits) in [(64 + 120, true), (64 + 119, false)] {
      var encoder = SearchReplyEncoder()
      encoder.begin(
        requestID: 1, position: .unknown, recordIDKind: .int64, queryCount: 1, resultsExpected: 10, bodyBytesMax: limit)
      for i in 0..<10 { encoder.append(.int64(Int64(i)), distance: 0) }
      encoder.endQuery(QueryReceipt(distancesComputed: 0, isExact: false))
      #expect(encoder.isTooLarge == !fits)
      if fits { #expect(encoder.finish().readableBytes == WireProtocol.headerBytes + limit) }
    }
  }

  /// Groups, explanations and payload count, too: 4 bytes a result, 2 with the text's for each query, and 4 with the text's for each
  /// column of a result, whose names stand before.
  @Test func aReplyStopsAtItsLimitWithAllItsParts() {
    let whole = 64 + 160 + 2 + 5 + (2 + 3 + 4) + 10 * (4 + 2 + 4)
    for (limit, fits) in [(whole, true), (whole - 1, false)] {
      var encoder = SearchReplyEncoder()
      encoder.begin(
        requestID: 1, position: .unknown, recordIDKind: .int64, queryCount: 1,
        parts: [.groups, .explanations, .payload],
        payloadColumns: ["a", "bc"], bodyBytesMax: limit)
      for i in 0..<10 { encoder.append(.int64(Int64(i)), distance: 0, group: 0, payload: ["é", nil]) }
      encoder.endQuery(QueryReceipt(distancesComputed: 0, isExact: false), explanation: "12345")
      #expect(encoder.isTooLarge == !fits)
      if fits { #expect(encoder.finish().readableBytes == WireProtocol.headerBytes + limit) }
    }
  }

  @Test func explanationsAreCut() throws {
    let reply = SearchReply(
      position: .unknown, recordIDKind: .int64, parts: .explanations,
      answers: [
        QueryAnswer(
          results: [], receipt: QueryReceipt(distancesComputed: 0, isExact: false),
          explanation: String(repeating: "é", count: 5_000))
      ])
    let explanation = try SearchReply(decoding: body(of: reply)).answers[0].explanation
    #expect(explanation?.utf8.count == WireProtocol.explanationBytesMax)
  }
}
