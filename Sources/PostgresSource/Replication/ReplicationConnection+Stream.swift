// A slot's stream: its start, its messages, the status that goes back, and how it ends.
//
// May use: libpq, poll(2), StreamFrame. Unsafe, because this is where C hands out its buffers.

internal import CPostgres

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

extension ReplicationConnection {
  /// Begins the stream of a publication's changes, all transactions whose commit record ends after `position`.
  ///
  /// Postgres goes on from where the slot was acknowledged if that is later, and leaves out what lies between without a word: compare first
  /// (``AttachCheck``).
  /// - Throws: ``SourceError`` with `publicationMissing`, `slotMissing`, `slotInUse`, `slotLost`, `connectionLost`, `cancelled`.
  package func startReplication(slot: String, from position: LSN, publication: String) throws(SourceError) {
    precondition(stream == nil, "a connection has one stream")
    let start = try ReplicationCommand.start(slot: slot, from: position, publication: publication)
    try checkPublication(publication)
    warnings.publication = publication
    guard PQsendQuery(handle, start) == 1 else { throw lost() }
    let result = try nextResult(within: Self.patienceSeconds)
    defer { PQclear(result) }
    guard let result, PQresultStatus(result) == PGRES_COPY_BOTH else {
      let failure = error(of: result, .slot(slot))
      while let rest = try? nextResult() { PQclear(rest) }
      throw failure
    }
    // From here on nothing that is sent may wait for a server that does not read.
    guard PQsetnonblocking(handle, 1) == 0 else { throw lost() }
    stream = (slot, publication)
  }

  /// Waits for the next frame of the stream; hands over its message if it has one.
  ///
  /// Send a status at the latest every 10 s or so, and at once where the server requests a reply.
  /// - timeoutMilliseconds: 0 = only looks whether something has come.
  /// - body: is given the message, whose bytes are valid within the call only.
  /// - Returns: nil when nothing came in time.
  /// - Throws: what `body` throws; ``SourceError`` with `connectionLost` when the server shuts down, gives up on this connection or cannot be
  ///   reached any more, `publicationMissing`, `slotLost`, `malformedData`, `cancelled`. The connection is of no more use then.
  package func receive(
    timeoutMilliseconds: Int, _ body: (StreamData) throws -> Void
  ) throws -> StreamEvent? {
    precondition(stream != nil, "startReplication comes first")
    let deadline = monotonicSeconds() + Double(timeoutMilliseconds) / 1_000
    var hasRead = false
    while true {
      if stop.isRaised { throw Self.cancelled }
      var buffer: UnsafeMutablePointer<CChar>?
      let count = PQgetCopyData(handle, &buffer, 1)
      defer { PQfreemem(buffer) }
      // The warning comes before the first change that would have followed the ones left out.
      try checkWarnings()
      switch count {
      case 1...:
        heardAt = monotonicSeconds()
        switch try StreamFrame(UnsafeRawBufferPointer(start: buffer, count: Int(count))) {
        case .data(let data):
          try body(data)
          return .data
        case .keepalive(let walEnd, let replyRequested):
          return .keepalive(walEnd: walEnd, replyRequested: replyRequested)
        }
      case 0:
        // Reads before it waits: under load there is something to read, and each wait is a system call more.
        if hasRead {
          let left = deadline - monotonicSeconds()
          guard left > 0 else { return nil }
          _ = try wait(milliseconds: Int32(min((left * 1_000).rounded(.up), 100)))
          try sendUnsent()
        }
        guard PQconsumeInput(handle) == 1 else { throw lost() }
        hasRead = true
      case -1: throw try end()
      default: throw lost()
      }
    }
  }

  /// For how long the server has sent nothing while somebody listened (``receive(timeoutMilliseconds:_:)``). What has come and was not taken
  /// yet counts as heard when it is taken, so ask only where that found nothing.
  package var silentSeconds: Double { monotonicSeconds() - heardAt }

  /// Nobody has listened up to now: that was no silence.
  package func beginListening() { heardAt = monotonicSeconds() }

  /// Tells the server how far everything is written, flushed and applied. Never waits: what the socket does not take goes out with the next
  /// ``receive(timeoutMilliseconds:_:)``.
  /// - flush: the server forgets what lies before it.
  /// - Throws: ``SourceError`` with `connectionLost`.
  package func sendStatus(
    write: LSN, flush: LSN, apply: LSN, requestsReply: Bool = false
  ) throws(SourceError) {
    precondition(stream != nil, "startReplication comes first")
    let status = StreamFrame.status(
      write: write, flush: flush, apply: apply, microseconds: Self.microsecondsSince2000(),
      requestsReply: requestsReply)
    // 0: libpq holds as much as it may of what the server does not read. It hears of a later status instead.
    guard PQputCopyData(handle, status.map(CChar.init(bitPattern:)), Int32(status.count)) >= 0 else { throw lost() }
    try sendUnsent()
  }

  private func sendUnsent() throws(SourceError) {
    let rest = PQflush(handle)
    guard rest >= 0 else { throw lost() }
    hasUnsent = rest > 0
  }

  private func checkWarnings() throws(SourceError) {
    guard let words = warnings.skippedPublication, let stream else { return }
    throw SourceError(
      .publicationMissing, words + " " + SourceError.advice(forMissingPublication: stream.publication),
      sqlState: "55000")
  }

  /// Why the server has ended the stream.
  private func end() throws(SourceError) -> SourceError {
    var failure: SourceError?
    while failure == nil, let result = try nextResult() {
      defer { PQclear(result) }
      switch PQresultStatus(result) {
      case PGRES_COMMAND_OK, PGRES_COPY_IN: break
      default:
        failure = error(of: result, stream.map { .streaming(slot: $0.slot, publication: $0.publication) } ?? .question)
      }
      // It waits for this side to end the copy, which only dropping the connection does here.
      if PQresultStatus(result) == PGRES_COPY_IN { break }
    }
    return failure
      ?? SourceError(
        .connectionLost,
        "The server (\(server)) ended the stream, as it does when it shuts down. Connect again: the slot keeps what "
          + "was not acknowledged.")
  }

  private static func microsecondsSince2000() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return (Int64(now.tv_sec) - 946_684_800) * 1_000_000 + Int64(now.tv_nsec) / 1_000
  }
}
