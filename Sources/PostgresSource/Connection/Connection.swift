// One connection to Postgres: libpq, wrapped for one thread.
//
// Every wait is a poll of at most 100 ms, so that a raised stop flag ends it whatever the server does. A connection that
// is dropped in the middle of a statement is closed without a cancel request: the server notices within two seconds,
// by `client_connection_check_interval` or by the write that fails.
//
// May use: libpq, poll(2). Unsafe, because this is where C hands out its buffers.

internal import CPostgres

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

/// A connection, used by the thread that made it.
package final class Connection {
  let handle: OpaquePointer
  private let stop: StopFlag
  private let server: String
  /// How long the server may take to answer a statement before it counts as gone; nil: as long as the connection is there.
  package var patienceSeconds: Double?

  /// Connects, and makes the session fit for long reads: no timeouts of its own but `lockTimeoutSeconds`, no rows
  /// hidden by row-level security, UTF-8.
  ///
  /// Blocks for as long as the connect timeout lets libpq try each host.
  /// - patienceSeconds: how long the server may take to answer a statement before it counts as gone; nil: any time.
  /// - Throws: ``SourceError`` with `connectionFailed` (of a pooler too, where the options refuse it), `serverTooOld` or `cancelled`.
  package init(
    _ options: ConnectionOptions, stop: StopFlag, lockTimeoutSeconds: Int = 30, patienceSeconds: Double? = nil
  ) throws(SourceError) {
    guard !stop.isRaised else { throw Self.cancelled }
    guard let handle = Self.connect(options) else {
      throw SourceError(.connectionFailed, "libpq is out of memory.")
    }
    self.handle = handle
    self.stop = stop
    self.patienceSeconds = patienceSeconds
    server = options.description
    guard PQstatus(handle) == CONNECTION_OK else {
      // libpq's message names host, port, user and database; the server's part of it never holds a password.
      throw SourceError(
        .connectionFailed,
        "Cannot connect to Postgres (\(server)): \(Self.trimmed(PQerrorMessage(handle))). "
          + "Check that the server runs, the address and the credentials.")
    }
    // By default libpq prints notices to standard error.
    PQsetNoticeProcessor(handle, { _, _ in }, nil)
    // Before any setting is made, which would stay with a process that others use.
    if options.refusesPoolers {
      let process = try query("SELECT pg_catalog.pg_backend_pid()").first?.text(0) ?? ""
      try Self.checkProcess(process, greeted: PQbackendPID(handle), server)
    }
    try prepareSession(lockTimeoutSeconds: lockTimeoutSeconds)
  }

  deinit { PQfinish(handle) }

  /// As the server numbers itself: 180004 is 18.4.
  package var serverVersion: Int { Int(PQserverVersion(handle)) }

  /// - additional: what wins over everything else, in libpq's words.
  static func connect(_ options: ConnectionOptions, additional: [(String, String)] = []) -> OpaquePointer? {
    // A later value wins over an earlier one. Before the connection string: what it may override. After it: what not.
    var settings: [(String, String)] = [
      ("fallback_application_name", "vizinho"),
      ("keepalives_idle", "30"), ("keepalives_interval", "10"), ("keepalives_count", "3"),
      // What is sent to a server that is gone is given up no later than what is awaited of it.
      ("tcp_user_timeout", "30000"),
    ]
    if getenv("PGCONNECT_TIMEOUT") == nil {
      settings.append(("connect_timeout", String(options.connectTimeoutSeconds)))
    }
    settings.append(("dbname", options.connectionString))
    settings += options.overrides.map { ($0.keyword, $0.value) }
    settings.append(("client_encoding", "UTF8"))
    settings += additional
    let keywords = settings.map { strdup($0.0) }
    let values = settings.map { strdup($0.1) }
    defer { for string in keywords + values { free(string) } }
    // Both arrays end with a null.
    let keywordPointers = keywords.map { UnsafePointer($0) } + [nil]
    let valuePointers = values.map { UnsafePointer($0) } + [nil]
    return PQconnectdbParams(keywordPointers, valuePointers, 1)
  }

  static func checkVersion(_ version: Int, _ server: String) throws(SourceError) {
    guard version >= 150_000 else {
      throw SourceError(
        .serverTooOld, "The server (\(server)) is PostgreSQL \(version / 10_000); version 15 or later is needed.")
    }
  }

  /// A pooler greets with a number of its own.
  /// - process: the one that answers. - greeted: the one that was named when the connection was made.
  static func checkProcess(_ process: String, greeted: Int32, _ server: String) throws(SourceError) {
    guard process == String(greeted) else {
      throw SourceError(
        .connectionFailed,
        "Postgres (\(server)) is reached through a pooler: the server's process is \(process), and the connection was "
          + "greeted as \(greeted). What an outbox needs, its lock and that a commit is waited for, is a session's, and "
          + "would stay with a process that others use. Connect to Postgres itself.")
    }
  }

  private func prepareSession(lockTimeoutSeconds: Int) throws(SourceError) {
    try Self.checkVersion(serverVersion, server)
    var settings = [
      ("statement_timeout", "0"), ("idle_in_transaction_session_timeout", "0"), ("idle_session_timeout", "0"),
      ("lock_timeout", "\(lockTimeoutSeconds)s"), ("row_security", "off"), ("jit", "off"), ("enable_tidscan", "on"),
    ]
    if serverVersion >= 170_000 { settings.append(("transaction_timeout", "0")) }
    let calls = settings.map { "pg_catalog.set_config('\($0.0)', '\($0.1)', false)" }
    _ = try query("SELECT " + calls.joined(separator: ", "))
    // Not every operating system lets the server look; then it notices a lost client when it writes.
    do { _ = try query("SET client_connection_check_interval = '2s'") } catch let error where error.code == .cancelled {
      throw error
    } catch let error where PQstatus(handle) != CONNECTION_OK {
      throw error
    } catch {}
  }
}

