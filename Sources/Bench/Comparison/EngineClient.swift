// A client of the engine: frames made beforehand, one request at a time over a blocking socket.
//
// May use: VectorWire, EngineConnection.

import NIOCore
import VectorIndex
import VectorWire

/// How hard the engine is to look.
enum EngineEffort: Hashable, Sendable {
  case ef(Int)
  case recallTarget(Double)

  var name: String {
    switch self {
    case .ef: "ef"
    case .recallTarget: "recall_target"
    }
  }

  var value: Double {
    switch self {
    case .ef(let effort): Double(effort)
    case .recallTarget(let share): share
    }
  }
}

/// The questions of a run as frames, made once for all clients.
struct EngineQuestions: Sendable {
  fileprivate let frames: [[UInt8]]

  /// - condition: a filter's text.
  /// - Throws: ``BenchError`` with `engineRefused` for a filter that cannot be sent.
  init(
    _ queries: VectorFile, collection: String, k: Int, effort: EngineEffort, condition: String? = nil
  ) throws(BenchError) {
    var terms = SearchTerms(collection: collection, k: k)
    switch effort {
    case .ef(let effort): terms.effort = effort
    case .recallTarget(let share): terms.recallTarget = RecallTarget(share)
    }
    if let condition {
      do throws(WireError) { terms.modifiers.filters = .all(try WireFilter(text: condition)) } catch {
        throw BenchError(.engineRefused, "The filter \(condition) cannot be sent: \(error.message).")
      }
    }
    frames = (0..<queries.count).map { i in
      guard let vectors = QueryVectors([Array(queries[i])]) else { preconditionFailure("one vector has one length") }
      return Array(SearchRequest(terms, vectors: vectors).frame(requestID: UInt32(i) + 1).readableBytesView)
    }
  }
}

/// Which numbers the rows of an engine's answers have.
enum RowNumbers: Sendable {
  /// Their keys are the numbers.
  case keys
  /// As told here; a row that is not here was added since, and gets -1.
  case of([RecordID: Int64])

  func number(of id: RecordID) -> Int64 {
    switch self {
    case .keys: if case .int64(let number) = id { number } else { -1 }
    case .of(let numbers): numbers[id] ?? -1
    }
  }
}

/// Where an engine is, and how its rows are numbered.
struct EngineAccess: Sendable {
  var host: String
  var port: Int
  var collection: String
  var numbers: RowNumbers
  /// Of a server on this machine.
  var processID: Int32?
}

/// One connection.
final class EngineClient: SearchClient {
  private let connection: EngineConnection
  private let questions: EngineQuestions
  private let numbers: RowNumbers
  let engineProcessID: Int32?

  /// - Throws: ``BenchError``.
  init(_ access: EngineAccess, _ questions: EngineQuestions) throws(BenchError) {
    connection = try EngineConnection(host: access.host, port: access.port)
    self.questions = questions
    numbers = access.numbers
    engineProcessID = access.processID
  }

  func search(_ query: Int) throws -> [Int64] {
    try connection.send(questions.frames[query])
    connection.waitReadable()
    let reply: SearchReply = try connection.reply(in: connection.receive())
    return reply.answers[0].results.map { numbers.number(of: $0.id) }
  }
}
