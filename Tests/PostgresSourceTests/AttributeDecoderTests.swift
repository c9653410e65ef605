// Attributes in binary COPY: every type, at every cut, truncated, mutated, and beyond their limits.

import PostgresSource
import Testing
import VectorIndex

struct AttributeDecoderTests {
  private static let fields: [AttributeField] = [
    AttributeField(name: "flag", scalar: .bool), AttributeField(name: "small", scalar: .smallint),
    AttributeField(name: "whole", scalar: .integer), AttributeField(name: "large", scalar: .bigint),
    AttributeField(name: "single", scalar: .real), AttributeField(name: "double", scalar: .double),
    AttributeField(name: "at", scalar: .timestamptz), AttributeField(name: "key", scalar: .uuid),
    AttributeField(name: "word", scalar: .text), AttributeField(name: "smalls", scalar: .smallint, isArray: true),
    AttributeField(name: "larges", scalar: .bigint, isArray: true),
    AttributeField(name: "keys", scalar: .uuid, isArray: true),
    AttributeField(name: "words", scalar: .text, isArray: true),
  ]
  private static let layout = RowLayout(
    keyTypes: [.bigint], vectorType: .vector, dimension: 2, attributes: fields, payload: ["title", "body"])

  private static let rows: [[AttributeValue]] = [
    fields.map { _ in .null },
    [
      .bool(true), .int64(-32_768), .int64(2_147_483_647), .int64(.min), .float64(0.5), .float64(-.infinity),
      .timestamp(.max), .uuid(high: 1, low: .max), .keyword("ção"), .array([.int64(1), .null, .int64(-1)]), .array([]),
      .array([.uuid(high: .max, low: 0)]), .array([.keyword(""), .null, .keyword("b")]),
    ],
    [
      .bool(false), .int64(0), .int64(-1), .int64(.max), .float64(.nan), .float64(-0.0), .timestamp(.min),
      .uuid(high: 0, low: 0), .keyword(""), .array([]), .array((0..<200).map { .int64($0) }), .array([.null]),
      .array([.null, .null]),
    ],
  ]

  private static let payload: [[String?]] = [[nil, ""], ["título", nil], ["", "x"]]

  /// The rows, with one more between them whose vector is NULL.
  private static let stream: [UInt8] = {
    var stream = CopyStream()
    for (i, row) in rows.enumerated() {
      let values = zip(row, fields).map { CopyStream.attribute($0, $1) } + payload[i].map { $0.map { Array($0.utf8) } }
      let id = CopyStream.key(.int64(Int64(i)), .bigint)
      stream.append(fields: [id, CopyStream.vector([Float(i), 1], .vector)] + values)
      if i == 1 { stream.append(fields: [id, nil] + values) }
    }
    stream.end()
    return stream.bytes
  }()

  private func expectRows(_ chunks: [ArraySlice<UInt8>]) throws {
    let (batch, decoder) = try decode(chunks, Self.layout)
    #expect(batch.attributes == Self.rows && batch.payload == Self.payload)
    #expect(batch.ids == [.int64(0), .int64(1), .int64(2)] && batch.vectors == [0, 1, 1, 1, 2, 1])
    #expect(decoder.isComplete && decoder.rowCount == 3 && decoder.nullVectorCount == 1)
    #expect(batch.attributeBytes > 1_600)
  }

  @Test func cutAnywhere() throws {
    let stream = Self.stream
    try expectRows([stream[...]])
    try expectRows(stream.indices.map { stream[$0...$0] })
    for cut in 0...stream.count { try expectRows([stream[..<cut], stream[cut...]]) }
  }

  @Test func truncatedAnywhereIsNotComplete() throws {
    for end in Self.stream.indices {
      let (batch, decoder) = try decode([Self.stream[..<end]], Self.layout)
      #expect(!decoder.isComplete && batch.attributes == Array(Self.rows.prefix(batch.count)))
      #expect(batch.vectors.count == 2 * batch.count)
    }
  }

