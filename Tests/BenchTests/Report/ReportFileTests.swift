// Reports as files: what is written can be read, what is damaged is named, and a run that ends early leaves what it measured.

import ArgumentParser
import Foundation
import Testing

@testable import Bench

/// A folder of its own for each test.
struct ReportFileTests {
  private func inFolder(_ body: (URL) async throws -> Void) async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("bench-report-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try await body(folder)
  }

  private func options(_ folder: URL) throws -> ReportOptions {
    try ReportOptions.parse([
      "--json", folder.appendingPathComponent("r.json").path, "--html", folder.appendingPathComponent("r.html").path,
    ])
  }

  @Test func whatIsWrittenIsRead() async throws {
    try await inFolder { folder in
      let path = folder.appendingPathComponent("r.json").path
      for report in [SampleReports.comparison, SampleReports.load, SampleReports.shadow, SampleReports.empty("index")] {
        try ReportFiles(json: path).write(report)
        #expect(try BenchReport(contentsOf: path) == report)
      }
    }
  }

  @Test func figuresThatAreNoNumbersAreKept() async throws {
    try await inFolder { folder in
      let path = folder.appendingPathComponent("r.json").path
      var report = SampleReports.comparison
      report.series[0].points[0].recall = .infinity
      try ReportFiles(json: path).write(report)
      #expect(try BenchReport(contentsOf: path).series[0].points[0].recall == .infinity)
    }
  }

