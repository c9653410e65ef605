// `vizinho query`: asks a server from the command line.
//
// May use: VectorClient.

import ArgumentParser
import Foundation
import VectorClient
import VectorIndex
import VectorWire

struct QueryCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "query",
    abstract: "Asks a server: the rows nearest to a vector or to a row, or what there is.",
    discussion: """
      Without --vector and --id it lists the server's collections, or with --collection the numbers of one.

      EXAMPLE:
        vizinho query
        vizinho query --collection documents --id 42 --k 5 --recall 0.99
        vizinho query --collection documents --vector "[0.1, -0.2, 0.3]" --exact
      """)

  @OptionGroup var common: CommonOptions
  @Option(help: ArgumentHelp("The server. Default: 127.0.0.1:7733.", valueName: "host:port")) var server: String?
  @Option(help: "The collection.") var collection: String?
  @Option(help: ArgumentHelp("Numbers, as pgvector prints them: [1,2,3].", valueName: "numbers")) var vector: String?
  // Ids may be negative.
  @Option(parsing: .unconditional, help: "The id of a row whose neighbours are wanted.") var id: String?
  @Option(name: .customLong("k"), help: "How many rows.") var k = 10
  @Option(help: "The share of the nearest that is to be found, 0.8 to 0.999. Default: the collection's.")
  var recall: Double?
  @Option(
    name: [.customLong("ef"), .customLong("search-effort")],
    help: "Candidates kept, in the place of a recall; 0 = none given.")
  var effort = 0
  @Flag(help: "Scan every row.") var exact = false
  @Flag(help: "Print JSON.") var json = false

  func run() async throws {
    let settings = try await common.settings()
    let address = settings.string(server, .server) ?? "127.0.0.1:\(WireProtocol.defaultPort)"
    let (host, port) = try Address.parse(address, .server)
    guard vector == nil || id == nil else { throw ValidationError("give one of --vector and --id") }
    let name = settings.string(collection, .collection)
    guard name != nil || (vector == nil && id == nil) else {
      throw ValidationError("\(SettingKey.collection.description) is missing: where to search")
    }
    let client = try await VectorClient.connect(host: host, port: port)
    let result: Result<String, any Error>
    do {
      result = .success(try await answer(client, name))
    } catch {
      result = .failure(error)
    }
    await client.close()
    print(try result.get())
  }

  private func answer(_ client: VectorClient, _ name: String?) async throws -> String {
    guard let name else { return try collections(try await client.collections()) }
    if let vector {
      return try results(
        try await client.search(
          name, vectors: [try Self.numbers(vector)], k: k, recall: recall, effort: effort, exact: exact))
    }
    guard let id else { return try statistics(try await client.statistics(name)) }
    guard let description = try await client.collections().first(where: { $0.name == name }) else {
      throw ValidationError("the server has no collection \"\(name)\"; `vizinho query` lists those it has")
    }
    guard let recordID = RecordID(id, kind: description.recordIDKind) else {
      throw ValidationError("--id: \"\(id)\" cannot be read as an id of kind \(description.recordIDKind)")
    }
    return try results(
      try await client.search(name, ids: [recordID], k: k, recall: recall, effort: effort, exact: exact))
  }

  static func numbers(_ text: String) throws -> [Float] {
    let inside = text.trimmingCharacters(in: CharacterSet(charactersIn: "[] \n\t"))
    let parts = inside.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
    let numbers = parts.compactMap { Float($0) }
    guard numbers.count == parts.count, !numbers.isEmpty else {
      throw ValidationError("--vector must be numbers separated by commas: [1,2,3]")
    }
    return numbers
  }

  private struct Row: Encodable {
    var id: String
    var distance: Float
  }

  private struct Answer: Encodable {
    var exact: Bool
    var distancesComputed: UInt32
    var appliedLSN: String
    var results: [Row]
  }

  private func results(_ reply: SearchReply) throws -> String {
    guard let answer = reply.answers.first else { return "" }
    let rows = answer.results.map { Row(id: $0.id.description, distance: $0.distance) }
    if json {
      return try encoded(
        Answer(
          exact: answer.isExact, distancesComputed: answer.distancesComputed, appliedLSN: reply.position.lsnText,
          results: rows))
    }
    let width = max(2, rows.map(\.id.count).max() ?? 2)
    let lines = rows.map { row in
      row.id.padding(toLength: width, withPad: " ", startingAt: 0) + String(format: "  %.6f", row.distance)
    }
    let head = "id".padding(toLength: width, withPad: " ", startingAt: 0) + "  distance"
    let foot =
      "\(rows.count) rows, \(answer.isExact ? "exact" : "approximate"), \(answer.distancesComputed) distances, "
      + "in step with \(reply.position.lsnText)"
    return ([head] + lines + [foot]).joined(separator: "\n")
  }

  private func collections(_ all: [CollectionDescription]) throws -> String {
    if json {
      return try encoded(
        all.map {
          [
            "name": $0.name, "rows": String($0.rows), "dimension": String($0.dimension), "metric": $0.metric.name,
            "storage": $0.storage.name, "ids": "\($0.recordIDKind)", "applied_lsn": $0.position.lsnText,
          ]
        })
    }
    return all.map {
      "\($0.name): \($0.rows) rows, \($0.dimension) dimensions, \($0.metric.name), \($0.storage.name), \($0.recordIDKind) ids, "
        + "in step with \($0.position.lsnText)"
    }.joined(separator: "\n")
  }

  private func statistics(_ all: [Statistic]) throws -> String {
    let texts = all.map { ($0.name, $0.value.text) }
    if json { return try encoded(Dictionary(texts, uniquingKeysWith: { $1 })) }
    return texts.map { "\($0.0): \($0.1)" }.joined(separator: "\n")
  }

  private func encoded(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    return String(decoding: try encoder.encode(value), as: UTF8.self)
  }
}

extension Position {
  /// As Postgres prints it; "an unknown LSN" when it is not known.
  fileprivate var lsnText: String {
    guard appliedLSN != 0 else { return "an unknown LSN" }
    return String(appliedLSN >> 32, radix: 16, uppercase: true) + "/"
      + String(appliedLSN & 0xFFFF_FFFF, radix: 16, uppercase: true)
  }
}

extension Statistic.Value {
  fileprivate var text: String {
    switch self {
    case .integer(let value): String(value)
    case .real(let value): String(value)
    case .text(let value): value
    }
  }
}
