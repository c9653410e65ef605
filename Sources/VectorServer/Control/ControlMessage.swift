// What an operator's commands say to a running server, over a socket in the data directory: a line of JSON each.
//
// May use: Foundation's JSON coders.

import Foundation

/// Where a rebuild takes its rows from.
public enum RebuildOrigin: String, Codable, Hashable, Sendable, CaseIterable {
  case postgres
  /// The collection that is served.
  case engine
}

/// A command: one line from the client.
public struct ControlRequest: Codable, Hashable, Sendable {
  public enum Command: String, Codable, Hashable, Sendable {
    /// What is followed, how far, and what that costs.
    case status
    /// Compares a collection with its table.
    case verify
    /// Loads a collection anew beside the one that is served, or adds one.
    case rebuild
    /// Takes a collection away.
    case drop
  }

  public var command: Command
  public var collection: String
  /// verify: whether rows that differ are mended.
  public var repairs: Bool?
  /// rebuild: nil = as it is defined now, but for ``choices``.
  public var definition: CollectionDefinition?
  public var choices: IndexChoices?
  /// rebuild: nil = from Postgres.
  public var origin: RebuildOrigin?

  public init(
    _ command: Command, collection: String = "", repairs: Bool? = nil, definition: CollectionDefinition? = nil,
    choices: IndexChoices? = nil, origin: RebuildOrigin? = nil
  ) {
    self.command = command
    self.collection = collection
    self.repairs = repairs
    self.definition = definition
    self.choices = choices
    self.origin = origin
  }
}

/// One line from the server. The last of a command is `done` or `failed`.
public struct ControlReply: Codable, Hashable, Sendable {
  public enum Kind: String, Codable, Hashable, Sendable { case progress, done, failed }

  public var kind: Kind
  /// For people.
  public var text: String
  /// For programs: names and numbers.
  public var values: [String: String]

  public init(_ kind: Kind, _ text: String, values: [String: String] = [:]) {
    self.kind = kind
    self.text = text
    self.values = values
  }
}

/// The one form of both.
public enum ControlLine {
  /// A line is no longer than that.
  public static let bytesMax = 1 << 20

  static func encode(_ value: some Encodable) throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return Array(try encoder.encode(value)) + [UInt8(ascii: "\n")]
  }

  static func decode<Value: Decodable>(_ type: Value.Type, _ line: some Sequence<UInt8>) throws -> Value {
    try JSONDecoder().decode(type, from: Data(line))
  }
}
