// What a run of `bench` found, as it is written to JSON and read again: docs/BENCH.md has the format.
//
// May use: Foundation, for JSON and the date; Machine.

import Foundation

/// One run. It grows while the run goes on, and is sound at any moment: what was not measured yet is an empty list.
struct BenchReport: Codable, Sendable, Equatable {
  /// What `format` says in the JSON of this version.
  static let currentFormat = "vizinho-bench-1"

  var format = Self.currentFormat
  /// `pgvector`, `load`, `shadow` or `index`.
  var command: String
  /// ISO 8601, UTC: when the run began.
  var created: String
  /// From the beginning of the run to the last part that is in here.
  var elapsedSeconds: Double?
  /// Whether it was ended before all parts were measured.
  var interrupted = false
  var machine: MachineDescription
  /// How both sides were set up: versions, server settings, options of this run.
  var settings: [Setting] = []
  var data: DataDescription
  /// How it was measured, in sentences, written by who measured.
  var method: [String] = []
  /// What went wrong or deserves doubt, in sentences.
  var notes: [String] = []
  var engines: [EngineBuild] = []
  var series: [Series] = []
  var matched: [MatchedRecall] = []
  var load: [LoadPoint] = []
  var filtered: [FilteredPoint] = []
  var mixed: [MixedPoint] = []
  var freshness: [FreshnessResult] = []
  var shadow: ShadowResult?

  enum CodingKeys: String, CodingKey {
    case format, command, created, interrupted, machine, settings, data, method, notes, engines, series, matched, load
    case filtered, mixed, freshness, shadow
    case elapsedSeconds = "elapsed_seconds"
  }

  /// A run that begins now, on this machine.
  init(command: String, data: DataDescription) {
    self.command = command
    created = Date().formatted(.iso8601)
    machine = .current()
    self.data = data
  }

  /// Lists that a file lacks are empty, so that a later version may add some.
  init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: CodingKeys.self)
    func list<Element: Decodable>(_ key: CodingKeys) throws -> [Element] {
      try fields.decodeIfPresent([Element].self, forKey: key) ?? []
    }
    format = try fields.decode(String.self, forKey: .format)
    command = try fields.decode(String.self, forKey: .command)
    created = try fields.decode(String.self, forKey: .created)
    elapsedSeconds = try fields.decodeIfPresent(Double.self, forKey: .elapsedSeconds)
    interrupted = try fields.decodeIfPresent(Bool.self, forKey: .interrupted) ?? false
    machine = try fields.decode(MachineDescription.self, forKey: .machine)
    data = try fields.decode(DataDescription.self, forKey: .data)
    settings = try list(.settings)
    method = try list(.method)
    notes = try list(.notes)
    engines = try list(.engines)
    series = try list(.series)
    matched = try list(.matched)
    load = try list(.load)
    filtered = try list(.filtered)
    mixed = try list(.mixed)
    freshness = try list(.freshness)
    shadow = try fields.decodeIfPresent(ShadowResult.self, forKey: .shadow)
  }
}

/// The machine that was measured on.
struct MachineDescription: Codable, Sendable, Equatable {
  var cpu: String
  var processors: Int
  /// 0 where the system does not tell.
  var memoryBytes: Int
  /// Name and release of the kernel, and the architecture.
  var system: String
  var secondLevelCacheBytes: Int
  var lastLevelCacheBytes: Int
  /// What the system says of transparent huge pages: `always`, `madvise`, `never` or `unknown`.
  var hugePages: String

  enum CodingKeys: String, CodingKey {
    case cpu, processors, system
    case memoryBytes = "memory_bytes"
    case secondLevelCacheBytes = "second_level_cache_bytes"
    case lastLevelCacheBytes = "last_level_cache_bytes"
    case hugePages = "huge_pages"
  }

  static func current() -> MachineDescription {
    let machine = Machine.current()
    var names = utsname()
    uname(&names)
    let system = [
      withUnsafeBytes(of: &names.sysname, Self.text), withUnsafeBytes(of: &names.release, Self.text),
      withUnsafeBytes(of: &names.machine, Self.text),
    ]
    return MachineDescription(
      cpu: machine.cpu, processors: machine.processors,
      memoryBytes: Int(clamping: ProcessInfo.processInfo.physicalMemory), system: system.joined(separator: " "),
      secondLevelCacheBytes: machine.secondLevelCacheBytes, lastLevelCacheBytes: machine.lastLevelCacheBytes,
      hugePages: machine.hugePages)
  }

  private static func text(_ bytes: UnsafeRawBufferPointer) -> String {
    String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }
}

/// Something that was chosen or found before measuring.
struct Setting: Codable, Sendable, Equatable {
  /// Whose it is, such as `Postgres`, `Vizinho` or `this run`: settings are shown in groups of the same.
  var group: String
  var name: String
  var value: String
  var unit: String?
  /// What a reader should know of it.
  var note: String?
  /// Whether the value is one that speaks against the figures of its side; the note then says why.
  var isWarning = false

  enum CodingKeys: String, CodingKey {
    case group, name, value, unit, note
    case isWarning = "warning"
  }
}

/// What was searched in, and for what.
struct DataDescription: Codable, Sendable, Equatable {
  /// A file's name or a table's.
  var source: String
  var rows: Int
  var dimension: Int
  /// `cosine`, `inner_product` or `l2`.
  var metric: String
  var queries: Int
  /// `file`, `table`, `log`, or `held out of the base`.
  var querySource: String
  var k: Int
  /// Of the vectors, with the name of the algorithm in front, as in `sha256:…`.
  var checksum: String?

  enum CodingKeys: String, CodingKey {
    case source, rows, dimension, metric, queries, k, checksum
    case querySource = "query_source"
  }
}
