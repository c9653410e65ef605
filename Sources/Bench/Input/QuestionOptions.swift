// What is asked of a running server, and how: the options that `bench load` and `bench shadow` share.
//
// May use: QueryLog, EngineConnection, ArgumentParser.

import ArgumentParser
import VectorWire

struct QuestionOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The server.", valueName: "host:port")) var server = ServerAddress.usual
  @Option(help: "The collection that is searched.") var collection: String
  @Option(help: "Queries, as vectors: \(VectorFile.formats).") var queries: String?
  @Option(
    help: ArgumentHelp(
      "Queries as they were asked: JSON lines {\"vector\": […], \"k\": 10, \"filter\": \"tenant = 7\"}.",
      valueName: "file"))
  var log: String?
  @Option(name: .customLong("k"), help: "Results a query, where the log does not say it.") var k = 10
  @Option(help: "The recall to ask for, 0.8 to 0.999. Default: the collection's.") var recallTarget: Double?
  @Option(help: "An effort (ef) in the place of a recall.") var ef: Int?
  @Option(help: "A filter for every query that has none of its own.") var filter: String?

  func validate() throws {
    guard (queries == nil) != (log == nil) else {
      throw ValidationError("give one of --queries and --log: what is to be asked?")
    }
    guard k > 0 else { throw ValidationError("--k is \(k); it must be at least 1") }
    guard ef.map({ $0 > 0 }) ?? true else { throw ValidationError("--ef must be at least 1") }
    guard ef == nil || recallTarget == nil else {
      throw ValidationError("give one of --ef and --recall-target: the one decides the other")
    }
    if let recallTarget, RecallTarget(recallTarget) == nil {
      throw ValidationError(
        "--recall-target is \(recallTarget); it must be from \(RecallTarget.range.lowerBound) to \(RecallTarget.range.upperBound)"
      )
    }
  }

  /// The file with the queries.
  var source: String { queries ?? log ?? "" }

  func queryLog() throws -> QueryLog {
    let found = try queries.map { QueryLog(vectors: try VectorFile(path: $0)) } ?? QueryLog(log: log ?? "")
    guard found.count > 0 else { throw BenchError(.unfitData, "\(source) has no queries.") }
    return found
  }

  /// What stands in a report of the effort that is asked for.
  var effortText: String {
    if let ef { return "ef \(ef)" }
    return recallTarget.map { "recall target \($0)" } ?? "the collection's own"
  }

  /// The request for one query.
  /// - k: in the place of the query's own.
  /// - Throws: ``BenchError`` with `unfitData` for a filter that is too long to be sent.
  func request(
    _ query: LoggedQuery, freshness: Freshness = .any, k overriding: Int? = nil
  ) throws(BenchError) -> SearchRequest {
    var terms = SearchTerms(
      collection: collection, k: overriding ?? query.k ?? k, effort: ef ?? 0,
      recallTarget: recallTarget.flatMap { RecallTarget($0) })
    if let text = query.filter ?? filter {
      do throws(WireError) { terms.modifiers.filters = .all(try WireFilter(text: text)) } catch {
        throw BenchError(.unfitData, "A filter cannot be sent: \(error.message).")
      }
    }
    terms.modifiers.freshness = freshness
    guard let vectors = QueryVectors([query.vector]) else { preconditionFailure("one vector has one length") }
    return SearchRequest(terms, vectors: vectors)
  }

  /// The collection, held against the queries.
  /// - Throws: ``BenchError`` with a sentence where it is not there or has another dimension.
  func collection(on connection: EngineConnection, queryDimension: Int) throws(BenchError) -> CollectionDescription {
    let listed: Collections = try connection.ask(ListCollections())
    guard let found = listed.collections.first(where: { $0.name == collection }) else {
      let names = listed.collections.prefix(20).map { "\"\($0.name)\"" }.joined(separator: ", ")
      throw BenchError(
        .unfitData,
        "The server \(server) has no collection \"\(collection)\": it has \(names.isEmpty ? "none" : names)"
          + "\(listed.collections.count > 20 ? " and others." : ".")")
    }
    guard queryDimension == found.dimension else {
      throw BenchError(
        .unfitData,
        "The queries of \(source) have \(queryDimension) dimensions, and the collection \"\(collection)\" has "
          + "\(found.dimension): are they of the same model?")
    }
    return found
  }
}
