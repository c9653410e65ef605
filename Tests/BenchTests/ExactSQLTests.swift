// The statements that ask Postgres for exact answers, and what is read out of its own.

import PostgresSource
import Testing
import VectorIndex

@testable import Bench

struct ExactSQLTests {
  private func sql(
    _ keys: [ExactSQL.KeyColumn] = [.init(name: "id", parameterType: "int8", kind: .int64)], metric: Metric = .cosine,
    type: VectorType = .vector, rows: String? = nil, attributes: [(name: String, expression: String)] = []
  ) -> ExactSQL {
    ExactSQL(
      table: "\"app\".\"docs\"", keyColumns: keys, vectorColumn: "em\"bedding", vectorType: type, metric: metric,
      extensionSchema: "ext", rowCondition: rows, attributes: attributes)
  }

  @Test func operatorsAndTypesAreThoseOfTheExtensionsSchema() {
    let cosine = sql().nearest(k: 7, condition: nil)
    #expect(cosine.contains("vizinho_vector OPERATOR(\"ext\".<=>) $1::\"ext\".vector"))
    #expect(cosine.contains("\"em\"\"bedding\" IS NOT NULL"))
    #expect(cosine.hasSuffix("LIMIT 7"))
    #expect(
      sql(metric: .innerProduct, type: .halfvec).nearest(k: 1, condition: nil)
        .contains("OPERATOR(\"ext\".<#>) $1::\"ext\".halfvec"))
    #expect(sql(metric: .l2).nearest(k: 1, condition: nil).contains("OPERATOR(\"ext\".<->)"))
  }

  @Test func filtersAreOverTheAttributesNames() {
    let text = sql(rows: "live -- only", attributes: [("la\"ng", "\"language\"")])
      .nearest(k: 1, condition: "\"la\"\"ng\" = 'pt'")
    #expect(text.contains("\"language\" AS \"la\"\"ng\""))
    #expect(text.contains("WHERE \"la\"\"ng\" = 'pt'"))
    // A comment at the end of the operator's own condition ends with its line.
    #expect(text.contains("AND (\nlive -- only\n)"))
  }

  @Test func keysOfOneAndOfSeveralColumns() throws {
    let one = sql()
    #expect(one.distances(condition: nil).contains("vizinho_key_0 = ANY ($2::pg_catalog.int8[])"))
    #expect(one.keyParameters([.int64(3), .text("x"), .int64(-4)]) == ["{\"3\",\"-4\"}"])
    let two = sql([
      .init(name: "a", parameterType: "uuid", kind: .uuid), .init(name: "b", parameterType: "text", kind: .text),
    ])
    #expect(
      two.distances(condition: nil).contains(
        "(vizinho_key_0, vizinho_key_1) IN (SELECT * FROM unnest($2::pg_catalog.uuid[], $3::pg_catalog.text[]))"))
    let id = RecordID.composite([.uuid(high: 1, low: 2), .text("a \"quoted\" \\ text")])
    let parameters = two.keyParameters([id, .composite([.uuid(high: 1, low: 2), .text("a\0b")]), .int64(1)])
    #expect(parameters[0] == "{\"00000000-0000-0001-0000-000000000002\"}")
    #expect(parameters[1] == "{\"a \\\"quoted\\\" \\\\ text\"}")
    let row = try two.row(["00000000-0000-0001-0000-000000000002", "a \"quoted\" \\ text", "0.5"])
    #expect(row == RankedRow(id: id, distance: 0.5))
  }

  @Test func rowsWithoutADistanceOrAKey() throws {
    #expect(try sql().row(["1", "-2.5e-07"]) == RankedRow(id: .int64(1), distance: -2.5e-07))
    #expect(try sql().row(["1", "NaN"]) == nil)
    #expect(try sql().row(["1", nil]) == nil)
    #expect(throws: BenchError.self) { try sql().row([nil, "0.5"]) }
    #expect(throws: BenchError.self) { try sql().row(["x", "0.5"]) }
  }

  @Test func vectorsAreWrittenToTheLastBit() {
    let vector: [Float] = [0.1, -1e-20, 3, .greatestFiniteMagnitude, .leastNonzeroMagnitude]
    let text = ExactSQL.text(vector)
    #expect(text.hasPrefix("[0.1,") && text.hasSuffix("]"))
    #expect(text.dropFirst().dropLast().split(separator: ",").map { Float($0) } == vector)
  }

  @Test func aPlanThatTakesRowsInAnIndexsOrderIsNotExact() {
    let exact = """
      [{"Plan": {"Node Type": "Limit", "Plans": [{"Node Type": "Sort", "Sort Key": ["x"], "Plans": [
        {"Node Type": "Bitmap Heap Scan", "Plans": [{"Node Type": "Bitmap Index Scan", "Index Name": "docs_tenant"}]}]}]}}]
      """
    #expect(ExactSQL.orderingIndex(inPlan: exact) == nil)
    let ordered = """
      [{"Plan": {"Node Type": "Limit", "Plans": [{"Node Type": "Index Scan", "Index Name": "docs_hnsw",
        "Order By": "(embedding <=> '[1]'::vector)"}]}}]
      """
    #expect(ExactSQL.orderingIndex(inPlan: ordered) == "docs_hnsw")
    #expect(ExactSQL.orderingIndex(inPlan: "no JSON") == nil)
  }
}
