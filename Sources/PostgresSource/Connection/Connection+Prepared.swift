// Statements that are prepared once and run many times, and COPY into a table: values go and come in binary.
//
// These calls wait in libpq, as a program that has nothing else to do does, and not with an eye on the stop flag: they are for statements
// that take moments.
//
// May use: libpq. Unsafe, because this is where C hands out its buffers.

internal import CPostgres

extension Connection {
  /// Prepares a statement under a name, in the place of one that had it.
  /// - Throws: what ``query(_:_:)`` throws.
  package func prepare(_ name: String, _ sql: String) throws(SourceError) {
    let old = try query("SELECT 1 FROM pg_catalog.pg_prepared_statements WHERE name = $1", [name])
    if !old.isEmpty { try query("DEALLOCATE " + SQLText.identifier(name)) }
    guard PQsendPrepare(handle, name, sql, 0, nil) == 1 else { throw lost() }
    try takeLastResult { _ in }
  }

  /// Runs a prepared statement.
  /// - Returns: the first column of its rows, which must be a `bigint` that is not NULL; nothing where it gives no rows.
  /// - Throws: what ``query(_:_:)`` throws; `malformedData` for another column.
  package func int64s(prepared name: String, _ parameters: BinaryParameters) throws(SourceError) -> [Int64] {
    guard let result = execute(name, parameters) else { throw lost() }
    defer { PQclear(result) }
    try check(result)
    // Nothing comes back from an UPDATE.
    guard PQnfields(result) > 0 else { return [] }
    var values: [Int64] = []
    values.reserveCapacity(Int(PQntuples(result)))
    for row in 0..<PQntuples(result) {
      guard PQgetisnull(result, row, 0) == 0, PQgetlength(result, row, 0) == 8, let bytes = PQgetvalue(result, row, 0)
      else { throw SourceError(.malformedData, "The first column of a prepared statement's rows is no bigint.") }
      // Eight bytes, by the line above.
      values.append(Int64(bigEndian: UnsafeRawPointer(bytes).loadUnaligned(as: Int64.self)))
    }
    return values
  }

  private func execute(_ name: String, _ parameters: BinaryParameters) -> OpaquePointer? {
    parameters.bytes.withUnsafeBytes { bytes in
      let base = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
      var start = 0
      let values = parameters.lengths.map { length in
        defer { start += Int(length) }
        return base.map { UnsafePointer($0 + start) }
      }
      let formats = [Int32](repeating: 1, count: values.count)
      return PQexecPrepared(handle, name, Int32(values.count), values, parameters.lengths, formats, 1)
    }
  }

  /// Runs `COPY … FROM STDIN (FORMAT binary)`.
  /// - next: some whole rows, as ``BinaryParameters/writeCopyRow(into:)`` writes them; nil after the last.
  /// - Throws: what ``query(_:_:)`` throws, and what `next` throws; nothing is in the table then.
  package func copyIn(_ sql: String, _ next: () throws -> [UInt8]?) throws {
    guard let begun = PQexec(handle, sql) else { throw lost() }
    defer { PQclear(begun) }
    guard PQresultStatus(begun) == PGRES_COPY_IN else {
      try check(begun)
      throw SourceError(.serverError, "The statement is no COPY into a table: \(sql).")
    }
    do {
      // Signature, flags, length of an extension: PostgreSQL's documentation of COPY, "Binary Format".
      try put(Array("PGCOPY\n".utf8) + [0xFF, 0x0D, 0x0A, 0x00] + [UInt8](repeating: 0, count: 8))
      while let rows = try next() { try put(rows) }
      try put([0xFF, 0xFF])
    } catch {
      PQputCopyEnd(handle, "the sender gave up")
      _ = try? takeLastResult { _ in }
      throw error
    }
    guard PQputCopyEnd(handle, nil) == 1 else { throw lost() }
    try takeLastResult { _ in }
  }

  private func put(_ bytes: [UInt8]) throws(SourceError) {
    let status = bytes.withUnsafeBytes {
      PQputCopyData(handle, $0.baseAddress?.assumingMemoryBound(to: CChar.self), Int32($0.count))
    }
    guard status == 1 else { throw lost() }
  }

  private func check(_ result: OpaquePointer) throws(SourceError) {
    guard PQresultStatus(result) == PGRES_FATAL_ERROR else { return }
    guard let fault = Self.serverFault(of: result) else { throw lost() }
    throw SourceError(serverState: fault.state, fault.message)
  }

  /// The server's process that serves this connection.
  package var serverProcessID: Int32 { PQbackendPID(handle) }

  /// Whether the server is reached by a socket of this machine or its loopback address.
  package var isLocal: Bool {
    guard let host = PQhost(handle).map({ String(cString: $0) }) else { return true }
    let address = PQhostaddr(handle).map { String(cString: $0) } ?? ""
    return host.hasPrefix("/") || host.hasPrefix("@") || address == "127.0.0.1" || address == "::1"
      || host == "localhost" || host == "127.0.0.1"
  }
}
