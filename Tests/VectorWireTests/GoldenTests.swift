// Our codec against frames that it did not write.

import NIOCore
import Testing

@testable import VectorWire

@Suite struct GoldenTests {
  let golden: GoldenFile
  init() throws { golden = try GoldenFile.load() }

  @Test func everyKindOfMessageIsThere() {
    let kinds = Set(golden.frames.map(\.kind))
    let known: [MessageKind] = [
      .hello, .ping, .listCollections, .statistics, .search, .searchByID, .fetch, .cancel, .searchLike, .describe,
      .welcome, .pong, .collections, .statisticsReply, .searchReply, .fetched, .described, .error,
    ]
    #expect(kinds == Set(known.map(\.rawValue)))
  }

  @Test func weWriteTheSameBytes() throws {
    for frame in golden.frames {
      let written = frame.expected.frame(
        requestID: frame.requestID, deadlineMilliseconds: frame.deadlineMilliseconds)
      #expect(try written == bytes(ofHex: frame.hex), "\(frame.name)")
    }
  }

  @Test func weReadTheSameMeaning() throws {
    for frame in golden.frames {
      var reader = FrameReader()
      reader.append(try bytes(ofHex: frame.hex))
      guard case .frame(let read) = reader.next(bodyBytesMax: 1 << 20) else {
        Issue.record("\(frame.name) is no frame")
        continue
      }
      #expect(!reader.isAmidFrame)
      #expect(read.header.kind.rawValue == frame.kind && read.header.requestID == frame.requestID, "\(frame.name)")
      #expect(read.header.deadlineMilliseconds == frame.deadlineMilliseconds, "\(frame.name)")
      let message = try decodeAny(read.header.kind, read.body)
      // Bytes decide: existentials have no ==, and -0.0 == 0.0 would hide a difference.
      #expect(body(of: message) == body(of: frame.expected), "\(frame.name)")
      #expect(type(of: message) == type(of: frame.expected), "\(frame.name)")
    }
  }

  /// The meaning, field by field, of one frame of each sort that carries numbers.
  @Test func fieldsLandWhereTheyBelong() throws {
    let search = try #require(golden.frames.first { $0.name.hasPrefix("search, two f16") })
    let request = try SearchRequest(decoding: try bodyOf(search))
    #expect(
      request.terms == SearchTerms(collection: "d", k: 1, effort: 64, recallTarget: nil, isExact: false))
    #expect(request.vectors.elementType == .float16 && request.vectors.count == 2 && request.vectors.dimension == 3)
    #expect(request.vectors[0] == [65504, 0x1p-14, 0x1p-24] && request.vectors[1] == [-1.5, 0, -1023 * 0x1p-24])

    let asking = try #require(golden.frames.first { $0.name == "search, a recall target of .9876" })
    let asked = try SearchRequest(decoding: try bodyOf(asking)).terms
    #expect(asked.effort == 0 && asked.recallTarget?.share == 0.9876)
    let asksByID = try #require(golden.frames.first { $0.name.hasSuffix("a recall target of .99") })
    #expect(try SearchByIDRequest(decoding: try bodyOf(asksByID)).terms.recallTarget == RecallTarget(0.99))

    let found = try #require(golden.frames.first { $0.name.hasPrefix("search reply, text") })
    let reply = try SearchReply(decoding: try bodyOf(found))
    #expect(reply.answers.map(\.results.count) == [3, 0, 1] && reply.answers.allSatisfy(\.isExact))
    #expect(reply.answers[0].results[2] == SearchResult(id: .text("naïve ✓"), distance: 0.5))
    #expect(reply.answers[2].results == [SearchResult(id: .text("z"), distance: 1)])
    #expect(reply.position == Position(systemID: 7_412_233_445_566_778_899, appliedLSN: 0x1_6B37_4D848, timeline: 1))

    let short = try #require(golden.frames.first { $0.name.hasPrefix("search reply, each plan") })
    let receipts = try SearchReply(decoding: try bodyOf(short)).answers.map(\.receipt)
    #expect(receipts.map(\.filtering?.plan) == QueryReceipt.Plan.allCases + [nil])
    #expect(receipts.map(\.filtering?.matchingRows) == [0, 2_048, 70_000, 5_000_000_000, 3_000, nil])
    #expect(receipts.map(\.shortfall) == [.fewMatch, .threshold, .groups, nil, nil, .threshold])

