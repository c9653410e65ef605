// What a comparison was asked for, checked.
//
// May use: PgvectorIndex, EngineEffort; VectorIndex and PostgresSource for their types.

import PostgresSource
import VectorIndex

/// What can be measured.
enum ComparisonPart: String, CaseIterable, Sendable {
  case search, filtered, freshness, mixed
}

struct ComparisonOptions: Sendable {
  /// As the user gave it: goes to libpq and to the engine's environment, and nowhere else.
  var postgres: String
  var connection: ConnectionOptions
  /// A server that runs already; nil: the run starts its own.
  var engine: (address: ServerAddress, collection: String)?
  /// The engine's program; nil: the one beside this one.
  var program: String?

  var metric: Metric
  var k: Int
  var indexes: [PgvectorIndex]
  var storages: [VectorStorage]
  var efSearch: [Int]
  var probes: [Int]
  var ef: [Int]
  var recallTargets: [Double]

  var parts: Set<ComparisonPart>
  var pace: Pace
  var selectivities: [Double]
  var filteredEfSearch: [Int]
  var changes: Int
  var writesPerSecond: [Double]
  var mixedSeconds: Double

  /// nil: what the largest graph needs, within a quarter of this machine's memory; but no less than the server's own.
  var maintenanceBytes: Int?
  /// nil: one less than there are processors, since the process that asks works too.
  var maintenanceWorkers: Int?
  var schema: String
  var keeps: Bool
  var seed: UInt64

  /// The recall that freshness and mixed load are measured at.
  static let workingRecall = 0.95

  var engineEfforts: [EngineEffort] {
    Set(ef.map { max($0, k) }).sorted().map { .ef($0) } + Set(recallTargets).sorted().map { .recallTarget($0) }
  }
}

/// What of it can be done with the data, and in which order.
struct ComparisonPlan: Sendable {
  /// To be built and measured, lists decided.
  var indexes: [PgvectorIndex] = []
  /// What is left out and why, in sentences.
  var notes: [String] = []

  init(_ indexes: [PgvectorIndex], rows: Int, dimension: Int, column: VectorType) {
    for index in indexes.map({ $0.resolved(rows: rows) }) {
      let most = index.dimensionMax(column: column)
      if dimension > most {
        notes.append(
          "\(index.id) was left out: pgvector indexes at most \(most) dimensions in this way, and these are \(dimension)."
        )
      } else if case .halfvec(let m, let effort) = index, column == .halfvec {
        // Where nobody asked for the plain one, it is what was asked for.
        let same = PgvectorIndex.hnsw(connectivity: m, constructionEffort: effort)
        notes.append("\(index.id) was left out: the column holds halves already, so that it would be \(same.id).")
        if !self.indexes.contains(same) { self.indexes.append(same) }
      } else if !self.indexes.contains(index) {
        self.indexes.append(index)
      }
    }
  }

  /// The most that a build takes in the server.
  func graphBytes(rows: Int, dimension: Int, column: VectorType) -> Int {
    Self.graphBytes(indexes, rows: rows, dimension: dimension, column: column)
  }

  /// The most that a build of one of these indexes takes in the server.
  static func graphBytes(_ indexes: [PgvectorIndex], rows: Int, dimension: Int, column: VectorType) -> Int {
    indexes.map { $0.graphBytes(rows: rows, dimension: dimension, column: column) }.max() ?? 0
  }

  /// What is to be said where none of pgvector's indexes is one that filters and rows that change are measured on; nil where one is.
  /// - built: what there is.
  /// - asked: what there should have been.
  /// - parts: that are measured, of whatever kind.
  static func noteOfNoGraph(
    built: [PgvectorIndex], asked: [PgvectorIndex], parts: Set<ComparisonPart>
  ) -> String? {
    let names: [(part: ComparisonPart, name: String)] = [
      (.filtered, "filters"), (.freshness, "freshness"), (.mixed, "mixed load"),
    ]
    let missing = names.filter { parts.contains($0.part) }.map(\.name)
    guard !missing.isEmpty, PgvectorIndex.graphs(of: built).isEmpty else { return nil }
    let reason =
      PgvectorIndex.graphs(of: asked).isEmpty
      ? "--pgvector names none" : "those that --pgvector names were left out, as other notes say"
    return "Of pgvector, these were measured on no index: \(missing.joined(separator: ", ")). They need HNSW over "
      + "vectors or over halves, and \(reason)."
  }

  /// What the builds get: in whole megabytes.
  /// - server: the server's own setting.
  /// - machine: this machine's memory, where the server is on it.
  static func maintenanceBytes(asked: Int?, graph: Int, server: Int, machine: Int?) -> Int {
    if let asked { return asked }
    guard let machine else { return server }
    let megabyte = 1 << 20
    return max(server, min((graph + megabyte - 1) / megabyte * megabyte, machine / 4))
  }
}
