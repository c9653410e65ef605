// The decoder of binary COPY: against its slow twin, at every cut, truncated, mutated.

import PostgresSource
import Testing
import VectorIndex

struct BinaryCopyDecoderTests {
  private let layout = RowLayout(keyTypes: [.bigint], vectorType: .vector, dimension: 3)

  /// A stream with every type of key, and the ids and vectors that it holds.
  private static let sample: (stream: [UInt8], layout: RowLayout, ids: [RecordID], vectors: [Float], nullVectors: Int) =
    {
      let layout = RowLayout(
        keyTypes: [.smallint, .integer, .bigint, .uuid, .text], vectorType: .halfvec, dimension: 2)
      var stream = CopyStream(extensionBytes: [1, 2, 3])
      var ids: [RecordID] = []
      var vectors: [Float] = []
      for i in 0..<5 {
        let id = RecordID.composite([
          .int64(Int64(i) - 2), .int64(-70_000), .int64(.min), .uuid(high: 1 << 63, low: UInt64(i)), .text("é\(i)"),
        ])
        guard i != 3 else {
          stream.append(id, nil, layout)
          continue
        }
        let vector: [Float] = [Float(i) / 4, -65_504]
        stream.append(id, vector, layout)
        ids.append(id)
        vectors += vector
      }
      stream.end()
      return (stream.bytes, layout, ids, vectors, 1)
    }()

  private func expectSample(_ chunks: [ArraySlice<UInt8>]) throws {
    let (batch, decoder) = try decode(chunks, Self.sample.layout)
    #expect(batch.ids == Self.sample.ids)
    #expect(batch.vectors == Self.sample.vectors)
    #expect(decoder.isComplete)
    #expect(decoder.rowCount == 4)
    #expect(decoder.nullVectorCount == Self.sample.nullVectors)
  }

  @Test func wholeStream() throws { try expectSample([Self.sample.stream[...]]) }

  @Test func oneByteAtATime() throws {
    let stream = Self.sample.stream
    try expectSample(stream.indices.map { stream[$0...$0] })
  }

  @Test func cutInTwoAnywhere() throws {
    let stream = Self.sample.stream
    for cut in 0...stream.count { try expectSample([stream[..<cut], stream[cut...]]) }
  }

  @Test func vectorHashesAreOfTheBytesAsTheyCame() throws {
    var layout = Self.sample.layout
    #expect(try decode([Self.sample.stream[...]], layout).batch.vectorHashes.isEmpty)
    layout.hashesVectors = true
    let expected = stride(from: 0, to: Self.sample.vectors.count, by: 2).map { i in
      CopyStream.vector(Array(Self.sample.vectors[i..<(i + 2)]), .halfvec).withUnsafeBytes { RowHasher.vectorHash($0) }
    }
    #expect(Set(expected).count == 4)
    for cut in 0...Self.sample.stream.count {
      let batch = try decode([Self.sample.stream[..<cut], Self.sample.stream[cut...]], layout).batch
      #expect(batch.ids == Self.sample.ids && batch.vectorHashes == expected)
    }
  }

  @Test func truncatedAnywhereIsNotComplete() throws {
    let stream = Self.sample.stream
    for end in 0..<stream.count {
      let (batch, decoder) = try decode([stream[..<end]], Self.sample.layout)
      #expect(!decoder.isComplete)
      #expect(batch.vectors.count == batch.count * batch.dimension)
      #expect(batch.ids == Array(Self.sample.ids.prefix(batch.count)))
    }
  }

  @Test func cutAtRandomPlaces() throws {
    let seed: UInt64 = 0x5EED_C0B1
    print("seed \(seed)")
    var generator = SeededGenerator(seed: seed)
    let stream = Self.sample.stream
    for _ in 0..<500 {
      var chunks: [ArraySlice<UInt8>] = []
      var start = 0
      while start < stream.count {
        let end = min(start + Int.random(in: 1...40, using: &generator), stream.count)
        chunks.append(stream[start..<end])
        start = end
      }
      try expectSample(chunks)
    }
  }

  @Test func mutatedStreamsEndInAnErrorOrInWholeRows() {
    let seed: UInt64 = 0x5EED_F022
    print("seed \(seed)")
    var generator = SeededGenerator(seed: seed)
    var refused = 0
    for _ in 0..<20_000 {
      var stream = Self.sample.stream
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        let place = Int.random(in: 0..<stream.count, using: &generator)
        switch Int.random(in: 0..<3, using: &generator) {
        case 0: stream[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        case 1: stream[place] = [0, 0x7F, 0x80, 0xFF][Int.random(in: 0..<4, using: &generator)]
        default: stream.removeSubrange(place..<min(place + 3, stream.count))
        }
        if stream.isEmpty { stream = [0] }
      }
      do {
        let (batch, _) = try decode([stream[..<(stream.count / 2)], stream[(stream.count / 2)...]], Self.sample.layout)
        #expect(batch.vectors.count == batch.count * batch.dimension)
        #expect(batch.vectors.allSatisfy { $0.isFinite })
      } catch { refused += 1 }
    }
    #expect(refused > 5_000)
  }

  @Test func randomBytesAreRefused() {
    let seed: UInt64 = 0x5EED_0BAD
    print("seed \(seed)")
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<2_000 {
      let tail = (0..<Int.random(in: 1...200, using: &generator)).map { _ in
        UInt8.random(in: 0...255, using: &generator)
      }
      // Behind a valid header, or the first bytes would refuse all of them.
      let stream = CopyStream().bytes + tail
      let batch = try? decode([stream[...]], layout).batch
      #expect(batch?.count ?? 0 == 0 || batch?.vectors.count == (batch?.count ?? 0) * 3)
    }
  }

