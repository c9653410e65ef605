// The server: sockets in front, search threads behind, collections in between.
//
//     Connections/   a connection's decisions (ConnectionMachine) and its event loop (ConnectionHandler)
//     Search/        the queue, the threads and what they do with a request
//     Catalog/       the collections that there are
//
// A request crosses from its event loop to a search thread once, and its reply crosses back once; or not at all, while one
// client asks one thing at a time (Search/LoopSearcher.swift).
//
// May use: all of this module, NIOPosix, swift-log, swift-service-lifecycle.

import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import VectorWire

/// Serves a catalog of collections over the protocol of docs/PROTOCOL.md.
///
///     let server = try VectorServer(configuration: configuration, catalog: catalog, logger: logger)
///     try await server.run()
///
/// Runs until its task is cancelled, which closes every connection at once, or until a graceful shutdown, which answers
/// what is in flight first. Collections may be published, replaced and removed while it runs.
public struct VectorServer: Service {
  private let configuration: ServerConfiguration
  private let catalog: CollectionCatalog
  private let logger: Logger
  private let onListening: @Sendable (Int) -> Void

  /// - Parameter onListening: called with the port, once connections are taken.
  /// - Throws: `invalidConfiguration`.
  public init(
    configuration: ServerConfiguration, catalog: CollectionCatalog, logger: Logger,
    onListening: @escaping @Sendable (Int) -> Void = { _ in }
  ) throws(ServerError) {
    try configuration.validate()
    self.configuration = configuration
    self.catalog = catalog
    self.logger = logger
    self.onListening = onListening
  }

  /// - Throws: `cannotListen`, `listenerEnded`.
  public func run() async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: configuration.networkThreads)
    let queue = SearchQueue(tasksMax: configuration.queuedRequestsMax)
    let threads = SearchThreads(count: configuration.searchThreads, queue: queue) { [self] in makeRunner() }
    let result: Result<Void, ServerError>
    do throws(ServerError) { result = .success(try await serve(queue, group)) } catch { result = .failure(error) }
    // Threads first: their last replies still need the event loops.
    await threads.stop()
    do { try await group.shutdownGracefully() } catch { logger.warning("event loops did not end cleanly: \(error)") }
    try result.get()
  }

  private func serve(_ queue: SearchQueue, _ group: any EventLoopGroup) async throws(ServerError) {
    let registry = ConnectionRegistry(connectionsMax: configuration.connectionsMax)
    let listener = try await listen(
      ConnectionHandler.Shared(
        configuration: configuration, catalog: catalog, queue: queue, searchers: searchers(group), registry: registry,
        logger: logger), group)
    let port = listener.localAddress?.port ?? configuration.port
    logger.info("listening", metadata: ["host": "\(configuration.host)", "port": "\(port)"])
    onListening(port)

    let ending = await ending(of: listener)
    logger.info("no longer listening: \(ending.rawValue)")
    await finish(registry, ending, on: group.any())
    if ending == .listenerEnded {
      throw ServerError(.listenerEnded, "the listening socket ended by itself: see the log, and start the server again")
    }
  }

  private func makeRunner() -> RequestRunner {
    RequestRunner(catalog: catalog, frameBytesMax: configuration.limits.frameBytesMax, logger: logger)
  }

  /// A searcher for each event loop.
  private func searchers(_ group: any EventLoopGroup) -> [ObjectIdentifier: NIOLoopBoundBox<LoopSearcher>] {
    var searchers: [ObjectIdentifier: NIOLoopBoundBox<LoopSearcher>] = [:]
    for loop in group.makeIterator() {
      searchers[ObjectIdentifier(loop)] = .makeBoxSendingValue(
        LoopSearcher(runner: makeRunner(), catalog: catalog), eventLoop: loop)
    }
    return searchers
  }

  private func listen(
    _ shared: ConnectionHandler.Shared, _ group: any EventLoopGroup
  ) async throws(ServerError) -> any Channel {
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 256)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(.socketOption(.so_keepalive), value: 1)
      .childChannelOption(.autoRead, value: false)
      .childChannelOption(.writeBufferWaterMark, value: .init(low: 256 << 10, high: 1 << 20))
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(ConnectionHandler(shared: shared))
        }
      }
    do {
      return try await bootstrap.bind(host: configuration.host, port: configuration.port).get()
    } catch {
      throw ServerError(
        .cannotListen,
        "cannot listen on \(configuration.host):\(configuration.port): \(error). Is another server running there?")
    }
  }

  private enum Ending: String {
    case graceful = "shutting down"
    case cancelled = "stopped"
    case listenerEnded = "the listening socket ended"
  }

  /// Waits for the first reason to end, and closes the listener.
  private func ending(of listener: any Channel) async -> Ending {
    await withTaskGroup(of: Ending.self) { group in
      group.addTask {
        do { try await gracefulShutdown() } catch { return .cancelled }
        return .graceful
      }
      group.addTask {
        try? await listener.closeFuture.get()
        return .listenerEnded
      }
      let first = await group.next() ?? .cancelled
      group.cancelAll()
      listener.close(promise: nil)
      return first
    }
  }

  /// Lets the connections end, and ends those that take too long.
  private func finish(_ registry: ConnectionRegistry, _ ending: Ending, on loop: any EventLoop) async {
    let emptied = loop.makePromise(of: Void.self)
    registry.shutDown(emptied: emptied)
    if ending == .cancelled { registry.closeAll() }
    let limit = loop.scheduleTask(in: TimeAmount(configuration.shutdownTimeout)) { registry.closeAll() }
    await withTaskCancellationHandler {
      // The promise is only ever succeeded.
      try? await emptied.futureResult.get()
    } onCancel: {
      registry.closeAll()
    }
    limit.cancel()
  }
}
