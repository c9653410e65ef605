// Positions as text, and how long may be waited for one.

import NIOCore
import TestSupport
import Testing

@testable import VectorWire

@Suite struct PositionTests {
  static let here = Position(systemID: 7_412_233_445_566_778_899, appliedLSN: 0x16_B374_D848, timeline: 3)

  @Test func tokensAreThoseOfAllClients() {
    #expect(Self.here.description == "7412233445566778899-3-16.B374D848")
    #expect(Self.here.lsnText == "16/B374D848")
    #expect(Position("7412233445566778899-3-16.B374D848") == Self.here)
    #expect(Position("16/b374d848") == Position(systemID: 0, appliedLSN: 0x16_B374_D848, timeline: 0))
    #expect(Position.unknown.description == "0-0-0.0")
  }

  @Test func tokensComeBack() {
    for seed in UInt64(1)...500 {
      var random = SeededRandom(seed: seed)
      // Of every length.
      let systemID = UInt64.random(in: 0 ... .max, using: &random) >> UInt64.random(in: 0...63, using: &random)
      let lsn = UInt64.random(in: 0 ... .max, using: &random) >> UInt64.random(in: 0...63, using: &random)
      let timeline = UInt32.random(in: 0 ... .max, using: &random) >> UInt32.random(in: 0...31, using: &random)
      let position = Position(systemID: systemID, appliedLSN: lsn, timeline: timeline)
      #expect(Position(position.description) == position, "seed \(seed)")
      #expect(Position(position.lsnText)?.appliedLSN == position.appliedLSN, "seed \(seed)")
    }
    let greatest = Position(systemID: .max, appliedLSN: .max, timeline: .max)
    #expect(Position(greatest.description) == greatest)
  }

  @Test(arguments: [
    "", "-", "--", "1-1-1", "1-1-1.", "1-1-.1", "1-1-1.1-1", " 1-1-1.1", "1-1-1.1\n", "+1-1-1.1", "1--1-1.1",
    "1-1-+1.1",
    "1-1-1.123456789", "1-1-g.1", "1-4294967296-1.1", "18446744073709551616-1-1.1", "\u{661}-1-1.1", "1/", "/1",
    "1/2/3",
    "0x1/2", "123456789/1", String(repeating: "1", count: 10_000),
  ])
  func whatIsNoPositionIsNone(text: String) { #expect(Position(text) == nil) }

  @Test func waitsHaveBounds() {
    for (wait, allowed) in [(-1, false), (0, true), (1, true), (60_000, true), (60_001, false), (Int.max, false)] {
      #expect((Freshness.position(Self.here, waitMilliseconds: wait).fault == nil) == allowed, "\(wait)")
      #expect((Freshness.strong(waitMilliseconds: wait).fault == nil) == (allowed && wait > 0), "\(wait)")
    }
    #expect(Freshness.any.fault == nil && Freshness.any.waitMilliseconds == nil)
  }

  /// Every wait that the wire can carry, and what the other side makes of it.
  @Test func waitsAreHeldAgainstTheirBoundsOnBothSides() throws {
    for wait in [0, 1, 60_000, 60_001, Int(UInt32.max)] {
      for freshness in [Freshness.position(Self.here, waitMilliseconds: wait), .strong(waitMilliseconds: wait)] {
        var modifiers = SearchModifiers()
        modifiers.freshness = freshness
        let search = SearchByIDRequest(.init(collection: "c", k: 1, modifiers: modifiers), ids: [.int64(1)])
        let fetch = FetchRequest(collection: "c", ids: [.int64(1)], freshness: freshness)
        if freshness.fault == nil {
          #expect(try SearchByIDRequest(decoding: body(of: search)) == search)
          #expect(try FetchRequest(decoding: body(of: fetch)) == fetch)
        } else {
          let codes = [
            #expect(throws: WireError.self) { try SearchByIDRequest(decoding: body(of: search)) },
            #expect(throws: WireError.self) { try FetchRequest(decoding: body(of: fetch)) },
          ].map { $0?.code }
          #expect(codes == [.invalidOption, .invalidOption])
        }
      }
    }
  }

  @Test func aFetchThatAsksForNothingNewHasItsOldBytes() {
    let bytes = body(of: FetchRequest(collection: "c", ids: [.int64(1)]))
    #expect(Array(bytes.readableBytesView.prefix(11)) == [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0x63])
  }

  /// A request's deadline and a reply's flags stand in one place, and neither is taken for the other.
  @Test func repliesHaveFlagsWhereRequestsHaveDeadlines() throws {
    var reply = SearchReply(position: Self.here, recordIDKind: .int64, answers: [])
    for isStale in [false, true] {
      reply.isStale = isStale
      let fetched = Fetched(position: Self.here, dimension: 0, vectors: [[]], isStale: isStale)
      for frame in [reply.frame(requestID: 1), fetched.frame(requestID: 1)] {
        var reader = FrameReader()
        reader.append(frame)
        guard case .frame(let read) = reader.next(bodyBytesMax: 1_024) else {
          Issue.record("no frame")
          continue
        }
        #expect(read.header.replyFlags == (isStale ? .stale : []))
        if read.header.kind == .fetched {
          #expect(try Fetched(frame: read) == fetched)
        } else {
          #expect(try SearchReply(frame: read) == reply)
        }
      }
    }
    let ping = Ping().frame(requestID: 1, deadlineMilliseconds: 1)
    #expect(ping.getInteger(at: 12, endianness: .little, as: UInt32.self) == 1)
  }
}
