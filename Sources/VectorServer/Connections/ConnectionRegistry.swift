// Which connections are open.
//
// May use: NIOCore, Synchronization.

import NIOCore
import Synchronization
import VectorWire

/// Counts connections, and reaches them all when the server ends.
final class ConnectionRegistry: Sendable {
  enum Admission {
    case admitted
    /// To be told why, and closed.
    case refused(WireError)
    /// To be closed without a word: even the refused ones are too many.
    case dropped
  }

  private struct State {
    var connections: [ObjectIdentifier: NIOLoopBound<ConnectionHandler>] = [:]
    var isShuttingDown = false
    var emptied: EventLoopPromise<Void>?
  }

  /// Refused connections linger for a moment; so many of them may.
  private static let refusedMax = 64
  private let connectionsMax: Int
  private let state = Mutex(State())

  init(connectionsMax: Int) { self.connectionsMax = connectionsMax }

  /// Called on the connection's event loop. Every call is followed by one of ``remove(_:)``.
  func add(_ handler: ConnectionHandler, eventLoop: any EventLoop) -> Admission {
    let bound = NIOLoopBound(handler, eventLoop: eventLoop)
    return state.withLock { state in
      let others = state.connections.count
      state.connections[ObjectIdentifier(handler)] = bound
      if others >= connectionsMax + Self.refusedMax { return .dropped }
      if state.isShuttingDown { return .refused(WireError(.shuttingDown, "the server is shutting down")) }
      guard others < connectionsMax else {
        return .refused(
          WireError(
            .connectionLimit,
            "\(connectionsMax) connections are open, which is the limit: share one among tasks, or try again later"))
      }
      return .admitted
    }
  }

  func remove(_ handler: ConnectionHandler) {
    let emptied = state.withLock { state -> EventLoopPromise<Void>? in
      state.connections[ObjectIdentifier(handler)] = nil
      guard state.connections.isEmpty else { return nil }
      return state.emptied.take()
    }
    emptied?.succeed()
  }

  /// Asks every connection to finish, and every later one to go.
  /// - Parameter emptied: succeeds when the last one is gone.
  func shutDown(emptied: EventLoopPromise<Void>) {
    let connections = state.withLock { state -> [NIOLoopBound<ConnectionHandler>] in
      state.isShuttingDown = true
      if !state.connections.isEmpty { state.emptied = emptied }
      return Array(state.connections.values)
    }
    if connections.isEmpty { return emptied.succeed() }
    for connection in connections { connection.eventLoop.execute { connection.value.shutDown() } }
  }

  /// Closes every connection at once.
  func closeAll() {
    let connections = state.withLock { Array($0.connections.values) }
    for connection in connections { connection.eventLoop.execute { connection.value.closeNow() } }
  }
}
