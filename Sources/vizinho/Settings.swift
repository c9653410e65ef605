// Where settings come from: options, then environment, then file; and what is said when one is wrong.
//
// May use: swift-configuration; Foundation, to look at the file's keys.

import ArgumentParser
import Configuration
import Foundation
import SystemPackage

/// The settings that can be given outside the command line too. The raw value is the key in the file; in the environment it
/// is written in capitals with `VIZINHO_` before it, and on the command line with dashes.
enum SettingKey: String, CaseIterable {
  case dataDir = "data_dir"
  case logLevel = "log_level"
  // serve
  case listen
  case searchThreads = "search_threads"
  case networkThreads = "network_threads"
  case connectionsMax = "connections_max"
  case requestsInFlightMax = "requests_in_flight_max"
  case queriesMax = "queries_max"
  case frameBytesMax = "frame_bytes_max"
  case deadlineMilliseconds = "deadline_milliseconds"
  // rebuild
  case postgres
  case collection
  case table
  case query
  case idColumns = "id_columns"
  case vectorColumn = "vector_column"
  case condition = "where"
  case attributes
  case payload
  case tenant
  case dimension
  case metric
  case storage
  case connectivity
  case constructionEffort = "construction_effort"
  case recallTarget = "recall_target"
  case searchEffort = "search_effort"
  case calibrationQuery = "calibration_query"
  case seed
  case workers
  case threads
  case keepSnapshots = "keep_snapshots"
  // following
  case publication
  case slot
  case outbox
  case outboxMilliseconds = "outbox_milliseconds"
  case silenceSeconds = "silence_seconds"
  case slotPatienceSeconds = "slot_patience_seconds"
  case snapshotAfterBytes = "snapshot_after_bytes"
  case journalBytesMax = "journal_bytes_max"
  case verifyEvery = "verify_every"
  case readyLagBytes = "ready_lag_bytes"
  // query
  case server

  /// Whether it is on or off: then it is read by `Settings.flag`.
  var isFlag: Bool { self == .outbox }

  var environmentName: String { "VIZINHO_" + rawValue.uppercased() }
  var optionName: String { "--" + rawValue.replacingOccurrences(of: "_", with: "-") }
  /// As a message names it: by all three.
  var description: String { "\(optionName) (\(environmentName), \"\(rawValue)\" in the file)" }
}

/// The settings of one run.
struct Settings {
  private let environment: [String: String]
  private let outside: ConfigReader

  /// - Parameter file: the JSON file's path, if there is one.
  /// - Throws: `ValidationError` for a file that cannot be read, or has a key that is none.
  init(file: String?) async throws {
    let prefix = "VIZINHO_"
    environment = ProcessInfo.processInfo.environment.filter { $0.key.hasPrefix(prefix) }
    let stripped = Dictionary(
      uniqueKeysWithValues: environment.map { (String($0.key.dropFirst(prefix.count)), $0.value) })
    var providers: [any ConfigProvider] = [EnvironmentVariablesProvider(environmentVariables: stripped)]
    if let file = file ?? environment["VIZINHO_CONFIG"] {
      try Self.checkKeys(of: file)
      providers.append(try await FileProvider<JSONSnapshot>(filePath: FilePath(file)))
    }
    outside = ConfigReader(providers: providers)
  }

  /// A key that nobody reads is a typing error that nobody notices.
  private static func checkKeys(of file: String) throws {
    guard let data = FileManager.default.contents(atPath: file) else {
      throw ValidationError("--config: the file \(file) cannot be read")
    }
    guard let settings = try? JSONDecoder().decode([String: FileValue].self, from: data) else {
      throw ValidationError("--config: \(file) is not a JSON object such as {\"data_dir\": \"data\"}")
    }
    for (key, value) in settings {
      guard let known = SettingKey(rawValue: key) else {
        let all = SettingKey.allCases.map(\.rawValue).joined(separator: ", ")
        throw ValidationError("--config: \(file) has the key \"\(key)\", which is no setting. Settings: \(all)")
      }
      let isAllowed = value == .plain || value == .boolean && known.isFlag
      guard isAllowed else {
        let allowed = known.isFlag ? "true or false" : "a string or a number"
        throw ValidationError("--config: \"\(key)\" in \(file) must be \(allowed)")
      }
    }
  }

  /// What stands in the file as a setting's value.
  private enum FileValue: Decodable {
    /// A string or a number.
    case plain
    /// true or false, which whoever reads the settings takes for the numbers 1 and 0.
    case boolean
    case other

    init(from decoder: any Decoder) throws {
      let value = try decoder.singleValueContainer()
      if (try? value.decode(Bool.self)) != nil {
        self = .boolean
      } else if (try? value.decode(String.self)) != nil || (try? value.decode(Double.self)) != nil {
        self = .plain
      } else {
        self = .other
      }
    }
  }

  func string(_ option: String?, _ key: SettingKey) -> String? {
    option ?? outside.string(forKey: ConfigKey([key.rawValue])) ?? number(key).map { String($0) }
  }

  func requiredString(_ option: String?, _ key: SettingKey) throws -> String {
    guard let value = string(option, key), !value.isEmpty else {
      throw ValidationError("\(key.description) is missing")
    }
    return value
  }

  /// A number in a range, or nil when nothing gives one.
  func int(_ option: Int?, _ key: SettingKey, in range: ClosedRange<Int>) throws -> Int? {
    let value: Int
    if let option {
      value = option
    } else if let number = number(key) {
      value = number
    } else if let text = outside.string(forKey: ConfigKey([key.rawValue])) {
      throw ValidationError("\(key.description) is \"\(text)\"; it must be a whole number")
    } else {
      return nil
    }
    guard range.contains(value) else {
      throw ValidationError(
        "\(key.description) is \(value); it must be from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  /// The same for a number that need not be whole.
  func double(_ option: Double?, _ key: SettingKey, in range: ClosedRange<Double>) throws -> Double? {
    let value: Double
    if let option {
      value = option
    } else if let number = outside.double(forKey: ConfigKey([key.rawValue])) ?? number(key).map({ Double($0) }) {
      value = number
    } else if let text = outside.string(forKey: ConfigKey([key.rawValue])) {
      throw ValidationError("\(key.description) is \"\(text)\"; it must be a number")
    } else {
      return nil
    }
    // False for NaN, too.
    guard range.contains(value) else {
      throw ValidationError(
        "\(key.description) is \(value); it must be from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  /// Something that is on or off: `true` or `false` where no option says it, in the file with quotes or without.
  func flag(_ option: Bool, _ key: SettingKey) throws -> Bool {
    guard !option, let text = string(nil, key) else { return option }
    // JSON's own true and false are no strings: they are read as the numbers 1 and 0, from which they cannot be told.
    let isText = outside.string(forKey: ConfigKey([key.rawValue])) != nil
    let value = isText ? Bool(text) : ["1": true, "0": false][text]
    guard let value else {
      throw ValidationError("\(key.description) is \"\(text)\"; it must be true or false")
    }
    return value
  }

  private func number(_ key: SettingKey) -> Int? { outside.int(forKey: ConfigKey([key.rawValue])) }
}

/// The options that every subcommand has.
struct CommonOptions: ParsableArguments {
  @Option(help: ArgumentHelp("A JSON file with settings.", valueName: "file"))
  var config: String?

  func settings() async throws -> Settings { try await Settings(file: config) }
}
