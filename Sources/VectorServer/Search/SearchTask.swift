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
  let reservedBytes: Int
  /// When the answer stops being of use.
  let deadline: NIODeadline
  let outbox: Outbox
  private let cancelled = Atomic<Bool>(false)

  init(_ work: ConnectionMachine<SearchTask>.Work, deadline: NIODeadline, outbox: Outbox) {
    requestID = work.requestID
    request = work.request
    reservedBytes = work.reservedBytes
    self.deadline = deadline
    self.outbox = outbox
  }

  /// Nobody waits for the answer any more. Nothing else is published with it, so relaxed will do.
  func cancel() { cancelled.store(true, ordering: .relaxed) }

  /// Called between queries.
  func checkWanted() throws(WireError) {
    guard !cancelled.load(ordering: .relaxed) else { throw WireError(.cancelled, "the request was cancelled") }
    guard NIODeadline.now() < deadline else {
      throw WireError(.deadlineExceeded, "the answer was not ready in time: allow more time or ask for less")
    }
  }
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
    if isFirst { eventLoop.execute { self.handler.value?.sendReplies() } }
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