  /// The names that docs/BENCH.md promises.
  @Test func fieldsHaveTheirNames() throws {
    let json = try #require(JSONSerialization.jsonObject(with: SampleReports.comparison.json()) as? [String: Any])
    #expect(json["format"] as? String == "vizinho-bench-1")
    #expect(
      Set(json.keys) == [
        "format", "command", "created", "elapsed_seconds", "interrupted", "machine", "settings", "data", "method",
        "notes", "engines",
        "series", "matched", "load", "filtered", "mixed", "freshness",
      ])
    func keys(_ part: String) throws -> Set<String> {
      Set(try #require((json[part] as? [[String: Any]])?.first).keys)
    }
    #expect(
      try keys("engines") == [
        "id", "family", "build_seconds", "index_bytes", "bytes_per_vector", "peak_memory_bytes", "detail",
      ])
    #expect(try keys("series") == ["engine", "clients", "points"])
    #expect(try keys("matched") == ["clients", "recall", "engine", "reached", "at_least", "qps", "p50_us", "p99_us"])
    #expect(try keys("filtered").isSuperset(of: ["engine", "selectivity", "recall", "qps", "short", "outside"]))
    #expect(
      try keys("mixed").isSuperset(of: [
        "engine", "clients", "writes_per_second_asked", "writes_per_second", "qps", "latency",
      ]))
    #expect(try keys("freshness") == ["engine", "changes", "p50_ms", "p99_ms", "span"])
    let points = try #require(((json["series"] as? [[String: Any]])?.first)?["points"] as? [[String: Any]])
    #expect(
      try Set(#require(points.first).keys) == [
        "effort", "value", "recall", "qps", "latency", "errors", "cpu_seconds_per_query",
      ])
    #expect(
      try Set(#require(points.first?["latency"] as? [String: Any]).keys) == [
        "p50_us", "p90_us", "p95_us", "p99_us", "p999_us", "max_us",
      ])
  }

  @Test func listsThatAFileLacksAreEmpty() async throws {
    try await inFolder { folder in
      let url = folder.appendingPathComponent("old.json")
      let text = """
        {"format": "vizinho-bench-1", "command": "load", "created": "2026-11-26T08:00:00Z",
         "machine": {"cpu": "c", "processors": 2, "memory_bytes": 1, "system": "s", "second_level_cache_bytes": 0,
                     "last_level_cache_bytes": 0, "huge_pages": "never"},
         "data": {"source": "t", "rows": 5, "dimension": 3, "metric": "l2", "queries": 1, "query_source": "file", "k": 1}}
        """
      try Data(text.utf8).write(to: url)
      let report = try BenchReport(contentsOf: url.path)
      #expect(!report.interrupted && report.series.isEmpty && report.load.isEmpty && report.shadow == nil)
    }
  }

  @Test func whatIsNoReportIsNamed() async throws {
    try await inFolder { folder in
      func message(_ text: String?) throws -> String {
        let url = folder.appendingPathComponent("x.json")
        try? FileManager.default.removeItem(at: url)
        if let text { try Data(text.utf8).write(to: url) }
        do {
          _ = try BenchReport(contentsOf: url.path)
          return "it was read"
        } catch {
          return error.message.replacing(url.path, with: "FILE")
        }
      }
      #expect(try message(nil) == "cannot read FILE")
      for text in ["", "[]", "{\"format\": \"vizinho-bench-9\"}", "\u{0}\u{1}"] {
        #expect(try message(text) == "FILE is no report of bench: its \"format\" is not \"vizinho-bench-1\"")
      }
      let sound = String(decoding: try SampleReports.comparison.json(), as: UTF8.self)
      let damaged = sound.replacing("\"build_seconds\" : 12.7", with: "\"build_seconds\" : \"soon\"")
      #expect(damaged != sound)
      #expect(try message(damaged).hasPrefix("FILE is a damaged report: at engines.[0].build_seconds: "))
      #expect(try message(String(sound.prefix(sound.count / 2))).hasPrefix("FILE is no report of bench"))
    }
  }

  @Test func aRunLeavesJSONAfterEachPartAndAPageAtTheEnd() async throws {
    try await inFolder { folder in
      let options = try options(folder)
      let json = try #require(options.json)
      let html = try #require(options.html)
      try await ReportSink.run(SampleReports.empty("load"), options) { sink in
        #expect(try BenchReport(contentsOf: json).load.isEmpty)
        sink.expect(units: 2)
        sink.begin("the first")
        try sink.checkpoint()
        try sink.add { $0.load.append(SampleReports.load.load[0]) }
        #expect(try BenchReport(contentsOf: json).load.count == 1)
        sink.begin("the second")
        try sink.add { $0.load.append(SampleReports.load.load[1]) }
        #expect(sink.report.load.count == 2)
        #expect(!FileManager.default.fileExists(atPath: html))
      }
      let report = try BenchReport(contentsOf: json)
      #expect(report.load.count == 2 && !report.interrupted && report.elapsedSeconds != nil)
      #expect(try WellFormed(String(contentsOfFile: html, encoding: .utf8)).named("svg").count == 1)
    }
  }

  @Test func anInterruptedRunKeepsWhatItMeasured() async throws {
    try await inFolder { folder in
      let options = try options(folder)
      let code = await #expect(throws: ExitCode.self) {
        try await ReportSink.run(SampleReports.empty("load"), options) { sink in
          try sink.add { $0.load.append(SampleReports.load.load[0]) }
          throw Interrupted(signal: SIGINT)
        }
      }
      #expect(code?.rawValue == 130)
      let report = try BenchReport(contentsOf: try #require(options.json))
      #expect(report.interrupted && report.load.count == 1 && report.notes.count == 1)
      let page = try WellFormed(String(contentsOfFile: try #require(options.html), encoding: .utf8))
      #expect(page.named("p").contains { $0.attributes["class"] == "banner" })
    }
  }

  @Test func aRunThatEndsWithAnExitCodeIsComplete() async throws {
    try await inFolder { folder in
      let options = try options(folder)
      let code = await #expect(throws: ExitCode.self) {
        try await ReportSink.run(SampleReports.empty("shadow"), options) { sink in
          try sink.add { $0.shadow = SampleReports.shadow.shadow }
          throw ExitCode(1)
        }
      }
      #expect(code?.rawValue == 1)
      let report = try BenchReport(contentsOf: try #require(options.json))
      #expect(!report.interrupted && report.notes.isEmpty && report.shadow == SampleReports.shadow.shadow)
    }
  }

  @Test func aRunThatFailsKeepsWhatItMeasured() async throws {
    try await inFolder { folder in
      let options = try options(folder)
      await #expect(throws: ValidationError.self) {
        try await ReportSink.run(SampleReports.empty("load"), options) { sink in
          try sink.add { $0.load.append(SampleReports.load.load[0]) }
          throw ValidationError("the server went away")
        }
      }
      let report = try BenchReport(contentsOf: try #require(options.json))
      #expect(report.interrupted && report.load.count == 1)
      #expect(report.notes == ["The run ended early: the server went away."])
    }
  }

  @Test func filesThatCannotBeWrittenEndTheRunBeforeItBegins() async throws {
    for option in ["--json", "--html"] {
      let options = try ReportOptions.parse([option, "/nonexistent/folder/report"])
      await #expect(throws: ValidationError.self) {
        try await ReportSink.run(SampleReports.empty("load"), options) { _ in Issue.record("it began") }
      }
    }
  }

  @Test func theCommandWritesPagesAndCharts() async throws {
    try await inFolder { folder in
      func path(_ name: String) -> String { folder.appendingPathComponent(name).path }
      try ReportFiles(json: path("a.json")).write(SampleReports.comparison)
      try ReportFiles(json: path("b.json")).write(SampleReports.load)
      var command = try ReportCommand.parse(["--json", path("a.json"), path("b.json"), "--html", path("both.html")])
      try command.run()
      #expect(try WellFormed(String(contentsOfFile: path("both.html"), encoding: .utf8)).named("h1").count == 2)
      for chart in ReportCommand.Name.allCases {
        let source = chart == .load ? path("b.json") : path("a.json")
        command = try ReportCommand.parse(["--json", source, "--svg", path("c.svg"), "--chart", chart.rawValue])
        try command.run()
        #expect(try WellFormed(String(contentsOfFile: path("c.svg"), encoding: .utf8)).named("svg").count == 1)
      }
      // What was not measured, by whom or with how many clients, is said.
      for arguments in [
        ["--json", path("b.json"), "--svg", path("d.svg")],
        ["--json", path("a.json"), "--svg", path("d.svg"), "--clients", "3"],
        ["--json", path("a.json"), "--svg", path("d.svg"), "--chart", "load"],
      ] {
        command = try ReportCommand.parse(arguments)
        #expect(throws: ValidationError.self) { try command.run() }
      }
      #expect(!FileManager.default.fileExists(atPath: path("d.svg")))
      #expect(throws: (any Error).self) {
        try ReportCommand.parse(["--json", path("a.json"), path("b.json"), "--svg", path("d.svg")])
      }
    }
  }
}
