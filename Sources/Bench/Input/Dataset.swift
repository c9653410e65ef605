// What a comparison is made on: rows, questions, and where both are from.
//
// May use: VectorFile, UserTable, HeldOut, CChecksum.

import CChecksum
import Foundation
import PostgresSource
import VectorIndex

/// Rows and questions of one run. Row i has the number i on both sides.
struct Dataset: Sendable {
  var base: VectorFile
  var queries: VectorFile
  /// A file's name or a table's.
  var source: String
  /// As the report's `query_source` has it.
  var querySource: String
  /// Of the user's column; `vector` for a file.
  var columnType = VectorType.vector
  /// For each row its key in the user's table; nil for a file.
  var keys: [RecordID]?
  /// For each question a row that it was made of and that is no answer to it; nil where no row is among them.
  var own: [Int]?
  /// What was left out, in sentences.
  var notes: [String] = []

  /// Fewer rows are over before anything can be told.
  static let rowsMin = 1_000

  /// - Throws: ``BenchError`` with `unfitData`: too few rows, or too many dimensions.
  func checkRows() throws(BenchError) {
    guard base.count >= Self.rowsMin else {
      throw BenchError(
        .unfitData,
        "\(source) has \(base.count) rows with a vector, and at least \(Self.rowsMin) are needed: so few are searched best without any index."
      )
    }
    guard HNSWConfiguration.dimensionRange.contains(base.dimension) else {
      throw BenchError(
        .unfitData,
        "The vectors of \(source) have \(base.dimension) dimensions; the engine takes \(HNSWConfiguration.dimensionRange.lowerBound) to "
          + "\(HNSWConfiguration.dimensionRange.upperBound).")
    }
  }

  /// - Throws: ``BenchError`` with `unfitData`: no questions, or of other dimensions.
  func checkQueries() throws(BenchError) {
    guard queries.dimension == base.dimension else {
      throw BenchError(
        .unfitData,
        "The queries have \(queries.dimension) dimensions and the rows of \(source) have \(base.dimension): are they of the same model?"
      )
    }
    guard queries.count > 0 else { throw BenchError(.unfitData, "There are no queries.") }
  }

  /// Keeps at most so many questions, evenly drawn, and leaves out what cannot be asked.
  mutating func limitQueries(to most: Int, metric: Metric) {
    var kept = (0..<queries.count).filter { i in
      queries[i].allSatisfy(\.isFinite) && (metric != .cosine || queries[i].contains { $0 != 0 })
    }
    let unfit = queries.count - kept.count
    if unfit > 0 {
      notes.append(
        "\(unfit) queries were left out, since they hold NaN or infinity\(metric == .cosine ? ", or are zero, to which nothing has a cosine" : "")."
      )
    }
    if kept.count > most { kept = (0..<most).map { kept[$0 * kept.count / most] } }
    guard kept.count < queries.count else { return }
    own = own.map { own in kept.map { own[$0] } }
    queries = queries.rows(kept)
  }

  /// Makes questions of rows, for a user who has none.
  /// - takesOut: whether they leave the base, so that no answer can be the question; where not, the row is to be passed over in answers.
  mutating func holdOut(_ most: Int, seed: UInt64, takesOut: Bool) {
    let chosen = HeldOut.choose(of: base.count, most: most, seed: seed)
    queries = base.rows(chosen)
    querySource = "held out of the base"
    guard takesOut else {
      own = chosen
      notes.append(
        "There were no queries, so \(chosen.count) rows stand in for them; the engine has them too, so both sides were asked for one row more, "
          + "and the row itself was taken out of each answer. Rows find their neighbours more easily than questions do."
      )
      return
    }
    let taken = Set(chosen)
    let rest = (0..<base.count).filter { !taken.contains($0) }
    base = base.rows(rest)
    keys = keys.map { keys in rest.map { keys[$0] } }
    notes.append(
      "There were no queries, so \(chosen.count) rows were held out and stand in for them; they are in no index. Rows find their neighbours more "
        + "easily than questions do.")
  }

  /// Of rows and questions as both sides got them.
  var checksum: String {
    let sum = [base, queries].reduce(0 as UInt32) { sum, part in
      part.values.withUnsafeBytes { vz_crc32c(sum, $0.baseAddress, $0.count) }
    }
    return "crc32c:" + String(format: "%08x", sum)
  }
}

/// Which rows become questions.
enum HeldOut {
  /// At most so many rows and at most a tenth of them, each once, in ascending order.
  static func choose(of rows: Int, most: Int, seed: UInt64) -> [Int] {
    let count = min(most, rows / 10)
    var random = SplitMix(state: seed)
    var chosen: Set<Int> = []
    while chosen.count < count { chosen.insert(Int.random(in: 0..<rows, using: &random)) }
    return chosen.sorted()
  }
}
