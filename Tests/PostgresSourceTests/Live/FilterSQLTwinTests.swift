// The twin of filters: Postgres. What an index finds among rows that were read from a table is what the same condition, as SQL,
// finds in the table.

import PostgresSource
import TestSupport
import Testing
import VectorIndex

@Suite(.serialized)
struct FilterSQLTwinTests {
  /// A column of the table, and what of a random value fits into it.
  struct Column: Sendable {
    var name: String
    var sql: String
    var type: AttributeType
    var fit: @Sendable (AttributeValue) -> AttributeValue = { $0 }
  }

  private static func within<T: FixedWidthInteger>(_: T.Type) -> @Sendable (AttributeValue) -> AttributeValue {
    { value in
      if case .int64(let number) = value { return .int64(Int64(T(clamping: number))) }
      guard case .array(let elements) = value else { return value }
      return .array(elements.map(within(T.self)))
    }
  }

  static let columns: [Column] = [
    Column(name: "flag", sql: "boolean", type: .bool),
    Column(name: "small", sql: "smallint", type: .int64, fit: within(Int16.self)),
    Column(name: "whole", sql: "integer", type: .int64, fit: within(Int32.self)),
    Column(name: "Large", sql: "bigint", type: .int64),
    Column(
      name: "single", sql: "real", type: .float64,
      fit: { value in
        guard case .float64(let number) = value else { return value }
        // 1e308 and the least of a double are no reals.
        return .float64(abs(number) > 1e30 && number.isFinite || abs(number) < 1e-40 ? 0 : number)
      }),
    Column(name: "double", sql: "float8", type: .float64), Column(name: "at", sql: "timestamptz", type: .timestamp),
    Column(name: "key", sql: "uuid", type: .uuid), Column(name: "in", sql: "text", type: .keyword),
    Column(name: "with \"space", sql: "varchar(40) COLLATE \"C\"", type: .keyword),
    Column(name: "it's", sql: "text COLLATE \"C\"", type: .keyword), Column(name: "tag", sql: "tag", type: .keyword),
    Column(name: "smalls", sql: "smallint[]", type: .int64Array, fit: within(Int16.self)),
    Column(name: "wholes", sql: "integer[]", type: .int64Array, fit: within(Int32.self)),
    Column(name: "larges", sql: "bigint[]", type: .int64Array), Column(name: "keys", sql: "uuid[]", type: .uuidArray),
    Column(name: "words", sql: "text[]", type: .keywordArray),
    Column(name: "chars", sql: "varchar(40)[]", type: .keywordArray),
    Column(name: "tags", sql: "tag[]", type: .keywordArray),
  ]

  static func literal(_ value: AttributeValue) -> String {
    switch value {
    case .null: "NULL"
    case .bool(let bool): "\(bool)"
    case .int64(let number): "\(number)"
    case .float64(let number):
      number.isNaN ? "NaN" : number.isInfinite ? (number > 0 ? "Infinity" : "-Infinity") : "\(number)"
    case .timestamp(let microseconds): TimestampText.text(microseconds).replacing("T", with: " ")
    case .uuid(let high, let low): "\(RecordID.uuid(high: high, low: low))"
    case .keyword(let text): text
    case .array(let elements):
      "{"
        + elements.map { element in
          guard element != .null else { return "NULL" }
          let text = literal(element)
          return "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
        }.joined(separator: ",") + "}"
    }
  }

  @Test(arguments: testSeeds) func anIndexFindsWhatPostgresFinds(seed: UInt64) throws {
    print("filters against Postgres, seed \(seed)")
    var random = SeededRandom(seed: seed)
    try LiveDatabase.with { database in
      let connection = try database.connect()
      try connection.query("CREATE DOMAIN tag AS varchar(60)")
      let definitions = Self.columns.map { SQLText.identifier($0.name) + " " + $0.sql }
      try connection.query(
        "CREATE TABLE t (id bigint PRIMARY KEY, v vector(2), \(definitions.joined(separator: ", ")))")
      let parameters = Self.columns.indices.map { i in
        let type = Self.columns[i].sql.replacing(" COLLATE \"C\"", with: "")
        // A parameter is never NULL here: a text that no value has stands for it.
        return "NULLIF($\(i + 1)::text, '~NULL~')::\(type)"
      }
      let insert = "INSERT INTO t VALUES (%, '[1,2]', \(parameters.joined(separator: ", ")))"
      var written: [Int64: [AttributeValue]] = [:]
      for id in 0..<Int64(400) {
        let values = Self.columns.map { column in
          random.chance(15) ? AttributeValue.null : column.fit(random.value(column.type))
        }
        written[id] = values
        try connection.query(
          insert.replacing("%", with: "\(id)"), values.map { $0 == .null ? "~NULL~" : Self.literal($0) })
      }
      let attributes = Self.columns.map { SourceAttribute($0.name) }
      let reader = try database.reader(.table(TableSource("t", attributes: attributes)))
      let schema = try reader.describe().attributeSchema()
      #expect(schema.columns.filter(\.ordersBytewise).count >= 2)
      let index = try HNSWIndex(
        configuration: HNSWConfiguration(dimension: 2, metric: .l2, storage: .f32, attributes: schema))
      _ = try reader.read { batch in
        _ = try batch.vectors.withUnsafeBufferPointer { try index.stage(batch.ids, $0, attributes: batch.attributes) }
      }
      try index.linkStaged(threads: 2, calibrates: false)
      for (id, values) in written { #expect(index.attributes(of: .int64(id)) == values, "row \(id), seed \(seed)") }

      var scratch = SearchScratch(for: index)
      var matched = 0
      for _ in 0..<400 {
        let filter = random.filter(schema)
        let rows = try connection.query("SELECT id FROM t WHERE \(filter.sql)")
        let expected = Set(rows.compactMap { $0[0].flatMap { Int64($0) } }.map { RecordID.int64($0) })
        #expect(try Self.matching(filter, index, &scratch) == expected, "\(filter.sql), seed \(seed)")
        // As text, too: what is written is read as the same.
        let again = try Filter(parsing: filter.description, schema: schema)
        #expect(try Self.matching(again, index, &scratch) == expected, "\(filter), seed \(seed)")
        if !expected.isEmpty, expected.count < 400 { matched += 1 }
      }
      print("\(matched) of 400 filters matched some rows and not all")
      #expect(matched > 150)
    }
  }

  /// The ids of all rows that a filter matches.
  private static func matching(
    _ filter: Filter, _ index: HNSWIndex, _ scratch: inout SearchScratch
  ) throws -> Set<RecordID> {
    let program = try index.compile(filter)
    return try [0, 0].withUnsafeBufferPointer { query in
      try index.search(query, SearchOptions(k: 1_000, exact: true), matching: program, scratch: &scratch) { hits in
        Set((0..<hits.count).map { hits.id(at: $0) })
      }
    }
  }
}
