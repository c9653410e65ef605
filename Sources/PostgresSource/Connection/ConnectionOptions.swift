// How to reach the server, without ever saying the password.
//
// May use: libpq, for parsing.

internal import CPostgres

/// A libpq connection string that has been parsed once: `postgresql://user@host:5432/database` or `host=… dbname=…`.
///
/// What it leaves out comes from where libpq takes it: `PGHOST`, `PGPASSWORD`, `PGPASSFILE`, the service file and so on.
/// Printing the value, with `print`, `dump` or a debugger, shows host, port, database and user alone.
public struct ConnectionOptions: Sendable {
  /// Holds the password, perhaps. Goes to libpq and nowhere else.
  let connectionString: String
  /// How long one attempt at one host may take, unless the string or `PGCONNECT_TIMEOUT` says otherwise.
  let connectTimeoutSeconds: Int
  /// What wins over the connection string, in libpq's words.
  private(set) var overrides: [(keyword: String, value: String)] = []
  /// Whether no connection may go through a pooler: ``refusingPoolers()``.
  private(set) var refusesPoolers = false
  private var publicValues: [String: String] = [:]

  /// - Throws: ``SourceError`` with `invalidConnectionString`. The message does not repeat the string.
  public init(_ connectionString: String, connectTimeoutSeconds: Int = 10) throws(SourceError) {
    guard (1...3_600).contains(connectTimeoutSeconds) else {
      throw SourceError(
        .invalidArgument, "The connect timeout must be 1 to 3600 seconds, not \(connectTimeoutSeconds).")
    }
    // libpq's own messages about a string that it cannot parse quote parts of it, and a password that was not
    // percent-encoded ends up in any part: so none of them is passed on.
    guard !connectionString.utf8.contains(0), let parsed = PQconninfoParse(connectionString, nil) else {
      throw Self.invalid("it is neither a URI nor a list of key=value pairs, or it has an unknown key")
    }
    defer { PQconninfoFree(parsed) }

    var values: [String: String] = [:]
    var option = parsed
    // The array ends with an entry whose keyword is null.
    while let keyword = option.pointee.keyword {
      if let value = option.pointee.val { values[String(cString: keyword)] = String(cString: value) }
      option += 1
    }
    if let ports = values["port"], ports.utf8.contains(where: { !(0x30...0x39).contains($0) && $0 != 0x2C }) {
      throw Self.invalid("the port is not a number")
    }
    // An abstract Unix socket begins with @; anywhere else the sign belongs to a password.
    if let hosts = values["host"], hosts.split(separator: ",").contains(where: { $0.dropFirst().contains("@") }) {
      throw Self.invalid("the host has an @ in it")
    }
    if let database = values["dbname"], database.contains("@") { throw Self.invalid("the database has an @ in it") }

    publicValues = values.filter { Self.publicKeywords.contains($0.key) }
    self.connectionString = connectionString
    self.connectTimeoutSeconds = connectTimeoutSeconds
  }

  /// The same server with one of libpq's parameters set to another value.
  package func setting(_ keyword: String, to value: String) -> ConnectionOptions {
    var copy = self
    copy.overrides.append((keyword, value))
    if Self.publicKeywords.contains(keyword) { copy.publicValues[keyword] = value }
    return copy
  }

  /// The same server, for whoever needs a session of the server's own: a pooler may give each transaction to another process, with which
  /// locks and settings of the session then stay. A pooler that greets with the process's own number is not noticed.
  package func refusingPoolers() -> ConnectionOptions {
    var copy = self
    copy.refusesPoolers = true
    return copy
  }

  private static let publicKeywords = ["host", "hostaddr", "port", "dbname", "user", "service"]

  private var publicPart: String {
    let parts = Self.publicKeywords.compactMap { keyword in publicValues[keyword].map { keyword + "=" + $0 } }
    return parts.isEmpty ? "the default server" : parts.joined(separator: " ")
  }

  private static func invalid(_ what: String) -> SourceError {
    SourceError(
      .invalidConnectionString,
      "The connection string is not valid: \(what). Write postgresql://user:password@host:5432/database "
        + "(with %40 for an @ and %2F for a / in the password) or host=… port=… dbname=… user=… password=….")
  }
}

extension ConnectionOptions: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  public var description: String { publicPart }
  public var debugDescription: String { publicPart }
  public var customMirror: Mirror { Mirror(self, children: ["server": publicPart]) }
}
