// How fast rows come in, beside psql's `\copy … (FORMAT binary)` of the same table. Prints; asserts no time.
//
//     VIZINHO_MEASURE=1 swift test -c release --skip-build --disable-xctest --filter BulkReadSpeed

import Foundation
import PostgresSource
import Testing

@Suite(.enabled(if: ProcessInfo.processInfo.environment["VIZINHO_MEASURE"] == "1"), .serialized)
struct BulkReadSpeed {
  private static let rows = 100_000

  @Test(arguments: [(384, "vector"), (768, "vector"), (768, "halfvec")])
  func rowsPerSecond(dimension: Int, type: String) throws {
    try LiveDatabase.with { database in
      // 100 different random vectors, repeated: what matters here is the number of bytes.
      try database.run(
        "CREATE TABLE items (id bigint PRIMARY KEY, embedding \(type)(\(dimension)))",
        """
        INSERT INTO items
        SELECT g, v.e FROM generate_series(1, \(Self.rows)) g
          JOIN (SELECT k, array_agg((random() * 2 - 1)::real)::\(type)(\(dimension)) AS e
                  FROM generate_series(0, 99) k, generate_series(1, \(dimension)) GROUP BY k) v ON v.k = g % 100
        """,
        "VACUUM ANALYZE items")
      print("\(Self.rows) rows of \(type)(\(dimension)):")
      for workers in [1, 1, 1, 2, 2] {
        let reader = try database.reader(.table(TableSource("items")), workers: workers)
        let start = ContinuousClock.now
        let summary = try reader.read { _ in }
        report("\(workers) worker(s), copied and decoded", ContinuousClock.now - start)
        #expect(summary.rows == Self.rows)
      }
      for _ in 0..<3 { try measurePsql(database) }
    }
  }

  /// The decoder alone, fed with one row a chunk from memory, as libpq would.
  @Test(arguments: [(384, VectorType.vector), (768, .vector), (768, .halfvec)])
  func decodedRowsPerSecond(dimension: Int, type: VectorType) throws {
    let layout = RowLayout(keyTypes: [.bigint], vectorType: type, dimension: dimension)
    let header = CopyStream().bytes
    var stream = CopyStream()
    stream.append(.int64(1), (0..<dimension).map { Float($0) / 1_024 }, layout)
    let row = Array(stream.bytes[header.count...])
    for _ in 0..<3 {
      var decoder = BinaryCopyDecoder(layout: layout)
      var batch = RowBatch(dimension: dimension)
      try header.withUnsafeBytes { try decoder.decode($0, into: &batch) }
      let start = ContinuousClock.now
      for number in 0..<Self.rows {
        try row.withUnsafeBytes { try decoder.decode($0, into: &batch) }
        if number % 2_048 == 2_047 { batch = RowBatch(dimension: dimension) }
      }
      report("decoder alone, \(type)(\(dimension))", ContinuousClock.now - start)
      #expect(decoder.rowCount == Self.rows)
    }
  }

  private func measurePsql(_ database: LiveDatabase) throws {
    let environment = ProcessInfo.processInfo.environment
    guard let url = environment["VIZINHO_TEST_POSTGRES"] else { return }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [
      "psql", "--no-psqlrc", "--quiet", "--dbname", url, "--command", "\\connect \(database.name)", "--command",
      "\\copy (SELECT id, embedding FROM items) TO '/dev/null' (FORMAT binary)",
    ]
    let start = ContinuousClock.now
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    report("psql \\copy to /dev/null", ContinuousClock.now - start)
  }

  private func report(_ what: String, _ duration: Duration) {
    let seconds = duration / .seconds(1)
    print("  \(what): \(Int(Double(Self.rows) / seconds)) rows/s")
  }
}
