// A request on its way from a connection to a search thread, and the way back.
//
// May use: SearchWork, NIOCore, Synchronization.

import NIOCore
import Synchronization
import VectorWire

/// A request that some search thread will answer.
final class SearchTask: Sendable {
  let requestID: UInt32
  let request: SearchWork
  /// How new the collection must be.
  let freshness: Freshness
  let reservedBytes: Int
  let arrival: NIODeadline
  /// When the answer stops being of use.
  let deadline: NIODeadline
  let outbox: Outbox
  /// Where it goes when it has waited.
  let queue: SearchQueue
  private let cancelled = Atomic<Bool>(false)
  /// Its waiting for a position, if it does: SearchTask+Waiting.swift.
  let waiting: Mutex<Waiting>

  init(
    _ work: ConnectionMachine<SearchTask>.Work, arrival: NIODeadline, patience: TimeAmount, outbox: Outbox,
    queue: SearchQueue
  ) {
    requestID = work.requestID
    request = work.request
    freshness = work.request.freshness
    reservedBytes = work.reservedBytes
    self.arrival = arrival
    deadline = arrival + patience
    self.outbox = outbox
    self.queue = queue
    waiting = Mutex(Waiting(freshness))
  }

  /// Nobody waits for the answer any more.
  func cancel() {
    // Nothing else is published with it, so relaxed will do.
    cancelled.store(true, ordering: .relaxed)
    endWaiting(Self.cancelledError)
  }

  /// Called between queries.
  func checkWanted() throws(WireError) {
    guard !cancelled.load(ordering: .relaxed) else { throw Self.cancelledError }
    guard NIODeadline.now() < deadline else {
      throw WireError(.deadlineExceeded, "the answer was not ready in time: allow more time or ask for less")
    }
  }

  func fail(_ error: WireError) { outbox.deliver(ErrorReply(error).frame(requestID: requestID), for: self) }

  private static var cancelledError: WireError { WireError(.cancelled, "the request was cancelled") }
}

/// Replies that search threads have ready for one connection.
///
/// The first reply wakes the connection's event loop; those that come until it looks go out in the same flush.
final class Outbox: Sendable {
  struct Reply {
    var task: SearchTask
    var frame: ByteBuffer
  }

  private let eventLoop: any EventLoop
  private let replies = Mutex<[Reply]>([])
  /// Nil once the connection is gone.
  private let handler: NIOLoopBoundBox<ConnectionHandler?>

  /// - Precondition: called on `eventLoop`.
  init(handler: ConnectionHandler, eventLoop: any EventLoop) {
    self.eventLoop = eventLoop
    self.handler = NIOLoopBoundBox(handler, eventLoop: eventLoop)
  }

  func deliver(_ frame: ByteBuffer, for task: SearchTask) {
    let isFirst = replies.withLock { replies in
      replies.append(Reply(task: task, frame: frame))
      return replies.count == 1
    }
    guard isFirst else { return }
    eventLoop.execute {
      // Replies hold their tasks, and those this: where nobody takes them, they must not stay.
      guard let handler = self.handler.value else {
        _ = self.takeAll()
        return
      }
      handler.sendReplies()
    }
  }

  /// Does something at a time, on the connection's event loop.
  func schedule(at time: NIODeadline, _ body: @escaping @Sendable () -> Void) -> Scheduled<Void> {
    eventLoop.scheduleTask(deadline: time, body)
  }

  /// What is ready; on the event loop.
  func takeAll() -> [Reply] {
    replies.withLock { replies in
      defer { replies = [] }
      return replies
    }
  }

  /// Breaks the ring of references; on the event loop.
  func detach() { handler.value = nil }
}
