// What an operator asks of a server that runs: `vizinho status`, `verify`, `drop`. They reach it through the socket in its data directory.
//
// May use: VectorServer's control client.

import ArgumentParser
import Foundation
import VectorServer

/// The server of a data directory, for a command.
struct ServerOptions: ParsableArguments {
  @OptionGroup var common: CommonOptions
  @Option(help: "The folder that the server serves.") var dataDir: String?
  @Flag(help: "Print JSON.") var json = false

  /// Runs a command, tells on standard error how it goes, and prints what came of it.
  /// - Throws: `ExitCode.failure` when it failed.
  @discardableResult
  func run(_ request: ControlRequest) async throws -> ControlReply {
    let settings = try await common.settings()
    let path = try settings.requiredString(dataDir, .dataDir)
    let reply = try await onOwnThread {
      guard let client = try ControlClient(dataDirectory: path) else {
        throw ValidationError(
          "no server that follows Postgres serves \(path): start one with `vizinho serve --postgres …`")
      }
      return try client.run(request) { say($0) }
    }
    try tell(reply)
    return reply
  }

  func tell(_ reply: ControlReply) throws {
    if json {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      print(String(decoding: try encoder.encode(reply), as: UTF8.self))
    } else {
      reply.kind == .failed ? say("error: \(reply.text)") : print(reply.text)
    }
    if reply.kind == .failed { throw ExitCode.failure }
  }
}

struct StatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Says how far a server has followed Postgres, and what that keeps on disk on both sides.")

  @OptionGroup var server: ServerOptions
  @Flag(
    help:
      "Exit with 1 unless every collection is served and not farther behind than it may be (--ready-lag-bytes of serve)."
  )
  var ready = false

  func run() async throws {
    let reply = try await server.run(ControlRequest(.status))
    if ready, reply.values["ready"] != "true" { throw ExitCode.failure }
  }
}

struct VerifyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract:
      "Proves that a served collection is equal to its table at one place in the log, or names the rows that differ.",
    discussion: """
      Both sides add up hashes of their rows as of one and the same commit; searches and changes go on meanwhile. The table is read once. \
      Exit code 0: equal. 1: not equal (with --repair, the rows have been read anew; verify again), or the comparison failed.
      """)

  @OptionGroup var server: ServerOptions
  @Option(help: "The collection.") var collection: String
  @Flag(help: "Read rows that differ anew.") var `repair` = false

  func run() async throws {
    let reply = try await server.run(ControlRequest(.verify, collection: collection, repairs: `repair`))
    if reply.values["equal"] != "true" { throw ExitCode.failure }
  }
}

struct DropCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drop",
    abstract: "Takes a collection that follows Postgres out of a server, and its snapshots off the disk.")

  @OptionGroup var server: ServerOptions
  @Option(help: "The collection.") var collection: String

  func run() async throws { try await server.run(ControlRequest(.drop, collection: collection)) }
}
