// A client of pgvector: a prepared statement, the question as a binary parameter, keys in binary.
//
// May use: PostgresSource's connection, PgvectorSQL.

import Foundation
import PostgresSource

/// The questions of a run as the parameters of a statement, made once for all clients.
struct PgvectorQuestions: Sendable {
  fileprivate let parameters: [BinaryParameters]

  init(_ queries: VectorFile) {
    parameters = (0..<queries.count).map { i in
      var parameters = BinaryParameters()
      parameters.append(vector: queries[i])
      return parameters
    }
  }
}

/// A way to ask pgvector: statement and settings of the session.
struct PgvectorSearch: Sendable {
  var sql: String
  var settings: [(name: String, value: String)]

  static let statement = "search"
}

/// One connection with one statement.
final class PgvectorClient: SearchClient {
  private let connection: Connection
  private let questions: PgvectorQuestions
  let engineProcessID: Int32?

  /// Connects, sets, prepares.
  /// - Throws: ``SourceError``.
  init(_ access: PostgresAccess, _ search: PgvectorSearch, _ questions: PgvectorQuestions) throws(SourceError) {
    self.questions = questions
    connection = try access.connect()
    engineProcessID = access.seesProcesses ? connection.serverProcessID : nil
    for (name, value) in search.settings { try connection.set(name, value) }
    // Planned once, with all that the text says: nobody pays for planning in the measurement.
    try connection.set("plan_cache_mode", "force_generic_plan")
    try connection.prepare(PgvectorSearch.statement, search.sql)
  }

  func search(_ query: Int) throws -> [Int64] {
    try connection.int64s(prepared: PgvectorSearch.statement, questions.parameters[query])
  }

  /// Asks a question that is none of the run's.
  func find(_ vector: [Float]) throws -> [Int64] {
    var parameters = BinaryParameters()
    parameters.append(vector: vector)
    return try connection.int64s(prepared: PgvectorSearch.statement, parameters)
  }

  /// The plan that the statement runs with, as EXPLAIN prints it.
  /// - vector: any question, in pgvector's text form.
  func plan(for vector: String) throws(SourceError) -> String {
    let statement = "EXECUTE \(SQLText.identifier(PgvectorSearch.statement))(\(SQLText.literal(vector)))"
    return try connection.query("EXPLAIN " + statement).compactMap { $0.first ?? nil }.joined(separator: "\n")
  }
}

/// How to reach the database with pgvector's names in sight.
struct PostgresAccess: Sendable {
  var options: ConnectionOptions
  /// The schema that pgvector is installed in.
  var extensionSchema: String
  /// Whether the server's processes are on this machine, and may be looked at.
  var seesProcesses = false
  var stop: StopFlag

  /// - Throws: ``SourceError``.
  func connect() throws(SourceError) -> Connection {
    let connection = try Connection(options, stop: stop)
    // pgvector's settings exist once its library is loaded, which a first use does; an explicit LOAD not everybody may.
    try connection.query("SELECT set_config('search_path', $1, false)", [searchPath])
    try connection.query("SELECT '[1]'::vector <-> '[2]'::vector")
    return connection
  }

  private var searchPath: String { SQLText.identifiers([extensionSchema, "public"]) }
}

extension Connection {
  /// Sets a parameter of the session.
  func set(_ name: String, _ value: String) throws(SourceError) {
    try query("SELECT set_config($1, $2, false)", [name, value])
  }
}
