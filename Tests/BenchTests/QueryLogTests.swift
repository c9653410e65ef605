// Queries from files and logs, and samples of them; where a server is.

import Foundation
import TestSupport
import Testing

@testable import Bench

struct QueryLogTests {
  private func log(_ text: String) -> QueryLog { QueryLog(lines: Data(text.utf8), path: "asked.jsonl") }

  @Test func aLogHasAQueryALine() throws {
    let log = log(
      """
      {"vector": [1, -2.5], "k": 5, "filter": "tenant = 7", "time": "2026-01-01T00:00:00Z"}

      {"vector": [0.25, 1e-3]}\r
      \t
      {"filter": "true", "vector": [3, 4]}
      """)
    #expect(log.count == 3)
    #expect(log.kind == "log")
    #expect(
      try log.queries([0, 1, 2]) == [
        LoggedQuery(vector: [1, -2.5], k: 5, filter: "tenant = 7"), LoggedQuery(vector: [0.25, 1e-3]),
        LoggedQuery(vector: [3, 4], filter: "true"),
      ])
    #expect(try log.queries([2]).map(\.vector) == [[3, 4]])
  }

  @Test(arguments: [
    "{\"vector\": [1, \"x\"]}", "{\"k\": 5}", "[1, 2]", "{\"vector\": [1], \"k\": 1.5}", "{\"vector\": []}",
    "{\"vector\": [1], \"k\": 0}", "{\"vector\": [1, 2]", "{\"vector\": [1], \"filter\": 7}", "{\"vector\": [1, 2, 3]}",
  ])
  func aLineThatIsNoQueryIsNamed(line: String) {
    let log = log("{\"vector\": [1, 2]}\n\(line)\n")
    let error = #expect(throws: BenchError.self) { try log.queries([0, 1]) }
    #expect(error?.code == .unfitData)
    #expect(error?.message.contains("Query 1 of asked.jsonl") == true)
  }

  @Test func aFileThatIsNotThereIsNamed() {
    let error = #expect(throws: BenchError.self) { try QueryLog(log: "/nowhere/asked.jsonl") }
    #expect(error?.message.contains("/nowhere/asked.jsonl") == true)
  }

  @Test(arguments: testSeeds) func aSampleHasEachNumberOnce(seed: UInt64) {
    for (count, total) in [(0, 5), (1, 5), (4, 5), (5, 5), (9, 5), (100, 10_000)] {
      let sample = QueryLog.sample(count, of: total, seed: seed)
      #expect(sample.count == min(count, total))
      #expect(sample == Set(sample).sorted())
      #expect(sample.allSatisfy { (0..<total).contains($0) })
      #expect(sample == QueryLog.sample(count, of: total, seed: seed))
    }
    #expect(QueryLog.sample(100, of: 10_000, seed: seed) != QueryLog.sample(100, of: 10_000, seed: seed &+ 1))
  }

  @Test(arguments: testSeeds) func everyNumberIsDrawnAsOften(seed: UInt64) {
    var counts = [Int](repeating: 0, count: 10)
    for i in 0..<5_000 {
      for number in QueryLog.sample(3, of: 10, seed: seed &+ UInt64(i)) { counts[number] += 1 }
    }
    // 1,500 each, with a deviation of 32.
    #expect(counts.allSatisfy { abs($0 - 1_500) < 200 })
  }

  @Test func addressesHaveAHostAndAPort() {
    #expect(ServerAddress(argument: "db.example:7733") == ServerAddress(host: "db.example", port: 7_733))
    #expect(ServerAddress(argument: "[::1]:80") == ServerAddress(host: "::1", port: 80))
    #expect(ServerAddress(argument: "[::1]:80")?.description == "[::1]:80")
    for text in ["", "host", "host:", ":80", "host:0", "host:65536", "host:x", "[]:80"] {
      #expect(ServerAddress(argument: text) == nil, "\(text)")
    }
  }
}