// MARK: Statements

extension Connection {
  /// Runs one statement; all values come as text.
  ///
  /// By the extended protocol, so that text which a user gave can never be a second statement.
  /// - Throws: ``SourceError`` with the code for the server's SQLSTATE, `connectionLost` or `cancelled`.
  @discardableResult
  package func query(_ sql: String, _ parameters: [String] = []) throws(SourceError) -> [[String?]] {
    let values = parameters.map { strdup($0) }
    defer { for value in values { free(value) } }
    let pointers = values.map { UnsafePointer($0) as UnsafePointer<CChar>? }
    guard PQsendQueryParams(handle, sql, Int32(parameters.count), nil, pointers, nil, nil, 0) == 1 else { throw lost() }
    return try takeLastResult { result in
      (0..<PQntuples(result)).map { row in
        (0..<PQnfields(result)).map { column in
          PQgetisnull(result, row, column) == 1 ? nil : String(cString: PQgetvalue(result, row, column))
        }
      }
    }
  }

  /// A column of a statement's result.
  package struct ResultColumn {
    package var name: String
    /// Of the type; of its base type, for a domain.
    package var typeOID: UInt32
    /// For a vector: its dimension, or -1.
    package var typeModifier: Int
  }

  /// The columns that a statement would return. Parses the statement and does not run it.
  package func describe(_ sql: String) throws(SourceError) -> [ResultColumn] {
    guard PQsendPrepare(handle, "", sql, 0, nil) == 1 else { throw lost() }
    try takeLastResult { _ in }
    guard PQsendDescribePrepared(handle, "") == 1 else { throw lost() }
    return try takeLastResult { result in
      (0..<PQnfields(result)).map { column in
        ResultColumn(
          name: String(cString: PQfname(result, column)), typeOID: PQftype(result, column),
          typeModifier: Int(PQfmod(result, column)))
      }
    }
  }

  /// Runs `COPY … TO STDOUT (FORMAT binary)` and hands over each chunk, which is valid for the call only.
  ///
  /// - Returns: the number of rows, as the server counts them when the COPY has succeeded.
  /// - Throws: what ``query(_:_:)`` throws, and what `consume` throws; after the latter the connection is of no more
  ///   use than to be dropped.
  package func copyOut(_ sql: String, _ consume: (UnsafeRawBufferPointer) throws -> Void) throws -> Int {
    guard PQsendQueryParams(handle, sql, 0, nil, nil, nil, nil, 0) == 1 else { throw lost() }
    let first = try nextResult()
    guard let first, PQresultStatus(first) == PGRES_COPY_OUT, PQbinaryTuples(first) == 1 else {
      defer { PQclear(first) }
      let failure = error(of: first)
      try? drain()
      throw failure
    }
    PQclear(first)
    var hasRead = false
    while true {
      var buffer: UnsafeMutablePointer<CChar>?
      switch PQgetCopyData(handle, &buffer, 1) {
      case let count where count > 0:
        defer { PQfreemem(buffer) }
        hasRead = false
        try consume(UnsafeRawBufferPointer(start: buffer, count: Int(count)))
        if stop.isRaised { throw Self.cancelled }
      case 0:
        // Reads before it waits: under load there is something to read, and each wait is a system call more.
        if hasRead { try wait() }
        guard PQconsumeInput(handle) == 1 else { throw lost() }
        hasRead = true
      case -1:
        return try takeLastResult { result in Int(String(cString: PQcmdTuples(result))) ?? -1 }
      default:
        throw lost()
      }
    }
  }

  /// Whether the connection has broken. Does not block.
  package func isLost() -> Bool {
    PQconsumeInput(handle) != 1 || PQstatus(handle) != CONNECTION_OK
  }

  /// Becomes readable when the server says something, or goes away.
  package var fileDescriptor: Int32 { PQsocket(handle) }
}

// MARK: Results and errors

