// The engine's side of a comparison: its indexes, each served by a process of its own, and clients that ask them.
//
// May use: EngineProgram, EngineClient, Contestant.

import Foundation
import PostgresSource
import VectorIndex
import VectorWire

/// The servers of one run. Used by one thread; what it hands out is for any.
final class EngineSide {
  private let data: Dataset
  private let options: ComparisonOptions
  /// nil: only a server that runs already is measured.
  private let program: EngineProgram?
  private var servers: [(id: String, access: EngineAccess, process: ChildProcess?)] = []

  init(_ data: Dataset, _ options: ComparisonOptions, program: EngineProgram?) {
    self.data = data
    self.options = options
    self.program = program
  }

  static func id(_ storage: VectorStorage) -> String { "vizinho \(storage.name)" }

  // MARK: Servers

  /// Builds an index of the rows in a storage and serves it.
  func build(_ storage: VectorStorage, isGivenUp: () throws -> Void) throws -> EngineBuild {
    guard let program else { preconditionFailure("a running server is not built") }
    let built = try program.rebuild(storage.name, isGivenUp: isGivenUp)
    let server = try program.serve(storage.name, isGivenUp: isGivenUp)
    let access = access(server)
    servers.append((Self.id(storage), access, server.process))
    let bytes = try indexBytes(access)
    let serving = ProcessFacts.memory(of: server.process.processID).map {
      "; the server had at most \($0.peakBytes.asMemory) once it served"
    }
    return EngineBuild(
      id: Self.id(storage), family: .vizinho, buildSeconds: built.seconds, indexBytes: bytes,
      bytesPerVector: Double(bytes) / Double(data.base.count), peakMemoryBytes: built.peakMemoryBytes,
      detail: "vizinho rebuild, from start to end of the process"
        + (built.account.isEmpty ? "" : " (\(built.account))")
        + "; the bytes are those of vectors, links and keys" + (serving ?? ""))
  }

  private func access(_ server: EngineServer) -> EngineAccess {
    EngineAccess(
      host: EngineServer.host, port: server.port, collection: EngineProgram.collection, numbers: .keys,
      processID: server.process.processID)
  }

  /// Takes a server that runs already, if it has what is to be measured.
  /// - Returns: what it is, and what deserves doubt.
  /// - Throws: ``BenchError`` with a sentence where it cannot be reached, has no such collection, or one of another kind.
  func adopt(_ address: ServerAddress, _ collection: String) throws -> (build: EngineBuild, notes: [String]) {
    let connection = try EngineConnection(host: address.host, port: address.port)
    let listed: Collections = try connection.ask(ListCollections())
    guard let found = listed.collections.first(where: { $0.name == collection }) else {
      let names = listed.collections.map { "\"\($0.name)\"" }.joined(separator: ", ")
      throw BenchError(
        .unfitData,
        "The engine at \(address) has no collection \"\(collection)\": it has \(names.isEmpty ? "none" : names).")
    }
    guard found.dimension == data.base.dimension, found.metric == options.metric else {
      throw BenchError(
        .unfitData,
        "The collection \"\(collection)\" has \(found.dimension) dimensions and the metric \(found.metric.name), and what is compared has "
          + "\(data.base.dimension) and \(options.metric.name).")
    }
    var notes: [String] = []
    if found.rows != UInt64(data.base.count) {
      notes.append(
        "The collection has \(found.rows) rows and the table \(data.base.count): one of them has changed, or rows are left out on one side."
      )
    }
    let numbers: RowNumbers =
      if let keys = data.keys {
        .of(Dictionary(zip(keys, keys.indices.map { Int64($0) })) { first, _ in first })
      } else { .keys }
    let access = EngineAccess(
      host: address.host, port: address.port, collection: collection, numbers: numbers,
      processID: ServerProcess.answering(connection)?.id)
    let id = Self.id(found.storage)
    servers.append((id, access, nil))
    let bytes = try indexBytes(access)
    return (
      EngineBuild(
        id: id, family: .vizinho, buildSeconds: 0, indexBytes: bytes,
        bytesPerVector: Double(bytes) / Double(max(1, found.rows)),
        detail:
          "the collection \"\(collection)\" of a server that ran already (\(connection.serverName)); its build was not measured"
      ),
      notes
    )
  }

