// The server's end of the control socket: a thread that accepts, and one for each command.
//
// May use: ControlSocket, FollowService.

import Foundation
import Logging
import ServiceLifecycle
import Synchronization

/// Answers an operator's commands.
public final class ControlService: Service, Sendable {
  private let follow: FollowService
  private let socket: ControlSocket
  private let path: String
  private let logger: Logger
  private let open = Mutex<[ObjectIdentifier: ControlSocket]>([:])

  /// - Throws: ``ServerError`` (`cannotListen`).
  public init(_ follow: FollowService, logger: Logger) throws {
    self.follow = follow
    self.logger = logger
    path = ControlSocket.path(of: follow.directory.path)
    socket = try ControlSocket.listen(at: path)
  }

  public func run() async throws {
    let accepting = WorkerThread("vizinho-control") { [self] in
      while let client = socket.accept({ [logger] reason in
        logger.error("no command can be taken, which is tried again: \(reason)")
      }) {
        open.withLock { $0[ObjectIdentifier(client)] = client }
        _ = WorkerThread("vizinho-command") { [self] in
          serve(client)
          open.withLock { _ = $0.removeValue(forKey: ObjectIdentifier(client)) }
        }
      }
    }
    do { try await gracefulShutdown() } catch {}
    unlink(path)
    socket.end()
    for client in open.withLock({ Array($0.values) }) { client.end() }
    await withCheckedContinuation { continuation in
      _ = WorkerThread("vizinho-join") {
        accepting.join()
        continuation.resume()
      }
    }
  }

  private func serve(_ client: ControlSocket) {
    while let line = client.readLine() {
      let reply: ControlReply
      do {
        let request = try ControlLine.decode(ControlRequest.self, line)
        logger.info(
          "command", metadata: ["command": "\(request.command.rawValue)", "collection": "\(request.collection)"])
        reply = try answer(request, client)
      } catch is DecodingError {
        reply = ControlReply(.failed, "this is no command that the server knows: both must be of one version")
      } catch {
        reply = ControlReply(.failed, "\(error)")
      }
      guard let bytes = try? ControlLine.encode(reply), client.write(bytes) else { return }
    }
  }

  private func answer(_ request: ControlRequest, _ client: ControlSocket) throws -> ControlReply {
    @Sendable func progress(_ text: String) {
      if let bytes = try? ControlLine.encode(ControlReply(.progress, text)) { _ = client.write(bytes) }
    }
    switch request.command {
    case .status: return follow.status()
    case .verify:
      let proof = try follow.verify(
        request.collection, repairs: request.repairs ?? false, isCancelled: { client.hasHungUp }, progress: progress)
      if let unsaved = proof.unsaved {
        return ControlReply(
          .failed, "\(proof.text). That is not on disk, which is tried again every minute: \(unsaved)",
          values: proof.values)
      }
      return ControlReply(.done, proof.text, values: proof.values)
    case .rebuild:
      return try follow.rebuild(
        request.collection, as: request.definition, choosing: request.choices ?? IndexChoices(),
        from: request.origin ?? .postgres, isCancelled: { client.hasHungUp }, progress: progress)
    case .drop:
      try follow.drop(request.collection)
      return ControlReply(.done, "\(request.collection) is dropped")
    }
  }
}

extension Proof {
  /// For people: what was compared and what was found.
  var text: String {
    let left = [(nullVectors, "with a NULL vector"), (zeroVectors, "with a zero vector")].filter { $0.0 > 0 }
      .map { "\($0.0.grouped) \($0.1)" }
    let beside = left.isEmpty ? "" : " (and \(left.joined(separator: ", ")), which no index has)"
    let not = notCompared.isEmpty ? "" : "; not compared: \(notCompared.joined(separator: ", "))"
    let time = String(format: "%.1f s", seconds)
    guard !isEqual else {
      return "\(collection): equal to its table at \(lsn), \(rows.grouped) rows\(beside), in \(time)\(not)"
    }
    let rows =
      named.isEmpty ? "" : ": " + named.prefix(20).joined(separator: ", ") + (differentRows > 20 ? " and so on" : "")
    return
      "\(collection): NOT equal to its table at \(lsn): \(differentBuckets) of 4,096 sums and \(differentRows.grouped) rows differ"
      + beyondText + rows + (repairedRows > 0 ? "; \(repairedRows.grouped) rows were read anew" : "") + not
  }

  var values: [String: String] {
    [
      "equal": isEqual ? "true" : "false", "lsn": lsn, "rows": String(rows), "null_vectors": String(nullVectors),
      "zero_vectors": String(zeroVectors), "different_sums": String(differentBuckets),
      "different_rows": String(differentRows), "repaired_rows": String(repairedRows),
      "rows_not_looked_at": String(rowsNotLookedAt),
      "named": named.joined(separator: "\n"), "seconds": String(seconds),
    ]
  }
}
