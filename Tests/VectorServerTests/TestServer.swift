// A server on a free port of loopback with a small real index, and a client that speaks raw bytes to it.

import Dispatch
import Foundation
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import TestSupport
import Testing
import VectorWire

@testable import VectorIndex
@testable import VectorServer

func randomVectors(_ count: Int, dimension: Int, seed: UInt64) -> [[Float]] {
  var random = SeededRandom(seed: seed)
  return (0..<count).map { _ in random.vector(dimension: dimension) }
}

/// A collection whose rows are called 0, 1, 2, … in their kind of id.
func makeCollection(
  _ name: String = "rows", rows: Int = 200, dimension: Int = 8, metric: Metric = .cosine,
  storage: VectorStorage = .f32,
  recordIDKind: RecordIDKind = .int64, position: Position = Position(systemID: 7, appliedLSN: 99, timeline: 2)
) throws -> Collection {
  let index = try HNSWIndex(
    configuration: HNSWConfiguration(
      dimension: dimension, metric: metric, recordIDKind: recordIDKind, storage: storage))
  for (row, vector) in randomVectors(rows, dimension: dimension, seed: 42).enumerated() {
    try index.insert(recordID(row, recordIDKind), vector)
  }
  return try Collection(name: name, index: index, position: position)
}

func recordID(_ row: Int, _ kind: RecordIDKind) -> RecordID {
  switch kind {
  case .int64: .int64(Int64(row))
  case .uuid: .uuid(high: UInt64(row), low: 1)
  case .text: .text("row \(row)")
  case .composite: .composite([.int64(Int64(row)), .text("é")])
  }
}

/// Holds search threads for as long as a test wants: statistics wait for the index's writer, and the gate is one.
///
/// What a test says about requests in flight is then true on any machine at any load.
final class Gate: Sendable {
  /// Ask for its statistics to hold a search thread.
  let collection: Collection
  private let leave = DispatchSemaphore(value: 0)

  /// Closes the gate.
  init() async throws {
    let collection = try makeCollection("gate", rows: 1)
    self.collection = collection
    let leave = leave
    await withCheckedContinuation { entered in
      // A thread of its own: it stands still with a lock in its hand.
      Thread.detachNewThread {
        collection.index.withRows { _ in
          entered.resume()
          leave.wait()
        }
      }
    }
  }

  /// Once, or the threads behind it never end.
  func open() { leave.signal() }

  var request: StatisticsRequest { StatisticsRequest(collection: "gate") }
}

/// A request that takes a while: thousands of scans of every row, between which deadlines are looked at.
struct LongWork {
  /// One for each test, since it counts what is asked of it.
  static func collection() throws -> Collection { try makeCollection("long", rows: 500, dimension: 32) }
  static let queries = 4_000
  static var request: SearchRequest {
    let vectors = QueryVectors([[Float]](repeating: [Float](repeating: 1, count: 32), count: queries))
    // Equal lengths, so there are some.
    return SearchRequest(.init(collection: "long", k: 1, isExact: true), vectors: vectors.unsafelyUnwrapped)
  }
}

extension ServerConfiguration {
  /// Two search threads and a free port, and what `change` makes of that.
  static func test(_ change: (inout ServerConfiguration) -> Void = { _ in }) -> ServerConfiguration {
    var configuration = ServerConfiguration()
    configuration.port = 0
    configuration.searchThreads = 2
    change(&configuration)
    return configuration
  }
}

/// Runs a server around `body` and stops it.
func withServer<R>(
  _ collections: [Collection], _ configuration: ServerConfiguration = .test(),
  _ body: (CollectionCatalog, Int) async throws -> R
) async throws -> R {
  let catalog = CollectionCatalog(collections)
  let (ports, continuation) = AsyncStream<Int>.makeStream()
  var logger = Logger(label: "test")
  logger.logLevel = .critical
  let server = try VectorServer(configuration: configuration, catalog: catalog, logger: logger) {
    continuation.yield($0)
  }
  let running = Task {
    defer { continuation.finish() }
    try await server.run()
  }
  guard let port = await ports.first(where: { _ in true }) else {
    try await running.value
    throw ServerError(.cannotListen, "the server ended before it listened")
  }
  let result: Result<R, any Error>
  do { result = .success(try await body(catalog, port)) } catch { result = .failure(error) }
  running.cancel()
  try await running.value
  return try result.get()
}