  @Test func emptyTable() throws {
    var stream = CopyStream()
    stream.end()
    let (batch, decoder) = try decode([stream.bytes[...]], layout)
    #expect(batch.count == 0)
    #expect(decoder.isComplete)
  }

  private func error(_ build: (inout CopyStream) -> Void, _ layout: RowLayout? = nil) throws -> SourceError {
    var stream = CopyStream()
    build(&stream)
    return try #require(throws: SourceError.self) { try decode([stream.bytes[...]], layout ?? self.layout) }
  }

  @Test func badRowsAreNamed() throws {
    let id = CopyStream.key(.int64(7), .bigint)
    let vector = CopyStream.vector([1, 2, 3], .vector)
    #expect(try error { $0.append(fields: [id, vector, vector]) }.code == .malformedData)
    #expect(try error { $0.append(fields: [id]) }.code == .malformedData)
    #expect(try error { $0.append(fields: [Array(id.dropLast()), vector]) }.code == .malformedData)
    #expect(try error { $0.append(fields: [nil, vector]) }.code == .nullKey)
    #expect(try error { $0.append(fields: [id, vector + [0]]) }.code == .malformedData)
    #expect(try error { $0.append(fields: [id, Array(vector.dropLast(4))]) }.code == .malformedData)
    #expect(try error { $0.append(fields: [id, []]) }.code == .malformedData)
    let wrong = try error { $0.append(fields: [id, CopyStream.vector([1, 2], .vector)]) }
    #expect(wrong.code == .dimensionMismatch)
    #expect(wrong.message.contains("7") && wrong.message.contains("2 dimensions, not 3"))
    for component in [Float.nan, .infinity, -.infinity, .signalingNaN] {
      let bad = try error { $0.append(fields: [id, CopyStream.vector([1, component, 3], .vector)]) }
      #expect(bad.code == .notFinite)
    }
    let halves = RowLayout(keyTypes: [.bigint], vectorType: .halfvec, dimension: 1)
    #expect(try error({ $0.append(fields: [id, [0, 1, 0, 0, 0x7C, 0]]) }, halves).code == .notFinite)
  }

  @Test func lengthsAreBoundedBeforeTheyAreBelieved() throws {
    for length in [Int32.max, -2, .min, 64_005] {
      #expect(
        try error { stream in
          stream.bytes += CopyStream.bigEndian(Int16(2)) + CopyStream.bigEndian(length)
        }.code == .malformedData)
      #expect(
        try error { stream in
          stream.bytes += CopyStream.bigEndian(Int16(2)) + CopyStream.bigEndian(Int32(8))
          stream.bytes += CopyStream.key(.int64(1), .bigint) + CopyStream.bigEndian(length)
        }.code == .malformedData)
    }
    for length in [UInt32.max, 65_537] {
      let header = CopyStream.signature + CopyStream.bigEndian(UInt32(0)) + CopyStream.bigEndian(length)
      let error = try #require(throws: SourceError.self) { try decode([header[...]], layout) }
      #expect(error.code == .malformedData)
    }
  }

  @Test func textKeys() throws {
    let layout = RowLayout(keyTypes: [.text], vectorType: .vector, dimension: 1)
    let vector = CopyStream.vector([1], .vector)
    for length in [0, 1, 4_093] {
      var stream = CopyStream()
      stream.append(fields: [Array(repeating: 0x61, count: length), vector])
      stream.end()
      let batch = try decode([stream.bytes[...]], layout).batch
      #expect(batch.ids == [.text(String(repeating: "a", count: length))])
    }
    let long = [UInt8](repeating: 0x61, count: 4_094)
    #expect(try error({ $0.append(fields: [long, vector]) }, layout).code == .keyTooLong)
    #expect(try error({ $0.append(fields: [[0xC3, 0x28], vector]) }, layout).code == .malformedData)
    // Each column fits, but not both in one id.
    let two = RowLayout(keyTypes: [.text, .text], vectorType: .vector, dimension: 1)
    let half = [UInt8](repeating: 0x61, count: 2_100)
    #expect(try error({ $0.append(fields: [half, half, vector]) }, two).code == .keyTooLong)
  }

  @Test func headers() throws {
    for (stream, layout) in [(CopyStream(flags: 1 << 16), layout), (CopyStream(flags: 1 << 31), layout)] {
      let error = try #require(throws: SourceError.self) { try decode([stream.bytes[...]], layout) }
      #expect(error.code == .malformedData)
    }
    // The lower half may be ignored by who does not know it.
    var stream = CopyStream(flags: 0xFFFF)
    stream.end()
    #expect(try decode([stream.bytes[...]], layout).decoder.isComplete)
    let text = Array("1\t[1,2,3]\n".utf8)
    #expect(throws: SourceError.self) { try decode([text[...]], layout) }
  }

  @Test func bytesAfterTheTrailerAreRefused() throws {
    var stream = CopyStream()
    stream.end()
    for chunks in [[(stream.bytes + [0])[...]], [stream.bytes[...], [0]]] {
      let error = try #require(throws: SourceError.self) { try decode(chunks, layout) }
      #expect(error.code == .malformedData)
    }
  }
}
