// One connection, as its event loop sees it: requests wait here under their ids until their answers come.
//
// May use: NIOCore. All state belongs to the channel's event loop.

import NIOCore
import VectorWire

final class ClientHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer
  typealias Answer = Result<Frame, VectorClientError>

  private struct Pending {
    var answer: @Sendable (Answer) -> Void
    var timeout: Scheduled<Void>
  }

  private var reader = FrameReader()
  private var bodyBytesMax = WireProtocol.handshakeBytesMax
  private var pending: [UInt32: Pending] = [:]
  private var context: ChannelHandlerContext?
  /// Why no request can be sent any more.
  private var ending: VectorClientError?
  private var isFlushScheduled = false

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }
  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

  // MARK: Requests

  /// Sends a frame whose id is `requestID`, and calls `answer` once.
  func send(_ frame: ByteBuffer, requestID: UInt32, timeout: TimeAmount, answer: @escaping @Sendable (Answer) -> Void) {
    guard let context, context.channel.isActive, ending == nil else {
      answer(.failure(ending ?? Self.closed))
      return
    }
    guard pending[requestID] == nil else {
      answer(.failure(VectorClientError(.invalidRequest, "all request ids are in use: wait for answers")))
      return
    }
    let scheduled = context.eventLoop.assumeIsolated().scheduleTask(in: timeout) {
      self.giveUp(
        requestID, VectorClientError(.timedOut, "no answer came within \(timeout.nanoseconds / 1_000_000) ms"))
    }
    pending[requestID] = Pending(answer: answer, timeout: scheduled)
    write(frame, context)
  }

  /// Fails a request at once and tells the server that its answer is of no use any more.
  func giveUp(_ requestID: UInt32, _ error: VectorClientError) {
    guard let waiting = pending.removeValue(forKey: requestID) else { return }
    waiting.timeout.cancel()
    if let context, ending == nil { write(Cancel(requestID: requestID).frame(requestID: 0), context) }
    waiting.answer(.failure(error))
  }

  /// Requests that are sent in one turn of the event loop leave in one system call.
  private func write(_ frame: ByteBuffer, _ context: ChannelHandlerContext) {
    context.write(wrapOutboundOut(frame), promise: nil)
    guard !isFlushScheduled else { return }
    isFlushScheduled = true
    context.eventLoop.assumeIsolated().execute {
      self.isFlushScheduled = false
      self.context?.flush()
    }
  }

  // MARK: Answers

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard ending == nil else { return }
    reader.append(unwrapInboundIn(data))
    while true {
      switch reader.next(bodyBytesMax: bodyBytesMax) {
      case .needsMore: return
      case .invalid(_, let error):
        return end(VectorClientError(.protocolViolation, "the server sent no frame of this protocol: \(error.message)"))
      case .frame(let frame):
        take(frame)
        if ending != nil { return }
      }
    }
  }

  private func take(_ frame: Frame) {
    if frame.header.kind == .welcome, let welcome = try? Welcome(decoding: frame.body) {
      bodyBytesMax = welcome.limits.frameBytesMax
    }
    guard frame.header.kind == .error else {
      // Nobody waits for an answer that was given up; it is dropped.
      return resume(frame.header.requestID, .success(frame))
    }
    guard let reply = try? ErrorReply(decoding: frame.body) else {
      return end(VectorClientError(.protocolViolation, "the server sent an error that cannot be read"))
    }
    resume(frame.header.requestID, .failure(VectorClientError(reply.error)))
    if reply.closes { end(VectorClientError(reply.error)) }
  }

  private func resume(_ requestID: UInt32, _ answer: Answer) {
    guard let waiting = pending.removeValue(forKey: requestID) else { return }
    waiting.timeout.cancel()
    waiting.answer(answer)
  }

  // MARK: The end

  func channelInactive(context: ChannelHandlerContext) { end(Self.closed) }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    end(VectorClientError(.connectionClosed, "the connection failed: \(error)"))
  }

  private static let closed = VectorClientError(
    .connectionClosed, "the connection is closed: connect again, and see the server's log")

  private func end(_ error: VectorClientError) {
    if ending == nil { ending = error }
    reader.removeAll()
    let waiting = pending
    pending = [:]
    for request in waiting.values {
      request.timeout.cancel()
      request.answer(.failure(ending ?? error))
    }
    context?.close(promise: nil)
  }
}
