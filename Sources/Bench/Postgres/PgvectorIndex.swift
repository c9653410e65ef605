// The indexes of pgvector that are compared, each as its users make it: pgvector's README is where the forms are from.
//
// May use: ArgumentParser, for its errors; PostgresSource for the type of a column.

import ArgumentParser
import Foundation
import PostgresSource

/// One way to search with pgvector.
enum PgvectorIndex: Hashable, Sendable {
  /// HNSW over the vectors as they are.
  case hnsw(connectivity: Int, constructionEffort: Int)
  /// HNSW over half precision.
  case halfvec(connectivity: Int, constructionEffort: Int)
  /// HNSW over one bit a component; what it finds is ranked again by the vectors.
  case binary(connectivity: Int, constructionEffort: Int)
  /// Lists; nil: as many as pgvector recommends for the rows.
  case ivfflat(lists: Int?)
  /// No index.
  case exact

  /// What stands for it on the command line when nothing is said.
  static let standardList = "hnsw:16:64,hnsw:16:200,hnsw:32:200,halfvec:16:200,binary:16:200,ivfflat,exact"

  /// Reads `hnsw:16:64,halfvec,binary:16:200,ivfflat:100,exact`: after the kind m and ef_construction, or lists; left out, they are pgvector's own.
  /// - Throws: `ValidationError`, naming the one that there is not.
  static func list(_ text: String) throws(ValidationError) -> [PgvectorIndex] {
    var indexes: [PgvectorIndex] = []
    for item in text.split(separator: ",") {
      let index = try one(String(item.trimmingPrefix(while: { $0 == " " })))
      if !indexes.contains(index) { indexes.append(index) }
    }
    return indexes
  }

  private static func one(_ item: String) throws(ValidationError) -> PgvectorIndex {
    let words = item.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    let numbers = words.dropFirst().map { Int($0) }
    let refusal = ValidationError(
      "--pgvector: \"\(item)\" is none of hnsw[:M[:EF_CONSTRUCTION]], halfvec[:M[:EF_CONSTRUCTION]], binary[:M[:EF_CONSTRUCTION]], "
        + "ivfflat[:LISTS], exact, with M from 2 to 100, EF_CONSTRUCTION from 2 M to 1000 and LISTS from 1 to 32768")
    guard !numbers.contains(nil) else { throw refusal }
    let given = numbers.compactMap { $0 }
    switch words[0] {
    case "hnsw", "halfvec", "binary":
      guard given.count <= 2 else { throw refusal }
      // pgvector's defaults.
      let connectivity = given.first ?? 16
      let effort = given.count == 2 ? given[1] : max(64, 2 * connectivity)
      // pgvector's own bounds.
      guard (2...100).contains(connectivity), (2 * connectivity...1_000).contains(effort) else { throw refusal }
      switch words[0] {
      case "hnsw": return .hnsw(connectivity: connectivity, constructionEffort: effort)
      case "halfvec": return .halfvec(connectivity: connectivity, constructionEffort: effort)
      default: return .binary(connectivity: connectivity, constructionEffort: effort)
      }
    case "ivfflat":
      guard given.count <= 1, given.allSatisfy({ (1...32_768).contains($0) }) else { throw refusal }
      return .ivfflat(lists: given.first)
    case "exact":
      guard given.isEmpty else { throw refusal }
      return .exact
    default: throw refusal
    }
  }

  /// The same with what depends on the rows decided: for lists rows / 1000, from a million rows on the root of the rows, by pgvector's README.
  func resolved(rows: Int) -> PgvectorIndex {
    guard case .ivfflat(nil) = self else { return self }
    let lists = rows <= 1_000_000 ? rows / 1_000 : Int(Double(rows).squareRoot())
    return .ivfflat(lists: min(max(lists, 1), 32_768))
  }

  /// The name in reports.
  var id: String {
    switch self {
    case .hnsw(let m, let effort): "pgvector hnsw m=\(m) efc=\(effort)"
    case .halfvec(let m, let effort): "pgvector hnsw halfvec m=\(m) efc=\(effort)"
    case .binary(let m, let effort): "pgvector hnsw binary_quantize + rerank m=\(m) efc=\(effort)"
    case .ivfflat(let lists): "pgvector ivfflat lists=\(lists.map(String.init) ?? "auto")"
    case .exact: "pgvector exact"
    }
  }

  /// A part of names of tables and indexes: letters, digits and _.
  var slug: String {
    switch self {
    case .hnsw(let m, let effort): "hnsw_\(m)_\(effort)"
    case .halfvec(let m, let effort): "halfvec_\(m)_\(effort)"
    case .binary(let m, let effort): "binary_\(m)_\(effort)"
    case .ivfflat(let lists): "ivfflat_\(lists.map(String.init) ?? "auto")"
    case .exact: "exact"
    }
  }

  /// Whether it is an HNSW index of the vectors themselves.
  var isPlainHNSW: Bool { if case .hnsw = self { true } else { false } }
  private var isHalfvecHNSW: Bool { if case .halfvec = self { true } else { false } }

  /// Those that filters and rows that change are measured on: HNSW over the vectors; where there is none, HNSW over halves, which is what
  /// there is of vectors that are too long for the other.
  static func graphs(of indexes: [PgvectorIndex]) -> [PgvectorIndex] {
    let plain = indexes.filter(\.isPlainHNSW)
    return plain.isEmpty ? indexes.filter(\.isHalfvecHNSW) : plain
  }

  /// The most dimensions that pgvector 0.8 indexes in this way.
  /// - column: the type of the column; of halves, twice as many are indexed.
  func dimensionMax(column: VectorType) -> Int {
    switch self {
    case .hnsw, .ivfflat: column == .halfvec ? 4_000 : 2_000
    case .halfvec: 4_000
    // 64,000 bits, and 16,000 components that a vector may have.
    case .binary, .exact: 16_000
    }
  }

  // MARK: Efforts

  /// What is turned to find more.
  var effortName: String {
    switch self {
    case .hnsw, .halfvec: "ef_search"
    case .binary: "candidates"
    case .ivfflat: "probes"
    case .exact: "exact"
    }
  }

  /// The efforts to measure: of the lists that the user gave, those that make sense here, each once, in ascending order.
  /// - efforts: of HNSW; below k an index scan would give fewer than k rows, and above 1,000 pgvector refuses.
  /// - probes: of IVFFlat.
  func efforts(_ efforts: [Int], probes: [Int], k: Int) -> [Int] {
    switch self {
    case .hnsw, .halfvec, .binary: Set(efforts.map { min(max($0, k), 1_000) }).sorted()
    case .ivfflat(let lists): Set(probes.map { min(max($0, 1), lists ?? 1) }).sorted()
    case .exact: [0]
    }
  }

  /// What a session sets for an effort.
  func settings(effort: Int) -> [(name: String, value: String)] {
    switch self {
    case .hnsw, .halfvec: [("hnsw.ef_search", String(effort))]
    // So many candidates come only out of a scan that keeps so many.
    case .binary: [("hnsw.ef_search", String(effort))]
    case .ivfflat: [("ivfflat.probes", String(effort))]
    case .exact: []
    }
  }
}
