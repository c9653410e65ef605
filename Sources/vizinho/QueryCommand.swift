// `vizinho query`: asks a server from the command line.
//
// May use: VectorClient, QueryOutput.

import ArgumentParser
import Foundation
import VectorClient
import VectorIndex
import VectorWire

struct QueryCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "query",
    abstract: "Asks a server: the rows nearest to a vector, to a row or to several rows, or what there is.",
    discussion: """
      Without --vector, --id and --like it lists the server's collections, or with --collection the numbers and the attributes of one.

      EXAMPLE:
        vizinho query
        vizinho query --collection documents --id 42 --k 5 --recall 0.99
        vizinho query --collection documents --vector "[0.1, -0.2, 0.3]" --exact
        vizinho query --collection documents --id 42 --filter "tenant = 7 and lang in ('pt', 'en')" --explain
        vizinho query --collection documents --id 42 --payload title,source
        vizinho query --collection documents --like 42 --like 43 --unlike 7 --group-by document --per-group 2
        vizinho query --collection documents --id 42 --min-lsn 16/B374D848 --wait 2000
      """)

  @OptionGroup var common: CommonOptions
  @Option(help: ArgumentHelp("The server. Default: 127.0.0.1:7733.", valueName: "host:port")) var server: String?
  @Option(help: "The collection.") var collection: String?
  @Option(help: ArgumentHelp("Numbers, as pgvector prints them: [1,2,3].", valueName: "numbers")) var vector: String?
  // Ids may be negative.
  @Option(parsing: .unconditional, help: "The id of a row whose neighbours are wanted.") var id: String?
  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp("The id of a row that results are to be like; may be given several times.", valueName: "id"))
  var like: [String] = []
  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp("The id of a row that results are to be unlike; may be given several times.", valueName: "id"))
  var unlike: [String] = []
  @Option(name: .customLong("k"), help: "How many rows, or groups.") var k = 10
  @Option(help: "The share of the nearest that is to be found, 0.8 to 0.999. Default: the collection's.")
  var recall: Double?
  @Option(
    name: [.customLong("ef"), .customLong("search-effort")],
    help: "Candidates kept, in the place of a recall; 0 = none given.")
  var effort = 0
  @Flag(help: "Scan every row.") var exact = false
  @OptionGroup(title: "Which rows") var choice: QueryChoice
  @OptionGroup(title: "How new") var age: QueryAge
  @Flag(help: "Print JSON.") var json = false

  func run() async throws {
    let settings = try await common.settings()
    let address = settings.string(server, .server) ?? "127.0.0.1:\(WireProtocol.defaultPort)"
    let (host, port) = try Address.parse(address, .server)
    let asked = [vector != nil, id != nil, !like.isEmpty].count { $0 }
    guard asked <= 1 else { throw ValidationError("give one of --vector, --id and --like") }
    guard unlike.isEmpty || !like.isEmpty else { throw ValidationError("--unlike stands beside --like, not alone") }
    let name = settings.string(collection, .collection)
    guard name != nil || asked == 0 else {
      throw ValidationError("\(SettingKey.collection.description) is missing: where to search")
    }
    let freshness = try age.freshness()
    var configuration = VectorClient.Configuration()
    configuration.requestTimeout += .milliseconds(freshness.waitMilliseconds ?? 0)
    let client = try await VectorClient.connect(host: host, port: port, configuration: configuration)
    let result: Result<String, any Error>
    do {
      result = .success(try await answer(client, name, freshness))
    } catch {
      result = .failure(error)
    }
    await client.close()
    print(try result.get())
  }

  private func answer(_ client: VectorClient, _ name: String?, _ freshness: Freshness) async throws -> String {
    let output = QueryOutput(isJSON: json)
    guard let name else { return try output.collections(try await client.collections()) }
    var modifiers = try choice.modifiers()
    modifiers.freshness = freshness
    if let vector {
      return try output.results(
        try await client.search(
          name, vectors: [try Self.numbers(vector)], k: k, recall: recall, effort: effort, exact: exact,
          modifiers: modifiers))
    }
    guard id != nil || !like.isEmpty else {
      let described = try await client.describe(name)
      return try output.numbers(try await client.statistics(name), described)
    }
    guard let description = try await client.collections().first(where: { $0.name == name }) else {
      throw ValidationError("the server has no collection \"\(name)\"; `vizinho query` lists those it has")
    }
    func recordID(_ text: String, _ option: String) throws -> RecordID {
      guard let recordID = RecordID(text, kind: description.recordIDKind) else {
        throw ValidationError("\(option): \"\(text)\" cannot be read as an id of kind \(description.recordIDKind)")
      }
      return recordID
    }
    if let id {
      return try output.results(
        try await client.search(
          name, ids: [try recordID(id, "--id")], k: k, recall: recall, effort: effort, exact: exact,
          modifiers: modifiers))
    }
    return try output.results(
      try await client.search(
        name, like: try like.map { try recordID($0, "--like") },
        unlike: try unlike.map { try recordID($0, "--unlike") },
        k: k, recall: recall, effort: effort, exact: exact, modifiers: modifiers))
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
}