extension Connection {
  package static var cancelled: SourceError {
    SourceError(.cancelled, "The read was cancelled before its end; nothing of it may be used.")
  }

  /// Reads to the end of the statement and makes a value of its last result.
  @discardableResult
  func takeLastResult<Value>(_ body: (OpaquePointer) -> Value) throws(SourceError) -> Value {
    var last: OpaquePointer?
    defer { PQclear(last) }
    while let result = try nextResult() {
      // The first error is the cause; what follows it is not.
      if let last, PQresultStatus(last) == PGRES_FATAL_ERROR {
        PQclear(result)
        continue
      }
      PQclear(last)
      last = result
      let status = PQresultStatus(result)
      // Nothing more comes until the copy is served, which these statements do not.
      if status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH { break }
    }
    guard let last, PQresultStatus(last) == PGRES_TUPLES_OK || PQresultStatus(last) == PGRES_COMMAND_OK else {
      throw error(of: last)
    }
    return body(last)
  }

  private func drain() throws(SourceError) {
    while let result = try nextResult() { PQclear(result) }
  }

  /// The next result of the running statement, or nil after its last. The caller clears it.
  private func nextResult() throws(SourceError) -> OpaquePointer? {
    let start = monotonicSeconds()
    while PQisBusy(handle) == 1 {
      if let patienceSeconds, monotonicSeconds() - start > patienceSeconds {
        throw SourceError(
          .connectionLost,
          "Postgres (\(server)) has not answered for \(Int(patienceSeconds)) s. Nothing of this read may be used; start it again."
        )
      }
      try wait()
      guard PQconsumeInput(handle) == 1 else { throw lost() }
    }
    return PQgetResult(handle)
  }

  /// Returns when the server has sent something or has gone, and after 100 ms at the latest: the TLS library may hold a part of a message
  /// that no poll shows, and only another look takes it out.
  private func wait() throws(SourceError) {
    if stop.isRaised { throw Self.cancelled }
    var descriptor = pollfd(fd: PQsocket(handle), events: Int16(POLLIN), revents: 0)
    if poll(&descriptor, 1, 100) < 0, errno != EINTR { throw lost() }
  }

  func lost() -> SourceError {
    SourceError(
      .connectionLost,
      "The connection to Postgres (\(server)) broke: \(Self.trimmed(PQerrorMessage(handle))). "
        + "Nothing of this read may be used; start it again.")
  }

  private func error(of result: OpaquePointer?) -> SourceError {
    guard let fault = Self.serverFault(of: result) else { return lost() }
    return SourceError(serverState: fault.state, fault.message)
  }

  /// What the server says in an error or a warning, and its SQLSTATE; nil: the result is not the server's.
  static func serverFault(of result: OpaquePointer?) -> (state: String, message: String)? {
    guard let result, let state = PQresultErrorField(result, Int32(UInt8(ascii: "C"))) else { return nil }
    func field(_ code: Character) -> String? {
      PQresultErrorField(result, Int32(code.asciiValue ?? 0)).map { String(cString: $0) }
    }
    var message = "Postgres says: " + (field("M") ?? "no reason")
    if let detail = field("D") { message += " (" + detail + ")" }
    message += "."
    if let hint = field("H") { message += " " + hint }
    return (String(cString: state), message)
  }

  static func trimmed(_ text: UnsafePointer<CChar>?) -> String {
    guard let text else { return "no reason given" }
    // The lines that libpq indents are its advice; these messages have their own.
    let lines = String(cString: text).split(whereSeparator: \.isNewline).filter { $0.first != "\t" }
    var message = lines.joined(separator: "; ")
    while message.hasSuffix(".") { message.removeLast() }
    return message.isEmpty ? "the server closed it" : message
  }
}

extension SourceError {
  /// The server's error: the code by its SQLSTATE, the message with what to do about it.
  package init(serverState state: String, _ message: String) {
    var advice = ""
    switch state {
    case "57P01", "57P02", "57P03", "57P05", "25P03", "25P04":
      code = .connectionLost
      advice = "Nothing of this read may be used; start it again."
    case "57014":
      code = .serverError
      advice = "Somebody cancelled the statement on the server, or a timeout outside this session did. Start it again."
    case "42501":
      code = .permissionDenied
      advice = "GRANT the missing privilege to the role, or give the role BYPASSRLS if row-level security is named."
    case "55P03", "40P01":
      code = .lockTimeout
      advice = "Another session holds or waits for an exclusive lock on the table (see pg_locks): try again after it."
    case "53300":
      code = .tooManyConnections
      advice = "Use fewer workers, or raise max_connections."
    case "40001", "72000", "58P01":
      code = .snapshotLost
      advice = "Start the read again; on a standby, set hot_standby_feedback = on or raise max_standby_streaming_delay."
    case _ where state.hasPrefix("08"):
      code = .connectionLost
    default:
      code = .serverError
    }
    self.message = advice.isEmpty ? message : message + " " + advice
    sqlState = state
  }
}
