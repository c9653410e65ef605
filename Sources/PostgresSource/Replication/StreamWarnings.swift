// Warnings of the server on a replication connection. One of them means that changes are lost: from PostgreSQL 18 on, a publication that is
// missing ends no stream any more; the server warns and leaves its changes out.
//
// May use: libpq. Unsafe, because libpq hands over pointers.

internal import CPostgres

/// What the server has warned of. Called by libpq on the thread that uses the connection, within calls that read from it.
final class StreamWarnings {
  /// The one whose changes are read; its name is in the warning, whatever the server's language.
  var publication: String?
  /// The server's words, once it has left changes of it out.
  private(set) var skippedPublication: String?

  /// The SQLSTATE with which the server says "skipped loading publication".
  private static let notInPrerequisiteState = "55000"

  static func receive(_ collector: UnsafeMutableRawPointer?, _ result: OpaquePointer?) {
    // The pointer is the one that ReplicationConnection has given, of an object that it keeps.
    guard let collector, let fault = Connection.serverFault(of: result) else { return }
    Unmanaged<StreamWarnings>.fromOpaque(collector).takeUnretainedValue().add(fault.state, fault.message)
  }

  func add(_ state: String, _ message: String) {
    guard state == Self.notInPrerequisiteState, skippedPublication == nil, let publication,
      message.contains(publication)
    else { return }
    skippedPublication = message
  }
}
