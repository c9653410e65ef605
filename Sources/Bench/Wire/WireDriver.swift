// A client that costs as little as a client can: one thread, one blocking socket, frames made beforehand.
//
// May use: VectorWire, EngineConnection.

import ArgumentParser
import Foundation
import NIOCore
import VectorWire

final class WireDriver {
  /// The frames of all queries.
  struct Requests: Sendable {
    let count: Int
    fileprivate let frames: [[UInt8]]

    init(queries: VectorFile, collection: String, k: Int, effort: Int) {
      count = queries.count
      frames = (0..<queries.count).map { i in
        let vector = Array(queries.values[(i * queries.dimension)..<((i + 1) * queries.dimension)])
        guard let vectors = QueryVectors([vector]) else { preconditionFailure("a file's vectors have one length") }
        let search = SearchRequest(.init(collection: collection, k: k, effort: effort), vectors: vectors)
        return Array(search.frame(requestID: UInt32(i) + 1).readableBytesView)
      }
    }
  }

  private let connection: EngineConnection

  init(port: Int) throws(BenchError) { connection = try EngineConnection(host: "127.0.0.1", port: port) }

  /// Queries a second with so many requests in flight.
  func run(_ requests: Requests, inFlight: Int) throws -> Double {
    let start = ContinuousClock.now
    var sent = 0
    var received = 0
    while received < requests.count {
      while sent < requests.count, sent - received < inFlight {
        try connection.send(requests.frames[sent])
        sent += 1
      }
      let frame = try connection.receive()
      guard frame.header.kind == .searchReply else { throw ValidationError("a search was refused") }
      received += 1
    }
    return Double(requests.count) / ((ContinuousClock.now - start) / .seconds(1))
  }

  /// Pings a second, one in flight.
  func ping(times: Int) throws -> Double {
    let frame = Array(Ping().frame(requestID: 1).readableBytesView)
    let start = ContinuousClock.now
    for _ in 0..<times {
      try connection.send(frame)
      _ = try connection.receive()
    }
    return Double(times) / ((ContinuousClock.now - start) / .seconds(1))
  }
}
