// Every decision about a connection, without a connection.

import NIOCore
import Testing
import VectorWire

@testable import VectorServer

@Suite struct ConnectionMachineTests {
  final class Ticket {
    let requestID: UInt32
    let reservedBytes: Int
    init(_ work: ConnectionMachine<Ticket>.Work) {
      requestID = work.requestID
      reservedBytes = work.reservedBytes
    }
  }
  typealias Machine = ConnectionMachine<Ticket>

  static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

  private func machine(
    limits: WireLimits = WireLimits(), connectionBytesMax: Int = 1 << 20, greeted: Bool = true
  ) -> Machine {
    var machine = Machine(
      settings: .init(limits: limits, connectionBytesMax: connectionBytesMax, stallTimeout: .seconds(30)),
      now: Self.start)
    if greeted {
      machine.received(Hello(client: "test").frame(requestID: 1), now: Self.start)
      guard case .welcome = machine.next(ticket: Ticket.init) else {
        Issue.record("no welcome")
        return machine
      }
    }
    return machine
  }

  private func search(_ requestID: UInt32, k: Int = 1) -> ByteBuffer {
    let vectors = QueryVectors([[1, 2]])
    return SearchRequest(.init(collection: "c", k: k), vectors: vectors ?? empty).frame(requestID: requestID)
  }
  private var empty: QueryVectors { QueryVectors([[0]]).unsafelyUnwrapped }  // one vector has one length

  private func begin(_ machine: inout Machine, _ requestID: UInt32) throws -> Ticket {
    machine.received(search(requestID), now: Self.start)
    guard case .begin(let ticket) = machine.next(ticket: Ticket.init) else {
      throw WireError(.internal, "request \(requestID) was not begun")
    }
    return ticket
  }

  private func finish(_ machine: inout Machine, _ ticket: Ticket) -> Bool {
    machine.finished(ticket, requestID: ticket.requestID, reservedBytes: ticket.reservedBytes)
  }

  private func expectNone(_ action: Machine.Action, _ location: SourceLocation = #_sourceLocation) {
    if case .none = action { return }
    Issue.record("expected no action, got \(action)", sourceLocation: location)
  }

  private func expectClose(
    _ action: Machine.Action, _ code: WireError.Code, requestID: UInt32 = 0, abandoned: Int = 0,
    _ location: SourceLocation = #_sourceLocation
  ) {
    guard case .close(let error, let id, let tickets) = action else {
      Issue.record("expected the end, got \(action)", sourceLocation: location)
      return
    }
    #expect(error.code == code && id == requestID && tickets.count == abandoned, sourceLocation: location)
  }

  private func expectFail(
    _ action: Machine.Action, _ code: WireError.Code, requestID: UInt32, _ location: SourceLocation = #_sourceLocation
  ) {
    guard case .fail(let error, let id) = action else {
      Issue.record("expected a refusal, got \(action)", sourceLocation: location)
      return
    }
    #expect(error.code == code && id == requestID, sourceLocation: location)
  }

  // MARK: Hello

  @Test func helloIsAnsweredWithTheLimits() {
    var machine = machine(limits: WireLimits(kMax: 7), greeted: false)
    machine.received(Hello(client: "test").frame(requestID: 0), now: Self.start)
    guard case .welcome(let welcome, let requestID) = machine.next(ticket: Ticket.init) else {
      Issue.record("no welcome")
      return
    }
    #expect(welcome.version == 1 && welcome.limits.kMax == 7 && requestID == 0)
    expectNone(machine.next(ticket: Ticket.init))
  }

