// Record ids and their byte form.

import TestSupport
import Testing
import VectorIndex

@Suite struct RecordIDTests {
  static let examples: [RecordID] = [
    .int64(0), .int64(.min), .int64(.max), .uuid(high: 0x0011_2233_4455_6677, low: 0x8899_aabb_ccdd_eeff), .text(""),
    .text("chave"), .text(String(repeating: "ä", count: 2_046)),
    .composite([.int64(7), .text("x"), .uuid(high: 1, low: 2)]),
    .composite([RecordID](repeating: .int64(1), count: 32)),
  ]

  @Test(arguments: examples) func survivesItsByteForm(id: RecordID) throws {
    var bytes: [UInt8] = []
    id.encode(into: &bytes)
    #expect(bytes.count == id.encodedByteCount && id.isEncodable)
    let decoded = try #require(RecordID.decode(from: bytes + [0xFF]))
    #expect(decoded.id == id && decoded.byteCount == bytes.count)
    for length in 0..<bytes.count { #expect(RecordID.decode(from: bytes[..<length]) == nil, "cut at \(length)") }
  }

  @Test func hasTheDrawnBytes() {
    var bytes: [UInt8] = []
    RecordID.composite([.int64(-2), .text("é")]).encode(into: &bytes)
    #expect(bytes == [4, 2, 1, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 3, 2, 0, 0xC3, 0xA9])
  }

  @Test func refusesWhatHasNoByteForm() {
    let nested = RecordID.composite([.composite([.int64(1)])])
    let long = RecordID.text(String(repeating: "x", count: 4_094))
    for id in [nested, long, .composite([]), .composite([RecordID](repeating: .int64(1), count: 33))] {
      #expect(!id.isEncodable)
    }
    let bad: [[UInt8]] = [[], [0], [5], [4, 0], [4, 33], [4, 1, 4, 1, 1], [3, 2, 0, 0xC3, 0x28], [3, 0xFF, 0xFF]]
    for bytes in bad {
      #expect(RecordID.decode(from: bytes + [UInt8](repeating: 0, count: bytes.first == 3 ? 0 : 20)) == nil)
    }
  }

  @Test(arguments: testSeeds) func neverTrapsOnNoise(seed: UInt64) {
    print("record id noise, seed \(seed)")
    var random = SeededRandom(seed: seed)
    for _ in 0..<20_000 {
      var bytes = (0..<Int.random(in: 0..<64, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      if !bytes.isEmpty { bytes[0] = UInt8.random(in: 0...5, using: &random) }
      if let (id, count) = RecordID.decode(from: bytes) {
        #expect(count <= bytes.count && id.isEncodable)
        var again: [UInt8] = []
        id.encode(into: &again)
        #expect(again == Array(bytes.prefix(count)))
      }
    }
  }

  @Test func isWrittenAsPostgresWritesIt() {
    let uuid = RecordID.uuid(high: 0x0011_2233_4455_6677, low: 0x8899_aabb_ccdd_eeff)
    #expect("\(uuid)" == "00112233-4455-6677-8899-aabbccddeeff")
    #expect(RecordID("\(uuid)", kind: .uuid) == uuid)
    #expect(RecordID("-42", kind: .int64) == .int64(-42))
    #expect(RecordID("4x", kind: .int64) == nil && RecordID("00112233", kind: .uuid) == nil)
    #expect("\(RecordID.composite([.int64(7), .text("a")]))" == "(7,a)")
  }

  @Test func equalMeansEqualBytes() throws {
    // Postgres tells these two keys apart; Swift's strings do not.
    let composed = "caf\u{E9}"
    let decomposed = "cafe\u{301}"
    #expect(composed == decomposed)
    #expect(RecordID.text(composed) != .text(decomposed))
    #expect(RecordID.composite([.int64(1), .text(composed)]) != .composite([.int64(1), .text(decomposed)]))
    let index = try HNSWIndex(configuration: HNSWConfiguration(dimension: 2, metric: .l2, recordIDKind: .text))
    try index.insert(.text(composed), [1, 2])
    try index.insert(.text(decomposed), [3, 4])
    #expect(index.vector(of: .text(composed)) == [1, 2] && index.vector(of: .text(decomposed)) == [3, 4])
  }
}
