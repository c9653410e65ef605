// What a settings file may say, and what is refused in it.

import Foundation
import Testing

@testable import vizinho

struct SettingsTests {
  /// The settings of a file that holds `json`.
  private func read(_ json: String) async throws -> Settings {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).json").path
    defer { try? FileManager.default.removeItem(atPath: file) }
    try Data(json.utf8).write(to: URL(filePath: file))
    return try await Settings(file: file)
  }

  @Test(arguments: [
    (#"{"outbox": true}"#, true), (#"{"outbox": false}"#, false), (#"{"outbox": "true"}"#, true),
    (#"{"outbox": "false"}"#, false), ("{}", false),
  ])
  func aFlagIsTrueOrFalseWithQuotesOrWithout(json: String, isOn: Bool) async throws {
    let settings = try await read(json)
    #expect(try settings.flag(false, .outbox) == isOn)
  }

  @Test func anOptionWinsOverTheFile() async throws {
    let settings = try await read(#"{"outbox": false}"#)
    #expect(try settings.flag(true, .outbox))
  }

  @Test(arguments: [#"{"outbox": "yes"}"#, #"{"outbox": "1"}"#, #"{"outbox": 2}"#])
  func whatIsNeitherIsRefused(json: String) async throws {
    let settings = try await read(json)
    #expect(throws: (any Error).self) { try settings.flag(false, .outbox) }
  }

  /// Read as a number, it would be 1.
  @Test(arguments: ["verify_every", "table", "ready_lag_bytes"], ["true", "false"])
  func whatIsNoFlagIsNotTrueOrFalse(key: String, value: String) async throws {
    let error = await #expect(throws: (any Error).self) { _ = try await read("{\"\(key)\": \(value)}") }
    let message = error.map { "\($0)" } ?? ""
    #expect(message.contains("\"\(key)\"") && message.contains("a string or a number"))
  }

  @Test func numbersAndStringsAreTakenForWhatTheySay() async throws {
    let settings = try await read(#"{"verify_every": 1, "table": "t", "recall_target": 0.5, "ready_lag_bytes": 0}"#)
    #expect(try settings.int(nil, .verifyEvery, in: 0...10) == 1)
    #expect(settings.string(nil, .table) == "t")
    #expect(try settings.double(nil, .recallTarget, in: 0...1) == 0.5)
    #expect(try settings.int(nil, .readyLagBytes, in: 0...10) == 0)
  }

  @Test(arguments: [#"{"outbox": [true]}"#, #"{"outbox": null}"#, #"{"outbux": true}"#, "[]"])
  func aFileThatHoldsNoSettingsIsRefused(json: String) async {
    await #expect(throws: (any Error).self) { _ = try await read(json) }
  }
}