  private func indexBytes(_ access: EngineAccess) throws -> Int {
    let connection = try EngineConnection(host: access.host, port: access.port)
    let reply: StatisticsReply = try connection.ask(StatisticsRequest(collection: access.collection))
    return reply.entries.reduce(0) { sum, entry in
      guard ["vector_bytes", "link_bytes", "id_bytes"].contains(entry.name), case .integer(let bytes) = entry.value
      else { return sum }
      return sum + Int(clamping: bytes)
    }
  }

  /// Ends all servers that this run has started.
  func end() {
    for server in servers { server.process?.end() }
    servers = []
  }

  // MARK: Searches

  /// All servers at all efforts.
  func contestants() throws -> [Contestant] {
    try servers.map { server in
      Contestant(
        id: server.id,
        efforts: try options.engineEfforts.map { effort in
          Contestant.Effort(name: effort.name, value: effort.value, make: try maker(server.access, effort))
        }, judgedQueries: data.queries.count)
    }
  }

  private func maker(_ access: EngineAccess, _ effort: EngineEffort, condition: String? = nil) throws -> ClientMaker {
    // One row more where one may be the question itself.
    let questions = try EngineQuestions(
      data.queries, collection: access.collection, k: options.k + (data.own == nil ? 0 : 1), effort: effort,
      condition: condition)
    return { try EngineClient(access, questions) }
  }

  /// All servers with a filter, at each recall that is asked for.
  func filtered() -> [FilteredContestant] {
    servers.flatMap { server in
      Set(options.recallTargets).sorted().map { target in
        FilteredContestant(id: server.id, detail: "recall_target=\(target)") { [self] share in
          let make = try maker(server.access, .recallTarget(target), condition: Selectivity.condition(share))
          return (make, nil)
        }
      }
    }
  }

  // MARK: Following

  /// A server that follows the table in Postgres, with a slot for as long as it is measured.
  struct Follower {
    var id: String
    fileprivate var access: EngineAccess
    var process: ChildProcess
  }

  /// Loads the rows anew into a server that follows them.
  func follow(
    _ storage: VectorStorage, publication: String, slot: String, isGivenUp: () throws -> Void
  ) throws -> Follower {
    guard let program else { preconditionFailure("a running server follows what it follows") }
    try program.prepare(storage.name, publication: publication, isGivenUp: isGivenUp)
    let server = try program.follow(storage.name, publication: publication, slot: slot, isGivenUp: isGivenUp)
    return Follower(id: Self.id(storage), access: access(server), process: server.process)
  }

  func fresh(_ follower: Follower, writer: RowWriter) throws -> FreshContestant {
    let client = try FreshEngineClient(
      follower.access, k: options.k, recallTarget: ComparisonOptions.workingRecall)
    return FreshContestant(id: follower.id, writer: writer) { vector in
      try client.find(vector, after: try writer.logPosition())
    }
  }

  func mixed(
    _ follower: Follower, effort: EngineEffort, recall: Double?, makeWriter: @escaping @Sendable () throws -> RowWriter
  ) throws -> MixedContestant {
    let value = effort.value
    let (access, k, vector) = (follower.access, options.k, Array(data.queries[0]))
    return MixedContestant(
      id: follower.id, detail: "\(effort.name)=\(value == value.rounded() ? String(Int(value)) : String(value))",
      recall: recall, make: try maker(access, effort), makeWriter: { try makeWriter() },
      makeProbe: {
        let client = try FreshEngineClient(access, k: k, recallTarget: ComparisonOptions.workingRecall)
        return { position, milliseconds in
          try client.hasReached(position, like: vector, waitMilliseconds: milliseconds)
        }
      })
  }
}