  @Test func mutatedStreamsEndInAnErrorOrInWholeRows() {
    let seed: UInt64 = 0x5EED_A77B
    print("seed \(seed)")
    var generator = SeededGenerator(seed: seed)
    var refused = 0
    for _ in 0..<20_000 {
      var stream = Self.stream
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
        let (batch, _) = try decode([stream[..<(stream.count / 2)], stream[(stream.count / 2)...]], Self.layout)
        #expect(
          batch.attributes.count == batch.count && batch.payload.count == batch.count
            && batch.vectors.count == 2 * batch.count)
        #expect(batch.attributes.allSatisfy { $0.count == Self.fields.count })
      } catch { refused += 1 }
    }
    #expect(refused > 3_000)
  }

  private func error(_ field: AttributeField, _ bytes: [UInt8]) throws -> SourceError? {
    var stream = CopyStream()
    stream.append(fields: [CopyStream.key(.int64(7), .bigint), CopyStream.vector([1], .vector), bytes])
    stream.end()
    let layout = RowLayout(keyTypes: [.bigint], vectorType: .vector, dimension: 1, attributes: [field])
    do {
      _ = try decode([stream.bytes[...]], layout)
      return nil
    } catch let error as SourceError { return error }
  }

  private static func array(
    dimensions: [Int32], elements: [[UInt8]?], claimed: Int32? = nil
  ) -> [UInt8] {
    var bytes = CopyStream.bigEndian(claimed ?? Int32(dimensions.count)) + [0, 0, 0, 0, 0, 0, 0, 25]
    for length in dimensions { bytes += CopyStream.bigEndian(length) + CopyStream.bigEndian(Int32(1)) }
    for element in elements { bytes += CopyStream.bigEndian(Int32(element?.count ?? -1)) + (element ?? []) }
    return bytes
  }

  @Test func whatNoPostgresSendsIsMalformed() throws {
    let words = AttributeField(name: "w", scalar: .text, isArray: true)
    let numbers = AttributeField(name: "n", scalar: .integer, isArray: true)
    let four: [UInt8] = [0, 0, 0, 1]
    let wrong: [(AttributeField, [UInt8])] = [
      (AttributeField(name: "b", scalar: .bool), []), (AttributeField(name: "b", scalar: .bool), [2]),
      (AttributeField(name: "b", scalar: .bool), [1, 1]), (AttributeField(name: "i", scalar: .integer), [0, 1]),
      (AttributeField(name: "u", scalar: .uuid), [UInt8](repeating: 0, count: 15)),
      (AttributeField(name: "t", scalar: .text), [0xC3, 0x28]),
      (words, []), (words, [UInt8](repeating: 0, count: 11)),
      (words, Self.array(dimensions: [], elements: [], claimed: 7)),
      (words, Self.array(dimensions: [], elements: [], claimed: -1)),
      (words, Self.array(dimensions: [1], elements: [], claimed: 2)),
      (words, Self.array(dimensions: [-1], elements: [])), (words, Self.array(dimensions: [.max, .max], elements: [])),
      (words, Self.array(dimensions: [2], elements: [[65]])),
      (words, Self.array(dimensions: [1], elements: [[65], [66]])),
      (words, Self.array(dimensions: [1], elements: [[0xFF]])),
      (numbers, Self.array(dimensions: [1], elements: [[1, 2]])),
      (numbers, Self.array(dimensions: [1], elements: [four]) + [0]),
      (numbers, Self.array(dimensions: [1], elements: []) + CopyStream.bigEndian(Int32.min)),
      (numbers, Self.array(dimensions: [1], elements: []) + CopyStream.bigEndian(Int32.max)),
    ]
    for (field, bytes) in wrong {
      let found = try error(field, bytes)
      #expect(found?.code == .malformedData && found?.message.contains("\"\(field.name)\"") == true, "\(bytes)")
    }
    // Of several dimensions: one element after the other. An empty one may have a dimension of none.
    #expect(try error(numbers, Self.array(dimensions: [1, 2], elements: [four, nil])) == nil)
    #expect(try error(numbers, Self.array(dimensions: [0], elements: [])) == nil)
    for length in [Int32.min, -2, .max] {
      var stream = CopyStream()
      stream.bytes +=
        CopyStream.bigEndian(Int16(3)) + CopyStream.bigEndian(Int32(8)) + CopyStream.key(.int64(1), .bigint)
      stream.bytes += CopyStream.bigEndian(Int32(8)) + CopyStream.vector([1], .vector) + CopyStream.bigEndian(length)
      let layout = RowLayout(keyTypes: [.bigint], vectorType: .vector, dimension: 1, attributes: [words])
      #expect(throws: SourceError.self) { try decode([stream.bytes[...]], layout) }
    }
  }

  @Test func whatIsTooLongNamesItsRow() throws {
    let text = AttributeField(name: "body", scalar: .text)
    #expect(try error(text, [UInt8](repeating: 65, count: 65_535)) == nil)
    let long = try error(text, [UInt8](repeating: 65, count: 65_536))
    #expect(long?.code == .attributeTooLong)
    for words in ["key 7", "\"body\"", "65536 bytes", "65535"] { #expect(long?.message.contains(words) == true) }
    let words = AttributeField(name: "tags", scalar: .text, isArray: true)
    #expect(try error(words, Self.array(dimensions: [65_535], elements: Array(repeating: nil, count: 65_535))) == nil)
    let many = try error(words, Self.array(dimensions: [65_536], elements: Array(repeating: nil, count: 65_536)))
    #expect(many?.code == .attributeTooLong && many?.message.contains("65536 elements") == true)
    #expect(
      try error(words, Self.array(dimensions: [1], elements: [[UInt8](repeating: 65, count: 65_536)]))?.code
        == .attributeTooLong)
  }

  @Test func textThatIsNoneCountsAsNull() throws {
    let fields = [AttributeField(name: "u", scalar: .uuidText), AttributeField(name: "t", scalar: .timestampText)]
    let layout = RowLayout(keyTypes: [.bigint], vectorType: .vector, dimension: 1, attributes: fields)
    let cases: [(String, String, [AttributeValue])] = [
      (
        "6f1c0a00-0000-4000-8000-00000000beef", "2000-01-01T00:00:01Z",
        [
          .uuid(high: 0x6F1C_0A00_0000_4000, low: 0x8000_0000_0000_BEEF), .timestamp(1_000_000),
        ]
      ),
      ("6f1c0a00", "2000-01-01T00:00:00", [.null, .null]), ("", "", [.null, .null]),
      (String(repeating: "0", count: 5_000), "infinity", [.null, .timestamp(.max)]),
    ]
    for (uuid, time, values) in cases {
      var stream = CopyStream()
      stream.append(
        fields: [
          CopyStream.key(.int64(7), .bigint), CopyStream.vector([1], .vector), Array(uuid.utf8), Array(time.utf8),
        ])
      #expect(try decode([stream.bytes[...]], layout).batch.attributes == [values])
    }
  }
}