    let parts = try #require(golden.frames.first { $0.name.hasSuffix("groups and explanations") })
    let grouped = try SearchReply(decoding: try bodyOf(parts))
    #expect(grouped.answers[0].results.map(\.group) == [0, 0, 1] && grouped.parts == [.groups, .explanations])
    #expect(grouped.answers.map(\.explanation) == ["filter: größe > 1\nplan: walk", ""])
    let carries = try #require(golden.frames.first { $0.name.hasSuffix("explanations and payload") })
    let carried = try SearchReply(decoding: try bodyOf(carries))
    #expect(carried.payloadColumns == ["title", "größe"] && carried.parts == [.groups, .explanations, .payload])
    #expect(carried.answers.map { $0.results.map(\.payload) } == [[["Olá", nil], ["", "7"]], [[nil, nil]]])

    let all = try #require(golden.frames.first { $0.name.hasPrefix("search, all modifiers") })
    let modifiers = try SearchRequest(decoding: try bodyOf(all)).terms.modifiers
    #expect(try modifiers.filter(of: 0)?.form() == .tree(.isNull("a")))
    #expect(modifiers.distanceMax == 0.75 && modifiers.offset == 20 && modifiers.explains)
    #expect(modifiers.grouping == .init(attribute: "document", perGroup: 3))
    #expect(modifiers.diversity == .init(lambda: 0.5, candidates: 0))

    let newer = try #require(golden.frames.first { $0.name == "search, a position to wait for" })
    let freshness = try SearchRequest(decoding: try bodyOf(newer)).terms.modifiers.freshness
    #expect(
      freshness
        == .position(
          Position(systemID: 7_412_233_445_566_778_899, appliedLSN: 0x1_6B37_4D848, timeline: 1),
          waitMilliseconds: 1_500))
    let strong = try #require(golden.frames.first { $0.name == "fetch vectors, strong" })
    #expect(try FetchRequest(decoding: try bodyOf(strong)).freshness == .strong(waitMilliseconds: 60_000))

    let likeness = try #require(golden.frames.first { $0.name.hasPrefix("search like and unlike") })
    let like = try SearchLikeRequest(decoding: try bodyOf(likeness))
    #expect(like.positives == [.text("a"), .text("b")] && like.negatives == [.text("é")])

    let fetched = try #require(golden.frames.first { $0.name.hasPrefix("fetched, one") })
    let vectors = try Fetched(decoding: try bodyOf(fetched)).vectors
    #expect(vectors == [[0.5, 0.25], nil, [-1, 3e38]])
  }

  /// What the header says is read with the frame, and bits that are not known are passed over.
  @Test func staleRepliesSayItInTheirHeader() throws {
    for frame in golden.frames where [.searchReply, .fetched].contains(MessageKind(rawValue: frame.kind)) {
      var bytes = try bytes(ofHex: frame.hex)
      for flags in [frame.deadlineMilliseconds, frame.deadlineMilliseconds | 0x8000_0002] {
        bytes.setInteger(flags, at: 12, endianness: .little)
        var reader = FrameReader()
        reader.append(bytes)
        guard case .frame(let read) = reader.next(bodyBytesMax: 1 << 20) else {
          Issue.record("\(frame.name) is no frame")
          continue
        }
        let isStale =
          read.header.kind == .fetched ? try Fetched(frame: read).isStale : try SearchReply(frame: read).isStale
        #expect(isStale == frame.name.contains("stale"), "\(frame.name)")
      }
    }
    #expect(golden.frames.count { $0.name.contains("stale") } == 2)
  }

  @Test func whatMustBeRefusedIsRefused() throws {
    for frame in golden.malformed {
      var reader = FrameReader()
      reader.append(try bytes(ofHex: frame.hex))
      guard case .frame(let read) = reader.next(bodyBytesMax: 1 << 20) else {
        Issue.record("\(frame.name) is no frame")
        continue
      }
      let error = #expect(throws: WireError.self, "\(frame.name)") { try decodeAny(read.header.kind, read.body) }
      if let code = frame.code { #expect(error?.code.rawValue == code, "\(frame.name)") }
    }
  }

  private func bodyOf(_ frame: GoldenFrame) throws -> ByteBuffer {
    var buffer = try bytes(ofHex: frame.hex)
    buffer.moveReaderIndex(forwardBy: WireProtocol.headerBytes)
    return buffer.slice()
  }
}
