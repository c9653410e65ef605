// Prepared statements with binary values, and COPY into a table, against a live server.

import Testing

@testable import PostgresSource

@Suite(.serialized)
struct PreparedTests {
  private struct GivenUp: Error {}

  private func parameters(_ fill: (inout BinaryParameters) -> Void) -> BinaryParameters {
    var parameters = BinaryParameters()
    fill(&parameters)
    return parameters
  }

  @Test func valuesGoAndComeInBinary() throws {
    try LiveDatabase.with { database in
      let connection = try database.connect()
      try connection.query("CREATE TABLE t (id bigint PRIMARY KEY, share float8, v vector(3))")
      try connection.prepare("add", "INSERT INTO t VALUES ($1::bigint, $2::float8, $3::vector)")
      for i in 0..<5 {
        let row = parameters {
          $0.append(int64: Int64(i) - 2)
          $0.append(float64: Double(i) / 4)
          $0.append(vector: [Float(i), 0.5, -1])
        }
        #expect(try connection.int64s(prepared: "add", row) == [])
      }
      #expect(try database.value("SELECT v::text FROM t WHERE id = 1 AND share = 0.75") == "[3,0.5,-1]")
      try connection.prepare("near", "SELECT id FROM t ORDER BY v <-> $1::vector LIMIT 2")
      let question = parameters { $0.append(vector: [Float(3.9), 0.5, -1][...]) }
      #expect(try connection.int64s(prepared: "near", question) == [2, 1])
      // A name may be given anew.
      try connection.prepare("near", "SELECT id FROM t ORDER BY v <-> $1::vector DESC LIMIT 1")
      #expect(try connection.int64s(prepared: "near", question) == [-2])
      #expect(connection.serverProcessID > 0 && connection.isLocal)
    }
  }

  @Test func whatTheServerRefusesIsSaidAndTheConnectionGoesOn() throws {
    try LiveDatabase.with { database in
      let connection = try database.connect()
      try connection.query("CREATE TABLE t (v vector(3))")
      #expect(throws: SourceError.self) { try connection.prepare("x", "SELECT nonsense FROM t") }
      try connection.prepare("near", "SELECT 1::bigint FROM t ORDER BY v <-> $1::vector")
      try connection.query("INSERT INTO t VALUES ('[1,2,3]')")
      let wrong = #expect(throws: SourceError.self) {
        try connection.int64s(prepared: "near", parameters { $0.append(vector: [1, 2]) })
      }
      #expect(wrong?.message.contains("different vector dimensions 3 and 2") == true)
      #expect(try connection.int64s(prepared: "near", parameters { $0.append(vector: [1, 2, 3]) }) == [1])
      for column in ["1::int", "NULL::bigint", "'x'::text"] {
        try connection.prepare("other", "SELECT \(column)")
        let error = #expect(throws: SourceError.self) { try connection.int64s(prepared: "other", BinaryParameters()) }
        #expect(error?.code == .malformedData, "\(column)")
      }
    }
  }

  @Test func rowsAreCopiedInOrNotAtAll() throws {
    try LiveDatabase.with { database in
      let connection = try database.connect()
      try connection.query("CREATE TABLE t (id bigint, share float8, v vector(2))")
      func chunk(_ rows: Range<Int>, dimension: Int = 2) -> [UInt8] {
        var bytes: [UInt8] = []
        for i in rows {
          let row = parameters {
            $0.append(int64: Int64(i))
            $0.append(float64: 0.5)
            $0.append(vector: [Float](repeating: Float(i), count: dimension))
          }
          row.writeCopyRow(into: &bytes)
        }
        return bytes
      }
      var chunks = [chunk(0..<3), chunk(3..<3), chunk(3..<1_000)][...]
      try connection.copyIn("COPY t FROM STDIN (FORMAT binary)") { chunks.popFirst() }
      let same = "SELECT count(*) FILTER (WHERE v = ('[' || id || ',' || id || ']')::vector) FROM t"
      #expect(try database.value(same) == "1000")

      #expect(throws: GivenUp.self) {
        var isFirst = true
        try connection.copyIn("COPY t FROM STDIN (FORMAT binary)") {
          guard isFirst else { throw GivenUp() }
          isFirst = false
          return chunk(0..<10)
        }
      }
      var wrong = [chunk(0..<5), chunk(5..<6, dimension: 3)][...]
      let refused = #expect(throws: SourceError.self) {
        try connection.copyIn("COPY t FROM STDIN (FORMAT binary)") { wrong.popFirst() }
      }
      #expect(refused?.message.contains("expected 2 dimensions, not 3") == true)
      #expect(throws: SourceError.self) { try connection.copyIn("SELECT 1") { nil } }
      #expect(throws: SourceError.self) { try connection.copyIn("COPY nowhere FROM STDIN (FORMAT binary)") { nil } }
      // The connection is as good as before, and nothing of it is in the table.
      #expect(try connection.query("SELECT count(*) FROM t") == [["1000"]])
    }
  }
}
