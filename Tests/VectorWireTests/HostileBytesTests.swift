// Decoders against bytes that nobody meant: they must refuse, and never trap, hang or believe a length.

import NIOCore
import TestSupport
import Testing
import VectorIndex

@testable import VectorWire

@Suite struct HostileBytesTests {
  let golden: GoldenFile
  init() throws { golden = try GoldenFile.load() }

  /// Every message loses its end at every byte. What is shorter must not decode, but for Ping, which may be any length.
  @Test func truncationAtEveryByte() throws {
    for frame in golden.frames where frame.kind & 0x7F != 0x02 {
      let whole = body(of: frame.expected)
      for length in 0..<whole.readableBytes {
        let cut = try #require(whole.getSlice(at: 0, length: length))
        #expect(throws: WireError.self, "\(frame.name) cut to \(length) bytes") {
          try decodeAny(MessageKind(rawValue: frame.kind), cut)
        }
      }
    }
  }

  @Test func aByteTooManyIsMalformed() {
    for frame in golden.frames where frame.kind & 0x7F != 0x02 {
      var long = body(of: frame.expected)
      long.writeInteger(0 as UInt8)
      let error = #expect(throws: WireError.self, "\(frame.name)") {
        try decodeAny(MessageKind(rawValue: frame.kind), long)
      }
      #expect(error?.code == .malformedFrame, "\(frame.name)")
    }
  }

  /// Whatever still decodes after some bytes were changed must encode to the very bytes it was read from: there is one
  /// form for each meaning, so nothing was skipped over.
  @Test func mutatedFrames() {
    for seed in UInt64(1)...3_000 {
      var random = SeededRandom(seed: seed)
      let frame = golden.frames[Int.random(in: golden.frames.indices, using: &random)]
      var bytes = Array(body(of: frame.expected).readableBytesView)
      for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
        let at = Int.random(in: bytes.indices, using: &random)
        switch Int.random(in: 0..<5, using: &random) {
        case 0: bytes[at] = UInt8.random(in: .min ... .max, using: &random)
        case 1: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 2: bytes[at] = 0xFF
        case 3: bytes.remove(at: at)
        default: bytes.insert(UInt8.random(in: .min ... .max, using: &random), at: at)
        }
      }
      check(MessageKind(rawValue: frame.kind), bytes, "seed \(seed), \(frame.name)")
    }
  }

  @Test func randomBodies() {
    for seed in UInt64(1)...3_000 {
      var random = SeededRandom(seed: seed)
      let kind = MessageKind(rawValue: golden.frames[Int.random(in: golden.frames.indices, using: &random)].kind)
      let small = Bool.random(using: &random)
      let bytes = (0..<Int.random(in: 0...300, using: &random)).map { _ in
        // Small bytes reach deeper: lengths, counts and kinds that could be.
        UInt8.random(in: 0...(small ? 4 : 255), using: &random)
      }
      check(kind, bytes, "seed \(seed), kind \(kind)")
    }
  }

  @Test func randomStreams() {
    for seed in UInt64(1)...500 {
      var random = SeededRandom(seed: seed)
      var reader = FrameReader()
      var received = 0
      for _ in 0..<20 {
        let bytes = (0..<Int.random(in: 1...64, using: &random)).map { _ in UInt8.random(in: 0...2, using: &random) }
        reader.append(ByteBuffer(bytes: bytes))
        received += bytes.count
        steps: while true {
          switch reader.next(bodyBytesMax: 1_024) {
          case .needsMore: break steps
          case .frame(let frame):
            #expect(frame.body.readableBytes == Int(frame.header.bodyLength), "seed \(seed)")
          case .invalid: break steps
          }
        }
        #expect(reader.bufferedBytes <= received, "seed \(seed)")
      }
    }
  }

  /// Every value that the two bytes of a recall target can have, beside an effort and without.
  @Test func recallTargetsAreThoseOfTheDocument() throws {
    let vectors = try #require(QueryVectors([[1]]))
    let requests: [(message: any WireMessage, at: Int)] = [
      (SearchRequest(.init(collection: "c", k: 1), vectors: vectors), 10),
      (SearchByIDRequest(.init(collection: "c", k: 1), ids: [.int64(1)]), 10),
      (SearchRequest(.init(collection: "c", k: 1, effort: 7), vectors: vectors), 10),
      (SearchByIDRequest(.init(collection: "c", k: 1, effort: 7), ids: [.int64(1)]), 10),
    ]
    for (n, request) in requests.enumerated() {
      var bytes = body(of: request.message)
      for units in UInt16.min ... .max {
        bytes.setInteger(units, at: request.at, endianness: .little)
        let isAllowed = units == 0 || (n < 2 && (8_000...9_990).contains(units))
        do throws(WireError) {
          let message = try decodeAny(type(of: request.message).kind, bytes)
          if !isAllowed || body(of: message) != bytes { Issue.record("request \(n), \(units)") }
        } catch {
          if isAllowed || error.code != .invalidRecallTarget { Issue.record("request \(n), \(units): \(error)") }
        }
      }
    }
  }

  private func check(_ kind: MessageKind, _ bytes: [UInt8], _ label: String) {
    let buffer = ByteBuffer(bytes: bytes)
    guard let message = try? decodeAny(kind, buffer) else { return }
    #expect(Array(body(of: message).readableBytesView) == bytes, "\(label)")
  }
}
