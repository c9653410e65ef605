// Cutting a stream into frames, however its bytes arrive.

import NIOCore
import TestSupport
import Testing

@testable import VectorWire

@Suite struct FrameReaderTests {
  @Test func oneByteAtATime() throws {
    let golden = try GoldenFile.load()
    var stream = ByteBuffer()
    for frame in golden.frames { stream.writeImmutableBuffer(try bytes(ofHex: frame.hex)) }

    var reader = FrameReader()
    var read: [Frame] = []
    while let byte = stream.readSlice(length: 1) {
      reader.append(byte)
      if case .frame(let frame) = reader.next(bodyBytesMax: 1 << 20) { read.append(frame) }
    }
    #expect(!reader.isAmidFrame)
    #expect(read.count == golden.frames.count)
    for (frame, expected) in zip(read, golden.frames) {
      #expect(frame.body == body(of: expected.expected), "\(expected.name)")
    }
  }

  /// Chunks that end anywhere, with several frames in one and one frame in several.
  @Test func chunksOfAnySize() throws {
    let golden = try GoldenFile.load()
    var stream = ByteBuffer()
    for frame in golden.frames { stream.writeImmutableBuffer(try bytes(ofHex: frame.hex)) }
    for seed in UInt64(1)...50 {
      var random = SeededRandom(seed: seed)
      var rest = stream
      var reader = FrameReader()
      var bodies: [ByteBuffer] = []
      while rest.readableBytes > 0 {
        let length = Int.random(in: 1...min(200, rest.readableBytes), using: &random)
        guard let chunk = rest.readSlice(length: length) else { break }
        reader.append(chunk)
        while case .frame(let frame) = reader.next(bodyBytesMax: 1 << 20) { bodies.append(frame.body) }
      }
      #expect(bodies == golden.frames.map { body(of: $0.expected) }, "seed \(seed)")
    }
  }

  @Test func aHeaderOverTheLimitIsRefusedBeforeItsBodyCame() {
    var reader = FrameReader()
    var buffer = ByteBuffer()
    FrameHeader(kind: .search, bodyLength: 1_025, requestID: 7).encode(into: &buffer)
    reader.append(buffer)
    guard case .invalid(let header, let error) = reader.next(bodyBytesMax: 1_024) else {
      Issue.record("the frame was not refused")
      return
    }
    #expect(header.requestID == 7 && error.code == .frameTooLarge)
    #expect(reader.next(bodyBytesMax: 1_025) == .needsMore)
  }

  @Test(arguments: [5, 6, 7]) func flagsAndReservedMustBeZero(offset: Int) {
    var buffer = Ping().frame(requestID: 1)
    buffer.setInteger(1 as UInt8, at: offset)
    var reader = FrameReader()
    reader.append(buffer)
    guard case .invalid(_, let error) = reader.next(bodyBytesMax: 1_024) else {
      Issue.record("the frame was not refused")
      return
    }
    #expect(error.code == .malformedFrame)
  }

  /// A body handed out stays what it was while the reader goes on.
  @Test func bodiesDoNotChangeUnderTheirOwner() {
    var reader = FrameReader()
    var bodies: [ByteBuffer] = []
    for i in UInt32(1)...200 {
      var payload = ByteBuffer()
      payload.writeRepeatingByte(UInt8(i), count: 100)
      var frame = Ping(payload: payload).frame(requestID: i)
      // Two pieces, the second with the next frame's beginning, so that the reader always holds something.
      guard let first = frame.readSlice(length: 60) else { return }
      reader.append(first)
      #expect(reader.next(bodyBytesMax: 256) == .needsMore)
      reader.append(frame)
      if case .frame(let read) = reader.next(bodyBytesMax: 256) { bodies.append(read.body) }
    }
    #expect(bodies.count == 200)
    for (i, body) in bodies.enumerated() { #expect(body.readableBytesView.allSatisfy { $0 == UInt8(i + 1) }) }
  }
}
