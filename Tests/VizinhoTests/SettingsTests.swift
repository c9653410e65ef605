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

  @Test(arguments: [#"{"outbox": [true]}"#, #"{"outbox": null}"#, #"{"outbux": true}"#, "[]"])
  func aFileThatHoldsNoSettingsIsRefused(json: String) async {
    await #expect(throws: (any Error).self) { _ = try await read(json) }
  }
}
