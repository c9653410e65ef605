// Settings of the Postgres that is measured, and what a reader should know of them.
//
// May use: Report/Model for settings, PostgresSource's connection.

import Foundation
import PostgresSource

/// What the server's settings are, before a session of ours changes any.
struct ServerSettings: Sendable {
  struct Value: Sendable, Equatable {
    /// In `unit`.
    var text: String
    /// `8kB`, `kB`, `MB`, `ms`…; empty where there is none.
    var unit: String
  }

  private(set) var values: [String: Value]

  init(values: [String: Value]) { self.values = values }

  /// In the order of the report.
  static let names = [
    "server_version", Self.encryption, "shared_buffers", "effective_cache_size", "work_mem", "maintenance_work_mem",
    "max_parallel_maintenance_workers", "max_parallel_workers_per_gather", "max_parallel_workers",
    "max_worker_processes",
    "jit", "fsync", "synchronous_commit", "full_page_writes", "wal_level", "max_wal_size", "autovacuum",
    "random_page_cost",
    "huge_pages", "debug_assertions", "hnsw.max_scan_tuples", "hnsw.scan_mem_multiplier",
  ]

  /// No setting of the server, but what connections like ours agreed on with it: `off`, or the cipher.
  static let encryption = "TLS of the connections"

  /// - connection: one in which pgvector's library is loaded: its settings exist from then on.
  /// - Throws: ``SourceError``.
  init(of connection: Connection) throws(SourceError) {
    // What the session would have by itself: some of it our connections change.
    let rows = try connection.query(
      "SELECT name, coalesce(reset_val, setting), coalesce(unit, '') FROM pg_catalog.pg_settings WHERE name = ANY ($1::text[])",
      [SQLText.textArray(Self.names)])
    values = [:]
    for row in rows {
      guard row.count == 3, let name = row[0], let text = row[1], let unit = row[2] else { continue }
      values[name] = Value(text: text, unit: unit)
    }
    let session = try connection.query(
      "SELECT ssl, cipher FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()")
    if let row = session.first, row.count == 2, let isOn = row[0] {
      values[Self.encryption] = Value(text: isOn == "t" ? row[1] ?? "on" : "off", unit: "")
    }
  }

  func number(_ name: String) -> Int? { values[name].flatMap { Int($0.text) } }
  func isOn(_ name: String) -> Bool? { values[name].map { $0.text == "on" } }

  /// Of a setting that is an amount of memory.
  func bytes(_ name: String) -> Int? {
    guard let value = values[name], let number = Int(value.text) else { return nil }
    switch value.unit {
    case "B": return number
    case "kB": return number << 10
    case "8kB": return number << 13
    case "MB": return number << 20
    case "GB": return number << 30
    default: return nil
    }
  }

  /// As a reader wants to see it: memory in the largest unit that divides it.
  func shown(_ name: String) -> (value: String, unit: String?) {
    guard let value = values[name] else { return ("unknown", nil) }
    guard let bytes = bytes(name) else { return (value.text, value.unit.isEmpty ? nil : value.unit) }
    for (shift, unit) in [(30, "GB"), (20, "MB"), (10, "kB")] where bytes > 0 && bytes % (1 << shift) == 0 {
      return (String(bytes >> shift), unit)
    }
    return (String(bytes), "B")
  }
}

/// What this run does to them, and what they are held against.
struct SettingsContext: Sendable {
  /// Set for our builds.
  var maintenanceBytes: Int
  var maintenanceWorkers: Int
  /// Builds that had no helpers, since with them they failed.
  var buildsWithoutHelpers = 0
  /// The largest index that was built, with the vectors that are read beside it; 0: none is built.
  var largestIndexBytes: Int
  /// The most that a build needs to stay in memory.
  var largestGraphBytes: Int
  var processors: Int
}

extension ServerSettings {
  /// All of them for the report; where one is not what somebody who cares for speed would have, with the reason.
  func report(_ context: SettingsContext) -> [Setting] {
    Self.names.filter { values[$0] != nil }.map { name in
      let (value, unit) = shown(name)
      let finding = finding(name, context)
      return Setting(
        group: "Postgres", name: name, value: value, unit: unit, note: finding?.text,
        isWarning: finding?.isWarning ?? false)
    }
  }

  private struct Finding {
    var text: String
    var isWarning = true
  }

  private func finding(_ name: String, _ context: SettingsContext) -> Finding? {
    switch name {
    case Self.encryption:
      // Through a Unix socket there is none, so the server is reached by TCP.
      guard let text = values[name]?.text, text != "off" else { return nil }
      return Finding(
        text:
          "pgvector's questions and answers are encrypted, and the engine's are not, which has no TLS; where both are on one machine, give "
          + "sslmode=disable")
    case "shared_buffers":
      guard let bytes = bytes(name), bytes < context.largestIndexBytes else { return nil }
      return Finding(
        text:
          "smaller than the largest index (\(context.largestIndexBytes.asMemory)): pages come from the system's cache, at a copy each, or "
          + "from disk; pgvector would be faster with more")
    case "maintenance_work_mem":
      let ours = context.maintenanceBytes.asMemory
      guard context.maintenanceBytes >= context.largestGraphBytes else {
        return Finding(
          text:
            "the builds of this run had \(ours), and the largest graph takes about \(context.largestGraphBytes.asMemory): "
            + "its build would be faster with more (--maintenance-work-mem)")
      }
      guard let bytes = bytes(name), bytes < context.maintenanceBytes else {
        return Finding(text: "the builds of this run had \(ours)", isWarning: false)
      }
      return Finding(
        text: "the builds of this run had \(ours); with the server's own, a graph that does not fit is built slower",
        isWarning: false)
    case "max_parallel_maintenance_workers":
      let most = min(number("max_parallel_workers") ?? .max, number("max_worker_processes") ?? .max)
      let exceptions =
        context.buildsWithoutHelpers == 0
        ? "" : "; but \(context.buildsWithoutHelpers) had none, since with them Postgres gave up, as the notes say"
      if context.maintenanceWorkers > most {
        return Finding(
          text:
            "the builds of this run asked for \(context.maintenanceWorkers) beside their own process, and the server has \(most) in all"
            + exceptions)
      }
      return Finding(
        text: "the builds of this run had \(context.maintenanceWorkers), and their own process beside" + exceptions,
        isWarning: context.maintenanceWorkers + 1 < context.processors || context.buildsWithoutHelpers > 0)
    case "hnsw.max_scan_tuples":
      return Finding(text: "with hnsw.iterative_scan, a scan visits about so many rows at most", isWarning: false)
    case "hnsw.scan_mem_multiplier":
      return Finding(
        text: "with hnsw.iterative_scan, a scan takes at most about so many times work_mem", isWarning: false)
    case "jit":
      return isOn(name) == true
        ? Finding(
          text: "off in the sessions of this run: compiling a plan costs more than these searches", isWarning: false)
        : nil
    case "fsync", "full_page_writes":
      return isOn(name) == false ? Finding(text: "off: writes are faster than anybody's who keeps data") : nil
    case "synchronous_commit":
      return values[name]?.text == "off"
        ? Finding(text: "off: a commit returns before it is on disk, which flatters the figures of writes") : nil
    case "debug_assertions":
      return isOn(name) == true ? Finding(text: "on: this build checks itself and is slow; measure another") : nil
    case "wal_level":
      return values[name]?.text == "logical"
        ? nil : Finding(text: "not logical, so following was not measured", isWarning: false)
    case "autovacuum":
      return isOn(name) == false ? Finding(text: "off: dead rows stay in the indexes") : nil
    default: return nil
    }
  }
}
