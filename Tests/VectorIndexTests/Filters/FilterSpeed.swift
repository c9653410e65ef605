// How long filters take; run with VIZINHO_MEASURE=1.

import TestSupport
import Testing

@testable import VectorIndex

@Suite(.enabled(if: environment("VIZINHO_MEASURE") == "1", "measures, and judges nothing"))
struct FilterSpeed {
  @Test func passesAndPostings() throws {
    let rows = 1_000_000
    let schema = try AttributeSchema([
      AttributeColumn("tenant", .int64), AttributeColumn("lang", .keyword, ordersBytewise: true),
      AttributeColumn("price", .float64), AttributeColumn("doc", .uuid), AttributeColumn("tags", .keywordArray),
      AttributeColumn("public", .bool), AttributeColumn("title", .keyword, ordersBytewise: true, isIndexed: false),
    ])
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: 1, metric: .l2, storage: .f32, connectivity: 2, constructionEffort: 2, attributes: schema))
    var random = SeededRandom(seed: 1)
    let clock = ContinuousClock()
    let staging = try clock.measure {
      for first in stride(from: 0, to: rows, by: 10_000) {
        let ids = (first..<(first + 10_000)).map { RecordID.int64(Int64($0)) }
        let values: [[AttributeValue]] = ids.indices.map { i in
          [
            .int64(Int64((first + i) % 10_000)), .keyword("l\(Int.random(in: 0..<40, using: &random))"),
            .float64(.random(in: 0..<1, using: &random)), .uuid(high: random.next(), low: random.next()),
            .array((0..<3).map { _ in .keyword("t\(Int.random(in: 0..<1_000, using: &random))") }),
            .bool(random.chance(50)),
            .keyword("title \(first + i)"),
          ]
        }
        _ = try [Float](repeating: 0, count: ids.count).withUnsafeBufferPointer {
          try index.stage(ids, $0, attributes: values)
        }
      }
    }
    try index.publishStaged()
    print("\(rows) rows staged in \(staging), \(index.statistics().attributeBytes / rows) bytes of attributes a row")
    let pin = index.store.pins.take(for: .search)
    defer { index.store.pins.giveBack(pin) }
    let version = index.store.pins.enter(pin)
    var scratch = FilterScratch()
    for updates in [0, 2] {
      if updates > 0 {
        // Attribute rows are no longer in the order of the slots.
        for n in 0..<(rows / 200) {
          try index.updateAttributes(of: .int64(Int64(n * 200)), index.attributes(of: .int64(Int64(n * 200))) ?? [])
        }
        print("after an update of a row in 200:")
      }
      for text in [
        "tenant >= 100", "tenant < 100", "tenant = 7", "lang = 'l1'", "lang <> 'l1'", "lang in ('l1','l2','l3')",
        "price < 0.5",
        "price < 0.001", "tags @> {'t1'}", "tags @> {'t1','t2'}", "title prefix 'title 77'", "public = true",
        "tenant = 7 and public = true",
        "not (tenant >= 100 or price < 0.5)", "doc is null",
      ] {
        let program = try index.compile(Filter(parsing: text, schema: schema))
        var best = Duration.seconds(1_000)
        var count = 0
        var first = Duration.zero
        for round in 0..<7 {
          let time = clock.measure { count = index.matching(program, version: version, into: &scratch).count }
          if round == 0 { first = time } else { best = min(best, time) }
        }
        let isListed: Bool =
          if case .slots = index.matching(program, version: version, into: &scratch).form { true } else { false }
        let nanoseconds = Double(best.components.attoseconds) / 1e9
        print(
          "\(text): \(count) rows \(isListed ? "by postings" : "by a pass"), \(best) (first \(first)), \(nanoseconds / Double(rows)) ns a row, \(nanoseconds / Double(max(1, count))) ns a match"
        )
      }
    }
  }
}
