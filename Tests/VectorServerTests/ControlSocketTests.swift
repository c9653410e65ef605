// The control socket where nobody answers: neither end waits for ever.

import Foundation
import Testing

@testable import VectorServer

@Suite(.timeLimit(.minutes(2))) struct ControlSocketTests {
  private func withDirectory(_ body: (String) throws -> Void) throws {
    let path = NSTemporaryDirectory() + "control-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    try body(path)
  }

  /// The system takes the connection, and the server never does.
  @Test func aStatusIsNotWaitedForForEver() throws {
    try withDirectory { path in
      let listener = try ControlSocket.listen(at: ControlSocket.path(of: path))
      defer { listener.end() }
      let client = try #require(try ControlClient(dataDirectory: path, patienceSeconds: 0.1))
      let error = #expect(throws: ServerError.self) { try client.run(ControlRequest(.status)) { _ in } }
      #expect(error?.code == .noReply && error?.message.contains("has not answered") == true)
    }
  }

  @Test func aReplyThatComesIsRead() throws {
    try withDirectory { path in
      let listener = try ControlSocket.listen(at: ControlSocket.path(of: path))
      let serving = WorkerThread("server") {
        guard let client = listener.accept({ _ in }), client.readLine() != nil,
          let reply = try? ControlLine.encode(ControlReply(.done, "well"))
        else { return }
        _ = client.write(reply)
      }
      let client = try #require(try ControlClient(dataDirectory: path))
      let reply = try client.run(ControlRequest(.status)) { _ in }
      #expect(reply.text == "well")
      serving.join()
      listener.end()
    }
  }

  @Test func whereNobodyListensThereIsNoClient() throws {
    try withDirectory { path in
      let client = try ControlClient(dataDirectory: path)
      #expect(client == nil)
    }
  }

  @Test func theEndWakesWhoeverAccepts() throws {
    try withDirectory { path in
      let listener = try ControlSocket.listen(at: ControlSocket.path(of: path))
      let accepting = WorkerThread("accepting") {
        while listener.accept({ reason in Issue.record("\(reason)") }) != nil {}
      }
      listener.end()
      accepting.join()
    }
  }
}
