// One connection on its event loop: carries out what ConnectionMachine decides.
//
// A plain inbound handler with its own framing: NIO's decoder and encoder handlers, and its async channel all the more,
// were each measured to answer a fraction of the requests a second.
//
// May use: NIOCore, VectorWire, the machine, the queue. All state belongs to the channel's event loop.

import Logging
import NIOCore
import VectorWire

final class ConnectionHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  /// What all connections of a server share.
  struct Shared: Sendable {
    var configuration: ServerConfiguration
    var catalog: CollectionCatalog
    var queue: SearchQueue
    /// By event loop.
    var searchers: [ObjectIdentifier: NIOLoopBoundBox<LoopSearcher>]
    var registry: ConnectionRegistry
    var logger: Logger
  }

  private let shared: Shared
  private var machine: ConnectionMachine<SearchTask>
  private var context: ChannelHandlerContext?
  private var outbox: Outbox?
  private var handshakeTimer: Scheduled<Void>?
  private var tickTimer: Scheduled<Void>?
  private var lingerTimer: Scheduled<Void>?
  /// Tasks of this round, given to the queue together.
  private var begun: [SearchTask] = []
  private var isPumping = false
  private var isPumpedAgain = false
  private var hasUnflushed = false

  init(shared: Shared) {
    self.shared = shared
    let configuration = shared.configuration
    machine = ConnectionMachine(
      settings: .init(
        limits: configuration.limits, connectionBytesMax: configuration.connectionBytesMax,
        stallTimeout: TimeAmount(configuration.stallTimeout), serverName: configuration.serverName),
      now: .now())
  }

  // MARK: Beginning and end

  func channelActive(context: ChannelHandlerContext) {
    self.context = context
    outbox = Outbox(handler: self, eventLoop: context.eventLoop)
    switch shared.registry.add(self, eventLoop: context.eventLoop) {
    case .dropped: return closeNow()
    case .refused(let error): perform(machine.refuse(error), context)
    case .admitted:
      shared.logger.debug("connection opened", metadata: metadata(context))
      handshakeTimer = context.eventLoop.assumeIsolated()
        .scheduleTask(in: TimeAmount(shared.configuration.handshakeTimeout)) { self.act { $0.handshakeTimedOut() } }
      scheduleTick(context)
    }
    context.read()
  }

  /// Four looks an interval: silence is noticed when it has lasted at most a quarter too long.
  private func scheduleTick(_ context: ChannelHandlerContext) {
    let interval = max(1_000_000, TimeAmount(shared.configuration.stallTimeout).nanoseconds / 4)
    tickTimer = context.eventLoop.assumeIsolated().scheduleTask(in: .nanoseconds(interval)) {
      guard let context = self.context else { return }
      // Every TCP channel has this option; without it, silence of the reading side would go unnoticed.
      let unsent = (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
      self.act { $0.tick(now: .now(), unsentBytes: unsent) }
      if self.context != nil { self.scheduleTick(context) }
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    shared.logger.debug("connection closed", metadata: metadata(context))
    for task in machine.disconnected() { task.cancel() }
    for timer in [handshakeTimer, tickTimer, lingerTimer] { timer?.cancel() }
    outbox?.detach()
    self.context = nil
    shared.registry.remove(self)
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    shared.logger.debug("connection failed: \(error)", metadata: metadata(context))
    context.close(promise: nil)
  }

  /// The server ends: answer what is in flight and close. What waits for a position would hold that up.
  func shutDown() {
    act { $0.shutDown() }
    for task in machine.unanswered { task.endWaiting(ConnectionMachine<SearchTask>.shuttingDown) }
  }

  func closeNow() { context?.close(promise: nil) }

  // MARK: Input

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    machine.received(unwrapInboundIn(data), now: .now())
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    pump(context)
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    machine.writabilityChanged(context.channel.isWritable)
    pump(context)
  }

  // MARK: Work

  /// Does all that can be done, then asks for more if there is room for it.
  private func pump(_ context: ChannelHandlerContext) {
    // Writing and flushing may change the writability, which comes back here: then there may be more to do.
    guard !isPumping else {
      isPumpedAgain = true
      return
    }
    isPumping = true
    defer { isPumping = false }
    repeat {
      isPumpedAgain = false
      while step(context) {}
      flush(context)
    } while isPumpedAgain
    if machine.wantsInput { context.read() }
  }

  /// - Returns: false when there is nothing left to do.
  private func step(_ context: ChannelHandlerContext) -> Bool {
    guard let outbox else { return false }
    let action = machine.next { work in
      let patience: TimeAmount =
        work.deadlineMilliseconds == 0
        ? TimeAmount(shared.configuration.defaultDeadline) : .milliseconds(Int64(work.deadlineMilliseconds))
      return SearchTask(work, arrival: .now(), patience: patience, outbox: outbox, queue: shared.queue)
    }
    // What the queue refuses leaves room for more.
    if case .none = action { return !begun.isEmpty && hand(context) }
    perform(action, context)
    return true
  }

  /// Answers the one task of this round on this event loop, where that is faster for all.
  private func answerHere(_ context: ChannelHandlerContext) -> Bool {
    guard let searcher = shared.searchers[ObjectIdentifier(context.eventLoop)]?.value,
      let outcome = searcher.answer(begun, of: ObjectIdentifier(self), shared.queue)
    else { return false }
    guard case .reply(let frame) = outcome else {
      begun.removeAll(keepingCapacity: true)
      return true
    }
    for task in begun where machine.finished(task, requestID: task.requestID, reservedBytes: task.reservedBytes) {
      context.write(wrapOutboundOut(frame), promise: nil)
      hasUnflushed = true
    }
    begun.removeAll(keepingCapacity: true)
    perform(machine.answered(), context)
    return true
  }

  /// Gives the tasks of this round to the search threads. What the queue has no room for is answered at once.
  /// - Returns: whether there was such a one.
  private func hand(_ context: ChannelHandlerContext) -> Bool {
    if answerHere(context) { return true }
    let taken = shared.queue.push(begun)
    let refused = begun[taken...]
    for task in refused {
      guard machine.finished(task, requestID: task.requestID, reservedBytes: task.reservedBytes) else { continue }
      write(ErrorReply(.queueIsFull), task.requestID, context)
    }
    begun.removeAll(keepingCapacity: true)
    return !refused.isEmpty
  }

  /// Replies are ready in the outbox.
  func sendReplies() {
    guard let context, let outbox else { return }
    for reply in outbox.takeAll() {
      let task = reply.task
      guard machine.finished(task, requestID: task.requestID, reservedBytes: task.reservedBytes) else { continue }
      context.write(wrapOutboundOut(reply.frame), promise: nil)
      hasUnflushed = true
    }
    perform(machine.answered(), context)
    pump(context)
  }

  private func act(_ event: (inout ConnectionMachine<SearchTask>) -> ConnectionMachine<SearchTask>.Action) {
    guard let context else { return }
    perform(event(&machine), context)
    pump(context)
  }

  private func perform(_ action: ConnectionMachine<SearchTask>.Action, _ context: ChannelHandlerContext) {
    switch action {
    case .none: break
    case .welcome(let welcome, let requestID): write(welcome, requestID, context)
    case .pong(let pong, let requestID): write(pong, requestID, context)
    case .listCollections(let requestID): listCollections(requestID, context)
    case .begin(let task): begun.append(task)
    case .cancel(let task, let requestID):
      task.cancel()
      write(ErrorReply(WireError(.cancelled, "the request was cancelled")), requestID, context)
    case .fail(let error, let requestID):
      shared.logger.debug("request refused: \(error)", metadata: metadata(context))
      write(ErrorReply(error), requestID, context)
    case .close(let error, let requestID, let abandoned):
      shared.logger.info("connection ended: \(error)", metadata: metadata(context))
      for task in abandoned { task.cancel() }
      write(ErrorReply(error, closes: true), requestID, context)
      flush(context)
      leave(context)
    }
  }

  private func listCollections(_ requestID: UInt32, _ context: ChannelHandlerContext) {
    let reply = Collections(shared.catalog.all.map(\.description))
    let frame = reply.frame(requestID: requestID, allocator: context.channel.allocator)
    guard frame.readableBytes - WireProtocol.headerBytes <= shared.configuration.limits.frameBytesMax else {
      return write(
        ErrorReply(WireError(.replyTooLarge, "there are too many collections to list them")), requestID, context)
    }
    context.write(wrapOutboundOut(frame), promise: nil)
    hasUnflushed = true
  }

  // MARK: Output

  private func write(_ message: some WireMessage, _ requestID: UInt32, _ context: ChannelHandlerContext) {
    let frame = message.frame(requestID: requestID, allocator: context.channel.allocator)
    context.write(wrapOutboundOut(frame), promise: nil)
    hasUnflushed = true
  }

  private func flush(_ context: ChannelHandlerContext) {
    guard hasUnflushed else { return }
    hasUnflushed = false
    context.flush()
  }

  /// Closes the sending side, and the whole once the other side has had time to read why: closing a socket with unread
  /// bytes in it resets the connection, and a reset throws away what was sent.
  private func leave(_ context: ChannelHandlerContext) {
    context.close(mode: .output, promise: nil)
    lingerTimer = context.eventLoop.assumeIsolated()
      .scheduleTask(in: TimeAmount(shared.configuration.lingerTimeout)) { self.closeNow() }
  }

  private func metadata(_ context: ChannelHandlerContext) -> Logger.Metadata {
    ["client": "\(context.remoteAddress.map(String.init(describing:)) ?? "unknown")"]
  }
}
