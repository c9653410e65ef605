// The bridge between tasks and the event loop: ask here, await there.
//
// May use: VectorWire, NIOCore.

import NIOCore
import Synchronization
import VectorWire

final class Connection: Sendable {
  private let channel: any Channel
  private let handler: NIOLoopBound<ClientHandler>
  private let lastRequestID = Atomic<UInt32>(0)

  init(channel: any Channel) async throws {
    self.channel = channel
    handler = try await channel.eventLoop.submit {
      NIOLoopBound(
        try channel.pipeline.syncOperations.handler(type: ClientHandler.self), eventLoop: channel.eventLoop)
    }.get()
  }

  func close() async {
    // Closing a channel that is closed already is what was wanted.
    try? await channel.close().get()
  }

  /// Sends a request and decodes its answer on the caller's own thread.
  func ask<Reply: WireMessage>(
    _ request: some WireMessage, bodyBytesMax: Int, timeout: Duration
  ) async throws(VectorClientError) -> Reply {
    let requestID = nextRequestID()
    let amount = TimeAmount(timeout)
    let milliseconds = UInt32(clamping: max(1, amount.nanoseconds / 1_000_000))
    let frame = request.frame(
      requestID: requestID, deadlineMilliseconds: milliseconds, allocator: channel.allocator)
    guard frame.readableBytes - WireProtocol.headerBytes <= bodyBytesMax else {
      throw VectorClientError(
        .invalidRequest, "the request is over the server's limit of \(bodyBytesMax) bytes: send fewer queries at once")
    }
    let answer = try await send(frame, requestID, amount).get()
    guard answer.header.kind == Reply.kind else {
      throw VectorClientError(.protocolViolation, "the server answered with a message of kind \(answer.header.kind)")
    }
    do { return try Reply(frame: answer) } catch {
      throw VectorClientError(.protocolViolation, "the server's answer cannot be read: \(error.message)")
    }
  }

  private func nextRequestID() -> UInt32 {
    let id = lastRequestID.wrappingAdd(1, ordering: .relaxed).newValue
    return id != 0 ? id : nextRequestID()
  }

  private func send(_ frame: ByteBuffer, _ requestID: UInt32, _ timeout: TimeAmount) async -> ClientHandler.Answer {
    // A task may be cancelled before its request has reached the event loop; the flag is set before the loop is told,
    // and read there before the request is taken.
    let call = Call()
    let cancelled = VectorClientError(.cancelled, "the task that asked was cancelled")
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        channel.eventLoop.execute { [handler] in
          guard !call.isCancelled.load(ordering: .acquiring) else {
            return continuation.resume(returning: .failure(cancelled))
          }
          handler.value.send(frame, requestID: requestID, timeout: timeout) { continuation.resume(returning: $0) }
        }
      }
    } onCancel: {
      call.isCancelled.store(true, ordering: .releasing)
      channel.eventLoop.execute { [handler] in handler.value.giveUp(requestID, cancelled) }
    }
  }

  private final class Call: Sendable {
    let isCancelled = Atomic<Bool>(false)
  }
}