/// The options that choose among rows.
struct QueryChoice: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "A condition on the rows' attributes: tenant = 7 and lang in ('pt', 'en').", valueName: "condition"))
  var filter: String?
  @Option(parsing: .unconditional, help: ArgumentHelp("Leave out what is farther.", valueName: "distance"))
  var distanceMax: Float?
  @Option(help: "Skip so many of the nearest.") var offset = 0
  @Option(help: ArgumentHelp("At most --per-group rows of each value of this attribute.", valueName: "attribute"))
  var groupBy: String?
  @Option(help: "Rows of a group, 1 to 100. Default: 1.") var perGroup: Int?
  @Option(
    help: ArgumentHelp(
      "Results that are unlike each other: from 0, diverse, to 1, near (maximal marginal relevance).",
      valueName: "lambda"))
  var mmr: Float?
  @Flag(help: "Say how the answer was found.") var explain = false
  @Option(
    help: ArgumentHelp(
      "Columns of the collection's payload that are printed with each row, separated by commas; * = all.",
      valueName: "columns"))
  var payload: String?

  func modifiers() throws -> SearchModifiers {
    var modifiers = SearchModifiers()
    if let filter {
      do throws(WireError) { modifiers.filters = .all(try WireFilter(text: filter)) } catch {
        throw ValidationError("--filter: \(error.message)")
      }
    }
    modifiers.distanceMax = distanceMax
    guard offset >= 0 else { throw ValidationError("--offset is \(offset); it must not be below 0") }
    modifiers.offset = offset
    if let groupBy { modifiers.grouping = .init(attribute: groupBy, perGroup: perGroup ?? 1) }
    guard perGroup == nil || groupBy != nil else { throw ValidationError("--per-group stands beside --group-by") }
    modifiers.diversity = mmr.map { .init(lambda: $0) }
    modifiers.explains = explain
    modifiers.payload = payload.map { list in
      if list.trimmingCharacters(in: .whitespaces) == "*" { return .all }
      return .columns(list.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) })
    }
    return modifiers
  }
}

/// The options that say how new an answer must be.
struct QueryAge: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Answer from a collection that is not older than this position of the Postgres log: 16/B374D848, or a token of a client.",
      valueName: "lsn"))
  var minLsn: String?
  @Option(
    help: ArgumentHelp(
      "Wait so long at most until the collection is as new as that, up to 60000. Default: 1000.",
      valueName: "milliseconds"))
  var wait: Int?
  @Flag(help: "Answer from a collection that is not older than Postgres is now.") var strong = false

  func freshness() throws -> Freshness {
    guard minLsn == nil || !strong else { throw ValidationError("give one of --min-lsn and --strong") }
    guard wait == nil || minLsn != nil || strong else {
      throw ValidationError("--wait stands beside --min-lsn or --strong: for what is it to be waited?")
    }
    let milliseconds = wait ?? 1_000
    var freshness = Freshness.any
    if let minLsn {
      guard let position = Position(minLsn) else {
        throw ValidationError("--min-lsn: \"\(minLsn)\" is no position; Postgres writes one as 16/B374D848")
      }
      freshness = .position(position, waitMilliseconds: milliseconds)
    } else if strong {
      freshness = .strong(waitMilliseconds: milliseconds)
    }
    if let fault = freshness.fault { throw ValidationError("--wait: \(fault)") }
    return freshness
  }
}
