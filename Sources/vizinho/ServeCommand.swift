// `vizinho serve`: answers searches from a data directory.
//
// May use: VectorServer, swift-log, swift-service-lifecycle.

import ArgumentParser
import Foundation
import Logging
import ServiceLifecycle
import VectorIndex
import VectorServer
import VectorWire

import class VectorServer.Collection

/// The options of serving.
struct ServingOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Where to listen. Default: 127.0.0.1:7733. The protocol has no passwords: think before naming another address.",
      valueName: "host:port"))
  var listen: String?
  @Option(help: "Threads that search. Default: all cores.") var searchThreads: Int?
  @Option(help: "Threads that read and write sockets. Default: one for every eight cores.") var networkThreads: Int?
  @Option(help: "Open connections. Default: 512.") var connectionsMax: Int?
  @Option(help: "Requests in flight on one connection. Default: 256.") var requestsInFlightMax: Int?
  @Option(help: "Queries in one request. Default: 1024.") var queriesMax: Int?
  @Option(help: "Bytes of a frame. Default: 16777216.") var frameBytesMax: Int?
  @Option(help: "The deadline of requests that give none. Default: 30000.") var deadlineMilliseconds: Int?
  @Option(help: "trace, debug, info, notice, warning, error or critical. Default: info.") var logLevel: String?

  func configuration(_ settings: Settings) throws -> ServerConfiguration {
    var configuration = ServerConfiguration()
    configuration.serverName = Vizinho.name
    if let address = settings.string(listen, .listen) {
      (configuration.host, configuration.port) = try Address.parse(address, .listen)
    }
    func set(_ option: Int?, _ key: SettingKey, _ range: ClosedRange<Int>, _ apply: (Int) -> Void) throws {
      if let value = try settings.int(option, key, in: range) { apply(value) }
    }
    try set(searchThreads, .searchThreads, 1...1_024) { configuration.searchThreads = $0 }
    try set(networkThreads, .networkThreads, 1...256) { configuration.networkThreads = $0 }
    try set(connectionsMax, .connectionsMax, 1...65_536) { configuration.connectionsMax = $0 }
    try set(requestsInFlightMax, .requestsInFlightMax, 1...65_536) { configuration.limits.requestsInFlightMax = $0 }
    try set(queriesMax, .queriesMax, 1...65_536) { configuration.limits.queriesMax = $0 }
    try set(frameBytesMax, .frameBytesMax, 1_024...(1 << 30)) { configuration.limits.frameBytesMax = $0 }
    try set(deadlineMilliseconds, .deadlineMilliseconds, 1...86_400_000) {
      configuration.defaultDeadline = .milliseconds($0)
    }
    return configuration
  }

  func logger(_ settings: Settings) throws -> Logger {
    var logger = Logger(label: "vizinho") { StreamLogHandler.standardError(label: $0) }
    if let name = settings.string(logLevel, .logLevel) {
      guard let level = Logger.Level(rawValue: name) else {
        let names = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
        throw ValidationError("\(SettingKey.logLevel.description) is \"\(name)\"; it must be one of \(names)")
      }
      logger.logLevel = level
    }
    return logger
  }
}

/// `host:port`, with an IPv6 host in brackets.
enum Address {
  static func parse(_ text: String, _ key: SettingKey) throws -> (host: String, port: Int) {
    guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
      (0...65_535).contains(port)
    else { throw refusal(text, key) }
    var host = String(text[..<colon])
    if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
    guard !host.isEmpty else { throw refusal(text, key) }
    return (host, port)
  }

  private static func refusal(_ text: String, _ key: SettingKey) -> ValidationError {
    ValidationError(
      "\(key.description) is \"\(text)\"; it must be host:port, such as 127.0.0.1:7733, with a port from 0 to 65535")
  }
}

