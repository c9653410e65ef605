// The statements that make pgvector's indexes and search in them. Text alone: who runs it is elsewhere.
//
// May use: PgvectorIndex, PostgresSource for quoting, VectorIndex for the metric.

import PostgresSource
import VectorIndex

/// What pgvector is asked, about one table with one index.
struct PgvectorSQL: Sendable {
  var index: PgvectorIndex
  /// As SQL writes it.
  var table: String
  var metric: Metric
  /// The type of the column.
  var column: VectorType
  var dimension: Int

  static let key = "id"
  static let vector = "embedding"
  /// A number from 0 to 1 that has nothing to do with the vectors: below s it is in a share s of the rows.
  static let share = "share"

  private var suffix: String {
    switch metric {
    case .cosine: "cosine_ops"
    case .innerProduct: "ip_ops"
    case .l2: "l2_ops"
    }
  }

  private var op: String {
    switch metric {
    case .cosine: "<=>"
    case .innerProduct: "<#>"
    case .l2: "<->"
    }
  }

  /// The question. All indexes get the same bytes, a `vector`; half precision is made of it by the server.
  private func question(as type: VectorType) -> String {
    type == .vector ? "$1::vector" : "$1::vector::halfvec(\(dimension))"
  }

  /// The statement that makes the index; nil where there is none to make.
  func create(named name: String) -> String? {
    let quoted = SQLText.identifier(name)
    func hnsw(_ what: String, _ m: Int, _ effort: Int) -> String {
      "CREATE INDEX \(quoted) ON \(table) USING hnsw (\(what)) WITH (m = \(m), ef_construction = \(effort))"
    }
    switch index {
    case .hnsw(let m, let effort): return hnsw("\(Self.vector) \(column.rawValue)_\(suffix)", m, effort)
    case .halfvec(let m, let effort): return hnsw("(\(halves)) halfvec_\(suffix)", m, effort)
    case .binary(let m, let effort): return hnsw("(\(bits)) bit_hamming_ops", m, effort)
    case .ivfflat(let lists):
      return "CREATE INDEX \(quoted) ON \(table) USING ivfflat (\(Self.vector) \(column.rawValue)_\(suffix)) "
        + "WITH (lists = \(lists ?? 1))"
    case .exact: return nil
    }
  }

  private var halves: String { "\(Self.vector)::halfvec(\(dimension))" }
  private var bits: String { "binary_quantize(\(Self.vector))::bit(\(dimension))" }

  /// The k nearest rows' keys. `$1` is the question.
  ///
  /// k, effort and condition stand in the text: one plan fits them all, and the server need not plan anew for each question.
  /// - condition: on the columns, without WHERE.
  func search(k: Int, effort: Int, condition: String? = nil) -> String {
    let filter = condition.map { " WHERE \($0)" } ?? ""
    switch index {
    case .hnsw, .ivfflat, .exact:
      return
        "SELECT \(Self.key) FROM \(table)\(filter) ORDER BY \(Self.vector) \(op) \(question(as: column)) LIMIT \(k)"
    case .halfvec:
      return "SELECT \(Self.key) FROM \(table)\(filter) ORDER BY \(halves) \(op) \(question(as: .halfvec)) LIMIT \(k)"
    case .binary:
      return
        "SELECT \(Self.key) FROM (SELECT \(Self.key), \(Self.vector) FROM \(table)\(filter) "
        + "ORDER BY \(bits) <~> binary_quantize(\(question(as: column)))::bit(\(dimension)) LIMIT \(effort)) AS candidates "
        + "ORDER BY \(Self.vector) \(op) \(question(as: column)) LIMIT \(k)"
    }
  }
}

extension PgvectorIndex {
  /// About the memory that a parallel build of the graph takes: what `maintenance_work_mem` must hold for the build to stay in memory. The
  /// vector, and for each of 2 m links on the ground and the few above it a pointer and a distance; allocation rounds up.
  /// - column: the type of the column.
  func graphBytes(rows: Int, dimension: Int, column: VectorType = .vector) -> Int {
    let componentBytes = column == .vector ? 4 : 2
    func graph(_ m: Int, _ vectorBytes: Int) -> Int { rows * (vectorBytes + 2 * m * 16 + m * 8 + 160) * 5 / 4 }
    switch self {
    case .hnsw(let m, _): return graph(m, componentBytes * dimension)
    case .halfvec(let m, _): return graph(m, 2 * dimension)
    case .binary(let m, _): return graph(m, dimension / 8)
    // k-means over a sample of 50 rows a list, or 10,000.
    case .ivfflat(let lists): return max(10_000, 50 * (lists ?? 1)) * dimension * componentBytes * 2
    case .exact: return 0
    }
  }
}
