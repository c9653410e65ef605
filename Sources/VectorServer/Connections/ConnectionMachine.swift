// What happens on a connection, decided without a socket: bytes and events go in, actions come out.
//
//     awaitingHello ──Hello──▶ open ──shutdown──▶ draining ──last answer──▶ closing ──▶ (gone)
//           └──────────────fault, timeout, shutdown when idle──────────────────▲
//
// ConnectionHandler carries the actions out. A value type, so that every decision has a unit test.
//
// May use: VectorWire, NIOCore's ByteBuffer and NIODeadline.

import NIOCore
import VectorWire

/// The state of one connection. `Ticket` stands for a request that search threads work on.
struct ConnectionMachine<Ticket: AnyObject> {
  struct Settings {
    var limits = WireLimits()
    var connectionBytesMax = 64 << 20
    var stallTimeout = TimeAmount.seconds(30)
    var serverName = "vizinho"
  }

  /// A request that a search thread is to answer.
  struct Work {
    var requestID: UInt32
    var deadlineMilliseconds: UInt32
    var request: SearchWork
    /// What the request and its reply are counted as while they are in flight.
    var reservedBytes: Int
  }

  enum Action {
    /// Nothing to do until something happens.
    case none
    case welcome(Welcome, requestID: UInt32)
    case pong(Pong, requestID: UInt32)
    case listCollections(requestID: UInt32)
    /// Give the ticket to the search threads, and call ``finished(_:requestID:reservedBytes:)`` when they are done.
    case begin(Ticket)
    /// Answer `cancelled` now, and let the search threads know.
    case cancel(Ticket, requestID: UInt32)
    case fail(WireError, requestID: UInt32)
    /// Send the error, close the sending side, forget the tickets.
    case close(WireError, requestID: UInt32, abandoned: [Ticket])
  }

  private enum Phase { case awaitingHello, open, draining, closing }

  private let settings: Settings
  private var phase = Phase.awaitingHello
  private var reader = FrameReader()
  /// Requests without an answer.
  private var inFlight: [UInt32: Ticket] = [:]
  /// Requests that search threads hold: those in flight, and cancelled ones that are not given back yet.
  private(set) var heldRequests = 0
  private(set) var reservedBytes = 0
  private var isWritable = true
  private var lastInput: NIODeadline
  private var lastOutput: NIODeadline
  private var unsentBytes = 0

  init(settings: Settings, now: NIODeadline) {
    self.settings = settings
    lastInput = now
    lastOutput = now
  }

  // MARK: Flow

  /// Whether one more request fits. What does not fit stays in the socket, and so with the client.
  private var hasRoom: Bool {
    isWritable && (heldRequests == 0 || reservedBytes < settings.connectionBytesMax)
  }

  /// Whether to read from the socket. What a closing connection sends is read and dropped.
  var wantsInput: Bool {
    switch phase {
    case .awaitingHello, .open: hasRoom
    case .draining: false
    case .closing: true
    }
  }

  mutating func writabilityChanged(_ isWritable: Bool) { self.isWritable = isWritable }

  // MARK: Input

  mutating func received(_ bytes: ByteBuffer, now: NIODeadline) {
    lastInput = now
    guard phase == .awaitingHello || phase == .open else { return }
    reader.append(bytes)
  }

  /// The next thing to do with what was received. Call it until it returns ``Action/none``, and again after every event.
  mutating func next(ticket: (Work) -> Ticket) -> Action {
    while hasRoom {
      switch phase {
      case .awaitingHello:
        switch reader.next(bodyBytesMax: WireProtocol.handshakeBytesMax) {
        case .needsMore: return .none
        case .invalid(let header, let error): return close(error, requestID: header.requestID)
        case .frame(let frame): return greet(frame)
        }
      case .open:
        switch reader.next(bodyBytesMax: settings.limits.frameBytesMax) {
        case .needsMore: return .none
        case .invalid(let header, let error): return close(error, requestID: header.requestID)
        case .frame(let frame):
          if let action = judge(frame, ticket) { return action }
        }
      case .draining, .closing: return .none
      }
    }
    return .none
  }

  private mutating func greet(_ frame: Frame) -> Action {
    let requestID = frame.header.requestID
    guard frame.header.kind == .hello else {
      return close(
        WireError(.helloExpected, "the first frame must be Hello (0x01), not \(frame.header.kind)"),
        requestID: requestID)
    }
    do throws(WireError) {
      let hello = try Hello(decoding: frame.body)
      guard let version = hello.commonVersion() else {
        let ours = WireProtocol.versions
        throw WireError(
          .unsupportedVersion,
          "this server speaks versions \(ours.lowerBound) to \(ours.upperBound), the client "
            + "\(hello.versionMin) to \(hello.versionMax): use a client of the server's release")
      }
      phase = .open
      return .welcome(
        Welcome(version: version, limits: settings.limits, server: settings.serverName), requestID: requestID)
    } catch {
      return close(error, requestID: requestID)
    }
  }