  @Test func whatIsNoHelloEndsTheConnection() {
    for (frame, code, requestID) in [
      (Ping().frame(requestID: 3), WireError.Code.helloExpected, UInt32(3)),
      (Hello(versions: 2...9, client: "").frame(requestID: 4), .unsupportedVersion, 4),
      (ByteBuffer(string: "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), .malformedFrame, 0x312F_5054),
      (ByteBuffer(repeating: 0xFF, count: 16), .malformedFrame, .max),
    ] {
      var machine = machine(greeted: false)
      machine.received(frame, now: Self.start)
      expectClose(machine.next(ticket: Ticket.init), code, requestID: requestID)
      expectNone(machine.next(ticket: Ticket.init))
      #expect(machine.wantsInput)  // to be dropped
    }
  }

  @Test func beforeTheWelcomeFramesAreShort() {
    var machine = machine(greeted: false)
    var header = ByteBuffer()
    FrameHeader(kind: .hello, bodyLength: 1_025, requestID: 2).encode(into: &header)
    machine.received(header, now: Self.start)
    expectClose(machine.next(ticket: Ticket.init), .frameTooLarge, requestID: 2)
  }

  @Test func helloIsWaitedForAndSaidOnce() {
    var silent = machine(greeted: false)
    expectClose(silent.handshakeTimedOut(), .handshakeTimeout)
    var greeted = machine()
    expectNone(greeted.handshakeTimedOut())
    greeted.received(Hello(client: "").frame(requestID: 9), now: Self.start)
    expectClose(greeted.next(ticket: Ticket.init), .helloExpected, requestID: 9)
  }

  // MARK: Requests

  @Test func unknownKindsAndBadIDsAreRefusedAlone() throws {
    var machine = machine()
    for kind: UInt8 in [0x00, 0x0B, 0x81, 0x85, 0xFF] {
      var frame = ByteBuffer()
      FrameHeader(kind: MessageKind(rawValue: kind), bodyLength: 0, requestID: 5).encode(into: &frame)
      machine.received(frame, now: Self.start)
      expectFail(machine.next(ticket: Ticket.init), .unknownKind, requestID: 5)
    }
    machine.received(search(0), now: Self.start)
    expectFail(machine.next(ticket: Ticket.init), .malformedFrame, requestID: 0)
    let ticket = try begin(&machine, 6)
    for again in [search(6), Ping().frame(requestID: 6)] {
      machine.received(again, now: Self.start)
      expectFail(machine.next(ticket: Ticket.init), .duplicateRequestID, requestID: 6)
    }
    #expect(finish(&machine, ticket))
    #expect(try begin(&machine, 6) !== ticket)
  }

  @Test func limitsOfNumbers() throws {
    var machine = machine(limits: WireLimits(queriesMax: 2, kMax: 10, efMax: 20))
    let three = try #require(QueryVectors([[1], [2], [3]]))
    let one = try #require(QueryVectors([[1]]))
    let none = try #require(QueryVectors([]))
    for (request, code) in [
      (SearchRequest(.init(collection: "c", k: 0), vectors: one), WireError.Code.invalidK),
      (SearchRequest(.init(collection: "c", k: 11), vectors: one), .invalidK),
      (SearchRequest(.init(collection: "c", k: 10, effort: 21), vectors: one), .invalidEffort),
      (SearchRequest(.init(collection: "c", k: 10), vectors: three), .invalidCount),
      (SearchRequest(.init(collection: "c", k: 10), vectors: none), .invalidCount),
    ] {
      machine.received(request.frame(requestID: 8), now: Self.start)
      expectFail(machine.next(ticket: Ticket.init), code, requestID: 8)
    }
    machine.received(FetchRequest(collection: "c", ids: []).frame(requestID: 8), now: Self.start)
    expectFail(machine.next(ticket: Ticket.init), .invalidCount, requestID: 8)
    #expect(machine.heldRequests == 0 && machine.reservedBytes == 0)
  }

  @Test func cancelAnswersOnceAndFreesTheIDButNotThePlace() throws {
    var machine = machine(limits: WireLimits(requestsInFlightMax: 2))
    let first = try begin(&machine, 5)
    machine.received(Cancel(requestID: 5).frame(requestID: 0), now: Self.start)
    machine.received(Cancel(requestID: 5).frame(requestID: 0), now: Self.start)
    guard case .cancel(let ticket, requestID: 5) = machine.next(ticket: Ticket.init), ticket === first else {
      Issue.record("not cancelled")
      return
    }
    expectNone(machine.next(ticket: Ticket.init))
    // The id is free again, and the first one's late return is not taken for the second's.
    let second = try begin(&machine, 5)
    machine.received(search(6), now: Self.start)
    expectFail(machine.next(ticket: Ticket.init), .overloaded, requestID: 6)
    #expect(!finish(&machine, first))
    #expect(finish(&machine, second))
    #expect(machine.heldRequests == 0 && machine.reservedBytes == 0)
  }

  // MARK: Backpressure

  @Test func whatDoesNotFitIsNotRead() throws {
    var machine = machine(connectionBytesMax: 1_024)
    let ticket = try begin(&machine, 1)
    #expect(machine.wantsInput)
    machine.received(search(2, k: 100), now: Self.start)
    guard case .begin(let large) = machine.next(ticket: Ticket.init) else { return #expect(Bool(false)) }
    #expect(machine.reservedBytes > 1_024 && !machine.wantsInput)
    machine.received(search(3), now: Self.start)
    expectNone(machine.next(ticket: Ticket.init))
    #expect(finish(&machine, ticket))
    expectNone(machine.next(ticket: Ticket.init))
    #expect(finish(&machine, large))
    guard case .begin(let third) = machine.next(ticket: Ticket.init) else { return #expect(Bool(false)) }
    #expect(third.requestID == 3)
  }

  @Test func oneRequestIsAlwaysTaken() {
    var machine = machine(connectionBytesMax: 1_024)
    machine.received(search(2, k: 10_000), now: Self.start)
    guard case .begin = machine.next(ticket: Ticket.init) else { return #expect(Bool(false)) }
  }

  @Test func nothingIsTakenWhileRepliesAreNotRead() {
    var machine = machine()
    machine.writabilityChanged(false)
    machine.received(Ping().frame(requestID: 2), now: Self.start)
    expectNone(machine.next(ticket: Ticket.init))
    #expect(!machine.wantsInput)
    machine.writabilityChanged(true)
    guard case .pong = machine.next(ticket: Ticket.init) else { return #expect(Bool(false)) }
    #expect(machine.wantsInput)
  }

  // MARK: Silence

  @Test func halfAFrameAndSilence() throws {
    var machine = machine()
    let frame = Ping().frame(requestID: 2)
    machine.received(try #require(frame.getSlice(at: 0, length: 7)), now: Self.start)
    expectNone(machine.next(ticket: Ticket.init))
    expectNone(machine.tick(now: Self.start + .seconds(29), unsentBytes: 0))
    machine.received(try #require(frame.getSlice(at: 7, length: 1)), now: Self.start + .seconds(29))
    expectNone(machine.next(ticket: Ticket.init))
    expectNone(machine.tick(now: Self.start + .seconds(58), unsentBytes: 0))
    expectClose(machine.tick(now: Self.start + .seconds(59), unsentBytes: 0), .stalled)
  }

  @Test func anIdleConnectionMayStay() {
    var machine = machine()
    expectNone(machine.tick(now: Self.start + .hours(24), unsentBytes: 0))
  }

  @Test func silenceIsNotTheClientsWhileWeDoNotRead() throws {
    var machine = machine(connectionBytesMax: 1)
    let ticket = try begin(&machine, 1)
    machine.received(try #require(search(2).getSlice(at: 0, length: 20)), now: Self.start)
    expectNone(machine.next(ticket: Ticket.init))
    expectNone(machine.tick(now: Self.start + .seconds(100), unsentBytes: 0))
    #expect(finish(&machine, ticket))
    expectNone(machine.next(ticket: Ticket.init))
    expectNone(machine.tick(now: Self.start + .seconds(129), unsentBytes: 0))
    expectClose(machine.tick(now: Self.start + .seconds(130), unsentBytes: 0), .stalled)
  }

  @Test func repliesThatAreNotRead() {
    var machine = machine()
    expectNone(machine.tick(now: Self.start + .seconds(100), unsentBytes: 500))
    expectNone(machine.tick(now: Self.start + .seconds(129), unsentBytes: 499))
    expectNone(machine.tick(now: Self.start + .seconds(158), unsentBytes: 499))
    expectClose(machine.tick(now: Self.start + .seconds(159), unsentBytes: 499), .stalled)
    expectNone(machine.tick(now: Self.start + .seconds(500), unsentBytes: 499))
  }

  // MARK: The end

  @Test func shutdownWaitsForWhatIsInFlight() throws {
    var machine = machine()
    let first = try begin(&machine, 1)
    let second = try begin(&machine, 2)
    machine.received(Cancel(requestID: 2).frame(requestID: 0), now: Self.start)
    _ = machine.next(ticket: Ticket.init)
    expectNone(machine.shutDown())
    #expect(!machine.wantsInput)
    machine.received(search(3), now: Self.start)
    expectNone(machine.next(ticket: Ticket.init))
    #expect(finish(&machine, first))
    expectNone(machine.answered())
    #expect(!finish(&machine, second))
    expectClose(machine.answered(), .shuttingDown)
    expectNone(machine.answered())
  }

  @Test func shutdownEndsIdleConnectionsAtOnce() {
    var idle = machine()
    expectClose(idle.shutDown(), .shuttingDown)
    expectNone(idle.shutDown())
    var ungreeted = machine(greeted: false)
    expectClose(ungreeted.shutDown(), .shuttingDown)
  }

  @Test func aFaultAbandonsWhatIsInFlight() throws {
    var machine = machine()
    let ticket = try begin(&machine, 1)
    machine.received(Hello(client: "").frame(requestID: 2), now: Self.start)
    expectClose(machine.next(ticket: Ticket.init), .helloExpected, requestID: 2, abandoned: 1)
    #expect(!finish(&machine, ticket))
    #expect(machine.disconnected().isEmpty)
  }

  @Test func aDisconnectAbandonsWhatIsInFlight() throws {
    var machine = machine()
    let ticket = try begin(&machine, 1)
    #expect(machine.disconnected().map(ObjectIdentifier.init) == [ObjectIdentifier(ticket)])
    #expect(!finish(&machine, ticket))
    expectNone(machine.answered())
  }
}
