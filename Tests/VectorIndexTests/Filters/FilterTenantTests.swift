// Filters that keep to one tenant: which do by their form, and that those which do find nobody else's rows.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct FilterTenantTests {
  private static let seven = Filter.comparison("t", .equal, .int64(7))
  private static let other = Filter.comparison("n", .greater, .int64(1))

  @Test func aConditionOrAnAndOfItPins() {
    let (seven, other) = (Self.seven, Self.other)
    for filter in [
      seven, .and([seven]), .and([other, seven]), .and([other, .and([.and([seven]), other])]), .and([seven, seven]),
      .and([seven, .or([seven, other])]), .and([seven, .not(seven)]), .and([seven, .isIn("t", [.int64(8)])]),
    ] as [Filter] {
      #expect(filter.pinnedValue(of: "t") == .int64(7), "\(filter)")
      #expect(filter.pinnedValue(of: "n") == nil && filter.pinnedValue(of: "T") == nil, "\(filter)")
    }
  }

  @Test func nothingElsePins() {
    let (seven, other) = (Self.seven, Self.other)
    let eight = Filter.comparison("t", .equal, .int64(8))
    for filter in [
      other, .always(true), .always(false), .and([]), .or([seven]), .or([seven, seven]), .not(seven), .not(.not(seven)),
      .and([.or([seven, other]), other]), .and([.not(.not(seven)), other]), .isIn("t", [.int64(7)]),
      .isIn("t", [.int64(7), .int64(8)]), .between("t", .int64(7), .int64(7)), .isNull("t"), .not(.isNull("t")),
      .comparison("t", .equal, .null), .and([seven, .comparison("t", .equal, .null)]), .and([seven, eight]),
      .comparison("t", .notEqual, .int64(7)), .comparison("t", .lessOrEqual, .int64(7)), .hasPrefix("t", "7"),
      .anyEqual("t", .int64(7)), .contains("t", [.int64(7)]),
    ] as [Filter] { #expect(filter.pinnedValue(of: "t") == nil, "\(filter)") }
  }

  /// Names and values are told apart by their bytes, as rows are.
  @Test func bytesCount() {
    let composed = Filter.comparison("\u{E9}", .equal, .keyword("\u{E9}"))
    #expect(composed.pinnedValue(of: "\u{E9}") == .keyword("\u{E9}"))
    #expect(composed.pinnedValue(of: "e\u{301}") == nil)
    #expect(
      Filter.and([composed, .comparison("\u{E9}", .equal, .keyword("e\u{301}"))]).pinnedValue(of: "\u{E9}") == nil)
  }

  @Test(arguments: testSeeds) func whatIsPinnedIsAllThatIsFound(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    for type in [AttributeType.int64, .uuid, .keyword] {
      let schema = try AttributeSchema([
        AttributeColumn("other", .int64),
        AttributeColumn("tenant", type, ordersBytewise: type == .keyword, isTenant: true),
      ])
      let index = try HNSWIndex(
        configuration: HNSWConfiguration(dimension: 2, metric: .l2, storage: .f32, attributes: schema))
      var rows: [RecordID: AttributeValue] = [:]
      for id in 0..<Int64(300) {
        let row = random.row(schema)
        try index.insert(.int64(id), random.vector(dimension: 2), attributes: row)
        rows[.int64(id)] = row[1]
      }
      var pinned = 0
      for _ in 0..<400 {
        var filter = random.filter(schema)
        if random.chance(50) { filter = .and([filter, .comparison("tenant", .equal, random.value(type))]) }
        let program = try index.compile(filter)
        #expect(program.tenant == program.filter.pinnedValue(of: "tenant"))
        guard let tenant = program.tenant else { continue }
        pinned += 1
        let found = try index.search(random.vector(dimension: 2), SearchOptions(k: 300), matching: program)
        #expect(found.allSatisfy { rows[$0.id] == tenant }, "\(filter)")
        // From a row of another tenant, or of none, there is no search; nor from several of which one is such.
        var scratch = SearchScratch(for: index)
        for _ in 0..<3 {
          let id = RecordID.int64(.random(in: 0..<300, using: &random))
          let isOwn = rows[id] == tenant
          var offset = RetrievalOptions(search: SearchOptions(k: 2))
          let near = try index.retrieve(near: id, offset, matching: program, scratch: &scratch) { $0.count }
          offset.offset = 1
          let past = try index.retrieve(near: id, offset, matching: program, scratch: &scratch) { $0.count }
          #expect((near != nil) == isOwn && (past != nil) == isOwn, "\(filter), \(id)")
          let own = rows.first { $0.value == tenant }?.key
          for (positives, negatives) in [([id], []), (own.map { [$0, id] } ?? [id], []), ([own ?? id], [id])]
            as [([RecordID], [RecordID])]
          {
            var code: IndexError.Code?
            do throws(IndexError) {
              _ = try index.retrieve(like: positives, unlike: negatives, offset, matching: program, scratch: &scratch) {
                $0.count
              }
            } catch { code = error.code }
            #expect((code == .unknownRecord) == !isOwn, "\(filter), \(id)")
          }
        }
      }
      #expect(pinned > 100)
    }
  }

  @Test func whoCanBeATenant() throws {
    for column in [
      AttributeColumn("t", .bool, isTenant: true), AttributeColumn("t", .float64, isTenant: true),
      AttributeColumn("t", .timestamp, isTenant: true), AttributeColumn("t", .int64Array, isTenant: true),
      AttributeColumn("t", .keywordArray, isTenant: true), AttributeColumn("t", .uuidArray, isTenant: true),
      AttributeColumn("t", .int64, isIndexed: false, isTenant: true),
    ] {
      let error = #expect(throws: IndexError.self) { try AttributeSchema([column]) }
      #expect(error?.code == .invalidConfiguration && error?.message.contains("tenant") == true)
    }
    let a = AttributeColumn("a", .uuid, isTenant: true)
    #expect(throws: IndexError.self) { try AttributeSchema([a, AttributeColumn("b", .uuid, isTenant: true)]) }
    let schema = try AttributeSchema([
      AttributeColumn("a", .uuid), AttributeColumn("b", .keyword), AttributeColumn("c", .bool),
    ])
    #expect(schema.tenant == nil)
    #expect(try schema.withTenant("b").tenant == 1 && schema.withTenant("a").withTenant("b").tenant == 1)
    for name in ["d", "c", "B", ""] {
      let error = #expect(throws: IndexError.self) { try schema.withTenant(name) }
      #expect(error?.code == .invalidConfiguration)
    }
  }

  /// A snapshot says it in a flag that programs without tenants refuse.
  @Test func theListOfAttributesSaysIt() throws {
    let plain = try AttributeSchema([AttributeColumn("a", .bool), AttributeColumn("t", .keyword, ordersBytewise: true)])
    let schema = try plain.withTenant("t")
    let bytes = schema.encoded()
    #expect(bytes != plain.encoded() && bytes[10] == 7 && plain.encoded()[10] == 3)
    #expect(try AttributeSchema(decoding: bytes) == schema)
    for (at, flags) in [(10, UInt8(8)), (10, 15), (10, 5), (5, 6)] {
      var damaged = bytes
      damaged[at] = flags
      #expect(throws: IndexError.self) { try AttributeSchema(decoding: damaged) }
    }
  }
}