struct ServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Answers searches from a data directory, and keeps it in step with Postgres, until it is told to end.",
    discussion: """
      With --postgres, the collections follow their tables: whatever commits is searchable a moment after it commits. With --table as well, that \
      table's collection is loaded first if there is none yet. What Postgres needs for that, `vizinho prepare` says or does.

      One process owns a data directory. A snapshot that is damaged is named and nothing is served: the message says how to go \
      back to the one before, deliberately. SIGTERM and SIGINT end it after the answers that are under way.
      """)

  @OptionGroup var common: CommonOptions
  @Option(help: "The folder that holds the collections.") var dataDir: String?
  @OptionGroup var serving: ServingOptions
  @OptionGroup(title: "To follow Postgres") var following: FollowingOptions
  @OptionGroup(title: "A collection to follow") var collection: CollectionOptions

  func run() async throws {
    let settings = try await common.settings()
    let configuration = try serving.configuration(settings)
    let logger = try serving.logger(settings)
    let names = collection.namesSource(settings)
    let directory = try DataDirectory(
      path: settings.requiredString(dataDir, .dataDir), create: names, keeping: following.keptSnapshots(settings))
    // A slot that nothing needs would keep Postgres's log for ever.
    if settings.string(collection.postgres, .postgres) != nil, try names || !directory.followedCollectionNames().isEmpty
    {
      let follow = try following.configuration(settings, collection)
      let definitions = names ? [try collection.definition(settings)] : []
      return try await Self.serve(directory, configuration, follow, definitions, logger: logger)
    }
    try await Self.serve(directory, configuration, alreadyLoaded: nil, logger: logger)
  }

  /// Serves and follows until a signal.
  static func serve(
    _ directory: DataDirectory, _ configuration: ServerConfiguration, _ follow: FollowConfiguration,
    _ definitions: [CollectionDefinition], logger: Logger
  ) async throws {
    let catalog = CollectionCatalog()
    let service = try await onOwnThread {
      try FollowService(
        follow, definitions: definitions, directory: directory, catalog: catalog, writer: Vizinho.name, logger: logger)
    }
    let control = try ControlService(service, logger: logger)
    let server = try VectorServer(configuration: configuration, catalog: catalog, logger: logger)
    // Ended in the opposite order: no search comes any more when following ends.
    let group = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: [.init(service: service), .init(service: control), .init(service: server)],
        gracefulShutdownSignals: [.sigterm, .sigint],
        logger: logger))
    try await group.run()
  }

  /// Loads what is not loaded yet, and serves until a signal.
  static func serve(
    _ directory: DataDirectory, _ configuration: ServerConfiguration, alreadyLoaded: Collection?,
    logger: Logger
  ) async throws {
    let catalog = CollectionCatalog(alreadyLoaded.map { [$0] } ?? [])
    for name in try directory.collectionNames() where name != alreadyLoaded?.name {
      let clock = ContinuousClock()
      let start = clock.now
      let loaded = try await onOwnThread {
        try directory.load(name, threads: ProcessInfo.processInfo.activeProcessorCount)
      }
      guard let loaded else { continue }
      catalog.publish(loaded)
      logger.info(
        "loaded",
        metadata: [
          "collection": "\(name)", "rows": "\(loaded.index.count)",
          "seconds": "\(String(format: "%.3f", (clock.now - start) / .seconds(1)))",
        ])
    }
    let followed = try directory.followedCollectionNames()
    guard followed.isEmpty else {
      throw ValidationError(
        "the data directory \(directory.path) holds collections that follow Postgres (\(followed.joined(separator: ", "))): give "
          + "\(SettingKey.postgres.description), so that their answers do not grow old")
    }
    guard !catalog.all.isEmpty else {
      throw ValidationError(
        "the data directory \(directory.path) holds no collection; make one with `vizinho rebuild`")
    }
    let server = try VectorServer(configuration: configuration, catalog: catalog, logger: logger)
    let group = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: [.init(service: server)], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
    try await group.run()
  }
}
