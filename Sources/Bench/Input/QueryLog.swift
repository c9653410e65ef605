// Queries to ask of a server: the vectors of a file, or a log of what was asked, a JSON object a line. docs/BENCH.md has its form.
//
// May use: VectorFile, SplitMix; Foundation, for JSON.

import Foundation

/// One search, as somebody asked it.
struct LoggedQuery: Sendable, Equatable, Decodable {
  var vector: [Float]
  /// Rows that were asked for; nil: as many as the command says.
  var k: Int?
  /// In the filter language; nil: none.
  var filter: String?
}

/// Queries that are read when they are wanted, so that a sample of a long log does not read all of it.
struct QueryLog: Sendable {
  private enum Content: Sendable {
    case vectors(VectorFile)
    case lines([Data], path: String)
  }

  private let content: Content
  /// `file` or `log`: what a report calls it.
  let kind: String

  /// The vectors of a file, each as a query.
  init(vectors: VectorFile) {
    content = .vectors(vectors)
    kind = "file"
  }

  /// A log. Empty lines are passed over.
  init(log path: String) throws(BenchError) {
    guard let bytes = try? Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped) else {
      throw BenchError(.unfitData, "The log \(path) cannot be read.")
    }
    self.init(lines: bytes, path: path)
  }

  init(lines bytes: Data, path: String) {
    content = .lines(
      bytes.split(separator: UInt8(ascii: "\n")).filter { $0.contains { !Self.isSpace($0) } }, path: path)
    kind = "log"
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }

  var count: Int {
    switch content {
    case .vectors(let file): file.count
    case .lines(let lines, _): lines.count
    }
  }

  /// Those of the numbers given, in that order.
  /// - Throws: ``BenchError`` with `unfitData` for a line that is no query, or one whose vector is not as long as the first's.
  func queries(_ numbers: [Int]) throws(BenchError) -> [LoggedQuery] {
    var queries: [LoggedQuery] = []
    queries.reserveCapacity(numbers.count)
    for number in numbers {
      let query = try query(number)
      if let first = queries.first, query.vector.count != first.vector.count {
        throw BenchError(
          .unfitData,
          "\(place(of: number)) has \(query.vector.count) dimensions, and \(place(of: numbers[0])) has \(first.vector.count)."
        )
      }
      queries.append(query)
    }
    return queries
  }

  private func query(_ number: Int) throws(BenchError) -> LoggedQuery {
    switch content {
    case .vectors(let file):
      return LoggedQuery(vector: Array(file.values[(number * file.dimension)..<((number + 1) * file.dimension)]))
    case .lines(let lines, _):
      let query: LoggedQuery
      do { query = try JSONDecoder().decode(LoggedQuery.self, from: lines[number]) } catch {
        throw BenchError(
          .unfitData,
          "\(place(of: number)) is none: a line must be a JSON object with \"vector\", a list of numbers, and may have "
            + "\"k\", a whole number, and \"filter\", a text.")
      }
      guard !query.vector.isEmpty else { throw BenchError(.unfitData, "\(place(of: number)) has an empty vector.") }
      guard query.k.map({ $0 > 0 }) ?? true else {
        throw BenchError(.unfitData, "\(place(of: number)) asks for fewer than one row.")
      }
      return query
    }
  }

  /// Where a query is, for the beginning of a message.
  func place(of number: Int) -> String {
    switch content {
    case .vectors: "Query \(number)"
    case .lines(_, let path): "Query \(number) of \(path)"
    }
  }

  /// So many different numbers below `total`, drawn by a seed, in ascending order; all of them where there are no more.
  static func sample(_ count: Int, of total: Int, seed: UInt64) -> [Int] {
    guard count < total else { return Array(0..<total) }
    var random = SplitMix(state: seed)
    var numbers = Array(0..<total)
    // The beginning of a shuffle (Fisher & Yates).
    for i in 0..<count { numbers.swapAt(i, Int.random(in: i..<total, using: &random)) }
    return numbers[..<count].sorted()
  }
}