  /// - Returns: nil when there is nothing to do about this frame.
  private mutating func judge(_ frame: Frame, _ ticket: (Work) -> Ticket) -> Action? {
    let requestID = frame.header.requestID
    let kind = frame.header.kind
    guard kind != .hello else {
      return close(WireError(.helloExpected, "Hello is said once, at the beginning"), requestID: requestID)
    }
    guard kind.isRequest else {
      return .fail(WireError(.unknownKind, "frames of kind \(kind) are no requests of version 1"), requestID: requestID)
    }
    do throws(WireError) {
      if kind == .cancel {
        let cancelled = try Cancel(decoding: frame.body).requestID
        return inFlight.removeValue(forKey: cancelled).map { .cancel($0, requestID: cancelled) }
      }
      guard requestID != 0 else { throw WireError(.malformedFrame, "a request's id must not be 0") }
      guard inFlight[requestID] == nil else {
        throw WireError(.duplicateRequestID, "request \(requestID) is still in flight: give each its own id")
      }
      switch kind {
      case .ping: return .pong(Pong(answering: try Ping(decoding: frame.body)), requestID: requestID)
      case .listCollections:
        _ = try ListCollections(decoding: frame.body)
        return .listCollections(requestID: requestID)
      default:
        let request = try SearchWork(kind, decoding: frame.body, limits: settings.limits)
        guard heldRequests < settings.limits.requestsInFlightMax else {
          throw WireError(
            .overloaded,
            "\(heldRequests) requests of this connection are in flight, which is the limit: wait for answers")
        }
        let reserved =
          frame.body.readableBytes + min(request.replyBytesExpected, settings.limits.frameBytesMax)
        let ticket = ticket(
          Work(
            requestID: requestID, deadlineMilliseconds: frame.header.deadlineMilliseconds, request: request,
            reservedBytes: reserved))
        inFlight[requestID] = ticket
        heldRequests += 1
        reservedBytes += reserved
        return .begin(ticket)
      }
    } catch {
      return .fail(error, requestID: requestID)
    }
  }

  // MARK: Answers

  /// A search thread has given a request back.
  /// - Returns: whether its reply is still wanted.
  mutating func finished(_ ticket: Ticket, requestID: UInt32, reservedBytes reserved: Int) -> Bool {
    heldRequests -= 1
    reservedBytes -= reserved
    // The id may belong to a later request by now, if this one was cancelled.
    guard let waiting = inFlight[requestID], waiting === ticket else { return false }
    inFlight[requestID] = nil
    return phase != .closing
  }

  /// What is to be done when answers have gone out: the end, if that is what they were waited for.
  mutating func answered() -> Action {
    guard phase == .draining, heldRequests == 0 else { return .none }
    return close(Self.shuttingDown, requestID: 0)
  }

  // MARK: The end

  /// Answer what is in flight, then close.
  mutating func shutDown() -> Action {
    guard phase == .awaitingHello || phase == .open else { return .none }
    guard heldRequests > 0 else { return close(Self.shuttingDown, requestID: 0) }
    phase = .draining
    reader.removeAll()
    return .none
  }

  /// The requests without an answer.
  var unanswered: [Ticket] { Array(inFlight.values) }

  mutating func refuse(_ error: WireError) -> Action { close(error, requestID: 0) }

  mutating func handshakeTimedOut() -> Action {
    guard phase == .awaitingHello else { return .none }
    return close(
      WireError(.handshakeTimeout, "no Hello came in time: send it as soon as the connection is open"), requestID: 0)
  }

  /// Looks whether the other side has gone silent. Called every now and then.
  /// - Parameter unsentBytes: what waits to be written to the socket.
  mutating func tick(now: NIODeadline, unsentBytes unsent: Int) -> Action {
    guard phase != .closing else { return .none }
    if unsent == 0 || unsent != unsentBytes { lastOutput = now }
    unsentBytes = unsent
    // While we do not read, silence is not the client's.
    if !wantsInput { lastInput = now }
    if now - lastOutput >= settings.stallTimeout {
      return close(
        WireError(.stalled, "replies were not read for \(Self.seconds(settings.stallTimeout))"), requestID: 0)
    }
    if phase == .open, reader.isAmidFrame, now - lastInput >= settings.stallTimeout {
      return close(
        WireError(.stalled, "half a frame came, and then nothing for \(Self.seconds(settings.stallTimeout))"),
        requestID: 0)
    }
    return .none
  }

  /// The socket is gone.
  /// - Returns: the requests that nobody waits for any more.
  mutating func disconnected() -> [Ticket] {
    phase = .closing
    reader.removeAll()
    defer { inFlight = [:] }
    return Array(inFlight.values)
  }

  private mutating func close(_ error: WireError, requestID: UInt32) -> Action {
    guard phase != .closing else { return .none }
    return .close(error, requestID: requestID, abandoned: disconnected())
  }

  static var shuttingDown: WireError {
    WireError(.shuttingDown, "the server is shutting down: connect again in a moment, or to another one")
  }

  private static func seconds(_ amount: TimeAmount) -> String {
    "\(Double(amount.nanoseconds) / 1e9) seconds"
  }
}
