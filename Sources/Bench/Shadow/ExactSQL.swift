// The statements that ask Postgres for exact answers. Text alone: who runs it is elsewhere.
//
// May use: PostgresSource for quoting, VectorIndex for the metric and ids; Foundation, for the JSON of plans.

import Foundation
import PostgresSource
import VectorIndex

/// A table, and how its rows and distances are asked for.
struct ExactSQL: Sendable {
  struct KeyColumn: Sendable {
    var name: String
    /// The type of a parameter that is compared with it, as SQL writes it.
    var parameterType: String
    var kind: RecordIDKind
  }

  /// As SQL writes it.
  var table: String
  var keyColumns: [KeyColumn]
  var vectorColumn: String
  var vectorType: VectorType
  var metric: Metric
  /// Where pgvector's types and operators are.
  var extensionSchema: String
  /// Which rows of the table the collection has; the operator's own SQL.
  var rowCondition: String?
  /// What filters name, and what it is in the table.
  var attributes: [(name: String, expression: String)] = []

  private var op: String {
    switch metric {
    case .cosine: "<=>"
    case .innerProduct: "<#>"
    case .l2: "<->"
    }
  }

  private static let distance = "vizinho_distance"
  private var keys: String { keyColumns.indices.map { "vizinho_key_\($0)" }.joined(separator: ", ") }

  /// Keys and distances of the rows that meet the condition. `$1` is the question.
  ///
  /// Attributes are columns of a subquery under the names that filters have for them; Postgres takes such a subquery apart.
  private func rows(_ condition: String?) -> String {
    let schema = SQLText.identifier(extensionSchema)
    let vector = SQLText.identifier(vectorColumn)
    let columns =
      keyColumns.enumerated().map { "\(SQLText.identifier($1.name)) AS vizinho_key_\($0)" }
      + ["\(vector) AS vizinho_vector"]
      + attributes.map { "\($0.expression) AS \(SQLText.identifier($0.name))" }
    // The line breaks keep a comment at its end from swallowing the parenthesis.
    let whose = rowCondition.map { " AND (\n\($0)\n)" } ?? ""
    return """
      SELECT \(keys), vizinho_vector OPERATOR(\(schema).\(op)) $1::\(schema).\(vectorType.rawValue) AS \(Self.distance)
        FROM (SELECT \(columns.joined(separator: ", ")) FROM \(table) WHERE \(vector) IS NOT NULL\(whose)) AS candidates
       WHERE \(condition ?? "true")
      """
  }

  /// The k nearest rows, nearest first.
  /// - condition: over the attributes.
  func nearest(k: Int, condition: String?) -> String {
    "SELECT * FROM (\(rows(condition))) AS measured ORDER BY \(Self.distance) LIMIT \(k)"
  }

  /// The distances of rows by their keys, of those that meet the condition. The parameters after the question are ``keyParameters(_:)``.
  func distances(condition: String?) -> String {
    let arrays = keyColumns.enumerated().map { "$\($0 + 2)::pg_catalog.\($1.parameterType)[]" }
    let isWanted =
      keyColumns.count == 1
      ? "\(keys) = ANY (\(arrays[0]))" : "(\(keys)) IN (SELECT * FROM unnest(\(arrays.joined(separator: ", "))))"
    return "SELECT * FROM (\(rows(condition))) AS measured WHERE \(isWanted)"
  }

  /// For each key column an array of its values. Ids that are no keys of this table are left out.
  func keyParameters(_ ids: [RecordID]) -> [String] {
    var columns = [[String]](repeating: [], count: keyColumns.count)
    for id in ids {
      let values = if case .composite(let values) = id { values } else { [id] }
      guard values.count == columns.count, zip(values, keyColumns).allSatisfy({ $0.kind == $1.kind }) else { continue }
      let texts = values.map { value in if case .text(let text) = value { text } else { value.description } }
      // No text in Postgres has a NUL, so there is no such row, and no parameter could say it.
      guard !texts.contains(where: { $0.utf8.contains(0) }) else { continue }
      for (column, text) in texts.enumerated() { columns[column].append(text) }
    }
    return columns.map(SQLText.textArray)
  }

  /// A row of either statement; nil where it has no distance, as a zero vector has none under cosine. Such rows are found by no index.
  /// - Throws: ``BenchError`` with `unfitPostgres` for a key that cannot be read.
  func row(_ fields: [String?]) throws(BenchError) -> RankedRow? {
    var ids: [RecordID] = []
    for (column, field) in zip(keyColumns, fields) {
      guard let field, let id = RecordID(field, kind: column.kind) else {
        throw BenchError(.unfitPostgres, "A key in \(table) is NULL, or no key: \(column.name) is \(field ?? "NULL").")
      }
      ids.append(id)
    }
    guard let text = fields.last ?? nil, let distance = Double(text), !distance.isNaN else { return nil }
    return RankedRow(id: ids.count == 1 ? ids[0] : .composite(ids), distance: distance)
  }

  /// A vector in pgvector's text form, to the last bit.
  static func text(_ vector: [Float]) -> String { "[" + vector.map(\.description).joined(separator: ",") + "]" }

  /// The index by whose order a plan takes its rows, and so leaves some out; nil: all rows are compared.
  /// - plan: as EXPLAIN (FORMAT JSON) prints it.
  static func orderingIndex(inPlan plan: String) -> String? {
    func find(_ value: Any) -> String? {
      if let list = value as? [Any] { return list.lazy.compactMap(find).first }
      guard let node = value as? [String: Any] else { return nil }
      if let name = node["Index Name"] as? String, node["Order By"] != nil { return name }
      return node.values.lazy.compactMap(find).first
    }
    return (try? JSONSerialization.jsonObject(with: Data(plan.utf8))).flatMap(find)
  }
}
