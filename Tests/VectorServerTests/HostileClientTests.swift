// Clients that do not play by the rules, and the ends of connections.

import Foundation
import NIOCore
import NIOPosix
import TestSupport
import Testing
import VectorClient
import VectorIndex
import VectorWire

@testable import VectorServer

@Suite(.timeLimit(.minutes(1))) struct HostileClientTests {
  @Test func garbage() async throws {
    try await withServer([try makeCollection()]) { _, port in
      let web = try await RawClient(port: port)
      try await web.send(ByteBuffer(string: "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"))
      try await web.expectEnd(.malformedFrame)

      let early = try await RawClient(port: port)
      try await early.send(Ping(), 3)
      try await early.expectEnd(.helloExpected, requestID: 3)

      let twice = try await RawClient.greeted(port: port)
      try await twice.send(Hello(client: "again"), 4)
      try await twice.expectEnd(.helloExpected, requestID: 4)

      let future = try await RawClient(port: port)
      try await future.send(Hello(versions: 2...3, client: "future"), 5)
      try await future.expectEnd(.unsupportedVersion, requestID: 5)
    }
  }

  @Test func randomBytes() async throws {
    try await withServer([try makeCollection()]) { _, port in
      for seed in UInt64(1)...60 {
        var random = SeededRandom(seed: seed)
        let raw = seed.isMultiple(of: 2) ? try await RawClient(port: port) : try await RawClient.greeted(port: port)
        for _ in 0..<5 {
          let small = Bool.random(using: &random)
          let bytes = (0..<Int.random(in: 1...400, using: &random)).map { _ in
            UInt8.random(in: 0...(small ? 3 : 255), using: &random)
          }
          // The server may have hung up already.
          try? await raw.send(ByteBuffer(bytes: bytes))
        }
        await raw.close()
      }
      let client = try await VectorClient.connect(host: "127.0.0.1", port: port)
      #expect(try await client.collections().count == 1)
      await client.close()
    }
  }

  @Test func aFrameOverTheLimit() async throws {
    try await withServer([], .test({ $0.limits.frameBytesMax = 4_096 })) { _, port in
      // The header alone is enough, and the Error arrives though the body is still on its way.
      for sendsBody in [false, true] {
        let raw = try await RawClient.greeted(port: port)
        var bytes = ByteBuffer()
        FrameHeader(kind: .ping, bodyLength: 4_097, requestID: 8).encode(into: &bytes)
        if sendsBody { bytes.writeRepeatingByte(0x55, count: 1 << 20) }
        try? await raw.send(bytes)
        try await raw.expectEnd(.frameTooLarge, requestID: 8)
      }
      let ungreeted = try await RawClient(port: port)
      var bytes = ByteBuffer()
      FrameHeader(kind: .hello, bodyLength: 1_025, requestID: 1).encode(into: &bytes)
      try await ungreeted.send(bytes)
      try await ungreeted.expectEnd(.frameTooLarge, requestID: 1)
    }
  }

  @Test func noHello() async throws {
    try await withServer([], .test({ $0.handshakeTimeout = .milliseconds(200) })) { _, port in
      let mute = try await RawClient(port: port)
      try await mute.expectEnd(.handshakeTimeout, requestID: 0)

      // Half a Hello does not buy time.
      let half = try await RawClient(port: port)
      let hello = Hello(client: "half").frame(requestID: 0)
      try? await half.send(try #require(hello.getSlice(at: 0, length: 20)))
      try await half.expectEnd(.handshakeTimeout, requestID: 0)
    }
  }

  @Test func halfAFrameAndThenSilence() async throws {
    try await withServer([], .test({ $0.stallTimeout = .milliseconds(200) })) { _, port in
      for length in [1, 15, 16, 17] {
        let stalled = try await RawClient.greeted(port: port)
        let ping = Ping(payload: ByteBuffer(string: "abc")).frame(requestID: 1)
        try await stalled.send(try #require(ping.getSlice(at: 0, length: length)))
        try await stalled.expectEnd(.stalled, requestID: 0)
      }

      // Who has nothing to say may stay.
      let idle = try await RawClient.greeted(port: port)
      try await Task.sleep(for: .milliseconds(600))
      try await idle.send(Ping(), 1)
      #expect(await idle.next()?.header.kind == .pong)
      await idle.close()
    }
  }

  /// Sends without end and never reads. The server must stop taking more once its socket, the outbound buffer and the
  /// requests in flight are full, and hang up after the stall timeout.
  @Test(arguments: [false, true]) func aClientThatNeverReads(searches: Bool) async throws {
    let collection = try makeCollection(rows: 1_000)
    try await withServer(
      [collection],
      .test({
        $0.stallTimeout = .milliseconds(400)
        // What comes after the end is read and dropped, and would be counted here.
        $0.lingerTimeout = .milliseconds(1)
        $0.connectionBytesMax = 1 << 20
      })
    ) { _, port in
      let raw = try await RawClient.greeted(port: port, reads: false)
      // A kilobyte asks for 12 KB, or a ping for itself.
      let request =
        searches
        ? SearchRequest(
          .init(collection: "rows", k: 1_000), vectors: try #require(QueryVectors([[1, 2, 3, 4, 5, 6, 7, 8]]))
        )
        .frame(requestID: 1)
        : Ping(payload: ByteBuffer(repeating: 1, count: 256)).frame(requestID: 1)
      let memoryBefore = residentBytes()
      var sent = 0
      let limit = 512 << 20
      while sent < limit {
        var chunk = ByteBuffer()
        for i in 0..<200 {
          let start = chunk.writerIndex
          chunk.writeImmutableBuffer(request)
          chunk.setInteger(UInt32(truncatingIfNeeded: sent + i + 1), at: start + 8, endianness: .little)
        }
        // Succeeds when the kernel has taken it; fails when the server has hung up.
        do { try await raw.send(chunk) } catch { break }
        sent += chunk.readableBytes
      }
      // Both kernels' buffers are in this number; Linux lets a receive buffer grow to 32 MiB.
      #expect(sent < 128 << 20, "\(sent) bytes were taken from a client that does not read")
      // Answers to all that was sent would take gigabytes. The rest is for the tests that run beside this one.
      #expect(residentBytes() - memoryBefore < 512 << 20)
      await raw.close()
      let client = try await VectorClient.connect(host: "127.0.0.1", port: port)
      try await client.ping()
      await client.close()
    }
  }

  /// The memory of this process, which server and client share.
  private func residentBytes() -> Int {
    guard let statm = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8),
      let pages = Int(statm.split(separator: " ")[1])
    else { return 0 }
    return pages * 4_096
  }

  @Test func tooManyConnections() async throws {
    try await withServer([], .test({ $0.connectionsMax = 2 })) { _, port in
      let first = try await RawClient.greeted(port: port)
      let second = try await RawClient.greeted(port: port)
      let third = try await RawClient(port: port)
      try await third.expectEnd(.connectionLimit, requestID: 0)
      await first.close()
      let fourth = try await admitted(port)
      try await second.send(Ping(), 1)
      #expect(await second.next()?.header.kind == .pong)
      await fourth.close()
      await second.close()
    }
  }

  // MARK: Configuration

  @Test func anAddressThatIsTaken() async throws {
    try await withServer([]) { _, port in
      let error = await #expect(throws: ServerError.self) {
        try await withServer([], .test({ $0.port = port })) { _, _ in }
      }
      #expect(error?.code == .cannotListen && error?.message.contains("\(port)") == true)
    }
  }

  @Test func configurationsThatCannotBe() throws {
    for change: (inout ServerConfiguration) -> Void in [
      { $0.port = 65_536 }, { $0.searchThreads = 0 }, { $0.limits.kMax = 10_001 }, { $0.limits.frameBytesMax = 1_023 },
      { $0.stallTimeout = .zero }, { $0.connectionsMax = 0 }, { $0.limits.requestsInFlightMax = 0 },
    ] {
      var configuration = ServerConfiguration()
      change(&configuration)
      let error = #expect(throws: ServerError.self) { try configuration.validate() }
      #expect(error?.code == .invalidConfiguration)
    }
    try ServerConfiguration().validate()
    #expect(throws: ServerError.self) { try makeCollection("") }
    #expect(throws: ServerError.self) { try makeCollection(String(repeating: "é", count: 128)) }
  }

  // MARK: The Swift client against others

  @Test func nobodyThere() async throws {
    let port = try await withServer([]) { _, port in port }
    let error = await #expect(throws: VectorClientError.self) {
      try await VectorClient.connect(host: "127.0.0.1", port: port)
    }
    #expect(error?.code == .connectionFailed)
  }

  /// A server of another protocol, one that hangs up, and one that says nothing.
  @Test func serversThatAreNoneOfOurs() async throws {
    for (answer, code) in [
      ("220 mail.example ESMTP ready\r\n", VectorClientError.Code.protocolViolation), ("", .connectionClosed),
      (nil, .timedOut),
    ] {
      let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .childChannelInitializer { channel in
          guard let answer else { return channel.eventLoop.makeSucceededVoidFuture() }
          return channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(Stranger(answer: answer))
          }
        }
        .bind(host: "127.0.0.1", port: 0).get()
      let error = await #expect(throws: VectorClientError.self) {
        try await VectorClient.connect(
          host: "127.0.0.1", port: try #require(listener.localAddress?.port),
          configuration: .init(connectTimeout: .milliseconds(300)))
      }
      #expect(error?.code == code)
      try await listener.close().get()
    }
  }

  private final class Stranger: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let answer: String
    init(answer: String) { self.answer = answer }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      if answer.isEmpty { return context.close(promise: nil) }
      context.writeAndFlush(NIOAny(ByteBuffer(string: answer)), promise: nil)
    }
  }
}