/// A server in a service group, as the program runs it.
func withServiceGroup(
  _ collections: [Collection], _ configuration: ServerConfiguration,
  _ body: (ServiceGroup, Int) async throws -> Void
) async throws {
  let (ports, continuation) = AsyncStream<Int>.makeStream()
  var logger = Logger(label: "test")
  logger.logLevel = .critical
  let server = try VectorServer(
    configuration: configuration, catalog: CollectionCatalog(collections), logger: logger
  ) { continuation.yield($0) }
  let group = ServiceGroup(
    configuration: .init(
      services: [.init(service: server, successTerminationBehavior: .gracefullyShutdownGroup)], logger: logger))
  let running = Task { try await group.run() }
  try await body(group, try #require(await ports.first { _ in true }))
  try await running.value
}

/// A connection that sends what it is told, byte for byte, and hands out the frames that come back.
final class RawClient: Sendable {
  private let channel: any Channel
  private let frames: AsyncStream<Frame>

  private final class Collector: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private var reader = FrameReader()
    private let continuation: AsyncStream<Frame>.Continuation
    init(_ continuation: AsyncStream<Frame>.Continuation) { self.continuation = continuation }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      reader.append(unwrapInboundIn(data))
      while case .frame(let frame) = reader.next(bodyBytesMax: 1 << 26) { continuation.yield(frame) }
    }
    func channelInactive(context: ChannelHandlerContext) { continuation.finish() }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }

  /// - Parameter reads: false for a client that never reads.
  init(port: Int, reads: Bool = true) async throws {
    let (frames, continuation) = AsyncStream<Frame>.makeStream()
    self.frames = frames
    var bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelOption(.autoRead, value: reads)
    // A fixed size, so that the kernel does not offer megabytes to the one who never reads.
    if !reads { bootstrap = bootstrap.channelOption(.socketOption(.so_rcvbuf), value: 64 << 10) }
    channel =
      try await bootstrap
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Collector(continuation))
        }
      }
      .connect(host: "127.0.0.1", port: port).get()
  }

  /// Connects and says hello.
  static func greeted(port: Int, reads: Bool = true) async throws -> RawClient {
    let client = try await RawClient(port: port, reads: reads)
    try await client.send(Hello(client: "raw").frame(requestID: 0))
    if reads {
      let frame = try #require(await client.next())
      _ = try Welcome(decoding: frame.body)
    }
    return client
  }

  func send(_ bytes: ByteBuffer) async throws { try await channel.writeAndFlush(bytes).get() }
  func send(_ message: some WireMessage, _ requestID: UInt32, deadlineMilliseconds: UInt32 = 0) async throws {
    try await send(message.frame(requestID: requestID, deadlineMilliseconds: deadlineMilliseconds))
  }

  /// The next frame; nil when the connection is closed.
  func next() async -> Frame? {
    for await frame in frames { return frame }
    return nil
  }

  /// The next frame, which must be an Error.
  func nextError() async throws -> (error: WireError, closes: Bool, requestID: UInt32) {
    let frame = try #require(await next(), "the connection was closed without a word")
    try #require(frame.header.kind == .error, "kind \(frame.header.kind), not an error")
    let reply = try ErrorReply(decoding: frame.body)
    return (reply.error, reply.closes, frame.header.requestID)
  }

  /// Expects an Error that closes, and then the end.
  func expectEnd(_ code: WireError.Code, requestID: UInt32? = nil, _ location: SourceLocation = #_sourceLocation)
    async throws
  {
    let (error, closes, id) = try await nextError()
    #expect(error.code == code && closes && !error.message.isEmpty, sourceLocation: location)
    if let requestID { #expect(id == requestID, sourceLocation: location) }
    #expect(await next() == nil, sourceLocation: location)
  }

  func close() async { try? await channel.close().get() }
  var isActive: Bool { channel.isActive }
}

/// Connects as soon as there is a place: the server takes a moment to see that a client has gone.
func admitted(_ port: Int) async throws -> RawClient {
  while true {
    let attempt = try await RawClient(port: port)
    // Who is refused may be told so before the Hello has left.
    try? await attempt.send(Hello(client: "again"), 0)
    if await attempt.next()?.header.kind == .welcome { return attempt }
    await attempt.close()
  }
}
